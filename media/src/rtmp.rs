//! RTMP (Adobe RTMP 1.0, Enhanced RTMP v2) without IO: the server that is published to, and the client that plays.
//!
//! ```text
//! bytes ─▶ link::Link ─▶ session::Session or player::Player ─▶ events for the wire task
//!          chunk::Dechunker, bounded   │  commands through amf, one outbound serializer
//!                                      ▼
//!                                bytes to be sent
//! ```
//!
//! `rml_rtmp` serves as a codec toolkit: handshake, chunk serializer, message encodings. What reads a peer's bytes
//! beyond the handshake is own code, because the crate's deserializer and AMF0 decoder panic or overflow the stack on
//! legal and illegal input.

mod aggregate;
pub mod amf;
pub mod chunk;
mod link;
pub mod media;
pub mod name;
pub mod player;
pub mod session;

pub use self::link::{RtmpError, STRANGER_BYTES};
