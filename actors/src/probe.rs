//! How long messages wait in an actor's mailbox: measured by one that does nothing else.

use std::time::{Duration, Instant};

use actix::{Context, Handler, Message, Recipient};
use tokio::time::timeout;

use crate::clock;

/// Asks how long it waited; carries when it was sent.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Duration")]
pub struct Probe(pub Instant);

impl Probe {
    /// Sent now.
    pub fn now() -> Self {
        Self(clock::now())
    }

    /// The answer.
    pub fn waited(self) -> Duration {
        clock::now().saturating_duration_since(self.0)
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Its message waited for so long.
    Measured(Duration),
    /// No answer in time: the actor is stuck, or so is what it runs on.
    Unresponsive,
    /// It does not run.
    Down,
}

/// Probes an actor; `None` is one that does not run. Comes back at the latest after `within`.
pub(crate) async fn lag(actor: Option<Recipient<Probe>>, within: Duration) -> Lag {
    let Some(actor) = actor else { return Lag::Down };
    match timeout(within, actor.send(Probe::now())).await {
        Ok(Ok(waited)) => Lag::Measured(waited),
        Ok(Err(_)) => Lag::Down,
        Err(_) => Lag::Unresponsive,
    }
}

/// Every actor that is a child can be probed. Root is nobody's: it tells with its answers.
macro_rules! probed {
    ($($actor:ident in $module:ident),+) => {$(
        impl Handler<Probe> for crate::$module::$actor {
            type Result = actix::MessageResult<Probe>;

            fn handle(&mut self, probe: Probe, _: &mut Context<Self>) -> Self::Result {
                fault!(concat!(stringify!($actor), ": Probe"));
                actix::MessageResult(probe.waited())
            }
        }
    )+};
}

probed!(
    Listener in listener,
    StreamSupervisor in stream,
    FailoverActor in failover,
    PipelineActor in pipeline,
    PullActor in pull,
    IngestConnection in connection
);
