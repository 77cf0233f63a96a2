//! Units of time: a track's timeline in nanoseconds, and exact frame rates.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on a source's own timeline, in nanoseconds. May be negative (a PTS before the first DTS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Milliseconds, as RTMP and FLV count.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Nanoseconds.
    pub const fn from_nanos(ns: i64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the source's own zero.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// `self - earlier` in nanoseconds; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// Pictures per second as an exact fraction, e.g. 30000/1001. Both terms are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    num: NonZeroU32,
    den: NonZeroU32,
}

impl FrameRate {
    /// `None` when a term is 0.
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        match (NonZeroU32::new(num), NonZeroU32::new(den)) {
            (Some(num), Some(den)) => Some(Self { num, den }),
            _ => None,
        }
    }

    /// Whole frames per second; 0 is read as 1.
    pub const fn whole(fps: u32) -> Self {
        let num = match NonZeroU32::new(fps) {
            Some(fps) => fps,
            None => NonZeroU32::MIN,
        };
        Self { num, den: NonZeroU32::MIN }
    }

    /// Numerator.
    pub const fn num(self) -> u32 {
        self.num.get()
    }

    /// Denominator.
    pub const fn den(self) -> u32 {
        self.den.get()
    }

    /// Frames per second.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num.get()) / f64::from(self.den.get())
    }

    /// Start of frame `n` in nanoseconds, rounded down. Exact for any `n`: no error accumulates.
    pub fn frame_start_ns(self, n: u64) -> u64 {
        (u128::from(n) * 1_000_000_000 * u128::from(self.den.get()) / u128::from(self.num.get())) as u64
    }

    /// Duration of `frames` frames in seconds.
    pub fn seconds(self, frames: u64) -> f64 {
        frames as f64 * f64::from(self.den.get()) / f64::from(self.num.get())
    }

    /// Duration of one frame, rounded down to a nanosecond.
    pub fn frame_duration(self) -> Duration {
        Duration::from_nanos(self.frame_start_ns(1))
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == NonZeroU32::MIN { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

/// Some instant: rules only look at how far instants are apart.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) fn some_instant() -> std::time::Instant {
    std::time::Instant::now()
}
