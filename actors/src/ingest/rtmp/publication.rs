//! One connection as an admitted publisher: media into the feed, facts to its actor, until somebody ends it.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;
use weir_media::feed::FeedItem;
use weir_media::flv::{Demuxer, FlvError};
use weir_media::rtmp::session::Event;

use super::connection::Wire;
use crate::clock;
use crate::ingest::intake::Intake;
use crate::ingest::{CloseReason, Grant};

/// Damaged frames in a row that are borne; a second of them at 60 fps is no accident.
const MAX_DAMAGED: u32 = 60;

/// An admitted publisher.
pub(super) struct Publication<S> {
    wire: Wire<S>,
    intake: Intake,
    demuxer: Demuxer,
    video_tags: u64,
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
        let intake = Intake::new(grant, wire.limits.patience, clock::now());
        Self { wire, intake, demuxer: Demuxer::default(), video_tags: 0, damaged: 0, dropped: 0 }
    }

    /// Runs to the end: tells the encoder why, if it does not know, then the actor.
    pub async fn run(mut self) {
        let reason = self.receive().await;
        let Self { mut wire, intake, .. } = self;
        let farewell = intake.end(reason, clock::now());
        let told = match farewell.reason() {
            CloseReason::Unpublished | CloseReason::Lost(_) => Ok(()),
            reason => wire.session.expel(&reason.to_string()),
        };
        if told.is_ok() {
            // A peer that is gone needs no good-bye.
            let _ = wire.hang_up().await;
        }
        farewell.say();
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
            let missing = self.missing();
            if let Err(reason) = self.intake.look_at_clock(clock::now(), missing) {
                return reason;
            }
            let due = self.intake.due();
            tokio::select! {
                reason = self.intake.ordered_to_end() => return reason,
                read = self.wire.read_media() => match read {
                    Ok(0) => return CloseReason::Lost("closed without unpublish".to_owned()),
                    Ok(_) => self.intake.heard(clock::now()),
                    Err(error) => return CloseReason::Lost(error.to_string()),
                },
                () = sleep_until(due.into()) => {}
            }
        }
    }

    /// What came so far, as long as no picture did.
    fn missing(&self) -> &'static str {
        match (self.video_tags, self.intake.video_config()) {
            (0, _) => "no video",
            (_, None) => "no H.264 configuration, only video frames without it,",
            (_, Some(_)) => "no decodable video frame",
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
                tracing::debug!(session = %self.intake.session(), error, "data message ignored");
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
        self.intake.count(body.len());
        match read(&mut self.demuxer, timestamp, body) {
            Ok(Some(item)) => {
                self.damaged = 0;
                self.intake.deliver(item, clock::now())
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
                    tracing::warn!(session = %self.intake.session(), %error, dropped = self.dropped, "frame dropped");
                }
                Ok(())
            }
        }
    }
}
