//! `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1) to [`VideoConfig`], by way of its sequence parameter set
//! (ITU-T H.265, 7.3.2.2 and annex E), and records out of parameter sets.
//!
//! Contract: as [`super::avc`]. No bytes make it panic, and damaged usability information turns no encoder away.

use bytes::Bytes;

use super::avc::{ASPECTS, plausible_rate, without_emulation_prevention};
use super::bits::BitReader;
use super::{MAX_EDGE, MAX_PIXELS, MIN_EDGE, VideoCodec, VideoConfig, excess};
use crate::time::FrameRate;

/// Types of NAL units (table 7-1).
const VIDEO_SET: u8 = 32;
const SEQUENCE_SET: u8 = 33;
const PICTURE_SET: u8 = 34;

/// Bytes of a record before its arrays of parameter sets.
const FIXED: usize = 23;

/// Why a decoder configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HevcError {
    /// It ends too early.
    #[error("HEVC configuration record is truncated")]
    Truncated,
    /// Only version 1 exists.
    #[error("HEVC configuration record has unknown version {0}")]
    Version(u8),
    /// NAL lengths have 1, 2 or 4 bytes.
    #[error("HEVC NAL length of 3 bytes is not allowed")]
    LengthSize,
    /// A parameter set of one of the three kinds is missing.
    #[error("HEVC configuration record lacks a parameter set")]
    MissingSet,
    /// The sequence parameter set cannot be read.
    #[error("HEVC sequence parameter set is damaged")]
    Sps,
    /// Too large or too small.
    #[error("picture of {width}x{height} is outside of {MIN_EDGE} to {MAX_EDGE} pixels an edge, {MAX_PIXELS} in all")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

/// Reads a configuration record. The result keeps its own copy of the bytes.
pub fn parse(record: &[u8]) -> Result<VideoConfig, HevcError> {
    let (fixed, mut rest) = record.split_first_chunk::<FIXED>().ok_or(HevcError::Truncated)?;
    if fixed[0] != 1 {
        return Err(HevcError::Version(fixed[0]));
    }
    if fixed[21] & 3 == 2 {
        return Err(HevcError::LengthSize);
    }
    let mut first: [Option<&[u8]>; 3] = [None; 3];
    for _ in 0..fixed[22] {
        let (&[kind, high, low], mut behind) = rest.split_first_chunk::<3>().ok_or(HevcError::Truncated)?;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let (&length, unit) = behind.split_first_chunk::<2>().ok_or(HevcError::Truncated)?;
            let (unit, next) = unit.split_at_checked(u16::from_be_bytes(length).into()).ok_or(HevcError::Truncated)?;
            if let Some(slot) = (kind & 0x3f).checked_sub(VIDEO_SET).and_then(|kind| first.get_mut(usize::from(kind))) {
                *slot = slot.or(Some(unit));
            }
            behind = next;
        }
        rest = behind;
    }
    let [Some(_), Some(sequence), Some(_)] = first else { return Err(HevcError::MissingSet) };
    let sps = parse_sps(sequence)?;
    Ok(VideoConfig {
        codec: VideoCodec::Hevc,
        decoder_config: Bytes::copy_from_slice(record),
        width: sps.width,
        height: sps.height,
        pixel_aspect: sps.pixel_aspect,
        frame_rate: sps.frame_rate,
    })
}

/// Bytes of the length field before each NAL unit, of a record that [`parse`] accepted.
pub fn length_size(record: &[u8]) -> usize {
    record.get(21).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// The record of these parameter sets, NAL units each, with lengths of four bytes. More sets of the kinds may stand in the stream.
pub fn record(
    video: &[impl AsRef<[u8]>],
    sequence: &[impl AsRef<[u8]>],
    picture: &[impl AsRef<[u8]>],
) -> Result<Vec<u8>, HevcError> {
    const FITS: usize = u16::MAX as usize;
    let sps = parse_sps(sequence.first().ok_or(HevcError::MissingSet)?.as_ref())?;
    let mut record = vec![1];
    record.extend(sps.profile_tier_level);
    // No least segmentation, unknown parallelism.
    record.extend([0xf0, 0, 0xfc, 0xfc | sps.chroma_format, 0xf8 | sps.luma_depth, 0xf8 | sps.chroma_depth]);
    // Unknown average rate; layers, nesting, lengths of four bytes.
    record.extend([0, 0, sps.sub_layers << 3 | u8::from(sps.nesting) << 2 | 3, 3]);
    let video: Vec<&[u8]> = video.iter().map(AsRef::as_ref).collect();
    let sequence: Vec<&[u8]> = sequence.iter().map(AsRef::as_ref).collect();
    let picture: Vec<&[u8]> = picture.iter().map(AsRef::as_ref).collect();
    for (kind, sets) in [(VIDEO_SET, video), (SEQUENCE_SET, sequence), (PICTURE_SET, picture)] {
        let sets: Vec<_> = sets.into_iter().filter(|set| set.len() <= FITS).take(FITS).collect();
        record.push(kind);
        record.extend((sets.len() as u16).to_be_bytes());
        for set in sets {
            record.extend((set.len() as u16).to_be_bytes());
            record.extend(set);
        }
    }
    Ok(record)
}

struct Sps {
    /// `general_profile_space` to `general_level_idc`.
    profile_tier_level: [u8; 12],
    sub_layers: u8,
    nesting: bool,
    chroma_format: u8,
    luma_depth: u8,
    chroma_depth: u8,
    width: u32,
    height: u32,
    pixel_aspect: (u32, u32),
    frame_rate: Option<FrameRate>,
}

fn parse_sps(unit: &[u8]) -> Result<Sps, HevcError> {
    let (&[head, _], payload) = unit.split_first_chunk::<2>().ok_or(HevcError::Sps)?;
    if head >> 1 & 0x3f != SEQUENCE_SET {
        return Err(HevcError::Sps);
    }
    let payload = without_emulation_prevention(payload);
    let mut reader = BitReader::new(&payload);
    let (mut sps, coded) = read_size(&payload, &mut reader).ok_or(HevcError::Sps)?;
    if let Some((width, height)) = excess(coded, (sps.width, sps.height)) {
        return Err(HevcError::Size { width, height });
    }
    // As in H.264, a picture plays without the rest.
    let _ = read_rest(&mut reader, &mut sps);
    Ok(sps)
}

/// Everything up to the bit depths, and width and height before cropping.
fn read_size(payload: &[u8], reader: &mut BitReader<'_>) -> Option<(Sps, (u32, u32))> {
    reader.skip(4)?;
    let more_layers = reader.bits(3).filter(|&count| count <= 6)?;
    let nesting = reader.flag()?;
    let profile_tier_level = *payload.get(1..)?.first_chunk::<12>()?;
    reader.skip(96)?;
    let mut layers = vec![];
    for _ in 0..more_layers {
        layers.push((reader.flag()?, reader.flag()?));
    }
    if more_layers > 0 {
        reader.skip(2 * (8 - more_layers as usize))?;
    }
    for (profile, level) in layers {
        reader.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    reader.ue()?;
    let chroma_format = reader.ue().filter(|&format| format <= 3)?;
    if chroma_format == 3 {
        reader.flag()?;
    }
    let coded = (reader.ue()?, reader.ue()?);
    let (mut width, mut height) = coded;
    if reader.flag()? {
        let (unit_x, unit_y) = [(1, 1), (2, 2), (2, 1), (1, 1)][chroma_format as usize];
        let [left, right, top, bottom] = [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?];
        let cropped =
            |size: u32, first: u32, last: u32, unit: u32| size.checked_sub(first.checked_add(last)?.checked_mul(unit)?);
        width = cropped(width, left, right, unit_x)?;
        height = cropped(height, top, bottom, unit_y)?;
    }
    let depth = |reader: &mut BitReader<'_>| reader.ue().filter(|&depth| depth <= 7).map(|depth| depth as u8);
    let (luma_depth, chroma_depth) = (depth(reader)?, depth(reader)?);
    let sps = Sps {
        profile_tier_level,
        sub_layers: more_layers as u8 + 1,
        nesting,
        chroma_format: chroma_format as u8,
        luma_depth,
        chroma_depth,
        width,
        height,
        pixel_aspect: (1, 1),
        frame_rate: None,
    };
    Some((sps, coded))
}

/// What stands between the bit depths and the timing.
fn read_rest(reader: &mut BitReader<'_>, sps: &mut Sps) -> Option<()> {
    let order_bits = reader.ue().filter(|&bits| bits <= 12)? + 4;
    let layers = if reader.flag()? { sps.sub_layers } else { 1 };
    for _ in 0..3 * layers {
        reader.ue()?;
    }
    for _ in 0..6 {
        reader.ue()?;
    }
    if reader.flag()? && reader.flag()? {
        skip_scaling_lists(reader)?;
    }
    reader.skip(2)?;
    if reader.flag()? {
        reader.skip(8)?;
        reader.ue()?;
        reader.ue()?;
        reader.flag()?;
    }
    let sets = reader.ue().filter(|&count| count <= 64)?;
    let mut pictures = 0;
    for index in 0..sets {
        pictures = skip_reference_set(reader, index > 0, pictures)?;
    }
    if reader.flag()? {
        for _ in 0..reader.ue().filter(|&count| count <= 32)? {
            reader.skip(order_bits as usize + 1)?;
        }
    }
    reader.skip(2)?;
    if reader.flag()? { read_usability(reader, sps) } else { None }
}

/// `scaling_list_data` (7.3.4).
fn skip_scaling_lists(reader: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !reader.flag()? {
                reader.ue()?;
                continue;
            }
            if size > 1 {
                reader.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                reader.se()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set` (7.3.7); pictures in it, of which the one before has `pictures`.
fn skip_reference_set(reader: &mut BitReader<'_>, has_predecessor: bool, pictures: u32) -> Option<u32> {
    const MOST: u32 = 16;
    if has_predecessor && reader.flag()? {
        reader.flag()?;
        reader.ue()?;
        let mut kept = 0;
        for _ in 0..=pictures {
            // Used by the current picture, else perhaps by a later one.
            kept += u32::from(reader.flag()? || reader.flag()?);
        }
        return (kept <= MOST).then_some(kept);
    }
    let [before, after] = [reader.ue()?, reader.ue()?];
    let pictures = before.checked_add(after).filter(|&count| count <= MOST)?;
    for _ in 0..pictures {
        reader.ue()?;
        reader.flag()?;
    }
    Some(pictures)
}

/// Pixel aspect ratio and frame rate of `vui_parameters` (E.2.1).
fn read_usability(reader: &mut BitReader<'_>, sps: &mut Sps) -> Option<()> {
    const EXTENDED_SAR: u32 = 255;
    if reader.flag()? {
        sps.pixel_aspect = match reader.bits(8)? {
            EXTENDED_SAR => match (reader.bits(16)?, reader.bits(16)?) {
                (0, _) | (_, 0) => (1, 1),
                aspect => aspect,
            },
            index => ASPECTS.get(index as usize).copied().unwrap_or((1, 1)),
        };
    }
    if reader.flag()? {
        reader.flag()?;
    }
    if reader.flag()? {
        reader.skip(4)?;
        if reader.flag()? {
            reader.skip(24)?;
        }
    }
    if reader.flag()? {
        reader.ue()?;
        reader.ue()?;
    }
    reader.skip(3)?;
    if reader.flag()? {
        for _ in 0..4 {
            reader.ue()?;
        }
    }
    if reader.flag()? {
        let units_in_tick = u64::from(reader.bits(32)?);
        let time_scale = u64::from(reader.bits(32)?);
        // A tick is a picture. Where fields are coded it is one of those, and decoders hand them out singly.
        sps.frame_rate = plausible_rate(time_scale, units_in_tick);
    }
    Some(())
}

#[cfg(test)]
mod tests;
