//! Going down in order.

use std::time::Duration;

use actix::{ActorContext, Context, Handler, ResponseFuture};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Root, RootChild};
use crate::control::{Drain, Stop};
use crate::ingest::CloseReason;
use crate::listener::StopAccepting;
use crate::stream::Retire;

/// Longest drain: 5 s for a stubborn wire task, 3 s for a worker, and a margin.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

impl Root {
    pub(super) fn tell_drained(&mut self) {
        if self.draining && self.children.names().next().is_none() {
            // Nobody waits any more: the answer went out without it.
            for waiter in self.drained.drain(..) {
                let _ = waiter.send(());
            }
        }
    }
}

impl Handler<Drain> for Root {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: Drain");
        self.draining = true;
        self.shared.admission.drain();
        // Rare, and must not be lost: the server could not go down.
        self.listeners.values().for_each(|listener| listener.do_send(StopAccepting));
        for supervisor in self.streams.values().filter_map(|stream| stream.supervisor.borrow().clone()) {
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

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        fault!("Root: Stop");
        ctx.stop();
    }
}
