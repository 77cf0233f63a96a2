//! Bodies of FLV tags, as RTMP carries them, to decoder configurations and access units.
//!
//! Adobe FLV 10.1 annex E, and Enhanced RTMP v2 for the codecs that name themselves by four characters. Decoded further
//! on are H.264 and AAC; everything else is an error that says the codec's name.
//!
//! Contract: one [`Demuxer`] per publication. Timestamps leave it unwrapped, both tracks on one timeline. A damaged frame
//! costs itself only: see [`FlvError::is_fatal`].

mod header;

use bytes::{Buf, Bytes};

use self::header::{Packet, extended_audio, extended_video, legacy_video, sound};
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

#[cfg(test)]
mod tests;
