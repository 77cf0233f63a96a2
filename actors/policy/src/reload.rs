//! When files that may change under a running server are read again.
//!
//! Whoever watches them looks now and then and tells what it saw: a *stamp*, equal only where the files are the same. A change is taken up
//! when two looks in a row saw it, so that a pair of files which is being written is not read half-way. What could not be used is tried
//! again every [`RETRY_EVERY`], because not every cure shows in a stamp, and at once when the files change again.

use std::time::{Duration, Instant};

/// Between two tries of files that could not be used.
pub const RETRY_EVERY: Duration = Duration::from_secs(60);

/// The state of one set of files; `S` is their stamp.
#[derive(Clone, Debug)]
pub struct Reload<S> {
    used: S,
    seen: S,
    failed: Option<(S, Instant)>,
}

impl<S: Clone + PartialEq> Reload<S> {
    /// Files that are in use, with the stamp they had *before* they were read.
    pub fn new(used: S) -> Self {
        Self { seen: used.clone(), used, failed: None }
    }

    /// Takes what a look saw; true when the files are to be read now. Then [`Reload::taken`] or [`Reload::failed`] follows.
    pub fn look(&mut self, stamp: S, now: Instant) -> bool {
        let settled = stamp == self.seen;
        self.seen = stamp;
        if !settled || self.seen == self.used {
            return false;
        }
        self.failed.as_ref().is_none_or(|(stamp, at)| *stamp != self.seen || now >= *at + RETRY_EVERY)
    }

    /// The files that the last look saw are in use.
    pub fn taken(&mut self) {
        self.used = self.seen.clone();
        self.failed = None;
    }

    /// They cannot be used; true the first time for these files.
    pub fn failed(&mut self, now: Instant) -> bool {
        let before = self.failed.replace((self.seen.clone(), now));
        before.is_none_or(|(stamp, _)| stamp != self.seen)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_clock::start;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_change_is_taken_once_it_has_settled() {
        let now = start();
        let mut reload = Reload::new(1);
        assert!(!reload.look(1, now));
        assert!(!reload.look(2, now + SECOND), "may be half-way");
        assert!(!reload.look(3, now + SECOND * 2), "was half-way");
        assert!(reload.look(3, now + SECOND * 3));
        reload.taken();
        assert!(!reload.look(3, now + SECOND * 4));
    }

    #[test]
    fn what_cannot_be_used_is_tried_again_in_a_minute_or_when_it_changes() {
        let now = start();
        let mut reload = Reload::new(1);
        reload.look(2, now);
        assert!(reload.look(2, now));
        assert!(reload.failed(now));
        assert!(!reload.look(2, now + RETRY_EVERY - Duration::from_nanos(1)));
        assert!(reload.look(2, now + RETRY_EVERY));
        assert!(!reload.failed(now + RETRY_EVERY), "told already");
        assert!(!reload.look(3, now + RETRY_EVERY + SECOND));
        assert!(reload.look(3, now + RETRY_EVERY + SECOND * 2));
        assert!(reload.failed(now + RETRY_EVERY + SECOND * 2));
    }

    #[test]
    fn files_that_are_put_back_are_in_use_already() {
        let now = start();
        let mut reload = Reload::new(1);
        reload.look(2, now);
        assert!(reload.look(2, now));
        reload.failed(now);
        assert!(!reload.look(1, now + SECOND) && !reload.look(1, now + RETRY_EVERY * 2));
    }

    proptest! {
        #[test]
        fn the_last_change_is_always_taken_and_nothing_is_read_twice_for_nothing(stamps in prop::collection::vec(0u8..4, 1..60)) {
            let now = start();
            let mut reload = Reload::new(0u8);
            let mut used = 0;
            let last = *stamps.last().unwrap();
            for (second, stamp) in (0..).zip(stamps.into_iter().chain([last, last])) {
                if reload.look(stamp, now + SECOND * second) {
                    prop_assert_ne!(used, stamp);
                    used = stamp;
                    reload.taken();
                }
            }
            prop_assert_eq!(used, last);
        }
    }
}
