//! The only place of the workspace's control plane that reads the clock.

use std::time::{Instant, SystemTime};

/// Monotonic time. Follows `tokio::time::pause` in tests.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall clock, for timestamps that people and other machines read.
pub fn wall() -> SystemTime {
    SystemTime::now()
}
