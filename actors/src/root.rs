//! Root: the directory of streams, the doors, and the way into the tree.
//!
//! Everything from outside comes to Root: [`Publish`] from the doors, the messages of [`crate::control`] from the API.
//! Root asks the gate (token first, [`weir_policy::admission::gate`]), keeps one StreamSupervisor per stream that is in
//! use, and restarts what dies. It waits for nobody: answers that need a child come from a spawned future.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, ActorResponse, Addr, AsyncContext, Context, Handler, ResponseFuture,
    StreamHandler, WrapFuture,
};
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use weir_media::id::{Slot, StreamId};
use weir_policy::admission::{Gate, Refusal, gate};

use crate::clock;
use crate::config::{Shared, TreeConfig};
use crate::control::{ClosedSession, Drain, GetStream, GetTree, PutStream, RemoveStream, Stop, StreamSpec};
use crate::event::EventSink;
use crate::ingest::{CloseReason, Grant, Publish};
use crate::journal::Journal;
use crate::listener::{Door, Listener, StopAccepting};
use crate::status::{SlotDetail, StatusBoard, StreamDetail, TreeNode};
use crate::stream::view::node;
use crate::stream::{Admit, CloseSessions, Describe, DescribeChildren, Retire, SetLadder, StreamSupervisor};
use crate::supervise::{ANSWER_WITHIN, Body, Children, ExitReason, Report, Uplink, jitter};
use crate::token::Token;

/// Exits that may wait for Root; watchers wait for room.
const CAPACITY: usize = 64;
/// Longest drain: 5 s for a stubborn wire task, 3 s for a worker, and a margin.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);
/// Journal lines of a stream that is not in use.
const JOURNAL_LINES: usize = 100;

/// Names of Root's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RootChild {
    Door(usize),
    Stream(StreamId),
}

/// The way up to Root: its children have nothing to report but their end.
pub(crate) type RootUplink = Uplink<RootChild, Infallible>;

struct Stream {
    spec: StreamSpec,
    journal: Journal,
    supervisor: Option<Addr<StreamSupervisor>>,
}

impl Stream {
    fn new(spec: StreamSpec) -> Self {
        let journal = Journal::new(spec.id);
        Self { spec, journal, supervisor: None }
    }
}

/// The top of the tree.
pub struct Root {
    shared: Arc<Shared>,
    children: Children<RootChild, Infallible>,
    reports: Option<mpsc::Receiver<Report<RootChild, Infallible>>>,
    doors: Vec<Door>,
    listeners: BTreeMap<usize, Addr<Listener>>,
    streams: BTreeMap<StreamId, Stream>,
    /// Compared with when there is no such stream, so that both answers take the same time.
    dummy: Token,
    draining: bool,
    drained: Vec<oneshot::Sender<()>>,
}

/// Starts the tree on the current arbiter and opens its doors. It knows `streams` before the first publisher can ask: an encoder that
/// is refused as unknown does not come back. Later ones come by [`PutStream`].
pub fn start(
    config: TreeConfig,
    factory: Arc<dyn weir_media::pipeline::PipelineFactory>,
    events: Arc<dyn EventSink>,
    board: StatusBoard,
    streams: Vec<StreamSpec>,
    doors: Vec<Door>,
) -> Addr<Root> {
    let (children, reports) = Children::new(config.restart, CAPACITY);
    let shared = Arc::new(Shared::new(config, factory, events, board));
    Root {
        shared,
        children,
        reports: Some(reports),
        doors,
        listeners: BTreeMap::new(),
        streams: streams.into_iter().map(|spec| (spec.id, Stream::new(spec))).collect(),
        dummy: Token::new("no stream has this token, whatever its text"),
        draining: false,
        drained: vec![],
    }
    .start()
}

impl Root {
    fn open_door(&mut self, number: usize, ctx: &Context<Self>) {
        if let Some(door) = self.doors.get(number).cloned() {
            let publish = ctx.address().recipient();
            let name = RootChild::Door(number);
            let listener = self.children.start(name, |uplink| Listener::new(door, publish, uplink));
            self.listeners.insert(number, listener);
        }
    }

    /// The supervisor of a stream that the gate let through; `None` while it waits to be restarted.
    fn supervisor(&mut self, id: StreamId) -> Option<Addr<StreamSupervisor>> {
        let waiting = self.children.vitals(&RootChild::Stream(id)).is_some();
        let stream = self.streams.get_mut(&id)?;
        if stream.supervisor.is_none() && !waiting {
            self.start_supervisor(id);
        }
        self.streams.get(&id)?.supervisor.clone()
    }

    fn start_supervisor(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (ladder, shared, journal) = (stream.spec.ladder.clone(), Arc::clone(&self.shared), stream.journal.clone());
        let start = |_: Uplink<_, _>| StreamSupervisor::new(id, ladder, shared, journal);
        stream.supervisor = Some(self.children.start(RootChild::Stream(id), start));
    }

    fn on_exit(&mut self, child: RootChild, reason: ExitReason, ctx: &mut Context<Self>) {
        match child {
            RootChild::Door(number) => {
                self.listeners.remove(&number);
                if self.draining {
                    self.children.forget(&child);
                } else {
                    tracing::error!(door = self.doors.get(number).map(|door| &door.name), %reason, "door closed");
                    self.restart_later(child, ctx);
                }
            }
            RootChild::Stream(id) => {
                let Some(stream) = self.streams.get_mut(&id) else {
                    self.children.forget(&child);
                    self.shared.board.remove(id);
                    return;
                };
                stream.supervisor = None;
                if reason == ExitReason::Normal || self.draining {
                    self.children.forget(&child);
                } else {
                    tracing::error!(stream = %id, %reason, "stream supervisor died");
                    stream.journal.note(format!("stream supervisor {reason}: its sessions are closed, restarting it"));
                    self.restart_later(child, ctx);
                }
            }
        }
    }

    fn restart_later(&mut self, child: RootChild, ctx: &mut Context<Self>) {
        let now = clock::now();
        let Some(restart) = self.children.restart(&child, now, jitter()) else { return };
        ctx.run_later(restart.at.saturating_duration_since(now), move |this, ctx| match child {
            _ if this.draining => {
                this.children.forget(&child);
                this.tell_drained();
            }
            RootChild::Door(number) => this.open_door(number, ctx),
            RootChild::Stream(id) if this.streams.contains_key(&id) => this.start_supervisor(id),
            RootChild::Stream(_) => this.children.forget(&child),
        });
    }

    fn tell_drained(&mut self) {
        if self.draining && self.children.names().next().is_none() {
            // Nobody waits any more: the answer went out without it.
            for waiter in self.drained.drain(..) {
                let _ = waiter.send(());
            }
        }
    }

    /// The gate, token first. Unknown streams cost the same comparison.
    fn gate(&self, publish: &Publish) -> Result<StreamId, Refusal> {
        let stream = publish.stream.and_then(|id| self.streams.get(&id));
        let token = stream.map_or(&self.dummy, |stream| &stream.spec.token);
        let token_matches = token.matches(&publish.token);
        gate(Gate {
            known: stream.is_some(),
            token_matches,
            draining: self.draining,
            active: stream.is_some_and(|stream| stream.spec.active),
            pull: stream.is_some_and(|stream| stream.spec.pull),
        })?;
        stream.map(|stream| stream.spec.id).ok_or(Refusal::NotAuthorized { known: false })
    }

    /// Each refusal is kept where the stream's operator looks; of unknown ids only in the log.
    fn note_refusal(&self, stream: Option<StreamId>, whom: &str, refusal: &Refusal) {
        let text = match refusal {
            // Without the time, which differs with every try.
            Refusal::RateLimited { .. } => format!("refused {whom}: too many connections"),
            refusal => format!("refused {whom}: {refusal}"),
        };
        match stream.and_then(|id| self.streams.get(&id)) {
            Some(stream) => stream.journal.note_once(text),
            None => tracing::info!("{text}"),
        }
    }
}

impl Actor for Root {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(mut reports) = self.reports.take() {
            Self::add_stream(stream::poll_fn(move |cx| reports.poll_recv(cx)), ctx);
        }
        (0..self.doors.len()).for_each(|number| self.open_door(number, ctx));
    }
}

impl StreamHandler<Report<RootChild, Infallible>> for Root {
    fn handle(&mut self, report: Report<RootChild, Infallible>, ctx: &mut Self::Context) {
        if let Some((child, Body::Exited(reason))) = self.children.accept(report) {
            self.on_exit(child, reason, ctx);
            self.tell_drained();
        }
    }
}

impl Handler<Publish> for Root {
    type Result = ActorResponse<Self, Result<Grant, Refusal>>;

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) -> Self::Result {
        let whom = format!("{} {} from {}", publish.protocol.source_type(), publish.slot, publish.peer.ip());
        let named = publish.stream;
        let admitted = self.gate(&publish).and_then(|id| self.supervisor(id).ok_or(Refusal::Restarting));
        let supervisor = match admitted {
            Ok(supervisor) => supervisor,
            Err(refusal) => {
                self.note_refusal(named, &whom, &refusal);
                return ActorResponse::reply(Err(refusal));
            }
        };
        let Publish { slot, protocol, peer, agent, .. } = publish;
        let answer = supervisor.send(Admit { slot, protocol, peer, agent });
        ActorResponse::r#async(answer.into_actor(self).map(move |answer, this, _| {
            // A closed mailbox: the supervisor died, or ended for want of work in this very moment.
            let answer = answer.unwrap_or(Err(Refusal::Restarting));
            if let Err(refusal) = &answer {
                this.note_refusal(named, &whom, refusal);
            }
            answer
        }))
    }
}

impl Handler<PutStream> for Root {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, PutStream(spec): PutStream, _: &mut Self::Context) -> Self::Result {
        let id = spec.id;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.streams.insert(id, Stream::new(spec));
            return Box::pin(async { vec![] });
        };
        let close = close_reason(&stream.spec, &spec);
        let ladder = spec.ladder.clone();
        stream.spec = spec;
        if let Some(reason) = &close {
            stream.journal.note(reason.to_string());
        }
        let Some(supervisor) = &stream.supervisor else { return Box::pin(async { vec![] }) };
        supervisor.do_send(SetLadder(ladder)); // rare, and must not be lost
        let closing = close.map(|reason| supervisor.send(CloseSessions(reason)));
        Box::pin(async move {
            match closing {
                // A supervisor that dies meanwhile closes its sessions too, but cannot tell which.
                Some(closing) => closing.await.unwrap_or_default(),
                None => vec![],
            }
        })
    }
}

/// Why a changed stream's sessions have to go, if they have.
fn close_reason(old: &StreamSpec, new: &StreamSpec) -> Option<CloseReason> {
    if !old.token.matches(&new.token) {
        Some(CloseReason::TokenReset)
    } else if old.active && !new.active {
        Some(CloseReason::StreamOff)
    } else if !old.pull && new.pull {
        Some(CloseReason::Unacceptable("stream was set to pull".to_owned()))
    } else {
        None
    }
}

impl Handler<RemoveStream> for Root {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, RemoveStream(id): RemoveStream, _: &mut Self::Context) -> Self::Result {
        let supervisor = self.streams.remove(&id).and_then(|stream| stream.supervisor);
        self.shared.board.remove(id);
        let retired = supervisor.map(|supervisor| supervisor.send(Retire(CloseReason::StreamRemoved)));
        Box::pin(async move {
            match retired {
                Some(retired) => retired.await.unwrap_or_default(),
                None => vec![],
            }
        })
    }
}

impl Handler<GetStream> for Root {
    type Result = ResponseFuture<Option<StreamDetail>>;

    fn handle(&mut self, GetStream(id): GetStream, _: &mut Self::Context) -> Self::Result {
        let Some(stream) = self.streams.get(&id) else { return Box::pin(async { None }) };
        let slot = |slot| SlotDetail { slot, live: false, session: None };
        let quiet = StreamDetail {
            id,
            state: "idle".to_owned(),
            on_air: None,
            slots: vec![slot(Slot::Primary), slot(Slot::Backup)],
            pipeline: None,
            journal: stream.journal.latest(JOURNAL_LINES),
        };
        let asked = stream.supervisor.as_ref().map(|supervisor| supervisor.send(Describe));
        Box::pin(async move {
            match asked {
                Some(asked) => Some(timeout(ANSWER_WITHIN, asked).await.ok().and_then(Result::ok).unwrap_or(quiet)),
                None => Some(quiet),
            }
        })
    }
}

impl Handler<GetTree> for Root {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let nodes: Vec<_> = self
            .children
            .names()
            .filter_map(|name| {
                let vitals = self.children.vitals(name)?;
                Some(match name {
                    RootChild::Door(number) => {
                        let door = self.doors.get(*number)?;
                        (node(door.actor, door.name.clone(), &vitals), None)
                    }
                    RootChild::Stream(id) => {
                        let supervisor = self.streams.get(id).and_then(|stream| stream.supervisor.as_ref());
                        let asked = supervisor.map(|supervisor| supervisor.send(DescribeChildren));
                        (node("StreamSupervisor", id.to_string(), &vitals), asked)
                    }
                })
            })
            .collect();
        let state = if self.draining { "stopping" } else { "running" };
        Box::pin(async move {
            let children = join_all(nodes.into_iter().map(|(mut node, asked)| async move {
                if let Some(asked) = asked {
                    match timeout(ANSWER_WITHIN, asked).await {
                        Ok(Ok(children)) => node.children = children,
                        Ok(Err(_)) => node.state = "restarting".to_owned(),
                        Err(_) => node.state = "not answering".to_owned(),
                    }
                }
                node
            }));
            TreeNode {
                actor: "Root",
                name: "root".to_owned(),
                state: state.to_owned(),
                generation: 1,
                restarts: 0,
                last_exit: None,
                pid: None,
                children: children.await,
            }
        })
    }
}

impl Handler<Drain> for Root {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.draining = true;
        // Rare, and must not be lost: the server could not go down.
        self.listeners.values().for_each(|listener| listener.do_send(StopAccepting));
        for supervisor in self.streams.values().filter_map(|stream| stream.supervisor.as_ref()) {
            supervisor.do_send(Retire(CloseReason::Shutdown));
        }
        // Who waits to be restarted has nothing left to say.
        let waiting = |name: &&RootChild| self.children.vitals(name).is_some_and(|vitals| !vitals.running);
        let waiting: Vec<_> = self.children.names().filter(waiting).copied().collect();
        waiting.iter().for_each(|name| self.children.forget(name));
        let (tell, told) = oneshot::channel();
        self.drained.push(tell);
        self.tell_drained();
        Box::pin(async move {
            if timeout(DRAINED_WITHIN, told).await.is_err() {
                tracing::warn!("not everything ended within {DRAINED_WITHIN:?}");
            }
        })
    }
}

impl Handler<Stop> for Root {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
