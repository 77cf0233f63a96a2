//! The one way of supervision: a parent spawns its child's context future and a watcher awaits its end.
//!
//! actix's own `Supervisor` reuses the failed value, restarts without limit and does not survive a panic; a discarded
//! join handle tells nobody. Here:
//!
//! - [`Children::start`] spawns a child from a fresh value and a watcher task that awaits its `JoinHandle`. However the
//!   child ends, the parent gets [`Body::Exited`] with the reason: returned, failed, panicked or aborted.
//! - Facts and exits of all children come up **one bounded queue**. A child reports by [`Uplink::report`], which never
//!   waits; when the queue is full the child fails with that reason. An exit comes after all facts of its child.
//! - Each start has its own generation. [`Children::accept`] drops what a dead generation still had in the queue.
//! - Dropping `Children` aborts every child: a dead parent leaves no orphans.
//!
//! When to restart is [`weir_policy::restart`]'s decision, [`restart_later`] carries it out, how is the [`Parent`]'s: it calls
//! `start` again. A child that is given up takes its parent with it. [`restart_ordered`] ends a child because an operator wants it fresh:
//! its parent hears of a failure as of any other, and restarts it at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError};
use weir_policy::restart::{Restart, RestartBudget, RestartPolicy};

use crate::clock;
use crate::probe::{Lag, Probe, lag};

/// Why an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It had nothing more to do.
    Normal,
    /// It gave up, with its words.
    Failed(String),
    /// It panicked, with the panic's message.
    Panicked(String),
    /// Its parent killed it.
    Aborted,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Aborted => f.write_str("aborted"),
        }
    }
}

/// What a parent hears from a child.
#[derive(Debug)]
pub struct Report<K, F> {
    /// The child.
    pub child: K,
    /// Which start of it.
    pub generation: u64,
    /// What.
    pub body: Body<F>,
}

/// A fact, or the end.
#[derive(Debug)]
pub enum Body<F> {
    /// Something the child saw.
    Fact(F),
    /// The child is gone; nothing more comes from this generation.
    Exited(ExitReason),
}

/// The queue to the parent is full or gone: the child has to stop.
#[derive(Debug, thiserror::Error)]
#[error("supervisor does not keep up with its children's reports")]
pub struct Overrun;

/// A child's way up.
pub struct Uplink<K, F> {
    child: K,
    generation: u64,
    queue: mpsc::Sender<Report<K, F>>,
    failure: Arc<OnceLock<String>>,
}

impl<K: Clone, F> Uplink<K, F> {
    /// Reports a fact without waiting. On [`Overrun`] the failure is already noted and the caller has to stop.
    pub fn report(&self, fact: F) -> Result<(), Overrun> {
        let report = Report { child: self.child.clone(), generation: self.generation, body: Body::Fact(fact) };
        self.queue.try_send(report).map_err(|_| {
            self.fail(Overrun.to_string());
            Overrun
        })
    }

    /// Notes why the child is about to stop; without it a stop counts as [`ExitReason::Normal`]. The first reason stays.
    pub fn fail(&self, reason: impl Into<String>) {
        // Only the first failure is the cause; later ones follow from it.
        let _ = self.failure.set(reason.into());
    }
}

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// Why.
    pub reason: ExitReason,
    /// When, wall clock.
    pub at: SystemTime,
}

/// What a parent knows of one child, for the tree's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Which start of it is the latest; counted over all children of the parent.
    pub generation: u64,
    /// It runs; else it waits to be restarted.
    pub running: bool,
    /// It is retried slowly.
    pub degraded: bool,
    /// Times it was restarted.
    pub restarts: u32,
    /// How its predecessor ended.
    pub last_exit: Option<LastExit>,
}

struct Child {
    generation: u64,
    task: Option<AbortHandle>,
    failure: Arc<OnceLock<String>>,
    /// An operator wants it fresh: its end is no defect.
    ordered: bool,
    probe: Recipient<Probe>,
    started: Instant,
    budget: RestartBudget,
    restarts: u32,
    last_exit: Option<LastExit>,
}

/// A parent's children by name.
pub struct Children<K, F> {
    queue: mpsc::Sender<Report<K, F>>,
    children: BTreeMap<K, Child>,
    generation: u64,
}

impl<K, F> Children<K, F>
where
    K: Ord + Clone + Send + 'static,
    F: Send + 'static,
{
    /// No children yet, and the queue of at most `capacity` reports that the parent has to read.
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Report<K, F>>) {
        let (queue, reports) = mpsc::channel(capacity);
        (Self { queue, children: BTreeMap::new(), generation: 0 }, reports)
    }

    /// Starts a child, or starts it again, from a fresh value. A running child of that name is aborted first. The policy of the first
    /// start holds for all.
    pub fn start<A>(&mut self, name: K, policy: RestartPolicy, make: impl FnOnce(Uplink<K, F>) -> A) -> Addr<A>
    where
        A: Actor<Context = Context<A>> + Handler<Probe>,
    {
        self.generation += 1;
        let generation = self.generation;
        let failure = Arc::<OnceLock<String>>::default();
        let uplink =
            Uplink { child: name.clone(), generation, queue: self.queue.clone(), failure: Arc::clone(&failure) };
        let (addr, task, end) = spawn(make(uplink), Arc::clone(&failure));
        let (child, queue) = (name.clone(), self.queue.clone());
        // A task, so it may wait for room in the queue: exits are never lost.
        actix_rt::spawn(async move {
            let report = Report { child, generation, body: Body::Exited(end.await) };
            // Fails only when the parent is gone, and then nobody cares.
            let _ = queue.send(report).await;
        });
        let probe = addr.clone().recipient();
        let child = self.children.entry(name).or_insert_with(|| Child {
            generation,
            task: None,
            failure: Arc::clone(&failure),
            ordered: false,
            probe: probe.clone(),
            started: clock::now(),
            budget: RestartBudget::new(policy),
            restarts: 0,
            last_exit: None,
        });
        if child.generation != generation {
            child.restarts += 1;
        }
        if let Some(predecessor) = child.task.replace(task) {
            predecessor.abort();
        }
        (child.generation, child.started, child.probe) = (generation, clock::now(), probe);
        (child.failure, child.ordered) = (failure, false);
        addr
    }

    /// Checks a report against the living: `None` for one of a dead generation.
    pub fn accept(&mut self, report: Report<K, F>) -> Option<(K, Body<F>)> {
        let child = self.children.get_mut(&report.child).filter(|child| child.generation == report.generation)?;
        if let Body::Exited(reason) = &report.body {
            child.task = None;
            child.last_exit = Some(LastExit { reason: reason.clone(), at: clock::wall() });
        }
        Some((report.child, report.body))
    }

    /// When to start a child that has ended again; `jitter` is uniform in `0.0..1.0`. `None` when it is given up.
    pub fn restart(&mut self, name: &K, now: Instant, jitter: f64) -> Option<Restart> {
        let child = self.children.get_mut(name)?;
        let ran = now.saturating_duration_since(child.started);
        if std::mem::take(&mut child.ordered) {
            child.budget.on_running(ran);
            return Some(Restart { at: now, newly_degraded: false });
        }
        child.budget.on_exit(ran, now, jitter)
    }

    /// Ends a running child for the operator's sake; false when it does not run, `None` when there is no such child.
    fn order(&mut self, name: &K) -> Option<bool> {
        let child = self.children.get_mut(name)?;
        let Some(task) = &child.task else { return Some(false) };
        child.ordered = true;
        // One that fails at this very moment keeps its own reason.
        let _ = child.failure.set(ORDERED.to_owned());
        task.abort();
        Some(true)
    }

    /// Kills a child if it runs, and forgets it: no more reports of it are accepted.
    pub fn forget(&mut self, name: &K) {
        if let Some(Child { task: Some(task), .. }) = self.children.remove(name) {
            task.abort();
        }
    }

    /// Its state; `None` when there is no such child.
    pub fn vitals(&self, name: &K) -> Option<Vitals> {
        self.children.get(name).map(|child| {
            let mut budget = child.budget.clone();
            if child.task.is_some() {
                budget.on_running(clock::now().saturating_duration_since(child.started));
            }
            Vitals {
                generation: child.generation,
                running: child.task.is_some(),
                degraded: budget.degraded(),
                restarts: child.restarts,
                last_exit: child.last_exit.clone(),
            }
        })
    }

    /// Asks a child how long its mailbox keeps a message waiting; the answer comes at the latest after `within`.
    pub fn lag(&self, name: &K, within: Duration) -> impl Future<Output = Lag> + Send + use<K, F> {
        let running = self.children.get(name).filter(|child| child.task.is_some());
        lag(running.map(|child| child.probe.clone()), within)
    }

    /// It has ended and nobody has started it again since.
    fn waits(&self, name: &K, generation: u64) -> bool {
        self.children.get(name).is_some_and(|child| child.task.is_none() && child.generation == generation)
    }

    /// Names of all children, running or waiting to be restarted.
    pub fn names(&self) -> impl Iterator<Item = &K> {
        self.children.keys()
    }
}

impl<K, F> Drop for Children<K, F> {
    fn drop(&mut self) {
        self.children.values().filter_map(|child| child.task.as_ref()).for_each(AbortHandle::abort);
    }
}

/// An actor with children that it restarts.
pub(crate) trait Parent<K, F>: Actor<Context = Context<Self>> {
    /// Its children.
    fn children(&mut self) -> &mut Children<K, F>;

    /// Starts a child again, unless it is not wanted any more; then it has to be forgotten.
    fn restart(&mut self, child: K, ctx: &mut Context<Self>);
}

/// Starts a child that has ended again when its budget says. `None`: it is given up, and the parent has to fail.
pub(crate) fn restart_later<P, K, F>(parent: &mut P, child: K, ctx: &mut Context<P>) -> Option<Restart>
where
    P: Parent<K, F>,
    K: Ord + Clone + Send + 'static,
    F: Send + 'static,
{
    let now = clock::now();
    let restart = parent.children().restart(&child, now, jitter())?;
    let generation = parent.children().vitals(&child)?.generation;
    ctx.run_later(restart.at.saturating_duration_since(now), move |parent, ctx| {
        fault!(crate::fault::restart_timer::<P>());
        if parent.children().waits(&child, generation) {
            parent.restart(child, ctx);
        }
    });
    Some(restart)
}

/// Has a child start afresh because an operator wants it: one that runs fails with that reason, and is restarted like any that failed; one
/// that waits for its restart has it now. False when there is no such child.
pub(crate) fn restart_ordered<P, K, F>(parent: &mut P, child: K, ctx: &mut Context<P>) -> bool
where
    P: Parent<K, F>,
    K: Ord + Clone + Send + 'static,
    F: Send + 'static,
{
    let ordered = parent.children().order(&child);
    if ordered == Some(false) {
        parent.restart(child, ctx);
    }
    ordered.is_some()
}

/// Starts an actor of which somebody must hear how it ends. What it puts into `failure` before it stops makes the stop a failure.
pub(crate) fn spawn<A>(
    actor: A,
    failure: Arc<OnceLock<String>>,
) -> (Addr<A>, AbortHandle, impl Future<Output = ExitReason> + 'static)
where
    A: Actor<Context = Context<A>>,
{
    let context = Context::new();
    let addr = context.address();
    let task = actix_rt::spawn(context.into_future(actor));
    let abort = task.abort_handle();
    let end = async move {
        match task.await {
            Ok(()) => failure.get().cloned().map_or(ExitReason::Normal, ExitReason::Failed),
            // Who kills it may have said why.
            Err(error) if error.is_cancelled() => {
                failure.get().cloned().map_or(ExitReason::Aborted, ExitReason::Failed)
            }
            Err(error) => exit_reason(error),
        }
    };
    (addr, abort, end)
}

/// Why a task ended that did not return.
pub(crate) fn exit_reason(error: JoinError) -> ExitReason {
    match error.try_into_panic() {
        Ok(panic) => {
            let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            ExitReason::Panicked(message.unwrap_or_else(|| "without a message".to_owned()))
        }
        Err(_) => ExitReason::Aborted,
    }
}

/// Uniform in `0.0..1.0`, for restart delays. Rules take it as an argument; this is where it comes from.
pub(crate) fn jitter() -> f64 {
    rand::random()
}

/// Why an actor failed that an operator wanted fresh.
const ORDERED: &str = "restarted by an operator";

/// Longest time that Root waits for a supervisor's answer to a question.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The same for a supervisor and its children: less, so that one silent child does not make its parent look silent.
pub(crate) const CHILD_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
