//! What is logged of refused publishers: not all, because anybody can be refused as often as he likes.

use std::sync::{Arc, Mutex, PoisonError};

use weir_policy::rate_limit::Sampling;

use crate::clock;

/// One door's refusals; cloning shares them.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Sampling>>);

impl Refusals {
    /// Whether to log one now: then how many before it were not.
    pub fn take(&self) -> Option<u64> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(clock::now())
    }
}
