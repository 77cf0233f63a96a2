//! Names of things: streams, slots, sessions, broadcasts, protocols.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stream (channel) as the API numbers it. Printed as a plain decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StreamId {
    type Err = std::num::ParseIntError;

    /// Digits only: no sign, no white space.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return "x".parse::<u64>().map(Self);
        }
        text.parse().map(Self)
    }
}

/// Which of a stream's two ingest points. The backup's publish name is the stream id with a `b` behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The ingest point that has priority.
    Primary,
    /// The ingest point that stands in.
    Backup,
}

impl Slot {
    /// `"primary"` or `"backup"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One admitted publisher, from publish to close. Unique within one run of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an input reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP over TCP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// SRT with MPEG-TS.
    Srt,
    /// WebRTC, signalled by WHIP (RFC 9725).
    Whip,
    /// HLS, pulled.
    Hls,
    /// MPEG-TS over HTTP, pulled.
    Http,
    /// RTSP, pulled.
    Rtsp,
}

impl Protocol {
    /// `"rtmp"`, `"rtmps"`, `"srt"`, `"whip"`, `"hls"`, `"http"` or `"rtsp"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Srt => "srt",
            Self::Whip => "whip",
            Self::Hls => "hls",
            Self::Http => "http",
            Self::Rtsp => "rtsp",
        }
    }

    /// The API's `stream_source_type`: `rtmp`, `srt`, `webrtc` or `https`; and `rtsp`, for which the documented API has no word.
    pub fn source_type(self) -> &'static str {
        match self {
            Self::Rtmp | Self::Rtmps => "rtmp",
            Self::Srt => "srt",
            Self::Whip => "webrtc",
            Self::Hls | Self::Http => "https",
            Self::Rtsp => "rtsp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
