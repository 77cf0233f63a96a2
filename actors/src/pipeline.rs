//! PipelineActor: one broadcast's pipeline, kept alive.
//!
//! ```text
//! idle --first input--> starting --report--> running --finish--> finishing --Exited--> (ends)
//!                          ^  |                 |
//!              restart rule|  '---- Exited -----+--hung--> killing
//!                          '---- restarting <---------------Exited-'
//! ```
//!
//! It drives any [`Pipeline`]; what the worker does comes back as [`PipelineEvent`]s through a bounded queue, from any
//! thread. When to restart and when the worker counts as hung are the rules of [`weir_policy`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Context, Handler, Message, StreamHandler};
use futures_util::stream;
use tokio::sync::mpsc;
use weir_media::failover::HandOver;
use weir_media::feed::Feed;
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::{BroadcastSpec, Pipeline, PipelineEvent, PipelineEvents};
use weir_media::protocol::Report as WorkerReport;
use weir_policy::hang::Hang;
use weir_policy::restart::RestartBudget;

use crate::clock;
use crate::config::{Shared, behind};
use crate::report::{PipelineFact, PipelineView, StreamFact, StreamUplink};
use crate::supervise::{Overrun, jitter};
use crate::timer::Deadline;

/// Events that may wait for the actor: more than 10 s of a worker's reports, parts and words.
const EVENTS: usize = 64;
/// How long a killed worker may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// How long a worker may decode before it announces an output: another input's longest GOP.
const UNDECIDED_FOR: Duration = Duration::from_secs(15);
/// How long a finishing worker may take: the pipeline's own 2 s and a margin.
const FINISHED_WITHIN: Duration = Duration::from_secs(3);

/// Adds an input; the first one starts the worker.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OpenInput {
    pub session: SessionId,
    pub slot: Slot,
    pub feed: Feed,
}

/// Removes an input.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseInput(pub SessionId);

/// Puts an input on air; `None` holds the last picture once nothing is left to show.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PutOnAir(pub Option<SessionId>, pub HandOver);

/// Has a warm slot's input decoded although it is not on air, or no longer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PrepareSlot {
    pub slot: Slot,
    pub decode: bool,
}

/// Media arrives from at least one input, or from none any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct InputLive(pub bool);

/// Ends the broadcast; the actor ends when the worker has published what it had.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Finish;

/// What the worker process is up to.
enum Worker {
    Idle,
    Running { hang: Hang, steady_since: Option<Instant> },
    Killing { by: Instant, steady_since: Option<Instant> },
    Waiting { until: Instant },
    Finishing { by: Instant },
}

/// One broadcast.
pub(crate) struct PipelineActor {
    spec: BroadcastSpec,
    shared: Arc<Shared>,
    uplink: StreamUplink,
    pipeline: Option<Box<dyn Pipeline>>,
    overflow: Arc<AtomicBool>,
    worker: Worker,
    budget: RestartBudget,
    /// This worker has announced its output. Until then it may drop what it decodes and wait for another input's keyframe, but not for ever.
    output_runs: bool,
    /// When this worker was first heard to decode.
    decodes_since: Option<Instant>,
    view: PipelineView,
    input_live: bool,
    playable: bool,
    advanced: Option<Instant>,
    transcoding: bool,
    timer: Deadline,
}

impl PipelineActor {
    pub fn new(spec: BroadcastSpec, shared: Arc<Shared>, uplink: StreamUplink) -> Self {
        let budget = RestartBudget::new(shared.config.restarts.worker);
        Self {
            spec,
            shared,
            uplink,
            pipeline: None,
            overflow: Arc::default(),
            worker: Worker::Idle,
            budget,
            output_runs: false,
            decodes_since: None,
            view: PipelineView { state: "idle", ..PipelineView::default() },
            input_live: false,
            playable: false,
            advanced: None,
            transcoding: false,
            timer: Deadline::default(),
        }
    }

    fn start_worker(&mut self, state: &'static str) {
        let hang = Hang::new(self.shared.config.hang, behind(&self.spec.failover), self.input_live, clock::now());
        self.worker = Worker::Running { hang, steady_since: None };
        (self.output_runs, self.decodes_since) = (false, None);
        self.view.state = state;
        self.view.report = WorkerReport::default();
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.start();
        }
    }

    fn on_event(&mut self, event: PipelineEvent) -> Result<(), Overrun> {
        let now = clock::now();
        match event {
            PipelineEvent::Started { pid } => self.view.pid = Some(pid),
            PipelineEvent::Output(output) => {
                self.output_runs = true;
                self.view.output = Some(output);
            }
            PipelineEvent::Playable => {
                self.playable = true;
                self.advance(now);
            }
            PipelineEvent::Segment { sequence } => {
                self.view.last_segment = Some(sequence);
                self.advance(now);
            }
            PipelineEvent::Report(report) => self.on_report(report, now),
            PipelineEvent::Input { session, edge } => self.report(PipelineFact::Input { session, edge })?,
            PipelineEvent::Shown(shown) => self.report(PipelineFact::Shown(shown))?,
            PipelineEvent::Gap(gap) => self.report(PipelineFact::Gap(gap))?,
            PipelineEvent::Alignment(alignment) => self.report(PipelineFact::Alignment(alignment))?,
            PipelineEvent::Rejected { session, reason } => {
                self.report(PipelineFact::Rejected { session, reason })?;
            }
            PipelineEvent::Exited { reason, expected } => return self.on_exited(reason, expected, now),
        }
        Ok(())
    }

    /// Parts came out.
    fn advance(&mut self, now: Instant) {
        self.advanced = Some(now);
        if let Worker::Running { hang, steady_since } = &mut self.worker {
            hang.on_part(now);
            steady_since.get_or_insert(now);
        }
    }

    fn on_report(&mut self, report: WorkerReport, now: Instant) {
        let advanced = report.frames > self.view.report.frames;
        if let Worker::Running { hang, steady_since } = &mut self.worker {
            let decoded: u64 = report.inputs.iter().map(|input| input.decoded_frames).sum();
            if decoded > 0 {
                self.decodes_since.get_or_insert(now);
            }
            let undecided = self.decodes_since.is_none_or(|since| now < since + UNDECIDED_FOR);
            hang.on_report(if self.output_runs || !undecided { decoded } else { 0 }, report.frames, now);
            if advanced {
                let steady_since = *steady_since.get_or_insert(now);
                self.budget.on_running(now.saturating_duration_since(steady_since));
            }
            self.view.state = if self.budget.degraded() { "degraded" } else { "running" };
        }
        if advanced {
            self.advanced = Some(now);
        }
        self.view.report = report;
    }

    fn on_exited(&mut self, reason: String, expected: bool, now: Instant) -> Result<(), Overrun> {
        (self.view.pid, self.view.report) = (None, WorkerReport::default());
        let steady_since = match &self.worker {
            Worker::Running { steady_since, .. } | Worker::Killing { steady_since, .. } => *steady_since,
            Worker::Finishing { .. } => {
                if !expected {
                    tracing::warn!(stream = %self.spec.stream, %reason, "worker died while finishing");
                }
                self.worker = Worker::Finishing { by: now };
                return Ok(());
            }
            Worker::Idle | Worker::Waiting { .. } => return Ok(()),
        };
        let ran = steady_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let Some(restart) = self.budget.on_exit(ran, now, jitter()) else {
            // The first failure stays, whatever the caller makes of this one.
            self.uplink.fail(format!("worker keeps dying: {reason}"));
            return Err(Overrun);
        };
        self.worker = Worker::Waiting { until: restart.at };
        self.view.restarts += 1;
        self.view.last_exit = Some((reason.clone(), clock::wall()));
        self.view.state = if self.budget.degraded() { "degraded" } else { "restarting" };
        if restart.newly_degraded {
            self.report(PipelineFact::Degraded { reason: reason.clone() })?;
        }
        self.report(PipelineFact::WorkerDied { reason })
    }

    fn on_deadline(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        match &self.worker {
            Worker::Running { hang, steady_since } if hang.is_hung(now) => {
                tracing::warn!(stream = %self.spec.stream, pid = self.view.pid, "worker hangs, killing it");
                self.worker = Worker::Killing { by: now + KILLED_WITHIN, steady_since: *steady_since };
                self.view.state = "killing";
                if let Some(pipeline) = &mut self.pipeline {
                    pipeline.kill();
                }
            }
            Worker::Waiting { until } if now >= *until => {
                self.start_worker(if self.budget.degraded() { "degraded" } else { "starting" });
            }
            Worker::Killing { by, .. } if now >= *by => {
                self.uplink.fail(format!("killed worker was not gone within {KILLED_WITHIN:?}"));
                return ctx.stop();
            }
            _ => {}
        }
        self.settle(ctx);
    }

    /// After anything happened: tells the edges and the view, ends when it is over, arms the timer.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        let over = matches!(self.worker, Worker::Finishing { by } if now >= by);
        let advancing = self.advancing_until().is_some_and(|until| now < until);
        let transcoding = self.playable && advancing && !over;
        let edge = self.transcoding != transcoding;
        self.transcoding = transcoding;
        let told = if edge { self.report(PipelineFact::Transcoding(transcoding)) } else { Ok(()) };
        let told = told.and_then(|()| self.report(PipelineFact::View(Box::new(self.view.clone()))));
        if told.is_err() || over {
            return ctx.stop();
        }
        self.timer.arm(self.deadline(), ctx, |this: &mut Self, ctx| {
            fault!("PipelineActor: timer");
            this.timer.fired();
            this.on_deadline(ctx);
        });
    }

    fn advancing_until(&self) -> Option<Instant> {
        self.advanced.map(|at| at + self.shared.config.hang.limit)
    }

    fn deadline(&self) -> Option<Instant> {
        let worker = match &self.worker {
            Worker::Idle => None,
            Worker::Running { hang, .. } => hang.deadline(),
            Worker::Killing { by, .. } | Worker::Finishing { by } => Some(*by),
            Worker::Waiting { until } => Some(*until),
        };
        worker.into_iter().chain(self.advancing_until().filter(|_| self.transcoding)).min()
    }

    fn report(&self, fact: PipelineFact) -> Result<(), Overrun> {
        self.uplink.report(StreamFact::Pipeline(fact))
    }
}

impl Actor for PipelineActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("PipelineActor: started");
        let (queue, mut events) = mpsc::channel(EVENTS);
        let overflow = Arc::clone(&self.overflow);
        let sink: PipelineEvents = Arc::new(move |event| {
            // A lost event could be the worker's exit, so the actor gives up on the next one it reads.
            if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(event) {
                overflow.store(true, Ordering::Relaxed);
            }
        });
        Self::add_stream(stream::poll_fn(move |cx| events.poll_recv(cx)), ctx);
        self.pipeline = Some(self.shared.factory.broadcast(self.spec.clone(), sink));
    }
}

impl StreamHandler<PipelineEvent> for PipelineActor {
    fn handle(&mut self, event: PipelineEvent, ctx: &mut Self::Context) {
        fault!("PipelineActor: PipelineEvent");
        if self.overflow.load(Ordering::Relaxed) {
            self.uplink.fail("pipeline events came faster than they could be handled");
            return ctx.stop();
        }
        match self.on_event(event) {
            Ok(()) => self.settle(ctx),
            Err(Overrun) => ctx.stop(),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        fault!("PipelineActor: PipelineEvent finished");
        self.uplink.fail("pipeline dropped its event sink");
        ctx.stop();
    }
}

impl Handler<OpenInput> for PipelineActor {
    type Result = ();

    fn handle(&mut self, OpenInput { session, slot, feed }: OpenInput, ctx: &mut Self::Context) {
        fault!("PipelineActor: OpenInput");
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.open(session, slot, feed);
        }
        if matches!(self.worker, Worker::Idle) {
            self.start_worker("starting");
        }
        self.settle(ctx);
    }
}

impl Handler<CloseInput> for PipelineActor {
    type Result = ();

    fn handle(&mut self, CloseInput(session): CloseInput, _: &mut Self::Context) {
        fault!("PipelineActor: CloseInput");
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.close(session);
        }
    }
}

impl Handler<PutOnAir> for PipelineActor {
    type Result = ();

    fn handle(&mut self, PutOnAir(session, hand_over): PutOnAir, _: &mut Self::Context) {
        fault!("PipelineActor: PutOnAir");
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.on_air(session, hand_over);
        }
    }
}

impl Handler<PrepareSlot> for PipelineActor {
    type Result = ();

    fn handle(&mut self, PrepareSlot { slot, decode }: PrepareSlot, _: &mut Self::Context) {
        fault!("PipelineActor: PrepareSlot");
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.prepare(slot, decode);
        }
    }
}

impl Handler<InputLive> for PipelineActor {
    type Result = ();

    fn handle(&mut self, InputLive(live): InputLive, ctx: &mut Self::Context) {
        fault!("PipelineActor: InputLive");
        self.input_live = live;
        if let Worker::Running { hang, .. } = &mut self.worker {
            hang.on_input(live, clock::now());
        }
        self.settle(ctx);
    }
}

impl Handler<Finish> for PipelineActor {
    type Result = ();

    fn handle(&mut self, _: Finish, ctx: &mut Self::Context) {
        fault!("PipelineActor: Finish");
        self.worker = Worker::Finishing { by: clock::now() + FINISHED_WITHIN };
        self.view.state = "finishing";
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.finish();
        }
        self.settle(ctx);
    }
}
