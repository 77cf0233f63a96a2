//! StreamSupervisor: owns one stream's slots, sessions and broadcast, and the actors that serve them.
//!
//! Publishers come down from Root as [`Admit`], facts come up from the children through one bounded queue, and every
//! decision is a rule's: [`Admission`](weir_policy::admission::Admission) (who may publish, who was silent too long), the failover rule by its actor (live, on
//! air, end of the broadcast), the restart budget of [`Children`]. It ends by itself when nothing is left to do.

mod admit;
mod broadcast;
mod close;
mod decision;
mod doctor;
mod output;
mod pull;
mod rule;
mod session;
pub(crate) mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, Message, MessageResult, ResponseFuture, StreamHandler};
use futures_util::stream;
use tokio::sync::mpsc;
use weir_media::failover::FailoverSpec;
use weir_media::id::{SessionId, Slot, StreamId};
use weir_media::ladder::Ladder;
use weir_media::pull::PullUri;
use weir_policy::doctor::Pair;

use self::broadcast::PipelineRef;
use self::pull::Pulling;
use self::rule::Air;
use self::session::Session;
use crate::admission_board::Slots;
use crate::clock;
use crate::config::Shared;
use crate::control::{NotLive, NotRestarted, StreamActor, StreamSpec};
use crate::event::EventKind;
use crate::health::Tally;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::preflight::Preflight;
use crate::report::{CAPACITY, ChildName, StreamFact, StreamReport};
use crate::root::RootUplink;
use crate::status::{StreamDetail, StreamStatus, TreeNode};
use crate::supervise::{Body, Children, ExitReason, Parent, restart_later, restart_ordered};
use crate::timer::Deadline;

pub(crate) use self::admit::Admit;
pub(crate) use self::close::{CloseSessions, EndPreflight, Retire};

/// What of a stream outlives its supervisors.
pub(crate) struct Kept {
    pub journal: Journal,
    pub ledger: Arc<Ledger>,
    pub slots: Slots,
    pub preflight: Preflight,
}

/// What the next broadcast is made with.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct Wishes {
    pub ladder: Ladder,
    pub failover: FailoverSpec,
    /// What it is pulled from; nothing when encoders push to it.
    pub sources: Arc<[PullUri]>,
}

impl From<&StreamSpec> for Wishes {
    fn from(spec: &StreamSpec) -> Self {
        Self { ladder: spec.ladder.clone(), failover: spec.failover, sources: spec.pulled() }
    }
}

/// The operator puts a slot on air, or leaves it to the rules again.
#[derive(Message)]
#[rtype(result = "Result<(), NotLive>")]
pub(crate) struct Choose(pub Option<Slot>);

/// The operator wants a child fresh.
#[derive(Message)]
#[rtype(result = "Result<(), NotRestarted>")]
pub(crate) struct RestartChild(pub StreamActor);

/// Asks for the children's part of the tree.
#[derive(Message)]
#[rtype(result = "Vec<TreeNode>")]
pub(crate) struct DescribeChildren;

/// Asks for the operator's detail.
#[derive(Message)]
#[rtype(result = "StreamDetail")]
pub(crate) struct Describe;

pub(crate) struct StreamSupervisor {
    id: StreamId,
    wished: Wishes,
    /// How the running broadcast fails over, else the next one.
    failover: FailoverSpec,
    shared: Arc<Shared>,
    journal: Journal,
    ledger: Arc<Ledger>,
    uplink: RootUplink,
    children: Children<ChildName, StreamFact>,
    reports: Option<mpsc::Receiver<StreamReport>>,
    admission: Slots,
    preflight: Preflight,
    air: Air,
    pipeline: Option<PipelineRef>,
    /// `None` when encoders push to it.
    pulling: Option<Pulling>,
    broadcasts: u64,
    /// One has begun and not ended.
    broadcasting: bool,
    /// Begun broadcasts whose pipelines are finishing.
    ending: BTreeSet<u64>,
    /// A broadcast has ended and none has begun since.
    ended: bool,
    sessions: BTreeMap<SessionId, Session>,
    /// The latest session of each slot, primary first, also when it is gone.
    newest: [Option<SessionId>; 2],
    /// The latest one that has sent video.
    sending: [Option<SessionId>; 2],
    /// Of the sessions that the worker may still speak of.
    slots: BTreeMap<SessionId, Slot>,
    /// Compares what both slots send.
    pair: Pair,
    tally: Tally,
    idle_since: Instant,
    /// Ordered to end; takes no publisher any more.
    retiring: bool,
    status: StreamStatus,
    timer: Deadline,
}

impl StreamSupervisor {
    pub fn new(id: StreamId, wished: Wishes, shared: Arc<Shared>, kept: Kept, uplink: RootUplink) -> Self {
        let (children, reports) = Children::new(CAPACITY);
        let (failover, now) = (wished.failover, clock::now());
        Self {
            id,
            wished,
            failover,
            journal: kept.journal,
            ledger: kept.ledger,
            uplink,
            children,
            reports: Some(reports),
            admission: kept.slots,
            preflight: kept.preflight,
            air: Air::new(shared.config.failover(&failover), now),
            pipeline: None,
            pulling: None,
            broadcasts: 0,
            broadcasting: false,
            ending: BTreeSet::new(),
            ended: false,
            sessions: BTreeMap::new(),
            newest: [None; 2],
            sending: [None; 2],
            slots: BTreeMap::new(),
            pair: Pair::default(),
            tally: Tally::default(),
            idle_since: now,
            retiring: false,
            status: shared.board.get(id),
            timer: Deadline::default(),
            shared,
        }
    }

    fn record(&self, kind: EventKind) {
        self.ledger.record(kind);
    }

    fn on_exit(&mut self, child: ChildName, reason: ExitReason, ctx: &mut Context<Self>) {
        match child {
            ChildName::Connection(id) => {
                self.children.forget(&child);
                self.session_gone(id, reason);
            }
            ChildName::Failover => {
                self.air.actor = None;
                self.restart_or_fail(child, "failover actor", &reason, ctx);
            }
            ChildName::Pull => {
                self.pull_gone();
                self.restart_or_fail(child, "pull actor", &reason, ctx);
            }
            ChildName::Pipeline(number) => {
                let running = self.pipeline.as_mut().filter(|pipeline| pipeline.number == number);
                let Some(pipeline) = running else { return self.pipeline_gone(number, &reason) };
                pipeline.addr = None;
                (pipeline.transcoding, pipeline.shown, pipeline.input_live) = (false, None, false);
                self.set_transcoding(false);
                self.worker_gone();
                self.record(EventKind::PipelineRestarted { reason: reason.to_string() });
                self.restart_or_fail(child, "pipeline actor", &reason, ctx);
            }
        }
    }

    /// A child that is given up takes the whole stream with it: what is wrong may be what it was started from.
    fn restart_or_fail(&mut self, child: ChildName, what: &str, reason: &ExitReason, ctx: &mut Context<Self>) {
        if restart_later(self, child, ctx).is_some() {
            self.shared.restarts.add(child.actor());
            return self.journal.note(format!("{what} {reason}: restarting it"));
        }
        let text = format!("{what} keeps dying: {reason}");
        self.journal.note(&text);
        self.uplink.fail(text);
        ctx.stop();
    }

    /// After anything happened: shows it, ends when nothing is left, arms the timer.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        let idle_end = self.idle_end();
        let over = self.retiring || idle_end.is_some_and(|end| now >= end);
        if over {
            self.finish_pipeline();
        }
        self.publish_status();
        if self.air.is_overrun() {
            self.uplink.fail("failover actor does not keep up with what it is told");
            return ctx.stop();
        }
        if over && self.children.names().all(|name| *name == ChildName::Failover) {
            return ctx.stop();
        }
        let deadline = self.admission.lock().deadline().into_iter().chain(idle_end.filter(|end| *end > now)).min();
        self.timer.arm(deadline, ctx, |this: &mut Self, ctx| {
            fault!("StreamSupervisor: timer");
            this.timer.fired();
            this.expire_sessions();
            this.settle(ctx);
        });
    }

    /// When it ends if nobody comes.
    fn idle_end(&self) -> Option<Instant> {
        let idle = self.sessions.is_empty() && !self.broadcasting && !self.is_pulling();
        idle.then(|| self.idle_since + self.shared.config.idle())
    }
}

impl Parent<ChildName, StreamFact> for StreamSupervisor {
    fn children(&mut self) -> &mut Children<ChildName, StreamFact> {
        &mut self.children
    }

    fn restart(&mut self, child: ChildName, ctx: &mut Context<Self>) {
        match child {
            ChildName::Failover => self.start_failover(),
            ChildName::Pull => self.start_pull(),
            ChildName::Pipeline(number) => match &self.pipeline {
                Some(pipeline) if pipeline.number == number => self.start_pipeline(number, pipeline.spec.clone()),
                // The broadcast has ended meanwhile.
                _ => self.pipeline_ended(number),
            },
            ChildName::Connection(_) => {}
        }
        self.settle(ctx);
    }
}

impl Actor for StreamSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("StreamSupervisor: started");
        if let Some(mut reports) = self.reports.take() {
            Self::add_stream(stream::poll_fn(move |cx| reports.poll_recv(cx)), ctx);
        }
        self.start_failover();
        self.pull_from(Arc::clone(&self.wished.sources));
        self.settle(ctx);
    }
}

impl StreamHandler<StreamReport> for StreamSupervisor {
    fn handle(&mut self, report: StreamReport, ctx: &mut Self::Context) {
        fault!("StreamSupervisor: StreamReport");
        let Some((child, body)) = self.children.accept(report) else { return };
        match (child, body) {
            (child, Body::Exited(reason)) => self.on_exit(child, reason, ctx),
            (_, Body::Fact(StreamFact::Ruled(ruling))) => self.on_ruling(*ruling),
            (_, Body::Fact(StreamFact::Pull(fact))) => self.on_pull(fact),
            (ChildName::Connection(id), Body::Fact(StreamFact::Connection(fact))) => self.on_connection(id, fact),
            (ChildName::Pipeline(number), Body::Fact(StreamFact::Pipeline(fact))) => self.on_pipeline(number, fact),
            (child, Body::Fact(fact)) => tracing::error!(?child, ?fact, "a child reported what is not its business"),
        }
        self.settle(ctx);
    }
}

impl Handler<Wishes> for StreamSupervisor {
    type Result = ();

    fn handle(&mut self, wished: Wishes, ctx: &mut Self::Context) {
        fault!("StreamSupervisor: Wishes");
        self.wished = wished;
        // A pipeline that waits for an encoder is made with the old wishes.
        if !self.broadcasting && self.open_sessions().next().is_none() {
            self.finish_pipeline();
        }
        self.configure();
        if !self.retiring {
            self.pull_from(Arc::clone(&self.wished.sources));
        }
        self.settle(ctx);
    }
}

impl Handler<Choose> for StreamSupervisor {
    type Result = Result<(), NotLive>;

    fn handle(&mut self, Choose(slot): Choose, _: &mut Self::Context) -> Self::Result {
        fault!("StreamSupervisor: Choose");
        self.choose(slot)
    }
}

impl Handler<RestartChild> for StreamSupervisor {
    type Result = Result<(), NotRestarted>;

    fn handle(&mut self, RestartChild(actor): RestartChild, ctx: &mut Self::Context) -> Self::Result {
        fault!("StreamSupervisor: RestartChild");
        let child = match actor {
            StreamActor::Failover => Some(ChildName::Failover),
            StreamActor::Pull => Some(ChildName::Pull),
            StreamActor::Pipeline => self.pipeline.as_ref().map(|pipeline| ChildName::Pipeline(pipeline.number)),
            // Its own restart is Root's.
            StreamActor::Supervisor => None,
        };
        let done = child.is_some_and(|child| restart_ordered(self, child, ctx));
        done.then_some(()).ok_or(NotRestarted)
    }
}

impl Handler<DescribeChildren> for StreamSupervisor {
    type Result = ResponseFuture<Vec<TreeNode>>;

    fn handle(&mut self, _: DescribeChildren, _: &mut Self::Context) -> Self::Result {
        fault!("StreamSupervisor: DescribeChildren");
        self.children_nodes()
    }
}

impl Handler<Describe> for StreamSupervisor {
    type Result = MessageResult<Describe>;

    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Self::Result {
        fault!("StreamSupervisor: Describe");
        MessageResult(self.detail())
    }
}
