//! Two inputs of one programme, delivered block by block, and what the aligner makes of them.

use weir_media::align::{Aligner, Measurement, SearchRange, State, Tap};

use super::sounds::RATE;

/// Samples in a delivered block of each input: an AAC frame, and another size, so that ends never coincide.
const BLOCKS: [usize; 2] = [1_024, 1_152];
/// First sample numbers of the two timelines.
const BASES: [i64; 2] = [48_000 * 3 + 17, 48_000 * 1_000 + 5];

/// Two streams of samples that go on at the same time, and where the programme's instants lie in them.
pub struct Pair<'a> {
    pub a: &'a [[f32; 2]],
    pub b: &'a [[f32; 2]],
    /// Index in `b` of what is at an index in `a`.
    pub b_index: &'a dyn Fn(f64) -> f64,
}

/// One measurement as the test sees it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Seconds since both inputs began.
    pub seconds: f64,
    pub measurement: Measurement,
    /// Error of the locked offset at the newest sound of a, milliseconds.
    pub error_ms: Option<f64>,
}

pub struct Outcome {
    pub steps: Vec<Step>,
}

impl Pair<'_> {
    pub fn run(&self) -> Outcome {
        self.run_with(SearchRange::default())
    }

    pub fn run_with(&self, range: SearchRange) -> Outcome {
        let mut aligner = Aligner::new(range);
        let mut taps = [Tap::new(range), Tap::new(range)];
        let mut steps = Vec::new();
        let mut sent = [0; 2];
        let total = self.a.len().min(self.b.len());
        while sent.iter().all(|sent| *sent < total) {
            let side = usize::from(sent[1] < sent[0]);
            let to = (sent[side] + BLOCKS[side]).min(total);
            taps[side].push(BASES[side] + sent[side] as i64, &[self.a, self.b][side][sent[side]..to]);
            sent[side] = to;
            let Some(windows) = aligner.take(&taps[0], &taps[1]) else { continue };
            let measurement = windows.measure();
            let error_ms = match measurement.state {
                State::Locked(alignment) => Some(self.error_ms(sent[0], |source| alignment.offset_at(source))),
                _ => None,
            };
            steps.push(Step { seconds: sent[0] as f64 / RATE as f64, measurement, error_ms });
        }
        Outcome { steps }
    }

    fn error_ms(&self, index: usize, offset_at: impl Fn(i64) -> i64) -> f64 {
        let number = BASES[0] + index as i64;
        let source = (i128::from(number) * 1_000_000_000 / RATE as i128) as i64;
        let truth = (self.b_index)(index as f64) - index as f64 + (BASES[1] - BASES[0]) as f64;
        offset_at(source) as f64 / 1e6 - truth * 1e3 / RATE as f64
    }
}

impl Outcome {
    /// Seconds until the first lock.
    pub fn time_to_lock(&self) -> Option<f64> {
        self.steps.iter().find(|step| step.error_ms.is_some()).map(|step| step.seconds)
    }

    /// Largest error while locked, milliseconds; 0 without a lock.
    pub fn worst_ms(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.error_ms).fold(0.0, |worst, error| worst.max(error.abs()))
    }
}
