//! Where an SRT caller wants to go: its stream id to stream, slot and token.
//!
//! | written | by |
//! |---|---|
//! | `1234567#token` | whoever passes the URL's text on, as ffmpeg and OBS do |
//! | `1234567%23token` | the same, where the URL had to be escaped: for GStreamer a bare `#` begins a fragment |
//! | `#!::r=1234567,u=token,m=publish` | SRT access control guidelines 1.5 |
//! | `publish:1234567:token` | encoders set up for MediaMTX |
//!
//! A `b` behind the id names the backup slot. A stream id has at most 512 bytes (`SRTO_STREAMID`). It holds the push token, so it is never
//! logged.

use std::borrow::Cow;

use crate::id::{Slot, StreamId};

/// Most bytes of a stream id.
pub const MAX_STREAM_ID: usize = 512;

/// How a stream id in the form of the access control guidelines begins.
const KEYED: &str = "#!::";

/// A caller's destination.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishName<'a> {
    /// `None` when it cannot be a stream of ours.
    pub stream: Option<StreamId>,
    /// Which ingest point.
    pub slot: Slot,
    /// Empty when none was given. A secret.
    pub token: Cow<'a, str>,
}

/// A stream id that asks for something else than to publish a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// `m=` is not `publish`; `SRT_REJX_BAD_MODE`.
    #[error("only m=publish is served here")]
    Mode,
    /// `t=` is not `stream`; `SRT_REJX_NOTSUP_MEDIA`.
    #[error("only t=stream is served here")]
    Type,
}

impl<'a> PublishName<'a> {
    /// Reads what a caller sent. Whatever it is not sure of ends in `stream: None`, because the caller has to be told the same as for
    /// any unknown stream. An error is only what contradicts itself by publishing to no stream at all.
    pub fn parse(stream_id: &'a [u8]) -> Result<Self, StreamIdError> {
        let text = match std::str::from_utf8(stream_id) {
            Ok(text) if text.len() <= MAX_STREAM_ID => text,
            _ => return Ok(Self::nowhere()),
        };
        match unescaped(text) {
            Cow::Borrowed(text) => Self::read(text),
            Cow::Owned(text) => PublishName::read(&text).map(PublishName::into_owned),
        }
    }

    fn read(text: &'a str) -> Result<Self, StreamIdError> {
        if let Some(pairs) = text.strip_prefix(KEYED) {
            return Self::keyed(pairs);
        }
        let written =
            text.strip_prefix("publish:").and_then(|rest| rest.split_once(':')).or_else(|| text.split_once('#'));
        let (name, token) = written.unwrap_or((text, ""));
        Ok(Self::named(name, token))
    }

    /// `r` is the resource, `u` the user; `m` and `t` default to what is served here, since nothing else is.
    fn keyed(pairs: &'a str) -> Result<Self, StreamIdError> {
        let value = |wanted: &str| {
            pairs
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == wanted).then_some(value))
        };
        if value("t").is_some_and(|kind| kind != "stream") {
            return Err(StreamIdError::Type);
        }
        if value("m").is_some_and(|mode| mode != "publish") {
            return Err(StreamIdError::Mode);
        }
        Ok(Self::named(value("r").unwrap_or_default(), value("u").unwrap_or_default()))
    }

    fn named(name: &str, token: &'a str) -> Self {
        let (id, slot) = match name.strip_suffix('b') {
            Some(id) => (id, Slot::Backup),
            None => (name, Slot::Primary),
        };
        Self { stream: id.parse().ok(), slot, token: Cow::Borrowed(token) }
    }

    fn nowhere() -> Self {
        Self { stream: None, slot: Slot::Primary, token: Cow::Borrowed("") }
    }

    fn into_owned<'b>(self) -> PublishName<'b> {
        PublishName { stream: self.stream, slot: self.slot, token: Cow::Owned(self.token.into_owned()) }
    }
}

/// Percent escapes resolved, unless there is a bare `#`: then nobody escaped anything. What is no escape stays as it is.
fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains('#') || !text.contains('%') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset| bytes.get(at + offset).and_then(|&byte| char::from(byte).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).map_or(text.into(), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(stream_id: &str) -> (Option<u64>, Slot, String) {
        let name = PublishName::parse(stream_id.as_bytes()).unwrap_or_else(|error| panic!("{stream_id}: {error}"));
        (name.stream.map(|id| id.0), name.slot, name.token.into_owned())
    }

    #[test]
    fn every_spelling_is_understood() {
        for stream_id in [
            "1234567#secret",
            "1234567%23secret",
            "#!::r=1234567,u=secret,m=publish",
            "#!::m=publish,u=secret,t=stream,r=1234567",
            "#!::u=secret,h=push.example.org,r=1234567,s=9",
            "%23!%3A%3Ar%3D1234567%2Cu%3Dsecret%2cm%3dpublish",
            "publish:1234567:secret",
            "publish%3A1234567%3Asecret",
        ] {
            assert_eq!(parsed(stream_id), (Some(1234567), Slot::Primary, "secret".to_owned()), "{stream_id}");
        }
        for stream_id in ["7b#secret", "7b%23secret", "#!::r=7b,u=secret,m=publish", "publish:7b:secret"] {
            assert_eq!(parsed(stream_id), (Some(7), Slot::Backup, "secret".to_owned()), "{stream_id}");
        }
    }

    #[test]
    fn the_rest_behind_the_first_separator_is_the_token() {
        assert_eq!(parsed("7#a#b").2, "a#b");
        assert_eq!(parsed("7#a%23b").2, "a%23b");
        assert_eq!(parsed("7%23a%zz%").2, "a%zz%");
        assert_eq!(parsed("publish:7:a:b").2, "a:b");
    }

    #[test]
    fn anything_else_is_no_stream() {
        for stream_id in [
            "",
            "#",
            "b",
            "#secret",
            "+7#secret",
            " 7#secret",
            "name#secret",
            "7bb#secret",
            "#!::",
            "#!::u=secret",
            "#!:{r=7}",
        ] {
            assert_eq!(parsed(stream_id).0, None, "{stream_id}");
        }
        assert_eq!(parsed("7"), (Some(7), Slot::Primary, String::new()));
        assert_eq!(parsed(&format!("7#{}", "x".repeat(510))).0, Some(7));
        assert_eq!(parsed(&format!("7#{}", "x".repeat(511))), (None, Slot::Primary, String::new()));
        assert_eq!(PublishName::parse(b"7#\xff").map(|name| name.stream), Ok(None));
    }

    #[test]
    fn who_does_not_publish_a_stream_is_told() {
        for mode in ["request", "bidirectional", ""] {
            let stream_id = format!("#!::r=7,u=secret,m={mode}");
            assert_eq!(PublishName::parse(stream_id.as_bytes()).map(|_| ()), Err(StreamIdError::Mode));
        }
        assert_eq!(PublishName::parse(b"#!::r=7,u=secret,t=file").map(|_| ()), Err(StreamIdError::Type));
    }

    proptest! {
        #[test]
        fn all_spellings_of_a_destination_say_the_same(id in any::<u64>(), backup in any::<bool>(), token in "[A-Za-z0-9._~-]{1,64}") {
            let b = if backup { "b" } else { "" };
            let slot = if backup { Slot::Backup } else { Slot::Primary };
            for stream_id in [
                format!("{id}{b}#{token}"),
                format!("{id}{b}%23{token}"),
                format!("#!::u={token},r={id}{b}"),
                format!("publish:{id}{b}:{token}"),
            ] {
                prop_assert_eq!(parsed(&stream_id), (Some(id), slot, token.clone()), "{}", stream_id);
            }
        }

        #[test]
        fn any_bytes_are_read(stream_id in prop::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(name) = PublishName::parse(&stream_id) {
                prop_assert!(name.token.len() <= stream_id.len());
            }
        }

        #[test]
        fn any_text_near_a_stream_id_is_read(stream_id in "(#!::)?([0-9]{0,3}|publish|[rumth]=|[#%:,=b23é])*") {
            if let Ok(name) = PublishName::parse(stream_id.as_bytes()) {
                prop_assert!(name.token.len() <= stream_id.len());
            }
        }
    }
}
