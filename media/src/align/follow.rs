//! The offset between two timelines as it is used: a line over time that bends, and never steps.
//!
//! Clocks of two encoders differ, so their offset moves; 200 ppm are 0.72 s in an hour. Each measurement corrects the line's slope, by the
//! rule of a phase-locked loop: a part of the error is worked off over the next seconds, and a part is taken as drift. So what
//! is on air can follow it sample by sample.

/// Time in which an error is worked off, nanoseconds.
const TIME_CONSTANT: f64 = 8e9;
/// Largest drift that is believed: two clocks of 200 ppm each, one fast, one slow.
const MOST_DRIFT: f64 = 400e-6;
/// Fastest correction on top of the drift: 0.2 ms in a second, a third of a cent in pitch.
const SLEW: f64 = 200e-6;

/// An offset over time. Times and offsets are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    at: i64,
    offset: i64,
    drift: f64,
    /// Error still to be worked off at `at`.
    error: f64,
}

impl Line {
    /// A line through one measurement.
    pub fn new(at: i64, offset: i64, drift: f64) -> Self {
        Self { at, offset, drift: drift.clamp(-MOST_DRIFT, MOST_DRIFT), error: 0.0 }
    }

    /// The offset at `time`. Continuous; its slope stays within 600 ppm.
    pub fn value(&self, time: i64) -> i64 {
        let elapsed = (time - self.at) as f64;
        self.offset + (self.drift * elapsed + self.error * (elapsed / TIME_CONSTANT).clamp(0.0, 1.0)).round() as i64
    }

    /// Nanoseconds by which the offset grows per nanosecond, in the long run.
    pub fn drift(&self) -> f64 {
        self.drift
    }

    /// How far a measurement that holds for `at` lies above the line, seen from `now`.
    pub fn error(&self, now: i64, at: i64, measured: i64) -> i64 {
        let aged = measured + (self.drift * (now - at) as f64).round() as i64;
        aged - self.value(now)
    }

    /// Bends the line from `now` on towards a measurement that holds for `at`.
    pub fn bend(&mut self, now: i64, at: i64, measured: i64) {
        let error = self.error(now, at, measured) as f64;
        // Critical damping: the gain on the drift is a quarter of the square of that on the offset.
        let learnt = error * (now - self.at) as f64 / (4.0 * TIME_CONSTANT * TIME_CONSTANT);
        self.offset = self.value(now);
        self.at = now;
        self.drift = (self.drift + learnt).clamp(-MOST_DRIFT, MOST_DRIFT);
        self.error = error.clamp(-SLEW * TIME_CONSTANT, SLEW * TIME_CONSTANT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    /// Follows a true offset that is measured every 2 s over the 10 s before; returns the largest error after `settle` seconds.
    fn follow(mut line: Line, settle: i64, truth: impl Fn(i64) -> i64) -> i64 {
        let mut worst = 0;
        for now in (1..1_800).map(|k| 2 * k * SECOND) {
            let before = line.value(now);
            line.bend(now, now - 5 * SECOND, truth(now - 5 * SECOND));
            assert_eq!(line.value(now), before, "a step at {now}");
            for time in (now..now + 2 * SECOND).step_by(SECOND as usize / 10) {
                let slope = (line.value(time + SECOND / 10) - line.value(time)) as f64 / (SECOND / 10) as f64;
                assert!(slope.abs() <= MOST_DRIFT + SLEW + 1e-7, "{slope}");
                if time > settle * SECOND {
                    worst = worst.max((line.value(time) - truth(time)).abs());
                }
            }
        }
        worst
    }

    #[test]
    fn steady_drift_is_followed_without_error() {
        for ppm in [-200, -50, 50, 200] {
            let truth = |time: i64| 7 * SECOND + time / 1_000_000 * ppm;
            let known = follow(Line::new(0, truth(0), ppm as f64 * 1e-6), 0, truth);
            assert!(known < MS / 100, "{ppm} ppm: {known} ns");
            let learnt = follow(Line::new(0, truth(0), 0.0), 120, truth);
            assert!(learnt < MS / 10, "{ppm} ppm: {learnt} ns");
        }
    }

    #[test]
    fn drift_that_is_unknown_at_first_costs_little() {
        let worst = follow(Line::new(0, 0, 170e-6), 0, |time| time / 1_000_000 * 200);
        assert!(worst < MS, "{worst} ns");
    }

    #[test]
    fn an_error_of_four_milliseconds_is_worked_off_slowly_and_without_ringing() {
        let mut line = Line::new(0, 0, 0.0);
        let mut highest = 0;
        for now in (1..200).map(|k| 2 * k * SECOND) {
            line.bend(now, now - 5 * SECOND, 4 * MS);
            highest = highest.max(line.value(now));
        }
        assert!((line.value(400 * SECOND) - 4 * MS).abs() < MS / 10);
        assert!(highest < 6 * MS, "{highest}");
    }

    #[test]
    fn without_measurements_only_the_drift_goes_on() {
        let mut line = Line::new(0, 0, 0.0);
        line.bend(2 * SECOND, 0, MS);
        let drift = line.drift();
        let (from, to) = (line.value(20 * SECOND), line.value(120 * SECOND));
        assert!(((to - from) as f64 - drift * 100e9).abs() < 10.0);
    }
}
