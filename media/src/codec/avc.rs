//! `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1) to [`VideoConfig`], by way of its sequence parameter set
//! (ITU-T H.264, 7.3.2.1.1 and annex E).
//!
//! Contract: no bytes make it panic, and it is lenient where decoders are: a level that is too small for the picture or
//! damaged usability information does not turn an encoder away.

use bytes::Bytes;

use super::bits::BitReader;
use super::{MAX_EDGE, MAX_PIXELS, MIN_EDGE, VideoCodec, VideoConfig, excess};
use crate::time::FrameRate;

/// Why a decoder configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvcError {
    /// It ends too early.
    #[error("H.264 configuration record is truncated")]
    Truncated,
    /// Only version 1 exists.
    #[error("H.264 configuration record has unknown version {0}")]
    Version(u8),
    /// NAL lengths have 1, 2 or 4 bytes.
    #[error("H.264 NAL length of 3 bytes is not allowed")]
    LengthSize,
    /// Nothing to learn the picture size from.
    #[error("H.264 configuration record has no sequence parameter set")]
    NoSps,
    /// Nothing can be decoded without one.
    #[error("H.264 configuration record has no picture parameter set")]
    NoPps,
    /// The sequence parameter set cannot be read.
    #[error("H.264 sequence parameter set is damaged")]
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
pub fn parse(record: &[u8]) -> Result<VideoConfig, AvcError> {
    let (&version, rest) = record.split_first().ok_or(AvcError::Truncated)?;
    if version != 1 {
        return Err(AvcError::Version(version));
    }
    // Profile, compatibility and level stand again in the sequence parameter set.
    let rest = rest.get(3..).ok_or(AvcError::Truncated)?;
    let (&length_size, rest) = rest.split_first().ok_or(AvcError::Truncated)?;
    if length_size & 3 == 2 {
        return Err(AvcError::LengthSize);
    }
    let (&sps_count, mut rest) = rest.split_first().ok_or(AvcError::Truncated)?;
    let mut first_sps = None;
    for _ in 0..sps_count & 0x1f {
        first_sps = first_sps.or(Some(take_unit(&mut rest)?));
    }
    let sps = parse_sps(first_sps.ok_or(AvcError::NoSps)?)?;
    let (&pps_count, mut rest) = rest.split_first().ok_or(AvcError::Truncated)?;
    if pps_count == 0 {
        return Err(AvcError::NoPps);
    }
    for _ in 0..pps_count {
        take_unit(&mut rest)?;
    }
    Ok(VideoConfig {
        codec: VideoCodec::H264,
        decoder_config: Bytes::copy_from_slice(record),
        width: sps.width,
        height: sps.height,
        pixel_aspect: sps.pixel_aspect,
        frame_rate: sps.frame_rate,
    })
}

/// The record of these parameter sets, NAL units each, with lengths of four bytes: what a stream says that carries its sets inside. At most
/// 31 of the one kind, 255 of the other, and 65 535 bytes each are written.
pub fn record(sequence: &[impl AsRef<[u8]>], picture: &[impl AsRef<[u8]>]) -> Vec<u8> {
    const FITS: usize = u16::MAX as usize;
    let sets = |sets: &mut dyn Iterator<Item = &[u8]>, most: usize| -> Vec<Vec<u8>> {
        let sets = sets.filter(|set| set.len() <= FITS).take(most);
        sets.map(|set| [&(set.len() as u16).to_be_bytes(), set].concat()).collect()
    };
    let written = sets(&mut sequence.iter().map(AsRef::as_ref), 31);
    let heads = written.first().and_then(|set| set.get(3..6)).unwrap_or(&[0; 3]);
    let mut record = [&[1], heads, &[0xff, 0xe0 | written.len() as u8]].concat();
    record.extend(written.iter().flatten());
    let pictures = sets(&mut picture.iter().map(AsRef::as_ref), 255);
    record.push(pictures.len() as u8);
    record.extend(pictures.iter().flatten());
    if let Some([chroma_format, luma_depth, chroma_depth]) = written.first().and_then(|set| high_fields(set.get(3..)?))
    {
        record.extend([0xfc | chroma_format, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
    }
    record
}

/// `chroma_format_idc` and both `bit_depth_minus8` of a set without its NAL unit's head, of the profiles whose records repeat them.
fn high_fields(payload: &[u8]) -> Option<[u8; 3]> {
    let head = without_emulation_prevention(payload.get(..payload.len().min(32))?);
    let mut reader = BitReader::new(&head);
    if !matches!(reader.bits(8)?, 44 | 100 | 110 | 122 | 244) {
        return None;
    }
    reader.skip(16)?;
    reader.ue()?;
    let chroma_format = reader.ue().filter(|&format| format <= 3)?;
    if chroma_format == 3 {
        reader.flag()?;
    }
    let [luma, chroma] = [reader.ue()?, reader.ue()?];
    (luma <= 7 && chroma <= 7).then_some([chroma_format as u8, luma as u8, chroma as u8])
}

/// Bytes of the length field before each NAL unit, of a record that [`parse`] accepted.
pub fn length_size(record: &[u8]) -> usize {
    record.get(4).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// Takes one parameter set behind its 16-bit length.
fn take_unit<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], AvcError> {
    let (length, behind) = rest.split_first_chunk::<2>().ok_or(AvcError::Truncated)?;
    let (unit, behind) =
        behind.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(AvcError::Truncated)?;
    *rest = behind;
    Ok(unit)
}

struct Sps {
    width: u32,
    height: u32,
    pixel_aspect: (u32, u32),
    frame_rate: Option<FrameRate>,
}

fn parse_sps(unit: &[u8]) -> Result<Sps, AvcError> {
    const SPS_UNIT: u8 = 7;
    let (&header, payload) = unit.split_first().ok_or(AvcError::Sps)?;
    if header & 0x1f != SPS_UNIT {
        return Err(AvcError::Sps);
    }
    let payload = without_emulation_prevention(payload);
    let mut reader = BitReader::new(&payload);
    let (coded, shown) = read_size(&mut reader).ok_or(AvcError::Sps)?;
    if let Some((width, height)) = excess(coded, shown) {
        return Err(AvcError::Size { width, height });
    }
    let mut sps = Sps { width: shown.0, height: shown.1, pixel_aspect: (1, 1), frame_rate: None };
    // Decoders play a picture without usability information, so damage there is not an error.
    let _ = read_usability(&mut reader, &mut sps);
    Ok(sps)
}

/// Removes the `03` of each `00 00 03` (7.3.1).
pub(super) fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Everything up to the cropping rectangle; width and height before and after cropping.
fn read_size(reader: &mut BitReader<'_>) -> Option<((u32, u32), (u32, u32))> {
    let profile = reader.bits(8)?;
    reader.skip(16)?;
    reader.ue()?;
    let mut chroma_format = 1;
    if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
        chroma_format = reader.ue()?;
        if chroma_format == 3 {
            reader.flag()?;
        }
        reader.ue()?;
        reader.ue()?;
        reader.flag()?;
        if reader.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if reader.flag()? {
                    skip_scaling_list(reader, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    reader.ue()?;
    match reader.ue()? {
        0 => {
            reader.ue()?;
        }
        1 => {
            reader.flag()?;
            reader.se()?;
            reader.se()?;
            for _ in 0..reader.ue().filter(|&count| count <= 255)? {
                reader.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    reader.ue()?;
    reader.flag()?;
    let columns = reader.ue()?;
    let rows = reader.ue()?;
    let frame_macroblocks_only = reader.flag()?;
    if !frame_macroblocks_only {
        reader.flag()?;
    }
    reader.flag()?;
    let field_factor = if frame_macroblocks_only { 1 } else { 2 };
    let width = columns.checked_add(1)?.checked_mul(16)?;
    let height = rows.checked_add(1)?.checked_mul(16 * field_factor)?;
    if !reader.flag()? {
        return Some(((width, height), (width, height)));
    }
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        0 | 3 => (1, 1),
        _ => return None,
    };
    let [left, right, top, bottom] = [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?];
    let cropped =
        |size: u32, first: u32, last: u32, unit: u32| size.checked_sub(first.checked_add(last)?.checked_mul(unit)?);
    let shown = (cropped(width, left, right, unit_x)?, cropped(height, top, bottom, unit_y * field_factor)?);
    Some(((width, height), shown))
}

/// `scaling_list` (7.3.2.1.1.1), only to get past it.
fn skip_scaling_list(reader: &mut BitReader<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + reader.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Pixel aspect ratios by index (table E-1).
pub(super) const ASPECTS: [(u32, u32); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Pixel aspect ratio and frame rate of `vui_parameters` (E.1.1).
fn read_usability(reader: &mut BitReader<'_>, sps: &mut Sps) -> Option<()> {
    const EXTENDED_SAR: u32 = 255;
    if !reader.flag()? {
        return None;
    }
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
    if reader.flag()? {
        let units_in_tick = reader.bits(32)?;
        let time_scale = reader.bits(32)?;
        sps.frame_rate = plausible_rate(u64::from(time_scale), 2 * u64::from(units_in_tick));
    }
    Some(())
}

/// `num / den` in lowest terms when it is between 1 and 240.
pub(super) fn plausible_rate(num: u64, den: u64) -> Option<FrameRate> {
    if den == 0 || num < den || num > den.checked_mul(240)? {
        return None;
    }
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    FrameRate::new(u32::try_from(num / a).ok()?, u32::try_from(den / a).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Records that x264 wrote, and what it was told to encode.
    const MAIN_720P30: &str = "014d401fffe10019674d401feca02802dd8088000003000800000301e078c18cb001000568ebe3cb20";
    const INTERLACED_1080: &str =
        "01640028ffe1001967640028acd94078044fde022000007d20001d4c03e2c5b2c001000668fba3cb22c0fdf8f800";
    const ANAMORPHIC_PAL: &str =
        "0164001effe1001d6764001eacd940b4126ffc010000b440000003004000000c83c58b658001000668ebe3cb22c0fdf8f800";
    const PORTRAIT_444: &str =
        "01f40020ffe1001b67f40020919b28130113dc4e0220000003002000000c81e30632c001000668ebe3c44844fff8f800";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn size_aspect_and_rate_are_what_the_encoder_was_told() {
        for (hex, size, aspect, rate) in [
            (MAIN_720P30, (1280, 720), (1, 1), (30, 1)),
            (INTERLACED_1080, (1920, 1080), (1, 1), (30000, 1001)),
            (ANAMORPHIC_PAL, (720, 576), (64, 45), (25, 1)),
            (PORTRAIT_444, (606, 1080), (1, 1), (50, 1)),
        ] {
            let config = parse(&bytes(hex)).unwrap();
            assert_eq!((config.width, config.height), size);
            assert_eq!(config.pixel_aspect, aspect);
            assert_eq!(config.frame_rate, FrameRate::new(rate.0, rate.1));
            assert_eq!(config.decoder_config, bytes(hex));
            assert_eq!(length_size(&config.decoder_config), 4);
        }
    }

    #[test]
    fn a_record_out_of_sets_is_the_encoders_own() {
        for hex in [MAIN_720P30, INTERLACED_1080, ANAMORPHIC_PAL, PORTRAIT_444] {
            let written = bytes(hex);
            let mut rest = &written[6..];
            let sequence = take_unit(&mut rest).unwrap();
            rest = &rest[1..];
            let picture = take_unit(&mut rest).unwrap();
            assert_eq!(record(&[sequence], &[picture]), written);
        }
    }

    #[test]
    fn each_defect_has_its_error() {
        let good = bytes(MAIN_720P30);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            parse(&bad).unwrap_err()
        };
        assert_eq!(parse(&[]).unwrap_err(), AvcError::Truncated);
        assert_eq!(parse(&good[..20]).unwrap_err(), AvcError::Truncated);
        assert_eq!(with(0, 0), AvcError::Version(0));
        assert_eq!(with(4, 0xfe), AvcError::LengthSize);
        assert_eq!(with(5, 0xe0), AvcError::NoSps);
        assert_eq!(with(8, 0x68), AvcError::Sps);
        let pps_count = 8 + 0x19;
        assert_eq!(with(pps_count, 0), AvcError::NoPps);
    }

    /// A record of a baseline picture of so many macroblocks, cropped by so many pairs of pixels at the right and at the bottom.
    fn record_of(columns: u32, rows: u32, crop: Option<(u32, u32)>) -> Vec<u8> {
        let ue = |value: u32| format!("{:0width$b}", value + 1, width = 2 * (value + 1).ilog2() as usize + 1);
        // Identifier 0, counter of four bits, order of type 2, one reference, no gaps.
        let mut bits = ["1", "1", "011", "010", "0"].concat() + &ue(columns - 1) + &ue(rows - 1) + "11";
        bits += &crop.map_or("0".to_owned(), |(right, bottom)| format!("11{}1{}", ue(right), ue(bottom)));
        bits += "01";
        let mut sps = vec![0x67, 0x42, 0x00, 0x1e];
        for chunk in bits.as_bytes().chunks(8) {
            let text = format!("{:0<8}", std::str::from_utf8(chunk).unwrap());
            sps.push(u8::from_str_radix(&text, 2).unwrap());
        }
        record(&[sps], &[[0x68]])
    }

    #[test]
    fn a_picture_over_the_cap_is_refused_with_its_size() {
        let size = |record: &[u8]| parse(record).map(|config| (config.width, config.height));
        let refused = |width, height| Err(AvcError::Size { width, height });
        assert_eq!(size(&record_of(512, 272, None)), Ok((8192, 4352)), "all that level 6.2 allows");
        assert_eq!(size(&record_of(513, 270, None)), refused(8208, 4320), "too long");
        assert_eq!(size(&record_of(1024, 1, None)), refused(16_384, 16), "much too long");
        assert_eq!(size(&record_of(512, 512, None)), refused(8192, 8192), "edges that are allowed, but not both");
        assert_eq!(size(&record_of(u32::MAX / 32, 3, None)), refused(u32::MAX / 32 * 16, 48), "absurd");
    }

    #[test]
    fn what_is_cropped_away_counts_because_it_is_decoded() {
        let size = |record: &[u8]| parse(record).map(|config| (config.width, config.height));
        assert_eq!(size(&record_of(120, 68, Some((0, 4)))), Ok((1920, 1080)));
        let (width, height) = (16_000, 16_000);
        assert_eq!(size(&record_of(1000, 1000, Some((7_680, 7_820)))), Err(AvcError::Size { width, height }));
    }

    #[test]
    fn implausible_rates_are_not_believed() {
        assert_eq!(plausible_rate(60, 2), FrameRate::new(30, 1));
        assert_eq!(plausible_rate(180_000, 2), None);
        assert_eq!(plausible_rate(1, 2), None);
        assert_eq!(plausible_rate(0, 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(record in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&record);
        }

        #[test]
        fn no_damage_makes_it_panic_or_exceed_the_cap(
            which in 0usize..4,
            damage in prop::collection::vec((8usize..60, any::<u8>()), 1..6),
        ) {
            let mut record = bytes([MAIN_720P30, INTERLACED_1080, ANAMORPHIC_PAL, PORTRAIT_444][which]);
            for (at, byte) in damage {
                if let Some(target) = record.get_mut(at) {
                    *target = byte;
                }
            }
            if let Ok(config) = parse(&record) {
                prop_assert!(config.width <= MAX_EDGE && config.height <= MAX_EDGE);
                prop_assert!(config.pixel_aspect.0 > 0 && config.pixel_aspect.1 > 0);
            }
        }
    }
}
