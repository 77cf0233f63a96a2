//! The RTMP door over TCP: real encoders (ffmpeg, GStreamer's rtmp2sink, librtmp by way of rtmpsink) and hostile bytes,
//! with a Root that grants or refuses by the token alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../tests/support/rtmp_wire.rs"]
mod rtmp_wire;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler, Recipient, System};
use rtmp_wire::Outcome;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use weir_actors::ingest::intake::Patience;
use weir_actors::ingest::rtmp::{RtmpLimits, serve};
use weir_actors::ingest::{CloseReason, FACTS_CAPACITY, Grant, IngestFact, Publish};
use weir_actors::token::Token;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::feed::{Feed, FeedItem, FeedReader, Limits};
use weir_media::id::{SessionId, Slot, StreamId};
use weir_policy::admission::Refusal;

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the fake Root keeps of a session that it let in.
struct Admitted {
    slot: Slot,
    agent: Option<String>,
    reader: FeedReader,
    facts: mpsc::Receiver<IngestFact>,
    stop: watch::Sender<Option<CloseReason>>,
}

/// Grants stream 7 with the token `right`.
struct FakeRoot {
    admitted: mpsc::UnboundedSender<Admitted>,
    sessions: u64,
}

impl Actor for FakeRoot {
    type Context = Context<Self>;
}

impl Handler<Publish> for FakeRoot {
    type Result = Result<Grant, Refusal>;

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) -> Self::Result {
        if publish.stream != Some(StreamId(7)) || !publish.token.matches(&Token::new("right")) {
            return Err(Refusal::NotAuthorized { known: publish.stream == Some(StreamId(7)) });
        }
        self.sessions += 1;
        let (feed, writer) = Feed::new(Limits::default());
        let (facts, received_facts) = mpsc::channel(FACTS_CAPACITY);
        let (stop, stop_order) = watch::channel(None);
        let admitted =
            Admitted { slot: publish.slot, agent: publish.agent, reader: feed.reader(), facts: received_facts, stop };
        // A test that is over does not care.
        let _ = self.admitted.send(admitted);
        Ok(Grant {
            session: SessionId(self.sessions),
            stream: StreamId(7),
            slot: publish.slot,
            feed: writer,
            facts,
            stop: stop_order,
        })
    }
}

/// A door on a free port, its Root on an actix thread of its own.
struct Door {
    address: SocketAddr,
    admitted: mpsc::UnboundedReceiver<Admitted>,
    _shutdown: watch::Sender<bool>,
}

impl Door {
    async fn open(limits: RtmpLimits) -> Self {
        let (sender, admitted) = mpsc::unbounded_channel();
        let (started, root) = std::sync::mpsc::channel::<Recipient<Publish>>();
        std::thread::spawn(move || {
            let system = System::new();
            system
                .block_on(async { started.send(FakeRoot { admitted: sender, sessions: 0 }.start().recipient()) })
                .unwrap();
            system.run()
        });
        let root = root.recv().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, order) = watch::channel(false);
        tokio::spawn(serve(listener, root, limits, order));
        Self { address, admitted, _shutdown: shutdown }
    }

    async fn next(&mut self) -> Admitted {
        timeout(PATIENCE, self.admitted.recv()).await.expect("an admission in time").unwrap()
    }

    fn url(&self, name: &str) -> String {
        format!("rtmp://{}/in/{name}", self.address)
    }
}

/// Configurations and the first `count` units.
async fn media(reader: &mut FeedReader, count: usize) -> (VideoConfig, AudioConfig, Vec<AccessUnit>) {
    let (mut video, mut audio, mut units) = (None, None, vec![]);
    while units.len() < count || video.is_none() || audio.is_none() {
        match timeout(PATIENCE, reader.next()).await.expect("media in time").expect("media before the end") {
            FeedItem::Config(TrackConfig::Video(config)) => video = Some(config),
            FeedItem::Config(TrackConfig::Audio(config)) => audio = Some(config),
            FeedItem::Unit(unit) => units.push(unit),
        }
    }
    (video.unwrap(), audio.unwrap(), units)
}

/// A door's limits with another patience for publishers.
fn impatient(patience: Patience) -> RtmpLimits {
    RtmpLimits { patience, ..RtmpLimits::default() }
}

async fn closed(facts: &mut mpsc::Receiver<IngestFact>) -> CloseReason {
    loop {
        match timeout(PATIENCE, facts.recv()).await.expect("an end in time").expect("a last fact") {
            IngestFact::Closed { reason } => return reason,
            IngestFact::Source { .. } | IngestFact::Media { .. } => {}
        }
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Publishes for at most `seconds`.
fn ffmpeg(url: &str, seconds: u32, codecs: &str) -> Child {
    let mut command = quiet("ffmpeg");
    command.args("-v error -re -f lavfi -i testsrc2=s=640x360:r=25 -re -f lavfi -i sine=r=44100".split(' '));
    command.args(["-t", &seconds.to_string()]).args(codecs.split(' ')).args(["-f", "flv", url]);
    command.spawn().expect("ffmpeg is installed")
}

const H264_AAC: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -c:a aac -ac 2";

/// Publishes with GStreamer until killed or refused. `sink` is `rtmp2sink`, or `rtmpsink` with librtmp.
fn gstreamer(sink: &str, url: &str) -> Child {
    // rtmpsink hands its location to librtmp, which wants to be told that the stream is live.
    let location = if sink == "rtmpsink" { format!("location={url} live=1") } else { format!("location={url}") };
    let mut command = quiet("gst-launch-1.0");
    command
        .args("-q videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=25/1".split(' '));
    command.args("! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse ! mux.".split(' '));
    command
        .args("audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.".split(' '));
    command.args("flvmux name=mux streamable=true !".split(' ')).arg(sink).arg(location);
    command.spawn().expect("gst-launch-1.0 is installed")
}

fn run(test: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(test);
}

fn assert_plausible(video: &VideoConfig, audio: &AudioConfig, units: &[AccessUnit]) {
    assert_eq!((video.width, video.height, video.pixel_aspect), (640, 360, (1, 1)));
    assert_eq!(video.frame_rate.map(|rate| rate.as_f64()), Some(25.0));
    assert_eq!((audio.sample_rate, audio.channels), (44100, 2));
    let first = units.iter().find(|unit| unit.track == Track::Video).unwrap();
    assert!(first.keyframe, "the first picture is a keyframe");
    let pictures: Vec<_> = units.iter().filter(|unit| unit.track == Track::Video).map(|unit| unit.dts).collect();
    assert!(pictures.windows(2).all(|pair| pair[1].since(pair[0]) > 0), "{pictures:?}");
}

#[test]
fn ffmpeg_publishes_and_says_good_bye() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let start = Instant::now();
        let mut encoder = ffmpeg(&door.url("7b?right"), 3, H264_AAC);
        let mut session = door.next().await;
        assert_eq!(session.slot, Slot::Backup);
        assert!(session.agent.as_deref().is_some_and(|agent| agent.contains("FMLE")), "{:?}", session.agent);
        let (video, audio, units) = media(&mut session.reader, 100).await;
        assert_plausible(&video, &audio, &units);
        let mut reports = 0;
        let reason = loop {
            match timeout(PATIENCE, session.facts.recv()).await.unwrap().unwrap() {
                IngestFact::Closed { reason } => break reason,
                IngestFact::Media { .. } => reports += 1,
                IngestFact::Source { .. } => {}
            }
        };
        assert_eq!(reason, CloseReason::Unpublished);
        let most = 4.0 * start.elapsed().as_secs_f64() + 1.0;
        assert!(reports >= 4 && f64::from(reports) <= most, "4 a second at most, and some: {reports}");
        assert!(timeout(PATIENCE, encoder.wait()).await.unwrap().unwrap().success());
    });
}

#[test]
fn ffmpeg_publishes_with_the_token_behind_the_application() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let _encoder = ffmpeg(&format!("rtmp://{}/in?right/7", door.address), 3, H264_AAC);
        assert_eq!(door.next().await.slot, Slot::Primary);
    });
}

#[test]
fn gstreamer_and_librtmp_publish() {
    run(async {
        for sink in ["rtmp2sink", "rtmpsink"] {
            let mut door = Door::open(RtmpLimits::default()).await;
            let mut encoder = gstreamer(sink, &door.url("7?right"));
            let mut session = door.next().await;
            let (video, audio, units) = media(&mut session.reader, 100).await;
            assert_plausible(&video, &audio, &units);
            encoder.kill().await.unwrap();
            let reason = closed(&mut session.facts).await;
            assert!(matches!(reason, CloseReason::Lost(_)), "{sink}: {reason}");
        }
    });
}

#[test]
fn a_wrong_token_makes_every_encoder_fail_at_once() {
    run(async {
        let door = Door::open(RtmpLimits::default()).await;
        for name in ["7?wrong", "8?right", "7"] {
            let url = door.url(name);
            let encoders = [
                ("ffmpeg", ffmpeg(&url, 60, H264_AAC)),
                ("rtmp2sink", gstreamer("rtmp2sink", &url)),
                ("rtmpsink", gstreamer("rtmpsink", &url)),
            ];
            for (client, encoder) in encoders {
                let end = timeout(Duration::from_secs(10), encoder.wait_with_output()).await;
                let end = end.unwrap_or_else(|_| panic!("{client} hangs on {name}")).unwrap();
                assert!(!end.status.success(), "{client} takes {name} for accepted");
                let words = String::from_utf8_lossy(&end.stderr);
                assert!(client != "ffmpeg" || words.contains("unknown stream or wrong token"), "{words}");
                assert!(client != "rtmp2sink" || words.contains("publish denied"), "{words}");
            }
        }
    });
}

#[test]
fn another_codec_is_refused_by_its_name() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let encoder = ffmpeg(&door.url("7?right"), 60, "-c:v flv -c:a aac");
        let mut session = door.next().await;
        let reason = closed(&mut session.facts).await.to_string();
        assert!(reason.starts_with("Sorenson H.263 video is not supported"), "{reason}");
        let end = timeout(PATIENCE, encoder.wait_with_output()).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&end.stderr);
        assert!(!end.status.success() && words.contains("Sorenson H.263"), "{words}");
    });
}

#[test]
fn an_order_to_stop_reaches_the_encoder_with_its_reason() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let encoder = ffmpeg(&door.url("7?right"), 60, H264_AAC);
        let mut session = door.next().await;
        media(&mut session.reader, 20).await;
        session.stop.send_replace(Some(CloseReason::TokenReset));
        assert_eq!(closed(&mut session.facts).await, CloseReason::TokenReset);
        assert!(timeout(PATIENCE, session.reader.next()).await.is_ok(), "the feed ends");
        let end = timeout(PATIENCE, encoder.wait_with_output()).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&end.stderr);
        assert!(!end.status.success() && words.contains("push token was reset"), "{words}");
    });
}

#[test]
fn a_publisher_without_video_is_told_what_is_missing() {
    run(async {
        let limits = impatient(Patience { first_video: Duration::from_millis(300), ..Patience::default() });
        let mut door = Door::open(limits).await;
        for (more, expected) in [
            (rtmp_wire::audio_configuration(), "no video within 0.3 s"),
            (rtmp_wire::mark(), "no H.264 configuration"),
            (rtmp_wire::video_configuration(), "no decodable video frame"),
        ] {
            let wire = [rtmp_wire::opening("7?right"), more].concat();
            let address = door.address;
            let talk = tokio::task::spawn_blocking(move || rtmp_wire::exchange(address, &wire, PATIENCE).unwrap());
            let reason = closed(&mut door.next().await.facts).await.to_string();
            assert!(reason.starts_with(expected), "{reason}");
            let (said, closed) = talk.await.unwrap();
            assert!(closed && String::from_utf8_lossy(&said).contains(expected));
        }
    });
}

#[test]
fn strangers_have_deadlines_and_places() {
    run(async {
        let limits = RtmpLimits {
            handshake: Duration::from_millis(300),
            publish: Duration::from_millis(600),
            preauth_per_address: 2,
            ..RtmpLimits::default()
        };
        let door = Door::open(limits).await;
        let address = door.address;
        let lasting = |wire: Vec<u8>| {
            tokio::task::spawn_blocking(move || {
                let start = Instant::now();
                let (_, closed) = rtmp_wire::exchange(address, &wire, PATIENCE).unwrap();
                assert!(closed);
                start.elapsed()
            })
        };
        let slow_handshake = lasting(vec![3]).await.unwrap();
        assert!(slow_handshake >= limits.handshake && slow_handshake < PATIENCE);
        let no_publish = lasting(rtmp_wire::handshake()).await.unwrap();
        assert!(no_publish >= limits.publish, "{no_publish:?}");

        let long = RtmpLimits { handshake: PATIENCE * 2, publish: PATIENCE * 2, preauth_per_address: 2, ..limits };
        let door = Door::open(long).await;
        let mut silent: Vec<_> = (0..3).map(|_| TcpStream::connect(door.address).unwrap()).collect();
        let mut oldest = silent.remove(0);
        oldest.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(std::io::Read::read(&mut oldest, &mut [0]).unwrap(), 0, "the oldest is shed");
        assert!(silent.iter_mut().all(|socket| socket.write_all(&[3]).is_ok()));
    });
}

#[test]
fn no_known_fatal_input_disturbs_a_publisher() {
    run(async {
        let patience = Patience { idle: Duration::from_secs(2), ..Patience::default() };
        let limits = RtmpLimits { handshake: Duration::from_secs(2), ..impatient(patience) };
        let mut door = Door::open(limits).await;
        let address = door.address;
        let mut witness = ffmpeg(&door.url("7?right"), 60, H264_AAC);
        let mut session = door.next().await;
        media(&mut session.reader, 20).await;
        // As its actor would; a full channel ends a session.
        let facts = tokio::spawn(async move { closed(&mut session.facts).await });
        let attacks: Vec<_> = rtmp_wire::fatal_defects("7?right")
            .into_iter()
            .map(|defect| {
                tokio::task::spawn_blocking(move || {
                    let (_, closed) = rtmp_wire::exchange(address, &defect.bytes, PATIENCE).unwrap();
                    (defect.name, defect.outcome, closed)
                })
            })
            .collect();
        let mut survivors = 0;
        for attack in attacks {
            let (name, outcome, closed) = attack.await.unwrap();
            assert!(closed, "{name}: at the latest for silence");
            survivors += usize::from(outcome == Outcome::GoesOn);
        }
        let mut marked = 0;
        while let Ok(mut attacker) = door.admitted.try_recv() {
            while let Some(item) = timeout(PATIENCE, attacker.reader.next()).await.unwrap() {
                let time = i64::from(rtmp_wire::MARK);
                marked += usize::from(matches!(item, FeedItem::Unit(unit) if unit.dts.as_nanos() == time * 1_000_000));
            }
        }
        assert_eq!(marked, survivors, "each survivor's mark arrived");
        assert!(witness.try_wait().unwrap().is_none() && !facts.is_finished(), "the witness still publishes");
        let before = Instant::now();
        while before.elapsed() < Duration::from_secs(1) {
            let item = timeout(PATIENCE, session.reader.next()).await.unwrap();
            assert!(item.is_some(), "and is still heard");
        }
    });
}
