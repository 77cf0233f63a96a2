//! Generalised cross-correlation with phase transform (GCC-PHAT) of two windows, by one FFT of fixed size.
//!
//! The cross spectrum is flattened to its magnitude to the power 0.3 (PHAT with beta 0.7): a sharp peak for broad-band sound, while bands
//! that hold only noise keep less say than with full whitening. Both windows are tapered: without it PHAT locks on
//! the leakage of the window's edges, measured at 35 % wrong matches for mains hum.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::SearchRange;
use super::tap::RATE;

/// How far the cross spectrum is whitened; 1 is plain PHAT, 0 plain correlation.
const BETA: f32 = 0.7;
/// The band that is correlated, Hz: below it is hum, above it the tap's filter.
const BAND: (f32, f32) = (100.0, 3_600.0);
/// Width of the bands that are counted, Hz.
const NARROW_BAND: f32 = 32.0;
/// Length of the cosine taper at each end, samples: 0.25 s.
const TAPER: usize = RATE as usize / 4;

/// Plans and buffers for one size of window.
pub struct Correlator {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    spectra: [Vec<Complex<f32>>; 2],
    scratch: Vec<Complex<f32>>,
    /// Windows go in, the correlation comes out; a negative lag lies at the end.
    signal: Vec<f32>,
}

/// What the spectra of two windows tell before they are correlated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectra {
    /// Root mean square of each window within the band; 1 is full scale.
    pub levels: [f32; 2],
    /// Over how many 32 Hz bands the energy they share is spread: the exponential of its entropy.
    pub bands: f64,
}

impl Correlator {
    /// Plans for windows and lags up to those of `range`.
    pub fn new(range: SearchRange) -> Self {
        // Padding by the largest lag suffices: only lags in range are read, and none of those wraps round.
        let size = (range.window() + range.lags()).next_power_of_two();
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self {
            spectra: [forward.make_output_vec(), forward.make_output_vec()],
            scratch: vec![Complex::default(); scratch],
            signal: forward.make_input_vec(),
            forward,
            inverse,
        }
    }

    /// Transforms two windows of one length, at most the range's.
    pub fn transform(&mut self, a: &[f32], b: &[f32]) -> Spectra {
        for (window, spectrum) in [a, b].into_iter().zip(&mut self.spectra) {
            self.signal.fill(0.0);
            self.signal[..window.len()].copy_from_slice(window);
            taper(&mut self.signal[..window.len()]);
            let done = self.forward.process_with_scratch(&mut self.signal, spectrum, &mut self.scratch);
            debug_assert!(done.is_ok(), "lengths are the plan's own");
        }
        let (low, high) = (self.bin(BAND.0), self.bin(BAND.1));
        let scale = 2.0 / (self.signal.len() as f64 * a.len().max(1) as f64);
        let level = |spectrum: &[Complex<f32>]| {
            let energy: f64 = spectrum[low..high].iter().map(|c| f64::from(c.norm_sqr())).sum();
            (energy * scale).sqrt() as f32
        };
        let [a, b] = &self.spectra;
        let narrow = self.bin(NARROW_BAND).max(1);
        let shared = a[low..high].chunks(narrow).zip(b[low..high].chunks(narrow)).map(|(a, b)| {
            let magnitudes = a.iter().zip(b).map(|(a, b)| (a.norm_sqr() * b.norm_sqr()).sqrt());
            f64::from(magnitudes.sum::<f32>())
        });
        Spectra { levels: [level(a), level(b)], bands: effective_number(&shared.collect::<Vec<_>>()) }
    }

    /// Correlates what was transformed last; afterwards [`Self::at`] answers.
    pub fn correlate(&mut self) {
        let (low, high) = (self.bin(BAND.0), self.bin(BAND.1));
        let [a, b] = &mut self.spectra;
        for (bin, (a, b)) in a.iter().zip(b.iter_mut()).enumerate() {
            let cross = a.conj() * *b;
            let power = cross.norm_sqr();
            *b = if (low..high).contains(&bin) && power > 0.0 {
                cross * power.powf(-BETA / 2.0)
            } else {
                Complex::default()
            };
        }
        let done = self.inverse.process_with_scratch(b, &mut self.signal, &mut self.scratch);
        debug_assert!(done.is_ok(), "lengths are the plan's own, and the outer bins are zero");
    }

    /// The correlation at `lag`: how well `b[k + lag]` fits `a[k]`, in no unit. Within the range.
    pub fn at(&self, lag: i64) -> f32 {
        self.signal[lag.rem_euclid(self.signal.len() as i64) as usize]
    }

    fn bin(&self, hz: f32) -> usize {
        (hz / RATE as f32 * self.signal.len() as f32) as usize
    }
}

fn taper(window: &mut [f32]) {
    let length = window.len();
    for k in 0..TAPER.min(length / 2) {
        let weight = 0.5 - 0.5 * (PI * k as f32 / TAPER as f32).cos();
        window[k] *= weight;
        window[length - 1 - k] *= weight;
    }
}

/// The number of equal parts that would be spread as widely: 1 when all is in one part, their number when all are equal.
fn effective_number(parts: &[f64]) -> f64 {
    let total: f64 = parts.iter().sum();
    let entropy: f64 = parts.iter().map(|part| part / total).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / u32::MAX as f32 - 0.5
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn the_peak_lies_at_the_lag() {
        let range = SearchRange::default();
        let mut correlator = Correlator::new(range);
        let programme = noise(range.window() + 2 * range.lags());
        let window = range.window();
        for lag in [-(range.lags() as i64), -777, 0, 1, range.lags() as i64] {
            let from = (range.lags() as i64 - lag) as usize;
            correlator.transform(&programme[range.lags()..][..window], &programme[from..][..window]);
            correlator.correlate();
            let lags = -(range.lags() as i64)..=range.lags() as i64;
            assert_eq!(lags.max_by(|x, y| correlator.at(*x).total_cmp(&correlator.at(*y))), Some(lag));
        }
    }

    #[test]
    fn levels_and_bands_describe_the_sound() {
        let mut correlator = Correlator::new(SearchRange::default());
        let length = 64_000;
        let sine: Vec<f32> = (0..length).map(|k| (2.0 * PI * 1_000.0 * k as f32 / RATE as f32).sin()).collect();
        let spectra = correlator.transform(&sine, &sine);
        assert!((0.65..0.71).contains(&spectra.levels[0]), "{spectra:?}");
        assert!(spectra.bands < 2.0, "{spectra:?}");
        let noise = noise(length);
        let quiet: Vec<f32> = noise.iter().map(|x| x / 100.0).collect();
        let spectra = correlator.transform(&noise, &quiet);
        assert!((spectra.levels[0] / spectra.levels[1] - 100.0).abs() < 0.1, "{spectra:?}");
        assert!(spectra.bands > 100.0, "{spectra:?}");
    }

    #[test]
    fn equal_parts_count_in_full() {
        assert!((effective_number(&[2.0; 7]) - 7.0).abs() < 1e-9);
        assert!((effective_number(&[5.0, 0.0, 0.0]) - 1.0).abs() < 1e-9);
    }
}
