//! One connection as an admitted publisher: what it delivers goes into the feed, until somebody ends it.

use std::time::Instant;

use tokio::time::sleep_until;
use weir_media::codec::{AudioConfig, TrackConfig};
use weir_media::feed::FeedItem;

use super::SrtLimits;
use super::libsrt::Connection;
use super::reception::{Over, Reception, STRETCH};
use crate::clock;
use crate::ingest::intake::{Intake, Patience};
use crate::ingest::{CloseReason, Grant};

/// An admitted publisher.
pub(super) struct Publication {
    reception: Reception,
    intake: Intake,
    limits: SrtLimits,
    admitted: Instant,
    /// Whether it was told to wait for a keyframe.
    awaits_keyframe: bool,
    /// The sound's configuration, until there is a picture: sound alone looks as if no picture were to come.
    held_audio: Option<AudioConfig>,
}

impl Publication {
    pub fn new(connection: Connection, grant: Grant, limits: SrtLimits) -> Self {
        let now = clock::now();
        let reception = Reception::new(connection, now);
        let Patience { first_video, idle } = limits.patience;
        // Nothing at all can be there before the latency is over.
        let patience = Patience { first_video: first_video + reception.latency(), idle };
        Self {
            reception,
            intake: Intake::new(grant, patience, now),
            limits,
            admitted: now,
            awaits_keyframe: false,
            held_audio: None,
        }
    }

    /// Runs to the end: closes the connection, which is all that SRT can tell the encoder, then tells the actor.
    pub async fn run(mut self) {
        let reason = self.receive_all().await;
        if self.reception.finish() {
            // The last frame, if it is whole; whether the actor still takes it changes nothing.
            let _ = self.hand_on();
        }
        let stats = self.reception.stats();
        tracing::info!(session = %self.intake.session(), continuity_errors = stats.continuity_errors,
            damaged_units = stats.damaged_units, sync_losses = stats.sync_losses, "SRT connection ends");
        let Self { reception, intake, .. } = self;
        let farewell = intake.end(reason, clock::now());
        drop(reception);
        farewell.say();
    }

    /// Receives until there is a reason to end.
    async fn receive_all(&mut self) -> CloseReason {
        loop {
            let more = match self.receive() {
                Ok(more) => more,
                Err(reason) => return reason,
            };
            if let Err(reason) = self.look_at_clock() {
                return reason;
            }
            let due = self.intake.due().min(self.reception.due());
            let readable =
                async { if more { tokio::task::yield_now().await } else { self.reception.readable().await } };
            tokio::select! {
                biased;
                reason = self.intake.ordered_to_end() => return reason,
                () = readable => {}
                () = sleep_until(due.into()) => {}
            }
        }
    }

    /// Takes what has come; whether there may be more.
    fn receive(&mut self) -> Result<bool, CloseReason> {
        for _ in 0..STRETCH {
            let now = clock::now();
            let Some(bytes) = self.reception.receive(now)? else { return Ok(false) };
            self.intake.heard(now);
            self.intake.count(bytes);
            self.hand_on()?;
        }
        Ok(true)
    }

    /// Hands on what is complete, from the first keyframe on.
    fn hand_on(&mut self) -> Result<(), CloseReason> {
        while let Some(item) = self.reception.poll() {
            match item {
                FeedItem::Config(TrackConfig::Audio(audio)) if self.intake.video_config().is_none() => {
                    self.held_audio = Some(audio);
                    continue;
                }
                FeedItem::Unit(_) if self.intake.video_config().is_none() => continue,
                item => self.intake.deliver(item, clock::now())?,
            }
            if let Some(audio) = self.held_audio.take() {
                self.intake.deliver(FeedItem::Config(TrackConfig::Audio(audio)), clock::now())?;
            }
        }
        Ok(())
    }

    /// Does what is due.
    fn look_at_clock(&mut self) -> Result<(), CloseReason> {
        let now = clock::now();
        let stats = self.reception.stats();
        if !self.awaits_keyframe && stats.skipped_units > 0 {
            self.awaits_keyframe = true;
            self.intake.expect_video_by(self.admitted + self.reception.latency() + self.limits.first_keyframe);
        }
        let missing = match (stats.packets, stats.skipped_units) {
            (0, _) => "no data",
            (_, 0) => "no video",
            (_, _) => "no keyframe with its parameter sets, only other video frames,",
        };
        self.intake.look_at_clock(now, missing)?;
        if let Some(stats) = self.reception.report(now) {
            self.intake.transport(stats)?;
        }
        Ok(())
    }
}

impl From<Over> for CloseReason {
    fn from(over: Over) -> Self {
        match over {
            Over::Closed => Self::Unpublished,
            Over::Lost(why) => Self::Lost(why),
            Over::Unacceptable(error) => Self::Unacceptable(error.to_string()),
        }
    }
}
