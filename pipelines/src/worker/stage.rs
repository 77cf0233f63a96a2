//! What decoders, mixer and the socket's reader share: the open inputs and the choice of one, behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_media::failover::{Alignment, HandOver};
use weir_media::id::SessionId;
use weir_media::protocol::FromWorker;

use super::session::Session;

/// Wall clock in nanoseconds since 1970 that no one can set back: read once, then counted on.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    wall: i64,
}

impl Clock {
    /// Reads the wall clock.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        Self { started: Instant::now(), wall }
    }

    /// Now.
    pub fn now(&self) -> i64 {
        self.wall + self.started.elapsed().as_nanos() as i64
    }
}

/// The inputs and the counters of the output.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Open inputs.
    pub sessions: BTreeMap<SessionId, Session<gst::Buffer>>,
    /// Wall clock until which everything that arrived is in them.
    pub seen_until: i64,
    /// The one on air, and how it takes over.
    pub on_air: Option<SessionId>,
    /// As the control process said with it.
    pub hand_over: HandOver,
    /// The one that is shown.
    pub shown: Option<SessionId>,
    /// What the mixer has to tell the control process.
    pub told: VecDeque<FromWorker>,
    /// The mixer has to end.
    pub stopping: bool,
    /// Output frames made.
    pub frames: u64,
    /// Of them repeats.
    pub repeated: u64,
    /// Output frames left out because the encoders were behind.
    pub dropped: u64,
    /// Samples of inserted silence.
    pub silence: u64,
    /// How far apart both slots' programmes are.
    pub alignment: Alignment,
}

/// Most words that wait to be told: some seconds of an output that changes its input in every frame.
const TOLD: usize = 256;

impl Inputs {
    /// Has something told; what is too much is left out, as what comes after it says where things stand.
    pub fn tell(&mut self, message: FromWorker) {
        if self.told.len() < TOLD {
            self.told.push_back(message);
        }
    }
}

/// The shared state.
#[derive(Debug)]
pub struct Stage {
    /// The time of everything in the worker.
    pub clock: Clock,
    inputs: Mutex<Inputs>,
    /// A decoder delivered, or the mixer has to end.
    pub delivered: Condvar,
    /// The mixer took something off, or an input is gone.
    pub taken: Condvar,
    /// The output has to end.
    pub ending: Condvar,
}

impl Stage {
    /// An empty stage.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            inputs: Mutex::default(),
            delivered: Condvar::new(),
            taken: Condvar::new(),
            ending: Condvar::new(),
        })
    }

    /// The lock. A thread that panicked while it held it has left nothing half done that matters more than going on.
    pub fn lock(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits on `condition` for at most `nanoseconds`.
    pub fn wait<'a>(
        &self,
        condition: &Condvar,
        guard: MutexGuard<'a, Inputs>,
        nanoseconds: i64,
    ) -> MutexGuard<'a, Inputs> {
        let time = Duration::from_nanos(nanoseconds.max(0) as u64);
        condition.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
    }
}
