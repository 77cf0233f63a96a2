//! `/ops/streams/{id}/journal`: what happened to a stream and by which rule, in pages or as it happens.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_actors::journal::{JournalEntry, JournalEvent, JournalReader};

use super::follow::{self, Source};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::query::{Number, limit};
use crate::http::streams::view::timestamp;
use crate::http::streams::{stream_id, unknown};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;
/// Entries that are written at a time.
const AT_ONCE: usize = 100;

/// Query of a page.
#[derive(Debug, Deserialize, IntoParams)]
pub struct JournalQuery {
    /// `next` of the page before: entries older than this one.
    #[param(value_type = Option<u64>)]
    before: Option<Number>,
    /// 1 to 500, default 100.
    #[param(value_type = Option<u64>)]
    limit: Option<Number>,
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
    if follow::wants_events(&request) {
        let position = Position::new(&journal, follow::last_event_id(&request)?, 0);
        return follow::follow(&api, &request, JournalSource { journal, position, over: false });
    }
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut entries = journal.page(query.before.map(|Number(seq)| seq), limit + 1);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.seq);
    Ok(HttpResponse::Ok().json(JournalPage { items: entries.iter().map(entry_json).collect(), next }))
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

/// How far somebody who follows has come: the number of the last entry that was written.
pub(super) struct Position(u64);

impl Position {
    /// Behind the entry that was seen last; without one `before` entries back from now.
    pub fn new(journal: &JournalReader, seen: Option<u64>, before: usize) -> Self {
        let newest = journal.page(None, before + 1);
        let latest = newest.first().map_or(0, |entry| entry.seq);
        let fresh = || newest.get(before).map_or(0, |entry| entry.seq);
        // Numbers begin anew with each run of the server: who has seen more than there is has seen nothing of this run.
        Self(seen.map_or_else(fresh, |seen| if seen > latest { 0 } else { seen }))
    }

    /// The next entries as events of that name; `None` when there are none yet. What the journal has let go of meanwhile is told in a comment.
    pub fn advance(&mut self, journal: &JournalReader, name: impl Fn(&Value) -> &str) -> Option<String> {
        let entries = journal.after(self.0);
        let mut text = String::new();
        for entry in entries.iter().take(AT_ONCE) {
            let missed = entry.seq.saturating_sub(self.0 + 1);
            if missed > 0 {
                text.push_str(&format!(": {missed} entries are gone\n\n"));
            }
            self.0 = entry.seq;
            // JSON has no line breaks, so one `data` line holds it.
            let json = entry_json(entry);
            text.push_str(&format!("id: {}\nevent: {}\ndata: {json}\n\n", entry.seq, name(&json)));
        }
        (!text.is_empty()).then_some(text)
    }
}

struct JournalSource {
    journal: JournalReader,
    position: Position,
    /// The stream is gone, so no more entries will come.
    over: bool,
}

impl Source for JournalSource {
    fn greeting(&self) -> String {
        format!(": journal from {}\n\n", self.position.0 + 1)
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            let text = self.position.advance(&self.journal, |json| json["event"].as_str().unwrap_or("note"));
            if text.is_some() || self.over {
                return text;
            }
            self.over = !self.journal.changed().await;
        }
    }
}
