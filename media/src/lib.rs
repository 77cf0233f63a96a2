//! Media types, wire formats and packaging of Weir.
//!
//! Everything here is pure: no sockets, no files, no threads, no clock. Time enters as an argument, bytes
//! enter as slices, and what comes out is data. That is what makes each module testable at exact instants
//! and fuzzable without GStreamer.
//!
//! ```text
//! id, time            names and units
//! codec, access_unit  compressed media and its decoder configuration
//! ladder, grid        what is made of an input: renditions, and the raster of segments and parts
//! align               how far apart two inputs of one programme are, by their sound
//! feed                the bounded queue between one publisher and one worker
//! pipeline, protocol  the seam to the media worker: trait and events, messages on its socket
//! rtmp, flv           wire formats of RTMP push
//! ts, srt             wire format of SRT push, and the names it publishes to
//! sdp, rtp            wire formats of WHIP push, and of RTSP pull
//! pull                addresses that streams are pulled from
//! hls, mp4            playlists and segments of HLS pull
//! splice, pace        what comes in segments, on one timeline and at the pace of a live source
//! package             CMAF chunks to LL-HLS and LL-DASH
//! ```

pub mod access_unit;
pub mod align;
pub mod codec;
pub mod failover;
pub mod feed;
pub mod flv;
pub mod grid;
pub mod hls;
pub mod id;
pub mod ladder;
pub mod mp4;
pub mod pace;
pub mod package;
pub mod pipeline;
pub mod protocol;
pub mod pull;
pub mod rtmp;
pub mod rtp;
pub mod sdp;
pub mod splice;
pub mod srt;
pub mod time;
pub mod ts;
