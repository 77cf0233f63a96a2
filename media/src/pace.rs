//! When units that come in bursts are released: at the pace of their own clock, as a live source would have sent them.
//!
//! [`Pace`] is the rule: it maps decoding times to instants by an *anchor*, a decoding time and when it was released. [`Buffer`] holds the
//! units that wait and asks the rule.
//!
//! The first picture is the anchor. A picture that is released over [`LATE`] after its time (the source stalled) is the next: were the rest of
//! a late burst released at once, the next segment would be as late again. Source and server count seconds differently, so the amount that
//! waits is compared with what waited first: time runs up to [`MOST_PPM`] faster or slower to bring it back. What is far over that, because
//! a source caught up after a stall or runs away, is skipped up to a keyframe.
//!
//! Only pictures move the anchor. Sound is released by it.

mod buffer;

use std::time::{Duration, Instant};

pub use self::buffer::Buffer;
use crate::time::Timestamp;

/// Longest that a picture is late before the rest is late with it. A worker hides less.
pub const LATE: Duration = Duration::from_millis(500);
/// Largest correction of the pace, millionths: one that is neither heard nor seen.
pub const MOST_PPM: i64 = 500;
/// Nanoseconds too much or too little that are answered by one millionth: half a second by all of it.
const PER_PPM: i128 = 1_000_000;
const MILLION: i128 = 1_000_000;

/// The rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    anchor: Option<Anchor>,
    /// By how many millionths time runs faster.
    ppm: i64,
    /// What waited when the source had no more to give for the first time, nanoseconds.
    usual: Option<i128>,
}

/// This decoding time is due at this instant.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    dts: i128,
    at: Instant,
}

impl Pace {
    /// When a unit is due; `None` when nothing says so, which means at once.
    pub fn due(&self, dts: Timestamp) -> Option<Instant> {
        let Anchor { dts: begin, at } = self.anchor?;
        let after = (nanos(dts) - begin) * MILLION / (MILLION + i128::from(self.ppm));
        let length = Duration::from_nanos(u64::try_from(after.unsigned_abs()).unwrap_or(u64::MAX));
        // What lies outside of all instants is due now or never; no source reaches it.
        if after < 0 { at.checked_sub(length) } else { at.checked_add(length) }
    }

    /// A picture is released.
    pub fn released(&mut self, dts: Timestamp, now: Instant) {
        if self.due(dts).is_none_or(|due| now > due + LATE) {
            self.anchor = Some(Anchor { dts: nanos(dts), at: now });
        }
    }

    /// How much waits, nanoseconds, when `newest` is the last picture's time; `None` before the first is released.
    pub fn waiting(&self, newest: Timestamp, now: Instant) -> Option<i128> {
        self.anchor.map(|anchor| nanos(newest) - self.playing(&anchor, now))
    }

    /// The source has no more to give just now: corrects the pace.
    pub fn steer(&mut self, newest: Timestamp, now: Instant) {
        let (Some(anchor), Some(waiting)) = (self.anchor, self.waiting(newest, now)) else { return };
        let excess = waiting - *self.usual.get_or_insert(waiting);
        self.anchor = Some(Anchor { dts: self.playing(&anchor, now), at: now });
        self.ppm = (excess / PER_PPM).clamp(-i128::from(MOST_PPM), MOST_PPM.into()) as i64;
    }

    /// The decoding time that should be released next, when more than `most` waits beyond what usually does.
    pub fn skip_to(&self, newest: Timestamp, most: Duration, now: Instant) -> Option<Timestamp> {
        let usual = self.usual?;
        let far = self.waiting(newest, now)? > usual + most.as_nanos() as i128;
        // A time between two known ones, so it fits.
        far.then(|| Timestamp::from_nanos((nanos(newest) - usual) as i64))
    }

    /// What usually waits, nanoseconds; zero while that is not known.
    pub fn usual(&self) -> i128 {
        self.usual.unwrap_or(0)
    }

    /// A picture was released, and says when the others are due.
    pub fn is_anchored(&self) -> bool {
        self.anchor.is_some()
    }

    /// The next picture is the anchor.
    pub fn restart(&mut self) {
        self.anchor = None;
    }

    /// The decoding time that is due now.
    fn playing(&self, anchor: &Anchor, now: Instant) -> i128 {
        let since = |earlier: Instant, later: Instant| later.saturating_duration_since(earlier).as_nanos() as i128;
        // One of both is zero.
        let passed = since(anchor.at, now) - since(now, anchor.at);
        anchor.dts + passed * (MILLION + i128::from(self.ppm)) / MILLION
    }
}

fn nanos(time: Timestamp) -> i128 {
    time.as_nanos().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::some_instant;

    struct Clock(Instant);

    impl Clock {
        fn at(&self, micros: u64) -> Instant {
            self.0 + Duration::from_micros(micros)
        }
    }

    fn dts(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A rule whose first picture, of time 1000 ms, was released at the begin.
    fn anchored() -> (Pace, Clock) {
        let (mut pace, clock) = (Pace::default(), Clock(some_instant()));
        pace.released(dts(1000), clock.at(0));
        (pace, clock)
    }

    #[test]
    fn units_are_due_at_the_pace_of_their_own_clock() {
        let (pace, clock) = anchored();
        assert_eq!(pace.due(dts(1000)), Some(clock.at(0)));
        assert_eq!(pace.due(dts(1040)), Some(clock.at(40_000)));
        assert_eq!(pace.due(dts(3_601_000)), Some(clock.at(3_600_000_000)));
        assert_eq!(Pace::default().due(dts(0)), None);
    }

    #[test]
    fn a_picture_that_is_a_little_late_moves_nothing_and_a_later_one_is_the_new_anchor() {
        let (mut pace, clock) = anchored();
        pace.released(dts(1040), clock.at(540_000));
        assert_eq!(pace.due(dts(1080)), Some(clock.at(80_000)));
        pace.released(dts(1080), clock.at(580_001));
        assert_eq!(pace.due(dts(1120)), Some(clock.at(620_001)));
    }

    #[test]
    fn what_waits_beyond_the_usual_makes_time_run_faster_and_what_is_missing_slower() {
        let (mut pace, clock) = anchored();
        // 6 s wait at first.
        pace.steer(dts(7000), clock.at(0));
        assert_eq!(pace.waiting(dts(7000), clock.at(0)), Some(6_000_000_000));
        assert_eq!(pace.due(dts(1_001_000)), Some(clock.at(1_000_000_000)));
        // 200 ms more: 200 ppm.
        pace.steer(dts(11_200), clock.at(4_000_000));
        assert_eq!(pace.due(dts(5000)), Some(clock.at(4_000_000)), "there is no step");
        assert_eq!(pace.due(dts(5000 + 100_020)), Some(clock.at(104_000_000)));
        // 300 ms less than the usual, from a moment on that is on time.
        let now = clock.at(104_000_000);
        pace.steer(dts(105_020 + 5700), now);
        assert_eq!(pace.due(dts(105_020 + 9997)), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn a_correction_is_at_most_500_millionths() {
        let (mut pace, clock) = anchored();
        pace.steer(dts(7000), clock.at(0));
        pace.steer(dts(70_000), clock.at(0));
        assert_eq!(pace.due(dts(1000 + 10_005)), Some(clock.at(10_000_000)));
        pace.steer(dts(1000), clock.at(0));
        assert_eq!(pace.due(dts(1000 + 9995)), Some(clock.at(10_000_000)));
    }

    #[test]
    fn only_what_is_far_over_the_usual_is_skipped() {
        let (mut pace, clock) = anchored();
        let most = Duration::from_secs(18);
        assert_eq!(pace.skip_to(dts(90_000), most, clock.at(0)), None, "what is usual is not known");
        pace.steer(dts(13_000), clock.at(0));
        assert_eq!(pace.skip_to(dts(31_000), most, clock.at(0)), None);
        assert_eq!(pace.skip_to(dts(31_001), most, clock.at(0)), Some(dts(19_001)));
    }
}
