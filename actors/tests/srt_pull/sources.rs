//! Media of real listeners.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_actors::ingest::TransportStats;
use weir_actors::ingest::pull::{Fetched, Outlet, PullError, fetch};
use weir_actors::network::Network;
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;
use weir_media::pull::PullUri;

use super::{ALONE, PATIENCE};

const PASSPHRASE: &str = "correct-horse-battery";

/// A process that listens; killed when dropped.
struct Source(Child);

impl Drop for Source {
    fn drop(&mut self) {
        // Gone either way.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A programme as MPEG-TS in real time.
fn ffmpeg(to: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args("-v error -nostdin -re -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=r=48000".split(' '))
        .args("-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -c:a aac -f mpegts".split(' '))
        .arg(to)
        .stdin(Stdio::null());
    command
}

/// A fetch that is tried until the source listens.
fn pull(uri: String) -> (JoinHandle<PullError>, mpsc::Receiver<Fetched>) {
    let (outlet, fetched) = Outlet::new();
    let task = tokio::spawn(async move {
        let source = PullUri::parse(&uri).unwrap();
        let network = Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap();
        loop {
            let error = fetch(&source, &network, &outlet).await;
            if !matches!(error, PullError::Timeout(_)) {
                return error;
            }
        }
    });
    (task, fetched)
}

/// Takes two seconds of it, and looks at what they are.
async fn assert_media(fetched: &mut mpsc::Receiver<Fetched>) -> TransportStats {
    let (mut size, mut sound, mut pictures, mut frames, mut heard) = (None, None, 0, 0, 0);
    let mut stats: Option<TransportStats> = None;
    while pictures < 50 || frames < 90 || stats.is_none_or(|stats| stats.packets_received < Some(50)) {
        match timeout(PATIENCE, fetched.recv()).await.expect("media in time").expect("media before the end") {
            Fetched::Heard(bytes) => heard += bytes,
            Fetched::Item(FeedItem::Config(TrackConfig::Video(config))) => size = Some((config.width, config.height)),
            Fetched::Item(FeedItem::Config(TrackConfig::Audio(config))) => sound = Some(config.sample_rate),
            Fetched::Item(FeedItem::Unit(unit)) if unit.track == Track::Video => {
                assert!(size.is_some() && (pictures > 0 || unit.keyframe), "pictures begin with a keyframe");
                pictures += 1;
            }
            Fetched::Item(FeedItem::Unit(_)) => frames += 1,
            Fetched::Transport(found) => stats = Some(found),
        }
    }
    assert_eq!((size, sound), (Some((320, 180)), Some(48_000)));
    assert!(heard > 50_000, "{heard} bytes");
    let stats = stats.unwrap();
    assert_eq!((stats.packets_dropped, stats.packets_undecrypted), (Some(0), Some(0)), "{stats:?}");
    assert_eq!(stats.continuity_errors, Some(0), "{stats:?}");
    stats
}

#[tokio::test]
async fn ffmpeg_that_listens_is_pulled_from_until_it_ends() {
    let _alone = ALONE.lock().await;
    for (listener, caller, latency) in [
        ("".to_owned(), "latency=250000".to_owned(), 250),
        (format!("&passphrase={PASSPHRASE}&pbkeylen=32"), format!("passphrase={PASSPHRASE}"), 120),
    ] {
        let port = free_port();
        let source = ffmpeg(&format!("srt://127.0.0.1:{port}?mode=listener{listener}")).spawn().unwrap();
        let source = Source(source);
        let (task, mut fetched) = pull(format!("srt://127.0.0.1:{port}?{caller}"));
        let stats = assert_media(&mut fetched).await;
        assert_eq!(stats.latency_ms, Some(latency));

        // SAFETY: our own child, which nobody has waited for.
        unsafe { libc::kill(source.0.id() as i32, libc::SIGTERM) };
        while timeout(PATIENCE, fetched.recv()).await.expect("an end in time").is_some() {}
        let error = task.await.unwrap();
        assert!(matches!(error, PullError::Ended), "{error:?}");
    }
}

#[tokio::test]
async fn a_source_that_asks_for_too_long_a_latency_is_refused() {
    let _alone = ALONE.lock().await;
    let port = free_port();
    let listener = format!("srt://127.0.0.1:{port}?mode=listener&peerlatency=9000000");
    let _source = Source(ffmpeg(&listener).stderr(Stdio::null()).spawn().unwrap());
    let (task, _fetched) = pull(format!("srt://127.0.0.1:{port}"));
    let error = timeout(PATIENCE, task).await.expect("an end in time").unwrap();
    assert!(matches!(&error, PullError::Refused(why) if why == "asks for a latency of 9s, at most 8s"), "{error:?}");
}

#[tokio::test]
async fn srt_live_transmit_is_pulled_from_and_missed_when_it_is_killed() {
    let _alone = ALONE.lock().await;
    let port = free_port();
    let mut media = ffmpeg("-").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let listener = Command::new("srt-live-transmit")
        .args(["-q", "-a:no", "-chunk:1316", "file://con"])
        .arg(format!("srt://127.0.0.1:{port}?mode=listener&passphrase={PASSPHRASE}&pbkeylen=24"))
        .stdin(media.stdout.take().unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (_media, listener) = (Source(media), Source(listener));
    let (task, mut fetched) = pull(format!("srt://127.0.0.1:{port}?passphrase={PASSPHRASE}"));
    assert_media(&mut fetched).await;

    // Killed, it says no good-bye: only its silence tells.
    drop(listener);
    while timeout(PATIENCE, fetched.recv()).await.expect("an end in time").is_some() {}
    let error = task.await.unwrap();
    assert!(matches!(&error, PullError::Lost(why) if why.contains("s without data")), "{error:?}");
}
