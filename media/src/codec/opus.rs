//! `OpusHead` (RFC 7845, 5.1) to [`AudioConfig`] and back. RTP has no such record (RFC 7587): a door that gets Opus from there writes one with
//! [`head`].
//!
//! Taken is channel mapping family 0 alone: mono and stereo, one Opus stream. Decoding is at 48 kHz whatever the encoder was given. No
//! bytes make it panic.

use bytes::Bytes;

use super::{AudioCodec, AudioConfig};

/// Samples per second of every decoder, and of all counts in the record.
pub const SAMPLE_RATE: u32 = 48_000;

/// Bytes of a record of channel mapping family 0, which has no mapping table.
const LENGTH: usize = 19;
const MAGIC: &[u8; 8] = b"OpusHead";

/// Why an audio configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// It does not begin as one.
    #[error("no Opus identification header")]
    Magic,
    /// It ends too early, or something follows it.
    #[error("Opus identification header of {0} bytes")]
    Length(usize),
    /// Versions up to 15 are read as the first.
    #[error("Opus identification header has unknown version {0}")]
    Version(u8),
    /// Surround and ambisonics.
    #[error("Opus channel mapping family {0} is not supported, send mono or stereo")]
    Family(u8),
    /// Family 0 is mono or stereo.
    #[error("Opus with {0} channels is not supported, send mono or stereo")]
    Channels(u8),
}

/// The configuration of a track of one (mono) or two channels whose decoder's first `pre_skip` samples at 48 kHz belong to nothing. Of a
/// stream that is joined while it runs, as RTP always is, they are 0: what is heard first then is as right as any.
pub fn head(channels: u8, pre_skip: u16) -> Result<AudioConfig, OpusError> {
    let mut record = MAGIC.to_vec();
    record.extend([1, channels]);
    record.extend(pre_skip.to_le_bytes());
    record.extend(SAMPLE_RATE.to_le_bytes());
    // No gain, family 0.
    record.extend([0, 0, 0]);
    parse(&record)
}

/// Reads a configuration record. The result keeps its own copy of the bytes.
pub fn parse(record: &[u8]) -> Result<AudioConfig, OpusError> {
    const FIRST_UNREADABLE: u8 = 16;
    if record.first_chunk() != Some(MAGIC) {
        return Err(OpusError::Magic);
    }
    let (Some(&version), Some(&channels), Some(&family)) = (record.get(8), record.get(9), record.get(18)) else {
        return Err(OpusError::Length(record.len()));
    };
    if version == 0 || version >= FIRST_UNREADABLE {
        return Err(OpusError::Version(version));
    }
    if family != 0 {
        return Err(OpusError::Family(family));
    }
    if record.len() != LENGTH {
        return Err(OpusError::Length(record.len()));
    }
    if !matches!(channels, 1 | 2) {
        return Err(OpusError::Channels(channels));
    }
    let (codec, sample_rate) = (AudioCodec::Opus, SAMPLE_RATE);
    Ok(AudioConfig { codec, decoder_config: Bytes::copy_from_slice(record), sample_rate, channels })
}

/// Samples at 48 kHz that the decoder's output begins with and that belong to nothing, of a record that [`parse`] accepted.
pub fn pre_skip(record: &[u8]) -> u16 {
    record.get(10..12).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // As libopus wrote it for stereo at 48 kHz: pre-skip 312.
    const WRITTEN: [u8; LENGTH] =
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0];

    fn with(at: usize, byte: u8) -> Result<AudioConfig, OpusError> {
        let mut record = WRITTEN;
        record[at] = byte;
        parse(&record)
    }

    #[test]
    fn an_encoders_record_is_read_and_written() {
        let config = parse(&WRITTEN).unwrap();
        assert_eq!((config.codec, config.sample_rate, config.channels), (AudioCodec::Opus, 48_000, 2));
        assert_eq!(pre_skip(&config.decoder_config), 312);
        assert_eq!(head(2, 312).unwrap(), config);
        assert_eq!(head(1, 0).unwrap().channels, 1);
    }

    #[test]
    fn the_rate_of_the_encoders_source_and_a_gain_say_nothing_about_the_track() {
        let mut record = WRITTEN;
        record[12..18].copy_from_slice(&[0x40, 0x1f, 0, 0, 0, 0xfd]);
        assert_eq!(parse(&record).unwrap().sample_rate, 48_000);
    }

    #[test]
    fn each_defect_has_its_error() {
        assert_eq!(with(0, b'o'), Err(OpusError::Magic));
        assert_eq!(parse(b"OpusTags"), Err(OpusError::Magic));
        assert_eq!(parse(&WRITTEN[..LENGTH - 1]), Err(OpusError::Length(LENGTH - 1)));
        assert_eq!(parse(&[&WRITTEN[..], &[0]].concat()), Err(OpusError::Length(LENGTH + 1)));
        assert_eq!((with(8, 0), with(8, 16)), (Err(OpusError::Version(0)), Err(OpusError::Version(16))));
        assert!(with(8, 15).is_ok(), "minor versions add nothing that must be known");
        assert_eq!((with(9, 0), with(9, 3)), (Err(OpusError::Channels(0)), Err(OpusError::Channels(3))));
        assert_eq!(with(18, 1), Err(OpusError::Family(1)));
        assert_eq!(head(6, 0), Err(OpusError::Channels(6)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut record in prop::collection::vec(any::<u8>(), 0..40), is_head in any::<bool>()) {
            if let (true, Some(magic)) = (is_head, record.first_chunk_mut()) {
                *magic = *MAGIC;
            }
            if let Ok(read) = parse(&record) {
                prop_assert!((1..=2).contains(&read.channels));
            }
        }
    }
}
