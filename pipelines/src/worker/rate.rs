//! The frame rate of a source, from what its bitstream claims and what its timestamps show. Pure.
//!
//! A claim counts when two intervals bear it out. Without one the rate is measured over [`MEASURED`] frames; containers
//! round to a millisecond, so a whole rate within the error is preferred to its x/1001 neighbour. Intervals that differ mean a
//! variable rate, for which there is no answer: the grid then takes 30. A source too slow to tell is decided after [`PATIENCE`].
//! Beside it, the most pictures a second that a source may have.

use weir_media::codec::MAX_FRAME_RATE;
use weir_media::time::FrameRate;

/// Frames that bear out a claim.
const CLAIMED: usize = 3;
/// Frames that are measured without one.
const MEASURED: usize = 8;
/// A decision is made after this, nanoseconds since the first frame.
const PATIENCE: i64 = 700_000_000;
/// What rounding to a millisecond does to one interval, nanoseconds, and a little.
const ROUNDING: i64 = 1_100_000;

/// Watches the first frames of a source.
#[derive(Debug)]
pub struct RateWatch {
    claim: Option<f64>,
    dts: Vec<i64>,
    first_arrival: Option<i64>,
}

impl RateWatch {
    /// A watch with the bitstream's claim, which is ignored outside 5 to 130 fps.
    pub fn new(claim: Option<FrameRate>) -> Self {
        let claim = claim.map(FrameRate::as_f64).filter(|fps| (5.0..=130.0).contains(fps));
        Self { claim, dts: Vec::with_capacity(MEASURED), first_arrival: None }
    }

    /// Takes a frame's decoding time and arrival, nanoseconds.
    pub fn frame(&mut self, dts: i64, now: i64) {
        self.first_arrival.get_or_insert(now);
        if self.dts.len() < MEASURED {
            self.dts.push(dts);
        }
    }

    /// `Some` once decided: frames per second, or `None` inside when the rate is variable or unknown.
    pub fn decide(&self, now: i64) -> Option<Option<f64>> {
        let intervals: Vec<i64> = self.dts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if let (Some(claim), true) = (self.claim, self.dts.len() >= CLAIMED) {
            let interval = 1e9 / claim;
            let borne_out = |real: &i64| (*real as f64 - interval).abs() <= interval * 0.1 + ROUNDING as f64;
            if intervals.iter().all(borne_out) {
                return Some(Some(claim));
            }
        }
        let late = self.first_arrival.is_some_and(|first| now - first >= PATIENCE);
        if self.dts.len() < MEASURED && !late {
            return None;
        }
        Some(measure(&intervals))
    }
}

/// Counts the pictures in each second of a source's own time.
#[derive(Debug, Default)]
pub struct RateCap {
    /// Decoding time of the first picture of the second, nanoseconds.
    begin: Option<i64>,
    /// Of the latest.
    last: i64,
    pictures: u32,
}

impl RateCap {
    /// Takes a picture's decoding time, nanoseconds; `false` when there are more than [`MAX_FRAME_RATE`] in a second. Times that go back
    /// begin another one.
    pub fn admits(&mut self, dts: i64) -> bool {
        const SECOND: i64 = 1_000_000_000;
        if self.begin.is_none_or(|begin| dts < self.last || dts >= begin.saturating_add(SECOND)) {
            (self.begin, self.pictures) = (Some(dts), 0);
        }
        self.last = dts;
        self.pictures += 1;
        // One more fits by rounding.
        self.pictures <= MAX_FRAME_RATE + 1
    }
}

fn measure(intervals: &[i64]) -> Option<f64> {
    let (&shortest, &longest) = (intervals.iter().min()?, intervals.iter().max()?);
    if shortest <= 0 || longest - shortest > 2 * ROUNDING + shortest / 5 {
        return None;
    }
    let span: i64 = intervals.iter().sum();
    let fps = intervals.len() as f64 * 1e9 / span as f64;
    let error = ROUNDING as f64 / span as f64 + 0.001;
    let whole = [24.0, 25.0, 30.0, 50.0, 60.0].into_iter().find(|whole| (fps / whole - 1.0).abs() <= error);
    Some(whole.unwrap_or(fps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(claim: Option<FrameRate>, fps: f64, frames: usize) -> Option<Option<f64>> {
        let mut watch = RateWatch::new(claim);
        for n in 0..frames {
            watch.frame((n as f64 * 1_000.0 / fps).round() as i64 * 1_000_000, 0);
        }
        watch.decide(0)
    }

    #[test]
    fn a_borne_out_claim_decides_after_three_frames() {
        for rate in [FrameRate::whole(25), FrameRate::new(30_000, 1_001).unwrap(), FrameRate::whole(60)] {
            assert_eq!(watch(Some(rate), rate.as_f64(), 2), None);
            assert_eq!(watch(Some(rate), rate.as_f64(), 3), Some(Some(rate.as_f64())));
        }
    }

    #[test]
    fn a_false_or_absurd_claim_is_measured_instead() {
        assert_eq!(watch(Some(FrameRate::whole(60)), 30.0, 3), None);
        assert_eq!(watch(Some(FrameRate::whole(60)), 30.0, 8), Some(Some(30.0)));
        assert_eq!(watch(Some(FrameRate::whole(1_000)), 25.0, 8), Some(Some(25.0)));
    }

    #[test]
    fn rounded_timestamps_measure_as_the_whole_rate() {
        for fps in [24.0, 25.0, 30.0, 50.0, 60.0] {
            assert_eq!(watch(None, fps, 8), Some(Some(fps)));
        }
        let odd = watch(None, 15.0, 8).flatten().unwrap();
        assert!((odd - 15.0).abs() < 0.1, "{odd}");
    }

    #[test]
    fn more_pictures_than_any_camera_makes_are_not_admitted() {
        let refused_at = |fps: f64| {
            let mut cap = RateCap::default();
            (0..3_000).find(|n| !cap.admits((f64::from(*n) * 1e9 / fps).round() as i64))
        };
        assert_eq!((refused_at(60.0), refused_at(240.0)), (None, None));
        assert_eq!((refused_at(300.0), refused_at(1_000.0)), (Some(241), Some(241)));
        let mut cap = RateCap::default();
        assert_eq!((0..3_000).find(|_| !cap.admits(7)), Some(241), "all at once");
        // A source that loops.
        let mut cap = RateCap::default();
        assert!((0..3_000).all(|n| cap.admits(n % 30 * 33_000_000)));
    }

    #[test]
    fn a_variable_rate_has_no_answer() {
        let mut watch = RateWatch::new(None);
        for dts in [0, 33, 50, 120, 133, 200, 210, 300] {
            watch.frame(dts * 1_000_000, 0);
        }
        assert_eq!(watch.decide(0), Some(None));
    }

    #[test]
    fn a_slow_source_is_decided_in_time() {
        let mut watch = RateWatch::new(None);
        watch.frame(0, 0);
        assert_eq!(watch.decide(PATIENCE - 1), None);
        assert_eq!(watch.decide(PATIENCE), Some(None));
        watch.frame(200_000_000, PATIENCE);
        assert_eq!(watch.decide(PATIENCE), Some(Some(5.0)));
    }
}
