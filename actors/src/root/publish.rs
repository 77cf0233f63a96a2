//! Letting publishers in: the gate, then the stream's supervisor, waiting a little for one that is being replaced.

use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, ResponseFuture, WrapFuture};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::Span;
use tracing::field::Empty;
use weir_media::id::StreamId;
use weir_policy::admission::Refusal;

use super::{Root, Supervisor};
use crate::SPANS;
use crate::clock;
use crate::ingest::{Grant, Publish};
use crate::refusals::Applicant;
use crate::stream::Admit;

/// How long a publisher waits for its stream's supervisor: long enough for the first restarts, shorter than any door waits.
const SUPERVISOR_WITHIN: Duration = Duration::from_secs(3);

/// A publisher that waited for another supervisor asks again, from the gate on: its token may be another one by now.
#[derive(Message)]
#[rtype(result = "Result<Grant, Refusal>")]
pub(crate) struct PublishAgain {
    publish: Publish,
    until: Instant,
    /// Supervisors that ended while they had it. One may end for want of work at this very moment; two look as if it killed them.
    ended: u32,
}

impl Root {
    fn admission(&mut self, again: PublishAgain, ctx: &Context<Self>) -> ResponseFuture<Result<Grant, Refusal>> {
        let PublishAgain { publish, until, mut ended } = again;
        let mut supervisor = match self
            .shared
            .admission
            .gate(publish.stream, &publish.token, publish.peer.ip())
            .and_then(|id| self.supervisor(id))
        {
            Ok(supervisor) => supervisor,
            Err(refusal) => return Box::pin(async { Err(refusal) }),
        };
        let root = ctx.address();
        // Asked here and now: what Root handles next, a token reset, say, must find the session that this token opened.
        let present = supervisor.borrow_and_update().clone();
        let asked = present.map(|present| present.send(Admit::from(&publish)));
        Box::pin(async move {
            let answer = match asked {
                Some(asked) => asked.await.unwrap_or_else(|_| {
                    ended += 1;
                    Err(Refusal::Restarting)
                }),
                None => Err(Refusal::Restarting),
            };
            if !matches!(answer, Err(Refusal::Restarting)) || ended > 1 {
                return answer;
            }
            match timeout(until.saturating_duration_since(clock::now()), supervisor.changed()).await {
                Ok(_) => root.send(PublishAgain { publish, until, ended }).await.unwrap_or(answer),
                Err(_) => answer,
            }
        })
    }

    /// Where the supervisor of a stream that the gate let through is, or will soon be.
    fn supervisor(&mut self, id: StreamId) -> Result<watch::Receiver<Supervisor>, Refusal> {
        if self.is_down(id) {
            return Err(Refusal::Restarting);
        }
        if self.vitals(id).is_none() {
            self.start_supervisor(id);
        }
        let stream = self.streams.get(&id).ok_or(Refusal::NotAuthorized { known: false })?;
        Ok(stream.supervisor.subscribe())
    }
}

impl Handler<Publish> for Root {
    type Result = ResponseActFuture<Self, Result<Grant, Refusal>>;

    fn handle(&mut self, publish: Publish, ctx: &mut Self::Context) -> Self::Result {
        fault!("Root: Publish");
        let applicant = Applicant::from(&publish);
        let span = span(&applicant);
        let first = PublishAgain { publish, until: clock::now() + SUPERVISOR_WITHIN, ended: 0 };
        let answer = self.admission(first, ctx);
        Box::pin(answer.into_actor(self).map(move |answer, this, _| {
            fault!("Root: Publish answered");
            span.record("outcome", answer.as_ref().map_or_else(Refusal::rule, |_| "granted"));
            if let Err(refusal) = &answer {
                this.shared.admission.record(&applicant, refusal);
            }
            answer
        }))
    }
}

/// Lasts until the answer.
fn span(Applicant { stream, slot, protocol, .. }: &Applicant) -> Span {
    let (stream, protocol) = (stream.map(|id| id.0), protocol.as_str());
    tracing::info_span!(target: SPANS, "publish", stream, slot = slot.as_str(), protocol, outcome = Empty)
}

impl Handler<PublishAgain> for Root {
    type Result = ResponseFuture<Result<Grant, Refusal>>;

    fn handle(&mut self, again: PublishAgain, ctx: &mut Self::Context) -> Self::Result {
        fault!("Root: PublishAgain");
        self.admission(again, ctx)
    }
}
