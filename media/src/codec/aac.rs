//! `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1) to [`AudioConfig`].
//!
//! With explicit SBR or PS signalling the rate and channels stay those of the core, which is how RTMP and MP4 count;
//! the decoder finds out what it makes of them. No bytes make it panic.

use bytes::Bytes;

use super::bits::BitReader;
use super::{AudioCodec, AudioConfig};

/// Sampling rates by index (table 1.16), Hz.
const RATES: [u32; 13] = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// Sampling rate index that says: 24 bits with the rate follow.
const ESCAPE_RATE: u32 = 15;

/// Why an audio configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// It ends too early.
    #[error("AAC configuration is truncated")]
    Truncated,
    /// An audio object type that is not AAC, or that no decoder here takes.
    #[error("AAC audio object type {0} is not supported")]
    ObjectType(u32),
    /// A reserved or absurd sampling rate.
    #[error("AAC sampling rate is not usable")]
    SampleRate,
    /// A reserved channel configuration, or more than 8 channels.
    #[error("AAC channel layout is not usable")]
    Channels,
}

/// Reads an audio configuration. The result keeps its own copy of the bytes.
pub fn parse(config: &[u8]) -> Result<AudioConfig, AacError> {
    const SBR: u32 = 5;
    const PS: u32 = 29;
    let mut reader = BitReader::new(config);
    let mut object_type = read_object_type(&mut reader)?;
    let sample_rate = read_rate(&mut reader)?;
    let layout = reader.bits(4).ok_or(AacError::Truncated)?;
    if matches!(object_type, SBR | PS) {
        read_rate(&mut reader)?;
        object_type = read_object_type(&mut reader)?;
    }
    // Main, LC, LTP; error resilient LC, LD and ELD.
    if !matches!(object_type, 1 | 2 | 4 | 17 | 23 | 39) {
        return Err(AacError::ObjectType(object_type));
    }
    let channels = match layout {
        0 => read_program_channels(&mut reader).ok_or(AacError::Channels)?,
        1..=6 => layout,
        7 | 12 | 14 => 8,
        11 => 7,
        _ => return Err(AacError::Channels),
    };
    let channels = u8::try_from(channels).ok().filter(|count| (1..=8).contains(count)).ok_or(AacError::Channels)?;
    Ok(AudioConfig { codec: AudioCodec::Aac, decoder_config: Bytes::copy_from_slice(config), sample_rate, channels })
}

fn read_object_type(reader: &mut BitReader<'_>) -> Result<u32, AacError> {
    const ESCAPE: u32 = 31;
    match reader.bits(5).ok_or(AacError::Truncated)? {
        ESCAPE => Ok(32 + reader.bits(6).ok_or(AacError::Truncated)?),
        object_type => Ok(object_type),
    }
}

fn read_rate(reader: &mut BitReader<'_>) -> Result<u32, AacError> {
    let rate = match reader.bits(4).ok_or(AacError::Truncated)? {
        ESCAPE_RATE => reader.bits(24).ok_or(AacError::Truncated)?,
        index => *RATES.get(index as usize).ok_or(AacError::SampleRate)?,
    };
    if (7350..=96000).contains(&rate) { Ok(rate) } else { Err(AacError::SampleRate) }
}

/// Channels of the `program_config_element` (4.4.1.1) that stands in for a layout number.
fn read_program_channels(reader: &mut BitReader<'_>) -> Option<u32> {
    // GASpecificConfig: frameLengthFlag, dependsOnCoreCoder with its delay, extensionFlag.
    reader.flag()?;
    if reader.flag()? {
        reader.skip(14)?;
    }
    reader.flag()?;
    reader.skip(4 + 2 + 4)?;
    let elements = reader.bits(4)? + reader.bits(4)? + reader.bits(4)?;
    let low_frequency = reader.bits(2)?;
    reader.skip(3 + 4)?;
    for mixdown_bits in [4, 4, 3] {
        if reader.flag()? {
            reader.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..elements {
        channels += if reader.flag()? { 2 } else { 1 };
        reader.skip(4)?;
    }
    Some(channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits: String = fields.iter().map(|&(width, value)| format!("{value:0w$b}", w = width as usize)).collect();
        bits.as_bytes()
            .chunks(8)
            .map(|bits| u8::from_str_radix(&format!("{:0<8}", std::str::from_utf8(bits).unwrap()), 2).unwrap())
            .collect()
    }

    fn heard(fields: &[(u32, u32)]) -> Result<(u32, u8), AacError> {
        parse(&packed(fields)).map(|config| (config.sample_rate, config.channels))
    }

    #[test]
    fn plain_configurations_are_read() {
        assert_eq!(parse(&[0x12, 0x10]).map(|c| (c.sample_rate, c.channels)), Ok((44100, 2)));
        assert_eq!(parse(&[0x11, 0x88]).map(|c| (c.sample_rate, c.channels)), Ok((48000, 1)));
        assert_eq!(heard(&[(5, 2), (4, 3), (4, 7), (3, 0)]), Ok((48000, 8)));
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(heard(&[(5, 2), (4, 15), (24, 47999), (4, 2)]), Ok((47999, 2)), "explicit rate");
        assert_eq!(heard(&[(5, 31), (6, 7), (4, 3), (4, 2)]), Ok((48000, 2)), "object type 39, ELD");
    }

    #[test]
    fn explicit_sbr_and_ps_keep_the_core() {
        for object_type in [5, 29] {
            assert_eq!(heard(&[(5, object_type), (4, 6), (4, 1), (4, 3), (5, 2)]), Ok((24000, 1)));
        }
    }

    #[test]
    fn a_program_config_element_gives_the_channels() {
        let head = [(5, 2), (4, 4), (4, 0), (3, 0), (10, 0)];
        let counts = [(4, 2), (4, 0), (4, 1), (2, 1), (3, 0), (4, 0), (3, 0)];
        let elements = [(5, 0), (5, 16), (5, 16), (4, 0)];
        let fields: Vec<_> = head.iter().chain(&counts).chain(&elements).copied().collect();
        assert_eq!(heard(&fields), Ok((44100, 6)), "centre, front pair, back pair, LFE");
    }

    #[test]
    fn each_defect_has_its_error() {
        assert_eq!(parse(&[]), Err(AacError::Truncated));
        assert_eq!(parse(&[0x12]), Err(AacError::Truncated));
        assert_eq!(heard(&[(5, 31), (6, 2), (4, 3), (4, 2)]), Err(AacError::ObjectType(34)), "MP3 in MP4");
        assert_eq!(heard(&[(5, 2), (4, 13), (4, 2)]), Err(AacError::SampleRate));
        assert_eq!(heard(&[(5, 2), (4, 15), (24, 1), (4, 2)]), Err(AacError::SampleRate));
        assert_eq!(heard(&[(5, 2), (4, 3), (4, 9)]), Err(AacError::Channels));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(config in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(read) = parse(&config) {
                prop_assert!((1..=8).contains(&read.channels));
            }
        }
    }
}
