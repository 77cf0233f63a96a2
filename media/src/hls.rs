//! HTTP Live Streaming (RFC 8216) as a client reads it: live playlists, and segments of MPEG-TS or fragmented MP4.
//!
//! ```text
//! text ─▶ playlist ─┬─ Master ─▶ choose ─▶ one variant, perhaps its own audio
//!                   └─ Media ──▶ follow ─▶ which segment is next, when the playlist is loaded again
//! segment ─▶ decrypt ─▶ segment ─▶ configurations and access units
//! ```
//!
//! What a player can do without is ignored: other renditions than the chosen ones, subtitles, dates, and the partial segments of low latency,
//! whose whole segments are listed beside them.
//!
//! All syntax is read here. The crate `m3u8-rs` 6.0 was looked at first: the name of an attribute is searched past the end of its line, so
//! that a tag without `=` swallows the lines behind it, and 1 MiB of such tags are 10^11 steps; the first line that is not UTF-8 ends the
//! playlist as if it were its last; `METHOD=NONE` is refused without an IV; and keys and maps hold for one segment only.

mod attributes;
pub mod choose;
pub mod decrypt;
pub mod follow;
pub mod playlist;
pub mod segment;
