//! What the ingest doctor says, as operators see it.

use std::time::Instant;

use serde::Serialize;
use weir_media::codec::{AudioCodec, VideoCodec};
use weir_policy::doctor::{Code, Finding, Fix, Measured, Severity};

/// Something that is wrong with what an encoder sends, and how to mend it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingDetail {
    /// Which fault.
    pub code: Code,
    /// How bad a fault of this kind is.
    pub severity: Severity,
    /// How bad it is now, in `unit`.
    pub value: f64,
    /// What would be right, in `unit`.
    pub limit: f64,
    /// What both are counted in.
    pub unit: &'static str,
    /// What is wrong, in words.
    pub text: String,
    /// Seconds since it was raised.
    pub since_s: f64,
    /// Seconds since it was seen last; it is cleared when that grows.
    pub seen_s: f64,
    /// How it is mended.
    pub fix: Fix,
}

impl FindingDetail {
    /// As of `now`.
    pub fn new(finding: &Finding, now: Instant) -> Self {
        let ago = |at: Instant| tenths(now.saturating_duration_since(at).as_secs_f64());
        let Finding { code, value, limit, text, since, seen } = finding;
        Self {
            code: *code,
            severity: code.severity(),
            value: hundredths(*value),
            limit: hundredths(*limit),
            unit: code.unit(),
            text: text.clone(),
            since_s: ago(*since),
            seen_s: ago(*seen),
            fix: code.fix(),
        }
    }
}

/// What a publisher's media measures. `None` is not known yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredDetail {
    /// `h264` or `hevc`.
    pub video_codec: Option<&'static str>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Width to height of a pixel, e.g. `1:1`.
    pub pixel_aspect: Option<String>,
    /// Pictures a second.
    pub frame_rate: Option<f64>,
    /// Bit rate of the pictures.
    pub video_kbps: Option<f64>,
    /// Longest distance of the latest keyframes, seconds.
    pub gop_s: Option<f64>,
    /// Most B-frames in a row within the last second.
    pub b_frames: u32,
    /// `aac` or `opus`.
    pub audio_codec: Option<&'static str>,
    /// Samples a second.
    pub sample_rate: Option<u32>,
    /// Channels of the sound.
    pub channels: Option<u8>,
    /// How far the sound is from the pictures, milliseconds; positive is ahead.
    pub av_offset_ms: Option<f64>,
}

impl From<&Measured> for MeasuredDetail {
    fn from(measured: &Measured) -> Self {
        let (video, audio) = (measured.video.as_ref(), measured.audio.as_ref());
        Self {
            video_codec: video.map(|video| match video.codec {
                VideoCodec::H264 => "h264",
                VideoCodec::Hevc => "hevc",
            }),
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
            pixel_aspect: video.map(|video| format!("{}:{}", video.pixel_aspect.0, video.pixel_aspect.1)),
            frame_rate: measured.frame_rate.map(hundredths),
            video_kbps: measured.video_kbps.map(tenths),
            gop_s: measured.gop_s.map(hundredths),
            b_frames: measured.b_frames,
            audio_codec: audio.map(|audio| match audio.codec {
                AudioCodec::Aac => "aac",
                AudioCodec::Opus => "opus",
            }),
            sample_rate: audio.map(|audio| audio.sample_rate),
            channels: audio.map(|audio| audio.channels),
            av_offset_ms: measured.av_offset_ms.map(tenths),
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
