//! Tags and URIs, line by line.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::super::attributes::attributes;
use super::{
    AudioRendition, Encryption, Key, Map, Master, Media, Playlist, PlaylistError, Range, Reference, Segment, Variant,
};

/// What a playlist may call its target duration; others are taken for the nearest. They time requests.
const TARGET: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Longest segment that is believed.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is read so far, and what the tags say about the next URI.
#[derive(Default)]
pub(super) struct Reader {
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
    pub fn tag(&mut self, line: &str) -> Result<(), PlaylistError> {
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

    pub fn uri(&mut self, line: &str) -> Result<(), PlaylistError> {
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

    pub fn finish(mut self) -> Result<Playlist, PlaylistError> {
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
