//! One webhook's deliveries: the rule of [`weir_policy::delivery`], fed from the store, with a try for each of its starts.
//!
//! All that it knows is in the store: it may end at any point, and another one goes on there.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use weir_actors::clock;
use weir_actors::network::post::{Answer, Poster};
use weir_media::id::StreamId;
use weir_policy::delivery::{Delivery, Outcome, Policy, Start, Verdict};

use super::request::{self, Failure};
use crate::store::delivery::{Message, Settled, Try};
use crate::store::stream::now_ms;
use crate::store::webhook::WebhookEdit;
use crate::store::{Store, StoreError, Webhook};

/// Messages that are looked at in one go.
const PAGE: u32 = 1_000;
/// Status by which a receiver says that it wants nothing more (Standard Webhooks, delivery success and failure).
const GONE: u16 = 410;

/// What others see of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Id of the newest message that it knows.
    pub newest: i64,
    /// Messages that wait.
    pub backlog: u64,
    /// Something runs, or is due.
    pub busy: bool,
}

/// What it works with.
#[derive(Clone)]
pub struct Endpoint {
    /// Its webhook.
    pub webhook: Webhook,
    /// The store.
    pub store: Store,
    /// The way out.
    pub poster: Poster,
}

/// A try that has ended.
struct Tried {
    start: Start,
    ended: Ended,
}

enum Ended {
    /// There is no message any more.
    Vanished,
    /// The store did not give it.
    Unread(StoreError),
    /// It was sent.
    Sent { message: Message, at: i64, took: Duration, answer: Result<Answer, Failure> },
}

/// Why it ends by itself.
pub enum End {
    /// The receiver wants nothing more.
    Gone,
    /// The store failed where nothing can be done without it.
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Endpoint {
    /// Delivers until it cannot go on. `newest` tells of messages that are written.
    pub async fn run(
        self,
        mut newest: watch::Receiver<i64>,
        progress: &watch::Sender<Progress>,
    ) -> Result<Infallible, End> {
        let mut ahead: HashMap<StreamId, i64> = self.store.lanes(self.webhook.id).await?.into_iter().collect();
        let mut rule = Delivery::new(Policy::default(), self.webhook.settled);
        let mut tries = JoinSet::new();
        let mut writes = true;
        loop {
            newest.borrow_and_update();
            self.take_in(&mut rule, &mut ahead).await?;
            while let Some(start) = rule.start(clock::now()) {
                tries.spawn(self.clone().attempt(start));
            }
            progress.send_replace(Progress {
                newest: rule.newest(),
                backlog: rule.backlog(),
                busy: rule.is_busy(clock::now()),
            });
            tokio::select! {
                written = newest.changed(), if writes => writes = written.is_ok(),
                Some(tried) = tries.join_next() => match tried {
                    Ok(tried) => self.ended(&mut rule, tried).await?,
                    // A try does not panic and is not aborted; if it does, the lane would wait for ever.
                    Err(error) => return Err(StoreError::Interrupted(error.to_string()).into()),
                },
                () = due(&rule) => {}
            }
        }
    }

    /// Tells the rule of the messages that it does not know yet.
    async fn take_in(&self, rule: &mut Delivery, ahead: &mut HashMap<StreamId, i64>) -> Result<(), StoreError> {
        loop {
            let page = self.store.messages_after(rule.newest(), PAGE).await?;
            let now = clock::now();
            for &(id, stream) in &page {
                match ahead.get(&stream) {
                    Some(settled) if id <= *settled => rule.skip_to(id),
                    _ => {
                        ahead.remove(&stream);
                        rule.arrived(stream, id, now);
                    }
                }
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn attempt(self, start: Start) -> Tried {
        let message = match self.store.next_message(start.stream, start.after).await {
            Ok(Some(message)) => message,
            Ok(None) => return Tried { start, ended: Ended::Vanished },
            Err(error) => return Tried { start, ended: Ended::Unread(error) },
        };
        let (began, at) = (clock::now(), now_ms());
        let id = request::message_id(&self.store, message.id);
        let answer = request::send(&self.poster, &self.webhook, &id, &message.body).await;
        let took = clock::now().duration_since(began);
        Tried { start, ended: Ended::Sent { message, at, took, answer } }
    }

    async fn ended(&self, rule: &mut Delivery, tried: Tried) -> Result<(), End> {
        let Tried { start: Start { stream, after, attempt }, ended } = tried;
        let (now, jitter) = (clock::now(), rand::random());
        let (message, at, took, answer) = match ended {
            Ended::Vanished => {
                rule.vanished(stream);
                return Ok(());
            }
            Ended::Unread(error) => {
                tracing::error!(webhook = self.webhook.id, %stream, %error, "cannot read a message, trying on");
                // Not a receiver's refusal: it is never too old for this.
                let outcome = Outcome::Failed { age: Duration::ZERO, retry_after: None };
                rule.tried(stream, after, outcome, now, jitter);
                return Ok(());
            }
            Ended::Sent { message, at, took, answer } => (message, at, took, answer),
        };
        let (outcome, error) = match &answer {
            Ok(answer) if request::is_taken(answer) => (Outcome::Taken, None),
            Ok(answer) => (self.failed(&message, answer.retry_after), Some(request::refusal(answer))),
            Err(failure) => (self.failed(&message, None), Some(failure.to_string())),
        };
        let verdict = rule.tried(stream, message.id, outcome, now, jitter);
        self.tell(stream, &message, attempt, verdict, error.as_deref());
        let answer = answer.as_ref().ok();
        let noted = Try {
            id: 0,
            message: message.id,
            stream: stream.0 as i64,
            attempt,
            at,
            took_ms: took.as_millis() as i64,
            status: answer.map(|answer| answer.status),
            error,
            answer: answer.map(|answer| request::shown_answer(&self.webhook, &answer.body)),
        };
        let settled = match verdict {
            Verdict::Retry(_) => None,
            Verdict::Settled => Some(Settled { up_to: rule.settled(), given_up: false }),
            Verdict::GivenUp => Some(Settled { up_to: rule.settled(), given_up: true }),
        };
        if let Err(error) = self.store.note_try(self.webhook.id, &noted, settled).await {
            // What is settled here goes on; a restart may send it again, and the next note covers it.
            tracing::error!(webhook = self.webhook.id, %error, "cannot note a delivery");
        }
        if noted.status == Some(GONE) {
            let disabled_reason = Some("the receiver answered 410 Gone".to_owned());
            let edit = WebhookEdit { enabled: Some(false), disabled_reason, ..WebhookEdit::default() };
            self.store.edit_webhook(self.webhook.id, &edit).await?;
            return Err(End::Gone);
        }
        Ok(())
    }

    /// A failed try of a message, whose age counts from the webhook's own time where it is older.
    fn failed(&self, message: &Message, retry_after: Option<Duration>) -> Outcome {
        let age = now_ms().saturating_sub(message.at.max(self.webhook.since));
        Outcome::Failed { age: Duration::from_millis(age.max(0) as u64), retry_after }
    }

    /// A receiver that is down for hours must not fill the log.
    fn tell(&self, stream: StreamId, message: &Message, attempt: u32, verdict: Verdict, error: Option<&str>) {
        let (webhook, event, error) = (self.webhook.id, message.id, error.unwrap_or_default());
        match verdict {
            Verdict::Settled => tracing::debug!(webhook, %stream, event, attempt, "webhook delivered"),
            Verdict::GivenUp => tracing::error!(webhook, %stream, event, attempt, error, "webhook given up"),
            Verdict::Retry(_) if attempt.is_power_of_two() => {
                tracing::warn!(webhook, %stream, event, attempt, error, "webhook not delivered, trying on");
            }
            Verdict::Retry(_) => tracing::debug!(webhook, %stream, event, attempt, error, "webhook not delivered"),
        }
    }
}

/// When the rule's next try is due.
async fn due(rule: &Delivery) {
    match rule.deadline() {
        Some(deadline) => sleep_until(Instant::from_std(deadline)).await,
        None => pending().await,
    }
}
