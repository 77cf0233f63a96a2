//! How often a publisher may connect, and how often strangers may be written about: a leaky bucket per key (the "virtual
//! scheduling" of ITU-T I.371, GCRA).
//!
//! Only admitted sessions are recorded, so a refused try never makes the wait longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Keys kept at most. Only owners of a right token make keys, so this is never reached in honest use; at the limit the
/// key that is free soonest gives way.
const MAX_KEYS: usize = 1_024;

/// One admission per `every`, with `burst` at once after a rest.
#[derive(Clone, Debug)]
pub struct RateLimit<K> {
    every: Duration,
    burst: u32,
    /// When each key's bucket is empty again.
    empty_at: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> RateLimit<K> {
    /// A limit under which nobody has been admitted yet. A burst below 1 counts as 1.
    pub fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst: burst.max(1), empty_at: BTreeMap::new() }
    }

    /// Whether `key` may be admitted; else how long until it may. Changes nothing.
    pub fn check(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(&empty_at) = self.empty_at.get(&key) else { return Ok(()) };
        let room = self.every * (self.burst - 1);
        match empty_at.saturating_duration_since(now).checked_sub(room) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// Notes that `key` was admitted.
    pub fn record(&mut self, key: K, now: Instant) {
        self.empty_at.retain(|_, empty_at| *empty_at > now);
        if self.empty_at.len() >= MAX_KEYS
            && let Some((&soonest, _)) = self.empty_at.iter().min_by_key(|(_, empty_at)| **empty_at)
        {
            self.empty_at.remove(&soonest);
        }
        let empty_at = self.empty_at.entry(key).or_insert(now);
        *empty_at = (*empty_at).max(now) + self.every;
    }
}

/// Which of the things that strangers can make happen are written down: some at once, then one now and then with the number of those
/// between. So nobody can fill a disk, or push out what else was written.
#[derive(Clone, Debug)]
pub struct Sampling {
    limit: RateLimit<()>,
    left_out: u64,
}

impl Sampling {
    /// Writes down `burst` at once after a rest, then one per `every`.
    pub fn new(every: Duration, burst: u32) -> Self {
        Self { limit: RateLimit::new(every, burst), left_out: 0 }
    }

    /// Whether to write down what happened now: then how many were left out before it.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        if self.limit.check((), now).is_err() {
            self.left_out += 1;
            return None;
        }
        self.limit.record((), now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Default for Sampling {
    /// Ten at once, then one every ten seconds.
    fn default() -> Self {
        Self::new(Duration::from_secs(10), 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn admit(limit: &mut RateLimit<u8>, now: Instant) -> Result<(), Duration> {
        limit.check(0, now).inspect(|()| limit.record(0, now))
    }

    #[test]
    fn three_at_once_then_one_every_ten_seconds() {
        let (mut limit, t) = (RateLimit::new(S(10), 3), start());
        for _ in 0..3 {
            assert_eq!(admit(&mut limit, t), Ok(()));
        }
        assert_eq!(admit(&mut limit, t), Err(S(10)));
        assert_eq!(admit(&mut limit, t + S(10) - Duration::from_millis(1)), Err(Duration::from_millis(1)));
        assert_eq!(admit(&mut limit, t + S(10)), Ok(()));
        assert_eq!(admit(&mut limit, t + S(11)), Err(S(9)));
        assert_eq!(limit.check(1, t + S(11)), Ok(()), "another address is not touched");
    }

    #[test]
    fn refused_tries_never_extend_the_wait() {
        let (mut limit, t) = (RateLimit::new(S(10), 1), start());
        admit(&mut limit, t).unwrap();
        for ms in 0..1_000 {
            assert!(admit(&mut limit, t + Duration::from_millis(ms)).is_err());
        }
        assert_eq!(admit(&mut limit, t + S(10)), Ok(()));
    }

    #[test]
    fn a_flood_leaves_some_lines_and_a_count() {
        let (mut sampling, t) = (Sampling::default(), start());
        let taken: Vec<u64> =
            (0..1_000_000u64).filter_map(|n| sampling.take(t + Duration::from_micros(20 * n))).collect();
        assert_eq!(taken.len(), 10 + 1, "20 s of 50 000 per s");
        assert_eq!((taken[9], taken[10]), (0, 500_000 - 10));
    }

    proptest! {
        #[test]
        fn ten_seconds_apart_always_works(gaps in proptest::collection::vec(10_000u64..30_000, 1..50), burst in 1u32..5) {
            let (mut limit, mut now) = (RateLimit::new(S(10), burst), start());
            for gap in gaps {
                prop_assert_eq!(admit(&mut limit, now), Ok(()));
                now += Duration::from_millis(gap);
            }
        }

        #[test]
        fn no_schedule_gets_more_than_burst_and_rate_allow(gaps in proptest::collection::vec(0u64..12_000, 1..100)) {
            let (mut limit, first) = (RateLimit::new(S(10), 3), start());
            let (mut now, mut admitted) = (first, 0);
            for gap in gaps {
                now += Duration::from_millis(gap);
                admitted += u64::from(admit(&mut limit, now).is_ok());
                prop_assert!(admitted <= 3 + (now - first).as_secs() / 10);
            }
        }
    }
}
