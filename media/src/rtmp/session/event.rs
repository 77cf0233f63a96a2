//! What a session tells its wire task: the encoder's request, its metadata, its media.

use std::fmt;

use bytes::Bytes;
use rml_amf0::Amf0Value;

use crate::rtmp::amf;
use crate::rtmp::name::PublishName;

/// What the encoder did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It asks to publish; answer with [`Session::accept`](super::Session::accept) or [`Session::reject`](super::Session::reject).
    PublishRequested(PublishRequest),
    /// It describes its programme.
    Metadata(Metadata),
    /// A data message that cannot be decoded, and why; to be logged, not a reason to end.
    UndecodableData(String),
    /// The body of an FLV video tag.
    Video {
        /// Milliseconds, wrapping.
        timestamp: u32,
        /// Tag body.
        body: Bytes,
    },
    /// The body of an FLV audio tag.
    Audio {
        /// Milliseconds, wrapping.
        timestamp: u32,
        /// Tag body.
        body: Bytes,
    },
    /// It ended the publication properly.
    Unpublished,
}

/// Who wants to publish what. Its `Debug` hides the parts that hold the token.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Application of the `connect`, query included.
    pub application: String,
    /// Publish name, query included.
    pub key: String,
    /// What the encoder calls itself: at most 128 printable characters.
    pub agent: Option<String>,
}

impl PublishRequest {
    /// The destination that application and key name.
    pub fn name(&self) -> PublishName<'_> {
        PublishName::parse(&self.application, &self.key)
    }
}

impl fmt::Debug for PublishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.debug_struct("PublishRequest")
            .field("stream", &name.stream)
            .field("slot", &name.slot)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// What is used of `onMetaData`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Frames per second, as the encoder claims; finite and positive.
    pub frame_rate: Option<f64>,
}

/// `onMetaData` in any of its shapes, behind `@setDataFrame` or bare; `None` for other data.
pub(super) fn data_event(payload: &[u8]) -> Option<Event> {
    let values = match amf::decode(payload) {
        Ok(values) => values,
        Err(error) => return Some(Event::UndecodableData(error.to_string())),
    };
    let is = |value: Option<&Amf0Value>, name: &str| matches!(value, Some(Amf0Value::Utf8String(text)) if text == name);
    let mut values = values.iter().peekable();
    values.next_if(|value| is(Some(value), "@setDataFrame"));
    if !is(values.next(), "onMetaData") {
        return None;
    }
    let Some(Amf0Value::Object(properties)) = values.next() else {
        return Some(Event::Metadata(Metadata::default()));
    };
    let number = |name: &str| match properties.get(name)? {
        Amf0Value::Number(value) => Some(*value),
        Amf0Value::Utf8String(text) => text.parse().ok(),
        _ => None,
    };
    let frame_rate = number("framerate").or_else(|| number("fps")).filter(|rate| rate.is_finite() && *rate > 0.0);
    Some(Event::Metadata(Metadata { frame_rate }))
}
