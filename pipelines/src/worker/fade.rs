//! Five-millisecond ramps wherever sound starts or stops, and from one input to the next, so that no switch clicks. Pure.

use std::ops::Range;

use weir_media::grid::SAMPLE_RATE;
use weir_media::id::SessionId;

use super::audio_ring::Sample;

/// Length of a ramp, samples.
pub const RAMP: u32 = SAMPLE_RATE / 200;

/// Shapes the mixer's audio block by block.
#[derive(Debug, Default)]
pub struct Fader {
    source: Option<SessionId>,
    /// The last sample of sound, which fades away where the sound ends.
    last: Sample,
    /// Samples of the fade-out that are left.
    falling: u32,
    /// Samples of the fade-in that are done.
    risen: u32,
}

impl Fader {
    /// Shapes one block in which `source` sounds in the range `present`. Where it takes over from another one, `tail` is how that one
    /// goes on, [`RAMP`] samples, if it does; else its last sample fades away.
    pub fn shape(
        &mut self,
        source: Option<SessionId>,
        present: Range<usize>,
        block: &mut [Sample],
        tail: Option<&[Sample]>,
    ) {
        let mut tail = tail.filter(|_| self.risen > 0);
        if source != self.source {
            self.source = source;
            self.falling = if self.risen > 0 { RAMP } else { self.falling };
            self.risen = 0;
        } else {
            tail = None;
        }
        for (i, sample) in block.iter_mut().enumerate() {
            let mut shaped = [0.0; 2];
            if present.contains(&i) {
                self.risen = (self.risen + 1).min(RAMP);
                shaped = sample.map(|v| v * self.risen as f32 / RAMP as f32);
            } else if self.risen > 0 {
                self.risen = 0;
                self.falling = RAMP;
            }
            if self.falling > 0 {
                self.falling -= 1;
                let gain = self.falling as f32 / RAMP as f32;
                let last = tail.and_then(|tail| tail.get(i)).unwrap_or(&self.last);
                shaped = [shaped[0] + last[0] * gain, shaped[1] + last[1] * gain];
            } else if self.risen > 0 {
                self.last = shaped;
            }
            *sample = shaped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steepest(block: &[Sample]) -> f32 {
        block.windows(2).map(|w| (w[1][0] - w[0][0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn start_stop_and_switch_are_ramps() {
        let mut fader = Fader::default();
        let mut all = vec![];
        for (source, present) in
            [(None, 0..0), (Some(SessionId(1)), 0..480), (Some(SessionId(1)), 0..100), (Some(SessionId(2)), 0..480)]
        {
            let mut block = vec![[0.5; 2]; 480];
            fader.shape(source, present, &mut block, None);
            all.extend(block);
        }
        assert!(steepest(&all) < 0.005, "{}", steepest(&all));
        assert_eq!(all[479], [0.0; 2]);
        assert_eq!(all[959], [0.5; 2]);
        assert_eq!(all[1_439], [0.0; 2]);
        assert_eq!(all[1_919], [0.5; 2]);
    }

    #[test]
    fn two_aligned_inputs_cross_without_a_trace() {
        let tone = |from: usize| (from..from + 480).map(|n| [(n as f32 * 0.05).sin(); 2]).collect::<Vec<_>>();
        let mut fader = Fader::default();
        fader.shape(Some(SessionId(1)), 0..480, &mut tone(0), None);
        let (mut block, tail) = (tone(480), tone(480));
        fader.shape(Some(SessionId(2)), 0..480, &mut block, tail.get(..RAMP as usize));
        let error = block.iter().zip(tone(480)).map(|(a, b)| (a[0] - b[0]).abs()).fold(0.0, f32::max);
        assert!(error < 0.01, "{error}");
    }

    #[test]
    fn steady_sound_is_untouched() {
        let mut fader = Fader::default();
        let mut block = vec![[0.25, -0.25]; 480];
        fader.shape(Some(SessionId(1)), 0..480, &mut block, None);
        let mut block = vec![[0.25, -0.25]; 480];
        fader.shape(Some(SessionId(1)), 0..480, &mut block, None);
        assert!(block.iter().all(|s| *s == [0.25, -0.25]));
    }
}
