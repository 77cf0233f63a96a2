//! Between a StreamSupervisor and its FailoverActor: facts down, rulings up, and what a fresh actor has to know.

use std::collections::VecDeque;
use std::time::Instant;

use actix::Addr;
use weir_media::failover::{Alignment, AlignmentState};
use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{Fact, Policy, State};

use super::StreamSupervisor;
use crate::clock;
use crate::failover::{FailoverActor, Ruling, Told};
use crate::report::ChildName;

/// Facts that may wait for the rule: more than a minute of all that two publishers and a worker tell, longer than any restart takes.
const CAPACITY: usize = 2_048;

/// The rule as its supervisor knows it.
pub(super) struct Air {
    /// As of its latest ruling.
    pub state: State,
    /// Facts in `state`.
    facts: u64,
    /// Facts told since.
    told: VecDeque<Told>,
    /// `None` while it waits to be restarted.
    pub actor: Option<Addr<FailoverActor>>,
    /// The last thing told of the pair.
    locked: bool,
}

impl Air {
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self { state: State::new(policy, now), facts: 0, told: VecDeque::new(), actor: None, locked: false }
    }

    /// The rule does not take in what it is told.
    pub fn is_overrun(&self) -> bool {
        self.told.len() > CAPACITY
    }

    fn tell(&mut self, told: Told) {
        self.told.push_back(told);
        if let Some(actor) = &self.actor {
            // Nothing told may be lost, and what waits is bounded by `told`.
            actor.do_send(told);
        }
    }

    fn take_over(&mut self, state: State, facts: u64) {
        let taken = facts.saturating_sub(self.facts) as usize;
        self.told.drain(..taken.min(self.told.len()));
        (self.state, self.facts) = (state, facts);
    }
}

impl StreamSupervisor {
    pub(super) fn start_failover(&mut self) {
        let (state, facts) = (self.air.state.clone(), self.air.facts);
        let missed = self.air.told.iter().copied().collect();
        let policy = self.shared.config.restarts.actor;
        let start = |uplink| FailoverActor::new(state, facts, missed, uplink);
        self.air.actor = Some(self.children.start(ChildName::Failover, policy, start));
    }

    pub(super) fn on_ruling(&mut self, ruling: Ruling) {
        self.air.take_over(ruling.state, ruling.facts);
        for decision in ruling.decisions {
            self.on_decision(decision);
        }
        self.tell_arrival();
    }

    /// Tells the rule what has become true just now.
    pub(super) fn tell_rule(&mut self, fact: Fact) {
        self.tell_rule_at(fact, clock::now());
    }

    /// Tells the rule what became true at `at`.
    pub(super) fn tell_rule_at(&mut self, fact: Fact, at: Instant) {
        let known = clock::now();
        self.air.tell(Told { fact, at: at.min(known), known });
    }

    /// The settings of the next broadcast are taken over unless one is being made.
    pub(super) fn configure(&mut self) {
        if self.pipeline.is_none() && self.failover != self.wished.failover {
            self.failover = self.wished.failover;
            self.tell_rule(Fact::Configured(self.shared.config.failover(&self.failover)));
        }
    }

    /// No worker decodes anything any more; a new one tells anew what it does.
    pub(super) fn worker_gone(&mut self) {
        for session in self.newest.into_iter().flatten() {
            self.tell_rule(Fact::Decoding(session, false));
            self.tell_rule(Fact::Content(session, false));
        }
        self.on_alignment(&Alignment::default());
    }

    /// Tells the rule when both programmes become aligned, or are no longer.
    pub(super) fn on_alignment(&mut self, alignment: &Alignment) {
        let locked = alignment.state == AlignmentState::Locked;
        if std::mem::replace(&mut self.air.locked, locked) != locked {
            self.tell_rule(Fact::Locked(locked));
        }
    }

    /// A publisher takes the slot; a lock is one of two sessions.
    pub(super) fn tell_admitted(&mut self, slot: Slot, session: SessionId) {
        self.air.locked = false;
        self.newest[slot as usize] = Some(session);
        self.tell_rule(Fact::Admitted(slot, session));
    }
}
