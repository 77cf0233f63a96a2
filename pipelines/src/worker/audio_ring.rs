//! Decoded audio of one input, addressed by sample number on the input's own timeline. Pure.
//!
//! Writing: a block whose timestamp is within [`TOLERANCE`] of where the last one ended is simply appended (containers round to a
//! millisecond), and a skew that stays is worked off by single samples; a hole becomes silence, an overlap is cut away. Where an overlap
//! follows a hole, it was the timestamps that jumped: a busy encoder gives late sound the time of its latest picture. The silence is taken
//! out again as far as nobody has heard it.
//! Reading: the reader walks on sample by sample even where nothing is there; a wish that is off by less than [`TOLERANCE`] is approached
//! by playing up to one part in [`SLEW`] faster or slower, so nothing jumps on air; a larger one is a jump. Who only passes by, and
//! is not heard, is always where it wishes.

use std::collections::VecDeque;
use std::ops::Range;

use weir_media::grid::SAMPLE_RATE;

/// One stereo sample.
pub type Sample = [f32; 2];

/// 40 ms: less is rounding or drift, more is a gap.
const TOLERANCE: i64 = SAMPLE_RATE as i64 / 25;
/// 1 ms: a smaller error is not corrected.
const DEAD_ZONE: i64 = SAMPLE_RATE as i64 / 1_000;
/// Sound is played at most this part faster or slower: 5 ms a second, which nobody hears.
const SLEW: i64 = 200;
/// 5 ms: a skew of timestamps against the sample count that is worth correcting.
const SKEW: i64 = SAMPLE_RATE as i64 / 200;
/// Longest hole that is filled; after a longer one the ring starts afresh.
const LONGEST_HOLE: i64 = SAMPLE_RATE as i64 * 2;
/// Most samples held: 13 s, the longest delay and what is decoded ahead, or what a worker that replaces another one has to catch up.
const CAPACITY: usize = SAMPLE_RATE as usize * 13;

/// The ring.
#[derive(Debug, Default)]
pub struct AudioRing {
    samples: VecDeque<Sample>,
    /// Number of `samples[0]`.
    first: i64,
    /// Number of the sample the reader takes next.
    cursor: Option<i64>,
    /// The reader goes where it wishes next.
    jumps: bool,
    /// Samples of silence that fill the latest hole, by number.
    hole: Range<i64>,
    /// Running mean of the timestamps' distance from the sample count, in samples.
    skew: f32,
}

/// The sample number of a source time in nanoseconds.
pub fn sample_number(source_ns: i64) -> i64 {
    ((i128::from(source_ns) * i128::from(SAMPLE_RATE) + 500_000_000).div_euclid(1_000_000_000)) as i64
}

impl AudioRing {
    /// Number of the sample behind the last one; `None` before the first block.
    pub fn end(&self) -> Option<i64> {
        (!self.samples.is_empty() || self.cursor.is_some()).then(|| self.first + self.samples.len() as i64)
    }

    /// Another second fits.
    pub fn has_room(&self) -> bool {
        self.samples.len() + SAMPLE_RATE as usize <= CAPACITY
    }

    /// Forgets everything: the source's timeline broke.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is read next starts where it is wished for, however near that is.
    pub fn jump(&mut self) {
        self.jumps = true;
    }

    /// Adds a decoded block that starts at sample number `at`.
    pub fn write(&mut self, at: i64, block: &[Sample]) {
        let mut block = block;
        let gap = match self.end() {
            Some(end) if at - end < -SKEW => at - end + self.close_hole(end - at),
            Some(end) => at - end,
            None => {
                self.first = at;
                0
            }
        };
        if !(-LONGEST_HOLE..=LONGEST_HOLE).contains(&gap) {
            self.samples.clear();
            self.first = at;
            self.skew = 0.0;
        } else if gap > TOLERANCE {
            self.hole = at - gap..at;
            self.samples.extend(std::iter::repeat_n([0.0; 2], gap as usize));
            self.skew = 0.0;
        } else if gap < -TOLERANCE {
            block = block.get(gap.unsigned_abs() as usize..).unwrap_or_default();
            self.skew = 0.0;
        } else {
            self.skew += (gap as f32 - self.skew) / 16.0;
            if self.skew > SKEW as f32 {
                if let Some(&sample) = block.first() {
                    self.samples.push_back(sample);
                }
            } else if self.skew < -SKEW as f32 {
                block = block.get(1..).unwrap_or_default();
            }
        }
        self.samples.extend(block);
        let excess = self.samples.len().saturating_sub(CAPACITY);
        self.samples.drain(..excess);
        self.first += excess as i64;
    }

    /// Takes up to `most` samples out of the latest hole, but none that were read; returns how many.
    fn close_hole(&mut self, most: i64) -> i64 {
        let Range { start, end } = self.hole.clone();
        let left = start.max(self.first).max(self.cursor.unwrap_or(start)).max(end - most);
        if left >= end {
            return 0;
        }
        self.samples.drain((left - self.first) as usize..(end - self.first) as usize);
        self.hole.end = left;
        end - left
    }

    /// Fills `out` with the samples that the clock wishes to start at `wish`; what is not there is zero.
    /// Returns which part of `out` is there.
    pub fn read(&mut self, wish: i64, out: &mut [Sample]) -> Range<usize> {
        out.fill([0.0; 2]);
        let len = out.len() as i64;
        let jumps = std::mem::take(&mut self.jumps);
        let cursor = self.cursor.filter(|_| !jumps);
        let (cursor, slew) = match cursor {
            Some(cursor) if len > 0 && (wish - cursor).abs() <= DEAD_ZONE => (cursor, 0),
            Some(cursor) if len > 0 && (wish - cursor).abs() <= TOLERANCE => {
                let most = (len / SLEW).max(1);
                (cursor, (wish - cursor).clamp(-most, most))
            }
            _ => (wish, 0),
        };
        let after = cursor + len + slew;
        let from = (self.first - cursor).clamp(0, out.len() as i64) as usize;
        let to = (self.first + self.samples.len() as i64 - cursor).clamp(from as i64, out.len() as i64) as usize;
        let skip = (cursor - self.first).max(0) as usize;
        if slew == 0 {
            for (target, sample) in out[from..to].iter_mut().zip(self.samples.iter().skip(skip)) {
                *target = *sample;
            }
        } else {
            let pace = (len + slew) as f32 / len as f32;
            for (i, target) in out[from..to].iter_mut().enumerate() {
                *target = self.between(skip as f32 + i as f32 * pace);
            }
        }
        let used = (after - self.first).clamp(0, self.samples.len() as i64);
        self.samples.drain(..used as usize);
        self.first += used;
        self.cursor = Some(after);
        from..to
    }

    /// The sound between two samples; behind the last one, that one.
    fn between(&self, place: f32) -> Sample {
        let at = |n: usize| self.samples.get(n).or(self.samples.back()).copied().unwrap_or_default();
        let (before, after, share) = (at(place as usize), at(place as usize + 1), place.fract());
        [0, 1].map(|channel| before[channel] + (after[channel] - before[channel]) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(from: i64, len: usize) -> Vec<Sample> {
        (from..from + len as i64).map(|s| [s as f32; 2]).collect()
    }

    #[test]
    fn rounded_timestamps_leave_the_samples_contiguous() {
        let mut ring = AudioRing::default();
        for k in 0..200i64 {
            let rounded_ms = (k * 1_024 * 1_000 / 48_000) * 1_000_000;
            ring.write(sample_number(rounded_ms), &ramp(k * 1_024, 1_024));
        }
        let mut out = vec![[0.0; 2]; 1_600];
        for k in 0..100i64 {
            assert_eq!(ring.read(k * 1_600, &mut out), 0..1_600);
            assert_eq!(out[0][0], (k * 1_600) as f32);
            assert_eq!(out[1_599][1], (k * 1_600 + 1_599) as f32);
        }
    }

    #[test]
    fn a_hole_becomes_silence_of_its_length() {
        let mut ring = AudioRing::default();
        ring.write(0, &ramp(1, 1_000));
        ring.write(4_000, &ramp(4_001, 1_000));
        let mut out = vec![[9.0; 2]; 5_000];
        assert_eq!(ring.read(0, &mut out), 0..5_000);
        assert_eq!((out[999][0], out[1_000][0], out[3_999][0], out[4_000][0]), (1_000.0, 0.0, 0.0, 4_001.0));
    }

    #[test]
    fn a_jump_of_timestamps_that_takes_itself_back_leaves_the_samples_contiguous() {
        // An FLV muxer under load: sound that is late has the time of the picture before it, until it has caught up.
        let seen = [21, 42, 64, 128, 128, 128, 149];
        let mut ring = AudioRing::default();
        for (k, ms) in (1i64..).zip(seen) {
            ring.write(sample_number(ms * 1_000_000), &ramp(k * 1_024, 1_024));
        }
        let mut out = vec![[0.0; 2]; 7 * 1_024 + 16];
        assert_eq!(ring.read(1_008, &mut out), 0..7 * 1_024 + 16);
        // But for what timestamps are rounded by.
        let silence = out.extract_if(.., |sample| sample[0] == 0.0).count();
        assert_eq!(silence, 16);
        assert!(out.iter().enumerate().all(|(n, sample)| sample[0] == (1_024 + n) as f32));
    }

    #[test]
    fn silence_that_was_heard_stays() {
        let mut ring = AudioRing::default();
        ring.write(0, &ramp(1, 1_024));
        ring.write(8_192, &ramp(8_193, 1_024));
        let mut out = vec![[0.0; 2]; 6_000];
        ring.read(0, &mut out);
        // 2,192 samples of the hole are left, and all of this block is said to have been there.
        ring.write(5_000, &ramp(9_217, 1_024));
        assert_eq!(ring.end(), Some(6_000 + 1_024));
        ring.read(6_000, &mut out);
        assert_eq!(out[0][0], 8_193.0);
    }

    #[test]
    fn a_constant_skew_of_timestamps_is_worked_off_by_single_samples() {
        let mut ring = AudioRing::default();
        ring.write(0, &ramp(0, 1_024));
        // 20 ms of skew that the tolerance hides.
        for k in 1..2_000i64 {
            ring.write(k * 1_024 + 960, &ramp(0, 1_024));
            let mut out = vec![[0.0; 2]; 1_024];
            ring.read((k - 1) * 1_024, &mut out);
        }
        let error = 2_000 * 1_024 + 960 - ring.end().unwrap();
        assert!((0..=SKEW + 60).contains(&error), "{error}");
    }

    #[test]
    fn a_missing_block_is_silence_and_late_samples_do_not_shift_time() {
        let mut ring = AudioRing::default();
        ring.write(0, &ramp(0, 480));
        let mut out = vec![[0.0; 2]; 480];
        assert_eq!(ring.read(0, &mut out), 0..480);
        assert!(ring.read(480, &mut out).is_empty());
        ring.write(480, &ramp(480, 960));
        assert_eq!(ring.read(960, &mut out), 0..480);
        assert_eq!(out[0][0], 960.0);
    }

    #[test]
    fn a_small_change_of_the_clock_is_approached_by_the_pace_and_a_large_one_at_once() {
        for change in [960, -960] {
            let mut ring = AudioRing::default();
            ring.write(0, &ramp(0, 480_000));
            let mut out = vec![[0.0; 2]; 1_600];
            let (mut last, mut blocks) = (None, 0);
            ring.read(1_600, &mut out);
            for block in 2..200 {
                let wish = block * 1_600 + change;
                assert_eq!(ring.read(wish, &mut out), 0..1_600);
                // A ramp: each step is the pace.
                let paces = last.into_iter().chain(out.iter().copied()).collect::<Vec<_>>();
                let even = paces.windows(2).all(|w| (w[1][0] - w[0][0] - 1.0).abs() <= 0.04);
                assert!(even, "block {block}");
                last = out.last().copied();
                blocks += usize::from((out[0][0] - wish as f32).abs() > DEAD_ZONE as f32);
            }
            // 20 ms at 5 ms a second.
            assert!((110..=125).contains(&blocks), "{blocks} blocks");
            ring.read(200 * 1_600 + 4_800, &mut out);
            assert_eq!(out[0][0], (200 * 1_600 + 4_800) as f32);
        }
    }

    #[test]
    fn who_only_passes_by_is_where_it_wishes() {
        let mut ring = AudioRing::default();
        ring.write(0, &ramp(0, 48_000));
        ring.read(0, &mut []);
        ring.read(1_000, &mut []);
        let mut out = vec![[0.0; 2]; 100];
        ring.read(1_000, &mut out);
        assert_eq!(out[0][0], 1_000.0);
    }

    #[test]
    fn a_broken_timeline_starts_afresh_and_the_ring_stays_bounded() {
        let mut ring = AudioRing::default();
        for k in 0..100 {
            ring.write(k * 48_000, &ramp(0, 48_000));
        }
        assert!(ring.samples.len() <= CAPACITY && !ring.has_room());
        ring.write(-9_000_000, &ramp(0, 10));
        assert_eq!(ring.end(), Some(-9_000_000 + 10));
    }
}
