//! One deadline of an actor: a timer that is re-armed lazily.
//!
//! A deadline that moves away with every access unit must not cost a new timer each time. An armed timer that fires
//! before the deadline finds nothing due and is armed again; only a nearer deadline replaces it.

use std::time::Instant;

use actix::{Actor, AsyncContext, Context, SpawnHandle};

use crate::clock;

/// The timer of one deadline.
#[derive(Default)]
pub(crate) struct Deadline(Option<(Instant, SpawnHandle)>);

impl Deadline {
    /// Makes sure that `fire` is called at `deadline`, or before it. `fire` has to call [`Self::fired`] first.
    pub fn arm<A>(
        &mut self,
        deadline: Option<Instant>,
        ctx: &mut Context<A>,
        fire: impl FnOnce(&mut A, &mut Context<A>) + 'static,
    ) where
        A: Actor<Context = Context<A>>,
    {
        let Some(deadline) = deadline else {
            if let Some((_, timer)) = self.0.take() {
                ctx.cancel_future(timer);
            }
            return;
        };
        if self.0.is_some_and(|(armed, _)| armed <= deadline) {
            return;
        }
        let timer = ctx.run_later(deadline.saturating_duration_since(clock::now()), fire);
        if let Some((_, stale)) = self.0.replace((deadline, timer)) {
            ctx.cancel_future(stale);
        }
    }

    /// Notes that the timer is spent.
    pub fn fired(&mut self) {
        self.0 = None;
    }
}
