//! The control process' side of a media worker: it spawns the process, feeds it, and shelves what it makes.
//!
//! One *driver* task per broadcast owns everything; [`WorkerPipeline`] is the handle that a `PipelineActor` holds. Media flows
//! from each session's feed through a pump task to the worker's socket; when the worker is slow the socket fills, the feed
//! fills, and the feed drops to the next keyframe. Orders have a channel of their own and go first, so a worker that does not
//! read cannot keep the driver from killing it.
//!
//! ```text
//! Idle --start--> Running --exit--> Idle (inputs kept) --start--> Running (resumes at the first unpublished part) ...
//!                    '--finish--> Finishing --exit or 2 s--> Ended
//! ```

mod driver;
mod forker;
mod process;
mod shelver;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use weir_media::failover::HandOver;
use weir_media::feed::Feed;
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::{BroadcastSpec, OutputSink, Pipeline, PipelineEvent, PipelineEvents, PipelineFactory};
use weir_media::protocol::H264Encoder;

use driver::{Command, Driver};
use forker::Forker;

pub use process::confine;

/// How many orders may wait for a driver. Orders are rare; a full channel means a stuck runtime.
const COMMANDS: usize = 256;

/// What every worker is started with.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The binary; it is called with `worker` and the stream id.
    pub executable: PathBuf,
    /// The plugin registry that [`build_registry`] made.
    pub gst_registry: PathBuf,
    /// Encoder of the rungs.
    pub encoder: H264Encoder,
    /// x264 speed preset.
    pub preset: String,
    /// Threads per encoder, 0 lets it choose.
    pub threads: u32,
    /// Audio bit rate, kbit/s.
    pub audio_bitrate_kbps: u32,
    /// How far the output runs behind arrival in mode `freeze`, milliseconds.
    pub delay_ms: u32,
}

/// Opens a broadcast's place on the shelf.
pub type OpenSink = Arc<dyn Fn(&BroadcastSpec) -> Arc<dyn OutputSink> + Send + Sync>;

/// Makes pipelines that run in worker processes.
pub struct WorkerPipelines {
    config: Arc<HostConfig>,
    open: OpenSink,
    runtime: Handle,
    forker: Forker,
}

impl WorkerPipelines {
    /// `runtime` runs the drivers; it has to be a multi-thread runtime that outlives all broadcasts.
    pub fn new(config: HostConfig, open: OpenSink, runtime: Handle) -> Self {
        Self { config: Arc::new(config), open, forker: Forker::new(runtime.clone()), runtime }
    }
}

impl PipelineFactory for WorkerPipelines {
    fn broadcast(&self, spec: BroadcastSpec, events: PipelineEvents) -> Box<dyn Pipeline> {
        let sink = (self.open)(&spec);
        let pid = Arc::new(AtomicU32::new(0));
        let (commands, orders) = mpsc::channel(COMMANDS);
        let forker = self.forker.clone();
        let driver = Driver::new(Arc::clone(&self.config), forker, spec, sink, Arc::clone(&events), Arc::clone(&pid));
        self.runtime.spawn(driver.run(orders));
        Box::new(WorkerPipeline { commands, pid, events })
    }
}

/// Handle to a driver. Dropping it kills the worker.
struct WorkerPipeline {
    commands: mpsc::Sender<Command>,
    pid: Arc<AtomicU32>,
    events: PipelineEvents,
}

impl WorkerPipeline {
    fn order(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            (self.events)(PipelineEvent::Exited { reason: "pipeline driver does not answer".into(), expected: false });
        }
    }
}

impl Pipeline for WorkerPipeline {
    fn start(&mut self) {
        self.order(Command::Start);
    }

    fn open(&mut self, session: SessionId, slot: Slot, feed: Feed) {
        self.order(Command::Open { session, slot, feed });
    }

    fn close(&mut self, session: SessionId) {
        self.order(Command::Close { session });
    }

    fn on_air(&mut self, session: Option<SessionId>, hand_over: HandOver) {
        self.order(Command::OnAir { session, hand_over });
    }

    fn prepare(&mut self, slot: Slot, decode: bool) {
        self.order(Command::Prepare { slot, decode });
    }

    fn kill(&mut self) {
        self.order(Command::Kill);
    }

    fn finish(&mut self) {
        self.order(Command::Finish);
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// Makes the GStreamer plugin registry at `path` by running `executable worker --registry`, so that no worker has to scan (0.8 s, and a fork).
/// Blocks until it is there.
pub fn build_registry(executable: &std::path::Path, path: &std::path::Path) -> std::io::Result<()> {
    process::build_registry(executable, path)
}
