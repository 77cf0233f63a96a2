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
}

#[derive(Clone, Copy, Debug)]
struct Occupant {
    session: SessionId,
    protocol: Protocol,
    admitted: Instant,
    last_media: Option<Instant>,
    audio_only: bool,
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
}

impl Admission {
    /// Two free slots.
    pub fn new(policy: AdmissionPolicy) -> Self {
        let connects = RateLimit::new(policy.connect_every, policy.connect_burst);
        Self { policy, slots: [None; 2], connects }
    }

    /// Whether the claimant may have its slot now, or why not. `Ok` names the silent sessions that would give way. Changes nothing.
    pub fn check(&self, claim: &Claim, now: Instant) -> Result<Vec<SessionId>, Refusal> {
        let silent = |occupant: &Occupant| now >= occupant.last_sign() + self.policy.stall;
        let other_protocol = |occupant: &Occupant| occupant.protocol.source_type() != claim.protocol.source_type();
        let mut displaced = vec![];
        for slot in [claim.slot, other(claim.slot)] {
            match &self.slots[slot as usize] {
                Some(occupant) if slot == claim.slot || other_protocol(occupant) => {
                    if !silent(occupant) {
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
        let occupant = Occupant { session, protocol, admitted: now, last_media: None, audio_only: false };
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
mod tests {
    use super::*;
    use crate::test_clock::start;
    use Protocol::{Rtmp, Rtmps, Srt};
    use Slot::{Backup, Primary};
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn admission() -> Admission {
        Admission::new(AdmissionPolicy::default())
    }

    /// Each session comes from its own address, so that the rate limit stays out of the way.
    fn claim(host: u64, slot: Slot, protocol: Protocol) -> Claim {
        Claim { slot, protocol, address: IpAddr::from([10, 0, 0, host as u8]) }
    }

    fn request(
        slots: &mut Admission,
        (session, slot, protocol): (u64, Slot, Protocol),
        now: Instant,
    ) -> Result<Vec<SessionId>, Refusal> {
        let claim = claim(session, slot, protocol);
        let checked = slots.check(&claim, now);
        assert_eq!(slots.check(&claim, now), checked, "asking changes nothing");
        assert_eq!(slots.request(SessionId(session), &claim, now), checked);
        checked
    }

    #[test]
    fn nothing_is_told_before_a_right_token() {
        let right = Gate { known: true, token_matches: true, draining: false, active: true, pull: false };
        let wrong = Gate { token_matches: false, draining: true, active: false, pull: true, ..right };
        let table = [
            (right, Ok(())),
            (wrong, Err(Refusal::NotAuthorized { known: true })),
            (Gate { known: false, ..wrong }, Err(Refusal::NotAuthorized { known: false })),
            (Gate { known: false, ..right }, Err(Refusal::NotAuthorized { known: false })),
            (Gate { draining: true, active: false, ..right }, Err(Refusal::Draining)),
            (Gate { active: false, pull: true, ..right }, Err(Refusal::StreamOff)),
            (Gate { pull: true, ..right }, Err(Refusal::PullStream)),
        ];
        for (asked, answer) in table {
            assert_eq!(gate(asked), answer, "{asked:?}");
        }
    }

    #[test]
    fn a_sending_publisher_keeps_its_slot_and_three_seconds_of_silence_free_it() {
        let (mut slots, t) = (admission(), start());
        assert_eq!(request(&mut slots, (1, Primary, Rtmp), t), Ok(vec![]));
        assert!(slots.on_media(SessionId(1), t + MS(1_000)));
        assert_eq!(request(&mut slots, (2, Primary, Rtmp), t + MS(3_999)), Err(Refusal::SlotTaken));
        assert_eq!(request(&mut slots, (3, Primary, Rtmp), t + MS(4_000)), Ok(vec![SessionId(1)]));
        assert!(!slots.on_media(SessionId(1), t + MS(4_001)), "displaced: its media counts for nothing");
        assert_eq!(slots.holder(Primary), Some(SessionId(3)));
    }

    #[test]
    fn media_takes_a_silent_slot_back_while_it_is_free() {
        let (mut slots, t) = (admission(), start());
        request(&mut slots, (1, Primary, Rtmp), t).unwrap();
        assert!(slots.on_media(SessionId(1), t + MS(9_000)));
        assert_eq!(request(&mut slots, (2, Primary, Rtmp), t + MS(11_999)), Err(Refusal::SlotTaken));
    }

    #[test]
    fn one_protocol_at_a_time_unless_the_other_is_silent() {
        let (mut slots, t) = (admission(), start());
        request(&mut slots, (1, Primary, Rtmp), t).unwrap();
        assert_eq!(request(&mut slots, (2, Backup, Srt), t), Err(Refusal::OtherProtocol));
        assert_eq!(request(&mut slots, (3, Backup, Rtmps), t), Ok(vec![]), "RTMPS is RTMP");
        slots.on_media(SessionId(3), t + MS(1_000));
        assert_eq!(request(&mut slots, (4, Primary, Srt), t + MS(3_000)), Err(Refusal::OtherProtocol));
        assert_eq!(slots.holder(Primary), Some(SessionId(1)), "a refused newcomer displaces nobody");
        let later = t + MS(4_000);
        assert_eq!(request(&mut slots, (5, Primary, Srt), later), Ok(vec![SessionId(1), SessionId(3)]));
    }

    #[test]
    fn silence_closes_after_ten_seconds_and_audio_without_video_after_three() {
        let (mut slots, t) = (admission(), start());
        request(&mut slots, (1, Primary, Rtmp), t).unwrap();
        request(&mut slots, (2, Backup, Rtmp), t).unwrap();
        slots.on_source(SessionId(2), false, true);
        assert_eq!(slots.deadline(), Some(t + MS(3_000)));
        assert_eq!(slots.on_timeout(t + MS(3_000)), [(SessionId(2), Expiry::NoVideo)]);
        assert_eq!(slots.on_timeout(t + MS(9_999)), []);
        assert_eq!(slots.on_timeout(t + MS(10_000)), [(SessionId(1), Expiry::Silent)]);
        assert_eq!(slots.deadline(), None);
    }

    #[test]
    fn only_admissions_count_for_the_rate_limit() {
        let (mut slots, t) = (admission(), start());
        let again = claim(1, Primary, Rtmp);
        for session in 1..=3 {
            slots.request(SessionId(session), &again, t).unwrap();
            for _ in 0..10 {
                assert_eq!(slots.request(SessionId(99), &again, t), Err(Refusal::SlotTaken));
            }
            slots.on_closed(SessionId(session));
        }
        let refusal = Refusal::RateLimited { retry_after: MS(10_000) };
        assert_eq!(slots.request(SessionId(4), &again, t), Err(refusal));
        assert_eq!(request(&mut slots, (5, Primary, Rtmp), t), Ok(vec![]), "another address is free to come");
    }

    proptest! {
        #[test]
        fn no_schedule_lets_a_sending_publisher_be_replaced(
            steps in proptest::collection::vec((0u64..4_000, 0u8..4, any::<bool>()), 1..200)
        ) {
            let (mut slots, mut now) = (admission(), start());
            let mut heard: [Option<(SessionId, Instant)>; 2] = [None; 2];
            for (n, (gap, what, backup)) in steps.into_iter().enumerate() {
                now += MS(gap);
                let slot = if backup { Backup } else { Primary };
                for (session, _) in slots.on_timeout(now) {
                    let (_, at) = heard.iter().flatten().find(|(holder, _)| *holder == session).unwrap();
                    prop_assert!(now >= *at + MS(10_000));
                }
                match what {
                    0 | 1 => {
                        let claim = claim(n as u64, slot, if what == 0 { Rtmp } else { Srt });
                        let session = SessionId(n as u64);
                        if let Ok(displaced) = slots.request(session, &claim, now) {
                            for (_, at) in heard.iter().flatten().filter(|(holder, _)| displaced.contains(holder)) {
                                prop_assert!(now >= *at + MS(3_000));
                            }
                            heard[slot as usize] = Some((session, now));
                        }
                    }
                    2 => {
                        if let Some(session) = slots.holder(slot) {
                            slots.on_media(session, now);
                            heard[slot as usize] = Some((session, now));
                        }
                    }
                    _ => slots.on_closed(slots.holder(slot).unwrap_or(SessionId(0))),
                }
                prop_assert!(slots.deadline().is_none_or(|due| due > now || what == 3));
            }
        }
    }
}
