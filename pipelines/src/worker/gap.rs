//! Measures what viewers miss: filled frames and inserted silence, from the last good frame to the next. Pure.
//!
//! A frame is *filled* when the input that is shown had no picture for it within its own frame duration and 5 ms; a picture that is
//! shown twice because the output has more frames than the input is not. Silence counts only where the input has sound at all.
//! A hole is told once pictures and sound are back, or [`PATIENCE`] after the pictures are; so is every change of input.

use weir_media::failover::Gap;
use weir_media::grid::SAMPLE_RATE;
use weir_media::id::SessionId;
use weir_media::time::FrameRate;

/// Longest wait for sound once pictures are back, seconds.
const PATIENCE: f64 = 1.0;
/// Less silence than this, in samples, without a missing picture is not worth telling: 20 ms.
const SHORTEST_SILENCE: u64 = SAMPLE_RATE as u64 / 50;

/// One output frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its number.
    pub number: u64,
    /// The input that is shown.
    pub session: Option<SessionId>,
    /// It had no picture of its own for it.
    pub filled: bool,
    /// Samples of silence that stand for its sound.
    pub silence: u64,
}

/// Measures one broadcast's holes.
#[derive(Debug)]
pub struct GapMeter {
    rate: FrameRate,
    /// The last frame with a picture of its own, and its input.
    good: Option<(u64, Option<SessionId>)>,
    filled: u64,
    silence: u64,
    /// The first good frame behind a hole, and the input before it and after it.
    back: Option<Back>,
}

#[derive(Clone, Copy, Debug)]
struct Back {
    from: Option<SessionId>,
    to: Option<SessionId>,
    frame: u64,
    since_good: u64,
}

impl GapMeter {
    /// A meter that has seen nothing: what comes before the first picture is no hole.
    pub fn new(rate: FrameRate) -> Self {
        Self { rate, good: None, filled: 0, silence: 0, back: None }
    }

    /// Takes the next frame; returns the hole that is over with it.
    pub fn frame(&mut self, frame: &Frame) -> Option<Gap> {
        let Some((good, from)) = self.good else {
            self.good = (!frame.filled).then_some((frame.number, frame.session));
            return None;
        };
        self.silence += frame.silence;
        if frame.filled {
            self.filled += 1;
            // A new hole before the sound was back belongs to the one before.
            return None;
        }
        self.good = Some((frame.number, frame.session));
        if from != frame.session || self.filled > 0 && self.back.is_none() {
            let first = self.back.map_or(from, |back| back.from);
            let since_good = self.back.map_or(0, |back| back.since_good).max(frame.number - good);
            self.back = Some(Back { from: first, to: frame.session, frame: frame.number, since_good });
        } else if self.silence >= SHORTEST_SILENCE && self.back.is_none() {
            self.back = Some(Back { from, to: from, frame: frame.number, since_good: frame.number - good });
        }
        let back = self.back?;
        if frame.silence > 0 && self.rate.seconds(frame.number - back.frame) < PATIENCE {
            return None;
        }
        let milliseconds = |frames: u64| (self.rate.frame_start_ns(frames) / 1_000_000) as u32;
        let gap = Gap {
            from: back.from,
            to: back.to,
            frame: back.frame,
            filled_ms: milliseconds(self.filled),
            silence_ms: (self.silence * 1_000 / u64::from(SAMPLE_RATE)) as u32,
            since_good_ms: milliseconds(back.since_good),
        };
        (self.back, self.filled, self.silence) = (None, 0, 0);
        Some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<SessionId> = Some(SessionId(1));
    const B: Option<SessionId> = Some(SessionId(2));

    fn run(frames: &[(Option<SessionId>, bool, u64)]) -> Vec<Gap> {
        let mut meter = GapMeter::new(FrameRate::whole(25));
        let number = |n: usize| n as u64;
        let numbered = frames.iter().enumerate();
        numbered
            .filter_map(|(n, &(session, filled, silence))| {
                meter.frame(&Frame { number: number(n), session, filled, silence })
            })
            .collect()
    }

    #[test]
    fn steady_output_and_a_slow_start_have_no_hole() {
        let mut frames = vec![(A, true, 1_920); 5];
        frames.extend([(A, false, 0); 50]);
        assert_eq!(run(&frames), []);
    }

    #[test]
    fn a_clean_switch_is_told_with_zeros() {
        let mut frames = vec![(A, false, 0); 10];
        frames.extend([(B, false, 0); 10]);
        let gap = Gap { from: A, to: B, frame: 10, filled_ms: 0, silence_ms: 0, since_good_ms: 40 };
        assert_eq!(run(&frames), [gap]);
    }

    #[test]
    fn a_hold_and_a_switch_are_one_hole() {
        let mut frames = vec![(A, false, 0); 10];
        frames.extend([(A, true, 1_920); 75]);
        frames.extend([(B, false, 960); 2]);
        frames.extend([(B, false, 0); 10]);
        let gap = Gap { from: A, to: B, frame: 85, filled_ms: 3_000, silence_ms: 3_040, since_good_ms: 3_040 };
        assert_eq!(run(&frames), [gap]);
    }

    #[test]
    fn sound_that_stays_away_does_not_keep_the_hole_open() {
        let mut frames = vec![(A, false, 0); 10];
        frames.extend([(A, true, 1_920); 5]);
        frames.extend([(A, false, 1_920); 100]);
        let gaps = run(&frames);
        assert_eq!((gaps[0].frame, gaps[0].filled_ms, gaps[0].since_good_ms), (15, 200, 240));
        assert!(gaps.len() <= 5, "{}", gaps.len());
    }

    #[test]
    fn a_hole_in_the_sound_alone_is_told_once_it_is_over() {
        let mut frames = vec![(A, false, 0); 10];
        frames.extend([(A, false, 1_920); 5]);
        frames.extend([(A, false, 0); 10]);
        let gap = Gap { from: A, to: A, frame: 10, filled_ms: 0, silence_ms: 200, since_good_ms: 40 };
        assert_eq!(run(&frames), [gap]);
    }
}
