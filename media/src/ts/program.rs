//! Which streams of a program are taken, and what the others are called.

use super::psi::{Stream, descriptors};
use crate::codec::VideoCodec;

/// The tracks of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The first video that can be decoded.
    pub video: Option<(u16, VideoCodec)>,
    /// PID of the first audio that can be decoded.
    pub audio: Option<u16>,
    /// Names of the first video and of the first audio that cannot.
    pub refused_video: Option<String>,
    pub refused_audio: Option<String>,
}

impl Selection {
    pub fn of(streams: &[Stream<'_>]) -> Self {
        let mut chosen = Self::default();
        for stream in streams {
            match kind(stream) {
                Kind::Video(codec) => chosen.video = chosen.video.or(Some((stream.pid, codec))),
                // A PID is one stream.
                Kind::Audio if chosen.video.is_none_or(|(pid, _)| pid != stream.pid) => {
                    chosen.audio = chosen.audio.or(Some(stream.pid));
                }
                Kind::OtherVideo(name) => chosen.refused_video = chosen.refused_video.or(Some(name)),
                Kind::OtherAudio(name) => chosen.refused_audio = chosen.refused_audio.or(Some(name)),
                Kind::Audio | Kind::Data => {}
            }
        }
        if chosen.video.map(|(pid, _)| pid) == chosen.audio {
            chosen.audio = None;
        }
        chosen
    }

    /// What the program has and only in a form that cannot be decoded.
    pub fn refused(&self) -> Option<&String> {
        let video = self.refused_video.as_ref().filter(|_| self.video.is_none());
        video.or(self.refused_audio.as_ref().filter(|_| self.audio.is_none()))
    }
}

enum Kind {
    Video(VideoCodec),
    /// AAC in ADTS.
    Audio,
    OtherVideo(String),
    OtherAudio(String),
    /// Sections, subtitles, cues: nothing to see or hear.
    Data,
}

/// By stream type (table 2-34, ATSC A/53 and what muxers have made customary), else by descriptors.
fn kind(stream: &Stream<'_>) -> Kind {
    let video = |name: &str| Kind::OtherVideo(name.to_owned());
    let audio = |name: &str| Kind::OtherAudio(name.to_owned());
    match stream.stream_type {
        0x1b => Kind::Video(VideoCodec::H264),
        0x24 => Kind::Video(VideoCodec::Hevc),
        0x0f => Kind::Audio,
        0x01 => video("MPEG-1 video"),
        0x02 => video("MPEG-2 video"),
        0x10 => video("MPEG-4 Part 2 video"),
        0x21 => video("JPEG 2000 video"),
        0x32 => video("JPEG XS video"),
        0x33 => video("VVC video"),
        0x42 | 0xd2 | 0xd4 => video("AVS video"),
        0xd1 => video("Dirac video"),
        0xea => video("VC-1 video"),
        0x03 | 0x04 => audio("MPEG audio (MP2 or MP3)"),
        0x11 | 0x1c => audio("AAC in LATM or raw (send it in ADTS)"),
        0x2d | 0x2e => audio("MPEG-H audio"),
        0x81 => audio("AC-3 audio"),
        0x87 => audio("E-AC-3 audio"),
        0x82 | 0x85 | 0x88 | 0x8a => tagged(stream).unwrap_or_else(|| audio("DTS audio")),
        // Private data: nothing but its descriptors says what it is.
        0x06 | 0x80.. => tagged(stream).unwrap_or(Kind::Data),
        _ => Kind::Data,
    }
}

/// By the registration descriptor (2.6.8) or those of DVB (EN 300 468).
fn tagged(stream: &Stream<'_>) -> Option<Kind> {
    const REGISTRATION: u8 = 5;
    let video = |name: &str| Some(Kind::OtherVideo(name.to_owned()));
    let audio = |name: &str| Some(Kind::OtherAudio(name.to_owned()));
    descriptors(stream.descriptors).find_map(|(tag, content)| match (tag, content.first_chunk::<4>()) {
        (0x6a, _) | (REGISTRATION, Some(b"AC-3")) => audio("AC-3 audio"),
        (0x7a, _) | (REGISTRATION, Some(b"EAC3")) => audio("E-AC-3 audio"),
        (0x7b, _) | (REGISTRATION, Some(b"DTS1" | b"DTS2" | b"DTS3")) => audio("DTS audio"),
        (0x7c, _) => audio("AAC in LATM or raw (send it in ADTS)"),
        (REGISTRATION, Some(b"AC-4")) => audio("AC-4 audio"),
        (REGISTRATION, Some(b"Opus")) => audio("Opus audio"),
        (REGISTRATION, Some(b"BSSD")) => audio("PCM audio (SMPTE 302M)"),
        (REGISTRATION, Some(b"AV01")) => video("AV1 video"),
        (REGISTRATION, Some(b"VC-1")) => video("VC-1 video"),
        // HEVC in a private stream is customary; its data is the same.
        (REGISTRATION, Some(b"HEVC")) => Some(Kind::Video(VideoCodec::Hevc)),
        // So is SCTE 35 at 0x86.
        (REGISTRATION, Some(b"CUEI")) => Some(Kind::Data),
        _ => None,
    })
}
