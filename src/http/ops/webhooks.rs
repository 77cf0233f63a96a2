//! `/ops/webhooks`: who is told what happens to streams, and how that goes.

mod input;
mod view;

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use weir_actors::clock;

use self::input::{Replay, Rotation, Wishes};
pub use self::input::{ReplayInput, RotateInput, WebhookInput};
pub use self::view::{DeliveryPage, TestView, WebhookView};
use crate::config::Secret;
use crate::http::Api;
use crate::http::body::Body;
use crate::http::error::ApiError;
use crate::store::webhook::{MOST, WebhookEdit};
use crate::store::{StoreError, Webhook};
use crate::webhooks::{OVERLAP, Webhooks, signature};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;
/// Why what the configuration says is not changed here.
const CONFIGURED: &str = "it stands in webhooks.endpoints of the configuration: change it there";

/// Query of a page.
#[derive(Debug, Deserialize, IntoParams)]
pub struct DeliveryQuery {
    /// `next` of the page before: tries older than this one.
    before: Option<i64>,
    /// 1 to 500, default 100.
    limit: Option<u32>,
}

/// All webhooks, those of the configuration among them.
#[utoipa::path(get, path = "/ops/webhooks", tag = "operations",
    responses((status = 200, body = Object, description = "{\"items\": [webhooks], \"next\": null}")))]
pub async fn list(api: web::Data<Api>, webhooks: web::Data<Webhooks>) -> Result<HttpResponse, ApiError> {
    let items: Vec<_> =
        api.store.webhooks().await?.iter().map(|webhook| WebhookView::new(webhook, &webhooks)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": null })))
}

/// Adds a webhook, which is told what happens from now on. The answer has its `secret`, this once. Without one it gets a new one.
#[utoipa::path(post, path = "/ops/webhooks", tag = "operations", request_body = WebhookInput, responses(
    (status = 200, body = WebhookView, description = "With `secret`"),
    (status = 409, description = "There are 64 already"),
    (status = 422, description = "Wrong fields, or an address that must not be connected to: private networks have to be in webhooks.allow"),
))]
pub async fn create(webhooks: web::Data<Webhooks>, body: Body) -> Result<HttpResponse, ApiError> {
    let wishes = Wishes::read(&body.0, &["url", "secret", "enabled"])?;
    let url = wishes.url.ok_or_else(|| ApiError::field("url", "can't be blank"))?;
    may_be_told(&webhooks, &url).await?;
    let (secret, enabled) = (wishes.secret.map_or_else(fresh_secret, Ok)?, wishes.enabled.unwrap_or(true));
    let added = webhooks.add(Secret::new(url), secret, enabled).await?;
    let webhook = added.ok_or_else(|| ApiError::Conflict(format!("{MOST} webhooks are kept already")))?;
    Ok(HttpResponse::Ok().json(WebhookView::with_secret(&webhook, &webhooks)))
}

/// A webhook.
#[utoipa::path(get, path = "/ops/webhooks/{id}", tag = "operations", params(("id" = i64, Path, description = "Webhook")),
    responses((status = 200, body = WebhookView), (status = 404, description = "No such webhook")))]
pub async fn get(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let webhook = known(&api, webhook_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(WebhookView::new(&webhook, &webhooks)))
}

/// Changes a webhook's address, or switches it off or on. Switched on again it goes on where it stood.
#[utoipa::path(patch, path = "/ops/webhooks/{id}", tag = "operations", request_body = Option<WebhookInput>,
    params(("id" = i64, Path, description = "Webhook")), responses(
    (status = 200, body = WebhookView),
    (status = 404, description = "No such webhook"),
    (status = 409, description = "Its address stands in the configuration"),
    (status = 422, description = "Wrong fields; a secret is changed by rotate_secret"),
))]
pub async fn patch(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let wishes = Wishes::read(&body.0, &["url", "enabled"])?;
    let webhook = known(&api, webhook_id(&id)?).await?;
    if let Some(url) = &wishes.url {
        changeable(&webhook)?;
        may_be_told(&webhooks, url).await?;
    }
    let id = webhook.id;
    let edit = WebhookEdit { url: wishes.url.map(Secret::new), enabled: wishes.enabled, disabled_reason: None };
    webhooks.change(id, move |store| async move { store.edit_webhook(id, &edit).await }).await?;
    let webhook = known(&api, id).await?;
    Ok(HttpResponse::Ok().json(WebhookView::new(&webhook, &webhooks)))
}

/// Deletes a webhook with its log.
#[utoipa::path(delete, path = "/ops/webhooks/{id}", tag = "operations", params(("id" = i64, Path, description = "Webhook")), responses(
    (status = 204, description = "It is told nothing more"),
    (status = 404, description = "No such webhook"),
    (status = 409, description = "It stands in the configuration"),
))]
pub async fn delete(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let webhook = known(&api, webhook_id(&id)?).await?;
    changeable(&webhook)?;
    let id = webhook.id;
    webhooks.change(id, move |store| async move { store.delete_webhook(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Signs with another secret, which the answer has, this once. The present one signs too for `overlap_s`, 24 hours if not said.
#[utoipa::path(post, path = "/ops/webhooks/{id}/rotate_secret", tag = "operations", request_body = Option<RotateInput>,
    params(("id" = i64, Path, description = "Webhook")), responses(
    (status = 200, body = WebhookView, description = "With `secret`"),
    (status = 404, description = "No such webhook"),
    (status = 409, description = "Its secret stands in the configuration"),
    (status = 422, description = "Wrong fields"),
))]
pub async fn rotate_secret(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Rotation { secret, overlap_s } = Rotation::read(&body.0)?;
    let webhook = known(&api, webhook_id(&id)?).await?;
    changeable(&webhook)?;
    let secret = secret.map_or_else(fresh_secret, Ok)?;
    let until = clock::wall() + overlap_s.map_or(OVERLAP, Duration::from_secs);
    let id = webhook.id;
    webhooks.change(id, move |store| async move { store.rotate_webhook(id, &secret, until).await }).await?;
    let webhook = known(&api, id).await?;
    Ok(HttpResponse::Ok().json(WebhookView::with_secret(&webhook, &webhooks)))
}

/// Delivers everything behind the event `after` again, in order, as it was: same ids, same bodies. `after` is an `event_id`, 0 for all that is
/// kept.
#[utoipa::path(post, path = "/ops/webhooks/{id}/replay", tag = "operations", request_body = ReplayInput,
    params(("id" = i64, Path, description = "Webhook")), responses(
    (status = 200, body = Object, description = "{\"id\": webhook, \"after\": event, \"messages\": how many, \"oldest\": the oldest event that is kept, null when there is none}"),
    (status = 404, description = "No such webhook"),
    (status = 409, description = "It is switched off"),
    (status = 422, description = "Not an event that has been"),
))]
pub async fn replay(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Replay { after } = Replay::read(&body.0)?;
    let webhook = known(&api, webhook_id(&id)?).await?;
    if !webhook.enabled {
        return Err(ApiError::Conflict("it is switched off: switch it on first".into()));
    }
    let (oldest, newest) = api.store.message_range().await?;
    if after > newest {
        return Err(ApiError::field("after", format!("must be an event_id within 0 and {newest}")));
    }
    let id = webhook.id;
    let messages = webhooks.change(id, move |store| async move { store.replay_webhook(id, after).await }).await?;
    let oldest = (oldest > 0).then_some(oldest);
    Ok(HttpResponse::Ok().json(json!({ "id": id, "after": after, "messages": messages, "oldest": oldest })))
}

/// Sends `{"type": "test", "message": {}}` now, signed as all messages are, once, and tells how it fared.
#[utoipa::path(post, path = "/ops/webhooks/{id}/test", tag = "operations", params(("id" = i64, Path, description = "Webhook")),
    responses((status = 200, body = TestView), (status = 404, description = "No such webhook")))]
pub async fn test(
    api: web::Data<Api>,
    webhooks: web::Data<Webhooks>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let webhook = known(&api, webhook_id(&id)?).await?;
    let tested = webhooks.test(webhook.clone()).await?;
    Ok(HttpResponse::Ok().json(TestView::new(&webhook, &tested)))
}

/// A webhook's tries, newest first; the latest 1000 are kept.
#[utoipa::path(get, path = "/ops/webhooks/{id}/deliveries", tag = "operations",
    params(("id" = i64, Path, description = "Webhook"), DeliveryQuery),
    responses((status = 200, body = DeliveryPage), (status = 404, description = "No such webhook")))]
pub async fn deliveries(
    api: web::Data<Api>,
    id: web::Path<String>,
    query: web::Query<DeliveryQuery>,
) -> Result<HttpResponse, ApiError> {
    let webhook = known(&api, webhook_id(&id)?).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let tries = api.store.tries(webhook.id, query.before, limit + 1).await?;
    Ok(HttpResponse::Ok().json(DeliveryPage::new(tries, limit as usize)))
}

fn webhook_id(text: &str) -> Result<i64, ApiError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| unknown(text))
}

async fn known(api: &Api, id: i64) -> Result<Webhook, ApiError> {
    api.store.webhook(id).await?.ok_or_else(|| unknown(&id.to_string()))
}

fn unknown(id: &str) -> ApiError {
    let id: String = id.chars().take(20).collect();
    ApiError::NotFound(format!("There is no webhook {id}"))
}

fn changeable(webhook: &Webhook) -> Result<(), ApiError> {
    if webhook.configured { Err(ApiError::Conflict(CONFIGURED.into())) } else { Ok(()) }
}

async fn may_be_told(webhooks: &Webhooks, url: &str) -> Result<(), ApiError> {
    let url = url::Url::parse(url).map_err(|_| ApiError::field("url", input::NO_URL))?;
    webhooks.check(&url).await.map_err(|error| ApiError::field("url", error.to_string()))
}

fn fresh_secret() -> Result<Secret, ApiError> {
    let none = || StoreError::Random("the system gives none".into());
    Ok(signature::fresh_secret().ok_or_else(none)?)
}
