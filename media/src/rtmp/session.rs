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
use rml_rtmp::handshake::PeerType;
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};

pub use self::event::{Event, PublishRequest};
use super::amf::{self, object_of, string};
use super::chunk::{Message, kind};
use super::link::{Link, RtmpError, STRANGER_BYTES, WINDOW, unlabelled};
use super::media::Media;

/// Message streams of one connection. A publisher needs one; some create a second.
const MAX_STREAMS: u32 = 8;

/// Our chunks' length: every reply fits into one, and it is what common servers announce.
const CHUNK_SIZE: u32 = 4096;

/// Longest `flashVer` that is kept, characters.
const MAX_AGENT: usize = 128;

/// Codecs that a client of Enhanced RTMP is told it may use, video and audio.
const FOUR_CCS: [&str; 2] = ["avc1", "mp4a"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Commands,
    Deciding { stream: u32 },
    Publishing { stream: u32 },
    Over,
}

/// One encoder's connection.
pub struct Session {
    link: Link,
    state: State,
    /// Application and agent, once connected.
    connected: Option<(String, Option<String>)>,
    streams: u32,
}

impl Default for Session {
    fn default() -> Self {
        Self { link: Link::new(PeerType::Server), state: State::Commands, connected: None, streams: 0 }
    }
}

impl Session {
    /// Where received bytes go, at the end.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.link.buffer()
    }

    /// Counts `bytes` that were just put into the buffer.
    pub fn received(&mut self, bytes: usize) {
        self.link.received(bytes);
    }

    /// Takes bytes by copy: [`Session::buffer`] and [`Session::received`] in one.
    pub fn handle(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
        self.received(bytes.len());
    }

    /// The handshake is done.
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// All replies so far, to be sent in one write; empty when there are none.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.link.take_output()
    }

    /// The next thing the encoder did; `None` when more bytes or a decision are needed. After an error the connection is
    /// unusable.
    pub fn poll_event(&mut self) -> Result<Option<Event>, RtmpError> {
        if !matches!(self.state, State::Publishing { .. }) && self.link.total() > STRANGER_BYTES {
            return Err(RtmpError::TooMuchBeforePublish);
        }
        if !self.link.shake_hands()? {
            return Ok(None);
        }
        while matches!(self.state, State::Commands | State::Publishing { .. }) {
            let Some(message) = self.link.next_message()? else { break };
            if let Some(event) = self.message(message)? {
                return Ok(Some(event));
            }
        }
        self.link.acknowledge()?;
        Ok(None)
    }

    /// Lets the encoder publish.
    pub fn accept(&mut self) -> Result<(), RtmpError> {
        let State::Deciding { stream } = self.state else { return Err(RtmpError::Protocol("no publish to accept")) };
        self.state = State::Publishing { stream };
        self.link.admit();
        self.link.control(UserControlEventType::StreamBegin, stream, None)?;
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

    fn message(&mut self, message: Message) -> Result<Option<Event>, RtmpError> {
        let on_air = self.state == State::Publishing { stream: message.stream };
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => self.command(message.stream, unlabelled(&message)),
            kind::AGGREGATE if on_air => Err(RtmpError::Protocol("aggregate messages are not supported")),
            _ if on_air => Ok(Media::read(message).map(Event::Media)),
            _ => Ok(None),
        }
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

        self.link.send(RtmpMessage::WindowAcknowledgement { size: WINDOW }, 0)?;
        self.link
            .send(RtmpMessage::SetPeerBandwidth { size: WINDOW, limit_type: PeerBandwidthLimitType::Dynamic }, 0)?;
        self.link.set_chunk_size(CHUNK_SIZE)?;

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

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) -> Result<(), RtmpError> {
        let information =
            object_of([("level", string(level)), ("code", string(code)), ("description", string(description))]);
        self.link.command("onStatus", 0.0, Amf0Value::Null, vec![information], stream)
    }

    fn result(&mut self, transaction: f64, object: Amf0Value, values: Vec<Amf0Value>) -> Result<(), RtmpError> {
        self.link.command("_result", transaction, object, values, 0)
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
