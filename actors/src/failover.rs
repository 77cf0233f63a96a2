//! The failover rule as an actor: a mailbox, one timer, and a way up to the stream's supervisor.

use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, Message};
use weir_media::id::Slot;
use weir_policy::failover::{Decision, Failover};

use crate::clock;
use crate::report::{StreamFact, StreamUplink};
use crate::timer::Deadline;

/// Media arrived in a slot; sent by the stream's supervisor at most 4 times a second per session.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct MediaSeen {
    pub slot: Slot,
    pub at: Instant,
}

/// Runs [`Failover`].
pub(crate) struct FailoverActor {
    rule: Failover,
    uplink: StreamUplink,
    timer: Deadline,
}

impl FailoverActor {
    pub fn new(rule: Failover, uplink: StreamUplink) -> Self {
        Self { rule, uplink, timer: Deadline::default() }
    }

    fn carry_out(&mut self, decisions: Vec<Decision>, ctx: &mut Context<Self>) {
        for decision in decisions {
            if self.uplink.report(StreamFact::Decided(decision)).is_err() {
                return ctx.stop();
            }
        }
        self.timer.arm(self.rule.deadline(), ctx, |this: &mut Self, ctx| {
            fault!("FailoverActor: timer");
            this.timer.fired();
            let decisions = this.rule.on_timeout(clock::now());
            this.carry_out(decisions, ctx);
        });
    }
}

impl Actor for FailoverActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        fault!("FailoverActor: started");
        let decisions = self.rule.on_timeout(clock::now());
        self.carry_out(decisions, ctx);
    }
}

impl Handler<MediaSeen> for FailoverActor {
    type Result = ();

    fn handle(&mut self, seen: MediaSeen, ctx: &mut Self::Context) {
        fault!("FailoverActor: MediaSeen");
        let decisions = self.rule.on_media(seen.slot, seen.at, clock::now());
        self.carry_out(decisions, ctx);
    }
}
