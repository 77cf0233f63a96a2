//! The task that owns one broadcast's worker: its process, its socket, its inputs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, ChildStderr};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use weir_media::failover::{HandOver, Mode};
use weir_media::feed::{Feed, FeedItem};
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::{BroadcastSpec, OutputSink, PipelineEvent, PipelineEvents};
use weir_media::protocol::{self, Output, Resume, ToWorker, WorkerSpec};

use super::forker::Forker;
use super::shelver::{Shelver, read_messages};
use super::{HostConfig, process};

/// Orders that wait for the socket; they are rare, so a full channel means a worker that does not read.
const ORDERS: usize = 64;
/// Media messages between the pumps and the socket: small, because the feed is the queue.
const MEDIA: usize = 8;
/// How long a finishing worker may take to publish what it has.
const FINISH: Duration = Duration::from_secs(2);
/// A hole up to this is filled by the next worker; a longer one becomes a discontinuity.
const LONGEST_HOLE: Duration = Duration::from_secs(10);
/// How long after the exit the rest of the worker's output is read.
const DRAIN: Duration = Duration::from_millis(500);
/// Longest line kept of a worker's standard error, bytes.
const LAST_WORDS: usize = 400;

/// Lines of a worker's standard error that are all logged; after them only some.
const LOGGED_LINES: u64 = 50;

/// What a handle orders.
pub enum Command {
    Start,
    Open { session: SessionId, slot: Slot, feed: Feed },
    Close { session: SessionId },
    OnAir { session: Option<SessionId>, hand_over: HandOver },
    Prepare { slot: Slot, decode: bool },
    Kill,
    Finish,
}

pub struct Driver {
    config: Arc<HostConfig>,
    forker: Forker,
    spec: BroadcastSpec,
    sink: Arc<dyn OutputSink>,
    events: PipelineEvents,
    pid: Arc<AtomicU32>,
    inputs: HashMap<SessionId, (Slot, Feed)>,
    on_air: Option<SessionId>,
    /// Warm slots that are decoded although they are not shown, primary first.
    prepared: [bool; 2],
    /// What the first worker fixed, for those after it.
    output: Arc<OnceLock<Output>>,
}

/// A live worker process.
struct Worker {
    child: Child,
    orders: mpsc::Sender<ToWorker>,
    media: mpsc::Sender<ToWorker>,
    pumps: HashMap<SessionId, JoinHandle<()>>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    stderr: JoinHandle<Option<String>>,
    finish_by: Option<Instant>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Driver {
    pub fn new(
        config: Arc<HostConfig>,
        forker: Forker,
        spec: BroadcastSpec,
        sink: Arc<dyn OutputSink>,
        events: PipelineEvents,
        pid: Arc<AtomicU32>,
    ) -> Self {
        Self {
            config,
            forker,
            spec,
            sink,
            events,
            pid,
            inputs: HashMap::new(),
            on_air: None,
            prepared: [false; 2],
            output: Arc::default(),
        }
    }

    /// Runs until the broadcast is finished or the handle is dropped.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut worker: Option<Worker> = None;
        loop {
            let Some(running) = worker.as_mut() else {
                match commands.recv().await {
                    None => return,
                    Some(Command::Start) => worker = self.start().await,
                    Some(Command::Finish) => return self.ended("no worker was running".into()),
                    Some(command) => self.note(command, None),
                }
                continue;
            };
            let finish_by = running.finish_by;
            tokio::select! {
                command = commands.recv() => match command {
                    None => return self.reap(worker.take(), None).await,
                    Some(Command::Start) => {}
                    Some(Command::Kill) => { running.child.start_kill().ok(); }
                    Some(Command::Finish) => {
                        running.finish_by = Some(Instant::now() + FINISH);
                        if running.orders.try_send(ToWorker::Stop).is_err() {
                            running.child.start_kill().ok();
                        }
                    }
                    Some(command) => self.note(command, Some(running)),
                },
                status = running.child.wait() => {
                    let reason = match status {
                        Ok(status) => status.to_string(),
                        Err(error) => format!("cannot be waited for: {error}"),
                    };
                    self.reap(worker.take(), Some(reason)).await;
                    if finish_by.is_some() {
                        return;
                    }
                }
                () = deadline(finish_by) => {
                    running.finish_by = Some(Instant::now() + FINISH);
                    running.child.start_kill().ok();
                }
            }
        }
    }

    /// Remembers what the next worker needs to know, and tells the present one.
    fn note(&mut self, command: Command, worker: Option<&mut Worker>) {
        match command {
            Command::Open { session, slot, feed } => {
                if let Some(worker) = worker {
                    worker.pump(session, slot, &feed);
                }
                self.inputs.insert(session, (slot, feed));
            }
            Command::Close { session } => {
                self.inputs.remove(&session);
                if let Some(worker) = worker {
                    worker.close(session);
                }
            }
            Command::OnAir { session, hand_over } => {
                self.on_air = session;
                if let Some(worker) = worker {
                    worker.order(ToWorker::OnAir { session, hand_over });
                }
            }
            Command::Prepare { slot, decode } => {
                self.prepared[slot as usize] = decode;
                if let Some(worker) = worker {
                    worker.order(ToWorker::Prepare { slot, decode });
                }
            }
            Command::Start | Command::Kill | Command::Finish => {}
        }
    }

    async fn start(&mut self) -> Option<Worker> {
        let (config, stream) = (Arc::clone(&self.config), self.spec.stream);
        let (mut child, socket) = match self.forker.run(move || process::spawn(&config, stream)).await {
            Ok(spawned) => spawned,
            Err(error) => {
                let reason = format!("worker cannot be started: {error}");
                (self.events)(PipelineEvent::Exited { reason, expected: false });
                return None;
            }
        };
        let pid = child.id().unwrap_or_default();
        self.pid.store(pid, Ordering::Relaxed);
        let (read, write) = socket.into_split();
        let (orders, order_queue) = mpsc::channel(ORDERS);
        let (media, media_queue) = mpsc::channel(MEDIA);
        let fault = Arc::default();
        let resume = self.resume();
        let shelver = Shelver {
            rungs: self.spec.ladder.0.len(),
            sink: Arc::clone(&self.sink),
            events: Arc::clone(&self.events),
            output: Arc::clone(&self.output),
            fault: Arc::clone(&fault),
        };
        let mut worker = Worker {
            stderr: tokio::spawn(last_words(child.stderr.take(), self.spec.stream)),
            child,
            writer: tokio::spawn(write_messages(write, order_queue, media_queue)),
            reader: tokio::spawn(read_messages(read, shelver)),
            orders,
            media,
            pumps: HashMap::new(),
            finish_by: None,
            fault,
        };
        (self.events)(PipelineEvent::Started { pid });
        worker.order(ToWorker::Start(WorkerSpec {
            ladder: self.spec.ladder.clone(),
            encoder: self.config.encoder,
            preset: self.config.preset.clone(),
            threads: self.config.threads,
            audio_bitrate_kbps: self.config.audio_bitrate_kbps,
            delay_ms: match self.spec.failover.mode {
                Mode::Freeze => self.config.delay_ms,
                Mode::Hitless => self.spec.failover.delay.as_millis() as u32,
            },
            failover: self.spec.failover,
            resume,
        }));
        worker.order(ToWorker::OnAir { session: self.on_air, hand_over: HandOver::AtOnce });
        for slot in [Slot::Primary, Slot::Backup] {
            if self.prepared[slot as usize] {
                worker.order(ToWorker::Prepare { slot, decode: true });
            }
        }
        for (session, (slot, feed)) in &self.inputs {
            worker.pump(*session, *slot, feed);
        }
        Some(worker)
    }

    /// Where the next worker goes on. After a hole that cannot be filled it begins anew.
    fn resume(&mut self) -> Option<Resume> {
        let output = self.output.get()?.clone();
        let [next_frame, joined_by] = self.sink.next_frames();
        let due = Duration::from_nanos(output.epoch_ns + output.grid.frame_rate.frame_start_ns(next_frame));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now.saturating_sub(due) <= LONGEST_HOLE {
            return Some(Resume { output, next_frame, joined_by });
        }
        self.sink.break_off();
        self.output = Arc::default();
        None
    }

    /// Cleans up after a worker's exit and tells the actor; `None` when nobody listens any more.
    async fn reap(&mut self, worker: Option<Worker>, exit: Option<String>) {
        let Some(mut worker) = worker else { return };
        if exit.is_none() {
            worker.child.start_kill().ok();
            worker.child.wait().await.ok();
        }
        self.pid.store(0, Ordering::Relaxed);
        for pump in worker.pumps.values() {
            pump.abort();
        }
        worker.writer.abort();
        let reader = worker.reader.abort_handle();
        match timeout(DRAIN, &mut worker.reader).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(stream = %self.spec.stream, %error, "worker reader failed"),
            Err(_) => reader.abort(),
        }
        let stderr = worker.stderr.abort_handle();
        let last_words = timeout(DRAIN, &mut worker.stderr).await.ok().and_then(Result::ok).flatten();
        stderr.abort();
        let Some(exit) = exit else { return };
        let fault = worker.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reason = match fault.or(last_words) {
            Some(words) => format!("{exit}: {words}"),
            None => exit,
        };
        if worker.finish_by.is_some() {
            self.ended(reason);
        } else {
            (self.events)(PipelineEvent::Exited { reason, expected: false });
        }
    }

    fn ended(&mut self, reason: String) {
        self.sink.end();
        (self.events)(PipelineEvent::Exited { reason, expected: true });
    }
}

impl Worker {
    fn order(&mut self, order: ToWorker) {
        if self.orders.try_send(order).is_err() {
            // It does not read its socket; the exit that follows brings a new one.
            self.child.start_kill().ok();
        }
    }

    fn pump(&mut self, session: SessionId, slot: Slot, feed: &Feed) {
        let (mut reader, media) = (feed.reader(), self.media.clone());
        let pump = tokio::spawn(async move {
            let mut message = ToWorker::Open { session, slot };
            // A closed channel means that the worker is gone.
            while media.send(message).await.is_ok() {
                message = match reader.next().await {
                    Some(FeedItem::Config(config)) => ToWorker::Config { session, config },
                    Some(FeedItem::Unit(unit)) => ToWorker::Unit { session, unit },
                    None => break,
                };
            }
            media.send(ToWorker::Close { session }).await.ok();
        });
        if let Some(earlier) = self.pumps.insert(session, pump) {
            earlier.abort();
        }
    }

    /// Lets what the session delivered go out first; a worker that does not take it is told at once.
    fn close(&mut self, session: SessionId) {
        let Some(mut pump) = self.pumps.remove(&session) else { return };
        let orders = self.orders.clone();
        tokio::spawn(async move {
            if timeout(Duration::from_secs(1), &mut pump).await.is_err() {
                pump.abort();
                orders.send(ToWorker::Close { session }).await.ok();
            }
        });
    }
}

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn write_messages(
    mut socket: OwnedWriteHalf,
    mut orders: mpsc::Receiver<ToWorker>,
    mut media: mpsc::Receiver<ToWorker>,
) {
    let mut buffer = Vec::new();
    loop {
        let message = tokio::select! {
            biased;
            order = orders.recv() => order,
            unit = media.recv() => unit,
        };
        let Some(message) = message else { return };
        if let Err(error) = write_message(&mut socket, &message, &mut buffer).await {
            tracing::debug!(%error, "worker socket closed");
            return;
        }
    }
}

async fn write_message<M: Serialize>(
    socket: &mut OwnedWriteHalf,
    message: &M,
    buffer: &mut Vec<u8>,
) -> std::io::Result<()> {
    buffer.clear();
    protocol::encode(message, buffer).map_err(std::io::Error::other)?;
    socket.write_all(buffer).await
}

/// Logs the worker's standard error and returns its last line. Of a talkative worker not all is logged: what it says depends on what
/// encoders send.
async fn last_words(stderr: Option<ChildStderr>, stream: weir_media::id::StreamId) -> Option<String> {
    let mut lines = BufReader::new(stderr?);
    let (mut last, mut line, mut said) = (None, Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = (&mut lines).take(LAST_WORDS as u64).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return last;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_string();
        if !text.is_empty() {
            said += 1;
            if said <= LOGGED_LINES || said.is_power_of_two() {
                tracing::warn!(%stream, worker = %text, said, "worker says");
            }
            last = Some(text);
        }
    }
}
