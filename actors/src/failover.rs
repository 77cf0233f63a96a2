//! The failover rule as an actor: a mailbox of facts, one timer, and a way up to the stream's supervisor.

use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, Message};
use weir_policy::failover::{Decision, Fact, Rule, State};

use crate::clock;
use crate::report::{StreamFact, StreamUplink};
use crate::timer::Deadline;

/// Facts without a decision after which the state goes up nevertheless, so that a fresh actor has little to be told again.
const REPORT_EVERY: u64 = 32;

/// A fact, when it became true, and when it became known.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Told {
    pub fact: Fact,
    pub at: Instant,
    pub known: Instant,
}

/// What the rule decided, and all that it knows by then.
#[derive(Debug)]
pub(crate) struct Ruling {
    pub decisions: Vec<Decision>,
    pub state: State,
    /// Facts in `state`, counted by the supervisor from its own start.
    pub facts: u64,
}

/// Runs [`Rule`].
pub(crate) struct FailoverActor {
    rule: Rule,
    /// What a predecessor did not live to tell of.
    missed: Vec<Told>,
    facts: u64,
    reported: u64,
    uplink: StreamUplink,
    timer: Deadline,
}

impl FailoverActor {
    /// Goes on from `state`, in which `facts` are; `missed` became known since.
    pub fn new(state: State, facts: u64, missed: Vec<Told>, uplink: StreamUplink) -> Self {
        let rule = Rule::resume(state);
        Self { rule, missed, facts, reported: facts, uplink, timer: Deadline::default() }
    }

    fn take_in(&mut self, Told { fact, at, known }: Told) -> Vec<Decision> {
        self.facts += 1;
        self.rule.on_fact(fact, at, known)
    }

    fn carry_out(&mut self, decisions: Vec<Decision>, ctx: &mut Context<Self>) {
        if !decisions.is_empty() || self.facts - self.reported >= REPORT_EVERY {
            self.reported = self.facts;
            let ruling = Ruling { decisions, state: self.rule.state().clone(), facts: self.facts };
            if self.uplink.report(StreamFact::Ruled(Box::new(ruling))).is_err() {
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
        let missed = std::mem::take(&mut self.missed);
        let mut decisions: Vec<Decision> = missed.into_iter().flat_map(|told| self.take_in(told)).collect();
        decisions.extend(self.rule.on_timeout(clock::now()));
        self.carry_out(decisions, ctx);
    }
}

impl Handler<Told> for FailoverActor {
    type Result = ();

    fn handle(&mut self, told: Told, ctx: &mut Self::Context) {
        fault!("FailoverActor: Told");
        let decisions = self.take_in(told);
        self.carry_out(decisions, ctx);
    }
}
