//! The chunk layer (RTMP 1.0, 5.3): interleaved chunks to whole messages, within fixed bounds.
//!
//! Contract:
//! - Bytes go into [`Dechunker::buffer`], messages come out of [`Dechunker::next_message`]; the result does not depend on how the
//!   bytes were split.
//! - A message whose one chunk is long enough is a slice of the buffer, without a copy; such a slice keeps its whole read
//!   block alive, so short ones are copied.
//! - Memory: the buffer holds at most one chunk more than was read at once, partial messages at most [`Limits::partial`].
//! - `SetChunkSize` and `Abort` act here and are not reported.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

/// Message type ids that the protocol names (RTMP 1.0, 5.4 and 7.1).
pub mod kind {
    /// Protocol control: length of the peer's chunks.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Protocol control: forget a partial message.
    pub const ABORT: u8 = 2;
    /// Protocol control: stream begin, ping and the like.
    pub const USER_CONTROL: u8 = 4;
    /// Protocol control: after how many bytes the peer wants an acknowledgement.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// An FLV audio tag's body.
    pub const AUDIO: u8 = 8;
    /// An FLV video tag's body.
    pub const VIDEO: u8 = 9;
    /// Data message, labelled AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// Command message, labelled AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data message.
    pub const DATA: u8 = 18;
    /// Command message.
    pub const COMMAND: u8 = 20;
    /// Several FLV tags in one message.
    pub const AGGREGATE: u8 = 22;
}

/// Chunk streams of one connection. Encoders use 3 to 5; each costs about 100 bytes.
const MAX_CHUNK_STREAMS: usize = 64;

/// Chunk size before the peer sets one (5.4.1).
pub(super) const DEFAULT_CHUNK_SIZE: usize = 128;

/// Larger chunk sizes mean the same as this one, for no message is longer (5.4.1).
const MAX_CHUNK_SIZE: usize = 0xff_ffff;

/// Marks a 24-bit timestamp field whose value follows in 32 bits.
const EXTENDED: u32 = 0xff_ffff;

/// Shorter payloads are copied: a slice would pin a read block of many times its size for as long as a feed keeps it.
const COPY_BELOW: usize = 16 << 10;

/// How much a peer may make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest audio, video or aggregate message, bytes.
    pub media: usize,
    /// Sum of the announced lengths of all partial messages, bytes.
    pub partial: usize,
}

impl Limits {
    /// Longest command, data or control message, bytes: at all times, for none has a reason to be longer.
    pub const COMMAND: usize = 64 << 10;

    /// Before a publisher is admitted or a server plays: no media yet, and two commands at once are plenty.
    pub const STRANGER: Self = Self { media: Self::COMMAND, partial: 2 * Self::COMMAND };

    /// Behind that: a keyframe of 4K at any sane rate is under 8 MiB, and audio and data may be under way beside it.
    pub const PUBLISHER: Self = Self { media: 8 << 20, partial: 12 << 20 };
}

/// Why a peer's chunks cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Over [`MAX_CHUNK_STREAMS`].
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyStreams,
    /// Over the limit of its type.
    #[error("message of {length} bytes (type {kind}) is over the limit of {limit}")]
    TooLong {
        /// Message type id.
        kind: u8,
        /// Announced length.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Over [`Limits::partial`].
    #[error("too many unfinished messages at once")]
    TooMuchPartial,
    /// A compressed header on a chunk stream that has no header yet.
    #[error("chunk header refers to an earlier one that was never sent")]
    NoEarlierHeader,
    /// A new length in the middle of a message.
    #[error("message changed its length half-way")]
    LengthChanged,
    /// A chunk size of 0.
    #[error("chunk size of 0")]
    ChunkSize,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp: u32,
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Message stream id.
    pub stream: u32,
    /// The body.
    pub payload: Bytes,
}

/// Puts messages together.
pub struct Dechunker {
    buffer: BytesMut,
    chunk_size: usize,
    limits: Limits,
    streams: HashMap<u32, ChunkStream>,
    partial: usize,
}

/// What later headers of a chunk stream refer to.
#[derive(Clone, Copy, Default)]
struct Header {
    timestamp: u32,
    /// Added by a type 3 chunk that begins a message.
    delta: u32,
    /// The 32-bit value, when the latest header of type 0 to 2 had one.
    extended: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

#[derive(Default)]
struct ChunkStream {
    header: Header,
    /// The message under way; `None` between messages.
    partial: Option<BytesMut>,
}

/// A chunk whose header was read and whose bytes are all in the buffer.
struct Chunk {
    id: u32,
    header: Header,
    begins: bool,
    header_length: usize,
    payload_length: usize,
}

impl Default for Dechunker {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            limits: Limits::STRANGER,
            streams: HashMap::new(),
            partial: 0,
        }
    }
}

impl Dechunker {
    /// Where received bytes go, at the end.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Changes the bounds, from the next chunk on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next whole message; `None` when more bytes are needed. After an error the connection is unusable.
    pub fn next_message(&mut self) -> Result<Option<Message>, ChunkError> {
        while let Some(chunk) = self.read_header()? {
            let Some(message) = self.take(chunk)? else { continue };
            match message.kind {
                kind::SET_CHUNK_SIZE => {
                    let size = leading_u32(&message.payload).unwrap_or(0) & 0x7fff_ffff;
                    if size == 0 {
                        return Err(ChunkError::ChunkSize);
                    }
                    self.chunk_size = (size as usize).min(MAX_CHUNK_SIZE);
                }
                kind::ABORT => {
                    let aborted = leading_u32(&message.payload).and_then(|id| self.streams.get_mut(&id));
                    if let Some(stream) = aborted
                        && stream.partial.take().is_some()
                    {
                        self.partial -= stream.header.length;
                    }
                }
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Reads one chunk's header without consuming it; `None` until the whole chunk is in the buffer.
    fn read_header(&mut self) -> Result<Option<Chunk>, ChunkError> {
        let mut cursor = &self.buffer[..];
        let Some((format, id)) = read_basic_header(&mut cursor) else { return Ok(None) };
        let known = self.streams.get(&id);
        if known.is_none() {
            if format != 0 {
                return Err(ChunkError::NoEarlierHeader);
            }
            if self.streams.len() >= MAX_CHUNK_STREAMS {
                return Err(ChunkError::TooManyStreams);
            }
        }
        let earlier = known.map_or_else(Header::default, |stream| stream.header);
        let received = known.and_then(|stream| stream.partial.as_ref()).map(BytesMut::len);
        let begins = received.is_none();

        let mut header = earlier;
        let mut field = None;
        if format <= 2 {
            let Some(value) = take_u24(&mut cursor) else { return Ok(None) };
            field = Some(value);
        }
        if format <= 1 {
            let (Some(length), Some(kind)) = (take_u24(&mut cursor), take_u8(&mut cursor)) else { return Ok(None) };
            (header.length, header.kind) = (length as usize, kind);
        }
        if format == 0 {
            let Some(stream) = cursor.split_first_chunk::<4>() else { return Ok(None) };
            (header.stream, cursor) = (u32::from_le_bytes(*stream.0), stream.1);
        }
        if !begins && header.length != earlier.length {
            return Err(ChunkError::LengthChanged);
        }
        let limit = match header.kind {
            kind::AUDIO | kind::VIDEO | kind::AGGREGATE => self.limits.media,
            _ => Limits::COMMAND,
        };
        if header.length > limit {
            return Err(ChunkError::TooLong { kind: header.kind, length: header.length, limit });
        }
        match field {
            Some(EXTENDED) => {
                let Some(value) = leading_u32(cursor) else { return Ok(None) };
                cursor.advance(4);
                header.extended = Some(value);
            }
            Some(_) => header.extended = None,
            // A type 3 chunk repeats the extended timestamp, but some encoders leave it out: it is one only if it is equal.
            None => {
                if let Some(value) = earlier.extended {
                    let Some(peeked) = leading_u32(cursor) else { return Ok(None) };
                    if peeked == value {
                        cursor.advance(4);
                    }
                }
            }
        }
        if begins {
            match (format, header.extended.or(field)) {
                (0, time) => (header.timestamp, header.delta) = (time.unwrap_or(0), 0),
                (1 | 2, delta) => header.delta = delta.unwrap_or(0),
                _ => {}
            }
            header.timestamp = header.timestamp.wrapping_add(header.delta);
        } else {
            // Repeated headers inside a message say nothing new.
            header = Header { extended: header.extended, ..earlier };
        }

        let header_length = self.buffer.len() - cursor.len();
        let payload_length = (header.length - received.unwrap_or(0)).min(self.chunk_size);
        if cursor.len() < payload_length {
            let missing = payload_length - cursor.len();
            self.buffer.reserve(missing);
            return Ok(None);
        }
        Ok(Some(Chunk { id, header, begins, header_length, payload_length }))
    }

    /// Consumes a chunk; returns the message that it completes.
    fn take(&mut self, chunk: Chunk) -> Result<Option<Message>, ChunkError> {
        let Chunk { id, header, begins, header_length, payload_length } = chunk;
        self.buffer.advance(header_length);
        let stream = self.streams.entry(id).or_default();
        stream.header = header;
        let payload = if begins && payload_length == header.length {
            let whole = self.buffer.split_to(payload_length);
            if payload_length < COPY_BELOW { Bytes::copy_from_slice(&whole) } else { whole.freeze() }
        } else {
            if begins {
                // The announced length counts, so the space can be reserved at once.
                self.partial += header.length;
                if self.partial > self.limits.partial {
                    return Err(ChunkError::TooMuchPartial);
                }
            }
            let partial = stream.partial.get_or_insert_with(|| BytesMut::with_capacity(header.length));
            partial.extend_from_slice(&self.buffer[..payload_length]);
            self.buffer.advance(payload_length);
            if partial.len() < header.length {
                return Ok(None);
            }
            self.partial -= header.length;
            stream.partial.take().unwrap_or_default().freeze()
        };
        Ok(Some(Message { timestamp: header.timestamp, kind: header.kind, stream: header.stream, payload }))
    }
}

/// Format and chunk stream id (5.3.1.1).
fn read_basic_header(cursor: &mut &[u8]) -> Option<(u8, u32)> {
    let first = take_u8(cursor)?;
    let id = match first & 0x3f {
        0 => 64 + u32::from(take_u8(cursor)?),
        1 => 64 + u32::from(take_u8(cursor)?) + 256 * u32::from(take_u8(cursor)?),
        id => u32::from(id),
    };
    Some((first >> 6, id))
}

fn take_u8(cursor: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = cursor.split_first()?;
    *cursor = rest;
    Some(byte)
}

fn take_u24(cursor: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = cursor.split_first_chunk::<3>()?;
    *cursor = rest;
    Some(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
}

fn leading_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|head| u32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests;
