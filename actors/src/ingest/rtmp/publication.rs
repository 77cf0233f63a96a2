//! One connection as an admitted publisher: media into the feed, facts to its actor, until somebody ends it.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;
use weir_media::rtmp::media::{Given, Media, MediaReader};
use weir_media::rtmp::session::Event;

use super::connection::Wire;
use crate::clock;
use crate::ingest::intake::Intake;
use crate::ingest::{CloseReason, Grant};

/// An admitted publisher.
pub(super) struct Publication<S> {
    wire: Wire<S>,
    intake: Intake,
    reader: MediaReader,
    video_tags: u64,
}

impl<S> Publication<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub fn new(wire: Wire<S>, grant: Grant) -> Self {
        let intake = Intake::new(grant, wire.limits.patience, clock::now());
        Self { wire, intake, reader: MediaReader::default(), video_tags: 0 }
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
            Event::Media(media) => self.media(media),
            Event::Unpublished => Err(CloseReason::Unpublished),
            Event::PublishRequested(_) => Err(CloseReason::Unacceptable("second publish".to_owned())),
        }
    }

    fn media(&mut self, media: Media) -> Result<(), CloseReason> {
        self.video_tags += u64::from(matches!(media, Media::Video { .. }));
        self.intake.count(media.length());
        if let Media::UndecodableData(error) = &media {
            tracing::debug!(session = %self.intake.session(), error, "data message ignored");
        }
        match self.reader.read(media) {
            Ok(Given::Item(item)) => self.intake.deliver(item, clock::now()),
            Ok(Given::Nothing) => Ok(()),
            Ok(Given::Damaged { error, total }) => {
                // An encoder that damages every other frame must not fill the log.
                if total.is_power_of_two() {
                    tracing::warn!(session = %self.intake.session(), %error, dropped = total, "frame dropped");
                }
                Ok(())
            }
            Err(error) => Err(CloseReason::Unacceptable(error.to_string())),
        }
    }
}
