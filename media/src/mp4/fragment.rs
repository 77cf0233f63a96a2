//! Movie fragments (8.8): which samples a segment has, where their bytes are, and when they are decoded.

use super::Mp4Error;
use super::boxes::{Fields, boxes, find};

/// Most samples of a segment: a minute of 240 pictures a second with sound has a third of them. Each costs memory, however small it is.
const MOST_SAMPLES: usize = 1 << 16;

/// What the samples of a track are like where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub track: u32,
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

/// Samples of one track that follow each other.
pub(super) struct Run<'a> {
    pub track: u32,
    /// Decoding time of the first sample; `None` when it is the end of the last one's.
    pub begin: Option<u64>,
    pub samples: Vec<Sample<'a>>,
}

/// One frame.
pub(super) struct Sample<'a> {
    pub duration: u32,
    /// From decoding to presentation.
    pub offset: i32,
    /// It is said that decoding can begin here.
    pub sync: bool,
    pub data: &'a [u8],
}

/// Fields of `tfhd`.
const BASE: u32 = 0x1;
const DESCRIPTION: u32 = 0x2;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_SIZE: u32 = 0x10;
const DEFAULT_FLAGS: u32 = 0x20;
const BASE_IS_FRAGMENT: u32 = 0x2_0000;
/// Fields of `trun`.
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const OFFSET: u32 = 0x800;
/// In a sample's flags: it is no sync sample.
const NO_SYNC: u32 = 0x1_0000;

/// The runs of all fragments of a segment, of all tracks.
pub(super) fn runs<'a>(
    segment: &'a [u8],
    defaults: &[Defaults],
    mut take: impl FnMut(Run<'a>) -> Result<(), Mp4Error>,
) -> Result<(), Mp4Error> {
    let mut data = Samples { segment, bytes: segment.len(), count: MOST_SAMPLES };
    for moof in boxes(segment, "segment") {
        let moof = moof?;
        if moof.kind != *b"moof" {
            continue;
        }
        // Where the bytes of the next track begin if nobody says it.
        let mut behind = moof.at as u64;
        for traf in boxes(moof.body, "moof") {
            let traf = traf?;
            if traf.kind == *b"traf" {
                track(&mut data, moof.at as u64, &mut behind, traf.body, defaults, &mut take)?;
            }
        }
    }
    Ok(())
}

/// The runs of one track fragment.
fn track<'a>(
    data: &mut Samples<'a>,
    fragment: u64,
    behind: &mut u64,
    traf: &'a [u8],
    defaults: &[Defaults],
    take: &mut impl FnMut(Run<'a>) -> Result<(), Mp4Error>,
) -> Result<(), Mp4Error> {
    let head = find(traf, b"tfhd").and_then(|tfhd| Head::read(Fields(tfhd), defaults));
    let head = head.ok_or(Mp4Error::Damaged("tfhd"))?;
    let base = head.base.unwrap_or(if head.base_is_fragment { fragment } else { *behind });
    let mut begin = match find(traf, b"tfdt") {
        Some(tfdt) => Some(decode_time(Fields(tfdt)).ok_or(Mp4Error::Damaged("tfdt"))?),
        None => None,
    };
    *behind = base;
    for trun in boxes(traf, "traf") {
        let trun = trun?;
        if trun.kind == *b"trun" {
            let samples = data.run(Fields(trun.body), base, behind, &head.defaults);
            let samples = samples.ok_or(Mp4Error::Damaged("trun"))?;
            take(Run { track: head.defaults.track, begin: begin.take(), samples })?;
        }
    }
    Ok(())
}

/// `tfdt` (8.8.12).
fn decode_time(mut fields: Fields<'_>) -> Option<u64> {
    let (version, _) = fields.version()?;
    fields.wide(version)
}

/// `tfhd` (8.8.7), and what the movie says where it says nothing.
struct Head {
    base: Option<u64>,
    base_is_fragment: bool,
    defaults: Defaults,
}

impl Head {
    fn read(mut fields: Fields<'_>, defaults: &[Defaults]) -> Option<Self> {
        let (_, flags) = fields.version()?;
        let track = fields.u32()?;
        let known = defaults.iter().find(|known| known.track == track).copied();
        let known = known.unwrap_or(Defaults { track, ..Defaults::default() });
        let base = if flags & BASE != 0 { Some(fields.u64()?) } else { None };
        fields.skip(if flags & DESCRIPTION != 0 { 4 } else { 0 })?;
        let mut either = |field, known| if flags & field != 0 { fields.u32() } else { Some(known) };
        let defaults = Defaults {
            track,
            duration: either(DEFAULT_DURATION, known.duration)?,
            size: either(DEFAULT_SIZE, known.size)?,
            flags: either(DEFAULT_FLAGS, known.flags)?,
        };
        Some(Self { base, base_is_fragment: flags & BASE_IS_FRAGMENT != 0, defaults })
    }
}

/// The bytes of a segment, and what may still come out of it: runs may overlap, by which a small segment would become a large one.
struct Samples<'a> {
    segment: &'a [u8],
    bytes: usize,
    count: usize,
}

impl<'a> Samples<'a> {
    /// The samples of a `trun` (8.8.8). Its bytes begin where it says, else at `behind`, which is moved behind them.
    fn run(
        &mut self,
        mut fields: Fields<'_>,
        base: u64,
        behind: &mut u64,
        defaults: &Defaults,
    ) -> Option<Vec<Sample<'a>>> {
        let (_, flags) = fields.version()?;
        let count = usize::try_from(fields.u32()?).ok()?;
        self.count = self.count.checked_sub(count)?;
        if flags & DATA_OFFSET != 0 {
            *behind = base.checked_add_signed((fields.u32()? as i32).into())?;
        }
        let mut first_flags = if flags & FIRST_FLAGS != 0 { Some(fields.u32()?) } else { None };
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let mut either = |field, known| if flags & field != 0 { fields.u32() } else { Some(known) };
            let duration = either(DURATION, defaults.duration)?;
            let size = usize::try_from(either(SIZE, defaults.size)?).ok()?;
            let sample_flags = either(FLAGS, first_flags.take().unwrap_or(defaults.flags))?;
            // Signed in later versions; muxers write negative ones in the first, too.
            let offset = either(OFFSET, 0)? as i32;
            self.bytes = self.bytes.checked_sub(size)?;
            let begin = usize::try_from(*behind).ok()?;
            let data = self.segment.get(begin..begin.checked_add(size)?)?;
            *behind += size as u64;
            samples.push(Sample { duration, offset, sync: sample_flags & NO_SYNC == 0, data });
        }
        Some(samples)
    }
}
