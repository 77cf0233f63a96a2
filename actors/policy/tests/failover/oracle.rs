//! The failover rule said once more, slowly: at every tick, and after every fact, everything is read anew from the
//! recorded history. It knows no deadlines and shares no code with the rule. Its time counts in
//! ticks of `crate::TICK`.

use std::time::Duration;

use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{Fact, InputState, Mode, Policy, Standby};

use crate::TICK;

const SLOTS: [Slot; 2] = [Slot::Primary, Slot::Backup];

/// What is true at the end of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub broadcasting: bool,
    pub live: [bool; 2],
    /// Each slot's publisher and how its input is doing.
    pub inputs: [(Option<SessionId>, InputState); 2],
    pub on_air: Option<Slot>,
    pub decoded: [bool; 2],
    /// The tick of primary's planned return, while it lies ahead.
    pub hold: Option<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        let inputs = [(None, InputState::Absent); 2];
        Self { broadcasting: false, live: [false; 2], inputs, on_air: None, decoded: [false; 2], hold: None }
    }
}

/// One slot's media as it became known.
#[derive(Default)]
struct Track {
    /// When each access unit with a picture became known, and how old it was then: both as ticks.
    media: Vec<(u64, u64)>,
    /// Lengths of `media` at which its publisher changed or left.
    breaks: Vec<usize>,
    trusted: bool,
}

pub struct Oracle<'a> {
    facts: &'a [(u64, Fact)],
    /// Facts known so far.
    known: usize,
    now: u64,
    policy: Policy,
    mode: Mode,
    tracks: [Track; 2],
    chosen: Option<Slot>,
    /// The tick at which the broadcast began, and whether primary has been on air in it.
    began: (u64, bool),
    seen: Seen,
}

fn ticks(duration: Duration) -> u64 {
    (duration.as_nanos() / TICK.as_nanos()) as u64
}

fn about(fact: &Fact, id: SessionId) -> bool {
    use Fact::*;
    matches!(fact, Ended(x) | Arrived(x) | Decoding(x, _) | Decoded(x) | Undecodable(x) | Content(x, _) | Gop(x, _) if *x == id)
}

impl<'a> Oracle<'a> {
    /// What is true at the end of each tick up to `until`.
    pub fn replay(policy: Policy, facts: &'a [(u64, Fact)], until: u64) -> Vec<Seen> {
        let tracks = Default::default();
        let mode = policy.mode;
        let seen = Seen::default();
        let mut oracle =
            Oracle { facts, known: 0, now: 0, policy, mode, tracks, chosen: None, began: (0, false), seen };
        (0..=until)
            .map(|now| {
                oracle.now = now;
                oracle.look();
                while oracle.known < facts.len() && facts[oracle.known].0 == now {
                    oracle.known += 1;
                    oracle.learn();
                    oracle.look();
                }
                oracle.seen
            })
            .collect()
    }

    /// The facts about the slot's current session, oldest first.
    fn session(&self, slot: Slot) -> Option<(SessionId, impl DoubleEndedIterator<Item = &(u64, Fact)>)> {
        let known = &self.facts[..self.known];
        let admitted = |(_, fact): &(u64, Fact)| matches!(fact, Fact::Admitted(to, _) if *to == slot);
        let first = known.iter().rposition(admitted)?;
        let Fact::Admitted(_, id) = known[first].1 else { unreachable!() };
        Some((id, known[first..].iter().filter(move |(_, fact)| about(fact, id))))
    }

    fn is_open(&self, slot: Slot) -> bool {
        self.session(slot).is_some_and(|(_, mut facts)| !facts.any(|(_, fact)| matches!(fact, Fact::Ended(_))))
    }

    fn last_arrival(&self, slot: Slot) -> Option<u64> {
        self.session(slot)?.1.rev().find(|(_, fact)| matches!(fact, Fact::Arrived(_))).map(|(at, _)| *at)
    }

    /// The decoder's last sign and whether that was a picture, if it runs.
    fn decoder(&self, slot: Slot) -> Option<(u64, bool)> {
        let (_, facts) = self.session(slot)?;
        let signs = facts.rev().find(|(_, fact)| matches!(fact, Fact::Decoding(..) | Fact::Decoded(_)))?;
        let (_, mut facts) = self.session(slot)?;
        let runs = facts.rfind(|(_, fact)| matches!(fact, Fact::Decoding(..)))?;
        let Fact::Decoding(_, true) = runs.1 else { return None };
        Some((signs.0, matches!(signs.1, Fact::Decoded(_))))
    }

    fn content_since(&self, slot: Slot) -> Option<u64> {
        let (_, facts) = self.session(slot)?;
        let told = facts.filter(|(_, fact)| matches!(fact, Fact::Content(..))).rev();
        told.take_while(|(_, fact)| matches!(fact, Fact::Content(_, true))).last().map(|(at, _)| *at)
    }

    fn gop(&self, slot: Slot) -> u64 {
        let told = self.session(slot).and_then(|(_, facts)| {
            facts.rev().find_map(|(_, fact)| match fact {
                Fact::Gop(_, gop) => Some(*gop),
                _ => None,
            })
        });
        ticks(told.unwrap_or(Duration::from_secs(2)))
    }

    fn is_locked(&self) -> bool {
        let told = self.facts[..self.known]
            .iter()
            .rev()
            .find(|(_, fact)| matches!(fact, Fact::Admitted(..) | Fact::Locked(_)));
        matches!(told, Some((_, Fact::Locked(true))))
    }

    /// Writes down what the newest fact says about media, trust and wishes.
    fn learn(&mut self) {
        let (_, fact) = self.facts[self.known - 1];
        match fact {
            Fact::Configured(policy) => self.policy = policy,
            Fact::Chosen(slot) => self.chosen = slot.filter(|&slot| self.is_live(slot)),
            _ => {}
        }
        for slot in SLOTS {
            let mine = self.session(slot).is_some_and(|(id, _)| about(&fact, id));
            let (arrival, decoder) = (self.last_arrival(slot), self.decoder(slot));
            let (now, stall) = (self.now, ticks(self.policy.stall));
            let track = &mut self.tracks[slot as usize];
            match fact {
                Fact::Admitted(to, _) if to == slot => {
                    track.trusted = self.policy.standby == Standby::Warm;
                    track.breaks.push(track.media.len());
                }
                Fact::Ended(_) if mine => track.breaks.push(track.media.len()),
                Fact::Decoded(_) if mine => track.trusted = true,
                Fact::Undecodable(_) if mine => track.trusted = false,
                _ => {}
            }
            if let (true, true, Some(arrival)) = (mine, track.trusted, arrival) {
                let age_from = decoder.map_or(arrival, |(sign, _)| arrival.min(sign));
                if now - age_from < stall {
                    track.media.push((now, age_from));
                }
            }
        }
    }

    fn last_media(&self, slot: Slot) -> Option<u64> {
        self.tracks[slot as usize].media.iter().map(|(_, from)| *from).max()
    }

    fn is_live(&self, slot: Slot) -> bool {
        self.last_media(slot).is_some_and(|from| self.now - from < ticks(self.policy.stall))
    }

    /// Walks through all media of the slot: the streak that still lasts began after the last break or stall.
    fn steady_since(&self, slot: Slot) -> Option<u64> {
        let Track { media, breaks, .. } = &self.tracks[slot as usize];
        let stall = ticks(self.policy.stall);
        let (mut streak, mut newest) = (None, None::<u64>);
        for (n, &(known, from)) in media.iter().enumerate() {
            let stalled = newest.is_some_and(|newest| known - newest >= stall);
            if stalled || breaks.contains(&n) || streak.is_none() {
                streak = Some(from);
            }
            newest = newest.max(Some(from));
        }
        let broken = breaks.contains(&media.len());
        let media_since = streak.filter(|_| !broken && self.is_open(slot) && self.is_live(slot))?;
        if self.mode == Mode::Freeze || self.policy.standby == Standby::Warm {
            return Some(media_since);
        }
        Some(media_since.max(self.content_since(slot)?))
    }

    fn return_at(&self) -> Option<u64> {
        if self.seen.on_air != Some(Slot::Backup) || self.chosen.is_some() {
            return None;
        }
        let patience =
            if self.mode == Mode::Hitless && !self.is_locked() { ticks(self.policy.lock_patience) } else { 0 };
        Some(self.steady_since(Slot::Primary)? + ticks(self.policy.hold) + patience)
    }

    fn look(&mut self) {
        let stall = ticks(self.policy.stall);
        for slot in SLOTS {
            let units = self.last_arrival(slot).is_some_and(|at| self.now - at < stall);
            let pictures = self.decoder(slot).is_none_or(|(sign, _)| self.now - sign < stall);
            if units && !pictures {
                self.tracks[slot as usize].trusted = false;
            }
        }
        let live = SLOTS.map(|slot| self.is_live(slot));
        if self.chosen.is_some_and(|chosen| !live[chosen as usize]) {
            self.chosen = None;
        }
        if !self.seen.broadcasting {
            self.mode = self.policy.mode;
            self.seen.broadcasting = live[0] || live[1];
            self.began = (self.now, false);
        }
        self.seen.live = live;
        self.seen.inputs = SLOTS.map(|slot| self.input(slot));
        self.seen.on_air = self.law(live);
        self.began.1 |= self.seen.on_air == Some(Slot::Primary);
        let last = SLOTS.iter().filter_map(|slot| self.last_media(*slot)).max();
        let linger = ticks(self.policy.linger).max(stall);
        if self.seen.on_air.is_none() && last.is_some_and(|last| self.now - last >= linger) {
            self.seen.broadcasting = false;
        }
        self.seen.decoded = SLOTS.map(|slot| self.is_decoded(slot));
        self.seen.hold = self.return_at().filter(|at| *at > self.now);
    }

    fn input(&self, slot: Slot) -> (Option<SessionId>, InputState) {
        let session = self.session(slot).filter(|_| self.is_open(slot)).map(|(id, _)| id);
        let units = self.last_arrival(slot).is_some_and(|at| self.now - at < ticks(self.policy.stall));
        let state = match (session, units) {
            (None, _) => InputState::Absent,
            (_, false) => InputState::Silent,
            _ if !self.tracks[slot as usize].trusted || !self.seen.live[slot as usize] => InputState::Undecoded,
            _ if self.decoder(slot).is_none() => InputState::Received,
            _ => InputState::Decoding,
        };
        (session, state)
    }

    fn shows_pictures(&self, slot: Slot) -> bool {
        self.decoder(slot).is_some_and(|(_, picture)| picture)
    }

    fn law(&self, [primary, backup]: [bool; 2]) -> Option<Slot> {
        let waited = self.return_at().is_some_and(|at| at <= self.now) && self.shows_pictures(Slot::Primary);
        if let Some(chosen) = self.chosen.filter(|&chosen| self.shows_pictures(chosen)) {
            return Some(chosen);
        }
        let (began, primary_was) = self.began;
        let young = !primary_was && self.now - began < ticks(self.policy.stall) && self.chosen.is_none();
        match (self.seen.on_air, primary, backup) {
            (_, false, false) => None,
            (_, true, false) => Some(Slot::Primary),
            (_, false, true) => Some(Slot::Backup),
            (Some(Slot::Backup), true, true) if !waited && !young => Some(Slot::Backup),
            (_, true, true) => Some(Slot::Primary),
        }
    }

    fn is_decoded(&self, slot: Slot) -> bool {
        let hot = self.policy.standby == Standby::Hot;
        let ahead = self.gop(slot);
        let returns = slot == Slot::Primary && !hot && self.return_at().is_some_and(|at| self.now + ahead >= at);
        let unproven = !self.tracks[slot as usize].trusted;
        self.seen.on_air == Some(slot)
            || self.chosen == Some(slot)
            || returns
            || (self.is_open(slot) && (hot || unproven))
    }
}
