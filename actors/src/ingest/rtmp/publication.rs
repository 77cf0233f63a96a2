//! One connection as an admitted publisher: media into the feed, facts to its actor, until somebody ends it.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use weir_media::access_unit::Track;
use weir_media::feed::FeedItem;
use weir_media::flv::{Demuxer, FlvError};
use weir_media::rtmp::session::Event;

use super::connection::Wire;
use crate::ingest::{CloseReason, Grant, IngestFact};

/// Between two media facts, at least.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Damaged frames in a row that are borne; a second of them at 60 fps is no accident.
const MAX_DAMAGED: u32 = 60;

/// An admitted publisher.
pub(super) struct Publication<S> {
    wire: Wire<S>,
    grant: Grant,
    demuxer: Demuxer,
    admitted: Instant,
    last_byte: Instant,
    last_video: Option<Instant>,
    reported: Option<Instant>,
    /// Video arrived since the last report.
    unreported: bool,
    bytes: u64,
    video_tags: u64,
    video_units: u64,
    audio_units: u64,
    /// Damaged frames in a row.
    damaged: u32,
    /// Damaged frames in all.
    dropped: u64,
}

impl<S> Publication<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub fn new(wire: Wire<S>, grant: Grant) -> Self {
        let now = Instant::now();
        Self {
            wire,
            grant,
            demuxer: Demuxer::default(),
            admitted: now,
            last_byte: now,
            last_video: None,
            reported: None,
            unreported: false,
            bytes: 0,
            video_tags: 0,
            video_units: 0,
            audio_units: 0,
            damaged: 0,
            dropped: 0,
        }
    }

    /// Runs to the end: tells the encoder why, if it does not know, then the actor.
    pub async fn run(mut self) {
        let reason = self.receive().await;
        if self.unreported {
            // When the last picture came is what the stream's stall counts from. If nobody listens, nothing is lost.
            let _ = self.report_media();
        }
        tracing::info!(session = %self.grant.session, stream = %self.grant.stream, slot = %self.grant.slot, %reason,
            bytes = self.bytes, video_units = self.video_units, audio_units = self.audio_units, "RTMP publisher gone");
        let Self { mut wire, grant: Grant { feed, facts, .. }, .. } = self;
        drop(feed);
        let told = match &reason {
            CloseReason::Unpublished | CloseReason::Lost(_) => Ok(()),
            reason => wire.session.expel(&reason.to_string()),
        };
        if told.is_ok() {
            // A peer that is gone needs no good-bye.
            let _ = wire.hang_up().await;
        }
        // If there is no room for it, the end of the channel says that something went wrong, and it did.
        let _ = facts.try_send(IngestFact::Closed { reason });
        drop(facts);
        wire.linger().await;
    }

    /// Receives until there is a reason to end.
    async fn receive(&mut self) -> CloseReason {
        if let Err(error) = self.wire.session.accept() {
            return CloseReason::Unacceptable(error.to_string());
        }
        loop {
            // Bytes that came before admission are waiting already.
            if let Err(reason) = self.process() {
                return reason;
            }
            if let Err(error) = self.wire.flush().await {
                return CloseReason::Lost(error.to_string());
            }
            if let Err(reason) = self.look_at_clock() {
                return reason;
            }
            let deadline = self.next_deadline();
            tokio::select! {
                reason = stop_order(&mut self.grant.stop) => return reason,
                read = self.wire.read_media() => match read {
                    Ok(0) => return CloseReason::Lost("closed without unpublish".to_owned()),
                    Ok(_) => self.last_byte = Instant::now(),
                    Err(error) => return CloseReason::Lost(error.to_string()),
                },
                () = sleep_until(deadline) => {}
            }
        }
    }

    fn process(&mut self) -> Result<(), CloseReason> {
        loop {
            match self.wire.session.poll_event() {
                Ok(Some(event)) => self.event(event)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(CloseReason::Unacceptable(error.to_string())),
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), CloseReason> {
        match event {
            Event::Video { timestamp, body } => {
                self.video_tags += 1;
                self.tag(timestamp, body, Demuxer::video)
            }
            Event::Audio { timestamp, body } => self.tag(timestamp, body, Demuxer::audio),
            Event::Metadata(metadata) => {
                if let Some(rate) = metadata.frame_rate {
                    self.demuxer.hint_frame_rate(rate);
                }
                Ok(())
            }
            Event::UndecodableData(error) => {
                tracing::debug!(session = %self.grant.session, error, "data message ignored");
                Ok(())
            }
            Event::Unpublished => Err(CloseReason::Unpublished),
            Event::PublishRequested(_) => Err(CloseReason::Unacceptable("second publish".to_owned())),
        }
    }

    fn tag(
        &mut self,
        timestamp: u32,
        body: Bytes,
        read: fn(&mut Demuxer, u32, Bytes) -> Result<Option<FeedItem>, FlvError>,
    ) -> Result<(), CloseReason> {
        self.bytes += body.len() as u64;
        match read(&mut self.demuxer, timestamp, body) {
            Ok(Some(item)) => {
                self.damaged = 0;
                self.deliver(item)
            }
            Ok(None) => Ok(()),
            Err(error) if error.is_fatal() || self.damaged >= MAX_DAMAGED => {
                Err(CloseReason::Unacceptable(error.to_string()))
            }
            Err(error) => {
                self.dropped += 1;
                self.damaged += 1;
                // An encoder that damages every other frame must not fill the log.
                if self.dropped.is_power_of_two() {
                    tracing::warn!(session = %self.grant.session, %error, dropped = self.dropped, "frame dropped");
                }
                Ok(())
            }
        }
    }

    fn deliver(&mut self, item: FeedItem) -> Result<(), CloseReason> {
        match item {
            FeedItem::Config(config) => {
                self.grant.feed.config(config);
                let video = self.demuxer.video_config().cloned();
                let audio = self.demuxer.audio_config().cloned();
                self.report(IngestFact::Source { video, audio })
            }
            FeedItem::Unit(unit) => {
                match unit.track {
                    Track::Video => {
                        self.video_units += 1;
                        self.last_video = Some(Instant::now());
                        self.unreported = true;
                    }
                    Track::Audio => self.audio_units += 1,
                }
                // What does not fit is dropped and counted there.
                self.grant.feed.push(unit);
                if self.reported.is_none() { self.report_media() } else { Ok(()) }
            }
        }
    }

    /// The next instant at which something is due.
    fn next_deadline(&self) -> Instant {
        let limits = &self.wire.limits;
        let silence = self.last_byte + limits.idle;
        let report = self.reported.filter(|_| self.unreported).map(|last| last + REPORT_EVERY);
        let first_video = self.last_video.is_none().then_some(self.admitted + limits.first_video);
        [report, first_video].into_iter().flatten().fold(silence, Instant::min)
    }

    /// Does what is due.
    fn look_at_clock(&mut self) -> Result<(), CloseReason> {
        let now = Instant::now();
        let limits = &self.wire.limits;
        if self.last_video.is_none() && now >= self.admitted + limits.first_video {
            let seconds = limits.first_video.as_secs_f64();
            let what = match (self.video_tags, self.demuxer.video_config()) {
                (0, _) => "no video",
                (_, None) => "no H.264 configuration, only video frames without it,",
                (_, Some(_)) => "no decodable video frame",
            };
            return Err(CloseReason::Unacceptable(format!("{what} within {seconds} s of publishing")));
        }
        if now >= self.last_byte + limits.idle {
            return Err(CloseReason::Silent);
        }
        if self.unreported && self.reported.is_none_or(|last| now >= last + REPORT_EVERY) {
            return self.report_media();
        }
        Ok(())
    }

    fn report_media(&mut self) -> Result<(), CloseReason> {
        let Some(at) = self.last_video else { return Ok(()) };
        self.reported = Some(Instant::now());
        self.unreported = false;
        self.report(IngestFact::Media {
            at: at.into_std(),
            bytes: self.bytes,
            video_units: self.video_units,
            audio_units: self.audio_units,
        })
    }

    fn report(&mut self, fact: IngestFact) -> Result<(), CloseReason> {
        // An actor that does not keep up with four facts a second, or is gone, is being replaced.
        self.grant.facts.try_send(fact).map_err(|_| CloseReason::Restart)
    }
}

/// Waits for the order to end. When nobody can give it any more, the tree above has fallen.
async fn stop_order(stop: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    match stop.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(CloseReason::Restart),
        Err(_) => CloseReason::Restart,
    }
}
