//! One measurement: the lag between two windows, or why none can be named.
//!
//! Every test guards against a sound that fooled the ones before it. The thresholds were measured over 100 random lags per pair of
//! signals (speech, music, noise, commentary; AAC and Opus at several rates; levels, equalisers, compressors, drift): every pair of the
//! same programme passes, and of 4,500 windows of unrelated pairs none does.

use std::fmt;

use super::correlate::Correlator;
use super::likeness::likeness;
use super::tap::RATE;

/// Least level within the band: -70 dBFS. Below is dither, or a muted encoder.
const LEAST_LEVEL: f32 = 3e-4;
/// Least number of 32 Hz bands. A sine has 1, hum and chords up to 5; they match anywhere.
const LEAST_BANDS: f64 = 6.0;
/// Least height of the peak, in root mean squares of all other lags. Unrelated programmes reach 4 in general, the same one 30 to 150.
const LEAST_PROMINENCE: f64 = 12.0;
/// Highest second peak, as a part of the first.
const HIGHEST_SECOND: f32 = 0.6;
/// Least likeness of the waveforms. Another equaliser and compressor leave over 0.5.
const LEAST_LIKENESS: f64 = 0.35;
/// Highest likeness at another peak, as a part of that at the first. This is what sees loops: the height of a
/// correlation falls with the overlap, likeness does not.
const HIGHEST_ELSEWHERE: f64 = 0.7;
/// How many other peaks are compared.
const OTHER_PEAKS: usize = 6;
/// Lags this near belong to the same peak, samples: 20 ms.
const PEAK: i64 = RATE as i64 / 50;
/// Least part of the overlap that a correlation is divided by.
const LEAST_OVERLAP: f32 = 0.15;

/// Why a window names no lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// One of the inputs is silent, or has too little sound.
    Quiet,
    /// Too few frequencies: it would match at every period.
    Tonal,
    /// No lag stands out.
    Weak,
    /// More than one lag would do.
    Ambiguous,
    /// The waveforms differ at the best lag.
    Different,
}

impl Refusal {
    /// It speaks against a common programme; the others say nothing either way.
    pub fn contradicts(self) -> bool {
        matches!(self, Self::Weak | Self::Different)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiet => "quiet",
            Self::Tonal => "tonal",
            Self::Weak => "weak",
            Self::Ambiguous => "ambiguous",
            Self::Different => "different",
        })
    }
}

/// A lag that passed every test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// `b[k + lag]` is the same instant as `a[k]`, samples; holds for the middle of the overlap.
    pub lag: f64,
    /// Samples by which the lag grows per sample.
    pub drift: f64,
    /// Likeness of the waveforms at the lag, 0 to 1.
    pub likeness: f64,
    /// Height of the peak in root mean squares of all other lags.
    pub prominence: f64,
}

/// Measures two windows of one length, over lags of `range` samples either way.
pub fn estimate(correlator: &mut Correlator, a: &[f32], b: &[f32], range: usize) -> Result<Match, Refusal> {
    let spectra = correlator.transform(a, b);
    if spectra.levels.iter().any(|level| *level < LEAST_LEVEL) {
        return Err(Refusal::Quiet);
    }
    if spectra.bands < LEAST_BANDS {
        return Err(Refusal::Tonal);
    }
    correlator.correlate();
    let peak = Peak::find(correlator, range as i64, a.len());
    // Asked this way round, what is no number is refused.
    let stands_out = peak.prominence >= LEAST_PROMINENCE;
    if !stands_out {
        return Err(Refusal::Weak);
    }
    if peak.second > HIGHEST_SECOND * peak.height {
        return Err(Refusal::Ambiguous);
    }
    let Some(found) = likeness(a, b, peak.lag) else { return Err(Refusal::Quiet) };
    let value = found.value;
    let alike = value >= LEAST_LIKENESS;
    if !alike {
        return Err(Refusal::Different);
    }
    let as_alike = |other: &i64| likeness(a, b, *other).is_some_and(|there| there.value > HIGHEST_ELSEWHERE * value);
    if peak.others.iter().any(as_alike) {
        return Err(Refusal::Ambiguous);
    }
    let (beside, drift) = found.line();
    Ok(Match { lag: peak.lag as f64 + beside, drift, likeness: value.min(1.0), prominence: peak.prominence })
}

/// The highest peak of a correlation, and what stands beside it.
struct Peak {
    lag: i64,
    height: f32,
    prominence: f64,
    /// Height of the next peak.
    second: f32,
    /// Lags of the best other peaks, best first, each weighed by its overlap.
    others: Vec<i64>,
}

impl Peak {
    fn find(correlator: &Correlator, range: i64, length: usize) -> Self {
        let lags = -range..=range;
        let higher =
            |best: (f32, i64), lag: i64| if correlator.at(lag) > best.0 { (correlator.at(lag), lag) } else { best };
        let (height, lag) = lags.clone().fold((f32::MIN, 0), higher);

        let (mut energy, mut second) = (0.0, f32::MIN);
        let mut cells: Vec<(f32, i64)> = Vec::with_capacity((2 * range / PEAK) as usize + 2);
        for (index, other) in lags.enumerate().filter(|(_, other)| (other - lag).abs() > PEAK) {
            let value = correlator.at(other);
            energy += f64::from(value).powi(2);
            second = second.max(value);
            let overlap = 1.0 - other.unsigned_abs() as f32 / length as f32;
            let weighed = (value / overlap.max(LEAST_OVERLAP), other);
            match cells.last_mut() {
                Some(cell) if index as i64 % PEAK != 0 => *cell = if weighed.0 > cell.0 { weighed } else { *cell },
                _ => cells.push(weighed),
            }
        }
        let count = (2 * range + 1 - 2 * PEAK).max(1) as f64;
        cells.sort_by(|x, y| y.0.total_cmp(&x.0));
        let others = cells.iter().take(OTHER_PEAKS).map(|cell| cell.1).collect();
        Self { lag, height, prominence: f64::from(height) / (energy / count).sqrt(), second, others }
    }
}
