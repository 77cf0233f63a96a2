//! When a child that ended is started again.
//!
//! ```text
//! ran steadily for >= `steady`       at once
//! ended sooner                       backoff: 0.5, 1, 2, 4, 8, 8 … s
//! more than `intensity` in `period`  degraded: one try per `slow`, until it has run steadily again
//! ```
//!
//! A steady run forgives what was before it, so a child that dies now and then but works in between is never degraded.
//! A child is never given up: its stream may have a publisher that does nothing wrong.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The numbers of the rule.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// A run of at least this long counts as healthy.
    pub steady: Duration,
    /// Delays after unhealthy runs.
    pub backoff: Backoff,
    /// More exits than this within [`period`](Self::period), without a steady run between them, make the child degraded.
    pub intensity: usize,
    /// The window in which exits are counted.
    pub period: Duration,
    /// Delay between tries while degraded.
    pub slow: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            steady: Duration::from_secs(10),
            backoff: Backoff { first: Duration::from_millis(500), max: Duration::from_secs(8) },
            intensity: 5,
            period: Duration::from_secs(60),
            slow: Duration::from_secs(10),
        }
    }
}

/// What to do about an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When to start it again.
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

    /// Notes an exit at `now` after `ran` of healthy work; `jitter` is uniform in `0.0..1.0`.
    pub fn on_exit(&mut self, ran: Duration, now: Instant, jitter: f64) -> Restart {
        self.on_running(ran);
        while self.exits.front().is_some_and(|&at| now.saturating_duration_since(at) >= self.policy.period) {
            self.exits.pop_front();
        }
        self.exits.push_back(now);
        // Older ones cannot change the answer; this bounds the queue.
        if self.exits.len() > self.policy.intensity + 1 {
            self.exits.pop_front();
        }
        let newly_degraded = !self.degraded && self.exits.len() > self.policy.intensity;
        self.degraded |= newly_degraded;
        let delay = if self.degraded {
            self.policy.slow
        } else if ran >= self.policy.steady {
            Duration::ZERO
        } else {
            self.attempt += 1;
            self.policy.backoff.delay(self.attempt - 1, jitter)
        };
        Restart { at: now + delay, newly_degraded }
    }

    /// Notes that the child has done healthy work for `ran` and still does.
    pub fn on_running(&mut self, ran: Duration) {
        if ran >= self.policy.steady {
            (self.attempt, self.degraded) = (0, false);
            self.exits.clear();
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
        (RestartBudget::new(RestartPolicy::default()), start())
    }

    #[test]
    fn a_steady_child_is_restarted_at_once() {
        let (mut budget, t) = budget();
        assert_eq!(budget.on_exit(S(10), t, 0.5), Restart { at: t, newly_degraded: false });
        assert!(budget.on_exit(S(10) - Duration::from_nanos(1), t, 0.5).at > t);
    }

    #[test]
    fn quick_deaths_wait_longer_and_longer() {
        let (mut budget, t) = budget();
        let delays: Vec<f64> =
            (0..5).map(|_| budget.on_exit(S(1), t, 0.5).at.duration_since(t).as_secs_f64()).collect();
        assert_eq!(delays, [0.5, 1.0, 2.0, 4.0, 8.0]);
    }

    #[test]
    fn the_sixth_exit_in_a_minute_degrades_once_until_it_ran_steadily() {
        let (mut budget, t) = budget();
        for n in 0..5 {
            assert!(!budget.on_exit(S(0), t + S(n), 0.5).newly_degraded);
        }
        let sixth = t + S(59);
        assert_eq!(budget.on_exit(S(0), sixth, 0.5), Restart { at: sixth + S(10), newly_degraded: true });
        assert_eq!(
            budget.on_exit(S(0), sixth + S(100), 0.5),
            Restart { at: sixth + S(110), newly_degraded: false },
            "still degraded, told once"
        );
        assert_eq!(budget.on_exit(S(10), sixth + S(200), 0.5).at, sixth + S(200));
        assert!(!budget.degraded());
    }

    #[test]
    fn a_child_that_works_between_its_ends_is_never_degraded() {
        let (mut budget, t) = budget();
        for n in 0..20 {
            let at = t + S(11) * n;
            assert_eq!(budget.on_exit(S(10), at, 0.5), Restart { at, newly_degraded: false });
        }
    }

    #[test]
    fn an_exit_exactly_a_period_old_is_forgotten() {
        let (mut budget, t) = budget();
        for n in 0..5 {
            budget.on_exit(S(0), t + S(n), 0.5);
        }
        assert!(!budget.on_exit(S(0), t + S(60), 0.5).newly_degraded);
    }

    proptest! {
        #[test]
        fn no_schedule_gets_more_than_the_intensity_of_restarts_in_a_period(
            runs in proptest::collection::vec((0u64..15_000, 0.0f64..1.0), 1..100)
        ) {
            let (mut budget, mut now) = budget();
            let mut starts = vec![];
            for (ran, jitter) in runs {
                now += Duration::from_millis(ran);
                let restart = budget.on_exit(Duration::from_millis(ran), now, jitter);
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
