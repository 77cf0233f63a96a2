//! When a worker that has input counts as hung and is killed.
//!
//! A worker reports 4 times a second, and once it decodes pictures its output advances, holding the last picture when
//! need be. So with input it is hung when, for `limit`, either no report came, or pictures were decoded and nothing
//! new came out. A starting worker has `grace` for its first report; one that waits for its first keyframe is not hung. Where the output
//! runs behind its input by a delay, what is decoded first comes out that much later.

use std::time::{Duration, Instant};

/// The numbers of the rule.
#[derive(Clone, Copy, Debug)]
pub struct HangPolicy {
    /// Longest time with input and without a new part.
    pub limit: Duration,
    /// Longest time from start to the first report: loading GStreamer on a busy machine.
    pub grace: Duration,
}

impl Default for HangPolicy {
    fn default() -> Self {
        Self { limit: Duration::from_secs(2), grace: Duration::from_secs(6) }
    }
}

/// Watches one run of a worker.
#[derive(Clone, Debug)]
pub struct Hang {
    policy: HangPolicy,
    /// By how much later than decoded the first picture comes out, until it has.
    head_start: Duration,
    started: Instant,
    /// Since when there is input.
    input: Option<Instant>,
    last_report: Option<Instant>,
    /// Since when pictures are decoded, or when the output last advanced after that.
    last_progress: Option<Instant>,
    frames: u64,
}

impl Hang {
    /// A worker was started at `now` whose output runs behind its input by `delay`; `input` says whether media is arriving for it.
    pub fn new(policy: HangPolicy, delay: Duration, input: bool, now: Instant) -> Self {
        let input = input.then_some(now);
        Self { policy, head_start: delay, started: now, input, last_report: None, last_progress: None, frames: 0 }
    }

    /// Media began or stopped to arrive.
    pub fn on_input(&mut self, input: bool, now: Instant) {
        self.input = input.then(|| self.input.unwrap_or(now));
    }

    /// A report came: pictures `decoded` so far in all open inputs, output `frames` so far.
    pub fn on_report(&mut self, decoded: u64, frames: u64, now: Instant) {
        self.last_report = Some(now);
        if frames > self.frames || (self.last_progress.is_none() && decoded > 0) {
            self.last_progress = Some(now);
        }
        if frames > self.frames {
            self.head_start = Duration::ZERO;
        }
        self.frames = frames;
    }

    /// A part or segment came out.
    pub fn on_part(&mut self, now: Instant) {
        (self.last_report, self.last_progress, self.head_start) = (Some(now), Some(now), Duration::ZERO);
    }

    /// When it will count as hung if nothing more comes; `None` without input.
    pub fn deadline(&self) -> Option<Instant> {
        let input = self.input?;
        let within_limit = |at: Instant| at.max(input) + self.policy.limit;
        let reports = self.last_report.map_or(self.started + self.policy.grace, within_limit);
        let progress = self.last_progress.map(|at| within_limit(at) + self.head_start);
        Some(progress.map_or(reports, |progress| progress.min(reports)))
    }

    /// It counts as hung.
    pub fn is_hung(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn no_part_for_two_seconds_with_input_is_a_hang() {
        let t = start();
        let mut hang = Hang::new(HangPolicy::default(), Duration::ZERO, true, t);
        hang.on_report(1, 10, t + MS(1_000));
        for ms in (1_250..3_000).step_by(250) {
            hang.on_report(1, 10, t + MS(ms)); // reports go on, output does not
        }
        assert!(!hang.is_hung(t + MS(2_999)));
        assert!(hang.is_hung(t + MS(3_000)));
    }

    #[test]
    fn a_silent_worker_is_hung_even_before_it_decoded_anything() {
        let t = start();
        let mut hang = Hang::new(HangPolicy::default(), Duration::ZERO, true, t);
        assert_eq!(hang.deadline(), Some(t + MS(6_000)), "grace for the first report");
        hang.on_report(0, 0, t + MS(500));
        assert_eq!(hang.deadline(), Some(t + MS(2_500)));
    }

    #[test]
    fn waiting_for_a_keyframe_is_not_a_hang() {
        let t = start();
        let mut hang = Hang::new(HangPolicy::default(), Duration::ZERO, true, t);
        for ms in (0..20_000).step_by(250) {
            hang.on_report(0, 0, t + MS(ms));
            assert!(!hang.is_hung(t + MS(ms + 249)));
        }
    }

    #[test]
    fn without_input_nothing_is_a_hang_and_input_starts_the_clock() {
        let t = start();
        let mut hang = Hang::new(HangPolicy::default(), Duration::ZERO, false, t);
        hang.on_report(5, 5, t);
        assert_eq!(hang.deadline(), None);
        hang.on_input(true, t + MS(10_000));
        assert_eq!(hang.deadline(), Some(t + MS(12_000)));
        hang.on_input(true, t + MS(11_000));
        assert_eq!(hang.deadline(), Some(t + MS(12_000)), "still the same input");
        hang.on_part(t + MS(11_500));
        assert_eq!(hang.deadline(), Some(t + MS(13_500)));
    }

    #[test]
    fn a_delayed_output_has_that_much_longer_for_its_first_picture_only() {
        let t = start();
        let mut hang = Hang::new(HangPolicy::default(), MS(5_000), true, t);
        for ms in (1_000..7_800).step_by(250) {
            hang.on_report(1, 0, t + MS(ms));
        }
        assert_eq!(hang.deadline(), Some(t + MS(8_000)), "decoded at 1 s");
        hang.on_report(1, 1, t + MS(7_900));
        assert_eq!(hang.deadline(), Some(t + MS(9_900)));
        let silent = Hang::new(HangPolicy::default(), MS(5_000), true, t);
        assert_eq!(silent.deadline(), Some(t + MS(6_000)), "reports are not delayed");
    }
}
