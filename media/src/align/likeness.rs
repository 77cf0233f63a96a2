//! How alike two windows are at a lag: normalised correlation of the waveforms, in four parts.
//!
//! One correlation over the whole overlap would refuse a pair whose clocks drift, as the lag at its ends differs from that in its
//! middle. So the overlap is cut into quarters, each of which may choose its own lag nearby; how those move tells the drift.

use super::tap::RATE;

/// How far a quarter's lag may be from the common one, samples: 1.5 ms, what 200 ppm do to the outer quarters of 10 s, and some.
const SLACK: i64 = RATE as i64 * 3 / 2_000;
/// Parts of the overlap.
const QUARTERS: i64 = 4;
/// Parts of a sample that a lag is told to when drift is measured.
const FINE: i64 = 8;

/// A quarter below this part of the loudest one's energy is a pause, -40 dB: it says nothing.
const PAUSE: f64 = 1e-4;

/// The likeness of two windows at one lag.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    /// Mean of the quarters' normalised correlations, -1 to 1; 1 is the same waveform at any level.
    pub value: f64,
    /// Those that have sound, and which they are.
    quarters: Vec<(i64, Quarter)>,
    /// Their length, samples.
    quarter: i64,
}

/// Compares `b[k + lag]` with `a[k]` wherever both are. `None` when the overlap is too short, or less than two quarters of it
/// have sound in either window.
pub fn likeness(a: &[f32], b: &[f32], lag: i64) -> Option<Likeness> {
    let length = a.len().min(b.len()) as i64;
    let from = (SLACK - lag).max(0);
    let quarter = (length - (lag + SLACK).max(0) - from) / QUARTERS;
    if quarter < 2 * SLACK {
        return None;
    }
    let starts = (0..QUARTERS).map(|k| from + k * quarter);
    let quarters = starts.map(|start| Quarter::compare(&a[start as usize..][..quarter as usize], b, start + lag));
    let quarters: Vec<Quarter> = quarters.collect();
    let loudest = |side: usize| quarters.iter().map(|quarter| quarter.energies[side]).fold(0.0, f64::max);
    let pauses = [0, 1].map(|side| PAUSE * loudest(side));
    let sounds = |quarter: &Quarter| quarter.energies.iter().zip(pauses).any(|(energy, pause)| *energy > pause);
    let quarters: Vec<(i64, Quarter)> = (0..).zip(quarters).filter(|(_, quarter)| sounds(quarter)).collect();
    if quarters.len() < 2 {
        return None;
    }
    let value = quarters.iter().map(|(_, quarter)| quarter.best()).sum::<f64>() / quarters.len() as f64;
    Some(Likeness { value, quarters, quarter })
}

impl Likeness {
    /// What is to be added to the lag in the middle of the overlap, samples, and by how much it grows per sample, the clocks' drift: of all
    /// straight lines that along which the quarters are most alike. A peak of the correlation lies where the sound is loudest instead.
    /// A quarter alone can be most like b at any lag, where other sound covers the common one; then its likeness varies little, and so
    /// it has little say.
    pub fn line(&self) -> (f64, f64) {
        let most = FINE * SLACK;
        let fine = |quarter: &Quarter| (-most..=most).map(|lag| quarter.at(lag)).collect::<Vec<f64>>();
        // Twice a quarter's distance from the middle of the overlap, in quarters: -3, -1, 1, 3.
        let curves: Vec<_> = self.quarters.iter().map(|(k, quarter)| (2 * k - QUARTERS + 1, fine(quarter))).collect();
        let along = |start: i64, slope: i64| {
            curves.iter().map(|(k, curve)| curve[((start + slope * k).clamp(-most, most) + most) as usize]).sum::<f64>()
        };
        let steepest = most / (QUARTERS - 1);
        let best = |slope: i64| (-most..=most).map(|start| along(start, slope)).fold(f64::MIN, f64::max);
        let bests: Vec<f64> = (-steepest..=steepest).map(best).collect();
        // From the flattest outwards: of lines that are as good, it stays.
        let outwards = (1..=steepest).flat_map(|slope| [slope, -slope]);
        let of = |slope: i64| bests[(slope + steepest) as usize];
        let chosen = outwards.fold(0, |chosen, slope| if of(slope) > of(chosen) { slope } else { chosen });
        let refined = match chosen.abs() < steepest {
            true => chosen as f64 + summit([-1, 0, 1].map(|step| of(chosen + step))),
            false => chosen as f64,
        };
        let higher = |best: i64, start: i64| if along(start, chosen) > along(best, chosen) { start } else { best };
        let start = (-most..=most).fold(0, higher);
        let start = start as f64 + summit([-1, 0, 1].map(|step| along(start + step, chosen)));
        (start / FINE as f64, 2.0 * refined / (FINE * self.quarter) as f64)
    }
}

/// Where the top of the parabola through three values lies beside the middle one, -0.5 to 0.5; 0 where they do not bend down.
fn summit([before, top, after]: [f64; 3]) -> f64 {
    let bend = before - 2.0 * top + after;
    let shift = if bend < 0.0 { (before - after) / (2.0 * bend) } else { 0.0 };
    shift.clamp(-0.5, 0.5)
}

/// A part of a, and how alike b is at each lag nearby.
#[derive(Clone, Debug, PartialEq)]
struct Quarter {
    /// Normalised correlations, from -[`SLACK`] to [`SLACK`].
    alike: [f64; 2 * SLACK as usize + 1],
    energies: [f64; 2],
}

impl Quarter {
    fn compare(reference: &[f32], b: &[f32], start: i64) -> Self {
        let shifted = |moved: i64| &b[(start + moved) as usize..][..reference.len()];
        let energy = |x: &[f32]| f64::from(dot(x, x));
        let energies = [energy(reference), energy(shifted(0))];
        let alike = std::array::from_fn(|k| {
            let other = shifted(k as i64 - SLACK);
            let norm = (energies[0] * energy(other)).sqrt();
            if norm > 0.0 { f64::from(dot(reference, other)) / norm } else { 0.0 }
        });
        Self { alike, energies }
    }

    fn best(&self) -> f64 {
        self.alike.iter().copied().fold(f64::MIN, f64::max)
    }

    /// Likeness at so many [`FINE`] parts of a sample, by cubic interpolation.
    fn at(&self, fine: i64) -> f64 {
        let known = |k: i64| self.alike[(k + SLACK).clamp(0, 2 * SLACK) as usize];
        let (whole, t) = (fine.div_euclid(FINE), fine.rem_euclid(FINE) as f64 / FINE as f64);
        let [a, b, c, d] = [-1, 0, 1, 2].map(|step| known(whole + step));
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    }
}

/// The scalar product of two equally long slices, summed in lanes so that it compiles to vector instructions.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chirp: no two of its seconds are alike.
    fn chirp(k: f64) -> f32 {
        let t = k / f64::from(RATE);
        (2.0 * std::f64::consts::PI * (200.0 * t + 60.0 * t * t)).sin() as f32
    }

    fn window(from: f64, rate: f64) -> Vec<f32> {
        (0..64_000).map(|k| chirp(from + f64::from(k) * rate)).collect()
    }

    #[test]
    fn the_same_waveform_is_alike_at_its_lag_only() {
        let (a, b) = (window(10_000.0, 1.0), window(9_000.0, 1.0));
        assert!(likeness(&a, &b, 1_000).unwrap().value > 0.999);
        assert!(likeness(&a, &b, 1_400).unwrap().value < 0.3);
        assert!(likeness(&b, &a, -1_000).unwrap().value > 0.999);
    }

    #[test]
    fn level_does_not_matter() {
        let a = window(0.0, 1.0);
        let quiet: Vec<f32> = a.iter().map(|x| x / 1_000.0).collect();
        assert!(likeness(&a, &quiet, 0).unwrap().value > 0.999);
    }

    #[test]
    fn drift_is_measured() {
        let a = window(-32_000.0, 1.0);
        for ppm in [-200.0, -100.0, 0.0, 100.0, 200.0] {
            // Around the middle: b is compressed in time, so its content lies nearer to the middle.
            let rate = 1.0 + ppm * 1e-6;
            let b = window(-32_000.0 * rate, rate);
            let found = likeness(&a, &b, 0).unwrap();
            assert!(found.value > 0.9 && (found.line().1 * 1e6 + ppm).abs() < 30.0, "{ppm}: {found:?}");
        }
    }

    #[test]
    fn a_sliver_of_overlap_is_not_alike() {
        let a = window(0.0, 1.0);
        assert_eq!(likeness(&a, &a, 63_990), None);
        assert_eq!(likeness(&a, &a, -70_000), None);
    }

    #[test]
    fn pauses_say_nothing_but_sound_against_a_pause_does() {
        let a = window(0.0, 1.0);
        let silenced = |quarters: std::ops::Range<usize>| {
            let mut x = a.clone();
            x[quarters.start * 16_000..quarters.end * 16_000].fill(0.0);
            x
        };
        assert!(likeness(&silenced(1..3), &silenced(1..3), 0).unwrap().value > 0.99);
        assert!(likeness(&a, &silenced(1..3), 0).unwrap().value < 0.55);
        assert_eq!(likeness(&silenced(0..3), &silenced(0..3), 40), None);
        assert_eq!(likeness(&silenced(0..4), &silenced(0..4), 0), None);
    }

    #[test]
    fn dot_takes_every_length() {
        for len in [0, 1, 15, 16, 17, 60] {
            let a: Vec<f32> = (0..len).map(|k| k as f32).collect();
            let expected: f32 = a.iter().map(|x| x * 2.0).sum();
            assert_eq!(dot(&a, &vec![2.0; len]), expected);
        }
    }
}
