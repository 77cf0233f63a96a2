//! Which slot is live, which one is on air, and when a broadcast begins and ends.
//!
//! ```text
//! no broadcast --media--> on air --`stall` without media--> holding the last picture --media--> on air
//!      ^                                                             |
//!      '---------------`linger` without media: the broadcast ends----'
//! ```
//!
//! Contract: feed every arrival with [`Failover::on_media`] and call [`Failover::on_timeout`] at
//! [`Failover::deadline`]; calling it earlier or twice is harmless. What changed comes back as [`Decision`]s, in order,
//! each edge once. A slot is *live* while its last media is younger than `stall`, on air or not, connected or not.
//!
//! Only the primary is ever put on air here. [`rule`] is the whole rule, for both slots; it takes this one's place when
//! the FailoverActor moves to it.

pub mod rule;

use std::time::{Duration, Instant};

use weir_media::id::Slot;

/// The numbers of the rule.
#[derive(Clone, Copy, Debug)]
pub struct FailoverPolicy {
    /// A slot without media for this long is lost.
    pub stall: Duration,
    /// A broadcast without media for this long is over.
    pub linger: Duration,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self { stall: Duration::from_secs(3), linger: Duration::from_secs(60) }
    }
}

/// What has to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Media came where no broadcast was: one begins.
    Begin,
    /// A slot became live or stopped being it.
    Live {
        /// The slot.
        slot: Slot,
        /// It is.
        live: bool,
    },
    /// Show this slot; `None` holds the last picture.
    OnAir(Option<Slot>),
    /// No media for `linger`: the broadcast is over.
    End,
}

/// What the rule knows of the past; plain data, so that a fresh rule can go on where a crashed one stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailoverState {
    /// When each slot's latest media arrived, primary first.
    pub last_media: [Option<Instant>; 2],
    /// Which slots are live, primary first.
    pub live: [bool; 2],
    /// What is shown.
    pub on_air: Option<Slot>,
    /// A broadcast is running.
    pub broadcasting: bool,
}

impl FailoverState {
    /// Takes over what a decision says.
    pub fn apply(&mut self, decision: Decision) {
        match decision {
            Decision::Begin => self.broadcasting = true,
            Decision::Live { slot, live } => self.live[slot as usize] = live,
            Decision::OnAir(slot) => self.on_air = slot,
            Decision::End => self.broadcasting = false,
        }
    }

    /// Notes an arrival; an older one than the latest changes nothing.
    pub fn note_media(&mut self, slot: Slot, at: Instant) {
        let last = &mut self.last_media[slot as usize];
        *last = (*last).max(Some(at));
    }
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Failover {
    policy: FailoverPolicy,
    state: FailoverState,
}

impl Failover {
    /// A rule that goes on from `state`; the default state knows of no media and no broadcast.
    pub fn new(policy: FailoverPolicy, state: FailoverState) -> Self {
        Self { policy, state }
    }

    /// A video access unit arrived in `slot` at `at`.
    pub fn on_media(&mut self, slot: Slot, at: Instant, now: Instant) -> Vec<Decision> {
        self.state.note_media(slot, at);
        self.on_timeout(now)
    }

    /// Decides what is due at `now`.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Decision> {
        let mut decisions = vec![];
        let mut decide = |state: &mut FailoverState, decision| {
            state.apply(decision);
            decisions.push(decision);
        };
        let fresh = [Slot::Primary, Slot::Backup].map(|slot| self.is_fresh(slot, now));
        if !self.state.broadcasting && fresh.contains(&true) {
            decide(&mut self.state, Decision::Begin);
        }
        for slot in [Slot::Primary, Slot::Backup] {
            let live = fresh[slot as usize];
            if self.state.live[slot as usize] != live {
                decide(&mut self.state, Decision::Live { slot, live });
            }
        }
        let chosen = Self::choose(fresh);
        if self.state.on_air != chosen {
            decide(&mut self.state, Decision::OnAir(chosen));
        }
        if self.linger_end().is_some_and(|end| now >= end) {
            decide(&mut self.state, Decision::End);
        }
        decisions
    }

    /// When [`Self::on_timeout`] is next due; `None` while nothing can change without media.
    pub fn deadline(&self) -> Option<Instant> {
        let stalls = [Slot::Primary, Slot::Backup]
            .into_iter()
            .filter(|&slot| self.state.live[slot as usize])
            .filter_map(|slot| self.state.last_media[slot as usize])
            .map(|at| at + self.policy.stall);
        stalls.chain(self.linger_end()).min()
    }

    /// The slot to show, given which ones are fresh.
    fn choose([primary, _backup]: [bool; 2]) -> Option<Slot> {
        primary.then_some(Slot::Primary)
    }

    fn is_fresh(&self, slot: Slot, now: Instant) -> bool {
        self.state.last_media[slot as usize].is_some_and(|at| now < at + self.policy.stall)
    }

    /// When the broadcast ends if no more media comes. Never before the stall, whatever the configuration says.
    fn linger_end(&self) -> Option<Instant> {
        let last = self.state.last_media.iter().flatten().max()?;
        self.state.broadcasting.then(|| *last + self.policy.linger.max(self.policy.stall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;
    use Slot::{Backup, Primary};
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn rule() -> Failover {
        Failover::new(FailoverPolicy::default(), FailoverState::default())
    }

    fn live(slot: Slot, live: bool) -> Decision {
        Decision::Live { slot, live }
    }

    #[test]
    fn first_media_begins_a_broadcast_and_goes_on_air() {
        let (mut rule, t) = (rule(), start());
        assert_eq!(rule.deadline(), None);
        let on_air = Decision::OnAir(Some(Primary));
        assert_eq!(rule.on_media(Primary, t, t), [Decision::Begin, live(Primary, true), on_air]);
        assert_eq!(rule.on_media(Primary, t + MS(2_999), t + MS(2_999)), []);
    }

    #[test]
    fn stall_and_linger_are_exact() {
        let (mut rule, t) = (rule(), start());
        rule.on_media(Primary, t, t);
        assert_eq!(rule.deadline(), Some(t + MS(3_000)));
        assert_eq!(rule.on_timeout(t + MS(3_000) - Duration::from_nanos(1)), []);
        assert_eq!(rule.on_timeout(t + MS(3_000)), [live(Primary, false), Decision::OnAir(None)]);
        assert_eq!(rule.deadline(), Some(t + MS(60_000)));
        assert_eq!(rule.on_timeout(t + MS(60_000) - Duration::from_nanos(1)), []);
        assert_eq!(rule.on_timeout(t + MS(60_000)), [Decision::End]);
        assert_eq!((rule.deadline(), rule.on_timeout(t + MS(90_000))), (None, vec![]));
    }

    #[test]
    fn a_return_within_linger_continues_the_broadcast_and_a_later_one_begins_another() {
        let (mut rule, t) = (rule(), start());
        rule.on_media(Primary, t, t);
        rule.on_timeout(t + MS(3_000));
        let back = t + MS(59_999);
        assert_eq!(rule.on_media(Primary, back, back), [live(Primary, true), Decision::OnAir(Some(Primary))]);
        rule.on_timeout(back + MS(60_000));
        let later = back + MS(60_001);
        assert_eq!(rule.on_media(Primary, later, later)[0], Decision::Begin);
    }

    #[test]
    fn backup_media_is_live_but_never_on_air_yet() {
        let (mut rule, t) = (rule(), start());
        assert_eq!(rule.on_media(Backup, t, t), [Decision::Begin, live(Backup, true)]);
    }

    #[test]
    fn a_fresh_rule_goes_on_where_a_crashed_one_stopped() {
        let t = start();
        let state = FailoverState {
            last_media: [Some(t), None],
            live: [true, false],
            on_air: Some(Primary),
            broadcasting: true,
        };
        let mut rule = Failover::new(FailoverPolicy::default(), state);
        assert_eq!(rule.deadline(), Some(t + MS(3_000)));
        assert_eq!(rule.on_timeout(t + MS(4_000)), [live(Primary, false), Decision::OnAir(None)]);
    }

    proptest! {
        #[test]
        fn a_due_deadline_always_decides_and_edges_alternate(
            steps in proptest::collection::vec((0u64..70_000, 0u8..3), 1..200)
        ) {
            let (mut rule, mut now) = (rule(), start());
            let mut seen = FailoverState::default();
            let mut take = |decisions: Vec<Decision>| {
                for decision in decisions {
                    let before = seen;
                    seen.apply(decision);
                    if before == seen {
                        return Err(TestCaseError::fail(format!("{decision:?} repeats what was known")));
                    }
                }
                Ok(())
            };
            for (gap, what) in steps {
                let until = now + MS(gap);
                while let Some(due) = rule.deadline().filter(|due| *due <= until) {
                    let decisions = rule.on_timeout(due);
                    prop_assert!(!decisions.is_empty());
                    take(decisions)?;
                }
                now = until;
                let decisions = match what {
                    0 => rule.on_media(Primary, now, now),
                    1 => rule.on_media(Backup, now, now),
                    _ => rule.on_timeout(now),
                };
                take(decisions)?;
                prop_assert!(rule.deadline().is_none_or(|due| due > now));
                prop_assert!(rule.state.on_air.is_none_or(|slot| rule.state.live[slot as usize]));
            }
        }
    }
}
