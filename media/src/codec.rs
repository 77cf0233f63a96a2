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

/// Longest edge of an accepted picture, pixels.
pub const MAX_EDGE: u32 = 8192;
/// Shortest edge of an accepted picture, pixels: one macroblock less its cropping is no programme.
pub const MIN_EDGE: u32 = 16;
/// Most pixels of an accepted picture as it is coded, whatever is cropped away: the decoder's memory grows with them. It is what level 6.2
/// allows (8192x4352), in H.264 (table A-1) and in HEVC (table A.8).
pub const MAX_PIXELS: u32 = 35_651_584;
/// Most pictures a second that an input may have.
pub const MAX_FRAME_RATE: u32 = 240;

/// The size, of a picture as it is coded and as it is shown, that no decoder is given; `None` when both may be decoded.
fn excess(coded: (u32, u32), shown: (u32, u32)) -> Option<(u32, u32)> {
    let edges = MIN_EDGE..=MAX_EDGE;
    let fits = |(width, height): &(u32, u32)| edges.contains(width) && edges.contains(height);
    let pixels = u64::from(coded.0) * u64::from(coded.1);
    if pixels > u64::from(MAX_PIXELS) { Some(coded) } else { Some(shown).filter(|shown| !fits(shown)) }
}

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
