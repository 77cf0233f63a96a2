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
//! When to restart is [`weir_policy::restart`]'s decision; how is the parent's: it calls `start` again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use weir_policy::restart::{Restart, RestartBudget, RestartPolicy};

use crate::clock;

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
    /// Why its predecessor ended.
    pub last_exit: Option<ExitReason>,
}

struct Child {
    generation: u64,
    task: Option<AbortHandle>,
    started: Instant,
    budget: RestartBudget,
    restarts: u32,
    last_exit: Option<ExitReason>,
}

/// A parent's children by name.
pub struct Children<K, F> {
    queue: mpsc::Sender<Report<K, F>>,
    policy: RestartPolicy,
    children: BTreeMap<K, Child>,
    generation: u64,
}

impl<K, F> Children<K, F>
where
    K: Ord + Clone + Send + 'static,
    F: Send + 'static,
{
    /// No children yet, and the queue of at most `capacity` reports that the parent has to read.
    pub fn new(policy: RestartPolicy, capacity: usize) -> (Self, mpsc::Receiver<Report<K, F>>) {
        let (queue, reports) = mpsc::channel(capacity);
        (Self { queue, policy, children: BTreeMap::new(), generation: 0 }, reports)
    }

    /// Starts a child, or starts it again, from a fresh value. A running child of that name is aborted first.
    pub fn start<A>(&mut self, name: K, make: impl FnOnce(Uplink<K, F>) -> A) -> Addr<A>
    where
        A: Actor<Context = Context<A>>,
    {
        self.generation += 1;
        let generation = self.generation;
        let failure = Arc::new(OnceLock::new());
        let uplink =
            Uplink { child: name.clone(), generation, queue: self.queue.clone(), failure: Arc::clone(&failure) };
        let context = Context::new();
        let addr = context.address();
        let task = actix_rt::spawn(context.into_future(make(uplink)));
        let abort = task.abort_handle();
        actix_rt::spawn(watch(task, failure, name.clone(), generation, self.queue.clone()));
        let policy = self.policy;
        let child = self.children.entry(name).or_insert_with(|| Child {
            generation,
            task: None,
            started: clock::now(),
            budget: RestartBudget::new(policy),
            restarts: 0,
            last_exit: None,
        });
        if child.generation != generation {
            child.restarts += 1;
        }
        if let Some(predecessor) = child.task.replace(abort) {
            predecessor.abort();
        }
        (child.generation, child.started) = (generation, clock::now());
        addr
    }

    /// Checks a report against the living: `None` for one of a dead generation.
    pub fn accept(&mut self, report: Report<K, F>) -> Option<(K, Body<F>)> {
        let child = self.children.get_mut(&report.child).filter(|child| child.generation == report.generation)?;
        if let Body::Exited(reason) = &report.body {
            child.task = None;
            child.last_exit = Some(reason.clone());
        }
        Some((report.child, report.body))
    }

    /// When to start a child that has ended again; `jitter` is uniform in `0.0..1.0`. `None` when there is no such child.
    pub fn restart(&mut self, name: &K, now: Instant, jitter: f64) -> Option<Restart> {
        let child = self.children.get_mut(name)?;
        Some(child.budget.on_exit(now.saturating_duration_since(child.started), now, jitter))
    }

    /// Kills a child if it runs, and forgets it: no more reports of it are accepted.
    pub fn forget(&mut self, name: &K) {
        if let Some(Child { task: Some(task), .. }) = self.children.remove(name) {
            task.abort();
        }
    }

    /// Its state; `None` when there is no such child.
    pub fn vitals(&self, name: &K) -> Option<Vitals> {
        self.children.get(name).map(|child| Vitals {
            generation: child.generation,
            running: child.task.is_some(),
            degraded: child.budget.degraded(),
            restarts: child.restarts,
            last_exit: child.last_exit.clone(),
        })
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

/// Awaits a child's end and tells the parent. A task, so it may wait for room in the queue: exits are never lost.
async fn watch<K, F>(
    task: JoinHandle<()>,
    failure: Arc<OnceLock<String>>,
    child: K,
    generation: u64,
    queue: mpsc::Sender<Report<K, F>>,
) {
    let reason = match task.await {
        Ok(()) => failure.get().cloned().map_or(ExitReason::Normal, ExitReason::Failed),
        Err(error) => exit_reason(error),
    };
    // Fails only when the parent is gone, and then nobody cares.
    let _ = queue.send(Report { child, generation, body: Body::Exited(reason) }).await;
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

/// Longest time that a parent waits for a child's answer to a question.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
