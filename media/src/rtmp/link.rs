//! What both ends of a connection do alike: handshake, chunks in and out, pings answered and bytes acknowledged.
//!
//! Contract: received bytes go into [`Link::buffer`] and are announced by [`Link::received`]. [`Link::shake_hands`] comes before any
//! message. [`Link::acknowledge`] is called when all messages of a read are taken; what is to be sent gathers until
//! [`Link::take_output`].

use bytes::BytesMut;
use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::{ChunkSerializationError, ChunkSerializer};
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::{MessageSerializationError, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use super::amf::AmfError;
use super::chunk::{ChunkError, DEFAULT_CHUNK_SIZE, Dechunker, Limits, Message, kind};

/// Most bytes that a peer may send before media may flow, handshake included. Real encoders and servers send some 4 KiB.
pub const STRANGER_BYTES: u64 = 256 << 10;

/// The acknowledgement window, bytes: what we announce, and what we acknowledge by until the peer names its own.
pub(super) const WINDOW: u32 = 2_500_000;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RtmpError {
    /// Not RTMP, or encrypted RTMP.
    #[error("handshake failed")]
    Handshake(#[from] HandshakeError),
    /// Broken or oversized chunks.
    #[error("chunk stream: {0}")]
    Chunk(#[from] ChunkError),
    /// A command that cannot be decoded.
    #[error("undecodable command: {0}")]
    Command(#[from] AmfError),
    /// A command out of order, or too many of them.
    #[error("{0}")]
    Protocol(&'static str),
    /// More than [`STRANGER_BYTES`].
    #[error("more than {STRANGER_BYTES} bytes before the publisher was admitted")]
    TooMuchBeforePublish,
    /// More than [`STRANGER_BYTES`].
    #[error("more than {STRANGER_BYTES} bytes before the stream was played")]
    TooMuchBeforePlay,
    /// What we have to say cannot be built.
    #[error("message cannot be encoded")]
    Message(#[from] MessageSerializationError),
    /// What we have to say cannot be sent in chunks.
    #[error("message cannot be put into chunks")]
    Serialize(#[from] ChunkSerializationError),
}

/// One end of a connection.
pub(super) struct Link {
    handshake: Option<Handshake>,
    dechunker: Dechunker,
    serializer: ChunkSerializer,
    /// Length of our chunks.
    chunk_size: usize,
    output: Vec<u8>,
    window: u32,
    received: u64,
    acknowledged: u64,
}

impl Link {
    /// This end of a new connection.
    pub fn new(end: PeerType) -> Self {
        Self {
            handshake: Some(Handshake::new(end)),
            dechunker: Dechunker::default(),
            serializer: ChunkSerializer::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            output: vec![],
            window: WINDOW,
            received: 0,
            acknowledged: 0,
        }
    }

    /// Where received bytes go, at the end.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.dechunker.buffer()
    }

    /// Counts `bytes` that were just put into the buffer.
    pub fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Bytes received so far.
    pub fn total(&self) -> u64 {
        self.received
    }

    /// Bytes received and read so far.
    pub fn consumed(&mut self) -> u64 {
        self.received - self.dechunker.buffer().len() as u64
    }

    /// The handshake is done.
    pub fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// Lets the peer send media.
    pub fn admit(&mut self) {
        self.dechunker.set_limits(Limits::PUBLISHER);
    }

    /// All that is to be sent, in one write; empty when there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// True once the handshake is done. The client's end begins it here, before anything is received.
    pub fn shake_hands(&mut self) -> Result<bool, RtmpError> {
        let Some(handshake) = &mut self.handshake else { return Ok(true) };
        let bytes = self.dechunker.buffer().split();
        match handshake.process_bytes(&bytes)? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                self.output.extend(response_bytes);
                Ok(false)
            }
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                self.output.extend(response_bytes);
                self.dechunker.buffer().extend_from_slice(&remaining_bytes);
                self.handshake = None;
                Ok(true)
            }
        }
    }

    /// The next message that is not about the connection alone; `None` when more bytes are needed.
    pub fn next_message(&mut self) -> Result<Option<Message>, RtmpError> {
        while let Some(message) = self.dechunker.next_message()? {
            match (message.kind, &message.payload[..]) {
                // Two bytes at least, or half of it is no progress.
                (kind::WINDOW_ACK_SIZE, [a, b, c, d, ..]) => {
                    self.window = u32::from_be_bytes([*a, *b, *c, *d]).max(2);
                }
                (kind::USER_CONTROL, [0, 6, a, b, c, d, ..]) => self.pong(u32::from_be_bytes([*a, *b, *c, *d]))?,
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Acknowledges the total of received bytes every half window.
    pub fn acknowledge(&mut self) -> Result<(), RtmpError> {
        if self.received - self.acknowledged >= u64::from(self.window / 2) {
            self.acknowledged = self.received;
            // The sequence number wraps, as the protocol has it.
            self.send(RtmpMessage::Acknowledgement { sequence_number: self.received as u32 }, 0)?;
        }
        Ok(())
    }

    /// Sends longer chunks from now on.
    pub fn set_chunk_size(&mut self, size: u32) -> Result<(), RtmpError> {
        let packet = self.serializer.set_max_chunk_size(size, RtmpTimestamp::new(0))?;
        self.output.extend(packet.bytes);
        self.chunk_size = size as usize;
        Ok(())
    }

    /// Sends a user control event about a message stream.
    pub fn control(
        &mut self,
        event_type: UserControlEventType,
        stream: u32,
        buffer_length: Option<u32>,
    ) -> Result<(), RtmpError> {
        let stream_id = Some(stream);
        self.send(RtmpMessage::UserControl { event_type, stream_id, buffer_length, timestamp: None }, 0)
    }

    /// Sends a command, or the answer to one.
    pub fn command(
        &mut self,
        name: &str,
        transaction_id: f64,
        command_object: Amf0Value,
        additional_arguments: Vec<Amf0Value>,
        stream: u32,
    ) -> Result<(), RtmpError> {
        let command_name = name.to_owned();
        self.send(
            RtmpMessage::Amf0Command { command_name, transaction_id, command_object, additional_arguments },
            stream,
        )
    }

    /// Sends a message.
    pub fn send(&mut self, message: RtmpMessage, stream: u32) -> Result<(), RtmpError> {
        let payload = message.into_message_payload(RtmpTimestamp::new(0), stream)?;
        // Full headers only, for some encoders do not understand compressed ones in replies; but a chunk that continues a message has none.
        let full = payload.data.len() <= self.chunk_size;
        self.output.extend(self.serializer.serialize(&payload, full, false)?.bytes);
        Ok(())
    }

    /// Answers a ping request.
    fn pong(&mut self, time: u32) -> Result<(), RtmpError> {
        self.send(
            RtmpMessage::UserControl {
                event_type: UserControlEventType::PingResponse,
                stream_id: None,
                buffer_length: None,
                timestamp: Some(RtmpTimestamp::new(time)),
            },
            0,
        )
    }
}

/// Where a message's AMF0 values are: what is labelled AMF3 has them behind a zero byte, or without it.
pub(super) fn unlabelled(message: &Message) -> &[u8] {
    match (message.kind, &message.payload[..]) {
        (kind::DATA_AMF3 | kind::COMMAND_AMF3, [0, rest @ ..]) => rest,
        (_, payload) => payload,
    }
}
