//! `/ops`: what operators see of the tree and its streams. Lists are `{"items", "next"}`; `next` is the `after` of the next page.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use weir_actors::status::StreamDetail;
use weir_media::id::StreamId;

use super::Api;
use super::error::ApiError;
use super::streams::view::timestamp;
use super::streams::{stream_id, unknown};
use crate::store::Stream;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// Query of a list.
#[derive(Debug, Deserialize, IntoParams)]
pub struct PageQuery {
    /// `next` of the page before.
    after: Option<u64>,
    /// 1 to 1000, default 100.
    limit: Option<u32>,
}

/// The supervision tree: every actor with its state, restarts, and worker process.
#[utoipa::path(get, path = "/ops/tree", tag = "operations", responses((status = 200, body = Object)))]
pub async fn tree(api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(api.tree.tree().await?))
}

/// All streams with their present state.
#[utoipa::path(get, path = "/ops/streams", tag = "operations", params(PageQuery),
    responses((status = 200, body = Object, description = "{\"items\": […], \"next\": cursor or null}")))]
pub async fn streams(api: web::Data<Api>, page: web::Query<PageQuery>) -> Result<HttpResponse, ApiError> {
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut found = api.store.after(StreamId(page.after.unwrap_or(0)), limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|stream| stream.id);
    let items: Vec<Value> = found.iter().map(|stream| summary(&api, stream)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": next })))
}

fn summary(api: &Api, stream: &Stream) -> Value {
    let status = api.board.get(stream.id);
    json!({
        "id": stream.id,
        "name": stream.fields.name,
        "active": stream.fields.active,
        "pull": stream.fields.pull,
        "live": status.live,
        "backup_live": status.backup_live,
        "transcoding": status.transcoding,
        "protocol": status.protocol,
        "qualities": status.qualities,
        "transcoding_speed": status.transcoding_speed,
    })
}

/// One stream: its slots and publishers, its worker and output, its journal.
#[utoipa::path(get, path = "/ops/streams/{id}", tag = "operations", params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = Object), (status = 404, description = "No such stream")))]
pub async fn stream(api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let detail = api.tree.stream(id).await?.ok_or_else(|| unknown(id))?;
    Ok(HttpResponse::Ok().json(detail_json(&detail)))
}

/// The journal's times are for people here.
fn detail_json(detail: &StreamDetail) -> Value {
    let mut value = json!(detail);
    let entries = value.get_mut("journal").and_then(Value::as_array_mut);
    for (entry, json) in detail.journal.iter().zip(entries.into_iter().flatten()) {
        json["at"] = timestamp(entry.at).into();
    }
    value
}

/// Resets a stream's push token and tells which sessions that closed, each with the milliseconds it took, null when it did not end.
#[utoipa::path(post, path = "/ops/streams/{id}/reset_push_token", tag = "operations",
    params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = Object), (status = 404, description = "No such stream")))]
pub async fn reset_push_token(api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let (stream, closed) = api.control.reset_token(id).await?.ok_or_else(|| unknown(id))?;
    let closed: Vec<Value> = closed?
        .iter()
        .map(|session| {
            let took_ms = session.took.map(|took| took.as_millis() as u64);
            json!({ "session": session.session, "slot": session.slot, "took_ms": took_ms })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "id": stream.id, "token": stream.token.expose(), "closed": closed })))
}
