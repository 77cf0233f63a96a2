//! Pulling by HTTP from what ffmpeg makes: live HLS in both containers, encrypted too, and MPEG-TS that does not end.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use weir_actors::ingest::pull::{Fetched, Outlet, PullError, fetch};
use weir_actors::network::Network;
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;
use weir_media::pull::PullUri;

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the source lasts, seconds.
const LENGTH: u64 = 12;
const PICTURE: Duration = Duration::from_millis(40);

/// A folder that ends with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-pull-http-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Pictures with a keyframe a second and a tone, in real time.
fn ffmpeg(folder: &Path, output: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command.args("-hide_banner -loglevel error -y -re -f lavfi -i testsrc2=size=320x240:rate=25".split(' '));
    command.args("-re -f lavfi -i sine=frequency=440:sample_rate=48000".split(' '));
    command.args(["-t", &LENGTH.to_string()]);
    command.args("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -g 25 -sc_threshold 0 -c:a aac".split(' '));
    command.args(output).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("ffmpeg is installed")
}

/// Serves the files of a folder.
async fn serve(folder: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, folder.clone()));
        }
    });
    address
}

async fn answer(mut socket: TcpStream, folder: PathBuf) -> Option<()> {
    let mut head = vec![];
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            Some(socket.read_buf(&mut head).await.ok()?).filter(|&count| count > 0)?;
        }
        let asked = String::from_utf8(std::mem::take(&mut head)).ok()?;
        let name = asked.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let (status, body) = match fs::read(folder.join(name)) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", vec![]),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}

/// What came of a source: when it came, and what.
struct Came {
    items: Vec<(Instant, FeedItem)>,
    bytes: usize,
    end: PullError,
}

async fn pull(url: &str) -> Came {
    let source = PullUri::parse(url).unwrap();
    let network = Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap();
    let (outlet, mut fetched) = Outlet::new();
    let taking = async {
        let (mut items, mut bytes) = (vec![], 0);
        while let Some(fetched) = fetched.recv().await {
            match fetched {
                Fetched::Item(item) => items.push((Instant::now(), item)),
                Fetched::Heard(count) => bytes += count,
                Fetched::Transport(_) => {}
            }
        }
        (items, bytes)
    };
    let fetching = async move {
        let outlet = outlet;
        fetch(&source, &network, &outlet).await
    };
    let ((items, bytes), end) = timeout(PATIENCE, async { tokio::join!(taking, fetching) }).await.unwrap();
    Came { items, bytes, end }
}

impl Came {
    /// Arrival and decoding time of a track's units, and whether decoding can begin there.
    fn units(&self, track: Track) -> Vec<(Instant, i64, bool)> {
        let units = self.items.iter().filter_map(|(at, item)| match item {
            FeedItem::Unit(unit) if unit.track == track => Some((*at, unit.dts.as_nanos(), unit.keyframe)),
            _ => None,
        });
        units.collect()
    }

    /// Whole from some keyframe on to the end, in order and in real time.
    fn check(&self, seconds: u64) {
        assert!(matches!(self.end, PullError::Ended), "{}", self.end);
        assert!(self.bytes > 50_000, "{} bytes", self.bytes);
        let configs = self.items.iter().filter_map(|(_, item)| match item {
            FeedItem::Config(config) => Some(matches!(config, TrackConfig::Video(_))),
            FeedItem::Unit(_) => None,
        });
        let configs: Vec<_> = configs.collect();
        assert_eq!((configs.len(), configs.iter().filter(|&&video| video).count()), (2, 1));
        let (video, audio) = (self.units(Track::Video), self.units(Track::Audio));
        assert!(video[0].2, "it begins at a keyframe");
        assert!(video.len() as u64 >= seconds * 25, "{} pictures", video.len());
        assert!(audio.len() as u64 >= seconds * 46, "{} frames of sound", audio.len());
        for pair in video.windows(2) {
            let step = (pair[1].1 - pair[0].1) as u64;
            assert!(step.abs_diff(PICTURE.as_nanos() as u64) < 1_000_000, "a step of {step} ns");
        }
        assert!(audio.windows(2).all(|pair| pair[1].1 > pair[0].1));
        let (first, last) = (video[0], video[video.len() - 1]);
        let (played, took) = (Duration::from_nanos((last.1 - first.1) as u64), last.0 - first.0);
        assert!(took.abs_diff(played) < Duration::from_millis(1500), "{played:?} took {took:?}");
        // In none of its seconds does it come in a burst.
        for window in video.windows(25) {
            let (first, last) = (window[0], window[24]);
            assert!(last.0 - first.0 > Duration::from_millis(400), "a burst of 25 pictures in {:?}", last.0 - first.0);
        }
    }
}

/// Waits until ffmpeg lists three segments.
async fn listed(list: &Path) {
    let lists = || fs::read_to_string(list).is_ok_and(|list| list.matches("#EXTINF").count() >= 3);
    let listed = async {
        while !lists() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, listed).await.expect("ffmpeg writes a playlist");
}

/// Pulls `asked` once `list` has segments. Options are separated by spaces, which `+` stands for within one.
async fn hls(name: &str, options: &str, list: &str, asked: &str) {
    let folder = Folder::new(name);
    fs::write(folder.0.join("key"), [7; 16]).unwrap();
    fs::write(folder.0.join("info"), "key\nkey\n").unwrap();
    let options = format!("-f hls -hls_time 1 -hls_list_size 5 {options}");
    let options: Vec<_> = options.split(' ').map(|option| option.replace('+', " ")).collect();
    let mut encoder = ffmpeg(&folder.0, &options.iter().map(String::as_str).collect::<Vec<_>>());
    listed(&folder.0.join(list)).await;
    let address = serve(folder.0.clone()).await;
    pull(&format!("http://{address}/{asked}")).await.check(LENGTH - 6);
    encoder.wait().await.unwrap();
}

#[tokio::test]
async fn live_hls_of_mpeg_ts_comes_in_real_time() {
    hls("ts", "list.m3u8", "list.m3u8", "list.m3u8").await;
}

#[tokio::test]
async fn live_hls_of_fragmented_mp4_comes_in_real_time() {
    hls("fmp4", "-hls_segment_type fmp4 list.m3u8", "list.m3u8", "list.m3u8").await;
}

#[tokio::test]
async fn encrypted_live_hls_comes_in_real_time() {
    hls("encrypted", "-hls_key_info_file info list.m3u8", "list.m3u8", "list.m3u8").await;
}

#[tokio::test]
async fn live_hls_with_its_sound_apart_comes_in_real_time() {
    let options =
        "-map 0:v -map 1:a -var_stream_map v:0,agroup:a+a:0,agroup:a,default:yes -master_pl_name master %v.m3u8";
    hls("apart", options, "1.m3u8", "master").await;
}

#[tokio::test]
async fn mpeg_ts_that_does_not_end_comes_in_real_time() {
    let folder = Folder::new("listen");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/live.ts");
    let _encoder = ffmpeg(&folder.0, &["-f", "mpegts", "-listen", "1", &url]);
    let came = async {
        loop {
            match pull(&url).await {
                Came { end: PullError::Refused(_), items, .. } if items.is_empty() => {
                    sleep(Duration::from_millis(50)).await;
                }
                came => return came,
            }
        }
    };
    timeout(PATIENCE, came).await.expect("ffmpeg listens").check(LENGTH - 1);
}
