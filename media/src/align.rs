//! Content alignment: how far apart two inputs of one programme are, measured by their sound.
//!
//! Two encoders of one programme differ in timestamps, arrival, codec, level and clock. A switch between them is only
//! seamless when the same instant of the programme is known on both timelines. This module measures it, and rather
//! refuses than guesses: a wrong alignment is worse on air than none.
//!
//! ```text
//! 48 kHz blocks ─▶ Tap a ─┐  8 kHz mono, the newest seconds
//!                         ├─ take ─▶ Correlator ─▶ tests ─▶ Lock ─▶ State
//! 48 kHz blocks ─▶ Tap b ─┘          GCC-PHAT      refuse    searching, candidate, locked, lost
//! ```
//!
//! **Method.** Every second of sound (half of one while windows grow, two when locked) the newest window of both taps is correlated by
//! the generalised cross-correlation with phase transform (`correlate`). The peak is a claim, which must pass six tests (`estimate`):
//! sound is there, it is not tonal, the peak stands out, no other peak comes near, the waveforms are alike at it, and
//! they are not nearly as alike anywhere else. Claims that agree over a second make a lock (`lock`); from then on the
//! offset is a line over time that bends but never steps (`follow`).
//!
//! **Windows.** The first measurement waits for 1.2 times the search range, at least 4 s: a lag that is not searched cannot be
//! told from its alias, so a loop would pass for a match. Windows then grow with what is there to 10 s, or twice the range.
//! Unlocked, the newest sound of both is compared, so the range is the largest difference in *arrival*. Locked, the
//! windows are cut along the lock.
//!
//! **Times** are numbers of 48 kHz samples on each source's own timeline when they enter, nanoseconds on the same timelines
//! when they leave. Nothing depends on how the caller maps a source to its clock, so moving an input moves no lock. With
//! `wall = source + mapping` for each input, b is in step with a when `mapping_b = mapping_a - offset_at(source_a)`.
//! Progress is counted in sound, not in time: an input that stands still takes no lock away.
//!
//! **Limits.** Sound says nothing about a picture that is not in step with it. A jump within one source is noticed by
//! what is heard after it: measured, the old lock ends 8 to 11 s later, the new one stands 2 s after that. A loop longer than
//! the range, delivered with a lag outside the range, looks like one within.
//!
//! **Cost** per pair at the default range, measured: 4.6 ms of CPU per measurement, 0.2 % of a core, 0.9 % while windows grow; 0.02 % for each tap; 0.5 MB for
//! each tap and 4 MB for the aligner, which can be kept for the next pair.

mod correlate;
mod estimate;
mod follow;
mod likeness;
mod lock;
mod tap;

use std::time::Duration;

use crate::grid::SAMPLE_RATE;
use correlate::Correlator;
pub use estimate::Refusal;
use estimate::{Match, estimate};
use lock::Lock;
pub use lock::{Alignment, Offset, State};
pub use tap::Tap;
use tap::{DECIMATION, RATE};

/// Time between two measurements without a lock, or with one in doubt, in 48 kHz samples.
const HOP: i64 = SAMPLE_RATE as i64;
/// The same while windows grow: each has clearly more in common than the one before, where the inputs are far apart.
const FIRST_HOP: i64 = SAMPLE_RATE as i64 / 2;
/// Time between two measurements of a confirmed lock, in 48 kHz samples.
const LOCKED_HOP: i64 = 2 * SAMPLE_RATE as i64;

/// How far apart in arrival two inputs may be and still be aligned. Sets windows, memory and time to lock with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchRange(Duration);

impl SearchRange {
    /// Smallest range.
    pub const LEAST: Duration = Duration::from_millis(500);
    /// Largest range.
    pub const MOST: Duration = Duration::from_secs(10);

    /// A range either way; `None` outside [`Self::LEAST`] to [`Self::MOST`].
    pub fn new(range: Duration) -> Option<Self> {
        (Self::LEAST..=Self::MOST).contains(&range).then_some(Self(range))
    }

    /// Largest lag either way, in samples of a tap.
    fn lags(self) -> usize {
        (self.0.as_millis() as usize * RATE as usize) / 1_000
    }

    /// Shortest window, in samples of a tap: every lag in range leaves a sixth of it as overlap.
    fn least_window(self) -> usize {
        (self.lags() * 6 / 5).max(4 * RATE as usize)
    }

    /// Longest window, in samples of a tap: every lag in range leaves half of it as overlap.
    fn window(self) -> usize {
        (self.lags() * 2).max(10 * RATE as usize)
    }

    /// What a tap holds, in samples of it: a window, as far back as the other input may be late.
    fn history(self) -> usize {
        self.window() + self.lags() + RATE as usize
    }
}

impl Default for SearchRange {
    /// 5 s: locks 7 s after both inputs sound, 10 s where they have little in common yet.
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

/// The outcome of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// What this window alone says, offset at its middle.
    pub verdict: Result<Offset, Refusal>,
    /// What is held now, in the light of those before.
    pub state: State,
}

/// Aligns one pair of inputs. A new session of either input is a new pair: [`Aligner::restart`].
pub struct Aligner {
    range: SearchRange,
    correlator: Correlator,
    lock: Lock,
    windows: [Vec<f32>; 2],
    /// Start of each window, 48 kHz sample numbers.
    starts: [i64; 2],
    /// Where each tap ended when the last measurement was due, 48 kHz sample numbers.
    taken: Option<[i64; 2]>,
    /// Breaks of each tap so far.
    breaks: [u32; 2],
    /// Samples of a tap that a window may have: grows while the search goes on.
    allowed: usize,
}

impl Aligner {
    /// An aligner without knowledge. Plans its transforms, a few milliseconds.
    pub fn new(range: SearchRange) -> Self {
        let window = || Vec::with_capacity(range.window());
        Self {
            range,
            correlator: Correlator::new(range),
            lock: Lock::default(),
            windows: [window(), window()],
            starts: [0; 2],
            taken: None,
            breaks: [0; 2],
            allowed: range.least_window(),
        }
    }

    /// Forgets the pair, keeps the plans.
    pub fn restart(&mut self) {
        self.lock = Lock::default();
        self.taken = None;
        self.breaks = [0; 2];
        self.allowed = self.range.least_window();
    }

    /// What is held now.
    pub fn state(&self) -> State {
        self.lock.state()
    }

    /// Copies the windows when a measurement is due. Takes well under a millisecond, so that it can run under the lock that
    /// guards the taps, and [`Windows::measure`] outside it. Both taps must have this aligner's range.
    pub fn take(&mut self, a: &Tap, b: &Tap) -> Option<Windows<'_>> {
        let breaks = [a.breaks(), b.breaks()];
        if breaks != self.breaks {
            self.breaks = breaks;
            self.taken = None;
            self.lock.timeline_broke();
            self.allowed = self.range.least_window();
        }
        let ends = [a.end(), b.end()];
        let mut late = 0;
        if let Some(taken) = self.taken {
            let heard = (ends[0] - taken[0]).min(ends[1] - taken[1]);
            let hop = self.hop();
            if heard < hop {
                return None;
            }
            // Blocks end when they end; what this measurement is late does not delay the next.
            late = (heard - hop) % hop;
            self.allowed = self.range.window().min(self.allowed + ((heard - late) / DECIMATION) as usize);
        }
        let available = |ends: [i64; 2]| a.available(ends[0]).min(b.available(ends[1]));
        // A pair that has moved too far apart for its lock is compared afresh, which then ends the lock.
        let along = self.along_the_lock(ends).filter(|along| available(*along) >= self.range.least_window());
        let cut = along.unwrap_or(ends);
        if available(cut) < self.range.least_window() {
            return None;
        }
        self.taken = Some(ends.map(|end| end - late));
        let length = available(cut).min(self.allowed);
        for (side, tap) in [a, b].into_iter().enumerate() {
            self.starts[side] = tap.copy(cut[side], length, &mut self.windows[side]);
        }
        Some(Windows { aligner: self })
    }

    /// Sound between two measurements, 48 kHz samples.
    fn hop(&self) -> i64 {
        match self.lock.state() {
            State::Locked(_) if self.lock.confirmed() => LOCKED_HOP,
            State::Locked(_) => HOP,
            _ if self.allowed < self.range.window() => FIRST_HOP,
            _ => HOP,
        }
    }

    /// The newest instant of the programme that both have, by the lock.
    fn along_the_lock(&self, ends: [i64; 2]) -> Option<[i64; 2]> {
        let State::Locked(alignment) = self.lock.state() else { return None };
        let offset = samples(alignment.offset_at(nanos(ends[0])));
        let late = (ends[0] + offset - ends[1]).max(0);
        Some([ends[0] - late, ends[0] - late + offset])
    }
}

/// Windows that wait to be measured.
pub struct Windows<'a> {
    aligner: &'a mut Aligner,
}

impl Windows<'_> {
    /// Correlates, tests, and moves the lock. Milliseconds of CPU: hold no lock.
    pub fn measure(self) -> Measurement {
        let Aligner { correlator, lock, windows, starts, range, allowed, .. } = self.aligner;
        let length = windows[0].len() as i64;
        let verdict =
            estimate(correlator, &windows[0], &windows[1], range.lags()).map(|found| place(&found, *starts, length));
        let now = nanos(starts[0] + length * DECIMATION);
        let state = lock.on_verdict(now, verdict);
        if state == State::Lost {
            *allowed = range.least_window();
        }
        Measurement { verdict, state }
    }
}

/// A match of two windows, put on the timelines: it holds for the middle of their overlap.
fn place(found: &Match, starts: [i64; 2], length: i64) -> Offset {
    let tap_nanos = 1e9 / f64::from(RATE);
    let middle = (length as f64 - found.lag) / 2.0;
    Offset {
        at: nanos(starts[0]) + (middle * tap_nanos) as i64,
        nanos: nanos(starts[1]) - nanos(starts[0]) + (found.lag * tap_nanos) as i64,
        drift: found.drift,
        likeness: found.likeness,
        prominence: found.prominence,
    }
}

/// The source time of a 48 kHz sample number, nanoseconds.
fn nanos(sample: i64) -> i64 {
    (i128::from(sample) * 1_000_000_000).div_euclid(i128::from(SAMPLE_RATE)) as i64
}

/// The 48 kHz sample number nearest to a source time in nanoseconds.
fn samples(nanos: i64) -> i64 {
    (i128::from(nanos) * i128::from(SAMPLE_RATE) + 500_000_000).div_euclid(1_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_bounded() {
        let range = |ms| SearchRange::new(Duration::from_millis(ms));
        assert_eq!([499, 10_001].map(range), [None, None]);
        for ms in [500, 2_500, 5_000, 10_000] {
            let range = range(ms).unwrap();
            assert!(range.lags() < range.least_window() && range.least_window() <= range.window());
            assert!(range.window() + range.lags() <= range.history());
        }
        assert_eq!(SearchRange::default().lags(), 40_000);
    }

    #[test]
    fn sample_numbers_and_times_convert_both_ways() {
        for sample in [-48_001, -1, 0, 1, 47_999, 48_000 * 86_400 * 365] {
            assert_eq!(samples(nanos(sample)), sample);
        }
    }
}
