//! One connection as an admitted publisher: datagrams into the demuxer, what it makes into the feed, until somebody ends it.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use weir_media::codec::{AudioConfig, TrackConfig};
use weir_media::feed::FeedItem;
use weir_media::ts::{Demuxer, TsError};

use super::SrtLimits;
use super::libsrt::{Broken, Connection, MAX_PAYLOAD};
use crate::clock;
use crate::ingest::intake::{Intake, Patience};
use crate::ingest::{CloseReason, Grant, TransportStats};

/// Between two reports of the connection's state.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Datagrams received at a stretch; then others have their turn.
const STRETCH: usize = 64;

/// Transport stream packets in a datagram, at most.
const PACKETS: u64 = MAX_PAYLOAD as u64 / 188;

/// The sequence numbers' largest, and what they wrap by.
const SEQUENCE_MASK: u32 = 0x7fff_ffff;

/// A connection that breaks this long after the last datagram was not closed by an encoder that was sending.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// An admitted publisher.
pub(super) struct Publication {
    connection: Connection,
    intake: Intake,
    demuxer: Demuxer,
    limits: SrtLimits,
    admitted: Instant,
    latency: Duration,
    last_datagram: Instant,
    /// Number of the datagram that comes next.
    expected: Option<u32>,
    next_report: Instant,
    /// Whether it was told to wait for a keyframe.
    awaits_keyframe: bool,
    /// The sound's configuration, until there is a picture: sound alone looks as if no picture were to come.
    held_audio: Option<AudioConfig>,
}

impl Publication {
    pub fn new(connection: Connection, grant: Grant, limits: SrtLimits) -> Self {
        let (now, latency) = (clock::now(), connection.latency());
        let Patience { first_video, idle } = limits.patience;
        // Nothing at all can be there before the latency is over.
        let patience = Patience { first_video: first_video + latency, idle };
        Self {
            connection,
            intake: Intake::new(grant, patience, now),
            demuxer: Demuxer::default(),
            limits,
            admitted: now,
            latency,
            last_datagram: now,
            expected: None,
            next_report: now,
            awaits_keyframe: false,
            held_audio: None,
        }
    }

    /// Runs to the end: closes the connection, which is all that SRT can tell the encoder, then tells the actor.
    pub async fn run(mut self) {
        let reason = self.receive_all().await;
        if self.demuxer.finish().is_ok() {
            // The last frame, if it is whole; whether the actor still takes it changes nothing.
            let _ = self.hand_on();
        }
        let stats = self.demuxer.stats();
        tracing::info!(session = %self.intake.session(), continuity_errors = stats.continuity_errors,
            damaged_units = stats.damaged_units, sync_losses = stats.sync_losses, "SRT connection ends");
        let Self { connection, intake, .. } = self;
        let farewell = intake.end(reason, clock::now());
        drop(connection);
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
            let due = self.intake.due().min(self.next_report);
            let readable =
                async { if more { tokio::task::yield_now().await } else { self.connection.readable().await } };
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
        let mut buffer = [0; MAX_PAYLOAD];
        for _ in 0..STRETCH {
            let datagram = match self.connection.receive(&mut buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Ok(false),
                Err(broken) => return Err(self.broken(&broken)),
            };
            let now = clock::now();
            self.last_datagram = now;
            self.intake.heard(now);
            self.intake.count(datagram.length);
            let missing = self.expected.map_or(0, |expected| datagram.sequence.wrapping_sub(expected) & SEQUENCE_MASK);
            // More than half of all numbers is not a gap but an old one, which libsrt does not deliver.
            if missing > 0 && missing <= SEQUENCE_MASK / 2 {
                self.demuxer.gap(u64::from(missing) * PACKETS);
            }
            self.expected = Some(datagram.sequence.wrapping_add(1) & SEQUENCE_MASK);
            self.demuxer.push(&buffer[..datagram.length]).map_err(|error: TsError| unacceptable(&error))?;
            self.hand_on()?;
        }
        Ok(true)
    }

    /// Hands on what is complete, from the first keyframe on.
    fn hand_on(&mut self) -> Result<(), CloseReason> {
        while let Some(item) = self.demuxer.poll() {
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

    fn broken(&self, broken: &Broken) -> CloseReason {
        let silent = clock::now().saturating_duration_since(self.last_datagram);
        if silent < GONE_AFTER {
            CloseReason::Unpublished
        } else {
            CloseReason::Lost(format!("{broken} after {:.1} s without data", silent.as_secs_f64()))
        }
    }

    /// Does what is due.
    fn look_at_clock(&mut self) -> Result<(), CloseReason> {
        let now = clock::now();
        let stats = self.demuxer.stats();
        if !self.awaits_keyframe && stats.skipped_units > 0 {
            self.awaits_keyframe = true;
            self.intake.expect_video_by(self.admitted + self.latency + self.limits.first_keyframe);
        }
        let missing = match (stats.packets, stats.skipped_units) {
            (0, _) => "no data",
            (_, 0) => "no video",
            (_, _) => "no keyframe with its parameter sets, only other video frames,",
        };
        self.intake.look_at_clock(now, missing)?;
        if now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            if let Some(found) = self.connection.statistics() {
                self.intake.transport(TransportStats {
                    rtt_ms: Some(found.rtt_ms),
                    latency_ms: Some(self.latency.as_millis() as u32),
                    packets_received: Some(found.received),
                    packets_lost: Some(found.lost),
                    packets_retransmitted: Some(found.retransmitted),
                    packets_dropped: Some(found.dropped),
                    packets_undecrypted: Some(found.undecrypted),
                    continuity_errors: Some(stats.continuity_errors),
                    ..TransportStats::default()
                })?;
            }
        }
        Ok(())
    }
}

fn unacceptable(error: &TsError) -> CloseReason {
    CloseReason::Unacceptable(error.to_string())
}
