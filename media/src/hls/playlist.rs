//! Playlists (RFC 8216, 4.3): text to data.
//!
//! Contract: no bytes make it panic; what is made is bounded by them, so keys and maps are shared by the segments that they are for. Unknown
//! tags are no error, nor is a damaged one that a segment can be had without.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::attributes::attributes;

/// What a playlist may call its target duration; others are taken for the nearest. They time requests.
const TARGET: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Longest segment that is believed.
const LONGEST: Duration = Duration::from_secs(3600);

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

/// What is read so far, and what the tags say about the next URI.
#[derive(Default)]
struct Reader {
    master: Master,
    variant: Option<Variant>,
    media: bool,
    target: Option<Duration>,
    sequence: u64,
    segments: Vec<Segment>,
    ended: bool,
    on_demand: bool,
    duration: Option<Duration>,
    /// As it is written: what it says may depend on the segment before.
    range: Option<String>,
    discontinuity: bool,
    gap: bool,
    keys: Keys,
    map: Option<Arc<Map>>,
}

/// Keys in force. Several formats may hold the same key.
#[derive(Default)]
struct Keys {
    plain: Option<Encryption>,
    other: Option<Encryption>,
}

impl Reader {
    fn tag(&mut self, line: &str) -> Result<(), PlaylistError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name {
            "#EXT-X-STREAM-INF" => self.variant = Some(variant(value)),
            "#EXT-X-MEDIA" => self.master.audio.extend(audio(value)),
            "#EXT-X-TARGETDURATION" => {
                self.media = true;
                self.target = Some(seconds(value).ok_or(PlaylistError::Damaged("EXT-X-TARGETDURATION"))?);
            }
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.sequence = value.parse().map_err(|_| PlaylistError::Damaged("EXT-X-MEDIA-SEQUENCE"))?;
            }
            "#EXT-X-PLAYLIST-TYPE" => self.on_demand = value == "VOD",
            "#EXT-X-I-FRAMES-ONLY" => return Err(PlaylistError::KeyframesOnly),
            "#EXT-X-ENDLIST" => self.ended = true,
            "#EXTINF" => {
                self.media = true;
                let value = value.split_once(',').map_or(value, |(duration, _)| duration);
                let duration = seconds(value).filter(|&duration| duration <= LONGEST);
                self.duration = Some(duration.ok_or(PlaylistError::Damaged("EXTINF"))?);
            }
            "#EXT-X-BYTERANGE" => self.range = Some(value.to_owned()),
            "#EXT-X-DISCONTINUITY" => self.discontinuity = true,
            "#EXT-X-GAP" => self.gap = true,
            "#EXT-X-KEY" => self.keys.set(value)?,
            "#EXT-X-MAP" => self.map = Some(self.map(value)?),
            _ => {}
        }
        Ok(())
    }

    fn uri(&mut self, line: &str) -> Result<(), PlaylistError> {
        let uri = Reference(line.to_owned());
        if let Some(variant) = self.variant.take() {
            self.master.variants.push(Variant { uri, ..variant });
            return Ok(());
        }
        // Without a duration it is no segment.
        let Some(duration) = self.duration.take() else { return Ok(()) };
        let range = match self.range.take() {
            None => None,
            Some(range) => {
                let before = self.segments.last().filter(|before| before.uri == uri).and_then(|before| before.range);
                let range = Range::parse(&range, before.map(|range| range.end()));
                Some(range.ok_or(PlaylistError::Damaged("EXT-X-BYTERANGE"))?)
            }
        };
        self.segments.push(Segment {
            sequence: 0,
            uri,
            duration,
            range,
            discontinuity: std::mem::take(&mut self.discontinuity),
            gap: std::mem::take(&mut self.gap),
            encryption: self.keys.in_force(),
            map: self.map.clone(),
        });
        Ok(())
    }

    fn map(&self, list: &str) -> Result<Arc<Map>, PlaylistError> {
        let (mut uri, mut range) = (None, None);
        for (name, value) in attributes(list) {
            match name {
                "URI" => uri = Some(Reference(value.to_owned())),
                "BYTERANGE" => {
                    range = Some(Range::parse(value, Some(0)).ok_or(PlaylistError::Damaged("EXT-X-MAP"))?);
                }
                _ => {}
            }
        }
        let uri = uri.ok_or(PlaylistError::Damaged("EXT-X-MAP"))?;
        Ok(Arc::new(Map { uri, range, encryption: self.keys.in_force() }))
    }

    fn finish(mut self) -> Result<Playlist, PlaylistError> {
        if !self.master.variants.is_empty() {
            return if self.media { Err(PlaylistError::Mixed) } else { Ok(Playlist::Master(self.master)) };
        }
        let end = self.sequence.checked_add(self.segments.len() as u64);
        let numbers = self.sequence..end.ok_or(PlaylistError::Damaged("EXT-X-MEDIA-SEQUENCE"))?;
        for (segment, number) in self.segments.iter_mut().zip(numbers) {
            segment.sequence = number;
        }
        let longest = self.segments.iter().map(|segment| segment.duration).max();
        let target = self.target.or(longest).ok_or(PlaylistError::Damaged("EXT-X-TARGETDURATION"))?;
        Ok(Playlist::Media(Media {
            target_duration: target.clamp(*TARGET.start(), *TARGET.end()),
            sequence: self.sequence,
            segments: self.segments,
            ended: self.ended,
            on_demand: self.on_demand,
        }))
    }
}

impl Keys {
    fn set(&mut self, list: &str) -> Result<(), PlaylistError> {
        let (mut method, mut uri, mut iv, mut plain) = ("", None, None, true);
        for (name, value) in attributes(list) {
            match name {
                "METHOD" => method = value,
                "URI" => uri = Some(Reference(value.to_owned())),
                "IV" => iv = Some(vector(value).ok_or(PlaylistError::Damaged("EXT-X-KEY"))?),
                "KEYFORMAT" => plain = value == "identity",
                _ => {}
            }
        }
        match (method, plain) {
            ("NONE", _) => *self = Self::default(),
            ("AES-128", true) => {
                let uri = uri.ok_or(PlaylistError::Damaged("EXT-X-KEY"))?;
                self.plain = Some(Encryption::Aes128(Arc::new(Key { uri, iv })));
            }
            ("", _) => return Err(PlaylistError::Damaged("EXT-X-KEY")),
            (_, true) => self.plain = Some(Encryption::Other(method.into())),
            (_, false) => self.other = Some(Encryption::Other(method.into())),
        }
        Ok(())
    }

    fn in_force(&self) -> Encryption {
        self.plain.as_ref().or(self.other.as_ref()).cloned().unwrap_or(Encryption::None)
    }
}

fn variant(list: &str) -> Variant {
    let uri = Reference(String::new());
    let mut variant = Variant { uri, bandwidth: 0, resolution: None, codecs: None, audio: None };
    for (name, value) in attributes(list) {
        match name {
            "BANDWIDTH" => variant.bandwidth = value.parse().unwrap_or(0),
            "RESOLUTION" => {
                let edges = value.split_once(['x', 'X']);
                variant.resolution =
                    edges.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
            }
            "CODECS" => variant.codecs = Some(value.to_owned()),
            "AUDIO" => variant.audio = Some(value.to_owned()),
            _ => {}
        }
    }
    variant
}

fn audio(list: &str) -> Option<AudioRendition> {
    let (mut sound, mut group) = (false, None);
    let (mut uri, mut default, mut autoselect) = (None, false, false);
    for (name, value) in attributes(list) {
        match name {
            "TYPE" => sound = value == "AUDIO",
            "GROUP-ID" => group = Some(value.to_owned()),
            "URI" => uri = Some(Reference(value.to_owned())),
            "DEFAULT" => default = value == "YES",
            "AUTOSELECT" => autoselect = value == "YES",
            _ => {}
        }
    }
    group.filter(|_| sound).map(|group| AudioRendition { group, uri, default, autoselect })
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// A hexadecimal number of 128 bits at most.
fn vector(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"))?;
    // `from_str_radix` would take a sign.
    let digits = Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests;
