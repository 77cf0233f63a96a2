//! What every door does with an admitted publisher's media, whatever carried it.
//!
//! An [`Intake`] writes what a demuxer makes into the grant's feed, counts it, tells the tree about it, and knows until when it waits for
//! the first picture and for any sign of life. It is told the time and waits for nothing itself: a wire task asks when something is
//! [due](Intake::due), and then lets it [look at the clock](Intake::look_at_clock).

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use weir_media::access_unit::Track;
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::feed::{FeedItem, FeedWriter};
use weir_media::id::{SessionId, Slot, StreamId};
use weir_policy::doctor::{Doctor, Maker};

use super::{CloseReason, Grant, IngestFact, TransportStats};

/// Between two media facts, at least.
pub const REPORT_EVERY: Duration = Duration::from_millis(250);

/// How long an admitted publisher is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From admission to the first video access unit.
    pub first_video: Duration,
    /// Without a sign of life.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first_video: Duration::from_secs(3), idle: Duration::from_secs(15) }
    }
}

/// One admitted publisher's way into the stream.
pub struct Intake {
    session: SessionId,
    stream: StreamId,
    slot: Slot,
    feed: FeedWriter,
    facts: mpsc::Sender<IngestFact>,
    stop: watch::Receiver<Option<CloseReason>>,
    doctor: Doctor,
    patience: Patience,
    admitted: Instant,
    /// Until when the first video access unit is waited for.
    video_by: Instant,
    heard: Instant,
    last_video: Option<Instant>,
    reported: Option<Instant>,
    /// Video arrived since the last report.
    unreported: bool,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    bytes: u64,
    video_units: u64,
    audio_units: u64,
}

/// What is left of an intake whose feed has ended: the last word to the tree. Dropped without it, it counts as a crash.
pub struct Farewell {
    facts: mpsc::Sender<IngestFact>,
    reason: CloseReason,
}

impl Intake {
    /// A publisher that was admitted just now.
    pub fn new(grant: Grant, patience: Patience, now: Instant) -> Self {
        let Grant { session, stream, slot, feed, facts, stop } = grant;
        Self {
            session,
            stream,
            slot,
            feed,
            facts,
            stop,
            doctor: Doctor::new(Maker::Encoder),
            patience,
            admitted: now,
            video_by: now + patience.first_video,
            heard: now,
            last_video: None,
            reported: None,
            unreported: false,
            video: None,
            audio: None,
            bytes: 0,
            video_units: 0,
            audio_units: 0,
        }
    }

    /// The same of a browser, whose settings nobody can change.
    pub fn of_browser(mut self) -> Self {
        self.doctor = Doctor::new(Maker::Browser);
        self
    }

    /// The session's name.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The latest video configuration delivered.
    pub fn video_config(&self) -> Option<&VideoConfig> {
        self.video.as_ref()
    }

    /// Waits for the order to end. When nobody can give it any more, the tree above has fallen. Cancel safe.
    pub async fn ordered_to_end(&mut self) -> CloseReason {
        match self.stop.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Restart),
            Err(_) => CloseReason::Restart,
        }
    }

    /// Waits longer for the first picture, because video is there and its keyframe is to come.
    pub fn expect_video_by(&mut self, deadline: Instant) {
        self.video_by = self.video_by.max(deadline);
    }

    /// Takes note of a sign of life.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Counts bytes of media.
    pub fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Hands on what the publisher's media turned out to be. Never waits: what does not fit into the feed is dropped and counted there.
    pub fn deliver(&mut self, item: FeedItem, now: Instant) -> Result<(), CloseReason> {
        match item {
            FeedItem::Config(config) => {
                match &config {
                    TrackConfig::Video(video) => self.video = Some(video.clone()),
                    TrackConfig::Audio(audio) => self.audio = Some(audio.clone()),
                }
                self.doctor.config(&config);
                self.feed.config(config);
                self.report(IngestFact::Source { video: self.video.clone(), audio: self.audio.clone() })
            }
            FeedItem::Unit(unit) => {
                match unit.track {
                    Track::Video => {
                        self.video_units += 1;
                        self.last_video = Some(now);
                        self.unreported = true;
                    }
                    Track::Audio => self.audio_units += 1,
                }
                self.doctor.unit(&unit, now);
                self.feed.push(unit);
                self.examine(now);
                if self.reported.is_none() { self.report_media(now) } else { Ok(()) }
            }
        }
    }

    /// Tells how the connection is doing; at most four times a second.
    pub fn transport(&mut self, stats: TransportStats) -> Result<(), CloseReason> {
        if let Some(lost) = stats.lost_for_good() {
            self.doctor.lost(lost);
        }
        self.report(IngestFact::Transport(stats))
    }

    /// When something is due next.
    pub fn due(&self) -> Instant {
        let silence = self.heard + self.patience.idle;
        let report = self.reported.filter(|_| self.unreported).map(|last| last + REPORT_EVERY);
        let first_video = self.last_video.is_none().then_some(self.video_by);
        [report, first_video].into_iter().flatten().fold(silence, Instant::min)
    }

    /// Does what is due; an error ends the session. `missing` says in the door's words what came instead of a first picture,
    /// e.g. `no video`.
    pub fn look_at_clock(&mut self, now: Instant, missing: &str) -> Result<(), CloseReason> {
        if self.last_video.is_none() && now >= self.video_by {
            let seconds = (self.video_by - self.admitted).as_secs_f64();
            return Err(CloseReason::Unacceptable(format!("{missing} within {seconds} s of publishing")));
        }
        if now >= self.heard + self.patience.idle {
            return Err(CloseReason::Silent);
        }
        if self.unreported && self.reported.is_none_or(|last| now >= last + REPORT_EVERY) {
            return self.report_media(now);
        }
        Ok(())
    }

    /// Ends the feed, after a last report: when the last picture came is what the stream's stall counts from.
    pub fn end(mut self, reason: CloseReason, now: Instant) -> Farewell {
        if self.unreported {
            // If nobody listens, nothing is lost.
            let _ = self.report_media(now);
        }
        tracing::info!(session = %self.session, stream = %self.stream, slot = %self.slot, %reason, bytes = self.bytes,
            video_units = self.video_units, audio_units = self.audio_units, "publisher gone");
        Farewell { facts: self.facts, reason }
    }

    fn examine(&mut self, now: Instant) {
        if let Some(checkup) = self.doctor.check(now) {
            // The next one says all that this one would have.
            let _ = self.facts.try_send(IngestFact::Examined(Box::new(checkup)));
        }
    }

    fn report_media(&mut self, now: Instant) -> Result<(), CloseReason> {
        let Some(at) = self.last_video else { return Ok(()) };
        self.reported = Some(now);
        self.unreported = false;
        let Self { bytes, video_units, audio_units, .. } = *self;
        self.report(IngestFact::Media { at, bytes, video_units, audio_units })
    }

    fn report(&self, fact: IngestFact) -> Result<(), CloseReason> {
        // An actor that does not keep up with four facts a second, or is gone, is being replaced.
        self.facts.try_send(fact).map_err(|_| CloseReason::Restart)
    }
}

impl Farewell {
    /// Why it ended.
    pub fn reason(&self) -> &CloseReason {
        &self.reason
    }

    /// Tells the tree that the session is over, once the encoder knows.
    pub fn say(self) {
        let Self { facts, reason } = self;
        // If there is no room for it, the end of the channel says that something went wrong, and it did.
        let _ = facts.try_send(IngestFact::Closed { reason });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use weir_media::access_unit::AccessUnit;
    use weir_media::codec::AudioCodec;
    use weir_media::feed::{Feed, FeedReader, Limits};
    use weir_media::time::Timestamp;

    use super::*;
    use crate::ingest::FACTS_CAPACITY;

    struct Tree {
        reader: FeedReader,
        facts: mpsc::Receiver<IngestFact>,
        stop: watch::Sender<Option<CloseReason>>,
        start: Instant,
    }

    fn admitted() -> (Intake, Tree) {
        let (feed, writer) = Feed::new(Limits::default());
        let (facts, received) = mpsc::channel(FACTS_CAPACITY);
        let (stop, ordered) = watch::channel(None);
        let (session, stream, slot) = (SessionId(1), StreamId(7), Slot::Primary);
        let grant = Grant { session, stream, slot, feed: writer, facts, stop: ordered };
        let start = Instant::now();
        let tree = Tree { reader: feed.reader(), facts: received, stop, start };
        (Intake::new(grant, Patience::default(), start), tree)
    }

    impl Tree {
        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        /// Video units so far and the time of the last one, by each media fact since the last call.
        fn media(&mut self) -> Vec<(u64, Duration)> {
            let mut found = vec![];
            while let Ok(fact) = self.facts.try_recv() {
                if let IngestFact::Media { at, video_units, .. } = fact {
                    found.push((video_units, at - self.start));
                }
            }
            found
        }
    }

    fn unit(track: Track) -> FeedItem {
        let time = Timestamp::from_millis(0);
        FeedItem::Unit(AccessUnit { track, pts: time, dts: time, keyframe: true, data: Bytes::from_static(b"unit") })
    }

    #[test]
    fn the_first_picture_is_told_at_once_and_later_ones_four_times_a_second() {
        let (mut intake, mut tree) = admitted();
        for millis in (0..1000).step_by(40) {
            let now = tree.at(millis);
            intake.deliver(unit(Track::Video), now).unwrap();
            if now >= intake.due() {
                intake.look_at_clock(now, "no video").unwrap();
            }
        }
        let millis = Duration::from_millis;
        assert_eq!(tree.media(), [(1, millis(0)), (8, millis(280)), (15, millis(560)), (22, millis(840))]);
    }

    #[test]
    fn sound_alone_is_no_media() {
        let (mut intake, mut tree) = admitted();
        intake.deliver(unit(Track::Audio), tree.start).unwrap();
        intake.look_at_clock(tree.at(2999), "no video").unwrap();
        assert_eq!(tree.media(), []);
        let reason = intake.look_at_clock(tree.at(3000), "no video").unwrap_err();
        assert_eq!(reason, CloseReason::Unacceptable("no video within 3 s of publishing".to_owned()));
    }

    #[test]
    fn a_keyframe_that_is_to_come_is_waited_for() {
        let (mut intake, tree) = admitted();
        intake.expect_video_by(tree.at(10_000));
        intake.expect_video_by(tree.at(1000));
        assert_eq!(intake.due(), tree.at(10_000));
        intake.look_at_clock(tree.at(9999), "no keyframe").unwrap();
        let reason = intake.look_at_clock(tree.at(10_000), "no keyframe").unwrap_err();
        assert_eq!(reason, CloseReason::Unacceptable("no keyframe within 10 s of publishing".to_owned()));
    }

    #[test]
    fn the_next_thing_due_is_the_first_picture_then_a_report_then_silence() {
        let (mut intake, tree) = admitted();
        assert_eq!(intake.due(), tree.at(3000));
        intake.deliver(unit(Track::Video), tree.at(100)).unwrap();
        assert_eq!(intake.due(), tree.at(15_000));
        intake.deliver(unit(Track::Video), tree.at(140)).unwrap();
        assert_eq!(intake.due(), tree.at(350));
        intake.look_at_clock(tree.at(350), "no video").unwrap();
        intake.heard(tree.at(400));
        assert_eq!(intake.due(), tree.at(15_400));
    }

    #[test]
    fn silence_ends_it() {
        let (mut intake, tree) = admitted();
        intake.deliver(unit(Track::Video), tree.start).unwrap();
        intake.heard(tree.at(1000));
        intake.look_at_clock(tree.at(15_999), "no video").unwrap();
        assert_eq!(intake.look_at_clock(tree.at(16_000), "no video"), Err(CloseReason::Silent));
    }

    #[test]
    fn a_configuration_is_told_with_what_is_known_of_the_other_track() {
        let (mut intake, mut tree) = admitted();
        let audio = AudioConfig {
            codec: AudioCodec::Aac,
            decoder_config: Bytes::from_static(&[0x11, 0x90]),
            sample_rate: 48_000,
            channels: 2,
        };
        intake.deliver(FeedItem::Config(TrackConfig::Audio(audio.clone())), tree.start).unwrap();
        let Ok(IngestFact::Source { video: None, audio: Some(told) }) = tree.facts.try_recv() else {
            panic!("no source")
        };
        assert_eq!(told, audio);
        assert_eq!(tree.reader.next().now_or_never(), Some(Some(FeedItem::Config(TrackConfig::Audio(audio)))));
    }

    #[test]
    fn an_end_reports_the_last_picture_ends_the_feed_and_then_says_why() {
        let (mut intake, mut tree) = admitted();
        intake.count(10);
        intake.deliver(unit(Track::Video), tree.start).unwrap();
        intake.deliver(unit(Track::Video), tree.at(40)).unwrap();
        let farewell = intake.end(CloseReason::Unpublished, tree.at(50));
        assert_eq!(tree.media(), [(1, Duration::ZERO), (2, Duration::from_millis(40))]);
        for _ in 0..2 {
            assert!(matches!(tree.reader.next().now_or_never(), Some(Some(FeedItem::Unit(_)))));
        }
        assert_eq!(tree.reader.next().now_or_never(), Some(None));
        farewell.say();
        assert!(matches!(tree.facts.try_recv(), Ok(IngestFact::Closed { reason: CloseReason::Unpublished })));
    }

    #[test]
    fn an_actor_that_does_not_keep_up_ends_it() {
        let (mut intake, tree) = admitted();
        intake.deliver(unit(Track::Video), tree.start).unwrap();
        let ended = (1..=FACTS_CAPACITY as u64).find_map(|turn| {
            let now = tree.at(turn * 250);
            intake.heard(now);
            intake.deliver(unit(Track::Video), now).unwrap();
            intake.look_at_clock(now, "no video").err()
        });
        assert_eq!(ended, Some(CloseReason::Restart));
    }

    #[test]
    fn an_order_to_end_is_heard_and_so_is_the_fall_of_the_tree() {
        let (mut intake, tree) = admitted();
        assert_eq!(intake.ordered_to_end().now_or_never(), None);
        tree.stop.send_replace(Some(CloseReason::TokenReset));
        assert_eq!(intake.ordered_to_end().now_or_never(), Some(CloseReason::TokenReset));
        let (mut intake, tree) = admitted();
        drop(tree);
        assert_eq!(intake.ordered_to_end().now_or_never(), Some(CloseReason::Restart));
    }
}
