//! Pictures that carry their parameter sets inside, as MPEG-TS and RTP bring them, to what a decoder here is given: a configuration
//! record, and NAL units behind length fields of four bytes.
//!
//! ```text
//! annex B bytes of one picture ─▶ survey ─┬─▶ its sets ─▶ VideoConfig, when it is another one
//!                                         └─▶ whether decoding can begin here, the units that a decoder needs
//! ```
//!
//! Contract: one [`PictureReader`] per track, one picture at a time, whole ones in decoding order. Pictures come out from the first keyframe
//! on, and after [`PictureReader::hole`] from the next one on: what else a hole swallowed is not known, and decoders make smeared
//! pictures of what refers to a missing one without saying so. No bytes make it panic; what is kept is at most 48 sets of 4 KiB.

use bytes::Bytes;

use super::annex_b;
use super::bits::BitReader;
use super::{VideoCodec, VideoConfig, avc, hevc};

/// Longest parameter set that is believed, bytes, and the most of one kind in a picture.
const LONGEST_SET: usize = 4096;
const MOST_SETS: usize = 16;
/// Access unit delimiters in what should be one picture. Its two fields have one each.
const MOST_DELIMITERS: usize = 2;

/// Why a track cannot be taken. Its words are for the encoder's operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InBandError {
    /// More than one picture where there should be one.
    #[error("several pictures in one access unit")]
    Crowded,
    /// Unusable H.264 parameter sets, and there were no others before.
    #[error(transparent)]
    Avc(#[from] avc::AvcError),
    /// Unusable HEVC parameter sets, and there were no others before.
    #[error(transparent)]
    Hevc(#[from] hevc::HevcError),
}

/// What the bytes of a picture come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A picture.
    Picture(Picture),
    /// One without fault that cannot be decoded: no configuration yet, or no keyframe since the start or the last hole.
    Skipped,
    /// No NAL units of this codec. It counts as a hole.
    Damaged,
    /// Units without a picture. Their sets are kept.
    Nothing,
}

/// A picture as a decoder is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The configuration from here on, when it is another one than before.
    pub config: Option<VideoConfig>,
    /// Its sets cannot be used; it is decoded by the earlier ones.
    pub damaged_sets: bool,
    /// Decoding can begin here.
    pub keyframe: bool,
    /// Its NAL units behind length fields of four bytes, without what no decoder needs.
    pub data: Bytes,
}

/// Reads the pictures of one track.
pub struct PictureReader {
    codec: VideoCodec,
    /// Nothing is passed on before a keyframe.
    waiting: bool,
    sets: Sets,
    config: Option<VideoConfig>,
}

/// Parameter sets by kind.
#[derive(Default)]
struct Sets {
    video: Vec<Bytes>,
    sequence: Vec<Bytes>,
    picture: Vec<Bytes>,
}

impl PictureReader {
    /// A reader that begins with what an earlier one was configured to, so that the same is not announced again; not with another codec's,
    /// by which no picture of this one could be decoded.
    pub fn new(codec: VideoCodec, config: Option<VideoConfig>) -> Self {
        let config = config.filter(|config| config.codec == codec);
        Self { codec, waiting: true, sets: Sets::default(), config }
    }

    /// What it reads.
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// The configuration in force.
    pub fn config(&self) -> Option<&VideoConfig> {
        self.config.as_ref()
    }

    /// Nothing comes out before the next keyframe.
    pub fn waits_for_keyframe(&self) -> bool {
        self.waiting
    }

    /// A picture is missing here, or a part of one.
    pub fn hole(&mut self) {
        self.waiting = true;
    }

    /// Takes the NAL units of one picture, behind start codes. `random_access`: the sender says that decoding can begin here, which is
    /// believed when the picture refers to no other.
    pub fn read(&mut self, stream: &[u8], random_access: bool) -> Result<Found, InBandError> {
        let Some(survey) = Survey::of(self.codec, stream) else {
            self.waiting = true;
            return Ok(Found::Damaged);
        };
        if survey.delimiters > MOST_DELIMITERS {
            return Err(InBandError::Crowded);
        }
        let keyframe = survey.refresh || survey.recovery || random_access && survey.intra;
        self.remember(&survey.sets, keyframe);
        if !survey.picture {
            return Ok(Found::Nothing);
        }
        let (mut config, mut damaged_sets) = (None, false);
        if keyframe && (self.config.is_none() || !survey.sets.sequence.is_empty()) {
            match self.configure() {
                Ok(new) => config = new,
                Err(error) if self.config.is_none() => return Err(error),
                Err(_) => damaged_sets = true,
            }
        }
        if self.waiting && !keyframe || self.config.is_none() {
            return Ok(Found::Skipped);
        }
        self.waiting = false;
        Ok(Found::Picture(Picture { config, damaged_sets, keyframe, data: survey.data.into() }))
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

    /// The configuration that the sets make, if it is another one.
    fn configure(&mut self) -> Result<Option<VideoConfig>, InBandError> {
        let Sets { video, sequence, picture } = &self.sets;
        if sequence.is_empty() || picture.is_empty() || self.codec == VideoCodec::Hevc && video.is_empty() {
            return Ok(None);
        }
        let config = match self.codec {
            VideoCodec::H264 => avc::parse(&avc::record(sequence, picture))?,
            VideoCodec::Hevc => hevc::parse(&hevc::record(video, sequence, picture)?)?,
        };
        if self.config.as_ref() == Some(&config) {
            return Ok(None);
        }
        self.config = Some(config.clone());
        Ok(Some(config))
    }
}

/// What is in a picture.
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
        for unit in annex_b::units(stream)? {
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
            6 => self.recovery |= annex_b::recovery_point(rest),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[
        0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xc1,
        0x8c, 0xb0,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
    const IDR: &[u8] = &[0x65, 0x88, 0x80];
    const SLICE: &[u8] = &[0x41, 0x9a, 0x02];

    fn bytes(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    fn lengths(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), *unit].concat()).collect()
    }

    fn picture(reader: &mut PictureReader, units: &[&[u8]]) -> Picture {
        match reader.read(&bytes(units), false).unwrap() {
            Found::Picture(picture) => picture,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_keyframe_brings_the_configuration_and_a_repetition_brings_none() {
        let mut reader = PictureReader::new(VideoCodec::H264, None);
        assert_eq!(reader.read(&bytes(&[SLICE]), false), Ok(Found::Skipped));
        let first = picture(&mut reader, &[&[9, 0x10], SPS, PPS, IDR]);
        let config = first.config.expect("a configuration");
        assert_eq!((config.width, config.height), (1280, 720));
        assert_eq!((first.keyframe, &first.data[..]), (true, &lengths(&[SPS, PPS, IDR])[..]));
        let second = picture(&mut reader, &[SLICE]);
        assert_eq!((second.config, second.keyframe, &second.data[..]), (None, false, &lengths(&[SLICE])[..]));
        assert_eq!(picture(&mut reader, &[SPS, PPS, IDR]).config, None);
        assert_eq!(reader.config(), Some(&config));
    }

    #[test]
    fn sets_on_their_own_serve_the_keyframe_that_follows() {
        let mut reader = PictureReader::new(VideoCodec::H264, None);
        assert_eq!(reader.read(&bytes(&[SPS, PPS]), false), Ok(Found::Nothing));
        assert!(picture(&mut reader, &[IDR]).config.is_some());
    }

    #[test]
    fn behind_a_hole_pictures_begin_at_a_keyframe() {
        let mut reader = PictureReader::new(VideoCodec::H264, None);
        picture(&mut reader, &[SPS, PPS, IDR]);
        reader.hole();
        assert_eq!(reader.read(&bytes(&[SLICE]), false), Ok(Found::Skipped));
        picture(&mut reader, &[IDR]);
        assert_eq!(reader.read(b"\x65 without a start code", false), Ok(Found::Damaged));
        assert_eq!(reader.read(&bytes(&[SLICE]), false), Ok(Found::Skipped));
        picture(&mut reader, &[IDR]);
    }

    #[test]
    fn unusable_sets_are_an_error_only_while_there_are_no_others() {
        let bad: &[u8] = &[0x67, 0x4d];
        let mut reader = PictureReader::new(VideoCodec::H264, None);
        assert!(matches!(reader.read(&bytes(&[bad, PPS, IDR]), false), Err(InBandError::Avc(_))));
        let mut reader = PictureReader::new(VideoCodec::H264, None);
        picture(&mut reader, &[SPS, PPS, IDR]);
        let next = picture(&mut reader, &[bad, PPS, IDR]);
        assert!(next.damaged_sets && next.config.is_none());
    }
}
