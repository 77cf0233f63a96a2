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
const DEFAULT_CHUNK_SIZE: usize = 128;

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

    /// Before the publisher is admitted: no media yet, and two commands at once are plenty.
    pub const STRANGER: Self = Self { media: Self::COMMAND, partial: 2 * Self::COMMAND };

    /// After admission: a keyframe of 4K at any sane rate is under 8 MiB, and audio and data may be under way beside it.
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
mod tests {
    use super::*;

    fn header0(id: u8, time: u32, length: usize, kind: u8) -> Vec<u8> {
        let mut wire = vec![id];
        wire.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
        wire.extend(&(length as u32).to_be_bytes()[1..]);
        wire.push(kind);
        wire.extend(1u32.to_le_bytes());
        if time >= EXTENDED {
            wire.extend(time.to_be_bytes());
        }
        wire
    }

    fn all(wire: &[u8]) -> Result<Vec<Message>, ChunkError> {
        let mut dechunker = Dechunker::default();
        dechunker.set_limits(Limits::PUBLISHER);
        dechunker.buffer().extend_from_slice(wire);
        std::iter::from_fn(|| dechunker.next_message().transpose()).collect()
    }

    fn times(wire: &[u8]) -> Vec<u32> {
        all(wire).unwrap().iter().map(|message| message.timestamp).collect()
    }

    #[test]
    fn chunk_streams_interleave() {
        let mut wire = header0(6, 10, 200, kind::VIDEO);
        wire.extend([7; 128]);
        wire.extend(header0(4, 11, 3, kind::AUDIO));
        wire.extend([8; 3]);
        wire.push(0xc6);
        wire.extend([7; 72]);
        let messages = all(&wire).unwrap();
        assert_eq!(messages.iter().map(|m| (m.kind, m.payload.len())).collect::<Vec<_>>(), [(8, 3), (9, 200)]);
        assert_eq!(messages[1].payload, [7; 200][..]);
    }

    #[test]
    fn compressed_headers_add_their_delta() {
        let mut wire = header0(4, 1000, 1, kind::AUDIO);
        wire.push(0);
        wire.extend([0x44, 0, 0, 20, 0, 0, 1, kind::AUDIO, 0]);
        wire.extend([0x84, 0, 0, 30, 0]);
        wire.extend([0xc4, 0]);
        assert_eq!(times(&wire), [1000, 1020, 1050, 1080]);
    }

    #[test]
    fn a_type_3_chunk_after_type_0_repeats_its_time() {
        let mut wire = header0(4, 1000, 1, kind::AUDIO);
        wire.extend([0, 0xc4, 0]);
        assert_eq!(times(&wire), [1000, 1000]);
    }

    #[test]
    fn extended_timestamps_come_with_and_without_repetition() {
        for repeated in [true, false] {
            let mut wire = header0(6, 0x0100_0000, 300, kind::VIDEO);
            wire.extend([1; 128]);
            for length in [128, 44] {
                wire.push(0xc6);
                if repeated {
                    wire.extend(0x0100_0000u32.to_be_bytes());
                }
                wire.extend(vec![1; length]);
            }
            wire.extend(header0(6, 5, 1, kind::VIDEO));
            wire.push(2);
            let messages = all(&wire).unwrap();
            assert_eq!(messages.len(), 2, "repeated: {repeated}");
            assert_eq!(messages[0].payload, [1; 300][..]);
        }
    }

    #[test]
    fn time_wraps_at_32_bits() {
        let mut wire = header0(4, u32::MAX, 1, kind::AUDIO);
        wire.push(0);
        wire.extend([0x84, 0, 0, 40, 0]);
        assert_eq!(times(&wire), [u32::MAX, 39]);
    }

    #[test]
    fn an_aborted_message_is_forgotten() {
        let mut wire = header0(6, 1, 200, kind::VIDEO);
        wire.extend([7; 128]);
        wire.extend(header0(2, 0, 4, kind::ABORT));
        wire.extend(6u32.to_be_bytes());
        wire.extend(header0(6, 2, 2, kind::VIDEO));
        wire.extend([9; 2]);
        let messages = all(&wire).unwrap();
        assert_eq!((messages.len(), messages[0].timestamp, &messages[0].payload[..]), (1, 2, &[9, 9][..]));
    }

    #[test]
    fn a_full_header_may_repeat_inside_a_message() {
        let mut wire = header0(6, 1, 200, kind::VIDEO);
        wire.extend([7; 128]);
        wire.extend(header0(6, 1, 200, kind::VIDEO));
        wire.extend([7; 72]);
        assert_eq!(all(&wire).unwrap()[0].payload.len(), 200);
        let mut wire = header0(6, 1, 200, kind::VIDEO);
        wire.extend([7; 128]);
        wire.extend(header0(6, 1, 100, kind::VIDEO));
        assert_eq!(all(&wire), Err(ChunkError::LengthChanged));
    }

    #[test]
    fn each_bound_has_its_error() {
        let set_chunk_size = |size: u32| [header0(2, 0, 4, kind::SET_CHUNK_SIZE), size.to_be_bytes().to_vec()].concat();
        assert_eq!(all(&set_chunk_size(0)), Err(ChunkError::ChunkSize));
        let huge = [set_chunk_size(0x7fff_ffff), header0(6, 0, 0xff_ffff, kind::VIDEO)].concat();
        assert!(matches!(all(&huge), Err(ChunkError::TooLong { length: 0xff_ffff, .. })));
        assert!(matches!(all(&header0(3, 0, Limits::COMMAND + 1, kind::COMMAND)), Err(ChunkError::TooLong { .. })));
        assert_eq!(all(&[0xc4, 0]), Err(ChunkError::NoEarlierHeader));

        let streams: Vec<u8> =
            (0..65u8).flat_map(|id| [&[0, id], &header0(0, 0, 0, kind::DATA)[1..]].concat()).collect();
        assert_eq!(all(&streams), Err(ChunkError::TooManyStreams));

        let partial = |id: u8| [header0(id, 0, 7 << 20, kind::VIDEO), vec![0; 128]].concat();
        assert_eq!(all(&[partial(6), partial(7)].concat()), Err(ChunkError::TooMuchPartial));
    }

    #[test]
    fn long_one_chunk_messages_are_not_copied() {
        let mut dechunker = Dechunker::default();
        dechunker.set_limits(Limits::PUBLISHER);
        let mut wire = [header0(2, 0, 4, kind::SET_CHUNK_SIZE), 65536u32.to_be_bytes().to_vec()].concat();
        wire.extend(header0(6, 0, COPY_BELOW, kind::VIDEO));
        let at = wire.len();
        wire.extend(vec![1; COPY_BELOW]);
        dechunker.buffer().extend_from_slice(&wire);
        let expected = dechunker.buffer()[at..].as_ptr();
        assert_eq!(dechunker.next_message().unwrap().unwrap().payload.as_ptr(), expected);
    }
}
