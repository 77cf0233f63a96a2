//! The publish state machine: bytes of one encoder in, events and reply bytes out.
//!
//! Contract: after each read (into [`Session::buffer`], announced by [`Session::received`]) call [`Session::poll_event`]
//! until it returns `None`, then send [`Session::take_output`] in one write. Parsing is driven by the polling, so there is
//! no queue of events. It stands still between [`Event::PublishRequested`] and [`Session::accept`] or
//! [`Session::reject`]: what the encoder sends ahead waits as bytes, within [`STRANGER_BYTES`].
//!
//! ```text
//! handshake ─▶ commands ─publish─▶ deciding ─accept─▶ publishing ─▶ over
//!                                     └──────reject─────────────────▲
//! ```

mod event;

use std::collections::HashMap;

use bytes::BytesMut;
use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::{ChunkSerializationError, ChunkSerializer};
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::{MessageSerializationError, PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use self::event::data_event;
pub use self::event::{Event, Metadata, PublishRequest};
use super::amf::{self, AmfError};
use super::chunk::{ChunkError, Dechunker, Limits, Message, kind};

/// Most bytes that an encoder may send before it is admitted, handshake included. Real ones send some 4 KiB.
pub const STRANGER_BYTES: u64 = 256 << 10;

/// Message streams of one connection. A publisher needs one; some create a second.
const MAX_STREAMS: u32 = 8;

/// Our chunks' length: every reply fits into one, and it is what common servers announce.
const CHUNK_SIZE: u32 = 4096;

/// The acknowledgement window, bytes: what we announce, and what we acknowledge by until the encoder names its own.
const WINDOW: u32 = 2_500_000;

/// Longest `flashVer` that is kept, characters.
const MAX_AGENT: usize = 128;

/// Codecs that a client of Enhanced RTMP is told it may use, video and audio.
const FOUR_CCS: [&str; 2] = ["avc1", "mp4a"];

/// Why the connection cannot go on.
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
    /// Our own reply cannot be built.
    #[error("reply cannot be encoded")]
    Message(#[from] MessageSerializationError),
    /// Our own reply cannot be sent in chunks.
    #[error("reply cannot be put into chunks")]
    Serialize(#[from] ChunkSerializationError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Commands,
    Deciding { stream: u32 },
    Publishing { stream: u32 },
    Over,
}

/// One encoder's connection.
pub struct Session {
    handshake: Option<Handshake>,
    dechunker: Dechunker,
    serializer: ChunkSerializer,
    output: Vec<u8>,
    state: State,
    /// Application and agent, once connected.
    connected: Option<(String, Option<String>)>,
    streams: u32,
    window: u32,
    received: u64,
    acknowledged: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            handshake: Some(Handshake::new(PeerType::Server)),
            dechunker: Dechunker::default(),
            serializer: ChunkSerializer::new(),
            output: vec![],
            state: State::Commands,
            connected: None,
            streams: 0,
            window: WINDOW,
            received: 0,
            acknowledged: 0,
        }
    }
}

impl Session {
    /// Where received bytes go, at the end.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.dechunker.buffer()
    }

    /// Counts `bytes` that were just put into the buffer.
    pub fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Takes bytes by copy: [`Session::buffer`] and [`Session::received`] in one.
    pub fn handle(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
        self.received(bytes.len());
    }

    /// The handshake is done.
    pub fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// All replies so far, to be sent in one write; empty when there are none.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The next thing the encoder did; `None` when more bytes or a decision are needed. After an error the connection is
    /// unusable.
    pub fn poll_event(&mut self) -> Result<Option<Event>, RtmpError> {
        if !matches!(self.state, State::Publishing { .. }) && self.received > STRANGER_BYTES {
            return Err(RtmpError::TooMuchBeforePublish);
        }
        if !self.shake_hands()? {
            return Ok(None);
        }
        while matches!(self.state, State::Commands | State::Publishing { .. }) {
            let Some(message) = self.dechunker.next_message()? else { break };
            if let Some(event) = self.message(message)? {
                return Ok(Some(event));
            }
        }
        self.acknowledge()?;
        Ok(None)
    }

    /// Lets the encoder publish.
    pub fn accept(&mut self) -> Result<(), RtmpError> {
        let State::Deciding { stream } = self.state else { return Err(RtmpError::Protocol("no publish to accept")) };
        self.state = State::Publishing { stream };
        self.dechunker.set_limits(Limits::PUBLISHER);
        self.send(
            RtmpMessage::UserControl {
                event_type: UserControlEventType::StreamBegin,
                stream_id: Some(stream),
                buffer_length: None,
                timestamp: None,
            },
            0,
        )?;
        self.status(stream, "status", "NetStream.Publish.Start", "publishing")
    }

    /// Refuses the publish in the form that ffmpeg, GStreamer, librtmp and OBS all take for final. Send the output, then
    /// close in order.
    pub fn reject(&mut self, description: &str) -> Result<(), RtmpError> {
        self.end("NetStream.Publish.BadName", description)
    }

    /// Tells an admitted encoder that it has to stop. Send the output, then close in order.
    pub fn expel(&mut self, description: &str) -> Result<(), RtmpError> {
        self.end("NetStream.Publish.Denied", description)
    }

    fn end(&mut self, code: &str, description: &str) -> Result<(), RtmpError> {
        let (State::Deciding { stream } | State::Publishing { stream }) = self.state else { return Ok(()) };
        self.state = State::Over;
        self.status(stream, "error", code, description)
    }

    /// True once the handshake is done.
    fn shake_hands(&mut self) -> Result<bool, RtmpError> {
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

    fn message(&mut self, message: Message) -> Result<Option<Event>, RtmpError> {
        let Message { timestamp, kind, stream, payload } = message;
        let on_air = self.state == State::Publishing { stream };
        match kind {
            kind::VIDEO if on_air => return Ok(Some(Event::Video { timestamp, body: payload })),
            kind::AUDIO if on_air => return Ok(Some(Event::Audio { timestamp, body: payload })),
            kind::AGGREGATE if on_air => return Err(RtmpError::Protocol("aggregate messages are not supported")),
            kind::DATA | kind::DATA_AMF3 if on_air => return Ok(data_event(unlabelled(kind, &payload))),
            kind::COMMAND | kind::COMMAND_AMF3 => return self.command(stream, unlabelled(kind, &payload)),
            kind::WINDOW_ACK_SIZE => {
                if let Some(window) = payload.first_chunk::<4>() {
                    // Two bytes at least, or half of it is no progress.
                    self.window = u32::from_be_bytes(*window).max(2);
                }
            }
            kind::USER_CONTROL => self.pong(&payload)?,
            _ => {}
        }
        Ok(None)
    }

    fn command(&mut self, stream: u32, payload: &[u8]) -> Result<Option<Event>, RtmpError> {
        let mut values = amf::decode(payload)?.into_iter();
        let Some(Amf0Value::Utf8String(name)) = values.next() else {
            return Err(RtmpError::Protocol("command without a name"));
        };
        let transaction = values.next().and_then(Amf0Value::get_number).unwrap_or(0.0);
        let object = values.next();
        let argument = values.next();
        match name.as_str() {
            "connect" => self.connect(transaction, object)?,
            "createStream" => {
                self.streams += 1;
                if self.streams > MAX_STREAMS {
                    return Err(RtmpError::Protocol("too many message streams"));
                }
                self.result(transaction, Amf0Value::Null, vec![Amf0Value::Number(self.streams.into())])?;
            }
            "publish" => return self.publish(stream, argument).map(Some),
            "releaseStream" | "FCPublish" | "_checkbw" if transaction != 0.0 => {
                self.result(transaction, Amf0Value::Null, vec![])?;
            }
            "deleteStream" | "closeStream" | "FCUnpublish" => return self.unpublish(),
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, transaction: f64, object: Option<Amf0Value>) -> Result<(), RtmpError> {
        if self.connected.is_some() {
            return Err(RtmpError::Protocol("second connect"));
        }
        let Some(Amf0Value::Object(mut client)) = object else {
            return Err(RtmpError::Protocol("connect without an object"));
        };
        let mut text = |name| client.remove(name).and_then(Amf0Value::get_string);
        let application = text("app").unwrap_or_default();
        let agent = text("flashVer").map(|agent| agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect());
        self.connected = Some((application, agent));

        self.send(RtmpMessage::WindowAcknowledgement { size: WINDOW }, 0)?;
        self.send(RtmpMessage::SetPeerBandwidth { size: WINDOW, limit_type: PeerBandwidthLimitType::Dynamic }, 0)?;
        let packet = self.serializer.set_max_chunk_size(CHUNK_SIZE, RtmpTimestamp::new(0))?;
        self.output.extend(packet.bytes);

        let server = object_of([("fmsVer", string("FMS/3,5,7,7009")), ("capabilities", Amf0Value::Number(31.0))]);
        let mut information = HashMap::from([
            ("level".to_owned(), string("status")),
            ("code".to_owned(), string("NetConnection.Connect.Success")),
            ("description".to_owned(), string("connected")),
            ("objectEncoding".to_owned(), Amf0Value::Number(0.0)),
        ]);
        information.extend(four_cc_answer(&client));
        self.result(transaction, server, vec![Amf0Value::Object(information)])
    }

    fn publish(&mut self, stream: u32, key: Option<Amf0Value>) -> Result<Event, RtmpError> {
        if self.state != State::Commands {
            return Err(RtmpError::Protocol("second publish"));
        }
        let Some((application, agent)) = self.connected.clone() else {
            return Err(RtmpError::Protocol("publish before connect"));
        };
        self.state = State::Deciding { stream };
        let key = key.and_then(Amf0Value::get_string).unwrap_or_default();
        Ok(Event::PublishRequested(PublishRequest { application, key, agent }))
    }

    fn unpublish(&mut self) -> Result<Option<Event>, RtmpError> {
        let State::Publishing { stream } = self.state else { return Ok(None) };
        self.state = State::Over;
        self.status(stream, "status", "NetStream.Unpublish.Success", "stream ended")?;
        Ok(Some(Event::Unpublished))
    }

    /// Answers a ping request (user control event 6).
    fn pong(&mut self, payload: &[u8]) -> Result<(), RtmpError> {
        let Some([0, 6, time @ ..]) = payload.first_chunk::<6>() else { return Ok(()) };
        self.send(
            RtmpMessage::UserControl {
                event_type: UserControlEventType::PingResponse,
                stream_id: None,
                buffer_length: None,
                timestamp: Some(RtmpTimestamp::new(u32::from_be_bytes(*time))),
            },
            0,
        )
    }

    /// Acknowledges the total of received bytes every half window.
    fn acknowledge(&mut self) -> Result<(), RtmpError> {
        if self.received - self.acknowledged >= u64::from(self.window / 2) {
            self.acknowledged = self.received;
            // The sequence number wraps, as the protocol has it.
            self.send(RtmpMessage::Acknowledgement { sequence_number: self.received as u32 }, 0)?;
        }
        Ok(())
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) -> Result<(), RtmpError> {
        let information =
            object_of([("level", string(level)), ("code", string(code)), ("description", string(description))]);
        self.reply("onStatus", 0.0, Amf0Value::Null, vec![information], stream)
    }

    fn result(&mut self, transaction: f64, object: Amf0Value, values: Vec<Amf0Value>) -> Result<(), RtmpError> {
        self.reply("_result", transaction, object, values, 0)
    }

    fn reply(
        &mut self,
        command: &str,
        transaction_id: f64,
        command_object: Amf0Value,
        additional_arguments: Vec<Amf0Value>,
        stream: u32,
    ) -> Result<(), RtmpError> {
        let command_name = command.to_owned();
        self.send(
            RtmpMessage::Amf0Command { command_name, transaction_id, command_object, additional_arguments },
            stream,
        )
    }

    fn send(&mut self, message: RtmpMessage, stream: u32) -> Result<(), RtmpError> {
        let payload = message.into_message_payload(RtmpTimestamp::new(0), stream)?;
        // Full headers only: some encoders do not understand compressed ones in replies.
        self.output.extend(self.serializer.serialize(&payload, true, false)?.bytes);
        Ok(())
    }
}

/// The values of a message: what is labelled AMF3 is AMF0 behind a zero byte, or without it.
fn unlabelled(kind: u8, payload: &[u8]) -> &[u8] {
    match (kind, payload) {
        (kind::DATA_AMF3 | kind::COMMAND_AMF3, [0, rest @ ..]) => rest,
        _ => payload,
    }
}

/// Answers the codec offer of an Enhanced RTMP client with the part of it that is decoded here.
fn four_cc_answer(client: &HashMap<String, Amf0Value>) -> Vec<(String, Amf0Value)> {
    const CAN_DECODE: f64 = 1.0;
    let mut answer = vec![];
    if let Some(Amf0Value::StrictArray(offered)) = client.get("fourCcList") {
        let offers = |four_cc: &str| {
            offered.iter().any(|offer| matches!(offer, Amf0Value::Utf8String(text) if text == four_cc || text == "*"))
        };
        let common = FOUR_CCS.into_iter().filter(|four_cc| offers(four_cc)).map(string).collect();
        answer.push(("fourCcList".to_owned(), Amf0Value::StrictArray(common)));
    }
    for (name, four_cc) in ["videoFourCcInfoMap", "audioFourCcInfoMap"].into_iter().zip(FOUR_CCS) {
        if client.contains_key(name) {
            answer.push((name.to_owned(), object_of([(four_cc, Amf0Value::Number(CAN_DECODE))])));
        }
    }
    if client.contains_key("capsEx") {
        answer.push(("capsEx".to_owned(), Amf0Value::Number(0.0)));
    }
    answer
}

fn string(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

fn object_of<const N: usize>(properties: [(&str, Amf0Value); N]) -> Amf0Value {
    Amf0Value::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
