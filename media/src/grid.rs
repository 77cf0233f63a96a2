//! The raster of one broadcast: frame rate, GOP, segment and part lengths, and the sample grid that goes with them.
//!
//! A broadcast's output frames are numbered from 0. Frame `n` starts at `n / fps`; segment `k` is frames
//! `k * segment_frames ..`; a part is `part_frames` of them, the last part of a segment the rest. Audio is cut at
//! the first AAC frame that starts at or after the same instant, so it stays within one AAC frame of the grid for ever.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize};

use crate::time::FrameRate;

/// Samples per second of the one audio rendition.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in one AAC-LC frame.
pub const AAC_FRAME: u32 = 1_024;
/// Wished segment duration, seconds: 75 AAC frames exactly, and whole frames at 25, 30, 50 and 60.
const SEGMENT_SECONDS: f64 = 1.6;
/// Wished part duration, seconds: parts much shorter than this break the 85 % rule of RFC 8216bis 4.4.3.7.
const PART_SECONDS: f64 = 0.4;

/// Frame rates an output can have; a source snaps to the nearest.
const RATES: [(u32, u32); 7] = [(24_000, 1_001), (24, 1), (25, 1), (30_000, 1_001), (30, 1), (50, 1), (60_000, 1_001)];

/// The raster of one broadcast. Fixed by its first decodable input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Output frame rate.
    pub frame_rate: FrameRate,
    /// Output frames in a segment; also the GOP, so each segment starts with the only keyframe in it. At least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub segment_frames: u32,
    /// Output frames in a part. At least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub part_frames: u32,
}

impl Grid {
    /// The raster for an output rate: segment = round(1.6 s), part = round(0.4 s).
    pub fn new(frame_rate: FrameRate) -> Self {
        let frames = |seconds: f64| (seconds * frame_rate.as_f64()).round().max(1.0) as u32;
        Self { frame_rate, segment_frames: frames(SEGMENT_SECONDS), part_frames: frames(PART_SECONDS) }
    }

    /// The output rate for a source's rate: the nearest of the standard rates, 30 when it is unknown.
    pub fn snap(source_fps: Option<f64>) -> FrameRate {
        let Some(fps) = source_fps.filter(|fps| fps.is_finite() && *fps > 0.0) else { return FrameRate::whole(30) };
        RATES
            .iter()
            .filter_map(|&(num, den)| FrameRate::new(num, den))
            .chain([FrameRate::whole(60)])
            .min_by(|a, b| (a.as_f64() - fps).abs().total_cmp(&(b.as_f64() - fps).abs()))
            .unwrap_or(FrameRate::whole(30))
    }

    /// Segment number (from the broadcast's start) and part number of output frame `n`.
    pub fn place(&self, n: u64) -> (u64, u32) {
        let segment = n / u64::from(self.segment_frames);
        let within = (n % u64::from(self.segment_frames)) as u32;
        (segment, within / self.part_frames)
    }

    /// Parts in a whole segment.
    pub fn parts_per_segment(&self) -> u32 {
        self.segment_frames.div_ceil(self.part_frames)
    }

    /// First output frame of a part.
    pub fn first_frame(&self, segment: u64, part: u32) -> u64 {
        segment * u64::from(self.segment_frames) + u64::from(part * self.part_frames)
    }

    /// First audio sample at or after the start of output frame `n`.
    pub fn first_sample(&self, n: u64) -> u64 {
        let (num, den) = (u128::from(self.frame_rate.num()), u128::from(self.frame_rate.den()));
        (u128::from(n) * u128::from(SAMPLE_RATE) * den).div_ceil(num) as u64
    }

    /// Segment number and part number of the AAC frame whose first sample is `sample`.
    pub fn place_sample(&self, sample: u64) -> (u64, u32) {
        let (num, den) = (u128::from(self.frame_rate.num()), u128::from(self.frame_rate.den()));
        self.place((u128::from(sample) * num / (u128::from(SAMPLE_RATE) * den)) as u64)
    }

    /// Segment duration in seconds.
    pub fn segment_seconds(&self) -> f64 {
        self.frame_rate.seconds(u64::from(self.segment_frames))
    }

    /// Longest duration of a part of any rendition, seconds: the video part rounded up to whole AAC frames.
    pub fn part_target_seconds(&self) -> f64 {
        let (num, den) = (u64::from(self.frame_rate.num()), u64::from(self.frame_rate.den()));
        let part_samples = (u64::from(self.part_frames) * u64::from(SAMPLE_RATE) * den).div_ceil(num);
        (part_samples.div_ceil(u64::from(AAC_FRAME)) * u64::from(AAC_FRAME)) as f64 / f64::from(SAMPLE_RATE)
    }
}

/// A worker's word is not trusted: places are found by division.
fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    NonZeroU32::deserialize(deserializer).map(NonZeroU32::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_rates_give_the_known_raster() {
        for (fps, segment, part) in
            [(24.0, 38, 10), (25.0, 40, 10), (29.97, 48, 12), (30.0, 48, 12), (50.0, 80, 20), (59.94, 96, 24)]
        {
            let grid = Grid::new(Grid::snap(Some(fps)));
            assert_eq!((grid.segment_frames, grid.part_frames), (segment, part), "{fps}");
        }
    }

    #[test]
    fn odd_and_unknown_rates_snap() {
        assert_eq!(Grid::snap(None), FrameRate::whole(30));
        assert_eq!(Grid::snap(Some(14.8)), FrameRate::new(24_000, 1_001).unwrap());
        assert_eq!(Grid::snap(Some(29.96)), FrameRate::new(30_000, 1_001).unwrap());
        assert_eq!(Grid::snap(Some(120.0)), FrameRate::whole(60));
        assert_eq!(Grid::snap(Some(f64::NAN)), FrameRate::whole(30));
    }

    #[test]
    fn parts_and_segments_follow_the_frames() {
        let grid = Grid::new(FrameRate::whole(24));
        assert_eq!(grid.parts_per_segment(), 4);
        assert_eq!(grid.place(0), (0, 0));
        assert_eq!(grid.place(37), (0, 3));
        assert_eq!(grid.place(38), (1, 0));
        assert_eq!(grid.first_frame(1, 2), 58);
    }

    #[test]
    fn audio_stays_within_one_aac_frame_of_the_grid_for_ever() {
        for fps in [24.0, 25.0, 29.97, 30.0, 50.0] {
            let grid = Grid::new(Grid::snap(Some(fps)));
            for segment in [0u64, 1, 7, 100, 54_000, 10_000_000] {
                let first = grid.first_sample(grid.first_frame(segment, 0));
                let aac = first.div_ceil(u64::from(AAC_FRAME)) * u64::from(AAC_FRAME);
                assert_eq!(grid.place_sample(aac).0, segment);
                assert!(aac == 0 || grid.place_sample(aac - u64::from(AAC_FRAME)).0 < segment);
            }
        }
    }

    #[test]
    fn part_target_covers_the_longest_audio_part() {
        let grid = Grid::new(FrameRate::whole(30));
        assert!((grid.part_target_seconds() - 19.0 * 1024.0 / 48_000.0).abs() < 1e-9);
    }
}
