//! `/ops/streams/{id}/journal`: what happened to a stream and by which rule, in pages or as it happens.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_actors::journal::{JournalEntry, JournalEvent};

use super::follow;
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::streams::view::timestamp;
use crate::http::streams::{stream_id, unknown};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// Query of a page.
#[derive(Debug, Deserialize, IntoParams)]
pub struct JournalQuery {
    /// `next` of the page before: entries older than this one.
    before: Option<u64>,
    /// 1 to 500, default 100.
    limit: Option<usize>,
}

/// A page, newest first.
#[derive(Serialize, ToSchema)]
pub struct JournalPage {
    /// `seq`, `at`, `event`, `text`, and the fields of that event.
    items: Vec<Value>,
    /// The `before` of the next page; null on the last one.
    next: Option<u64>,
}

/// A stream's journal, newest entry first; it holds the latest entries of this run of the server.
///
/// With `Accept: text/event-stream` the same entries as server-sent events, oldest first, as they happen: behind `Last-Event-ID`, else
/// from now on. A comment comes every 15 s without an entry. The events end when the stream is deleted or the server goes down.
#[utoipa::path(get, path = "/ops/streams/{id}/journal", tag = "operations",
    params(("id" = u64, Path, description = "Stream"), JournalQuery), responses(
    (status = 200, body = JournalPage),
    (status = 404, description = "No such stream"),
    (status = 503, description = "Too many follow journals already, or the server is going down"),
))]
pub async fn journal(
    api: web::Data<Api>,
    id: web::Path<String>,
    query: web::Query<JournalQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let journal = api.tree.journal(id).await?.ok_or_else(|| unknown(id))?;
    if wants_events(&request) {
        return follow::follow(&api, journal, follow::last_event_id(&request)?);
    }
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut entries = journal.page(query.before, limit + 1);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.seq);
    Ok(HttpResponse::Ok().json(JournalPage { items: entries.iter().map(entry_json).collect(), next }))
}

fn wants_events(request: &HttpRequest) -> bool {
    let accept = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// An entry with its times as texts.
pub(super) fn entry_json(entry: &JournalEntry) -> Value {
    let mut value = json!(entry);
    value["at"] = timestamp(entry.at).into();
    if let JournalEvent::Timer { due, .. } = &entry.what {
        value["due"] = json!(due.map(timestamp));
    }
    value
}
