//! RTMP publishing (Adobe RTMP 1.0, Enhanced RTMP v2), the server's side, without IO.
//!
//! ```text
//! bytes ─▶ chunk::Dechunker ─▶ session::Session ─▶ events for the wire task
//!              bounded             │  commands through amf, one outbound serializer
//!                                  ▼
//!                              reply bytes
//! ```
//!
//! `rml_rtmp` serves as a codec toolkit: handshake, chunk serializer, message encodings. What reads a peer's bytes
//! beyond the handshake is own code, because the crate's deserializer and AMF0 decoder panic or overflow the stack on
//! legal and illegal input.

pub mod amf;
pub mod chunk;
pub mod name;
pub mod session;
