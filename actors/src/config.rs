//! The tree's numbers, and what all of its actors share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_media::failover::{FailoverSpec, Mode};
use weir_media::feed;
use weir_media::id::SessionId;
use weir_media::pipeline::PipelineFactory;
use weir_policy::admission::AdmissionPolicy;
use weir_policy::failover::Policy;
use weir_policy::hang::HangPolicy;
use weir_policy::restart::RestartPolicy;
use weir_policy::rotation;

use crate::admission_board::AdmissionBoard;
use crate::event::EventSink;
use crate::health::HealthSink;
use crate::pull::Puller;
use crate::status::StatusBoard;
use crate::survey::RestartCounts;

/// The tree's numbers. The defaults are those of the architecture.
#[derive(Clone, Copy, Debug)]
pub struct TreeConfig {
    /// `failover.stall`: a slot without media for this long is lost, and free for a newcomer.
    pub stall: Duration,
    /// `failover.hold`: steady media after which the primary slot is on air again.
    pub hold: Duration,
    /// `failover.linger`: a broadcast without media for this long ends.
    pub linger: Duration,
    /// A session without media for this long is closed.
    pub silent_close: Duration,
    /// `limits.connect_every`: one admitted session per slot and address in this time …
    pub connect_every: Duration,
    /// `limits.connect_burst`: … with this many at once after a rest.
    pub connect_burst: u32,
    /// `pull`: when the next source is asked, and when pulling is given up.
    pub rotation: rotation::Policy,
    /// What each session's feed holds.
    pub feed: feed::Limits,
    /// When a worker counts as hung.
    pub hang: HangPolicy,
    /// When what died is restarted.
    pub restarts: Restarts,
}

/// When what died is restarted, by kind.
#[derive(Clone, Copy, Debug)]
pub struct Restarts {
    /// Worker processes.
    pub worker: RestartPolicy,
    /// A stream's failover and pipeline actors.
    pub actor: RestartPolicy,
    /// Stream supervisors.
    pub stream: RestartPolicy,
    /// Doors.
    pub door: RestartPolicy,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            worker: RestartPolicy::WORKER,
            actor: RestartPolicy::ACTOR,
            stream: RestartPolicy::STREAM,
            door: RestartPolicy::DOOR,
        }
    }
}

impl Default for TreeConfig {
    fn default() -> Self {
        let (admission, failover) = (AdmissionPolicy::default(), Policy::default());
        Self {
            stall: failover.stall,
            hold: failover.hold,
            linger: failover.linger,
            silent_close: admission.silent_close,
            connect_every: admission.connect_every,
            connect_burst: admission.connect_burst,
            rotation: rotation::Policy::default(),
            feed: feed::Limits::default(),
            hang: HangPolicy::default(),
            restarts: Restarts::default(),
        }
    }
}

impl TreeConfig {
    pub(crate) fn admission(&self) -> AdmissionPolicy {
        AdmissionPolicy {
            stall: self.stall,
            silent_close: self.silent_close,
            connect_every: self.connect_every,
            connect_burst: self.connect_burst,
        }
    }

    pub(crate) fn failover(&self, spec: &FailoverSpec) -> Policy {
        let Self { stall, hold, linger, .. } = *self;
        Policy { stall, hold, linger, mode: spec.mode, standby: spec.standby, ..Policy::default() }
    }

    /// How long a supervisor without sessions and broadcast stays: its rate limit must not be forgotten too early.
    pub(crate) fn idle(&self) -> Duration {
        self.linger.max(self.connect_every * self.connect_burst)
    }
}

/// How far a broadcast's output runs behind its input.
pub(crate) fn behind(spec: &FailoverSpec) -> Duration {
    match spec.mode {
        Mode::Freeze => Duration::ZERO,
        Mode::Hitless => spec.delay,
    }
}

/// What the tree needs of the world outside.
pub struct Outside {
    /// Makes the worker processes.
    pub factory: Arc<dyn PipelineFactory>,
    /// Hears what happens.
    pub events: Arc<dyn EventSink>,
    /// Fetches sources; `None` where nothing is pulled.
    pub puller: Option<Puller>,
    /// Takes samples of what streams receive; `None` where nobody wants them.
    pub health: Option<Arc<dyn HealthSink>>,
}

/// What every supervisor works with.
pub(crate) struct Shared {
    pub config: TreeConfig,
    pub factory: Arc<dyn PipelineFactory>,
    pub events: Arc<dyn EventSink>,
    pub board: StatusBoard,
    pub admission: AdmissionBoard,
    /// `None` where nothing is pulled.
    pub puller: Option<Puller>,
    pub health: Option<Arc<dyn HealthSink>>,
    /// Of all actors, since the server started.
    pub restarts: RestartCounts,
    sessions: AtomicU64,
}

impl Shared {
    pub fn new(config: TreeConfig, outside: Outside, board: StatusBoard, admission: AdmissionBoard) -> Self {
        let Outside { factory, events, puller, health } = outside;
        let (restarts, sessions) = (RestartCounts::default(), AtomicU64::new(0));
        Self { config, factory, events, board, admission, puller, health, restarts, sessions }
    }

    /// A name that no session of this run had before.
    pub fn next_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
