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

pub use packager::{Lookup, Media, Numbers, Packager, Reload};
pub use playlist::Page;

/// Whole segments that playlists list: 19 s, over three times the 6 s that a player without low latency holds back.
pub const LISTED_SEGMENTS: u64 = 12;
/// Segments that stay available. RFC 8216bis 6.2.2 asks for a removed segment's duration plus that of the longest playlist that
/// named it, so a player that holds an old playlist still gets what it says.
pub const KEPT_SEGMENTS: u64 = 2 * LISTED_SEGMENTS + 1;
