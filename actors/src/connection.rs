//! IngestConnection: the tree's end of one admitted publisher.
//!
//! The wire task works on its own runtime. This actor reads its facts, passes them up, and owns the switch that ends it.
//! It ends when the wire task ends; however it ends, a wire task that still runs is told to stop.

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, StreamHandler};
use futures_util::stream;
use tokio::sync::{mpsc, watch};

use crate::ingest::{CloseReason, IngestFact};
use crate::report::{ConnectionFact, StreamFact, StreamUplink};

/// How long a wire task may take to end once it was told to. After that it is cut off from the tree, which ends it too.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// End the session and tell the encoder why.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct EndSession(pub CloseReason);

/// The switch that ends a wire task. Dropped unused, a supervisor above died, and that is what the task is told.
struct StopSwitch(watch::Sender<Option<CloseReason>>);

impl StopSwitch {
    /// The first reason stays.
    fn pull(&self, reason: CloseReason) {
        self.0.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(reason);
            }
            first
        });
    }
}

impl Drop for StopSwitch {
    fn drop(&mut self) {
        self.pull(CloseReason::Restart);
    }
}

/// One admitted publisher.
pub(crate) struct IngestConnection {
    facts: Option<mpsc::Receiver<IngestFact>>,
    stop: StopSwitch,
    uplink: StreamUplink,
    closed: bool,
}

impl IngestConnection {
    pub fn new(
        facts: mpsc::Receiver<IngestFact>,
        stop: watch::Sender<Option<CloseReason>>,
        uplink: StreamUplink,
    ) -> Self {
        Self { facts: Some(facts), stop: StopSwitch(stop), uplink, closed: false }
    }
}

impl Actor for IngestConnection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("IngestConnection: started");
        if let Some(mut facts) = self.facts.take() {
            Self::add_stream(stream::poll_fn(move |cx| facts.poll_recv(cx)), ctx);
        }
    }
}

impl StreamHandler<IngestFact> for IngestConnection {
    fn handle(&mut self, fact: IngestFact, ctx: &mut Self::Context) {
        fault!("IngestConnection: IngestFact");
        let fact = match fact {
            IngestFact::Source { video, audio } => ConnectionFact::Source { video, audio },
            IngestFact::Media { at, bytes, video_units, audio_units } => {
                ConnectionFact::MediaSeen { at, bytes, video_units, audio_units }
            }
            IngestFact::Transport(stats) => ConnectionFact::Transport(stats),
            IngestFact::Examined(checkup) => ConnectionFact::Examined(checkup),
            IngestFact::Closed { reason } => {
                self.closed = true;
                ConnectionFact::Closed(reason)
            }
        };
        if self.uplink.report(StreamFact::Connection(fact)).is_err() {
            ctx.stop();
        }
    }

    /// The wire task is gone.
    fn finished(&mut self, ctx: &mut Self::Context) {
        fault!("IngestConnection: IngestFact finished");
        if !self.closed {
            self.uplink.fail("wire task ended without a word");
        }
        ctx.stop();
    }
}

impl Handler<EndSession> for IngestConnection {
    type Result = ();

    fn handle(&mut self, EndSession(reason): EndSession, ctx: &mut Self::Context) {
        fault!("IngestConnection: EndSession");
        self.stop.pull(reason);
        ctx.run_later(CLOSE_WITHIN, |this, ctx| {
            fault!("IngestConnection: timer");
            this.uplink.fail(format!("wire task did not end within {CLOSE_WITHIN:?}"));
            ctx.stop();
        });
    }
}
