//! One compressed frame with its times.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Which of an input's two tracks. An input has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A compressed frame: for H.264 all NAL units of one picture, each behind a length field as its
/// [`crate::codec::VideoConfig`] says; for AAC one raw frame without ADTS; for Opus one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessUnit {
    /// The track it belongs to.
    pub track: Track,
    /// When it is shown or heard.
    pub pts: Timestamp,
    /// When it is decoded; never after `pts` in a sane source.
    pub dts: Timestamp,
    /// Decoding can start here. Always true for audio.
    pub keyframe: bool,
    /// The frame.
    pub data: Bytes,
}
