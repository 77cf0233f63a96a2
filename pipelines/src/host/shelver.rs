//! Where a worker's messages go: media to the shelf, all else to the pipeline's events. It believes no more of them than it must.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;
use weir_media::grid::Grid;
use weir_media::pipeline::{OutputSink, PipelineEvent, PipelineEvents};
use weir_media::protocol::{self, FromWorker, MAX_SCREENSHOT, Output};

/// How far a worker's clock, read once at its start, may be ahead of this process's.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3_600);

/// How a JPEG begins (ITU-T T.81, B.1.1.3).
const JPEG: [u8; 3] = [0xff, 0xd8, 0xff];

/// Takes what a worker says.
pub struct Shelver {
    /// Most renditions.
    pub rungs: usize,
    pub sink: Arc<dyn OutputSink>,
    pub events: PipelineEvents,
    pub output: Arc<OnceLock<Output>>,
    pub fault: Arc<Mutex<Option<String>>>,
}

/// Reads to the end of the socket, or until the worker has to go.
pub async fn read_messages(mut socket: OwnedReadHalf, shelver: Shelver) {
    let mut buffer = BytesMut::with_capacity(256 << 10);
    loop {
        loop {
            match protocol::decode::<FromWorker>(&mut buffer) {
                Ok(Some(message)) => {
                    if let Err(fault) = shelver.take(message) {
                        // Its reports cease with everything else, so it is replaced as one that hangs.
                        tracing::error!(%fault, "worker is not listened to any more");
                        *shelver.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.into());
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => return tracing::error!(%error, "worker message"),
            }
        }
        buffer.reserve(64 << 10);
        if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

impl Shelver {
    /// `Err` when the worker has to go.
    fn take(&self, message: FromWorker) -> Result<(), &'static str> {
        match message {
            FromWorker::Ready => {}
            FromWorker::Output(output) => {
                if !self.plausible(&output) {
                    return Err("it announced an output that no worker makes");
                }
                self.sink.output(&output);
                // A resumed worker repeats it.
                let _ = self.output.set(output.clone());
                (self.events)(PipelineEvent::Output(output));
            }
            FromWorker::Init { track, data } => self.sink.init(track, data),
            FromWorker::Chunk(chunk) => {
                let placed = self.sink.chunk(chunk);
                if placed.hole {
                    return Err("it left out a part");
                }
                if placed.playable {
                    (self.events)(PipelineEvent::Playable);
                }
                if let Some(sequence) = placed.segment {
                    (self.events)(PipelineEvent::Segment { sequence });
                }
            }
            FromWorker::Screenshot { data } => {
                if data.len() <= MAX_SCREENSHOT && data.starts_with(&JPEG) {
                    self.sink.screenshot(data);
                }
            }
            FromWorker::Report(report) => (self.events)(PipelineEvent::Report(report)),
            FromWorker::Input { session, edge } => (self.events)(PipelineEvent::Input { session, edge }),
            FromWorker::Shown(shown) => (self.events)(PipelineEvent::Shown(shown)),
            FromWorker::Gap(gap) => (self.events)(PipelineEvent::Gap(gap)),
            FromWorker::Alignment(alignment) => (self.events)(PipelineEvent::Alignment(alignment)),
            FromWorker::Rejected { session, reason } => (self.events)(PipelineEvent::Rejected { session, reason }),
            FromWorker::Fault { reason } => {
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
        }
        Ok(())
    }

    /// A worker that was taken over by what it decodes shall not be able to exhaust this process or overflow its clocks.
    fn plausible(&self, output: &Output) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        output.grid == Grid::new(Grid::snap(Some(output.grid.frame_rate.as_f64())))
            && (1..=self.rungs).contains(&output.renditions.len())
            && Duration::from_nanos(output.epoch_ns) <= now + CLOCKS_DIFFER
    }
}
