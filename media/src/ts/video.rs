//! The video track: PES packets to access units, and decoder configurations out of the stream itself.
//!
//! A unit is what lies between two heads with different times, so it is known to be whole when the next begins: one frame later. A PES packet
//! without a time, or with the same, goes on with the unit.
//!
//! A unit with a hole is dropped, and every unit behind it up to the next keyframe. A gap is seen: the worker holds its picture or shows the
//! other input. The feed drops in the same way.

use super::clock::Times;
use super::{TsError, TsStats};
use crate::access_unit::{AccessUnit, Track};
use crate::codec::in_band::{Found, PictureReader};
use crate::codec::{VideoCodec, VideoConfig};

/// Longest unit, bytes.
pub(super) const LONGEST: usize = 8 << 20;

/// What a unit comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// A configuration that is new, to be put in front.
    pub config: Option<VideoConfig>,
    pub unit: AccessUnit,
}

/// Reads one video stream.
pub(super) struct Video {
    pictures: PictureReader,
    /// The byte stream of the open unit.
    stream: Vec<u8>,
    open: Option<Open>,
}

struct Open {
    times: Times,
    /// The sender says that decoding can begin here.
    random_access: bool,
}

impl Video {
    /// As [`PictureReader::new`].
    pub fn new(codec: VideoCodec, config: Option<VideoConfig>) -> Self {
        Self { pictures: PictureReader::new(codec, config), stream: vec![], open: None }
    }

    pub fn codec(&self) -> VideoCodec {
        self.pictures.codec()
    }

    pub fn config(&self) -> Option<&VideoConfig> {
        self.pictures.config()
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
        self.pictures.hole();
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
        match self.pictures.read(stream, open.random_access)? {
            Found::Picture(picture) => {
                stats.damaged_units += u64::from(picture.damaged_sets);
                let (Times { pts, dts }, keyframe) = (open.times, picture.keyframe);
                let unit = AccessUnit { track: Track::Video, pts, dts, keyframe, data: picture.data };
                return Ok(Some(Picture { config: picture.config, unit }));
            }
            Found::Skipped => stats.skipped_units += 1,
            Found::Damaged => stats.damaged_units += 1,
            Found::Nothing => {}
        }
        Ok(None)
    }
}
