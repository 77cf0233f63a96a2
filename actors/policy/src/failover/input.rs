//! What counts as media of one slot.
//!
//! An access unit that arrives is media only if the input is *trusted* to decode. While the worker decodes it, its media
//! is as old as the older of its latest unit and its latest picture, so a decoder that shows nothing is the same stall
//! as an encoder that sends nothing. While it is not decoded (warm standby, or no worker), arrival alone counts.
//!
//! ```text
//! admitted, hot  --> distrusted --a picture--> trusted <-- admitted, warm
//!                        ^                        |
//!                        '--units for `stall` without a picture, or given up--'
//! ```
//!
//! What the slot had does not end with its session: it stays live until `stall` after its last media, and a session
//! that reconnects sooner continues it. Only its steadiness, which the hold is counted from, begins anew.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_media::id::{SessionId, Slot};

use super::{Fact, Mode, Policy, Standby};

/// How a slot's input is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Nobody is connected.
    Absent,
    /// Connected, but no video arrives.
    Silent,
    /// Video arrives and does not decode, or has not yet.
    Undecoded,
    /// Video arrives; it is not decoded, as it is not needed.
    Received,
    /// Video arrives and decodes.
    Decoding,
}

impl fmt::Display for InputState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "nobody is connected",
            Self::Silent => "connected, no video arrives",
            Self::Undecoded => "video arrives and does not decode yet",
            Self::Received => "video arrives and is not decoded",
            Self::Decoding => "video arrives and decodes",
        })
    }
}

/// Why a slot is not live any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its publisher is gone.
    Ended,
    /// Its publisher sends no video.
    Silent,
    /// Its video does not decode.
    Undecoded,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "its publisher is gone",
            Self::Silent => "no video arrives",
            Self::Undecoded => "its video does not decode",
        })
    }
}

/// One slot: its latest session, and what outlives that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    session: Option<Session>,
    last_media: Option<Instant>,
    /// Since when the session has sent media without a stall.
    media_since: Option<Instant>,
    /// As of the latest [`Self::settle`].
    pub live: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    id: SessionId,
    open: bool,
    last_arrival: Option<Instant>,
    trusted: bool,
    decoder: Option<Decoder>,
    content_since: Option<Instant>,
    gop: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Decoder {
    /// Its latest picture, or its start.
    last_sign: Instant,
    has_pictures: bool,
}

impl Session {
    fn new(id: SessionId, standby: Standby) -> Self {
        let trusted = standby == Standby::Warm;
        Self { id, open: true, last_arrival: None, trusted, decoder: None, content_since: None, gop: None }
    }

    fn note(&mut self, fact: Fact, at: Instant) {
        match fact {
            Fact::Ended(_) => self.open = false,
            Fact::Arrived(_) => self.last_arrival = self.last_arrival.max(Some(at)),
            Fact::Decoding(_, false) => self.decoder = None,
            Fact::Decoding(_, true) => self.decoder = Some(Decoder { last_sign: at, has_pictures: false }),
            Fact::Decoded(_) => {
                self.trusted = true;
                if let Some(decoder) = &mut self.decoder {
                    decoder.last_sign = decoder.last_sign.max(at);
                    decoder.has_pictures = true;
                }
            }
            Fact::Undecodable(_) => self.trusted = false,
            Fact::Content(_, true) => self.content_since = self.content_since.or(Some(at)),
            Fact::Content(_, false) => self.content_since = None,
            Fact::Gop(_, gop) => self.gop = Some(gop),
            Fact::Admitted(..) | Fact::Locked(_) | Fact::Configured(_) | Fact::Chosen(_) => {}
        }
    }

    /// Its latest media.
    fn media(&self) -> Option<Instant> {
        let arrival = self.last_arrival.filter(|_| self.trusted)?;
        Some(self.decoder.as_ref().map_or(arrival, |decoder| arrival.min(decoder.last_sign)))
    }

    fn arrives(&self, now: Instant, stall: Duration) -> bool {
        self.last_arrival.is_some_and(|at| now < at + stall)
    }

    /// Units keep coming, and for `stall` no picture came of them.
    fn decodes_nothing(&self, now: Instant, stall: Duration) -> bool {
        self.arrives(now, stall) && self.decoder.as_ref().is_some_and(|decoder| now >= decoder.last_sign + stall)
    }
}

impl Fact {
    /// The session it is about, unless it is its first.
    fn session(&self) -> Option<SessionId> {
        match *self {
            Self::Ended(id) | Self::Arrived(id) | Self::Decoded(id) | Self::Undecodable(id) => Some(id),
            Self::Decoding(id, _) | Self::Content(id, _) | Self::Gop(id, _) => Some(id),
            Self::Admitted(..) | Self::Locked(_) | Self::Configured(_) | Self::Chosen(_) => None,
        }
    }
}

impl Input {
    /// Takes in a fact, if it is about this slot's session.
    pub fn note(&mut self, slot: Slot, fact: Fact, at: Instant, now: Instant, policy: &Policy) {
        if let Fact::Admitted(to, id) = fact
            && to == slot
            && self.session.as_ref().is_none_or(|session| session.id != id)
        {
            self.session = Some(Session::new(id, policy.standby));
            self.media_since = None;
        }
        let Some(session) = self.session.as_mut().filter(|session| fact.session() == Some(session.id)) else { return };
        session.note(fact, at);
        if !session.open {
            self.media_since = None;
        }
        if let Some(media) = session.media().filter(|media| now < *media + policy.stall) {
            self.last_media = self.last_media.max(Some(media));
            if session.open {
                self.media_since = self.media_since.or(Some(media));
            }
        }
    }

    /// Notices what time alone has changed, and tells the edge: live, or lost and why.
    pub fn settle(&mut self, now: Instant, stall: Duration) -> Option<Result<(), Loss>> {
        if let Some(session) = self.session.as_mut().filter(|session| session.decodes_nothing(now, stall)) {
            session.trusted = false;
        }
        let live = self.last_media.is_some_and(|at| now < at + stall);
        let changed = self.live != live;
        self.live = live;
        if live {
            return changed.then_some(Ok(()));
        }
        self.media_since = None;
        changed.then(|| Err(self.loss(now, stall)))
    }

    fn loss(&self, now: Instant, stall: Duration) -> Loss {
        match &self.session {
            Some(session) if !session.open => Loss::Ended,
            Some(session) if session.arrives(now, stall) => Loss::Undecoded,
            _ => Loss::Silent,
        }
    }

    /// When it is lost if nothing more comes; `None` if it already is.
    pub fn lost_at(&self, stall: Duration) -> Option<Instant> {
        self.last_media.filter(|_| self.live).map(|at| at + stall)
    }

    /// When no video has come for `stall`, if it comes now.
    pub fn silent_at(&self, stall: Duration) -> Option<Instant> {
        self.session.as_ref().filter(|session| session.open)?.last_arrival.map(|at| at + stall)
    }

    /// Who is connected.
    pub fn publisher(&self) -> Option<SessionId> {
        self.session.as_ref().filter(|session| session.open).map(|session| session.id)
    }

    pub fn last_media(&self) -> Option<Instant> {
        self.last_media
    }

    /// Since when its session has been steady: media without a stall, and in mode `hitless` content without an underrun. A warm input
    /// is not decoded until its return is near, so it has no content to tell of.
    pub fn steady_since(&self, mode: Mode, standby: Standby) -> Option<Instant> {
        match (mode, standby) {
            (Mode::Freeze, _) | (_, Standby::Warm) => self.media_since,
            (Mode::Hitless, Standby::Hot) => Some(self.media_since?.max(self.session.as_ref()?.content_since?)),
        }
    }

    pub fn gop(&self) -> Option<Duration> {
        self.session.as_ref()?.gop
    }

    pub fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.open)
    }

    pub fn is_trusted(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.trusted)
    }

    /// It is being decoded, and pictures have come.
    pub fn shows_pictures(&self) -> bool {
        self.session.as_ref().and_then(|session| session.decoder.as_ref()).is_some_and(|decoder| decoder.has_pictures)
    }

    pub fn state(&self, now: Instant, stall: Duration) -> InputState {
        match self.session.as_ref().filter(|session| session.open) {
            None => InputState::Absent,
            Some(session) if !session.arrives(now, stall) => InputState::Silent,
            Some(session) if !session.trusted || !self.live => InputState::Undecoded,
            Some(session) if session.decoder.is_none() => InputState::Received,
            Some(_) => InputState::Decoding,
        }
    }
}
