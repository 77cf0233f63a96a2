//! One admitted WHIP publisher: packets to access units in the feed, keyframes asked for, until somebody ends it.
//!
//! Sound waits for the first picture, so that a slow camera does not look like a publisher without one.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{TrackConfig, opus};
use weir_media::feed::FeedItem;
use weir_media::rtp::Packet;
use weir_media::rtp::clock::Timeline;
use weir_media::rtp::order::{Next, Order};
use weir_media::rtp::video::VideoReader;

use super::peer::{Peer, PeerEvent};
use crate::clock;
use crate::ingest::CloseReason;
use crate::ingest::intake::{Farewell, Intake, REPORT_EVERY};
use crate::ingest::transport::TransportStats;

/// Ticks per second of H.264 (RFC 6184) and of Opus (RFC 7587) in RTP.
const VIDEO_RATE: u32 = 90_000;
const AUDIO_RATE: u32 = opus::SAMPLE_RATE;
/// Packets of sound that overtake each other are put in order, what is lost is not sent again.
const AUDIO_PATIENCE: Duration = Duration::from_millis(60);
/// Between two requests for a keyframe, at least.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Between two keyframes, at most. Browsers make none unless asked, but a worker that is replaced and an input that takes over begin at one.
const KEYFRAME_EVERY: Duration = Duration::from_secs(2);
/// The channels that every Opus decoder makes of whatever comes (RFC 7587, 7.1).
const CHANNELS: u8 = 2;

/// A connection and what has come over it.
pub(super) struct Session {
    peer: Box<dyn Peer>,
    events: mpsc::Receiver<PeerEvent>,
    first_video: Duration,
    connected: Option<Instant>,
    video: VideoReader,
    audio: Order,
    timeline: Timeline,
    /// When the last keyframe came, which is also when the first picture has.
    keyframe: Option<Instant>,
    /// When one was asked for.
    asked: Option<Instant>,
    /// The configuration of the sound has been told.
    sounding: bool,
    plis: u64,
    /// When the connection's state was told.
    reported: Option<Instant>,
}

impl Session {
    /// `first_video`: from the connection to the first picture.
    pub fn new(peer: Box<dyn Peer>, events: mpsc::Receiver<PeerEvent>, first_video: Duration) -> Self {
        Self {
            peer,
            events,
            first_video,
            connected: None,
            video: VideoReader::default(),
            audio: Order::new(AUDIO_PATIENCE),
            timeline: Timeline::new(VIDEO_RATE, AUDIO_RATE),
            keyframe: None,
            asked: None,
            sounding: false,
            plis: 0,
            reported: None,
        }
    }

    /// Runs to the end, and tells the client. `left` turns true when the client wants it to end.
    pub async fn run(mut self, mut intake: Intake, mut left: watch::Receiver<bool>) -> Farewell {
        let reason = self.receive(&mut intake, &mut left).await;
        self.end(intake, reason).await
    }

    /// Ends at once.
    pub async fn end(self, intake: Intake, reason: CloseReason) -> Farewell {
        let stats = self.video.stats();
        tracing::debug!(session = %intake.session(), packets = stats.packets.received, lost = stats.packets.lost,
            recovered = stats.packets.recovered, late = stats.packets.late, damaged = stats.damaged, skipped = stats.skipped, plis = self.plis, "WHIP video");
        let farewell = intake.end(reason, clock::now());
        self.peer.close().await;
        farewell
    }

    async fn receive(&mut self, intake: &mut Intake, left: &mut watch::Receiver<bool>) -> CloseReason {
        loop {
            let now = clock::now();
            if let Err(reason) = self.look_at_clock(intake, now) {
                return reason;
            }
            let missing = self.video.requests(now);
            if !missing.is_empty() {
                self.peer.ask_again(&missing).await;
            }
            if self.wants_keyframe(now) {
                self.asked = Some(now);
                self.plis += 1;
                self.peer.ask_for_keyframe().await;
            }
            let due = self.due(now).map_or(intake.due(), |due| due.min(intake.due()));
            tokio::select! {
                reason = intake.ordered_to_end() => return reason,
                // Without its sender nobody could want anything any more.
                _ = left.wait_for(|left| *left) => return CloseReason::Unpublished,
                event = self.events.recv() => match event {
                    Some(event) => if let Err(reason) = self.event(event, intake) { return reason },
                    None => return CloseReason::Lost("connection is gone".to_owned()),
                },
                () = sleep_until(due.into()) => {}
            }
        }
    }

    fn look_at_clock(&mut self, intake: &mut Intake, now: Instant) -> Result<(), CloseReason> {
        let (packets, sound) = (self.video.stats().packets, self.audio.stats());
        let told = self.reported.is_some_and(|reported| now < reported + REPORT_EVERY);
        if self.connected.is_some() && !told {
            self.reported = Some(now);
            intake.transport(TransportStats {
                packets_received: Some(packets.received + sound.received),
                packets_lost: Some(packets.lost + sound.lost),
                packets_retransmitted: Some(packets.recovered + sound.recovered),
                packets_dropped: Some(packets.late + sound.late),
                keyframe_requests: Some(self.plis),
                ..TransportStats::default()
            })?;
        }
        let missing = match (self.connected, packets.received) {
            (None, _) => "no connection",
            (Some(_), 0) => "no video",
            (Some(_), _) => "no decodable video frame",
        };
        intake.look_at_clock(now, missing)?;
        match self.first_picture_due() {
            Some(due) if now >= due => {
                let seconds = self.first_video.as_secs_f64();
                Err(CloseReason::Unacceptable(format!("{missing} within {seconds} s of connecting")))
            }
            _ => Ok(()),
        }
    }

    fn first_picture_due(&self) -> Option<Instant> {
        self.connected.filter(|_| self.keyframe.is_none()).map(|connected| connected + self.first_video)
    }

    /// When something of its own is due.
    fn due(&self, now: Instant) -> Option<Instant> {
        let again = self.asked.map_or(now, |asked| asked + ASK_EVERY);
        let keyframe = self.keyframe.map(|last| again.max(last + KEYFRAME_EVERY));
        let ask = self.connected.and(if self.video.waits_for_keyframe() { Some(again) } else { keyframe });
        [ask, self.first_picture_due(), self.video.requests_due()].into_iter().flatten().min()
    }

    fn wants_keyframe(&self, now: Instant) -> bool {
        self.connected.is_some()
            && self.asked.is_none_or(|asked| now >= asked + ASK_EVERY)
            && (self.video.waits_for_keyframe() || self.keyframe.is_some_and(|last| now >= last + KEYFRAME_EVERY))
    }

    fn event(&mut self, event: PeerEvent, intake: &mut Intake) -> Result<(), CloseReason> {
        match event {
            PeerEvent::Packet(track, packet, came) => {
                intake.heard(came);
                intake.count(packet.payload.len());
                match track {
                    Track::Video => self.picture(packet, came, intake),
                    Track::Audio => self.sound(packet, came, intake),
                }
            }
            PeerEvent::Report(track, ntp, timestamp) => {
                self.timeline.report(track, ntp, timestamp);
                Ok(())
            }
            PeerEvent::Connected => {
                self.connected.get_or_insert_with(clock::now);
                Ok(())
            }
            PeerEvent::Lost(what) => Err(CloseReason::Lost(what.to_owned())),
        }
    }

    fn picture(&mut self, packet: Packet, came: Instant, intake: &mut Intake) -> Result<(), CloseReason> {
        self.video.push(packet, came);
        loop {
            let read = self.video.poll(came).map_err(|error| CloseReason::Unacceptable(error.to_string()))?;
            let Some((timestamp, picture)) = read else { return Ok(()) };
            if picture.keyframe {
                self.keyframe = Some(came);
            }
            if let Some(config) = picture.config {
                intake.deliver(FeedItem::Config(TrackConfig::Video(config)), came)?;
            }
            let time = self.timeline.place(Track::Video, timestamp, came);
            let (keyframe, data) = (picture.keyframe, picture.data);
            // Browsers and their like send no B frames: shown in the order of decoding.
            let unit = AccessUnit { track: Track::Video, pts: time, dts: time, keyframe, data };
            intake.deliver(FeedItem::Unit(unit), came)?;
        }
    }

    fn sound(&mut self, packet: Packet, came: Instant, intake: &mut Intake) -> Result<(), CloseReason> {
        self.audio.push(packet, came);
        while let Some(next) = self.audio.pop(came) {
            let Next::Packet(packet) = next else { continue };
            if packet.payload.is_empty() {
                continue;
            }
            let time = self.timeline.place(Track::Audio, packet.timestamp, came);
            if self.keyframe.is_none() {
                continue;
            }
            if !self.sounding {
                let config = opus::head(CHANNELS, 0).map_err(|error| CloseReason::Unacceptable(error.to_string()))?;
                intake.deliver(FeedItem::Config(TrackConfig::Audio(config)), came)?;
                self.sounding = true;
            }
            let data = packet.payload;
            let unit = AccessUnit { track: Track::Audio, pts: time, dts: time, keyframe: true, data };
            intake.deliver(FeedItem::Unit(unit), came)?;
        }
        Ok(())
    }
}
