//! Bodies of FLV tags, as RTMP carries them, to decoder configurations and access units.
//!
//! Adobe FLV 10.1 annex E, and Enhanced RTMP v2 for the codecs that name themselves by four characters. Decoded further
//! on are H.264 and AAC; everything else is an error that says the codec's name.
//!
//! Contract: one [`Demuxer`] per publication. Timestamps leave it unwrapped, both tracks on one timeline. A damaged frame
//! costs itself only: see [`FlvError::is_fatal`].

use bytes::{Buf, Bytes};

use crate::access_unit::{AccessUnit, Track};
use crate::codec::{AudioConfig, TrackConfig, VideoConfig, aac, avc};
use crate::feed::FeedItem;
use crate::time::{FrameRate, Timestamp};

/// A timeline further from zero than this, milliseconds, is none: 30 000 years, far inside of what nanoseconds can count.
const MAX_TIME_MS: i64 = 1_000_000_000_000;

/// Why a tag gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A codec that is not decoded here.
    #[error("{0} is not supported, send H.264 video and AAC audio")]
    Codec(String),
    /// An unusable H.264 configuration.
    #[error(transparent)]
    Avc(#[from] avc::AvcError),
    /// An unusable AAC configuration.
    #[error(transparent)]
    Aac(#[from] aac::AacError),
    /// Timestamps that jump until they leave the countable.
    #[error("timestamps run away")]
    Timestamp,
    /// The tag ends too early.
    #[error("media tag is truncated")]
    Truncated,
    /// NAL unit lengths that do not add up to the frame.
    #[error("H.264 frame is damaged: its lengths do not add up")]
    NalLength,
}

impl FlvError {
    /// The publication cannot be decoded; otherwise only this tag is lost.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Truncated | Self::NalLength)
    }
}

/// Reads the tags of one publication.
#[derive(Default)]
pub struct Demuxer {
    video: Option<(VideoConfig, usize)>,
    audio: Option<AudioConfig>,
    frame_rate_hint: Option<FrameRate>,
    clock: Clock,
}

/// What an E-RTMP packet type or its older counterpart means; the rest needs no distinction.
enum Packet {
    Configuration,
    Frame { composition_ms: i32 },
    Nothing,
}

impl Demuxer {
    /// Takes note of the frame rate that the metadata claims, for a bitstream that claims none.
    pub fn hint_frame_rate(&mut self, fps: f64) {
        let milli = (fps * 1000.0).round();
        if (1000.0..=240_000.0).contains(&milli) {
            self.frame_rate_hint = FrameRate::new(milli as u32, 1000);
        }
    }

    /// Current configuration of the video track.
    pub fn video_config(&self) -> Option<&VideoConfig> {
        self.video.as_ref().map(|(config, _)| config)
    }

    /// Current configuration of the audio track.
    pub fn audio_config(&self) -> Option<&AudioConfig> {
        self.audio.as_ref()
    }

    /// Reads a video tag's body. `None`: nothing to pass on, such as an unchanged configuration, an end of sequence, a frame
    /// before the first configuration or one without a picture in it.
    pub fn video(&mut self, timestamp: u32, mut body: Bytes) -> Result<Option<FeedItem>, FlvError> {
        const KEYFRAME: u8 = 1;
        const COMMAND: u8 = 5;
        // Zero-length messages are an encoder's way to say nothing.
        let Some(&first) = body.first() else { return Ok(None) };
        let extended = first & 0x80 != 0;
        let frame_type = if extended { first >> 4 & 7 } else { first >> 4 };
        let packet = if extended { extended_video(&mut body)? } else { legacy_video(&mut body)? };
        if frame_type == COMMAND {
            return Ok(None);
        }
        match packet {
            Packet::Nothing => Ok(None),
            Packet::Configuration => self.video_configuration(&body),
            Packet::Frame { composition_ms } => {
                let dts = self.clock.unwrap(timestamp)?;
                let Some((_, length_size)) = self.video else { return Ok(None) };
                let units = survey(&body, length_size)?;
                if !units.picture {
                    return Ok(None);
                }
                Ok(Some(FeedItem::Unit(AccessUnit {
                    track: Track::Video,
                    pts: Timestamp::from_millis(dts + i64::from(composition_ms)),
                    dts: Timestamp::from_millis(dts),
                    keyframe: frame_type == KEYFRAME || units.idr,
                    data: body,
                })))
            }
        }
    }

    /// Reads an audio tag's body. `None`: nothing to pass on, as for video.
    pub fn audio(&mut self, timestamp: u32, mut body: Bytes) -> Result<Option<FeedItem>, FlvError> {
        let Some(&first) = body.first() else { return Ok(None) };
        let packet = match first >> 4 {
            sound::EXTENDED => extended_audio(&mut body)?,
            sound::AAC => {
                let kind = *body.get(1).ok_or(FlvError::Truncated)?;
                body.advance(2);
                if kind == 0 { Packet::Configuration } else { Packet::Frame { composition_ms: 0 } }
            }
            format => return Err(FlvError::Codec(sound::name(format))),
        };
        match packet {
            Packet::Nothing => Ok(None),
            // Some encoders announce AAC before they know its configuration.
            Packet::Configuration if body.is_empty() => Ok(None),
            Packet::Configuration => {
                let config = aac::parse(&body)?;
                if self.audio.as_ref() == Some(&config) {
                    return Ok(None);
                }
                self.audio = Some(config.clone());
                Ok(Some(FeedItem::Config(TrackConfig::Audio(config))))
            }
            Packet::Frame { .. } => {
                let time = Timestamp::from_millis(self.clock.unwrap(timestamp)?);
                if self.audio.is_none() || body.is_empty() {
                    return Ok(None);
                }
                let unit = AccessUnit { track: Track::Audio, pts: time, dts: time, keyframe: true, data: body };
                Ok(Some(FeedItem::Unit(unit)))
            }
        }
    }

    fn video_configuration(&mut self, record: &[u8]) -> Result<Option<FeedItem>, FlvError> {
        let mut config = avc::parse(record)?;
        config.frame_rate = config.frame_rate.or(self.frame_rate_hint);
        if self.video_config() == Some(&config) {
            return Ok(None);
        }
        self.video = Some((config.clone(), avc::length_size(record)));
        Ok(Some(FeedItem::Config(TrackConfig::Video(config))))
    }
}

/// `VIDEODATA` and `AVCVIDEOPACKET` (E.4.3).
fn legacy_video(body: &mut Bytes) -> Result<Packet, FlvError> {
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
fn extended_video(body: &mut Bytes) -> Result<Packet, FlvError> {
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
fn extended_audio(body: &mut Bytes) -> Result<Packet, FlvError> {
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

/// What the NAL units of a frame are.
#[derive(Default)]
struct Survey {
    /// There is a slice of a picture.
    picture: bool,
    /// Of an instantaneous decoder refresh.
    idr: bool,
}

/// Walks the NAL units of a frame and checks that their lengths add up.
fn survey(mut frame: &[u8], length_size: usize) -> Result<Survey, FlvError> {
    const IDR_SLICE: u8 = 5;
    let mut found = Survey::default();
    while !frame.is_empty() {
        let (length, rest) = frame.split_at_checked(length_size).ok_or(FlvError::NalLength)?;
        let length = length.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at_checked(length).ok_or(FlvError::NalLength)?;
        if let Some(header) = unit.first() {
            let kind = header & 0x1f;
            found.picture |= (1..=IDR_SLICE).contains(&kind);
            found.idr |= kind == IDR_SLICE;
        }
        frame = rest;
    }
    Ok(found)
}

/// Milliseconds that wrap at 32 bits to milliseconds that do not.
#[derive(Default)]
struct Clock(Option<i64>);

impl Clock {
    /// Each timestamp is the one nearest to its predecessor, of either track: 24 days in both directions.
    fn unwrap(&mut self, timestamp: u32) -> Result<i64, FlvError> {
        let now = match self.0 {
            None => i64::from(timestamp),
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        if now.abs() > MAX_TIME_MS {
            return Err(FlvError::Timestamp);
        }
        self.0 = Some(now);
        Ok(now)
    }
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

mod sound {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: &[u8] = &[
        0x01, 0x4d, 0x40, 0x1f, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80,
        0x88, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xc1, 0x8c, 0xb0, 0x01, 0x00, 0x05,
        0x68, 0xeb, 0xe3, 0xcb, 0x20,
    ];

    fn tag(head: &[u8], rest: &[u8]) -> Bytes {
        Bytes::from([head, rest].concat())
    }

    fn configured() -> Demuxer {
        let mut demuxer = Demuxer::default();
        assert!(matches!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], RECORD)), Ok(Some(FeedItem::Config(_)))));
        assert!(matches!(demuxer.audio(0, tag(&[0xaf, 0], &[0x12, 0x10])), Ok(Some(FeedItem::Config(_)))));
        demuxer
    }

    fn unit(item: Result<Option<FeedItem>, FlvError>) -> AccessUnit {
        match item {
            Ok(Some(FeedItem::Unit(unit))) => unit,
            other => panic!("no unit: {other:?}"),
        }
    }

    const IDR: &[u8] = &[0, 0, 0, 2, 0x65, 1];
    const SLICE: &[u8] = &[0, 0, 0, 2, 0x41, 1];

    #[test]
    fn frames_have_signed_composition_times() {
        let mut demuxer = configured();
        let key = unit(demuxer.video(40, tag(&[0x17, 1, 0, 0, 80], IDR)));
        assert_eq!((key.pts, key.dts), (Timestamp::from_millis(120), Timestamp::from_millis(40)));
        assert!(key.keyframe);
        assert_eq!(key.data, IDR);
        let other = unit(demuxer.video(80, tag(&[0x27, 1, 0xff, 0xff, 0xd8], SLICE)));
        assert_eq!((other.pts, other.keyframe), (Timestamp::from_millis(40), false));
    }

    #[test]
    fn an_unchanged_configuration_is_not_repeated_and_a_changed_one_is() {
        let mut demuxer = configured();
        assert_eq!(demuxer.video(9, tag(&[0x17, 0, 0, 0, 0], RECORD)), Ok(None));
        assert_eq!(demuxer.audio(9, tag(&[0xaf, 0], &[0x12, 0x10])), Ok(None));
        assert!(matches!(demuxer.audio(9, tag(&[0xaf, 0], &[0x11, 0x90])), Ok(Some(FeedItem::Config(_)))));
    }

    #[test]
    fn what_holds_no_picture_gives_nothing() {
        let mut demuxer = configured();
        for body in [
            tag(&[], &[]),
            tag(&[0x17, 2, 0, 0, 0], &[]),
            tag(&[0x27, 1, 0, 0, 0], &[]),
            tag(&[0x27, 1, 0, 0, 0], &[0, 0, 0, 0]),
            tag(&[0x27, 1, 0, 0, 0], &[0, 0, 0, 2, 6, 1]),
            tag(&[0x57, 0], &[0, 0, 0]),
        ] {
            assert_eq!(demuxer.video(1, body.clone()), Ok(None), "{body:?}");
        }
        assert_eq!(demuxer.audio(1, tag(&[0xaf, 1], &[])), Ok(None));
        assert_eq!(Demuxer::default().video(1, tag(&[0x17, 1, 0, 0, 0], IDR)), Ok(None), "not configured");
    }

    #[test]
    fn a_damaged_frame_costs_only_itself() {
        let mut demuxer = configured();
        for rest in [&[0, 0, 0, 9, 0x65][..], &[0, 0, 1], &[0xff, 0xff, 0xff, 0xff, 0x65]] {
            let error = demuxer.video(1, tag(&[0x17, 1, 0, 0, 0], rest)).unwrap_err();
            assert!(error == FlvError::NalLength && !error.is_fatal());
        }
        assert!(demuxer.video(2, tag(&[0x17, 1, 0, 0, 0], IDR)).is_ok_and(|item| item.is_some()));
    }

    #[test]
    fn other_codecs_are_refused_by_name() {
        let mut demuxer = Demuxer::default();
        for (body, name) in [
            (&[0x12u8, 0][..], "Sorenson H.263"),
            (&[0x14, 0], "VP6"),
            (&[0x1c, 0], "HEVC"),
            (&[0x1d, 0], "AV1"),
            (&[0x90, b'h', b'v', b'c', b'1'], "HEVC"),
            (&[0x90, b'a', b'v', b'0', b'1'], "AV1"),
            (&[0x90, b'v', b'p', b'0', b'9'], "VP9"),
            (&[0x90, 1, 2, b'?', b'"'], r#"codec \x01\x02?\""#),
            (&[0x1f, 0], "video codec 15"),
        ] {
            let error = demuxer.video(0, Bytes::copy_from_slice(body)).unwrap_err();
            assert!(error.is_fatal() && error.to_string().starts_with(name), "{error}");
        }
        for (body, name) in [
            (&[0x2fu8][..], "MP3"),
            (&[0x3f], "PCM"),
            (&[0x6f], "Nellymoser"),
            (&[0x7f], "G.711 A-law"),
            (&[0xbf], "Speex"),
            (&[0xdf], "Opus"),
            (&[0x90, b'O', b'p', b'u', b's'], "Opus"),
        ] {
            let error = demuxer.audio(0, Bytes::copy_from_slice(body)).unwrap_err();
            assert!(error.is_fatal() && error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn enhanced_rtmp_carries_the_same_codecs() {
        let mut demuxer = Demuxer::default();
        assert!(matches!(demuxer.video(0, tag(b"\x90avc1", RECORD)), Ok(Some(FeedItem::Config(_)))));
        assert_eq!(unit(demuxer.video(5, tag(b"\x91avc1\x00\x00\x07", IDR))).pts, Timestamp::from_millis(12));
        assert_eq!(unit(demuxer.video(6, tag(b"\xa3avc1", SLICE))).pts, Timestamp::from_millis(6));
        assert!(matches!(demuxer.audio(0, tag(b"\x90mp4a", &[0x12, 0x10])), Ok(Some(FeedItem::Config(_)))));
        assert_eq!(&unit(demuxer.audio(5, tag(b"\x91mp4a", b"frame"))).data[..], b"frame");
    }

    #[test]
    fn both_tracks_cross_the_wrap_on_one_timeline() {
        let mut demuxer = configured();
        let before = unit(demuxer.video(u32::MAX - 9, tag(&[0x17, 1, 0, 0, 0], IDR)));
        let after = unit(demuxer.audio(10, tag(&[0xaf, 1], b"frame")));
        let back = unit(demuxer.video(u32::MAX, tag(&[0x27, 1, 0, 0, 0], SLICE)));
        assert_eq!(after.pts.since(before.pts), 20_000_000);
        assert_eq!(back.dts.since(before.dts), 9_000_000);
    }

    #[test]
    fn runaway_timestamps_end_before_they_overflow() {
        let mut demuxer = configured();
        let outcome = (0..10_000u32).map(|step| demuxer.audio(step.wrapping_mul(0x7fff_ffff), tag(&[0xaf, 1], b"x")));
        assert!(outcome.into_iter().any(|item| item == Err(FlvError::Timestamp)));
    }

    #[test]
    fn the_metadatas_frame_rate_serves_only_a_bitstream_without_one() {
        let mut demuxer = Demuxer::default();
        demuxer.hint_frame_rate(f64::NAN);
        demuxer.hint_frame_rate(29.97);
        assert!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], RECORD)).is_ok());
        assert_eq!(demuxer.video_config().unwrap().frame_rate, FrameRate::new(30, 1));
        // The same set with `vui_parameters_present_flag` cleared and all behind it cut off.
        let mut bare = RECORD[..6].to_vec();
        bare.extend([0, 9, 0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdc]);
        bare.extend([1, 0, 5, 0x68, 0xeb, 0xe3, 0xcb, 0x20]);
        assert!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], &bare)).is_ok());
        let config = demuxer.video_config().unwrap();
        assert_eq!((config.width, config.height), (1280, 720));
        assert_eq!(config.frame_rate, FrameRate::new(29970, 1000));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            tags in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        ) {
            let mut demuxer = configured();
            for (video, time, body) in tags {
                let body = Bytes::from(body);
                let _ = if video { demuxer.video(time, body) } else { demuxer.audio(time, body) };
            }
        }
    }
}
