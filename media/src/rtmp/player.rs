//! The play state machine: bytes of one server in, events and bytes to be sent out.
//!
//! Contract: call [`Player::poll_event`] until it returns `None`, then send [`Player::take_output`] in one write, then read (into
//! [`Player::buffer`], announced by [`Player::received`]), and so on; the first poll begins the handshake. Parsing is driven by the polling,
//! so there is no queue of events. A server may send [`STRANGER_BYTES`] before it plays.
//!
//! ```text
//! handshake ─▶ connecting ─▶ creating ─▶ asked ─Play.Start─▶ playing ─▶ over
//!                  └────────────┴──────────┴─────error or status──────────▲
//! ```
//!
//! A player has one message stream, so it does not matter which one a server says its media and statuses are of.

mod request;

use bytes::BytesMut;
use rml_amf0::Amf0Value;
use rml_rtmp::handshake::PeerType;
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};

pub use self::request::PlayRequest;
use super::aggregate::Aggregate;
use super::amf::{self, object_of, string};
use super::chunk::{Message, kind};
use super::link::{Link, RtmpError, STRANGER_BYTES, WINDOW, unlabelled};
use super::media::Media;

/// What ffmpeg and librtmp call themselves: servers that ask who it is know it.
const FLASH_VERSION: &str = "LNX 9,0,124,2";

/// How much we say to buffer, milliseconds. Live servers take note of it and send what there is.
const BUFFER_MS: u32 = 3000;

/// All sound and video codecs of RTMP 1.0, 7.2.1.1: what cannot be decoded is better named than left out by the server.
const SOUNDS: f64 = 0x0fff as f64;
const VIDEOS: f64 = 0x00ff as f64;

/// Transaction ids of our commands.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;
const PLAY: f64 = 3.0;

/// What the server did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It plays the stream.
    Started,
    /// Media; some servers send configurations before they say that they play.
    Media(Media),
    /// It says no, and why: at most [`PlayRequest::LONGEST_REASON`] printable characters without what is secret of the request.
    Refused(String),
    /// The stream has ended, or its publisher has left.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    ShakingHands,
    Connecting,
    Creating,
    Asked,
    Playing,
    Over,
}

/// One connection to a server.
pub struct Player {
    link: Link,
    request: PlayRequest,
    state: State,
    /// Messages of an aggregate that are to be read before anything else.
    aggregate: Aggregate,
}

impl Player {
    /// Asks for a stream.
    pub fn new(request: PlayRequest) -> Self {
        Self { link: Link::new(PeerType::Client), request, state: State::ShakingHands, aggregate: Aggregate::default() }
    }

    /// Where received bytes go, at the end.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.link.buffer()
    }

    /// Counts `bytes` that were just put into the buffer.
    pub fn received(&mut self, bytes: usize) {
        self.link.received(bytes);
    }

    /// Takes bytes by copy: [`Player::buffer`] and [`Player::received`] in one.
    pub fn handle(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
        self.received(bytes.len());
    }

    /// All that is to be sent, in one write; empty when there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.link.take_output()
    }

    /// The next thing the server did; `None` when more bytes are needed, and after [`Event::Refused`] or [`Event::Ended`]. After an error
    /// the connection is unusable.
    pub fn poll_event(&mut self) -> Result<Option<Event>, RtmpError> {
        if !self.link.shake_hands()? {
            return Ok(None);
        }
        if self.state == State::ShakingHands {
            self.connect()?;
        }
        while self.state != State::Over {
            let message = match self.aggregate.next() {
                None => self.link.next_message()?,
                message => message,
            };
            if self.state != State::Playing && self.link.consumed() > STRANGER_BYTES {
                return Err(RtmpError::TooMuchBeforePlay);
            }
            let Some(message) = message else { break };
            if let Some(event) = self.message(message)? {
                if matches!(event, Event::Refused(_) | Event::Ended) {
                    self.state = State::Over;
                }
                return Ok(Some(event));
            }
        }
        self.link.acknowledge()?;
        Ok(None)
    }

    fn message(&mut self, message: Message) -> Result<Option<Event>, RtmpError> {
        const STREAM_EOF: [u8; 2] = [0, 1];
        match (message.kind, self.state) {
            (kind::COMMAND | kind::COMMAND_AMF3, _) => self.command(&message),
            (kind::USER_CONTROL, State::Playing) if message.payload.starts_with(&STREAM_EOF) => Ok(Some(Event::Ended)),
            (kind::AGGREGATE, State::Asked | State::Playing) => {
                self.aggregate = Aggregate::new(message);
                Ok(None)
            }
            (kind::DATA | kind::DATA_AMF3, State::Asked | State::Playing) => {
                match amf::decode(unlabelled(&message)) {
                    // How FMS tells the end of what was recorded.
                    Ok(values) if values.first() == Some(&string("onPlayStatus")) => self.status(Status::of(values)),
                    values => Ok(Media::described(values).map(Event::Media)),
                }
            }
            (_, State::Asked | State::Playing) => Ok(Media::read(message).map(Event::Media)),
            _ => Ok(None),
        }
    }

    fn command(&mut self, message: &Message) -> Result<Option<Event>, RtmpError> {
        let values = amf::decode(unlabelled(message))?;
        let Some(Amf0Value::Utf8String(name)) = values.first() else {
            return Err(RtmpError::Protocol("command without a name"));
        };
        let transaction = match values.get(1) {
            Some(Amf0Value::Number(transaction)) => *transaction,
            _ => 0.0,
        };
        match (name.as_str(), self.state) {
            ("_result", State::Connecting) if transaction == CONNECT => self.create_stream()?,
            ("_result", State::Creating) if transaction == CREATE_STREAM => self.play(values.get(3))?,
            // Some servers give a refusal another transaction than what they refuse.
            ("_error", State::Connecting | State::Creating | State::Asked) => return self.refused(&Status::of(values)),
            ("onStatus", _) => return self.status(Status::of(values)),
            ("close", State::Playing) => return Ok(Some(Event::Ended)),
            ("close", _) => return self.refused(&Status::default()),
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self) -> Result<(), RtmpError> {
        self.state = State::Connecting;
        let client = object_of([
            ("app", string(&self.request.application)),
            ("flashVer", string(FLASH_VERSION)),
            ("tcUrl", string(&self.request.tc_url)),
            ("fpad", Amf0Value::Boolean(false)),
            ("capabilities", Amf0Value::Number(15.0)),
            ("audioCodecs", Amf0Value::Number(SOUNDS)),
            ("videoCodecs", Amf0Value::Number(VIDEOS)),
            ("videoFunction", Amf0Value::Number(1.0)),
            ("objectEncoding", Amf0Value::Number(0.0)),
        ]);
        self.link.command("connect", CONNECT, client, vec![], 0)
    }

    fn create_stream(&mut self) -> Result<(), RtmpError> {
        self.state = State::Creating;
        self.link.send(RtmpMessage::WindowAcknowledgement { size: WINDOW }, 0)?;
        self.link.command("createStream", CREATE_STREAM, Amf0Value::Null, vec![], 0)
    }

    fn play(&mut self, stream: Option<&Amf0Value>) -> Result<(), RtmpError> {
        let Some(Amf0Value::Number(stream)) = stream else {
            return Err(RtmpError::Protocol("createStream was answered without a stream"));
        };
        let stream = *stream as u32;
        self.state = State::Asked;
        // Without a start: what is live, else what is recorded.
        self.link.command("play", PLAY, Amf0Value::Null, vec![string(&self.request.name)], stream)?;
        self.link.control(UserControlEventType::SetBufferLength, stream, Some(BUFFER_MS))
    }

    /// Reads what a server says of itself, unasked or by way of answer.
    fn status(&mut self, status: Status) -> Result<Option<Event>, RtmpError> {
        match (status.code.as_str(), self.state) {
            ("NetStream.Play.Start", State::Asked) => {
                self.state = State::Playing;
                self.link.admit();
                Ok(Some(Event::Started))
            }
            (
                "NetStream.Play.UnpublishNotify" | "NetStream.Play.Complete" | "NetStream.Play.Stop",
                State::Asked | State::Playing,
            ) => Ok(Some(Event::Ended)),
            (
                "NetStream.Play.StreamNotFound"
                | "NetStream.Play.Failed"
                | "NetStream.Failed"
                | "NetConnection.Connect.Rejected"
                | "NetConnection.Connect.Closed",
                _,
            ) => self.refused(&status),
            _ if status.level == "error" => self.refused(&status),
            _ => Ok(None),
        }
    }

    fn refused(&self, status: &Status) -> Result<Option<Event>, RtmpError> {
        Ok(Some(Event::Refused(self.request.reason([&status.code, &status.description]))))
    }
}

/// The information object of `onStatus`, `onPlayStatus` or `_error`.
#[derive(Default)]
struct Status {
    level: String,
    code: String,
    description: String,
}

impl Status {
    /// Finds it among a command's values. A text in its place is the description.
    fn of(values: Vec<Amf0Value>) -> Self {
        let mut found = Self::default();
        for value in values.into_iter().skip(1) {
            match value {
                Amf0Value::Object(mut properties) if properties.contains_key("code") => {
                    let mut text = |name| properties.remove(name).and_then(Amf0Value::get_string).unwrap_or_default();
                    found = Self { level: text("level"), code: text("code"), description: text("description") };
                }
                Amf0Value::Utf8String(text) => found.description = text,
                _ => {}
            }
        }
        found
    }
}
