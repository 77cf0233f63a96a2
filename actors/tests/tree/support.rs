//! A tree under test: what a test does to it and what it can see.

#[path = "fake.rs"]
pub mod fake;
#[path = "sources.rs"]
pub mod sources;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::Addr;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_actors::admission_board::AdmissionBoard;
use weir_actors::control::{GetStream, GetTree, StreamSpec};
use weir_actors::event::{EventKind, EventSink, StreamEvent};
use weir_actors::health::{HealthSample, HealthSink};
use weir_actors::ingest::{CloseReason, Grant, IngestFact, Publish};
use weir_actors::probe::Probe;
use weir_actors::status::{StatusBoard, StreamDetail, TreeNode};
use weir_actors::token::{DigestKey, Token, TokenDigest};
use weir_actors::{Door, Outside, Puller, Root, RootEnd, TreeConfig, clock};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::failover::FailoverSpec;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_media::ladder::Ladder;
use weir_media::time::Timestamp;
use weir_policy::admission::Refusal;

pub use self::fake::FakeFactory;
pub use self::sources::{Sources, pulled};

pub const STREAM: StreamId = StreamId(42);
pub const TOKEN: &str = "right";

/// Events with their time; can be poisoned to panic in the StreamSupervisor that records one.
#[derive(Clone, Default)]
pub struct Events {
    seen: Arc<Mutex<Vec<(Instant, StreamEvent)>>>,
    pub poisoned_for: Arc<Mutex<Option<StreamId>>>,
    /// Every supervisor of this stream panics when it admits a publisher.
    pub cursed: Arc<Mutex<Option<StreamId>>>,
}

impl EventSink for Events {
    fn record(&self, event: StreamEvent) {
        let poisoned = self.poisoned_for.lock().unwrap().take_if(|stream| *stream == event.stream).is_some();
        let cursed =
            *self.cursed.lock().unwrap() == Some(event.stream) && matches!(event.kind, EventKind::SessionOpened { .. });
        assert!(!poisoned && !cursed, "poisoned event");
        self.seen.lock().unwrap().push((clock::now(), event));
    }
}

impl Events {
    pub fn when(&self, kind: &EventKind) -> Option<Instant> {
        self.seen.lock().unwrap().iter().rev().find(|(_, event)| event.kind == *kind).map(|(at, _)| *at)
    }

    pub fn count(&self, kind: &EventKind) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, event)| event.kind == *kind).count()
    }

    pub fn reason_of(&self, wanted: SessionId) -> Option<String> {
        self.seen.lock().unwrap().iter().find_map(|(_, event)| match &event.kind {
            EventKind::SessionClosed { session, reason, .. } if *session == wanted => Some(reason.clone()),
            _ => None,
        })
    }
}

pub fn live(live: bool) -> EventKind {
    EventKind::LiveChanged { slot: Slot::Primary, live }
}

pub struct Tree {
    pub root: Addr<Root>,
    pub end: RootEnd,
    pub factory: FakeFactory,
    pub events: Events,
    pub board: StatusBoard,
    pub admission: AdmissionBoard,
    pub sources: Sources,
    pub samples: Samples,
}

/// What streams received.
#[derive(Clone, Default)]
pub struct Samples(pub Arc<Mutex<Vec<HealthSample>>>);

impl HealthSink for Samples {
    fn record(&self, sample: HealthSample) {
        self.0.lock().unwrap().push(sample);
    }
}

impl Tree {
    /// A tree with one stream, in virtual time.
    pub async fn new() -> Self {
        Self::with(TreeConfig::default(), vec![]).await
    }

    pub async fn with(config: TreeConfig, doors: Vec<Door>) -> Self {
        tokio::time::pause();
        let factory = FakeFactory::default();
        let (events, board) = (Events::default(), StatusBoard::default());
        let admission = AdmissionBoard::new(key());
        let sink = Arc::new(events.clone());
        let (makers, streams) = (Arc::new(factory.clone()), vec![spec(STREAM)]);
        let sources = Sources::default();
        let puller = Puller { fetch: Arc::new(sources.clone()), runtime: Handle::current() };
        let shared = (board.clone(), admission.clone());
        let samples = Samples::default();
        let outside =
            Outside { factory: makers, events: sink, puller: Some(puller), health: Some(Arc::new(samples.clone())) };
        let (root, end) = weir_actors::start(config, outside, shared.0, shared.1, streams, doors);
        Self { root, end, factory, events, board, admission, sources, samples }
    }

    pub async fn try_publish(&self, publish: Publish) -> Result<Grant, Refusal> {
        self.root.send(publish).await.unwrap()
    }

    /// An admitted publisher on the primary slot of `STREAM`, from its own address.
    pub async fn wire(&self, host: u8) -> Wire {
        self.wire_to(STREAM, host).await
    }

    pub async fn wire_to(&self, stream: StreamId, host: u8) -> Wire {
        let publish = Publish { stream: Some(stream), ..publish(host) };
        Wire::start(self.try_publish(publish).await.unwrap())
    }

    /// The same on the backup slot.
    pub async fn backup(&self, host: u8) -> Wire {
        Wire::start(self.try_publish(Publish { slot: Slot::Backup, ..publish(host) }).await.unwrap())
    }

    pub async fn tree(&self) -> TreeNode {
        self.root.send(GetTree(Probe::now())).await.unwrap()
    }

    pub async fn detail(&self) -> StreamDetail {
        self.detail_of(STREAM).await
    }

    pub async fn detail_of(&self, stream: StreamId) -> StreamDetail {
        self.root.send(GetStream(stream)).await.unwrap().unwrap()
    }

    /// The node at a path of actor names; the first of its kind on each level.
    pub async fn node(&self, path: &[&str]) -> Option<TreeNode> {
        let mut node = self.tree().await;
        for actor in path {
            node = node.children.into_iter().find(|child| child.actor == *actor)?;
        }
        Some(node)
    }
}

fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

/// What the tree knows of a stream's token.
pub fn digest(stream: StreamId, token: &str) -> TokenDigest {
    key().digest(stream, &Token::new(token))
}

pub fn spec(id: StreamId) -> StreamSpec {
    let (ladder, failover) = (Ladder::default(), FailoverSpec::default());
    StreamSpec {
        id,
        token: digest(id, TOKEN),
        srt_passphrase: None,
        active: true,
        pull: false,
        sources: Arc::default(),
        ladder,
        failover,
    }
}

pub fn publish(host: u8) -> Publish {
    Publish {
        stream: Some(STREAM),
        slot: Slot::Primary,
        token: Token::new(TOKEN),
        protocol: Protocol::Rtmp,
        peer: SocketAddr::new(IpAddr::from([10, 0, 0, host]), 5_000),
        agent: Some("test/1".into()),
    }
}

pub enum Cmd {
    /// One video unit now.
    Media,
    /// Units every 250 ms from now on.
    Flow,
    /// No more units.
    Silence,
    /// Good-bye.
    Unpublish,
    /// Gone without a word.
    Vanish,
    /// Facts faster than anybody reads them.
    Flood,
}

/// A scripted wire task.
pub struct Wire {
    pub session: SessionId,
    commands: mpsc::Sender<Cmd>,
    pub ended: JoinHandle<Option<CloseReason>>,
}

impl Wire {
    pub fn start(mut grant: Grant) -> Self {
        let (commands, mut script) = mpsc::channel(8);
        let session = grant.session;
        let ended = actix_rt::spawn(async move {
            let (mut flowing, mut units) = (false, 0);
            let mut tick = tokio::time::interval(Duration::from_millis(250));
            let mut media = |grant: &mut Grant| {
                units += 1;
                let time = Timestamp::from_nanos(units as i64 * 250_000_000);
                let data = vec![0; 100].into();
                grant.feed.push(AccessUnit { track: Track::Video, pts: time, dts: time, keyframe: true, data });
                let fact =
                    IngestFact::Media { at: clock::now(), bytes: units * 100, video_units: units, audio_units: 0 };
                grant.facts.try_send(fact).is_ok()
            };
            loop {
                tokio::select! {
                    biased;
                    _ = grant.stop.changed() => {
                        let reason = grant.stop.borrow().clone().unwrap_or(CloseReason::Restart);
                        let _ = grant.facts.try_send(IngestFact::Closed { reason: reason.clone() });
                        return Some(reason);
                    }
                    command = script.recv() => match command {
                        Some(Cmd::Media) => { media(&mut grant); }
                        Some(Cmd::Flow) => { flowing = true; tick.reset_immediately(); }
                        Some(Cmd::Silence) => flowing = false,
                        Some(Cmd::Unpublish) => {
                            let reason = CloseReason::Unpublished;
                            let _ = grant.facts.try_send(IngestFact::Closed { reason: reason.clone() });
                            return Some(reason);
                        }
                        Some(Cmd::Flood) => while media(&mut grant) {},
                        Some(Cmd::Vanish) | None => return None,
                    },
                    _ = tick.tick(), if flowing => { media(&mut grant); }
                }
            }
        });
        Self { session, commands, ended }
    }

    /// Gives a command and lets the tree handle it; takes no virtual time worth counting.
    pub async fn tell(&self, command: Cmd) -> Instant {
        self.commands.send(command).await.unwrap();
        settle().await;
        clock::now()
    }
}

/// xorshift64*: the same schedule on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// Lets everything that is due now happen.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    settle().await;
}

/// Milliseconds between two moments; timers round up to the next one.
pub fn ms(from: Instant, to: Option<Instant>) -> u128 {
    to.expect("it has happened").duration_since(from).as_millis()
}
