//! How long to wait before the next try: doubling from a first delay up to a longest one, spread by jitter.

use std::time::Duration;

/// Part of a delay that jitter moves it by, either way.
const SPREAD: f64 = 0.2;

/// A doubling delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay of the first try.
    pub first: Duration,
    /// No delay is longer than this, jitter apart.
    pub max: Duration,
}

impl Backoff {
    /// The delay before try `attempt` (0 is the first), moved by up to a fifth. `jitter` is uniform in `0.0..1.0`, so
    /// that many streams failing together do not come back together; 0.5 moves nothing.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt)).min(self.max);
        doubled.mul_f64(1.0 + SPREAD * (2.0 * jitter.clamp(0.0, 1.0) - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(8) };

    #[test]
    fn delays_double_up_to_the_longest() {
        let seconds: Vec<f64> = (0..7).map(|attempt| BACKOFF.delay(attempt, 0.5).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
    }

    proptest! {
        #[test]
        fn any_delay_is_within_a_fifth_of_its_step(attempt in 0u32..1_000, jitter in 0.0f64..1.0) {
            let (plain, moved) = (BACKOFF.delay(attempt, 0.5), BACKOFF.delay(attempt, jitter));
            prop_assert!(moved >= plain.mul_f64(0.799) && moved <= plain.mul_f64(1.201));
        }
    }
}
