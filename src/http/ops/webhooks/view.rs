//! What operators see.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Webhook;
use crate::store::delivery::Try;
use crate::timestamp::timestamp;
use crate::webhooks::request::{is_taken, refusal, shown_answer, shown_url};
use crate::webhooks::{Tested, Webhooks};

/// A webhook.
// May hold the secret: no `Debug`. Not a doc comment, because those are the API's description.
#[derive(Serialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    id: i64,
    /// Where to, without credentials and without the values of its query.
    url: String,
    /// It stands in the configuration: address and secret are changed there.
    configured: bool,
    /// It is delivered to.
    enabled: bool,
    /// Why it is not, where nobody asked for that: the receiver answered 410.
    disabled_reason: Option<String>,
    /// What messages are signed with; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until when the secret before signs too; null when none does.
    old_secret_until: Option<String>,
    /// When it was made.
    created_at: String,
    /// Everything up to this `event_id` is delivered or given up.
    settled: i64,
    /// Messages that wait; null while it is switched off.
    backlog: Option<u64>,
    /// Messages that were given up after 24 hours.
    given_up: i64,
    /// Messages that were deleted before they were delivered.
    purged: i64,
}

impl WebhookView {
    /// Without the secret.
    pub fn new(webhook: &Webhook, webhooks: &Webhooks) -> Self {
        let old = webhook.old_secret.as_ref().filter(|(_, until)| *until > weir_actors::clock::wall());
        Self {
            id: webhook.id,
            url: shown_url(&webhook.url),
            configured: webhook.configured,
            enabled: webhook.enabled,
            disabled_reason: webhook.disabled_reason.clone(),
            secret: None,
            old_secret_until: old.map(|(_, until)| timestamp(*until)),
            created_at: timestamp(webhook.created_at),
            settled: webhook.settled,
            backlog: webhooks.backlog_of(webhook.id),
            given_up: webhook.given_up,
            purged: webhook.purged,
        }
    }

    /// With it, this once.
    pub fn with_secret(webhook: &Webhook, webhooks: &Webhooks) -> Self {
        Self { secret: Some(webhook.secret.expose().to_owned()), ..Self::new(webhook, webhooks) }
    }
}

/// How a test message fared.
#[derive(Serialize, ToSchema)]
pub struct TestView {
    /// The receiver has it.
    delivered: bool,
    /// What it answered.
    status: Option<u16>,
    /// How long it took.
    took_ms: u64,
    /// Why it failed.
    error: Option<String>,
    /// The begin of what was answered.
    answer: Option<String>,
}

impl TestView {
    /// Of a test that was sent.
    pub fn new(webhook: &Webhook, tested: &Tested) -> Self {
        let answer = tested.answer.as_ref();
        let error = match answer {
            Ok(answer) => (!is_taken(answer)).then(|| refusal(answer)),
            Err(failure) => Some(failure.to_string()),
        };
        Self {
            delivered: error.is_none(),
            status: answer.ok().map(|answer| answer.status),
            took_ms: tested.took.as_millis() as u64,
            error,
            answer: answer.ok().map(|answer| shown_answer(webhook, &answer.body)),
        }
    }
}

/// A try of a delivery.
#[derive(Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its number in the log.
    id: i64,
    /// The message: its `event_id`.
    event_id: i64,
    /// The stream that it is about.
    stream: i64,
    /// Which try of it, from 1 on since the server last began with it.
    attempt: u32,
    /// When it began.
    at: String,
    /// How long it took.
    took_ms: i64,
    /// What was answered.
    status: Option<u16>,
    /// Why it failed; null when it was delivered.
    error: Option<String>,
    /// The begin of the answer's body.
    answer: Option<String>,
}

/// A page, newest first.
#[derive(Serialize, ToSchema)]
pub struct DeliveryPage {
    items: Vec<DeliveryView>,
    /// The `before` of the next page; null on the last one.
    next: Option<i64>,
}

impl DeliveryPage {
    /// Of one try more than it may have, if there is one.
    pub fn new(mut tries: Vec<Try>, limit: usize) -> Self {
        let more = tries.len() > limit;
        tries.truncate(limit);
        let next = tries.last().filter(|_| more).map(|tried| tried.id);
        let view = |tried: Try| DeliveryView {
            id: tried.id,
            event_id: tried.message,
            stream: tried.stream,
            attempt: tried.attempt,
            at: timestamp(UNIX_EPOCH + Duration::from_millis(tried.at.max(0) as u64)),
            took_ms: tried.took_ms,
            status: tried.status,
            error: tried.error,
            answer: tried.answer,
        };
        Self { items: tries.into_iter().map(view).collect(), next }
    }
}
