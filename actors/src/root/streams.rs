//! Streams that the API adds, changes and removes, and what operators order of them.

use actix::{Context, Handler, ResponseFuture};
use futures_util::FutureExt;
use secrecy::ExposeSecret;
use weir_media::id::{Protocol, StreamId};

use super::{Root, RootChild, Stream};
use crate::control::{
    ChooseSlot, ClosedSession, NotLive, NotRestarted, PutStream, RemoveStream, RestartActor, Restartable, StreamActor,
    StreamSpec,
};
use crate::ingest::CloseReason;
use crate::stream::{Choose, CloseSessions, RestartChild, Retire, Wishes};
use crate::supervise::restart_ordered;

impl Handler<PutStream> for Root {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, PutStream(spec): PutStream, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: PutStream");
        let id = spec.id;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.streams.insert(id, Stream::new(spec, &self.shared));
            self.start_if_pulled(id);
            return Box::pin(async { vec![] });
        };
        let close = close_reason(&stream.spec, &spec);
        let wishes = Wishes::from(&spec);
        self.shared.admission.put(&spec, &stream.slots, &stream.journal);
        stream.spec = spec;
        if let Some(reason) = &close {
            stream.journal.note(reason.to_string());
        }
        let present = stream.supervisor.borrow().clone();
        let Some(supervisor) = present else {
            self.start_if_pulled(id);
            return Box::pin(async { vec![] });
        };
        let closing = close.map(|reason| match reason {
            // What is off has nobody to wait for: viewers are told the end.
            CloseReason::StreamOff => supervisor.send(Retire(reason)).boxed_local(),
            // Who came by another door never had to know it.
            CloseReason::PassphraseChanged => {
                supervisor.send(CloseSessions { reason, only: Some(Protocol::Srt) }).boxed_local()
            }
            reason => supervisor.send(CloseSessions { reason, only: None }).boxed_local(),
        });
        // Behind it: a pipeline that now waits for an encoder is made anew. Rare, and must not be lost.
        supervisor.do_send(wishes);
        Box::pin(async move {
            match closing {
                // A supervisor that dies meanwhile closes its sessions too, but cannot tell which.
                Some(closing) => closing.await.unwrap_or_default(),
                None => vec![],
            }
        })
    }
}

impl Root {
    /// One that died is restarted by its budget.
    fn start_if_pulled(&mut self, id: StreamId) {
        if self.is_wanted(id) && self.vitals(id).is_none() {
            self.start_supervisor(id);
        }
    }
}

/// Why a changed stream's sessions have to go, if they have. A source that is pulled from brings neither token nor passphrase of ours.
fn close_reason(old: &StreamSpec, new: &StreamSpec) -> Option<CloseReason> {
    if old.active && !new.active {
        Some(CloseReason::StreamOff)
    } else if !old.pull && new.pull {
        Some(CloseReason::Unacceptable("stream was set to pull".to_owned()))
    } else if old.pull {
        None
    } else if old.token != new.token {
        Some(CloseReason::TokenReset)
    } else if exposed(old) != exposed(new) {
        Some(CloseReason::PassphraseChanged)
    } else {
        None
    }
}

fn exposed(spec: &StreamSpec) -> Option<&str> {
    spec.srt_passphrase.as_ref().map(|passphrase| passphrase.expose_secret())
}

impl Handler<RemoveStream> for Root {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, RemoveStream(id): RemoveStream, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: RemoveStream");
        let supervisor = self.streams.remove(&id).and_then(|stream| stream.supervisor.borrow().clone());
        self.shared.board.remove(id);
        self.shared.admission.remove(id);
        if self.vitals(id).is_some_and(|vitals| !vitals.running) {
            self.children.forget(&RootChild::Stream(id));
        }
        let retired = supervisor.map(|supervisor| supervisor.send(Retire(CloseReason::StreamRemoved)));
        Box::pin(async move {
            match retired {
                Some(retired) => retired.await.unwrap_or_default(),
                None => vec![],
            }
        })
    }
}

impl Handler<ChooseSlot> for Root {
    type Result = ResponseFuture<Option<Result<(), NotLive>>>;

    fn handle(&mut self, ChooseSlot { stream, slot }: ChooseSlot, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: ChooseSlot");
        let supervisor = self.streams.get(&stream).map(|stream| stream.supervisor.borrow().clone());
        // Without a supervisor, or with one that dies over it, nothing is live.
        let nothing_live = slot.map_or(Ok(()), |slot| Err(NotLive(slot)));
        Box::pin(async move {
            Some(match supervisor? {
                Some(supervisor) => supervisor.send(Choose(slot)).await.unwrap_or(nothing_live),
                None => nothing_live,
            })
        })
    }
}

impl Handler<RestartActor> for Root {
    type Result = ResponseFuture<Option<Result<(), NotRestarted>>>;

    fn handle(&mut self, RestartActor(which): RestartActor, ctx: &mut Context<Self>) -> Self::Result {
        fault!("Root: RestartActor");
        let (stream, actor) = match which {
            Restartable::Door(actor) => {
                let number = self.doors.iter().position(|door| door.actor == actor);
                let done = number.is_some_and(|number| restart_ordered(self, RootChild::Door(number), ctx));
                return Box::pin(async move { Some(done.then_some(()).ok_or(NotRestarted)) });
            }
            Restartable::Stream(stream, actor) => (stream, actor),
        };
        let Some(known) = self.streams.get(&stream) else { return Box::pin(async { None }) };
        if actor == StreamActor::Supervisor {
            let done = restart_ordered(self, RootChild::Stream(stream), ctx);
            return Box::pin(async move { Some(done.then_some(()).ok_or(NotRestarted)) });
        }
        let asked = known.supervisor.borrow().as_ref().map(|supervisor| supervisor.send(RestartChild(actor)));
        Box::pin(async move {
            // One that dies meanwhile takes its children with it.
            Some(match asked {
                Some(asked) => asked.await.unwrap_or(Err(NotRestarted)),
                None => Err(NotRestarted),
            })
        })
    }
}
