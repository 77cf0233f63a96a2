//! Root: the directory of streams, the doors, and the way into the tree.
//!
//! Everything from outside comes to Root: [`Publish`](crate::ingest::Publish) from the doors, the messages of
//! [`crate::control`] from the API. Root asks the gate (token first, [`crate::admission_board`]), keeps one
//! StreamSupervisor per stream that is in use, and restarts what dies, each child by its own budget: a stream that keeps dying is
//! left alone for a while, a door that keeps dying takes Root with it. It waits for nobody: answers that need a child come from a
//! spawned future.

mod describe;
mod drain;
mod preflight;
mod publish;
mod streams;
mod survey;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, StreamHandler};
use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot, watch};
use weir_media::id::StreamId;

use crate::admission_board::{AdmissionBoard, Slots};
use crate::clock;
use crate::config::{Outside, Shared, TreeConfig};
use crate::control::StreamSpec;
use crate::event::EventKind;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::listener::{Door, Listener};
use crate::preflight::Preflight;
use crate::status::StatusBoard;
use crate::stream::{Kept, StreamSupervisor, Wishes};
use crate::supervise::{Body, Children, ExitReason, Parent, Report, Uplink, Vitals, restart_later, spawn};

/// Exits that may wait for Root; watchers wait for room.
const CAPACITY: usize = 64;

/// Names of Root's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RootChild {
    Door(usize),
    Stream(StreamId),
}

/// The way up to Root: its children have nothing to report but their end.
pub(crate) type RootUplink = Uplink<RootChild, Infallible>;
type RootReport = Report<RootChild, Infallible>;

/// A stream's supervisor; `None` while there is none.
type Supervisor = Option<Addr<StreamSupervisor>>;

struct Stream {
    spec: StreamSpec,
    journal: Journal,
    ledger: Arc<Ledger>,
    slots: Slots,
    preflight: Preflight,
    /// Publishers wait here for the next one.
    supervisor: watch::Sender<Supervisor>,
}

impl Stream {
    fn new(spec: StreamSpec, shared: &Shared) -> Self {
        let journal = Journal::new(spec.id);
        let ledger = Arc::new(Ledger::new(spec.id, Arc::clone(&shared.events)));
        let slots = Slots::new(shared.config.admission());
        shared.admission.put(&spec, &slots, &journal);
        let preflight = Preflight::default();
        Self { spec, journal, ledger, slots, preflight, supervisor: watch::Sender::new(None) }
    }
}

/// The top of the tree.
pub struct Root {
    shared: Arc<Shared>,
    children: Children<RootChild, Infallible>,
    reports: Option<mpsc::Receiver<RootReport>>,
    doors: Vec<Door>,
    listeners: BTreeMap<usize, Addr<Listener>>,
    streams: BTreeMap<StreamId, Stream>,
    draining: bool,
    drained: Vec<oneshot::Sender<()>>,
    /// Why it stops, if it has to.
    failure: Arc<OnceLock<String>>,
}

/// Comes back when Root has ended. Unless [`Stop`](crate::control::Stop) was asked for, the process has to end too.
pub type RootEnd = LocalBoxFuture<'static, ExitReason>;

/// Starts the tree on the current arbiter and opens its doors. It knows `streams` before the first publisher can ask: an encoder that
/// is refused as unknown does not come back. Later ones come by [`PutStream`](crate::control::PutStream).
pub fn start(
    config: TreeConfig,
    outside: Outside,
    board: StatusBoard,
    admission: AdmissionBoard,
    streams: Vec<StreamSpec>,
    doors: Vec<Door>,
) -> (Addr<Root>, RootEnd) {
    let (children, reports) = Children::new(CAPACITY);
    let shared = Arc::new(Shared::new(config, outside, board, admission));
    let failure = Arc::default();
    let streams = streams.into_iter().map(|spec| (spec.id, Stream::new(spec, &shared))).collect();
    let root = Root {
        shared,
        children,
        reports: Some(reports),
        doors,
        listeners: BTreeMap::new(),
        streams,
        draining: false,
        drained: vec![],
        failure: Arc::clone(&failure),
    };
    let (root, _, end) = spawn(root, failure);
    (root, Box::pin(end))
}

impl Root {
    fn open_door(&mut self, number: usize, ctx: &Context<Self>) {
        if let Some(door) = self.doors.get(number).cloned() {
            let publish = ctx.address().recipient();
            let (name, policy) = (RootChild::Door(number), self.shared.config.restarts.door);
            let listener = self.children.start(name, policy, |uplink| Listener::new(door, publish, uplink));
            self.listeners.insert(number, listener);
        }
    }

    fn vitals(&self, id: StreamId) -> Option<Vitals> {
        self.children.vitals(&RootChild::Stream(id))
    }

    /// Whether a stream's supervisor keeps dying, and the next try is too far away to wait for.
    fn is_down(&self, id: StreamId) -> bool {
        self.vitals(id).is_some_and(|vitals| vitals.degraded && !vitals.running)
    }

    /// A stream that is pulled needs a supervisor before anybody comes.
    fn is_wanted(&self, id: StreamId) -> bool {
        !self.draining && self.streams.get(&id).is_some_and(|stream| !stream.spec.pulled().is_empty())
    }

    fn start_supervisor(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (wished, shared) = (Wishes::from(&stream.spec), Arc::clone(&self.shared));
        let kept = Kept {
            journal: stream.journal.clone(),
            ledger: Arc::clone(&stream.ledger),
            slots: stream.slots.clone(),
            preflight: stream.preflight.clone(),
        };
        self.shared.admission.set_down(id, false);
        let start = |uplink| StreamSupervisor::new(id, wished, shared, kept, uplink);
        let supervisor = self.children.start(RootChild::Stream(id), self.shared.config.restarts.stream, start);
        stream.supervisor.send_replace(Some(supervisor));
    }

    fn on_exit(&mut self, child: RootChild, reason: ExitReason, ctx: &mut Context<Self>) {
        match child {
            RootChild::Door(number) => self.door_gone(number, &reason, ctx),
            RootChild::Stream(id) => self.supervisor_gone(id, &reason, ctx),
        }
    }

    fn door_gone(&mut self, number: usize, reason: &ExitReason, ctx: &mut Context<Self>) {
        let child = RootChild::Door(number);
        self.listeners.remove(&number);
        let Some(door) = self.doors.get(number).filter(|_| !self.draining) else {
            return self.children.forget(&child);
        };
        let (actor, door) = (door.actor, format!("{} {}", door.actor, door.name));
        tracing::error!(door, %reason, "door closed");
        if restart_later(self, child, ctx).is_some() {
            self.shared.restarts.add(actor);
        } else {
            // The reason is set once, and this is the first.
            let _ = self.failure.set(format!("{door} keeps dying: {reason}"));
            ctx.stop();
        }
    }

    fn supervisor_gone(&mut self, id: StreamId, reason: &ExitReason, ctx: &mut Context<Self>) {
        let child = RootChild::Stream(id);
        let Some(stream) = self.streams.get(&id) else {
            self.children.forget(&child);
            return self.shared.board.remove(id);
        };
        let (journal, ledger) = (stream.journal.clone(), Arc::clone(&stream.ledger));
        stream.slots.clear();
        stream.preflight.cut(&format!("stream supervisor {reason}"));
        // Also behind an orderly end: a drain is over before silence is noticed.
        ledger.close(&format!("stream supervisor {reason}"));
        if *reason != ExitReason::Normal {
            tracing::error!(stream = %id, %reason, "stream supervisor died");
        }
        self.shared.board.died(id, clock::wall());
        if *reason == ExitReason::Normal || self.draining {
            journal.note(format!("stream supervisor {reason}"));
            self.children.forget(&child);
        } else {
            journal.note(format!("stream supervisor {reason}: its sessions are closed, restarting it"));
            self.shared.restarts.add("StreamSupervisor");
            if restart_later(self, child, ctx).is_some_and(|restart| restart.newly_degraded) {
                journal.note("stream supervisor keeps dying: one try a minute until it runs steadily");
                ledger.record(EventKind::StreamDegraded { reason: reason.to_string() });
            }
        }
        self.shared.admission.set_down(id, self.is_down(id));
        // Switched on again before it had ended.
        if *reason == ExitReason::Normal && self.is_wanted(id) {
            return self.start_supervisor(id);
        }
        // Last, because who waits here asks at once.
        if let Some(stream) = self.streams.get(&id) {
            stream.supervisor.send_replace(None);
        }
    }
}

impl Parent<RootChild, Infallible> for Root {
    fn children(&mut self) -> &mut Children<RootChild, Infallible> {
        &mut self.children
    }

    fn restart(&mut self, child: RootChild, ctx: &mut Context<Self>) {
        match child {
            _ if self.draining => {
                self.children.forget(&child);
                self.tell_drained();
            }
            RootChild::Door(number) => self.open_door(number, ctx),
            RootChild::Stream(id) if self.streams.contains_key(&id) => self.start_supervisor(id),
            RootChild::Stream(_) => self.children.forget(&child),
        }
    }
}

impl Actor for Root {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("Root: started");
        if let Some(mut reports) = self.reports.take() {
            Self::add_stream(stream::poll_fn(move |cx| reports.poll_recv(cx)), ctx);
        }
        (0..self.doors.len()).for_each(|number| self.open_door(number, ctx));
        let pulled: Vec<_> = self.streams.keys().copied().filter(|id| self.is_wanted(*id)).collect();
        pulled.into_iter().for_each(|id| self.start_supervisor(id));
    }
}

impl StreamHandler<RootReport> for Root {
    fn handle(&mut self, report: RootReport, ctx: &mut Self::Context) {
        fault!("Root: RootReport");
        if let Some((child, Body::Exited(reason))) = self.children.accept(report) {
            self.on_exit(child, reason, ctx);
            self.tell_drained();
        }
    }
}
