//! RtmpListener, and any later door: owns the task that accepts connections.
//!
//! The task runs on the wire runtime, apart from the tree, and is made by a factory, so that this actor knows no
//! protocol. When the task ends or panics the actor ends with that reason, and Root starts a fresh one.

use std::pin::Pin;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::ingest::Publish;
use crate::root::RootUplink;
use crate::supervise::exit_reason;

/// A door's accept loop. It ends, with `Ok`, only when it was told to shut down.
pub type Serve = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Makes an accept loop on the door's own bound socket: called again for each restart. It sends [`Publish`] to the
/// recipient, and ends when the watch turns true. Sessions that it let in have their own stop switch and go on.
pub type ServeFactory = Arc<dyn Fn(Recipient<Publish>, watch::Receiver<bool>) -> Serve + Send + Sync>;

/// One way in.
#[derive(Clone)]
pub struct Door {
    /// Kind of actor in the tree, e.g. `RtmpListener`.
    pub actor: &'static str,
    /// Which one: its address.
    pub name: String,
    /// Where its tasks run.
    pub runtime: Handle,
    /// Makes its accept loop.
    pub serve: ServeFactory,
}

/// Stop accepting.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopAccepting;

pub(crate) struct Listener {
    door: Door,
    publish: Recipient<Publish>,
    shutdown: watch::Sender<bool>,
    task: Option<AbortHandle>,
    uplink: RootUplink,
}

impl Listener {
    pub fn new(door: Door, publish: Recipient<Publish>, uplink: RootUplink) -> Self {
        Self { door, publish, shutdown: watch::Sender::new(false), task: None, uplink }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("Listener: started");
        let serve = (self.door.serve)(self.publish.clone(), self.shutdown.subscribe());
        let task = self.door.runtime.spawn(serve);
        self.task = Some(task.abort_handle());
        let ended = task.into_actor(self).map(|result, this, ctx| {
            fault!("Listener: accept loop ended");
            match result {
                Ok(Ok(())) if *this.shutdown.borrow() => {}
                Ok(Ok(())) => this.uplink.fail("accept loop ended by itself"),
                Ok(Err(reason)) => this.uplink.fail(reason),
                Err(error) => this.uplink.fail(format!("accept loop {}", exit_reason(error))),
            }
            ctx.stop();
        });
        ctx.spawn(ended);
    }
}

impl Handler<StopAccepting> for Listener {
    type Result = ();

    fn handle(&mut self, _: StopAccepting, _: &mut Self::Context) {
        fault!("Listener: StopAccepting");
        self.shutdown.send_replace(true);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
