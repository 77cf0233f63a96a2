//! A door on a free port with a Root that grants or refuses by the token alone, and the encoders that knock.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use actix::{Actor, Context, Handler, Recipient, System};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use weir_actors::ingest::rtmp::{RtmpDoor, RtmpLimits, serve};
use weir_actors::ingest::{CloseReason, FACTS_CAPACITY, Grant, IngestFact, Publish};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::feed::{Feed, FeedItem, FeedReader, Limits};
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_policy::admission::Refusal;

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the fake Root keeps of a session that it let in.
pub struct Admitted {
    pub slot: Slot,
    pub protocol: Protocol,
    pub agent: Option<String>,
    pub reader: FeedReader,
    pub facts: mpsc::Receiver<IngestFact>,
    pub stop: watch::Sender<Option<CloseReason>>,
}

/// Grants stream 7 with the token `right`; `flood` has been tried too often.
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
        if publish.token.expose() == "flood" {
            return Err(Refusal::Unanswered { known: true });
        }
        if publish.stream != Some(StreamId(7)) || publish.token.expose() != "right" {
            return Err(Refusal::NotAuthorized { known: publish.stream == Some(StreamId(7)) });
        }
        self.sessions += 1;
        let (feed, writer) = Feed::new(Limits::default());
        let (facts, received_facts) = mpsc::channel(FACTS_CAPACITY);
        let (stop, stop_order) = watch::channel(None);
        let admitted = Admitted {
            slot: publish.slot,
            protocol: publish.protocol,
            agent: publish.agent,
            reader: feed.reader(),
            facts: received_facts,
            stop,
        };
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
pub struct Door {
    pub address: SocketAddr,
    pub admitted: mpsc::UnboundedReceiver<Admitted>,
    scheme: &'static str,
    _shutdown: watch::Sender<bool>,
}

impl Door {
    pub async fn open(limits: RtmpLimits) -> Self {
        Self::with(RtmpDoor::new(limits)).await
    }

    pub async fn with(door: RtmpDoor) -> Self {
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
        let scheme = if door.tls.is_some() { "rtmps" } else { "rtmp" };
        tokio::spawn(serve(listener, door, root, order));
        Self { address, admitted, scheme, _shutdown: shutdown }
    }

    pub async fn next(&mut self) -> Admitted {
        timeout(PATIENCE, self.admitted.recv()).await.expect("an admission in time").unwrap()
    }

    pub fn url(&self, name: &str) -> String {
        format!("{}://{}/in/{name}", self.scheme, self.address)
    }
}

/// Configurations and the first `count` units.
pub async fn media(reader: &mut FeedReader, count: usize) -> (VideoConfig, AudioConfig, Vec<AccessUnit>) {
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

pub async fn closed(facts: &mut mpsc::Receiver<IngestFact>) -> CloseReason {
    loop {
        match timeout(PATIENCE, facts.recv()).await.expect("an end in time").expect("a last fact") {
            IngestFact::Closed { reason } => return reason,
            IngestFact::Source { .. }
            | IngestFact::Media { .. }
            | IngestFact::Transport(_)
            | IngestFact::Examined(_) => {}
        }
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Publishes for at most `seconds`.
pub fn ffmpeg(url: &str, seconds: u32, codecs: &str) -> Child {
    let mut command = quiet("ffmpeg");
    command.args("-v error -re -f lavfi -i testsrc2=s=640x360:r=25 -re -f lavfi -i sine=r=44100".split(' '));
    command.args(["-t", &seconds.to_string()]).args(codecs.split(' ')).args(["-f", "flv", url]);
    command.spawn().expect("ffmpeg is installed")
}

pub const H264_AAC: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -c:a aac -ac 2";

/// Publishes with GStreamer until killed or refused. `sink` is `rtmp2sink`, or `rtmpsink` with librtmp.
pub fn gstreamer(sink: &str, url: &str) -> Child {
    // rtmpsink hands its location to librtmp, which wants to be told that the stream is live, and takes any certificate.
    let location = if sink == "rtmpsink" { format!("location={url} live=1") } else { format!("location={url}") };
    let trust = if sink == "rtmp2sink" { &["tls-validation-flags=0"][..] } else { &[] };
    let mut command = quiet("gst-launch-1.0");
    command
        .args("-q videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=25/1".split(' '));
    command.args("! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse ! mux.".split(' '));
    command
        .args("audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.".split(' '));
    command.args("flvmux name=mux streamable=true !".split(' ')).arg(sink).arg(location).args(trust);
    command.spawn().expect("gst-launch-1.0 is installed")
}

pub fn run(test: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(test);
}

pub fn assert_plausible(video: &VideoConfig, audio: &AudioConfig, units: &[AccessUnit]) {
    assert_eq!((video.width, video.height, video.pixel_aspect), (640, 360, (1, 1)));
    assert_eq!(video.frame_rate.map(|rate| rate.as_f64()), Some(25.0));
    assert_eq!((audio.sample_rate, audio.channels), (44100, 2));
    let first = units.iter().find(|unit| unit.track == Track::Video).unwrap();
    assert!(first.keyframe, "the first picture is a keyframe");
    let pictures: Vec<_> = units.iter().filter(|unit| unit.track == Track::Video).map(|unit| unit.dts).collect();
    assert!(pictures.windows(2).all(|pair| pair[1].since(pair[0]) > 0), "{pictures:?}");
}
