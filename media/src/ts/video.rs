//! The video track: PES packets to access units, and decoder configurations out of the stream itself.
//!
//! A unit is what lies between two heads with different times, so it is known to be whole when the next begins: one frame later. A PES packet
//! without a time, or with the same, goes on with the unit.
//!
//! A unit with a hole is dropped, and every unit behind it up to the next keyframe: what else the hole swallowed is not known, and decoders
//! make smeared pictures of what refers to a missing one without saying so. A gap is seen: the worker holds its picture or shows the
//! other input. The feed drops in the same way.

use bytes::Bytes;

use super::clock::Times;
use super::nal;
use super::{TsError, TsStats};
use crate::access_unit::{AccessUnit, Track};
use crate::codec::bits::BitReader;
use crate::codec::{VideoCodec, VideoConfig, avc, hevc};

/// Longest unit, bytes.
pub(super) const LONGEST: usize = 8 << 20;
/// Longest parameter set that is believed, bytes, and the most of one kind in a unit.
const LONGEST_SET: usize = 4096;
const MOST_SETS: usize = 16;
/// Access unit delimiters in what should be one unit. The two fields of a picture have one each.
const MOST_DELIMITERS: usize = 2;

/// What a unit comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// A configuration that is new, to be put in front.
    pub config: Option<VideoConfig>,
    pub unit: AccessUnit,
}

/// Reads one video stream.
pub(super) struct Video {
    codec: VideoCodec,
    /// The byte stream of the open unit.
    stream: Vec<u8>,
    open: Option<Open>,
    /// Nothing is passed on before a keyframe.
    waiting: bool,
    sets: Sets,
    config: Option<VideoConfig>,
}

struct Open {
    times: Times,
    /// The sender says that decoding can begin here.
    random_access: bool,
}

/// Parameter sets by kind.
#[derive(Clone, Default)]
struct Sets {
    video: Vec<Bytes>,
    sequence: Vec<Bytes>,
    picture: Vec<Bytes>,
}

impl Video {
    /// A reader that begins with what an earlier one was configured to, so that the same is not announced again; not with another codec's,
    /// by which no picture of this one could be decoded.
    pub fn new(codec: VideoCodec, config: Option<VideoConfig>) -> Self {
        let (stream, sets) = (vec![], Sets::default());
        let config = config.filter(|config| config.codec == codec);
        Self { codec, stream, open: None, waiting: true, sets, config }
    }

    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    pub fn config(&self) -> Option<&VideoConfig> {
        self.config.as_ref()
    }

    /// A PES packet begins. What it completes.
    pub fn head(
        &mut self,
        times: Option<Times>,
        random_access: bool,
        stats: &mut TsStats,
    ) -> Result<Option<Picture>, TsError> {
        if self.open.as_ref().is_some_and(|open| times.is_none_or(|times| times == open.times)) {
            return Ok(None);
        }
        let complete = self.finish(stats)?;
        self.open = times.map(|times| Open { times, random_access });
        Ok(complete)
    }

    /// Bytes of the open unit.
    pub fn body(&mut self, bytes: &[u8], stats: &mut TsStats) {
        if self.open.is_none() {
            return;
        }
        if self.stream.len() + bytes.len() > LONGEST {
            return self.damage(stats);
        }
        self.stream.extend_from_slice(bytes);
    }

    /// Something is missing or wrong here.
    pub fn damage(&mut self, stats: &mut TsStats) {
        self.stream.clear();
        // The first of it counts; what lies in the hole has no number.
        if self.open.take().is_some() {
            stats.damaged_units += 1;
        }
        self.waiting = true;
    }

    /// The open unit is whole.
    pub fn finish(&mut self, stats: &mut TsStats) -> Result<Option<Picture>, TsError> {
        let Some(open) = self.open.take().filter(|_| !self.stream.is_empty()) else { return Ok(None) };
        // Its room serves the next, unless it was outsize.
        let stream = std::mem::take(&mut self.stream);
        let read = self.unit(&stream, &open, stats);
        if stream.capacity() <= LONGEST / 8 {
            self.stream = stream;
            self.stream.clear();
        }
        read
    }

    fn unit(&mut self, stream: &[u8], open: &Open, stats: &mut TsStats) -> Result<Option<Picture>, TsError> {
        let Some(survey) = Survey::of(self.codec, stream) else {
            stats.damaged_units += 1;
            self.waiting = true;
            return Ok(None);
        };
        if survey.delimiters > MOST_DELIMITERS {
            return Err(TsError::Crowded);
        }
        let keyframe = survey.refresh || survey.recovery || open.random_access && survey.intra;
        self.remember(&survey.sets, keyframe);
        if !survey.picture {
            return Ok(None);
        }
        let known = self.config.is_some();
        let config =
            if keyframe && (!known || !survey.sets.sequence.is_empty()) { self.configure(stats)? } else { None };
        if self.waiting && !keyframe || self.config.is_none() {
            stats.skipped_units += 1;
            return Ok(None);
        }
        self.waiting = false;
        let Times { pts, dts } = open.times;
        Ok(Some(Picture {
            config,
            unit: AccessUnit { track: Track::Video, pts, dts, keyframe, data: survey.data.into() },
        }))
    }

    /// Sets of a keyframe take the place of the earlier ones of their kind. Others, which travel in the unit anyway, serve for want of any.
    fn remember(&mut self, sets: &Sets, keyframe: bool) {
        let kept = &mut self.sets;
        for (kept, new) in
            [(&mut kept.video, &sets.video), (&mut kept.sequence, &sets.sequence), (&mut kept.picture, &sets.picture)]
        {
            if !new.is_empty() && (keyframe || self.config.is_none() || kept.is_empty()) {
                kept.clone_from(new);
            }
        }
    }

    /// The configuration that the sets make, if it is another one. Sets that cannot be used are an error as long as there were no others.
    fn configure(&mut self, stats: &mut TsStats) -> Result<Option<VideoConfig>, TsError> {
        let Sets { video, sequence, picture } = &self.sets;
        if sequence.is_empty() || picture.is_empty() || self.codec == VideoCodec::Hevc && video.is_empty() {
            return Ok(None);
        }
        let read = match self.codec {
            VideoCodec::H264 => avc::parse(&avc::record(sequence, picture)).map_err(TsError::from),
            VideoCodec::Hevc => {
                hevc::record(video, sequence, picture).and_then(|record| hevc::parse(&record)).map_err(TsError::from)
            }
        };
        match read {
            Ok(config) if self.config.as_ref() == Some(&config) => Ok(None),
            Ok(config) => {
                self.config = Some(config.clone());
                Ok(Some(config))
            }
            Err(error) if self.config.is_none() => Err(error),
            Err(_) => {
                stats.damaged_units += 1;
                Ok(None)
            }
        }
    }
}

/// What is in a unit.
#[derive(Default)]
struct Survey {
    /// Its NAL units behind length fields of four bytes, without what no decoder needs.
    data: Vec<u8>,
    /// There is a slice.
    picture: bool,
    /// Of a picture that refers to no earlier one, nor does what follows.
    refresh: bool,
    /// There is a recovery point.
    recovery: bool,
    /// The first slice refers to nothing.
    intra: bool,
    delimiters: usize,
    sets: Sets,
}

impl Survey {
    /// `None` when the bytes are no NAL units of this codec.
    fn of(codec: VideoCodec, stream: &[u8]) -> Option<Self> {
        // Start codes mostly have four bytes, and what has three comes with room to spare.
        let mut survey = Self { data: Vec::with_capacity(stream.len() + 64), ..Self::default() };
        for unit in nal::units(stream)? {
            let (&head, rest) = match unit.split_first() {
                Some(split) => split,
                None => continue,
            };
            if head & 0x80 != 0 {
                return None;
            }
            let keep = match codec {
                VideoCodec::H264 => survey.h264(head & 0x1f, unit, rest),
                VideoCodec::Hevc => survey.hevc(head >> 1 & 0x3f, unit),
            };
            if keep {
                survey.data.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
                survey.data.extend_from_slice(unit);
            }
        }
        Some(survey)
    }

    /// Table 7-1 of H.264. False: no decoder needs it.
    fn h264(&mut self, kind: u8, unit: &[u8], rest: &[u8]) -> bool {
        match kind {
            1 | 2 | 5 => {
                self.intra |= !self.picture && intra_slice(rest) == Some(true);
                self.picture = true;
                self.refresh |= kind == 5;
            }
            3 | 4 => self.picture = true,
            6 => self.recovery |= nal::recovery_point(rest),
            7 => put(&mut self.sets.sequence, unit),
            8 => put(&mut self.sets.picture, unit),
            9 => self.delimiters += 1,
            _ => {}
        }
        !matches!(kind, 9 | 12)
    }

    /// Table 7-1 of H.265. Only the base layer is for everybody.
    fn hevc(&mut self, kind: u8, unit: &[u8]) -> bool {
        let Some(&[high, low]) = unit.first_chunk::<2>() else { return false };
        if high & 1 != 0 || low >> 3 != 0 {
            return false;
        }
        match kind {
            0..=31 => {
                self.picture = true;
                self.refresh |= (16..=23).contains(&kind);
            }
            32 => put(&mut self.sets.video, unit),
            33 => put(&mut self.sets.sequence, unit),
            34 => put(&mut self.sets.picture, unit),
            35 => self.delimiters += 1,
            _ => {}
        }
        !matches!(kind, 35 | 38)
    }
}

fn put(sets: &mut Vec<Bytes>, unit: &[u8]) {
    if unit.len() <= LONGEST_SET && sets.len() < MOST_SETS && !sets.iter().any(|set| set == unit) {
        sets.push(Bytes::copy_from_slice(unit));
    }
}

/// Whether a slice's type (7.3.3 of H.264) is I or SI.
fn intra_slice(slice: &[u8]) -> Option<bool> {
    let mut reader = BitReader::new(slice);
    reader.ue()?;
    Some(matches!(reader.ue()? % 5, 2 | 4))
}
