//! The RTMP doors over TCP and TLS: real encoders (ffmpeg, GStreamer's rtmp2sink, librtmp by way of rtmpsink) and hostile bytes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../tests/support/rtmp_wire.rs"]
mod rtmp_wire;

mod plain;
mod secured;
mod support;
