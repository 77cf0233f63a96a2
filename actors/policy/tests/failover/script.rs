//! Schedules of facts, and playing them to the rule. Times are milliseconds from the schedule's start.

use std::time::{Duration, Instant};

use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{Action, Decision, Fact, Policy, Rule, State};

pub const MS: fn(u64) -> Duration = Duration::from_millis;

/// Some instant to count from; rules never see the real clock.
#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now()
}

/// A rule that knows of nothing.
pub fn fresh(policy: Policy, now: Instant) -> Rule {
    Rule::resume(State::new(policy, now))
}

pub fn id(session: u64) -> SessionId {
    SessionId(session)
}

/// Facts and when they become true.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<(u64, Fact)>);

impl Script {
    pub fn fact(mut self, at: u64, fact: Fact) -> Self {
        self.0.push((at, fact));
        self
    }

    /// A publisher is admitted, and the worker begins to decode it.
    pub fn connect(self, at: u64, slot: Slot, session: u64) -> Self {
        self.fact(at, Fact::Admitted(slot, id(session))).fact(at, Fact::Decoding(id(session), true))
    }

    /// One access unit and its picture.
    pub fn media(self, at: u64, session: u64) -> Self {
        self.fact(at, Fact::Arrived(id(session))).fact(at, Fact::Decoded(id(session)))
    }

    /// Media every 250 ms, the last at `to`.
    pub fn stream(mut self, session: u64, from: u64, to: u64) -> Self {
        for at in (from..to).step_by(250) {
            self = self.media(at, session);
        }
        self.media(to, session)
    }

    /// As [`Self::stream`], but nothing decodes.
    pub fn units(mut self, session: u64, from: u64, to: u64) -> Self {
        for at in (from..to).step_by(250) {
            self = self.fact(at, Fact::Arrived(id(session)));
        }
        self.fact(to, Fact::Arrived(id(session)))
    }

    /// Connects and streams.
    pub fn publish(self, slot: Slot, session: u64, from: u64, to: u64) -> Self {
        self.connect(from, slot, session).stream(session, from, to)
    }

    /// The facts in order of time; those of the same instant in the order they were written.
    pub fn facts(mut self) -> Vec<(u64, Fact)> {
        self.0.sort_by_key(|(at, _)| *at);
        self.0
    }

    /// All that the rule decides up to `until`, told each fact in time and nothing else. Without how the inputs are doing.
    pub fn play(self, policy: Policy, until: u64) -> Vec<(u64, Action)> {
        let t = start();
        let mut rule = fresh(policy, t);
        let mut decisions = vec![];
        for (at, fact) in self.facts().into_iter().filter(|(at, _)| *at <= until) {
            decisions.extend(rule.on_fact(fact, t + MS(at), t + MS(at)));
        }
        decisions.extend(rule.on_timeout(t + MS(until)));
        decisions
            .into_iter()
            .filter(|decision| !matches!(decision.action, Action::Input(..)))
            .map(|decision| (millis(t, decision), decision.action))
            .map(|(at, action)| (at, relative(t, action)))
            .collect()
    }

    /// As [`Self::play`], but only what went on air and when.
    pub fn on_air(self, policy: Policy, until: u64) -> Vec<(u64, Action)> {
        let mut log = self.play(policy, until);
        log.retain(|(_, action)| matches!(action, Action::OnAir(..)));
        log
    }

    /// As [`Self::play`], from `from` on.
    pub fn play_from(self, policy: Policy, from: u64, until: u64) -> Vec<(u64, Action)> {
        let mut log = self.play(policy, until);
        log.retain(|(at, _)| *at >= from);
        log
    }
}

/// When it was due, checked to be a whole millisecond.
fn millis(t: Instant, decision: Decision) -> u64 {
    let at = decision.at - t;
    assert_eq!(at.subsec_nanos() % 1_000_000, 0, "{decision:?} is not due at a whole millisecond");
    at.as_millis() as u64
}

/// Deadlines of timers are told as if every schedule started at [`origin`].
fn relative(t: Instant, action: Action) -> Action {
    match action {
        Action::Armed(timer, due) => Action::Armed(timer, origin() + (due - t)),
        action => action,
    }
}

/// The instant that [`Script::play`] shows as the schedule's start.
pub fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(start)
}
