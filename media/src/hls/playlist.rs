//! Playlists (RFC 8216, 4.3): text to data.
//!
//! Contract: no bytes make it panic; what is made is bounded by them, so keys and maps are shared by the segments that they are for. Unknown
//! tags are no error, nor is a damaged one that a segment can be had without.

mod reader;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::reader::Reader;

/// Why a playlist cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// It does not begin with `#EXTM3U`.
    #[error("no HLS playlist")]
    NoPlaylist,
    /// Variants and segments in one.
    #[error("HLS playlist is both a master and a media playlist")]
    Mixed,
    /// Only keyframes, for fast forward.
    #[error("HLS playlist has keyframes only")]
    KeyframesOnly,
    /// A tag that nothing can be had without.
    #[error("HLS playlist has a damaged {0}")]
    Damaged(&'static str),
}

/// A playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// Of variants.
    Master(Master),
    /// Of segments.
    Media(Media),
}

/// A URI as a playlist writes it, mostly relative. May hold secrets, which `Debug` leaves out.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(String);

/// Several encodings of one programme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// In the order of the playlist.
    pub variants: Vec<Variant>,
    /// Renditions of sound alone.
    pub audio: Vec<AudioRendition>,
}

/// One encoding (4.3.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its media playlist.
    pub uri: Reference,
    /// Peak bits a second; 0 when it is not said.
    pub bandwidth: u64,
    /// Width and height, pixels.
    pub resolution: Option<(u32, u32)>,
    /// Formats of RFC 6381, separated by commas.
    pub codecs: Option<String>,
    /// Group of its audio renditions.
    pub audio: Option<String>,
}

/// One rendition of sound (4.3.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioRendition {
    /// The group it belongs to.
    pub group: String,
    /// Its media playlist; `None` when it is in the variant's segments.
    pub uri: Option<Reference>,
    /// To be taken when nobody says otherwise.
    pub default: bool,
    /// May be taken when nobody says otherwise.
    pub autoselect: bool,
}

/// A list of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// No segment is longer, to the nearest second; 1 to 60 s.
    pub target_duration: Duration,
    /// Number of the first segment.
    pub sequence: u64,
    /// In order, numbered without a hole.
    pub segments: Vec<Segment>,
    /// Nothing will be added.
    pub ended: bool,
    /// A recording, said to be one.
    pub on_demand: bool,
}

/// A part of the programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub sequence: u64,
    /// Where it is.
    pub uri: Reference,
    /// How long it plays.
    pub duration: Duration,
    /// Which part of the resource it is, when not all of it.
    pub range: Option<Range>,
    /// Encoding or timestamps begin anew with it.
    pub discontinuity: bool,
    /// It is missing, and must not be asked for.
    pub gap: bool,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// What has to be read before it.
    pub map: Option<Arc<Map>>,
}

/// Bytes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub offset: u64,
    /// How many, at least one. `offset + length` is countable.
    pub length: u64,
}

/// A media initialization section (4.3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where it is.
    pub uri: Reference,
    /// Which part of the resource it is, when not all of it.
    pub range: Option<Range>,
    /// How it is encrypted.
    pub encryption: Encryption,
}

/// How a resource is encrypted (4.3.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// As a whole, by AES-128 in CBC mode.
    Aes128(Arc<Key>),
    /// In a way that is not supported: the method's name.
    Other(Arc<str>),
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 16 bytes.
    pub uri: Reference,
    /// Initialization vector; without one it is the segment's number.
    pub iv: Option<[u8; 16]>,
}

impl Media {
    /// The number behind the last segment.
    pub fn end(&self) -> u64 {
        self.sequence.saturating_add(self.segments.len() as u64)
    }
}

impl Reference {
    /// All of it. Holds secrets: not to be logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.find('?').unwrap_or(self.0.len());
        write!(f, "{:?}", &self.0[..end])
    }
}

impl Range {
    /// The byte behind it.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// `length[@offset]`; without an offset it begins at `next`.
    fn parse(text: &str, next: Option<u64>) -> Option<Self> {
        let (length, offset) = match text.split_once('@') {
            Some((length, offset)) => (length, Some(offset.parse().ok()?)),
            None => (text, next),
        };
        let range = Self { offset: offset?, length: length.parse().ok().filter(|&length| length > 0)? };
        range.offset.checked_add(range.length).map(|_| range)
    }
}

impl Playlist {
    /// Whether bytes begin as a playlist does.
    pub fn begins(bytes: &[u8]) -> bool {
        bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).starts_with(b"#EXTM3U")
    }

    /// Reads a playlist.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlaylistError> {
        if !Self::begins(bytes) {
            return Err(PlaylistError::NoPlaylist);
        }
        let mut reader = Reader::default();
        for line in String::from_utf8_lossy(bytes).lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with('#') { reader.tag(line)? } else { reader.uri(line)? }
        }
        reader.finish()
    }
}

#[cfg(test)]
mod tests;
