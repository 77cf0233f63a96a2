//! Whether the thread that runs the tree gets on: a tick on it, and a watcher on another one.
//!
//! A call that blocks, on disk or in a lock, stops every actor of the arbiter at once, with all timers that could tell. So the
//! watcher must run elsewhere, and whoever asks for the tree asks here first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep};

use crate::clock;

/// How often the arbiter ticks.
const EVERY: Duration = Duration::from_secs(1);
/// A tick that is so much older than this is an alarm.
const LATE: Duration = Duration::from_secs(3);

/// The heartbeat of one arbiter; cloning shares it.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    began: Instant,
    /// The last tick, milliseconds after `began`.
    last_ms: AtomicU64,
}

impl Heartbeat {
    /// Starts to tick on the current arbiter, for as long as it runs.
    pub fn start() -> Self {
        let heartbeat = Self::still(clock::now());
        let ticking = heartbeat.clone();
        actix_rt::spawn(async move {
            let mut ticks = interval(EVERY);
            loop {
                ticks.tick().await;
                let since = clock::now().saturating_duration_since(ticking.0.began);
                ticking.0.last_ms.store(since.as_millis() as u64, Ordering::Relaxed);
            }
        });
        heartbeat
    }

    /// One that ticked at `began` and has not since.
    pub fn still(began: Instant) -> Self {
        Self(Arc::new(Beats { began, last_ms: AtomicU64::new(0) }))
    }

    /// How old the last tick is.
    pub fn age(&self) -> Duration {
        let last = self.0.began + Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed));
        clock::now().saturating_duration_since(last)
    }

    /// The last tick is 3 s overdue or more.
    pub fn is_late(&self) -> bool {
        self.age() >= EVERY + LATE
    }

    /// Logs when ticks stay out and when they come back. To be run on another thread than the arbiter's; never ends.
    pub async fn watch(self) {
        loop {
            sleep((EVERY + LATE).saturating_sub(self.age())).await;
            if !self.is_late() {
                continue;
            }
            tracing::error!(age = ?self.age(), "the supervision tree's thread is stuck");
            while self.is_late() {
                sleep(EVERY).await;
            }
            tracing::warn!("the supervision tree's thread goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[actix::test]
    async fn ticks_keep_it_young_and_their_absence_is_late_after_four_seconds() {
        tokio::time::pause();
        let (ticking, still) = (Heartbeat::start(), Heartbeat::still(clock::now()));
        sleep(Duration::from_millis(3_990)).await;
        assert!(ticking.age() < Duration::from_secs(1));
        assert!(!still.is_late());
        sleep(Duration::from_millis(10)).await;
        assert!(still.is_late() && !ticking.is_late());
        assert!(still.age() >= Duration::from_secs(4));
    }

    #[test]
    fn a_blocked_arbiter_is_seen_from_another_thread_and_recovers() {
        let arbiter = actix_rt::System::new();
        let (tell, told) = mpsc::channel();
        let watcher = std::thread::spawn(move || {
            let heartbeat: Heartbeat = told.recv().unwrap();
            let stuck = Instant::now() + Duration::from_secs(20);
            while !heartbeat.is_late() {
                assert!(Instant::now() < stuck, "never late");
                std::thread::park_timeout(Duration::from_millis(20));
            }
            heartbeat
        });
        arbiter.block_on(async move {
            let heartbeat = Heartbeat::start();
            actix_rt::task::yield_now().await;
            tell.send(heartbeat.clone()).unwrap();
            // Blocks this thread, as a call of a C library would, until the other one has seen it.
            let seen = watcher.join().unwrap();
            assert!(seen.is_late());
            sleep(EVERY).await;
            assert!(!seen.is_late(), "{:?}", seen.age());
        });
    }
}
