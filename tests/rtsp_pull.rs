//! Pulling by RTSP from GStreamer's server.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_actors::ingest::pull::{Fetched, Outlet, PullError, rtsp};
use weir_actors::network::Network;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioCodec, TrackConfig, VideoCodec};
use weir_media::feed::FeedItem;
use weir_media::pull::PullUri;

const MS: i64 = 1_000_000;
/// For a server to play what it encodes, on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

/// A server process; killed when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(launch: &str, credentials: &[&str]) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["tests/support/rtsp_server.py", launch])
            .args(credentials)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the system's Python");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().expect("a port") }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fetch that runs, and what comes of it.
struct Pull {
    ended: JoinHandle<PullError>,
    fetched: Receiver<Fetched>,
    configs: Vec<TrackConfig>,
}

impl Pull {
    fn start(port: u16, user: &str) -> Self {
        let source = PullUri::parse(&format!("rtsp://{user}127.0.0.1:{port}/live")).unwrap();
        let network = Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap();
        let (outlet, fetched) = Outlet::new();
        let ended = tokio::spawn(async move {
            match rtsp::fetch(&source, &network, &outlet).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        });
        Self { ended, fetched, configs: vec![] }
    }

    /// The next unit; `None` at the end.
    async fn unit(&mut self) -> Option<AccessUnit> {
        loop {
            match timeout(SOON, self.fetched.recv()).await.expect("media in time")? {
                Fetched::Item(FeedItem::Config(config)) => self.configs.push(config),
                Fetched::Item(FeedItem::Unit(unit)) => return Some(unit),
                Fetched::Heard(_) | Fetched::Transport(_) => {}
            }
        }
    }

    /// So many units of video, and those of sound among them.
    async fn units(&mut self, pictures: usize) -> (Vec<AccessUnit>, Vec<AccessUnit>) {
        let (mut video, mut audio) = (vec![], vec![]);
        while video.len() < pictures {
            match self.unit().await {
                Some(unit) if unit.track == Track::Video => video.push(unit),
                Some(unit) => audio.push(unit),
                None => panic!("the source ended"),
            }
        }
        (video, audio)
    }
}

/// A film that is black and silent, and noise to eye and ear from 1.6 s on, and so on, as an MP4 file.
fn film() -> PathBuf {
    let path = std::env::temp_dir().join(format!("weir-test-{}-film.mp4", std::process::id()));
    let picture = "color=black:size=160x90:rate=50,noise=alls=100:allf=t:enable='gte(mod(t,3.2),1.6)'";
    let sound = "aevalsrc='if(gte(mod(t,3.2),1.6),random(0)-0.5,0)':sample_rate=48000";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", "12"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "80", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&path)
        .status()
        .expect("ffmpeg");
    assert!(made.success());
    path
}

/// When units grow from nearly nothing to something, nanoseconds.
fn onsets(units: &[AccessUnit], something: usize) -> Vec<i64> {
    let pairs = units.windows(2);
    let grown = pairs.filter(|pair| pair[0].data.len() < something && pair[1].data.len() >= something);
    grown.map(|pair| pair[1].pts.as_nanos()).collect()
}

#[tokio::test]
async fn video_and_sound_come_in_step_and_a_killed_server_is_lost_at_once() {
    let film = film();
    let launch = format!(
        "filesrc location={} ! qtdemux name=film film.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 \
         film.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97",
        film.display()
    );
    let mut server = Server::start(&launch, &[]);
    let mut pull = Pull::start(server.port, "");
    let (video, audio) = pull.units(260).await;
    std::fs::remove_file(film).unwrap();

    let [TrackConfig::Video(picture), TrackConfig::Audio(sound)] = &pull.configs[..] else {
        panic!("{:?}", pull.configs)
    };
    assert_eq!((picture.codec, picture.width, picture.height), (VideoCodec::H264, 160, 90));
    assert_eq!((sound.codec, sound.sample_rate, sound.channels), (AudioCodec::Aac, 48_000, 1));
    assert!(video[0].keyframe);
    for pair in video.windows(2) {
        assert!((pair[1].dts.since(pair[0].dts) - 20 * MS).abs() < MS, "{pair:?}");
    }
    // Frames of sound overlap: the one before the onset is loud already.
    let (seen, heard) = (onsets(&video, 1000), onsets(&audio, 100));
    let apart: Vec<_> =
        seen.iter().zip(&heard).map(|(seen, heard)| (seen - heard) / 100_000 * 100_000 - 21 * MS).collect();
    println!("picture behind sound, ns: {apart:?}");
    assert_eq!((seen.len(), heard.len()), (2, 2));
    assert!(apart.iter().all(|apart| apart.abs() <= 40 * MS), "{apart:?}");

    server.kill();
    let drained = async { while pull.unit().await.is_some() {} };
    timeout(Duration::from_secs(2), drained).await.expect("an end at once");
    let error = pull.ended.await.unwrap();
    assert!(matches!(error, PullError::Lost(_)), "{error}");
}

#[tokio::test]
async fn b_frames_get_their_decoding_times_and_opus_and_digest_work() {
    let launch = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 \
                  ! x264enc bframes=2 b-adapt=false key-int-max=25 speed-preset=veryfast ! video/x-h264,profile=main \
                  ! rtph264pay name=pay0 pt=96 \
                  audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay1 pt=97";
    let server = Server::start(launch, &["admin", "p@ss"]);
    let refused = Pull::start(server.port, "admin:wrong@").ended.await.unwrap();
    assert!(matches!(refused, PullError::Refused(_)), "{refused}");

    let mut pull = Pull::start(server.port, "admin:p%40ss@");
    let (video, audio) = pull.units(80).await;
    let [TrackConfig::Video(_), TrackConfig::Audio(sound)] = &pull.configs[..] else { panic!("{:?}", pull.configs) };
    assert_eq!(sound.codec, AudioCodec::Opus);
    assert!(audio.len() > 50, "{}", audio.len());
    assert!(video.iter().all(|unit| unit.dts <= unit.pts));
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    assert!(video.windows(2).filter(|pair| pair[0].pts > pair[1].pts).count() > 10, "there are B frames");
}

#[tokio::test]
async fn h265_comes_without_sound_too() {
    let launch = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 \
                  ! x265enc key-int-max=25 speed-preset=ultrafast tune=zerolatency ! rtph265pay name=pay0 pt=96";
    let server = Server::start(launch, &[]);
    let mut pull = Pull::start(server.port, "");
    let (video, audio) = pull.units(30).await;
    let [TrackConfig::Video(picture)] = &pull.configs[..] else { panic!("{:?}", pull.configs) };
    assert_eq!((picture.codec, picture.width, picture.height), (VideoCodec::Hevc, 320, 180));
    assert!(video[0].keyframe && video.iter().filter(|unit| unit.keyframe).count() < 5);
    assert_eq!(audio, []);
}
