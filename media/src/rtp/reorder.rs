//! When pictures are decoded, of senders that say only when they are shown, as RTP does.
//!
//! Pictures come in the order of decoding. One that is shown before another that came earlier (a B frame) means that decoding has to run
//! ahead: by as many pictures as overtake one at most, the depth. With it, a picture's decoding time is the showing time that is so many
//! places before the latest so far: that never goes back, and no picture is decoded after it is shown.
//!
//! The depth is learned from what comes, whether it can be decoded or not. Where it turns out to be too small, pictures have been given
//! times too late for what follows: that waits for the next keyframe. So a sender with B frames whose stream begins at a keyframe costs
//! its first group of pictures once, and one without costs nothing.

use std::collections::VecDeque;

/// Most pictures that may overtake one: what the largest decoder of H.264 (A.3.1) or H.265 (A.4.2) holds.
const DEEPEST: usize = 16;
/// Further from the one before than this, in ticks of 90 kHz, is no B frame but another timeline.
const FURTHEST: i64 = 2 * 90_000;
/// Between the decoding times of pictures before which nothing is known, ticks: 1 ms.
const STEP: i64 = 90;

/// The order of one track.
#[derive(Default)]
pub struct Reorder {
    depth: usize,
    /// Showing times of the latest pictures without wrap, in the order of decoding.
    recent: VecDeque<i64>,
    /// The latest decoding time.
    given: Option<i64>,
}

impl Reorder {
    /// Takes the RTP timestamp of the next picture. How many ticks it is decoded before it is shown; `None` when pictures before it should
    /// have been decoded earlier.
    pub fn place(&mut self, timestamp: u32) -> Option<i64> {
        let last = self.recent.back().copied().unwrap_or(timestamp.into());
        let shown = last + i64::from(timestamp.wrapping_sub(last as u32) as i32);
        let mut overtaken = self.recent.iter().filter(|other| **other > shown).count();
        if overtaken > DEEPEST || (shown - last).abs() > FURTHEST {
            self.recent.clear();
            self.given = None;
            overtaken = 0;
        }
        self.recent.push_back(shown);
        if self.recent.len() > DEEPEST + 1 {
            self.recent.pop_front();
        }
        if overtaken > self.depth {
            self.depth = overtaken;
            return None;
        }
        let decoded = self.decoded();
        if self.given.is_some_and(|given| decoded < given) {
            return None;
        }
        self.given = Some(decoded);
        Some(shown - decoded)
    }

    /// When the latest picture is decoded.
    fn decoded(&self) -> i64 {
        let mut sorted: Vec<i64> = self.recent.iter().copied().collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        match (sorted.get(self.depth), sorted.last()) {
            (Some(decoded), _) => *decoded,
            (None, Some(first)) => first - STEP * (self.depth + 1 - sorted.len()) as i64,
            (None, None) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decoding times, in frames of 3000 ticks, of pictures that are shown as these frames.
    fn decoded(reorder: &mut Reorder, shown: &[u32]) -> Vec<Option<i64>> {
        let ahead = shown.iter().map(|&frame| (i64::from(frame), reorder.place(frame * 3000)));
        ahead.map(|(frame, ahead)| ahead.map(|ahead| frame - ahead / 3000)).collect()
    }

    #[test]
    fn pictures_in_order_are_decoded_when_they_are_shown() {
        let mut reorder = Reorder::default();
        assert_eq!(decoded(&mut reorder, &[7, 8, 9, 12, 13]), [7, 8, 9, 12, 13].map(Some));
    }

    #[test]
    fn b_frames_cost_their_first_group_and_then_everything_has_its_time() {
        let mut reorder = Reorder::default();
        let first = decoded(&mut reorder, &[0, 3, 1, 2, 6, 4, 5]);
        assert_eq!(first[..3], [Some(0), Some(3), None]);
        assert_eq!(decoded(&mut reorder, &[7, 10, 8, 9, 13, 11, 12]), [6, 7, 8, 9, 10, 11, 12].map(Some));
    }

    #[test]
    fn a_pyramid_is_learned_step_by_step() {
        let mut reorder = Reorder::default();
        let group = |first: u32| [0, 4, 2, 1, 3].map(|frame| first + frame);
        assert_eq!(decoded(&mut reorder, &group(0)), [Some(0), Some(4), None, None, None]);
        assert_eq!(decoded(&mut reorder, &group(5)), [None, Some(4), Some(5), Some(6), Some(7)]);
    }

    #[test]
    fn the_turn_of_the_timestamp_is_no_jump() {
        let mut reorder = Reorder::default();
        assert_eq!([u32::MAX - 2999, 0, 3000].map(|at| reorder.place(at)), [Some(0); 3]);
    }

    #[test]
    fn a_timeline_that_begins_anew_is_not_taken_for_b_frames() {
        let mut reorder = Reorder::default();
        decoded(&mut reorder, &[1000, 1001, 1002]);
        assert_eq!(decoded(&mut reorder, &[1, 2, 3]), [1, 2, 3].map(Some));
        decoded(&mut reorder, &[4, 7, 5, 6, 8]);
        let ahead: Vec<_> = [1000, 1003, 1001, 1002].map(|frame| reorder.place(frame * 3000)).into();
        assert_eq!(ahead, [Some(STEP), Some(9000), Some(0), Some(0)]);
    }

    proptest! {
        #[test]
        fn a_depth_that_is_known_gives_times_that_rise_and_are_not_after_the_picture(
            groups in prop::collection::vec(prop::sample::select(vec![vec![0u32, 3, 1, 2], vec![0, 4, 2, 1, 3], vec![0, 1]]), 2..30)
        ) {
            let (mut reorder, mut first, mut last) = (Reorder::default(), 0, i64::MIN);
            decoded(&mut reorder, &[0, 4, 2, 1, 3, 5, 6]);
            for group in groups {
                first += 8;
                for frame in group {
                    let shown = i64::from(first + frame) * 3000;
                    let ahead = reorder.place(shown as u32).unwrap();
                    prop_assert!(ahead >= 0 && shown - ahead > last);
                    last = shown - ahead;
                }
            }
        }

        #[test]
        fn no_timestamps_make_it_panic(timestamps in prop::collection::vec(any::<u32>(), 0..100)) {
            let mut reorder = Reorder::default();
            for timestamp in timestamps {
                prop_assert!(reorder.place(timestamp).is_none_or(|ahead| ahead >= 0));
            }
        }
    }
}
