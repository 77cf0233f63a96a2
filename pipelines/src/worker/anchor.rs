//! Where one input's own timeline lies on the wall clock. Pure.
//!
//! `offset = arrival - dts`, taken from the earliest unit of the first [`SETTLE`] and then frozen: the least delayed unit
//! tells most about the source's clock. A replay, in which every unit is earlier than the one before it, is waited out.
//! Both tracks of an input share it, and that keeps its lip sync. Afterwards it only
//! - moves in steps of [`NUDGE`] per [`WINDOW`] when a whole window arrived early or late (clocks drift by tens of ppm),
//! - is taken anew when a unit is later than [`LATE`] or earlier than [`EARLY`], or decoding times go back by more than [`BACK`]:
//!   the source restarted or its clock jumped.

/// How long after its first unit an offset follows the earliest arrival, nanoseconds.
pub const SETTLE: i64 = 100_000_000;
/// A unit of a replay is earlier than the one before it by at least this, nanoseconds: less than a frame of any source.
const REPLAY: i64 = 5_000_000;
/// A unit later than this moves the anchor, nanoseconds.
pub const LATE: i64 = 1_500_000_000;
/// A unit earlier than this moves the anchor, nanoseconds.
pub const EARLY: i64 = 2_000_000_000;
/// Decoding times only rise; a step back by more than this is no rounding but another timeline, nanoseconds.
const BACK: i64 = 250_000_000;
/// Period of the drift correction, nanoseconds.
const WINDOW: i64 = 10_000_000_000;
/// Drift below this is jitter, nanoseconds.
const DEAD_ZONE: i64 = 30_000_000;
/// Largest correction per window, nanoseconds: 400 ppm, twice what a bad clock drifts.
const NUDGE: i64 = 4_000_000;

/// The mapping of one input's timeline to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    offset: i64,
    last: i64,
    set_at: i64,
    window_end: i64,
    least_lateness: i64,
    phased: bool,
}

impl Anchor {
    /// Takes the offset from a unit that arrives `now`.
    pub fn new(now: i64, dts: i64) -> Self {
        Self {
            offset: now - dts,
            last: dts,
            set_at: now,
            window_end: now + WINDOW,
            least_lateness: i64::MAX,
            phased: false,
        }
    }

    /// Follows a further unit; `true` when the anchor was taken anew and all that was mapped before is void. A unit is as late as it
    /// likes while it is there within `shown_after` nanoseconds of its due arrival, when it is shown.
    pub fn arrived(&mut self, now: i64, dts: i64, shown_after: i64) -> bool {
        let lateness = now - (dts + self.offset);
        if !(-EARLY..=LATE.max(shown_after)).contains(&lateness) || dts < self.last - BACK {
            *self = Self::new(now, dts);
            return true;
        }
        self.last = dts;
        if !self.settled(now) {
            self.offset += lateness.min(0);
            if lateness <= -REPLAY {
                self.set_at = now;
            }
            return false;
        }
        self.least_lateness = self.least_lateness.min(lateness);
        if now >= self.window_end {
            if self.least_lateness.abs() > DEAD_ZONE {
                self.offset += self.least_lateness.clamp(-NUDGE, NUDGE);
            }
            self.window_end = now + WINDOW;
            self.least_lateness = i64::MAX;
        }
        false
    }

    /// The offset no longer follows single arrivals.
    pub fn settled(&self, now: i64) -> bool {
        now - self.set_at >= SETTLE
    }

    /// When its first unit came, or the latest one of a replay.
    pub fn taken_at(&self) -> i64 {
        self.set_at
    }

    /// Wall clock of a source time, nanoseconds since 1970.
    pub fn wall(&self, source: i64) -> i64 {
        source + self.offset
    }

    /// Source time of a wall clock time.
    pub fn source(&self, wall: i64) -> i64 {
        wall - self.offset
    }

    /// Moves a settled offset back by `phase(first picture)` nanoseconds, once: pictures of a source with the output's frame rate
    /// then lie exactly on slot starts, in the middle of the window they are picked from, where timestamp rounding
    /// cannot push them into a neighbour's slot.
    pub fn phase_once(&mut self, now: i64, phase: impl FnOnce() -> i64) {
        if !self.phased && self.settled(now) {
            self.phased = true;
            self.offset -= phase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_replayed_burst_is_anchored_by_its_newest_unit() {
        let mut anchor = Anchor::new(5_000 * MS, 0);
        for frame in 1..60 {
            assert!(!anchor.arrived(5_001 * MS, frame * 33 * MS, 0));
        }
        assert_eq!(anchor.wall(59 * 33 * MS), 5_001 * MS);
    }

    #[test]
    fn a_slow_replay_is_waited_out() {
        let mut anchor = Anchor::new(5_000 * MS, 0);
        // 8 s of 30 fps in half a second, then live.
        for frame in 1..240 {
            assert!(!anchor.arrived((5_000 + frame * 2) * MS, frame * 33 * MS, 0));
        }
        let live = 5_000 + 240 * 2;
        assert!(!anchor.arrived((live + 33) * MS, 240 * 33 * MS, 0));
        assert!(anchor.settled((live + 100) * MS));
        assert!((anchor.wall(240 * 33 * MS) - live * MS).abs() <= 33 * MS);
    }

    #[test]
    fn jitter_after_settling_moves_nothing() {
        let mut anchor = Anchor::new(0, 0);
        for frame in 1..3_000i64 {
            let jitter = if frame % 7 == 0 { -20 } else { 60 };
            assert!(!anchor.arrived((frame * 40 + 200 + jitter) * MS, (frame * 40 + 200) * MS, 0));
        }
        assert_eq!(anchor.wall(0), 0);
    }

    #[test]
    fn drift_is_followed_slowly() {
        let mut anchor = Anchor::new(0, 0);
        // 50 ppm for two hours: 360 ms in all.
        for frame in 1..180_000i64 {
            let dts = frame * 40 * MS;
            assert!(!anchor.arrived(dts + dts / 20_000, dts, 0));
        }
        let error = 7_200_000 * MS / 20_000 - anchor.wall(0);
        assert!((0..=DEAD_ZONE + NUDGE).contains(&error), "{error}");
    }

    #[test]
    fn only_a_jump_beyond_the_limits_takes_the_anchor_anew() {
        let mut anchor = Anchor::new(0, 0);
        assert!(!anchor.arrived(3_000 * MS, 1_600 * MS, 0));
        assert!(!anchor.arrived(3_000 * MS, 4_900 * MS, 0));
        let mut anchor = Anchor::new(0, 0);
        assert!(anchor.arrived(3_000 * MS, 1_400 * MS, 0));
        assert_eq!(anchor.wall(1_400 * MS), 3_000 * MS);
        assert!(anchor.arrived(3_100 * MS, 900_000 * MS, 0));
        assert_eq!(anchor.wall(900_000 * MS), 3_100 * MS);
    }

    #[test]
    fn decoding_times_that_go_back_take_the_anchor_anew() {
        let mut anchor = Anchor::new(0, 0);
        assert!(!anchor.arrived(1_000 * MS, 1_000 * MS, 0));
        assert!(!anchor.arrived(1_040 * MS, 990 * MS, 0));
        assert!(anchor.arrived(1_080 * MS, 600 * MS, 0));
    }

    #[test]
    fn the_phase_is_applied_once_and_only_when_settled() {
        let mut anchor = Anchor::new(0, 0);
        anchor.phase_once(50 * MS, || 7);
        assert_eq!(anchor.wall(0), 0);
        anchor.phase_once(150 * MS, || 7);
        anchor.phase_once(151 * MS, || 7);
        assert_eq!(anchor.wall(0), -7);
    }
}
