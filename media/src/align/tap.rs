//! The newest seconds of one input's sound as 8 kHz mono, addressed by the input's own 48 kHz sample numbers.
//!
//! 8 kHz is what alignment needs: codecs keep it at any bit rate, and it is a sixth of the work. Samples below 80 Hz are taken off,
//! so that hum and DC count for nothing. Both filters delay; as every tap has the same ones, that cancels out.

use std::collections::VecDeque;
use std::f32::consts::PI;

use super::SearchRange;
use super::likeness::dot;
use crate::grid::SAMPLE_RATE;

/// Samples per second of a tap.
pub const RATE: u32 = 8_000;
/// 48 kHz samples per sample of a tap.
pub const DECIMATION: i64 = (SAMPLE_RATE / RATE) as i64;
/// Length of the anti-alias filter, 48 kHz samples.
const FILTER: usize = 60;
/// Its -6 dB point, Hz: the upper end of the band that is correlated.
const CUTOFF: f32 = 3_600.0;
/// Pole of the first-order high-pass: 80 Hz at 8 kHz.
const POLE: f32 = 0.94;
/// Longest hole that is filled with silence, 48 kHz samples; a longer one breaks the timeline.
const LONGEST_HOLE: i64 = 2 * SAMPLE_RATE as i64;
/// No sound is louder; keeps sums finite whatever a decoder delivers.
const LOUDEST: f32 = 4.0;

/// One input's recent sound.
#[derive(Debug)]
pub struct Tap {
    capacity: usize,
    filter: [f32; FILTER],
    /// 48 kHz mono that the filter has not passed yet.
    pending: Vec<f32>,
    /// Input and output of the high-pass, one sample ago.
    high_pass: (f32, f32),
    samples: VecDeque<f32>,
    /// 48 kHz number of `samples[0]`.
    first: i64,
    /// 48 kHz number of the sample expected next; `None` before the first.
    next: Option<i64>,
    breaks: u32,
}

impl Tap {
    /// An empty tap with the history that `range` asks for.
    pub fn new(range: SearchRange) -> Self {
        Self {
            capacity: range.history(),
            filter: low_pass(),
            pending: Vec::new(),
            high_pass: (0.0, 0.0),
            samples: VecDeque::with_capacity(range.history() + RATE as usize),
            first: 0,
            next: None,
            breaks: 0,
        }
    }

    /// Adds a block whose first sample has number `at` on the source's timeline. Numbers are exact: a block that starts later than the
    /// last one ended leaves a hole, silent up to 2 s; one that starts earlier is cut; anything beyond 2 s is a break.
    pub fn push(&mut self, at: i64, block: &[[f32; 2]]) {
        let next = *self.next.get_or_insert(at);
        let gap = at.saturating_sub(next);
        if gap.abs() > LONGEST_HOLE {
            self.clear();
            return self.push(at, block);
        }
        if self.samples.is_empty() && self.pending.is_empty() {
            self.first = next;
        }
        let (hole, known) = (gap.max(0) as usize, gap.min(0).unsigned_abs() as usize);
        self.pending.extend(std::iter::repeat_n(0.0, hole));
        self.pending.extend(block.iter().skip(known).map(mono));
        self.next = Some(next.max(at + block.len() as i64));
        self.decimate();
    }

    /// Forgets everything: the source's timeline broke.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.samples.clear();
        self.high_pass = (0.0, 0.0);
        self.next = None;
        self.breaks += 1;
    }

    /// Times that the timeline broke.
    pub fn breaks(&self) -> u32 {
        self.breaks
    }

    /// 48 kHz number behind the newest sample.
    pub fn end(&self) -> i64 {
        self.first + self.samples.len() as i64 * DECIMATION
    }

    /// Samples of this tap that lie before the 48 kHz number `end`.
    pub fn available(&self, end: i64) -> usize {
        ((end - self.first).div_euclid(DECIMATION)).clamp(0, self.samples.len() as i64) as usize
    }

    /// Copies the `length` samples before `end` and returns the 48 kHz number of the first. At most what is available.
    pub fn copy(&self, end: i64, length: usize, window: &mut Vec<f32>) -> i64 {
        let to = self.available(end);
        let from = to.saturating_sub(length);
        window.clear();
        window.extend(self.samples.range(from..to));
        self.first + from as i64 * DECIMATION
    }

    fn decimate(&mut self) {
        let mut from = 0;
        while let Some(span) = self.pending.get(from..from + FILTER) {
            let input = dot(span, &self.filter);
            let (last_input, last_output) = self.high_pass;
            let output = POLE * (last_output + input - last_input);
            self.high_pass = (input, output);
            self.samples.push_back(output);
            from += DECIMATION as usize;
        }
        self.pending.drain(..from);
        let excess = self.samples.len().saturating_sub(self.capacity);
        self.samples.drain(..excess);
        self.first += excess as i64 * DECIMATION;
    }
}

/// The mean of both channels; what is no number is silence.
fn mono([left, right]: &[f32; 2]) -> f32 {
    let mean = (left + right) / 2.0;
    if mean.is_finite() { mean.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
}

/// A windowed sinc (Hamming) of unit gain at 0 Hz.
fn low_pass() -> [f32; FILTER] {
    let mut filter = [0.0; FILTER];
    let turn = 2.0 * PI * CUTOFF / SAMPLE_RATE as f32;
    for (k, weight) in filter.iter_mut().enumerate() {
        // An even length: the centre lies between two samples, so the sinc never meets 0/0.
        let from_centre = k as f32 - (FILTER as f32 - 1.0) / 2.0;
        let hamming = 0.54 - 0.46 * (2.0 * PI * k as f32 / (FILTER as f32 - 1.0)).cos();
        *weight = hamming * (turn * from_centre).sin() / from_centre;
    }
    let gain: f32 = filter.iter().sum();
    filter.map(|weight| weight / gain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, from: usize, len: usize) -> Vec<[f32; 2]> {
        (from..from + len).map(|k| [(2.0 * PI * hz * k as f32 / SAMPLE_RATE as f32).sin(); 2]).collect()
    }

    fn level(tap: &Tap) -> f32 {
        let mut window = Vec::new();
        tap.copy(tap.end(), RATE as usize / 2, &mut window);
        (window.iter().map(|x| x * x).sum::<f32>() / window.len() as f32).sqrt()
    }

    fn tap_of(block: &[[f32; 2]]) -> Tap {
        let mut tap = Tap::new(SearchRange::default());
        tap.push(0, block);
        tap
    }

    #[test]
    fn the_band_passes_and_what_would_alias_does_not() {
        for (hz, least, most) in [(10.0, 0.0, 0.1), (500.0, 0.65, 0.72), (2_000.0, 0.6, 0.75), (6_500.0, 0.0, 0.003)] {
            let level = level(&tap_of(&sine(hz, 0, 48_000)));
            assert!((least..=most).contains(&level), "{hz} Hz: {level}");
        }
    }

    #[test]
    fn how_blocks_are_split_makes_no_difference() {
        let block = sine(700.0, 0, 10_000);
        let whole = tap_of(&block);
        let mut split = Tap::new(SearchRange::default());
        for (k, piece) in block.chunks(37).enumerate() {
            split.push(k as i64 * 37, piece);
        }
        assert_eq!((whole.end(), &whole.samples), (split.end(), &split.samples));
    }

    #[test]
    fn a_hole_is_silence_and_an_overlap_is_cut() {
        let block = sine(700.0, 0, 20_000);
        let mut holed = block.clone();
        holed[5_000..8_000].fill([0.0; 2]);
        let mut tap = Tap::new(SearchRange::default());
        tap.push(0, &block[..5_000]);
        tap.push(8_000, &block[8_000..15_000]);
        tap.push(9_000, &block[9_000..20_000]);
        tap.push(1_000, &block[1_000..2_000]);
        assert_eq!(tap.samples, tap_of(&holed).samples);
        assert_eq!(tap.breaks(), 0);
    }

    #[test]
    fn a_jump_of_the_timeline_breaks_it() {
        for jump in [-200_000, 200_000] {
            let mut tap = tap_of(&sine(700.0, 0, 48_000));
            tap.push(48_000 + jump, &sine(700.0, 0, 4_800));
            assert_eq!(tap.breaks(), 1);
            assert_eq!(tap.first, 48_000 + jump);
            assert_eq!(tap.available(i64::MAX / 2), (4_800 - FILTER) / DECIMATION as usize + 1);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let range = SearchRange::default();
        let mut tap = Tap::new(range);
        for second in 0..40 {
            tap.push(second * 48_000, &sine(700.0, 0, 48_000));
            assert!(tap.samples.len() <= range.history() && tap.pending.len() < FILTER);
        }
        assert_eq!(tap.samples.len(), range.history());
    }

    #[test]
    fn what_is_no_number_does_no_lasting_harm() {
        let mut block = sine(700.0, 0, 96_000);
        block[100] = [f32::NAN, 1.0];
        block[200] = [f32::INFINITY, f32::NEG_INFINITY];
        block[300] = [f32::MAX; 2];
        let tap = tap_of(&block);
        assert!(tap.samples.iter().all(|x| x.is_finite()));
        assert!((0.65..0.72).contains(&level(&tap)));
    }
}
