//! When an endpoint's webhook messages are sent: in order within each stream, again and again until they are taken or too old.
//!
//! ```text
//!            ┌────────────── taken, or given up; more wait ─────────────┐
//! (no lane) ─arrived─▶ Due ──start──▶ Trying ──failed, young enough──▶ Due (later, by the backoff)
//!                                       └── taken, or given up; none wait ──▶ (no lane)
//! ```
//!
//! Each stream with messages that wait has a *lane*. Only the first of a lane is tried, so that a receiver gets a stream's messages in their
//! order; one that is refused holds up no other stream. At most [`Policy::in_flight`] tries run at once, the lane that has been due for longest
//! goes first. A message is tried at least once, however old it is.
//!
//! Messages have increasing ids over all streams. A lane knows from where to where it reaches, not what lies between: whoever sends loads the
//! first message of the stream behind [`Start::after`]. So what the rule holds grows with the number of streams, never with the backlog.
//!
//! [`Delivery::settled`] is what has to be kept: all messages up to it are done with. It never goes back, and a rule that starts anew there
//! misses nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_media::id::StreamId;

use crate::backoff::Backoff;

/// The numbers of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Between two tries of one message.
    pub backoff: Backoff,
    /// A message that is refused at this age is given up.
    pub give_up: Duration,
    /// Tries of one endpoint that run at once.
    pub in_flight: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300) },
            give_up: Duration::from_secs(24 * 60 * 60),
            in_flight: 8,
        }
    }
}

/// A try that is to begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whose message: the first one of this stream …
    pub stream: StreamId,
    /// … whose id is larger than this.
    pub after: i64,
    /// Which try of that message it is, from 1.
    pub attempt: u32,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Taken,
    /// The receiver does not have it, or did not say so.
    Failed {
        /// How long the message has been waiting in all.
        age: Duration,
        /// The receiver wants no other try before so long; counts up to the longest delay of the backoff.
        retry_after: Option<Duration>,
    },
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The message is done with.
    Settled,
    /// It is done with, and nobody has it.
    GivenUp,
    /// It is tried again at this time.
    Retry(Instant),
}

/// The deliveries to one endpoint.
#[derive(Clone, Debug)]
pub struct Delivery {
    policy: Policy,
    /// Id of the newest message that has arrived.
    newest: i64,
    lanes: BTreeMap<StreamId, Lane>,
    trying: usize,
}

#[derive(Clone, Debug)]
struct Lane {
    /// All of the stream's messages up to this id are done with.
    after: i64,
    /// Id of its newest message; greater than `after`.
    last: i64,
    waiting: u64,
    /// Tries of its first message.
    tried: u32,
    /// `None` while a try runs.
    due: Option<Instant>,
}

impl Delivery {
    /// Nothing waits; all messages up to `settled` are done with.
    pub fn new(policy: Policy, settled: i64) -> Self {
        Self { policy, newest: settled, lanes: BTreeMap::new(), trying: 0 }
    }

    /// A message waits; ids come in increasing order.
    pub fn arrived(&mut self, stream: StreamId, id: i64, now: Instant) {
        self.skip_to(id);
        let fresh = Lane { after: id - 1, last: id, waiting: 0, tried: 0, due: Some(now) };
        let lane = self.lanes.entry(stream).or_insert(fresh);
        lane.last = id;
        lane.waiting += 1;
    }

    /// Messages up to this id have been seen, and those that did not arrive here are done with.
    pub fn skip_to(&mut self, id: i64) {
        self.newest = self.newest.max(id);
    }

    /// The next try that may begin. Each that is taken has to be told as [`tried`](Self::tried) or [`vanished`](Self::vanished).
    pub fn start(&mut self, now: Instant) -> Option<Start> {
        if self.trying >= self.policy.in_flight {
            return None;
        }
        let due = self.lanes.iter_mut().filter(|(_, lane)| lane.due.is_some_and(|due| due <= now));
        let (stream, lane) = due.min_by_key(|(_, lane)| lane.due)?;
        lane.due = None;
        self.trying += 1;
        Some(Start { stream: *stream, after: lane.after, attempt: lane.tried + 1 })
    }

    /// A try of message `id` has ended. `jitter` is uniform in `0.0..1.0`.
    pub fn tried(&mut self, stream: StreamId, id: i64, outcome: Outcome, now: Instant, jitter: f64) -> Verdict {
        let policy = self.policy;
        let Some(lane) = self.ended(stream) else { return Verdict::Settled };
        if let Outcome::Failed { age, retry_after } = outcome
            && age < policy.give_up
        {
            let wanted = retry_after.unwrap_or_default().min(policy.backoff.max);
            let at = now + policy.backoff.delay(lane.tried, jitter).max(wanted);
            lane.tried = lane.tried.saturating_add(1);
            lane.due = Some(at);
            return Verdict::Retry(at);
        }
        lane.after = id;
        lane.waiting = lane.waiting.saturating_sub(1);
        lane.tried = 0;
        lane.due = Some(now);
        if lane.after >= lane.last {
            self.lanes.remove(&stream);
        }
        if outcome == Outcome::Taken { Verdict::Settled } else { Verdict::GivenUp }
    }

    /// Whoever began a try found no message of the stream: they were deleted.
    pub fn vanished(&mut self, stream: StreamId) {
        if self.ended(stream).is_some() {
            self.lanes.remove(&stream);
        }
    }

    /// When the next try may begin; `None` while as many run as may, or nothing waits.
    pub fn deadline(&self) -> Option<Instant> {
        let free = self.trying < self.policy.in_flight;
        self.lanes.values().filter_map(|lane| lane.due).min().filter(|_| free)
    }

    /// All messages up to this id are done with.
    pub fn settled(&self) -> i64 {
        self.lanes.values().map(|lane| lane.after).min().unwrap_or(self.newest)
    }

    /// Id of the newest message that has arrived.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// Messages that wait.
    pub fn backlog(&self) -> u64 {
        self.lanes.values().map(|lane| lane.waiting).sum()
    }

    /// Whether something runs, or is due by `now`.
    pub fn is_busy(&self, now: Instant) -> bool {
        self.trying > 0 || self.lanes.values().any(|lane| lane.due.is_some_and(|due| due <= now))
    }

    /// The lane whose try ended.
    fn ended(&mut self, stream: StreamId) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(&stream).filter(|lane| lane.due.is_none())?;
        self.trying -= 1;
        Some(lane)
    }
}

#[cfg(test)]
mod tests;
