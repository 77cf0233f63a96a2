//! RTP payloads, as WebRTC and RTSP carry them, to decoder configurations and access units.
//!
//! ```text
//! packets ─▶ order ─in order, holes known─▶ depacketize ─byte stream─▶ codec::in_band ─┬─▶ units
//!         │                                 (h264, h265)             ─▶ reorder ───────┤
//!         └▶ order ───────────────────────▶ aac, or as they are ───────────────────────┘
//!                                           sender reports ─▶ clock ─▶ one timeline of both
//! ```
//!
//! [`video`] is these steps for WebRTC, which has H.264 without B frames. What comes by TCP is in order already.
//!
//! Packets come decrypted and authenticated, but from a sender that may send anything: nothing here panics, and what is held is bounded.
//! The depacketizer and the sample builder of the crate `rtc` 0.21.1 are not used: a byte behind the last unit of an aggregation packet makes
//! them panic, a frame that lost its first packet comes out as whole, and each connection pays 13 MB for rings of 65,536 packets.

pub mod aac;
pub mod clock;
pub mod depacketize;
mod h264;
mod h265;
pub mod nack;
pub mod order;
pub mod reorder;
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
