//! What comes over a connection, pushed or pulled: its datagrams as media, its counters as statistics.

use std::time::{Duration, Instant};

use weir_media::feed::FeedItem;
use weir_media::ts::{Demuxer, TsError, TsStats};

use super::libsrt::{Broken, Connection, MAX_PAYLOAD};
use crate::ingest::TransportStats;

/// Datagrams received at a stretch; then others have their turn.
pub(in crate::ingest) const STRETCH: usize = 64;

/// Between two reports of the connection's state.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Transport stream packets in a datagram, at most.
const PACKETS: u64 = MAX_PAYLOAD as u64 / 188;

/// The sequence numbers' largest, and what they wrap by.
const SEQUENCE_MASK: u32 = 0x7fff_ffff;

/// A connection that breaks this long after the last datagram was not closed by a peer that was sending.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// Why no more is received.
#[derive(Debug)]
pub(in crate::ingest) enum Over {
    /// A peer that was sending has closed the connection.
    Closed,
    /// Nothing came for a while, then the connection broke.
    Lost(String),
    /// It is no media that can be taken.
    Unacceptable(TsError),
}

/// A connection and what its datagrams are put together to. Dropping it closes the connection.
pub(in crate::ingest) struct Reception {
    connection: Connection,
    demuxer: Demuxer,
    latency: Duration,
    last_datagram: Instant,
    /// Number of the datagram that comes next.
    expected: Option<u32>,
    next_report: Instant,
    buffer: [u8; MAX_PAYLOAD],
}

impl Reception {
    pub fn new(connection: Connection, now: Instant) -> Self {
        Self {
            latency: connection.latency(),
            connection,
            demuxer: Demuxer::default(),
            last_datagram: now,
            expected: None,
            next_report: now,
            buffer: [0; MAX_PAYLOAD],
        }
    }

    /// What both sides agreed on.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// The transport stream's counters.
    pub fn stats(&self) -> TsStats {
        self.demuxer.stats()
    }

    /// Waits until there may be something to receive. Cancel safe. Whoever is woken receives until there is nothing more.
    pub async fn readable(&self) {
        self.connection.readable().await;
    }

    /// Takes the next datagram, if its time has come; its bytes. What it completes is to be fetched by [`Self::poll`] before the next.
    pub fn receive(&mut self, now: Instant) -> Result<Option<usize>, Over> {
        let datagram = match self.connection.receive(&mut self.buffer) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return Ok(None),
            Err(broken) => return Err(self.broken(&broken, now)),
        };
        self.last_datagram = now;
        if let Some(expected) = self.expected {
            self.demuxer.gap(u64::from(missing(expected, datagram.sequence)) * PACKETS);
        }
        self.expected = Some(datagram.sequence.wrapping_add(1) & SEQUENCE_MASK);
        self.demuxer.push(&self.buffer[..datagram.length]).map_err(Over::Unacceptable)?;
        Ok(Some(datagram.length))
    }

    /// What is complete, in order.
    pub fn poll(&mut self) -> Option<FeedItem> {
        self.demuxer.poll()
    }

    /// Nothing more will come; whether what was still held back may be fetched.
    pub fn finish(&mut self) -> bool {
        self.demuxer.finish().is_ok()
    }

    /// When [`Self::report`] has something next.
    pub fn due(&self) -> Instant {
        self.next_report
    }

    /// How the connection is doing, once a second.
    pub fn report(&mut self, now: Instant) -> Option<TransportStats> {
        if now < self.next_report {
            return None;
        }
        self.next_report = now + REPORT_EVERY;
        let found = self.connection.statistics()?;
        Some(TransportStats {
            rtt_ms: Some(found.rtt_ms),
            latency_ms: Some(self.latency.as_millis() as u32),
            packets_received: Some(found.received),
            packets_lost: Some(found.lost),
            packets_retransmitted: Some(found.retransmitted),
            packets_dropped: Some(found.dropped),
            packets_undecrypted: Some(found.undecrypted),
            continuity_errors: Some(self.demuxer.stats().continuity_errors),
            ..TransportStats::default()
        })
    }

    fn broken(&self, broken: &Broken, now: Instant) -> Over {
        let silent = now.saturating_duration_since(self.last_datagram);
        if silent < GONE_AFTER {
            Over::Closed
        } else {
            Over::Lost(format!("{broken} after {:.1} s without data", silent.as_secs_f64()))
        }
    }
}

/// How many datagrams are missing between the one that was expected and the one that came.
fn missing(expected: u32, came: u32) -> u32 {
    let ahead = came.wrapping_sub(expected) & SEQUENCE_MASK;
    // More than half of all numbers is not a gap but an old one, which libsrt does not deliver.
    if ahead <= SEQUENCE_MASK / 2 { ahead } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_datagrams_are_counted_across_the_wrap() {
        assert_eq!(missing(7, 7), 0);
        assert_eq!(missing(7, 10), 3);
        assert_eq!(missing(SEQUENCE_MASK, 1), 2);
        assert_eq!(missing(7, 6), 0);
    }
}
