//! Fragmented MP4 (ISO/IEC 14496-12), as HLS and CMAF segments are made of it, to decoder configurations and access units.
//!
//! Taken are the first H.264 or HEVC track and the first AAC track; what a track with pictures or sound alone has in another form is an error
//! that says its name. Boxes that say nothing about them are passed over.
//!
//! All syntax is read here; there is little of it. Of the crates, `scuffle-mp4` 0.1 descends into any box within any box, `mp4-atom` 0.10 has
//! allocated by counts from the wire more than once (its issues 13 and 154), and `mp4parse` may not be linked by our licence policy.
//!
//! ```text
//! init ────▶ movie ─▶ sample_entry      tracks: configuration, scale of time, defaults
//! segment ─▶ fragment ─▶ samples ─▶ in_band ─▶ access units
//! ```
//!
//! Contract: one [`Reader`] for each initialization section, whole segments in order. No bytes make it panic; it goes down a fixed number of
//! levels, and what comes out of a segment is at most a little larger than it. Times are exact to the nanosecond, those of a presentation:
//! the first edit of a track shifts it, which is how sound that begins with silence to be cut is kept in step. Video begins at a keyframe,
//! which is judged by its bytes: samples are marked wrongly too often.

mod boxes;
mod fragment;
mod movie;
mod sample_entry;

use bytes::Bytes;

use self::fragment::{Defaults, Sample};
use self::movie::{Movie, Times};
use self::sample_entry::Entry;
use crate::access_unit::{AccessUnit, Track};
use crate::codec::in_band::{Found, InBandError, Picture, PictureReader};
use crate::codec::{TrackConfig, aac, avc, hevc};
use crate::feed::FeedItem;
use crate::time::Timestamp;

/// Why a segment or an initialization section cannot be taken. Its words are for the source's operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    /// A box is missing, cut off, or contradicts itself or another.
    #[error("MP4 is damaged at {0}")]
    Damaged(&'static str),
    /// Nothing to see or to hear.
    #[error("MP4 has neither video nor audio")]
    NoTrack,
    /// A codec that is not decoded here.
    #[error("{0} is not supported, send H.264 or HEVC video and AAC audio")]
    Codec(String),
    /// Unusable H.264 configuration.
    #[error(transparent)]
    Avc(#[from] avc::AvcError),
    /// Unusable HEVC configuration.
    #[error(transparent)]
    Hevc(#[from] hevc::HevcError),
    /// Unusable AAC configuration.
    #[error(transparent)]
    Aac(#[from] aac::AacError),
    /// Unusable parameter sets in a picture.
    #[error(transparent)]
    Picture(#[from] InBandError),
}

impl Mp4Error {
    /// Another segment may do better.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

/// Reads the segments of one initialization section.
pub struct Reader {
    tracks: Vec<Stream>,
    /// What samples are like where a fragment does not say it.
    defaults: Vec<Defaults>,
    /// Configurations that are not handed on yet.
    configs: Vec<TrackConfig>,
    damaged_units: u64,
}

/// A track that is taken.
struct Stream {
    id: u32,
    times: Times,
    content: Content,
    /// Decoding time behind the last sample, in the track's own scale.
    end: u64,
}

enum Content {
    /// Pictures, behind length fields of so many bytes.
    Video(PictureReader, usize),
    Audio,
}

impl Reader {
    /// Reads an initialization section.
    pub fn new(init: &[u8]) -> Result<Self, Mp4Error> {
        let Movie { tracks, defaults } = Movie::read(init)?;
        let (mut streams, mut configs) = (vec![], vec![]);
        for movie::Track { id, times, entry } in tracks {
            let content = match entry {
                Entry::Video { codec, config, length_size } => {
                    configs.extend(config.clone().map(TrackConfig::Video));
                    Content::Video(PictureReader::new(codec, config), length_size)
                }
                Entry::Audio(config) => {
                    configs.push(TrackConfig::Audio(config));
                    Content::Audio
                }
                Entry::Other(name) => return Err(Mp4Error::Codec(name)),
            };
            streams.push(Stream { id, times, content, end: 0 });
        }
        Ok(Self { tracks: streams, defaults, configs, damaged_units: 0 })
    }

    /// Takes a whole segment in, and hands on what is in it: of each track in order, the tracks one after the other.
    pub fn read(&mut self, segment: &[u8], mut take: impl FnMut(FeedItem)) -> Result<(), Mp4Error> {
        self.configs.drain(..).map(FeedItem::Config).for_each(&mut take);
        fragment::runs(segment, &self.defaults, |run| {
            let Some(track) = self.tracks.iter_mut().find(|track| track.id == run.track) else { return Ok(()) };
            let mut at = run.begin.unwrap_or(track.end);
            for sample in run.samples {
                let times = track.times.of(at, sample.offset).ok_or(Mp4Error::Damaged("tfdt"))?;
                at = at.saturating_add(sample.duration.into());
                self.damaged_units += u64::from(!track.content.unit(&sample, times, &mut take)?);
            }
            track.end = at;
            Ok(())
        })
    }

    /// Something is missing before what is read next.
    pub fn hole(&mut self) {
        for track in &mut self.tracks {
            if let Content::Video(pictures, _) = &mut track.content {
                pictures.hole();
            }
        }
    }

    /// Pictures whose bytes are not those of their codec, dropped.
    pub fn damaged_units(&self) -> u64 {
        self.damaged_units
    }
}

impl Content {
    /// Makes a unit of a sample; false when it is damaged.
    fn unit(
        &mut self,
        sample: &Sample<'_>,
        (pts, dts): (Timestamp, Timestamp),
        take: &mut impl FnMut(FeedItem),
    ) -> Result<bool, Mp4Error> {
        if sample.data.is_empty() {
            return Ok(true);
        }
        let Self::Video(pictures, length_size) = self else {
            let data = Bytes::copy_from_slice(sample.data);
            take(FeedItem::Unit(AccessUnit { track: Track::Audio, pts, dts, keyframe: true, data }));
            return Ok(true);
        };
        let Some(stream) = byte_stream(sample.data, *length_size) else {
            pictures.hole();
            return Ok(false);
        };
        match pictures.read(&stream, sample.sync)? {
            Found::Picture(Picture { config, keyframe, data, damaged_sets }) => {
                config.map(TrackConfig::Video).map(FeedItem::Config).map(&mut *take);
                take(FeedItem::Unit(AccessUnit { track: Track::Video, pts, dts, keyframe, data }));
                Ok(!damaged_sets)
            }
            Found::Skipped | Found::Nothing => Ok(true),
            Found::Damaged => Ok(false),
        }
    }
}

/// NAL units behind start codes instead of lengths; `None` when the lengths do not lead to the end.
fn byte_stream(mut sample: &[u8], length_size: usize) -> Option<Vec<u8>> {
    let mut stream = Vec::with_capacity(sample.len() + 64);
    while !sample.is_empty() {
        let (length, behind) = sample.split_at_checked(length_size)?;
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let (unit, behind) = behind.split_at_checked(length)?;
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
        sample = behind;
    }
    Some(stream)
}

#[cfg(test)]
mod tests;
