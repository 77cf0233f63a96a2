//! What a decoder must know before the first frame, and how to read it from configuration records.

pub mod aac;
mod annex_b;
pub mod avc;
pub(crate) mod bits;
pub mod hevc;
pub mod in_band;
pub mod opus;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::FrameRate;

/// Video codecs the worker decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    Hevc,
}

/// Audio codecs the worker decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioCodec {
    /// AAC, any object type that the decoder takes.
    Aac,
    /// Opus, mono or stereo. Units are packets of RFC 6716 as RTP carries them.
    Opus,
}

/// Everything about a video track that is known before its first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoConfig {
    /// The codec.
    pub codec: VideoCodec,
    /// `AVCDecoderConfigurationRecord` or `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15).
    pub decoder_config: Bytes,
    /// Width in pixels after cropping, before the pixel aspect ratio.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
    /// Pixel aspect ratio, (1, 1) for square pixels.
    pub pixel_aspect: (u32, u32),
    /// What the bitstream's timing information claims, when it claims anything.
    pub frame_rate: Option<FrameRate>,
}

/// Everything about an audio track that is known before its first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioConfig {
    /// The codec.
    pub codec: AudioCodec,
    /// `AudioSpecificConfig` (ISO/IEC 14496-3) or `OpusHead` (RFC 7845, 5.1).
    pub decoder_config: Bytes,
    /// Samples per second of the core decoder, e.g. 44100; of Opus always 48000.
    pub sample_rate: u32,
    /// 1 to 8.
    pub channels: u8,
}

/// A track's decoder configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackConfig {
    /// Of the video track.
    Video(VideoConfig),
    /// Of the audio track.
    Audio(AudioConfig),
}
