//! What a stream's children report to its supervisor.

use std::time::{Instant, SystemTime};

use weir_media::codec::{AudioConfig, VideoConfig};
use weir_media::failover::{Alignment, Gap, InputEdge, Shown};
use weir_media::id::SessionId;
use weir_media::protocol::{Output, Report as WorkerReport};
use weir_policy::doctor::Checkup;

use crate::control::StreamActor;
use crate::failover::Ruling;
use crate::ingest::{CloseReason, TransportStats};
use crate::pull::PullFact;
use crate::supervise::{Report, Uplink};

/// Reports that may wait for a supervisor: 8 s of everything that two publishers and a worker can say.
pub(crate) const CAPACITY: usize = 256;

/// Names of a StreamSupervisor's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChildName {
    /// The FailoverActor.
    Failover,
    /// The PullActor.
    Pull,
    /// The PipelineActor of a broadcast, counted from 1 within one life of the supervisor.
    Pipeline(u64),
    /// The IngestConnection of a session.
    Connection(SessionId),
}

impl ChildName {
    /// Its kind of actor.
    pub fn actor(self) -> &'static str {
        match self {
            Self::Failover => StreamActor::Failover.name(),
            Self::Pull => StreamActor::Pull.name(),
            Self::Pipeline(_) => StreamActor::Pipeline.name(),
            Self::Connection(_) => "IngestConnection",
        }
    }
}

/// A child's way up to its StreamSupervisor.
pub(crate) type StreamUplink = Uplink<ChildName, StreamFact>;

/// What a StreamSupervisor hears.
pub(crate) type StreamReport = Report<ChildName, StreamFact>;

/// A fact of any child.
#[derive(Debug)]
pub(crate) enum StreamFact {
    /// The rule took in facts, and may have decided something.
    Ruled(Box<Ruling>),
    /// A publisher did something.
    Connection(ConnectionFact),
    /// The pipeline did something.
    Pipeline(PipelineFact),
    /// Pulling came to something.
    Pull(PullFact),
}

/// What an IngestConnection passes on from its wire task.
#[derive(Debug)]
pub(crate) enum ConnectionFact {
    Source { video: Option<VideoConfig>, audio: Option<AudioConfig> },
    MediaSeen { at: Instant, bytes: u64, video_units: u64, audio_units: u64 },
    Transport(TransportStats),
    Examined(Box<Checkup>),
    Closed(CloseReason),
}

/// What a PipelineActor tells.
#[derive(Debug)]
pub(crate) enum PipelineFact {
    /// How it is doing now: at every change and with every report of the worker.
    View(Box<PipelineView>),
    /// Manifests answer 200 and parts advance, or no longer.
    Transcoding(bool),
    /// Something changed with an input.
    Input { session: SessionId, edge: InputEdge },
    /// Another input is shown.
    Shown(Shown),
    /// A hole or a change of input is over.
    Gap(Gap),
    /// The alignment's state changed.
    Alignment(Alignment),
    /// An input cannot be decoded.
    Rejected { session: SessionId, reason: String },
    /// The worker died; a new one is started now or soon.
    WorkerDied { reason: String },
    /// The worker keeps dying and is retried slowly from now on.
    Degraded { reason: String },
}

/// A pipeline's state for operators and for the stream's status.
#[derive(Clone, Debug, Default)]
pub(crate) struct PipelineView {
    /// `idle`, `starting`, `running`, `killing`, `restarting`, `degraded`, `finishing`.
    pub state: &'static str,
    pub pid: Option<u32>,
    /// Times the worker was replaced.
    pub restarts: u32,
    /// Why the worker before it ended, and when.
    pub last_exit: Option<(String, SystemTime)>,
    pub output: Option<Output>,
    pub report: WorkerReport,
    pub last_segment: Option<u64>,
}
