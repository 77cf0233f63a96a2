//! When a child that ended is started again, and when not any more.
//!
//! ```text
//! ran for >= `steady`                at once
//! ended sooner                       backoff: 0.5, 1, 2, 4, 8, 8 … s
//! more than `intensity` in `period`  its [`Beyond`]: slow tries until it has run steadily, or the parent gives up
//! ```
//!
//! Each child has a budget of its own: one stream's failures never count against another's. A worker meets strangers' media, so a
//! steady run forgives what was before it: one that dies now and then but works in between is never degraded. An actor has no such
//! excuse: it dies of a defect only, and all of its ends count.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The numbers of the rule.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// A run of at least this long counts as healthy.
    pub steady: Duration,
    /// A healthy run wipes out the exits before it.
    pub forgiving: bool,
    /// Delays after unhealthy runs.
    pub backoff: Backoff,
    /// Exits within [`period`](Self::period) that are borne; one more is beyond the budget.
    pub intensity: usize,
    /// The window in which exits are counted. An exit that is exactly this old does not count any more.
    pub period: Duration,
    /// What then.
    pub beyond: Beyond,
}

/// What follows when a child ends too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It is *degraded*: one try after this delay, for ever, until it has run steadily again.
    Slow(Duration),
    /// It is not started again: the parent has to fail itself.
    GiveUp,
}

impl RestartPolicy {
    const fn new(intensity: usize, period_s: u64, beyond: Beyond) -> Self {
        Self {
            steady: Duration::from_secs(10),
            forgiving: false,
            backoff: Backoff { first: Duration::from_millis(500), max: Duration::from_secs(8) },
            intensity,
            period: Duration::from_secs(period_s),
            beyond,
        }
    }

    /// A worker process: never given up, its stream may have a publisher that does nothing wrong.
    pub const WORKER: Self = Self { forgiving: true, ..Self::new(5, 60, Beyond::Slow(Duration::from_secs(10))) };
    /// An actor under a stream's supervisor: beyond the budget the supervisor fails with it, and all of the stream starts afresh.
    pub const ACTOR: Self = Self::new(3, 60, Beyond::GiveUp);
    /// A stream's supervisor: beyond the budget the stream is degraded, the node goes on.
    pub const STREAM: Self = Self::new(3, 300, Beyond::Slow(Duration::from_secs(60)));
    /// A door: without it nobody gets in, so beyond the budget the node ends and is started again from outside.
    pub const DOOR: Self = Self::new(3, 300, Beyond::GiveUp);
}

/// When to start a child again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When.
    pub at: Instant,
    /// This exit made it degraded; told once, until it has run steadily again.
    pub newly_degraded: bool,
}

/// One child's history of exits.
#[derive(Clone, Debug)]
pub struct RestartBudget {
    policy: RestartPolicy,
    exits: VecDeque<Instant>,
    /// Unhealthy runs in a row.
    attempt: u32,
    degraded: bool,
}

impl RestartBudget {
    /// A clean history.
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, exits: VecDeque::new(), attempt: 0, degraded: false }
    }

    /// Notes an exit at `now` after `ran` of healthy work; `jitter` is uniform in `0.0..1.0`. `None` gives the child up.
    pub fn on_exit(&mut self, ran: Duration, now: Instant, jitter: f64) -> Option<Restart> {
        self.on_running(ran);
        while self.exits.front().is_some_and(|&at| now.saturating_duration_since(at) >= self.policy.period) {
            self.exits.pop_front();
        }
        self.exits.push_back(now);
        // Older ones cannot change the answer; this bounds the queue.
        if self.exits.len() > self.policy.intensity + 1 {
            self.exits.pop_front();
        }
        let beyond = self.exits.len() > self.policy.intensity;
        let newly_degraded = beyond && !self.degraded;
        self.degraded |= beyond;
        let delay = match self.policy.beyond {
            Beyond::GiveUp if beyond => return None,
            Beyond::Slow(slow) if self.degraded => slow,
            _ if ran >= self.policy.steady => Duration::ZERO,
            _ => {
                self.attempt += 1;
                self.policy.backoff.delay(self.attempt - 1, jitter)
            }
        };
        Some(Restart { at: now + delay, newly_degraded })
    }

    /// Notes that the child has done healthy work for `ran` and still does.
    pub fn on_running(&mut self, ran: Duration) {
        if ran >= self.policy.steady {
            (self.attempt, self.degraded) = (0, false);
            if self.policy.forgiving {
                self.exits.clear();
            }
        }
    }

    /// It ends too often and is retried slowly.
    pub fn degraded(&self) -> bool {
        self.degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn budget() -> (RestartBudget, Instant) {
        (RestartBudget::new(RestartPolicy::WORKER), start())
    }

    fn at(at: Instant) -> Option<Restart> {
        Some(Restart { at, newly_degraded: false })
    }

    #[test]
    fn a_steady_child_is_restarted_at_once() {
        let (mut budget, t) = budget();
        assert_eq!(budget.on_exit(S(10), t, 0.5), at(t));
        assert!(budget.on_exit(S(10) - Duration::from_nanos(1), t, 0.5).unwrap().at > t);
    }

    #[test]
    fn quick_deaths_wait_longer_and_longer() {
        let (mut budget, t) = budget();
        let delays: Vec<f64> =
            (0..5).map(|_| budget.on_exit(S(1), t, 0.5).unwrap().at.duration_since(t).as_secs_f64()).collect();
        assert_eq!(delays, [0.5, 1.0, 2.0, 4.0, 8.0]);
    }

    #[test]
    fn the_sixth_exit_in_a_minute_degrades_once_until_it_ran_steadily() {
        let (mut budget, t) = budget();
        for n in 0..5 {
            assert!(!budget.on_exit(S(0), t + S(n), 0.5).unwrap().newly_degraded);
        }
        let sixth = t + S(59);
        assert_eq!(budget.on_exit(S(0), sixth, 0.5), Some(Restart { at: sixth + S(10), newly_degraded: true }));
        assert_eq!(budget.on_exit(S(0), sixth + S(100), 0.5), at(sixth + S(110)), "still degraded, told once");
        assert_eq!(budget.on_exit(S(10), sixth + S(200), 0.5), at(sixth + S(200)));
        assert!(!budget.degraded());
    }

    #[test]
    fn a_child_that_works_between_its_ends_is_never_degraded() {
        let (mut budget, t) = budget();
        for n in 0..20 {
            let now = t + S(11) * n;
            assert_eq!(budget.on_exit(S(10), now, 0.5), at(now));
        }
    }

    #[test]
    fn an_exit_exactly_a_period_old_is_forgotten() {
        let (mut budget, t) = budget();
        for n in 0..5 {
            budget.on_exit(S(0), t + S(n), 0.5);
        }
        assert!(!budget.on_exit(S(0), t + S(60), 0.5).unwrap().newly_degraded);
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_fourth_end_of_an_actor_within_a_minute_is_one_too_many_however_long_it_ran() {
        for (fourth, given_up) in [(59_999, true), (60_000, false), (60_001, false)] {
            let (mut budget, t) = (RestartBudget::new(RestartPolicy::ACTOR), start());
            for n in 0..3 {
                assert_eq!(budget.on_exit(S(15), t + S(15) * n, 0.5), at(t + S(15) * n));
            }
            assert_eq!(budget.on_exit(S(29), t + MS(fourth), 0.5).is_none(), given_up, "after {fourth} ms");
        }
    }

    #[test]
    fn a_stream_is_degraded_at_its_fourth_end_within_five_minutes_and_tried_once_a_minute() {
        for (fourth, degraded) in [(299_999, true), (300_000, false)] {
            let (mut budget, t) = (RestartBudget::new(RestartPolicy::STREAM), start());
            for n in 0..3 {
                budget.on_exit(S(90), t + S(90) * n, 0.5);
            }
            let now = t + MS(fourth);
            let delay = if degraded { S(60) } else { S(0) };
            let restart = Restart { at: now + delay, newly_degraded: degraded };
            assert_eq!(budget.on_exit(S(90), now, 0.5), Some(restart), "after {fourth} ms");
            assert_eq!(budget.degraded(), degraded);
        }
    }

    #[test]
    fn a_degraded_stream_that_dies_at_once_stays_so_without_being_told_again() {
        let (mut budget, mut t) = (RestartBudget::new(RestartPolicy::STREAM), start());
        let told: Vec<bool> = (0..10)
            .map(|_| {
                let restart = budget.on_exit(S(1), t, 0.5).unwrap();
                t = restart.at + S(1);
                restart.newly_degraded
            })
            .collect();
        assert_eq!(told.iter().position(|told| *told), Some(3));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        budget.on_running(S(10));
        assert!(!budget.degraded());
    }

    proptest! {
        #[test]
        fn nobody_is_given_up_before_its_budget_is_spent_or_kept_after(
            gaps in proptest::collection::vec(0u64..60_000, 1..60)
        ) {
            let (mut budget, mut now) = (RestartBudget::new(RestartPolicy::ACTOR), start());
            let mut exits = vec![];
            for gap in gaps {
                now += MS(gap);
                exits.push(now);
                let recent = exits.iter().filter(|at| now.duration_since(**at) < S(60)).count();
                let restart = budget.on_exit(MS(gap), now, 0.5);
                prop_assert_eq!(restart.is_none(), recent > 3);
            }
        }

        #[test]
        fn no_schedule_gets_more_than_the_intensity_of_restarts_in_a_period(
            runs in proptest::collection::vec((0u64..15_000, 0.0f64..1.0), 1..100)
        ) {
            let (mut budget, mut now) = budget();
            let mut starts = vec![];
            for (ran, jitter) in runs {
                now += Duration::from_millis(ran);
                let restart = budget.on_exit(Duration::from_millis(ran), now, jitter).unwrap();
                prop_assert!(restart.at >= now && restart.at <= now + S(10));
                now = restart.at;
                starts.push(now);
            }
            for window in starts.windows(8) {
                prop_assert!(window[7] - window[0] >= S(16), "{:?}", window[7] - window[0]);
            }
        }
    }
}
