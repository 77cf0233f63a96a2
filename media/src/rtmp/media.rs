//! Media messages, of a publisher or of a server that plays: what they say, and the feed items in them.

use bytes::Bytes;
use rml_amf0::Amf0Value;

use super::amf::{self, AmfError};
use super::chunk::{Message, kind};
use super::link::unlabelled;
use crate::feed::FeedItem;
use crate::flv::{Demuxer, FlvError};

/// Damaged frames in a row that are borne; a second of them at 60 fps is no accident.
const MAX_DAMAGED: u32 = 60;

/// A message that belongs to the programme.
#[derive(Clone, Debug, PartialEq)]
pub enum Media {
    /// The sender describes its programme.
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
}

/// What is used of `onMetaData`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Frames per second, as the sender claims; finite and positive.
    pub frame_rate: Option<f64>,
}

impl Media {
    /// What a message says; `None` when it says nothing about the programme.
    pub(super) fn read(message: Message) -> Option<Self> {
        let Message { timestamp, kind, .. } = message;
        match kind {
            kind::VIDEO => Some(Self::Video { timestamp, body: message.payload }),
            kind::AUDIO => Some(Self::Audio { timestamp, body: message.payload }),
            kind::DATA | kind::DATA_AMF3 => Self::described(amf::decode(unlabelled(&message))),
            _ => None,
        }
    }

    /// `onMetaData` in any of its shapes, behind `@setDataFrame` or bare; `None` for other data.
    pub(super) fn described(values: Result<Vec<Amf0Value>, AmfError>) -> Option<Self> {
        let values = match values {
            Ok(values) => values,
            Err(error) => return Some(Self::UndecodableData(error.to_string())),
        };
        let is =
            |value: Option<&Amf0Value>, name: &str| matches!(value, Some(Amf0Value::Utf8String(text)) if text == name);
        let mut values = values.iter().peekable();
        values.next_if(|value| is(Some(value), "@setDataFrame"));
        if !is(values.next(), "onMetaData") {
            return None;
        }
        let Some(Amf0Value::Object(properties)) = values.next() else {
            return Some(Self::Metadata(Metadata::default()));
        };
        let number = |name: &str| match properties.get(name)? {
            Amf0Value::Number(value) => Some(*value),
            Amf0Value::Utf8String(text) => text.parse().ok(),
            _ => None,
        };
        let frame_rate = number("framerate").or_else(|| number("fps")).filter(|rate| rate.is_finite() && *rate > 0.0);
        Some(Self::Metadata(Metadata { frame_rate }))
    }

    /// Bytes of video or audio.
    pub fn length(&self) -> usize {
        match self {
            Self::Video { body, .. } | Self::Audio { body, .. } => body.len(),
            Self::Metadata(_) | Self::UndecodableData(_) => 0,
        }
    }
}

/// What a media message gives.
#[derive(Debug, PartialEq)]
pub enum Given {
    /// A configuration or a unit.
    Item(FeedItem),
    /// Nothing to pass on.
    Nothing,
    /// Nothing, for the frame is damaged.
    Damaged {
        /// How.
        error: FlvError,
        /// Damaged frames so far, this one included.
        total: u64,
    },
}

/// Reads the media messages of one stream, with patience for damage.
#[derive(Default)]
pub struct MediaReader {
    demuxer: Demuxer,
    /// Damaged frames in a row.
    in_a_row: u32,
    /// Damaged frames in all.
    total: u64,
}

impl MediaReader {
    /// Reads a message. After an error the stream cannot be decoded, or is damaged beyond patience.
    pub fn read(&mut self, media: Media) -> Result<Given, FlvError> {
        let read = match media {
            Media::Video { timestamp, body } => self.demuxer.video(timestamp, body),
            Media::Audio { timestamp, body } => self.demuxer.audio(timestamp, body),
            Media::Metadata(Metadata { frame_rate }) => {
                if let Some(rate) = frame_rate {
                    self.demuxer.hint_frame_rate(rate);
                }
                Ok(None)
            }
            Media::UndecodableData(_) => Ok(None),
        };
        match read {
            Ok(Some(item)) => {
                self.in_a_row = 0;
                Ok(Given::Item(item))
            }
            Ok(None) => Ok(Given::Nothing),
            Err(error) if error.is_fatal() || self.in_a_row >= MAX_DAMAGED => Err(error),
            Err(error) => {
                self.in_a_row += 1;
                self.total += 1;
                Ok(Given::Damaged { error, total: self.total })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(body: &'static [u8]) -> Media {
        Media::Audio { timestamp: 0, body: Bytes::from_static(body) }
    }

    #[test]
    fn damage_is_borne_until_a_second_of_it_comes_in_a_row() {
        const TRUNCATED: &[u8] = &[0xaf];
        let mut reader = MediaReader::default();
        assert!(matches!(reader.read(audio(&[0xaf, 0, 0x12, 0x10])), Ok(Given::Item(FeedItem::Config(_)))));
        for total in 1..=60 {
            assert_eq!(reader.read(audio(TRUNCATED)), Ok(Given::Damaged { error: FlvError::Truncated, total }));
        }
        assert!(matches!(reader.read(audio(&[0xaf, 1, 7])), Ok(Given::Item(FeedItem::Unit(_)))), "a good one");
        for total in 61..=120 {
            assert_eq!(reader.read(audio(TRUNCATED)), Ok(Given::Damaged { error: FlvError::Truncated, total }));
        }
        assert_eq!(reader.read(audio(TRUNCATED)), Err(FlvError::Truncated));
    }

    #[test]
    fn a_codec_that_is_not_decoded_ends_it_at_once() {
        let mp3 = audio(&[0x2f, 1, 7]);
        assert!(matches!(MediaReader::default().read(mp3), Err(FlvError::Codec(_))));
    }
}
