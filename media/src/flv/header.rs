//! The head of a tag's body: which codec, and what kind of packet follows it. Codecs that are not decoded have a name for their error.

use bytes::{Buf, Bytes};

use super::FlvError;

/// What an E-RTMP packet type or its older counterpart means; the rest needs no distinction.
pub(super) enum Packet {
    Configuration,
    Frame { composition_ms: i32 },
    Nothing,
}

/// `VIDEODATA` and `AVCVIDEOPACKET` (E.4.3).
pub(super) fn legacy_video(body: &mut Bytes) -> Result<Packet, FlvError> {
    let codec = body[0] & 15;
    if body[0] >> 4 != 5 && codec != 7 {
        return Err(FlvError::Codec(picture_name(codec)));
    }
    if codec != 7 {
        return Ok(Packet::Nothing);
    }
    let head = *body.first_chunk::<5>().ok_or(FlvError::Truncated)?;
    body.advance(5);
    Ok(match head[1] {
        0 => Packet::Configuration,
        1 => Packet::Frame { composition_ms: signed_24([head[2], head[3], head[4]]) },
        _ => Packet::Nothing,
    })
}

/// `ExVideoTagHeader` of Enhanced RTMP.
pub(super) fn extended_video(body: &mut Bytes) -> Result<Packet, FlvError> {
    let head = *body.first_chunk::<5>().ok_or(FlvError::Truncated)?;
    let kind = head[0] & 15;
    if kind >= 6 {
        return Err(FlvError::Codec("multitrack Enhanced RTMP".to_owned()));
    }
    let four_cc = [head[1], head[2], head[3], head[4]];
    if &four_cc != b"avc1" {
        return Err(FlvError::Codec(four_cc_name(four_cc)));
    }
    body.advance(5);
    Ok(match kind {
        0 => Packet::Configuration,
        1 => {
            let composition = *body.first_chunk::<3>().ok_or(FlvError::Truncated)?;
            body.advance(3);
            Packet::Frame { composition_ms: signed_24(composition) }
        }
        3 => Packet::Frame { composition_ms: 0 },
        _ => Packet::Nothing,
    })
}

/// `ExAudioTagHeader` of Enhanced RTMP.
pub(super) fn extended_audio(body: &mut Bytes) -> Result<Packet, FlvError> {
    let head = *body.first_chunk::<5>().ok_or(FlvError::Truncated)?;
    let kind = head[0] & 15;
    if kind >= 5 {
        return Err(FlvError::Codec("multitrack Enhanced RTMP".to_owned()));
    }
    let four_cc = [head[1], head[2], head[3], head[4]];
    if &four_cc != b"mp4a" {
        return Err(FlvError::Codec(four_cc_name(four_cc)));
    }
    body.advance(5);
    Ok(match kind {
        0 => Packet::Configuration,
        1 => Packet::Frame { composition_ms: 0 },
        _ => Packet::Nothing,
    })
}

fn signed_24(bytes: [u8; 3]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8
}

/// Name of an FLV video codec id.
fn picture_name(id: u8) -> String {
    let name = match id {
        1 => "JPEG video",
        2 => "Sorenson H.263 video",
        3 => "Screen video",
        4 => "VP6 video",
        5 => "VP6 video with alpha",
        6 => "Screen video 2",
        8 => "H.263 video",
        9 => "MPEG-4 Part 2 video",
        12 => "HEVC video",
        13 => "AV1 video",
        _ => return format!("video codec {id}"),
    };
    name.to_owned()
}

pub(super) mod sound {
    /// `SoundFormat` of AAC.
    pub const AAC: u8 = 10;
    /// `SoundFormat` that announces an Enhanced RTMP header.
    pub const EXTENDED: u8 = 9;

    /// Name of an FLV sound format.
    pub fn name(format: u8) -> String {
        let name = match format {
            0 | 3 => "PCM audio",
            1 => "ADPCM audio",
            2 | 14 => "MP3 audio",
            4..=6 => "Nellymoser audio",
            7 => "G.711 A-law audio",
            8 => "G.711 mu-law audio",
            11 => "Speex audio",
            13 => "Opus audio",
            _ => return format!("audio format {format}"),
        };
        name.to_owned()
    }
}

/// Name of an Enhanced RTMP codec.
fn four_cc_name(four_cc: [u8; 4]) -> String {
    let name = match &four_cc {
        b"hvc1" | b"hev1" => "HEVC video",
        b"av01" => "AV1 video",
        b"vp08" => "VP8 video",
        b"vp09" => "VP9 video",
        b"vvc1" => "VVC video",
        b"Opus" => "Opus audio",
        b"fLaC" => "FLAC audio",
        b"ac-3" => "AC-3 audio",
        b"ec-3" => "E-AC-3 audio",
        b".mp3" => "MP3 audio",
        other => return format!("codec {}", other.escape_ascii()),
    };
    name.to_owned()
}
