//! CMAF chunks to LL-HLS and LL-DASH: one set of segments, two kinds of manifest, all in memory.
//!
//! Contract: the sequence number of a segment is the first number of its broadcast plus its slot on the broadcast's
//! [`Grid`](crate::grid::Grid), the same in HLS, in DASH and in every rendition. Numbers never go back, a published part
//! never changes, and nothing is published above the number that was stored as reserved. Everything here is data:
//! the caller brings the lock, the clock and the wake-ups.
//!
//! Specifications: draft-pantos-hls-rfc8216bis (low-latency HLS), ISO/IEC 23009-1 with the DASH-IF low-latency rules,
//! ISO/IEC 23000-19 (CMAF).
//!
//! ```text
//! broadcast  what one broadcast has published: tracks, segments, parts
//! packager   one stream over its broadcasts: what is visible, what waits, what is cached
//! playlist   text of master and media playlists
//! mpd        text of the MPD
//! names      file names, both ways
//! calendar   dates and durations as ISO 8601 writes them
//! ```

mod broadcast;
mod calendar;
mod mpd;
pub mod names;
mod packager;
mod playlist;
#[cfg(test)]
mod tests;

pub use packager::{Lookup, Media, Numbers, Packager, RESERVED_AHEAD, Reload};
pub use playlist::Page;

/// Whole segments that playlists list: 32 s. Delta updates set the depth: they may leave out only what is more than 12 s before
/// the end (RFC 8216bis 4.4.3.8), here 12 of 20 segments; 19 s would leave out 4 of 12. Beyond that, depth only costs memory.
pub const LISTED_SEGMENTS: u64 = 20;
/// Segments that stay available. RFC 8216bis 6.2.2 asks for a removed segment's duration plus that of the longest playlist that
/// named it, so a player that holds an old playlist still gets what it says.
pub const KEPT_SEGMENTS: u64 = 2 * LISTED_SEGMENTS + 1;
