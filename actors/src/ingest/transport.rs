//! How a publisher's connection is doing, as far as its transport knows.

use serde::Serialize;

/// State and counters of a connection since its begin. What a transport does not know is `None`: all of it for RTMP, whose losses TCP hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TransportStats {
    /// Round trip, milliseconds.
    pub rtt_ms: Option<f64>,
    /// From sending to delivery, milliseconds: SRT's negotiated latency.
    pub latency_ms: Option<u32>,
    /// Data packets received, those that were sent again included.
    pub packets_received: Option<u64>,
    /// Data packets found missing when a later one came.
    pub packets_lost: Option<u64>,
    /// Data packets received again.
    pub packets_retransmitted: Option<u64>,
    /// Data packets given up because they came too late, or never.
    pub packets_dropped: Option<u64>,
    /// Data packets that could not be decrypted.
    pub packets_undecrypted: Option<u64>,
    /// Holes in the counters of the transport stream.
    pub continuity_errors: Option<u64>,
    /// Keyframes that were asked for (WHIP).
    pub keyframe_requests: Option<u64>,
}

impl TransportStats {
    /// Packets that were lost and never came; of a transport stream without a transport's own count, the holes in its counters.
    pub fn lost_for_good(&self) -> Option<u64> {
        self.packets_dropped.or(self.continuity_errors)
    }
}
