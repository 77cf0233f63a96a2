//! A session without WebRTC, in virtual time.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::{Feed, FeedItem, FeedReader, Limits};
use weir_media::rtp::Packet;

use super::peer::{Events, Peer, PeerEvent};
use super::*;
use crate::ingest::intake::Farewell;
use crate::ingest::{FACTS_CAPACITY, IngestFact};

const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xc1,
    0x8c, 0xb0,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
const IDR: &[u8] = &[0x65, 0x88, 0x80];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];

/// A connection that does nothing but say what it is told.
struct Fake {
    asked: mpsc::UnboundedSender<Duration>,
    again: mpsc::UnboundedSender<(Duration, Vec<u16>)>,
    closed: Arc<AtomicBool>,
    start: tokio::time::Instant,
}

#[async_trait::async_trait]
impl Peer for Fake {
    async fn ask_for_keyframe(&self) {
        self.asked.send(self.start.elapsed()).unwrap();
    }

    async fn ask_again(&self, sequences: &[u16]) {
        self.again.send((self.start.elapsed(), sequences.to_vec())).unwrap();
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// A running session and all its ends.
struct Rig {
    events: Events,
    asked: mpsc::UnboundedReceiver<Duration>,
    again: mpsc::UnboundedReceiver<(Duration, Vec<u16>)>,
    closed: Arc<AtomicBool>,
    reader: FeedReader,
    _facts: mpsc::Receiver<IngestFact>,
    stop: watch::Sender<Option<CloseReason>>,
    leave: watch::Sender<bool>,
    task: JoinHandle<Farewell>,
    sequence: u16,
}

impl Rig {
    fn new() -> Self {
        let (feed, writer) = Feed::new(Limits::default());
        let (facts, received) = mpsc::channel(FACTS_CAPACITY);
        let (stop, ordered) = watch::channel(None);
        let grant = Grant {
            session: SessionId(1),
            stream: StreamId(7),
            slot: Slot::Primary,
            feed: writer,
            facts,
            stop: ordered,
        };
        let (ask, asked) = mpsc::unbounded_channel();
        let (again_sender, again) = mpsc::unbounded_channel();
        let closed = Arc::new(AtomicBool::new(false));
        let peer =
            Fake { asked: ask, again: again_sender, closed: Arc::clone(&closed), start: tokio::time::Instant::now() };
        let (events, incoming) = peer::channel();
        let intake = Intake::new(grant, Patience { first_video: CONNECT, idle: IDLE }, clock::now());
        let (leave, left) = watch::channel(false);
        let task = tokio::spawn(Session::new(Box::new(peer), incoming, FIRST_VIDEO).run(intake, left));
        Self { events, asked, again, closed, reader: feed.reader(), _facts: received, stop, leave, task, sequence: 0 }
    }

    async fn tell(&self, event: PeerEvent) {
        self.events.send(event).await.unwrap();
        // The session has dealt with it once it waits again.
        sleep(Duration::from_millis(1)).await;
    }

    async fn video(&mut self, units: &[&[u8]]) {
        let mut payload = vec![24];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend_from_slice(unit);
        }
        self.sequence += 1;
        let timestamp = u32::from(self.sequence) * 3000;
        let packet = Packet { sequence: self.sequence, timestamp, marker: true, payload: payload.into() };
        self.tell(PeerEvent::Packet(Track::Video, packet, clock::now())).await;
    }

    async fn audio(&self, sequence: u16) {
        let payload = Bytes::from_static(&[0xfc, 1, 2]);
        let packet = Packet { sequence, timestamp: u32::from(sequence) * 960, marker: false, payload };
        self.tell(PeerEvent::Packet(Track::Audio, packet, clock::now())).await;
    }

    /// When keyframes were asked for since the last call, in whole milliseconds.
    fn asked(&mut self) -> Vec<u128> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).map(|at| at.as_millis()).collect()
    }

    /// Which packets were asked for since the last call, and when, in whole milliseconds.
    fn again(&mut self) -> Vec<(u128, Vec<u16>)> {
        std::iter::from_fn(|| self.again.try_recv().ok()).map(|(at, what)| (at.as_millis(), what)).collect()
    }

    async fn end(self) -> CloseReason {
        let farewell = self.task.await.unwrap();
        assert!(self.closed.load(Ordering::Relaxed), "the connection is left open");
        farewell.reason().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_never_connects_is_closed_after_ten_seconds() {
    let rig = Rig::new();
    let start = tokio::time::Instant::now();
    let reason = rig.end().await;
    assert_eq!(reason, CloseReason::Unacceptable("no connection within 10 s of publishing".into()));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_picture_is_closed_after_three_seconds() {
    let rig = Rig::new();
    advance(Duration::from_secs(2)).await;
    rig.tell(PeerEvent::Connected).await;
    rig.audio(1).await;
    let start = tokio::time::Instant::now();
    assert_eq!(rig.end().await, CloseReason::Unacceptable("no video within 3 s of connecting".into()));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn keyframes_are_asked_for_at_the_start_once_a_second_and_then_every_two_seconds() {
    let mut rig = Rig::new();
    assert_eq!(rig.asked(), Vec::<u128>::new(), "nobody to ask yet");
    rig.tell(PeerEvent::Connected).await;
    rig.video(&[SLICE]).await;
    assert_eq!(rig.asked(), [0]);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(rig.asked(), [1000]);
    rig.video(&[SPS, PPS, IDR]).await;
    let keyframe = rig.asked.is_empty();
    assert!(keyframe);
    sleep(Duration::from_millis(2500)).await;
    let again = rig.asked();
    assert_eq!(again.len(), 1, "{again:?}");
    assert!((3500..3510).contains(&again[0]), "two seconds after the last one came: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_packet_leads_to_a_request_once_it_is_given_up() {
    let mut rig = Rig::new();
    rig.tell(PeerEvent::Connected).await;
    rig.video(&[SPS, PPS, IDR]).await;
    sleep(Duration::from_millis(1200)).await;
    rig.asked();
    rig.sequence += 1;
    rig.video(&[SLICE]).await;
    assert_eq!(rig.asked(), Vec::<u128>::new(), "it may still come");
    sleep(Duration::from_millis(600)).await;
    rig.video(&[SLICE]).await;
    assert_eq!(rig.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_packet_is_asked_for_at_once_and_again_until_it_comes() {
    let mut rig = Rig::new();
    rig.tell(PeerEvent::Connected).await;
    rig.video(&[SPS, PPS, IDR]).await;
    rig.sequence += 1;
    rig.video(&[SLICE]).await;
    let asked = rig.again();
    assert_eq!(asked, [(2, vec![2])]);
    sleep(Duration::from_millis(120)).await;
    assert_eq!(rig.again(), [(115, vec![2])], "the answer is overdue");
    rig.sequence = 1;
    rig.video(&[SLICE]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.again(), []);
    let items = [rig.reader.next().await, rig.reader.next().await, rig.reader.next().await, rig.reader.next().await];
    assert!(items.iter().all(Option::is_some), "both pictures behind the keyframe: {items:?}");
}

#[tokio::test(start_paused = true)]
async fn sound_waits_for_the_first_picture() {
    let mut rig = Rig::new();
    rig.tell(PeerEvent::Connected).await;
    rig.audio(1).await;
    rig.video(&[SPS, PPS, IDR]).await;
    rig.audio(2).await;
    let mut items = vec![];
    for _ in 0..4 {
        items.push(match rig.reader.next().await.unwrap() {
            FeedItem::Config(TrackConfig::Video(config)) => format!("{}x{}", config.width, config.height),
            FeedItem::Config(TrackConfig::Audio(config)) => format!("{:?} {}", config.codec, config.sample_rate),
            FeedItem::Unit(unit) => format!("{:?} {}", unit.track, unit.data.len()),
        });
    }
    assert_eq!(items, ["1280x720", "Video 45", "Opus 48000", "Audio 3"]);
}

#[tokio::test(start_paused = true)]
async fn every_end_closes_the_connection_and_says_why() {
    let rig = Rig::new();
    rig.leave.send_replace(true);
    assert_eq!(rig.end().await, CloseReason::Unpublished);
    let rig = Rig::new();
    rig.stop.send_replace(Some(CloseReason::TokenReset));
    assert_eq!(rig.end().await, CloseReason::TokenReset);
    let rig = Rig::new();
    rig.tell(PeerEvent::Lost("connection failed")).await;
    assert_eq!(rig.end().await, CloseReason::Lost("connection failed".into()));
    let Rig { events, task, .. } = Rig::new();
    drop(events);
    assert!(task.await.is_ok());
}
