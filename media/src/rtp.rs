//! RTP payloads, as WebRTC carries them, to decoder configurations and access units.
//!
//! ```text
//! packets ─▶ order ─in order, holes known─▶ h264 ─byte stream─▶ codec::in_band ─▶ video ─┬─▶ units
//!         └▶ order ────────────────────────────────────────────────────────────────▶ audio ─┘
//!                                            sender reports ─▶ clock ─▶ one timeline of both
//! ```
//!
//! Packets come decrypted and authenticated, but from a publisher that may send anything: nothing here panics, and what is held is bounded.
//! The depacketizer and the sample builder of the crate `rtc` 0.21.1 are not used: a byte behind the last unit of an aggregation packet makes
//! them panic, a frame that lost its first packet comes out as whole, and each connection pays 13 MB for rings of 65,536 packets.

pub mod clock;
pub mod h264;
pub mod order;
pub mod video;

use bytes::Bytes;

/// What of a packet (RFC 3550, 5.1) matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Counts packets, modulo 2^16.
    pub sequence: u16,
    /// Sampling instant in ticks of the track's clock, modulo 2^32.
    pub timestamp: u32,
    /// Of video: the last packet of a picture.
    pub marker: bool,
    /// Without header extensions and padding. Empty in packets that only probe the network.
    pub payload: Bytes,
}

/// Any instant, for tests to count from.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
