//! The output clock: where frames and samples of the broadcast lie in time. Pure.
//!
//! Output frame `n` is slot `n`: it starts at `epoch + n / fps`, and output sample `s` at `epoch + s / 48000`, both by
//! exact rationals, so nothing drifts. Presentation times handed to the encoders are counted from the epoch and
//! **rounded up** to a nanosecond: a muxer that scales them down to its own time base then lands on the exact tick.

use weir_media::grid::{Grid, SAMPLE_RATE};
use weir_media::time::FrameRate;

const SECOND: u128 = 1_000_000_000;

/// The raster of one broadcast, laid on the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Frames, segments and parts.
    pub grid: Grid,
    /// Wall clock of output frame 0, nanoseconds since 1970.
    pub epoch: i64,
}

impl Timeline {
    /// Wall clock at which slot `n` starts, nanoseconds since 1970.
    pub fn slot_start(&self, n: u64) -> i64 {
        self.epoch + self.grid.frame_rate.frame_start_ns(n) as i64
    }

    /// Wall clock of output sample `s`, nanoseconds since 1970.
    pub fn sample_start(&self, s: u64) -> i64 {
        self.epoch + sample_pts(s) as i64
    }

    /// The duration of a slot, nanoseconds.
    pub fn slot(&self) -> i64 {
        self.grid.frame_rate.frame_start_ns(1) as i64
    }

    /// How far `time` lies behind the nearest slot start; negative when before it. At most half a slot either way.
    pub fn phase(&self, time: i64) -> i64 {
        let since = time - self.epoch;
        let n = frame_at(self.grid.frame_rate, since.unsigned_abs());
        let nearest = self.grid.frame_rate.frame_start_ns(n) as i64;
        since - if since < 0 { -nearest } else { nearest }
    }
}

/// Presentation time of frame `n`, nanoseconds from the epoch, rounded up.
pub fn frame_pts(rate: FrameRate, n: u64) -> u64 {
    (u128::from(n) * SECOND * u128::from(rate.den())).div_ceil(u128::from(rate.num())) as u64
}

/// Presentation time of sample `s`, nanoseconds from the epoch, rounded up.
pub fn sample_pts(s: u64) -> u64 {
    (u128::from(s) * SECOND).div_ceil(u128::from(SAMPLE_RATE)) as u64
}

/// The frame whose start is nearest to `pts` nanoseconds from the epoch.
pub fn frame_at(rate: FrameRate, pts: u64) -> u64 {
    let (num, den) = (u128::from(rate.num()), u128::from(rate.den()) * SECOND);
    ((u128::from(pts) * num + den / 2) / den) as u64
}

/// The sample nearest to `pts` nanoseconds from the epoch.
pub fn sample_at(pts: u64) -> u64 {
    ((u128::from(pts) * u128::from(SAMPLE_RATE) + SECOND / 2) / SECOND) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> [FrameRate; 4] {
        [FrameRate::whole(24), FrameRate::whole(25), FrameRate::new(30_000, 1_001).unwrap(), FrameRate::whole(50)]
    }

    #[test]
    fn frame_times_scale_down_to_the_exact_tick_for_days() {
        for rate in rates() {
            let timescale = if rate.den() == 1 { rate.num() * 100 } else { rate.num() };
            let per_frame = u128::from(timescale) * u128::from(rate.den()) / u128::from(rate.num());
            for n in [0, 1, 2, 3, 47, 48, 1_000_003, 30_000_000u64] {
                let ticks = u128::from(frame_pts(rate, n)) * u128::from(timescale) / SECOND;
                assert_eq!(ticks, u128::from(n) * per_frame, "{rate} frame {n}");
                assert_eq!(frame_at(rate, frame_pts(rate, n)), n);
            }
        }
    }

    #[test]
    fn sample_times_scale_down_to_the_exact_tick_for_days() {
        for s in [0, 1, 1_024, 2_048, 3 * 1_024, 999_999_999, 48_000 * 86_400 * 30u64] {
            assert_eq!(u128::from(sample_pts(s)) * u128::from(SAMPLE_RATE) / SECOND, u128::from(s));
            assert_eq!(sample_at(sample_pts(s)), s);
        }
    }

    #[test]
    fn phase_is_the_signed_distance_to_the_nearest_slot() {
        let timeline = Timeline { grid: Grid::new(FrameRate::whole(25)), epoch: 1_000 };
        assert_eq!(timeline.phase(timeline.slot_start(7) + 3), 3);
        assert_eq!(timeline.phase(timeline.slot_start(7) - 3), -3);
        assert_eq!(timeline.phase(timeline.slot_start(7) + 19_000_000), 19_000_000);
        assert_eq!(timeline.phase(timeline.slot_start(7) + 21_000_000), -19_000_000);
    }
}
