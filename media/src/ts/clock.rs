//! Times of 90 kHz that wrap at 33 bits to times that do not.

use super::TsError;
use crate::time::Timestamp;

const BITS: u32 = 33;
/// A timeline further from zero than this, ticks, is none: 30 000 years, and as nanoseconds still countable.
const FARTHEST: i64 = 90_000_000_000_000;
/// Furthest that a picture's two times are apart, ticks: a decoder delays by 10 s at most (2.4.2.7, 2.14.3.1).
const DELAY: i64 = 10 * 90_000;

/// When a unit is shown and decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub pts: Timestamp,
    pub dts: Timestamp,
}

/// The clock of a program, shared by its tracks.
#[derive(Default)]
pub(super) struct Clock(Option<i64>);

impl Clock {
    /// Each DTS is the one nearest to its predecessor, of either track: 13 h in both directions. `None` when the two times cannot belong
    /// to one picture.
    pub fn unroll(&mut self, pts: u64, dts: Option<u64>) -> Result<Option<Times>, TsError> {
        let dts = dts.unwrap_or(pts);
        let delay = signed(pts.wrapping_sub(dts));
        if delay.abs() > DELAY {
            return Ok(None);
        }
        let now = match self.0 {
            None => dts as i64,
            Some(last) => last + signed(dts.wrapping_sub(last as u64)),
        };
        if now.abs() > FARTHEST {
            return Err(TsError::Timestamp);
        }
        self.0 = Some(now);
        Ok(Some(Times { pts: timestamp(now + delay), dts: timestamp(now) }))
    }
}

/// The lowest 33 bits as a number from -2^32 to 2^32 - 1.
fn signed(ticks: u64) -> i64 {
    (ticks << (64 - BITS)) as i64 >> (64 - BITS)
}

fn timestamp(ticks: i64) -> Timestamp {
    Timestamp::from_nanos(ticks.div_euclid(9) * 100_000 + ticks.rem_euclid(9) * 100_000 / 9)
}
