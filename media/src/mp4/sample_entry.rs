//! The first sample entry of a track (8.5.2; ISO/IEC 14496-15, 14496-14): its codec and decoder configuration.

use super::Mp4Error;
use super::boxes::{Fields, boxes, find};
use crate::codec::avc::{self, AvcError};
use crate::codec::hevc::{self, HevcError};
use crate::codec::{AudioConfig, VideoCodec, VideoConfig, aac};

/// What a track holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Video {
        codec: VideoCodec,
        /// Said to have lengths of four bytes; `None` when the pictures carry their sets themselves.
        config: Option<VideoConfig>,
        /// Bytes of the lengths in the samples.
        length_size: usize,
    },
    Audio(AudioConfig),
    /// A codec that is not decoded here, by name.
    Other(String),
}

/// Bytes of a visual entry before its boxes (12.1.3), of a sound's (12.2.3), and of what QuickTime adds to that by version.
const VISUAL: usize = 78;
const SOUND: usize = 28;
const SOUND_ADDED: [usize; 3] = [0, 16, 36];

/// Reads `stsd`.
pub(super) fn read(table: &[u8], video: bool) -> Result<Entry, Mp4Error> {
    let entries = table.get(8..).ok_or(Mp4Error::Damaged("stsd"))?;
    let entry = boxes(entries, "stsd").next().ok_or(Mp4Error::Damaged("stsd"))??;
    match (&entry.kind, video) {
        (b"avc1" | b"avc3", true) => h264(inside(entry.body, VISUAL)?, entry.kind == *b"avc3"),
        (b"hvc1" | b"hev1", true) => h265(inside(entry.body, VISUAL)?, entry.kind == *b"hev1"),
        (b"mp4a", false) => {
            let mut fields = Fields(entry.body);
            let version = fields.skip(8).and_then(|()| fields.u16()).unwrap_or(0);
            let added = SOUND_ADDED.get(usize::from(version)).ok_or(Mp4Error::Damaged("mp4a"))?;
            mpeg4_audio(inside(entry.body, SOUND + added)?)
        }
        (b"encv" | b"enca", _) => Ok(Entry::Other("encrypted media".to_owned())),
        (kind, _) => Ok(Entry::Other(format!("codec {}", kind.escape_ascii()))),
    }
}

fn inside(entry: &[u8], head: usize) -> Result<&[u8], Mp4Error> {
    entry.get(head..).ok_or(Mp4Error::Damaged("stsd"))
}

fn h264(inside: &[u8], in_band: bool) -> Result<Entry, Mp4Error> {
    let record = find(inside, b"avcC").ok_or(Mp4Error::Damaged("avcC"))?;
    let length_size = avc::length_size(record);
    let config = match avc::parse(&with_long_lengths(record, 4)) {
        Ok(config) => Some(config),
        Err(AvcError::NoSps | AvcError::NoPps) if in_band => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Entry::Video { codec: VideoCodec::H264, config, length_size })
}

fn h265(inside: &[u8], in_band: bool) -> Result<Entry, Mp4Error> {
    let record = find(inside, b"hvcC").ok_or(Mp4Error::Damaged("hvcC"))?;
    let length_size = hevc::length_size(record);
    let config = match hevc::parse(&with_long_lengths(record, 21)) {
        Ok(config) => Some(config),
        Err(HevcError::MissingSet) if in_band => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Entry::Video { codec: VideoCodec::Hevc, config, length_size })
}

/// A record whose byte at `place` says that lengths have four bytes, as those of the units have that are handed on.
fn with_long_lengths(record: &[u8], place: usize) -> Vec<u8> {
    let mut record = record.to_vec();
    if let Some(byte) = record.get_mut(place) {
        *byte |= 3;
    }
    record
}

/// `esds` (ISO/IEC 14496-14, 5.6).
fn mpeg4_audio(inside: &[u8]) -> Result<Entry, Mp4Error> {
    let esds = find(inside, b"esds").ok_or(Mp4Error::Damaged("esds"))?;
    let (object_type, specific) = elementary_stream(Fields(esds)).ok_or(Mp4Error::Damaged("esds"))?;
    match object_type {
        // MPEG-4 audio; MPEG-2 AAC in its three profiles.
        0x40 | 0x66..=0x68 => Ok(Entry::Audio(aac::parse(specific)?)),
        0x69 | 0x6b => Ok(Entry::Other("MPEG audio (MP2 or MP3)".to_owned())),
        other => Ok(Entry::Other(format!("audio of object type {other:#x}"))),
    }
}

/// Object type and `AudioSpecificConfig` of an `ES_Descriptor` (ISO/IEC 14496-1, 7.2.6).
fn elementary_stream(mut fields: Fields<'_>) -> Option<(u8, &[u8])> {
    const STREAM: u8 = 3;
    const DECODER: u8 = 4;
    const SPECIFIC: u8 = 5;
    fields.version()?;
    let mut stream = Fields(descriptor(&mut fields, STREAM)?);
    stream.skip(2)?;
    let flags = stream.u8()?;
    stream.skip(if flags & 0x80 != 0 { 2 } else { 0 })?;
    if flags & 0x40 != 0 {
        let length = stream.u8()?;
        stream.skip(length.into())?;
    }
    stream.skip(if flags & 0x20 != 0 { 2 } else { 0 })?;
    let mut decoder = Fields(descriptor(&mut stream, DECODER)?);
    let object_type = decoder.u8()?;
    decoder.skip(12)?;
    Some((object_type, descriptor(&mut decoder, SPECIFIC).unwrap_or(&[])))
}

/// The next descriptor, which has to be of that kind: what stands in these places is fixed.
fn descriptor<'a>(fields: &mut Fields<'a>, kind: u8) -> Option<&'a [u8]> {
    if fields.u8()? != kind {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = fields.0.get(..length)?;
    fields.skip(length)?;
    Some(body)
}
