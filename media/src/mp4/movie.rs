//! The movie box of an initialization section (8.2): which tracks there are, and how their times are to be read.

use std::num::NonZeroU32;

use super::Mp4Error;
use super::boxes::{Fields, boxes, find};
use super::fragment::Defaults;
use super::sample_entry::{self, Entry};
use crate::time::Timestamp;

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;
/// Times further from zero, nanoseconds, are none: 73 years, more than a clock that counts since 1970 shows.
const FARTHEST: i128 = 1 << 61;
/// Furthest that a picture's two times are apart, nanoseconds, as in a transport stream.
const DELAY: i128 = 10 * SECOND;

/// What a movie says about its fragments.
pub(super) struct Movie {
    /// The first track with video and the first with audio that can be decoded.
    pub tracks: Vec<Track>,
    /// Of all tracks.
    pub defaults: Vec<Defaults>,
}

pub(super) struct Track {
    pub id: u32,
    pub times: Times,
    pub entry: Entry,
}

/// How the times of a track are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Units of a second.
    scale: NonZeroU32,
    /// Where in the track the presentation begins, units.
    begin: i64,
    /// Where in the presentation the track begins, nanoseconds.
    delay: i128,
}

impl Times {
    /// Presentation and decoding time of a sample; `None` when they are none that can be believed.
    pub fn of(&self, at: u64, offset: i32) -> Option<(Timestamp, Timestamp)> {
        let units = i128::from(at) - i128::from(self.begin);
        let [dts, pts] = [units, units + i128::from(offset)].map(|units| self.nanos(units));
        let believed = dts.abs() < FARTHEST && (pts - dts).abs() <= DELAY;
        believed.then(|| (Timestamp::from_nanos(pts as i64), Timestamp::from_nanos(dts as i64)))
    }

    fn nanos(&self, units: i128) -> i128 {
        (units * SECOND).div_euclid(self.scale.get().into()) + self.delay
    }
}

impl Movie {
    /// Reads an initialization section.
    pub fn read(init: &[u8]) -> Result<Self, Mp4Error> {
        let moov = find(init, b"moov").ok_or(Mp4Error::Damaged("moov"))?;
        let movie_scale = find(moov, b"mvhd").and_then(|mvhd| scale(Fields(mvhd)));
        let (mut video, mut audio) = (Chosen::default(), Chosen::default());
        let mut defaults = vec![];
        for found in boxes(moov, "moov") {
            let found = found?;
            match &found.kind {
                b"trak" => match handler(found.body)? {
                    b"vide" => video.consider(track(found.body, movie_scale, true)?),
                    b"soun" => audio.consider(track(found.body, movie_scale, false)?),
                    _ => {}
                },
                b"mvex" => {
                    for trex in boxes(found.body, "mvex") {
                        let trex = trex?;
                        if trex.kind == *b"trex" {
                            defaults.push(default(Fields(trex.body)).ok_or(Mp4Error::Damaged("trex"))?);
                        }
                    }
                }
                _ => {}
            }
        }
        let tracks: Vec<_> = [video.taken()?, audio.taken()?].into_iter().flatten().collect();
        if tracks.is_empty() { Err(Mp4Error::NoTrack) } else { Ok(Self { tracks, defaults }) }
    }
}

/// The first track of a kind that can be decoded, else the first that cannot.
#[derive(Default)]
struct Chosen(Option<Track>);

impl Chosen {
    fn consider(&mut self, track: Track) {
        let better =
            |chosen: &Track| matches!(chosen.entry, Entry::Other(_)) && !matches!(track.entry, Entry::Other(_));
        if self.0.as_ref().is_none_or(better) {
            self.0 = Some(track);
        }
    }

    fn taken(self) -> Result<Option<Track>, Mp4Error> {
        match self.0 {
            Some(Track { entry: Entry::Other(name), .. }) => Err(Mp4Error::Codec(name)),
            chosen => Ok(chosen),
        }
    }
}

/// What kind of media a track has (8.4.3).
fn handler(trak: &[u8]) -> Result<&[u8], Mp4Error> {
    let hdlr = find(trak, b"mdia").and_then(|mdia| find(mdia, b"hdlr"));
    hdlr.and_then(|hdlr| hdlr.get(8..12)).ok_or(Mp4Error::Damaged("hdlr"))
}

fn track(trak: &[u8], movie_scale: Option<NonZeroU32>, video: bool) -> Result<Track, Mp4Error> {
    let mdia = find(trak, b"mdia").ok_or(Mp4Error::Damaged("mdia"))?;
    let id = find(trak, b"tkhd").and_then(|tkhd| track_id(Fields(tkhd))).ok_or(Mp4Error::Damaged("tkhd"))?;
    let scale = find(mdia, b"mdhd").and_then(|mdhd| scale(Fields(mdhd))).ok_or(Mp4Error::Damaged("mdhd"))?;
    let table = find(mdia, b"minf").and_then(|minf| find(minf, b"stbl")).and_then(|stbl| find(stbl, b"stsd"));
    let entry = sample_entry::read(table.ok_or(Mp4Error::Damaged("stsd"))?, video)?;
    let edit = find(trak, b"edts").and_then(|edts| find(edts, b"elst"));
    // An edit list that cannot be read is as good as none.
    let (begin, delay) = edit.and_then(|elst| edit_list(Fields(elst), movie_scale)).unwrap_or((0, 0));
    Ok(Track { id, times: Times { scale, begin, delay }, entry })
}

/// `track_ID` of `tkhd` (8.3.2).
fn track_id(mut fields: Fields<'_>) -> Option<u32> {
    let (version, _) = fields.version()?;
    fields.skip(if version == 0 { 8 } else { 16 })?;
    fields.u32()
}

/// `timescale` of `mvhd` (8.2.2) and `mdhd` (8.4.2), which begin alike.
fn scale(mut fields: Fields<'_>) -> Option<NonZeroU32> {
    let (version, _) = fields.version()?;
    fields.skip(if version == 0 { 8 } else { 16 })?;
    NonZeroU32::new(fields.u32()?)
}

/// Where the first edit (8.6.6) begins in the track, and the nanoseconds of empty ones before it.
fn edit_list(mut fields: Fields<'_>, movie_scale: Option<NonZeroU32>) -> Option<(i64, i128)> {
    let (version, _) = fields.version()?;
    let mut delay = 0;
    for _ in 0..fields.u32()? {
        let duration = fields.wide(version)?;
        let begin = if version == 0 { i64::from(fields.u32()? as i32) } else { fields.u64()? as i64 };
        fields.skip(4)?;
        if begin >= 0 {
            return Some((begin, delay));
        }
        delay += i128::from(duration) * SECOND / i128::from(movie_scale?.get());
        if delay > DELAY {
            return None;
        }
    }
    None
}

/// `trex` (8.8.3).
fn default(mut fields: Fields<'_>) -> Option<Defaults> {
    fields.version()?;
    let track = fields.u32()?;
    fields.skip(4)?;
    Some(Defaults { track, duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(scale: u32, begin: i64) -> Times {
        Times { scale: NonZeroU32::new(scale).unwrap(), begin, delay: 0 }
    }

    fn nanos(read: Option<(Timestamp, Timestamp)>) -> Option<(i64, i64)> {
        read.map(|(pts, dts)| (pts.as_nanos(), dts.as_nanos()))
    }

    #[test]
    fn times_are_exact_and_shifted_by_the_edit() {
        assert_eq!(nanos(times(90_000, 0).of(3003, 3003)), Some((66_733_333, 33_366_666)));
        assert_eq!(nanos(times(48_000, 1024).of(1024, 0)), Some((0, 0)));
        assert_eq!(nanos(times(48_000, 1024).of(0, 0)), Some((-21_333_334, -21_333_334)));
        assert_eq!(nanos(times(1000, 0).of(100, -100)), Some((0, 100_000_000)));
    }

    #[test]
    fn times_that_nobody_means_are_none() {
        assert_eq!(times(1, 0).of(u64::MAX, 0), None);
        assert_eq!(times(1000, 0).of(0, 10_001), None);
        assert_eq!(times(1, i64::MAX).of(0, i32::MIN), None);
        // A clock since 1970 of 10 MHz is one.
        assert!(times(10_000_000, 0).of(17_000_000_000_000_000, 0).is_some());
    }

    #[test]
    fn an_empty_edit_delays_and_the_first_other_one_begins() {
        let list = [0u32, 2, 500, u32::MAX, 0x1_0000, 8000, 1024, 0x1_0000].map(u32::to_be_bytes).concat();
        assert_eq!(edit_list(Fields(&list), NonZeroU32::new(1000)), Some((1024, 500_000_000)));
        assert_eq!(edit_list(Fields(&list[..12]), NonZeroU32::new(1000)), None);
        let long = [0u32, 1, 20_000, u32::MAX, 0x1_0000].map(u32::to_be_bytes).concat();
        assert_eq!(edit_list(Fields(&long), NonZeroU32::new(1000)), None);
    }
}
