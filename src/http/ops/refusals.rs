//! `/ops/refusals`, `/ops/streams/{id}/refusals`: who was not let in, why, and what the encoder was told.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_actors::refusals::{RefusalEntry, RefusalLedger};

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::query::{Number, limit};
use crate::http::streams::view::timestamp;
use crate::http::streams::{stream_id, unknown};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Query of a page.
#[derive(Debug, Deserialize, IntoParams)]
pub struct RefusalQuery {
    /// `next` of the page before: entries older than this one.
    #[param(value_type = Option<u64>)]
    before: Option<Number>,
    /// 1 to 1000, default 100.
    #[param(value_type = Option<u64>)]
    limit: Option<Number>,
}

/// A page, newest first.
#[derive(Serialize, ToSchema)]
pub struct RefusalPage {
    /// `seq`, `first`, `last`, `times`, `rule`, `stream`, `slot`, `protocol`, `address`, `agent`, `told`, `retry_after_s`.
    items: Vec<Value>,
    /// The `before` of the next page; null on the last one.
    next: Option<u64>,
}

/// Who was refused on this stream, newest first: the latest 100 of this run of the server, wrong tokens among them.
///
/// Tries that differ in nothing are one entry: `first`, `last` and `times`. `rule` is `not_authorized` (wrong token), `unanswered` (too
/// many wrong tokens from that address: closed without an answer), `stream_off`, `pull_stream`, `slot_taken`, `other_protocol`,
/// `rate_limited`, `draining` or `restarting`. `told` is what the encoder was told, in words (`text`) and in its protocol's `code`; null
/// when it was not answered. `retry_after_s`: seconds after `last` until the next try is welcome, where the rule knows. What was offered
/// as a token is never kept. One address (IPv6: one /64) cannot push out what others left.
#[utoipa::path(get, path = "/ops/streams/{id}/refusals", tag = "operations",
    params(("id" = u64, Path, description = "Stream"), RefusalQuery), responses(
    (status = 200, body = RefusalPage),
    (status = 404, description = "No such stream"),
))]
pub async fn of_stream(
    api: web::Data<Api>,
    id: web::Path<String>,
    query: web::Query<RefusalQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let ledger = api.tree.refusals(Some(id)).await?.ok_or_else(|| unknown(id))?;
    Ok(page(&ledger, &query))
}

/// Who named a stream that does not exist, newest first: the latest 1000 of this run of the server. `stream` is the number that was named,
/// null when it was none.
#[utoipa::path(get, path = "/ops/refusals", tag = "operations", params(RefusalQuery), responses((status = 200, body = RefusalPage)))]
pub async fn of_no_stream(api: web::Data<Api>, query: web::Query<RefusalQuery>) -> Result<HttpResponse, ApiError> {
    let ledger = api.tree.refusals(None).await?.ok_or_else(|| ApiError::NotFound("There is no ledger".into()))?;
    Ok(page(&ledger, &query))
}

fn page(ledger: &RefusalLedger, query: &RefusalQuery) -> HttpResponse {
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut entries = ledger.page(query.before.map(|Number(seq)| seq), limit + 1);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.seq);
    HttpResponse::Ok().json(RefusalPage { items: entries.iter().map(entry_json).collect(), next })
}

/// An entry with its times as texts.
fn entry_json(entry: &RefusalEntry) -> Value {
    let mut value = json!(entry);
    value["first"] = timestamp(entry.first).into();
    value["last"] = timestamp(entry.last).into();
    value
}
