//! Who may publish where, and who has been silent for too long.
//!
//! The order of the questions, so that nothing is told before a right token:
//!
//! | question | answer when it fails | asked in |
//! |---|---|---|
//! | known id and right token? | [`Refusal::NotAuthorized`], the same for both; too often from one address [`Refusal::Unanswered`] | [`gate`], [`crate::wrong_tokens`] |
//! | server going down? | [`Refusal::Draining`] | [`gate`] |
//! | stream switched on? | [`Refusal::StreamOff`] | [`gate`] |
//! | fed by push? | [`Refusal::PullStream`] | [`gate`] |
//! | slot free, or its publisher silent for `stall`? | [`Refusal::SlotTaken`] | [`Admission::check`] |
//! | other slot free, silent, or on the same protocol? | [`Refusal::OtherProtocol`] | [`Admission::check`] |
//! | not too often? | [`Refusal::RateLimited`] | [`Admission::check`] |
//!
//! A *preflight* is a time in which what comes to a slot is looked at and not put on air. Who comes meanwhile is admitted by the same rules,
//! but takes no other's place, and makes way for a publisher of the other slot that is to go on air.
//!
//! Silence frees a slot for a newcomer but closes nothing by itself: media that comes while nobody took the slot makes
//! its session the holder again. A session is closed when a newcomer displaces it or after `silent_close`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use weir_media::id::{Protocol, SessionId, Slot};

use crate::rate_limit::RateLimit;

/// A refusal, as every door tells it in its own protocol's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such stream, or not its token: told alike on RTMP and SRT, so that ids cannot be probed.
    #[error("unknown stream or wrong token")]
    NotAuthorized {
        /// The id is known. For the operator's ledger only, never for the encoder.
        known: bool,
    },
    /// As above, but for too many of these from one address lately: the door closes without an answer.
    #[error("unknown stream or wrong token, too often to be answered")]
    Unanswered {
        /// The id is known.
        known: bool,
    },
    /// `active` is false.
    #[error("stream is switched off")]
    StreamOff,
    /// The slot has a publisher that is sending.
    #[error("another encoder is already publishing here")]
    SlotTaken,
    /// The stream is on air over another protocol.
    #[error("stream is already fed over another protocol")]
    OtherProtocol,
    /// The stream is fed by pulling.
    #[error("stream is set to pull")]
    PullStream,
    /// Too many connections in a short time.
    #[error("too many connections, try again in {retry_after:?}")]
    RateLimited {
        /// When the next try is welcome.
        retry_after: Duration,
    },
    /// The server is going down.
    #[error("server is shutting down")]
    Draining,
    /// The stream's supervisor has just died; the next try finds a new one.
    #[error("stream is restarting, try again")]
    Restarting,
}

impl Refusal {
    /// The rule's name, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NotAuthorized { .. } => "not_authorized",
            Self::Unanswered { .. } => "unanswered",
            Self::StreamOff => "stream_off",
            Self::SlotTaken => "slot_taken",
            Self::OtherProtocol => "other_protocol",
            Self::PullStream => "pull_stream",
            Self::RateLimited { .. } => "rate_limited",
            Self::Draining => "draining",
            Self::Restarting => "restarting",
        }
    }

    /// When the next try is welcome, where the rule knows.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether it is about the token: anybody can be refused so, as often as he likes.
    pub fn is_strangers(&self) -> bool {
        matches!(self, Self::NotAuthorized { .. } | Self::Unanswered { .. })
    }
}

/// What the first questions are answered from.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// The id names a stream.
    pub known: bool,
    /// The token is that stream's.
    pub token_matches: bool,
    /// The server is going down.
    pub draining: bool,
    /// The stream is switched on.
    pub active: bool,
    /// The stream is fed by pulling.
    pub pull: bool,
}

/// The first questions: those that need no slot.
pub fn gate(gate: Gate) -> Result<(), Refusal> {
    match gate {
        Gate { known, token_matches, .. } if !(known && token_matches) => Err(Refusal::NotAuthorized { known }),
        Gate { draining: true, .. } => Err(Refusal::Draining),
        Gate { active: false, .. } => Err(Refusal::StreamOff),
        Gate { pull: true, .. } => Err(Refusal::PullStream),
        _ => Ok(()),
    }
}

/// The numbers of the rule.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionPolicy {
    /// Silence that frees a slot for a newcomer, and time for the first video next to audio.
    pub stall: Duration,
    /// Silence that closes a session.
    pub silent_close: Duration,
    /// One admitted session per slot and address in this time …
    pub connect_every: Duration,
    /// … with this many at once after a rest.
    pub connect_burst: u32,
}

impl Default for AdmissionPolicy {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(3),
            silent_close: Duration::from_secs(10),
            connect_every: Duration::from_secs(10),
            connect_burst: 3,
        }
    }
}

/// Who asks for a slot, once [`gate`] has let it pass.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The slot it wants.
    pub slot: Slot,
    /// Its door.
    pub protocol: Protocol,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Why the rule wants a session closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// No media for `silent_close`.
    Silent,
    /// Audio came, but no video within `stall` of admission.
    NoVideo,
    /// The preflight that it came for is over.
    PreflightOver,
}

#[derive(Clone, Copy, Debug)]
struct Occupant {
    session: SessionId,
    protocol: Protocol,
    admitted: Instant,
    last_media: Option<Instant>,
    audio_only: bool,
    /// Until when it is only looked at.
    preflight: Option<Instant>,
}

impl Occupant {
    fn last_sign(&self) -> Instant {
        self.last_media.unwrap_or(self.admitted)
    }
}

/// The slots of one stream.
#[derive(Clone, Debug)]
pub struct Admission {
    policy: AdmissionPolicy,
    slots: [Option<Occupant>; 2],
    connects: RateLimit<(Slot, IpAddr)>,
    preflight: Option<Preflight>,
}

/// A time in which what comes to a slot is looked at and not put on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The slot.
    pub slot: Slot,
    /// Its end.
    pub until: Instant,
}

/// Why no preflight begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightRefusal {
    /// What is there stays where it is.
    #[error("the {0} slot has a publisher")]
    SlotTaken(Slot),
    /// One at a time.
    #[error("a preflight of the {0} slot runs already")]
    Running(Slot),
    /// `active` is false.
    #[error("the stream is switched off")]
    StreamOff,
    /// The stream is fed by pulling.
    #[error("the stream is set to pull")]
    PullStream,
}

impl Admission {
    /// Two free slots.
    pub fn new(policy: AdmissionPolicy) -> Self {
        let connects = RateLimit::new(policy.connect_every, policy.connect_burst);
        Self { policy, slots: [None; 2], connects, preflight: None }
    }

    /// Frees both slots, whose sessions are gone. A preflight goes on: who comes back meanwhile must not find himself on air.
    pub fn clear(&mut self) {
        *self = Self { preflight: self.preflight, ..Self::new(self.policy) };
    }

    /// Begins a preflight of a slot that nobody has.
    pub fn open_preflight(&mut self, slot: Slot, until: Instant, now: Instant) -> Result<(), PreflightRefusal> {
        match self.preflight(now) {
            Some(running) => Err(PreflightRefusal::Running(running.slot)),
            None if self.slots[slot as usize].is_some() => Err(PreflightRefusal::SlotTaken(slot)),
            None => {
                self.preflight = Some(Preflight { slot, until });
                Ok(())
            }
        }
    }

    /// Ends the preflight, and names the session that is in it and has to be closed.
    pub fn close_preflight(&mut self) -> Option<SessionId> {
        self.preflight = None;
        let checked = self.slots.iter_mut().find_map(|slot| slot.take_if(|occupant| occupant.preflight.is_some()));
        checked.map(|occupant| occupant.session)
    }

    /// The preflight that runs.
    pub fn preflight(&self, now: Instant) -> Option<Preflight> {
        self.preflight.filter(|preflight| now < preflight.until)
    }

    /// Whether a session is only looked at.
    pub fn is_preflight(&self, session: SessionId) -> bool {
        self.slots.iter().flatten().any(|occupant| occupant.session == session && occupant.preflight.is_some())
    }

    /// Whether the claimant may have its slot now, or why not. `Ok` names the silent sessions that would give way. Changes nothing.
    pub fn check(&self, claim: &Claim, now: Instant) -> Result<Vec<SessionId>, Refusal> {
        let checked = self.preflight(now).is_some_and(|preflight| preflight.slot == claim.slot);
        let silent = |occupant: &Occupant| now >= occupant.last_sign() + self.policy.stall;
        let gives_way = |occupant: &Occupant| match (checked, occupant.preflight) {
            (false, Some(_)) => true,
            (false, None) | (true, Some(_)) => silent(occupant),
            (true, None) => false,
        };
        let other_protocol = |occupant: &Occupant| occupant.protocol.source_type() != claim.protocol.source_type();
        let mut displaced = vec![];
        for slot in [claim.slot, other(claim.slot)] {
            match &self.slots[slot as usize] {
                Some(occupant) if slot == claim.slot || other_protocol(occupant) => {
                    if !gives_way(occupant) {
                        let taken = slot == claim.slot;
                        return Err(if taken { Refusal::SlotTaken } else { Refusal::OtherProtocol });
                    }
                    displaced.push(occupant.session);
                }
                _ => {}
            }
        }
        let key = (claim.slot, claim.address);
        self.connects.check(key, now).map_err(|retry_after| Refusal::RateLimited { retry_after })?;
        Ok(displaced)
    }

    /// Gives the claimant its slot as `session`, or says why not. `Ok` names the silent sessions that give way and have to be closed.
    pub fn request(&mut self, session: SessionId, claim: &Claim, now: Instant) -> Result<Vec<SessionId>, Refusal> {
        let displaced = self.check(claim, now)?;
        self.connects.record((claim.slot, claim.address), now);
        displaced.iter().for_each(|&session| self.on_closed(session));
        self.occupy(claim.slot, session, claim.protocol, now);
        let until =
            self.preflight(now).filter(|preflight| preflight.slot == claim.slot).map(|preflight| preflight.until);
        if let Some(occupant) = self.occupant(session) {
            occupant.preflight = until;
        }
        Ok(displaced)
    }

    /// Gives a slot to a source that the stream is pulled from, which nothing limits. Names the sessions that give way.
    pub fn take(&mut self, session: SessionId, slot: Slot, protocol: Protocol, now: Instant) -> Vec<SessionId> {
        let displaced: Vec<_> = self.slots.iter().flatten().map(|occupant| occupant.session).collect();
        self.slots = [None; 2];
        self.occupy(slot, session, protocol, now);
        displaced
    }

    fn occupy(&mut self, slot: Slot, session: SessionId, protocol: Protocol, now: Instant) {
        let occupant =
            Occupant { session, protocol, admitted: now, last_media: None, audio_only: false, preflight: None };
        self.slots[slot as usize] = Some(occupant);
    }

    /// A video access unit of `session` arrived. False when the session holds no slot (any more): its media counts for nothing.
    pub fn on_media(&mut self, session: SessionId, at: Instant) -> bool {
        let Some(occupant) = self.occupant(session) else { return false };
        occupant.last_media = occupant.last_media.max(Some(at));
        true
    }

    /// `session` told its tracks.
    pub fn on_source(&mut self, session: SessionId, video: bool, audio: bool) {
        if let Some(occupant) = self.occupant(session) {
            occupant.audio_only = audio && !video;
        }
    }

    /// `session` is gone or was told to go: its slot is free.
    pub fn on_closed(&mut self, session: SessionId) {
        for slot in &mut self.slots {
            slot.take_if(|occupant| occupant.session == session);
        }
    }

    /// Frees the slots of sessions that have been silent for too long; they have to be closed.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<(SessionId, Expiry)> {
        let policy = self.policy;
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.take_if(|occupant| now >= expiry(&policy, occupant).0))
            .map(|occupant| (occupant.session, expiry(&policy, &occupant).1))
            .collect()
    }

    /// When [`Self::on_timeout`] is next due.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|occupant| expiry(&self.policy, occupant).0).min()
    }

    /// Who holds a slot.
    pub fn holder(&self, slot: Slot) -> Option<SessionId> {
        self.slots[slot as usize].map(|occupant| occupant.session)
    }

    fn occupant(&mut self, session: SessionId) -> Option<&mut Occupant> {
        self.slots.iter_mut().flatten().find(|occupant| occupant.session == session)
    }
}

fn expiry(policy: &AdmissionPolicy, occupant: &Occupant) -> (Instant, Expiry) {
    let silence = silence(policy, occupant);
    match occupant.preflight {
        Some(until) if until <= silence.0 => (until, Expiry::PreflightOver),
        _ => silence,
    }
}

fn silence(policy: &AdmissionPolicy, occupant: &Occupant) -> (Instant, Expiry) {
    if occupant.audio_only && occupant.last_media.is_none() {
        (occupant.admitted + policy.stall, Expiry::NoVideo)
    } else {
        (occupant.last_sign() + policy.silent_close, Expiry::Silent)
    }
}

fn other(slot: Slot) -> Slot {
    match slot {
        Slot::Primary => Slot::Backup,
        Slot::Backup => Slot::Primary,
    }
}

#[cfg(test)]
mod tests;
