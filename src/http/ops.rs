//! `/ops`: what operators see of the tree and its streams, and what they can change. Lists are `{"items", "next"}`; `next` is the
//! `after` of the next page, of a journal and of refusals its `before`.

pub mod detail;
pub mod events;
pub mod failover;
pub mod follow;
pub mod journal;
pub mod on_air;
pub mod preflight;
pub mod refusals;
pub mod restart;
pub mod tree;
pub mod webhooks;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use weir_actors::control::ClosedSession;
use weir_actors::status::StreamStatus;
use weir_media::id::StreamId;

use super::Api;
use super::error::ApiError;
use super::query::{Number, limit};
use super::streams::view::timestamp;
use super::streams::{stream_id, unknown};
use crate::store::Stream;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Query of a list.
#[derive(Debug, Deserialize, IntoParams)]
pub struct PageQuery {
    /// `next` of the page before.
    #[param(value_type = Option<u64>)]
    after: Option<Number>,
    /// 1 to 1000, default 100.
    #[param(value_type = Option<u64>)]
    limit: Option<Number>,
}

/// All streams with their present state: `idle`, `waiting` (an encoder is there), `on_air`, `holding` (the last picture) or `ended`, the slot
/// `on_air`, and since when either slot has been live.
#[utoipa::path(get, path = "/ops/streams", tag = "operations", params(PageQuery),
    responses((status = 200, body = Object, description = "{\"items\": […], \"next\": cursor or null}")))]
pub async fn streams(api: web::Data<Api>, page: web::Query<PageQuery>) -> Result<HttpResponse, ApiError> {
    let limit = limit(page.limit, DEFAULT_LIMIT, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut found = api.store.after(StreamId(page.after.map_or(0, |Number(id)| id)), limit as u32 + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|stream| stream.id);
    let items: Vec<Value> = found.iter().map(|stream| summary(&api, stream)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": next })))
}

fn summary(api: &Api, stream: &Stream) -> Value {
    let mut summary = live(stream.id, &api.board.get(stream.id));
    summary["name"] = stream.fields.name.clone().into();
    summary["active"] = stream.fields.active.into();
    summary["pull"] = stream.fields.pull.into();
    summary
}

/// What the tree knows of a stream, in short.
fn live(id: StreamId, status: &StreamStatus) -> Value {
    let since = if status.live { status.started_at_primary } else { status.started_at_backup };
    json!({
        "id": id,
        "state": status.state,
        "on_air": status.on_air,
        "live": status.live,
        "backup_live": status.backup_live,
        "live_since": since.filter(|_| status.live || status.backup_live).map(timestamp),
        "transcoding": status.transcoding,
        "protocol": status.protocol,
        "video_width": status.video_width,
        "video_height": status.video_height,
        "frame_rate": status.frame_rate,
        "qualities": status.qualities,
        "transcoding_speed": status.transcoding_speed,
    })
}

/// Resets a stream's push token and tells which sessions that closed: `{"id", "token", "closed": [{"session", "slot", "protocol",
/// "address", "took_ms"}]}`. `took_ms` runs from the order to the end of the session's socket, null when it did not end within 2 s. The
/// old token is refused from before the first of them was told.
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
            let ClosedSession { session, slot, protocol, address, .. } = session;
            json!({ "session": session, "slot": slot, "protocol": protocol, "address": address, "took_ms": took_ms })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "id": stream.id, "token": stream.token.expose(), "closed": closed })))
}
