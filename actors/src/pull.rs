//! PullActor: the rotation rule as an actor, and the try that runs.
//!
//! The rule says which source to ask and when; a wire task asks it. A try that has a picture becomes a session: its supervisor grants it,
//! an IngestConnection looks after it from then on, and its supervisor tells here how it fares. A fresh actor goes on from the latest view;
//! a try that ran under its predecessor is gone, a session is not.

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use weir_media::pull::PullUri;
use weir_policy::rotation::{Action, Fact, Phase, Rotation, State};

use crate::clock;
use crate::ingest::Grant;
use crate::ingest::pull::session::{Fetch, TryFact, attempt};
use crate::report::{StreamFact, StreamUplink};
use crate::supervise::{exit_reason, jitter};
use crate::timer::Deadline;

/// How sources are fetched; cloning shares it.
#[derive(Clone)]
pub struct Puller {
    /// Fetches one.
    pub fetch: Arc<dyn Fetch>,
    /// Where wire tasks run.
    pub runtime: Handle,
}

/// What a PullActor tells its supervisor.
#[derive(Debug)]
pub(crate) enum PullFact {
    /// What it is doing now.
    View(PullView),
    /// A source has a picture, and wants to be a session.
    Ready { source: usize, ask: oneshot::Sender<Grant> },
    /// The session has to be closed.
    Cut,
    /// No media for too long: the stream has to be switched off.
    GaveUp,
}

/// What it knows, to be shown, and for a fresh actor to go on from.
#[derive(Clone, Debug)]
pub(crate) struct PullView {
    pub state: State,
    /// Why the latest try failed or the latest session ended, and of which source.
    pub last_error: Option<(usize, String)>,
}

/// How the session fares that was asked for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SessionTold(pub Fact, pub Option<String>);

pub(crate) struct PullActor {
    sources: Arc<[PullUri]>,
    puller: Puller,
    rule: Rotation,
    last_error: Option<(usize, String)>,
    /// The try that runs, with its number.
    task: Option<AbortHandle>,
    number: u64,
    uplink: StreamUplink,
    timer: Deadline,
}

impl PullActor {
    /// Goes on from a view.
    pub fn new(sources: Arc<[PullUri]>, puller: Puller, view: PullView, uplink: StreamUplink) -> Self {
        let PullView { state, last_error } = view;
        let (rule, timer) = (Rotation::resume(state), Deadline::default());
        Self { sources, puller, rule, last_error, task: None, number: 0, uplink, timer }
    }

    fn fact(&mut self, fact: Fact, why: Option<String>, ctx: &mut Context<Self>) {
        if let Some(why) = why {
            self.last_error = Some((self.rule.state().source(), why));
        }
        let actions = self.rule.on_fact(fact, clock::now(), jitter());
        self.carry_out(actions, ctx);
    }

    fn carry_out(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        let mut told = Ok(());
        for action in actions {
            told = told.and(match action {
                Action::Try(source) => {
                    self.start_try(source, ctx);
                    Ok(())
                }
                Action::Cut if self.task.is_some() => {
                    self.stop_try();
                    Ok(())
                }
                Action::Cut => self.uplink.report(StreamFact::Pull(PullFact::Cut)),
                Action::GiveUp => self.uplink.report(StreamFact::Pull(PullFact::GaveUp)),
            });
        }
        let view = PullView { state: self.rule.state().clone(), last_error: self.last_error.clone() };
        if told.and(self.uplink.report(StreamFact::Pull(PullFact::View(view)))).is_err() {
            return ctx.stop();
        }
        self.wait_on(ctx);
    }

    fn wait_on(&mut self, ctx: &mut Context<Self>) {
        self.timer.arm(self.rule.deadline(), ctx, |this: &mut Self, ctx| {
            fault!("PullActor: timer");
            this.timer.fired();
            match this.rule.on_timeout(clock::now(), jitter()) {
                // Early, so there is nothing new to tell.
                actions if actions.is_empty() => this.wait_on(ctx),
                actions => this.carry_out(actions, ctx),
            }
        });
    }

    fn start_try(&mut self, source: usize, ctx: &mut Context<Self>) {
        self.stop_try();
        let Some(uri) = self.sources.get(source).cloned() else { return };
        self.number += 1;
        let number = self.number;
        let (tell, told) = oneshot::channel();
        let task = self.puller.runtime.spawn(attempt(uri, Arc::clone(&self.puller.fetch), tell));
        self.task = Some(task.abort_handle());
        let heard = async move {
            match told.await {
                Ok(fact) => Ok(fact),
                Err(_) => Err(task.await.map_or_else(|error| exit_reason(error).to_string(), |()| "ended".to_owned())),
            }
        };
        ctx.spawn(heard.into_actor(self).map(move |told, this, ctx| {
            fault!("PullActor: try over");
            if number == this.number && this.task.take().is_some() {
                this.tried(source, told, ctx);
            }
        }));
    }

    fn tried(&mut self, source: usize, told: Result<TryFact, String>, ctx: &mut Context<Self>) {
        match told {
            Ok(TryFact::Ready(ask)) => {
                if self.uplink.report(StreamFact::Pull(PullFact::Ready { source, ask })).is_err() {
                    return ctx.stop();
                }
                self.fact(Fact::Began, None, ctx);
            }
            Ok(TryFact::Failed(error)) => self.fact(Fact::Failed, Some(error.to_string()), ctx),
            Err(reason) => self.fact(Fact::Failed, Some(format!("wire task {reason}")), ctx),
        }
    }

    fn stop_try(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Actor for PullActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("PullActor: started");
        if self.rule.state().phase() == Phase::Trying {
            return self.fact(Fact::Failed, None, ctx);
        }
        let actions = self.rule.on_timeout(clock::now(), jitter());
        self.carry_out(actions, ctx);
    }
}

impl Handler<SessionTold> for PullActor {
    type Result = ();

    fn handle(&mut self, SessionTold(fact, why): SessionTold, ctx: &mut Self::Context) {
        fault!("PullActor: SessionTold");
        self.fact(fact, why, ctx);
    }
}

impl Drop for PullActor {
    fn drop(&mut self) {
        self.stop_try();
    }
}
