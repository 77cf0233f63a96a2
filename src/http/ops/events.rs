//! `/ops/events`: what happens to all streams, in short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::watch;
use tokio::time::sleep_until;
use weir_actors::clock;

use super::follow::{self, Source};
use super::live;
use crate::http::Api;
use crate::http::error::ApiError;

/// Shortest time between two looks: what changes faster is told once.
const EVERY: Duration = Duration::from_millis(400);
/// Streams that are told of at a time.
const AT_ONCE: usize = 500;

/// What happens to all streams, as server-sent events, at most every 400 ms.
///
/// `status` has the fields of one stream in `GET /ops/streams` that the tree knows (all but `name`, `active`, `pull`): at first of each stream
/// that was in use since the server started, then of each that changed. A state that lasted for less may be left out, the latest never is;
/// `transcoding_speed` alone is no change. `edited`: streams were added, changed or deleted, so the list has to be asked for again. The events end when
/// the server goes down.
#[utoipa::path(get, path = "/ops/events", tag = "operations", responses(
    (status = 200, description = "`text/event-stream`", content_type = "text/event-stream", body = follow::Event),
    (status = 503, description = "Too many follow already, or the server is going down"),
))]
pub async fn events(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (changes, edits) = (api.board.changes(), api.control.edits());
    let known = *edits.borrow();
    let source = BoardSource { api: Arc::clone(&api), seen: 0, changes, edits, known, due: clock::now() };
    follow::follow(&api, &request, source)
}

struct BoardSource {
    api: Arc<Api>,
    /// Number of the last change that was told.
    seen: u64,
    changes: watch::Receiver<u64>,
    edits: watch::Receiver<u64>,
    /// Number of the last edit that was told.
    known: u64,
    due: Instant,
}

impl Source for BoardSource {
    async fn next(&mut self) -> Option<String> {
        loop {
            sleep_until(self.due.into()).await;
            let mut text = String::new();
            self.changes.mark_unchanged();
            for (change, id, status) in self.api.board.since(self.seen, AT_ONCE) {
                self.seen = change;
                text.push_str(&format!("event: status\ndata: {}\n\n", live(id, &status)));
            }
            let edits = *self.edits.borrow_and_update();
            if std::mem::replace(&mut self.known, edits) != edits {
                text.push_str("event: edited\ndata: {}\n\n");
            }
            if !text.is_empty() {
                self.due = clock::now() + EVERY;
                return Some(text);
            }
            // Their other ends go with the server only, which ends the events by itself.
            tokio::select! { _ = self.changes.changed() => {}, _ = self.edits.changed() => {} }
        }
    }
}
