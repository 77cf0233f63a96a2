//! A journal as server-sent events (HTML Living Standard 9.2).
//!
//! Who follows pulls: an entry is read from the journal when the connection has room for it. So a slow reader holds up nobody and costs
//! no memory; it misses what the journal has let go of meanwhile, and is told how much that is.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_actors::journal::{JournalEntry, JournalReader};

use super::journal::entry_json;
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::health::Readiness;

/// Connections that may follow at a time.
const MAX_FOLLOWERS: usize = 256;
/// Longest silence: proxies close connections that say nothing, and a client that is gone is only noticed by writing to it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Entries that are written at a time.
const AT_ONCE: usize = 100;
const LAST_EVENT_ID: &str = "last-event-id";

/// Places for those who follow; cloning shares them.
#[derive(Clone, Debug)]
pub struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FOLLOWERS)))
    }
}

/// The last entry that the client has seen, if it says so.
pub(super) fn last_event_id(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| ApiError::BadRequest("Last-Event-ID is not the id of a journal entry".into()))
}

/// Answers with entries behind `seen` as they happen; without it, with those from now on.
pub(super) fn follow(api: &Api, journal: JournalReader, seen: Option<u64>) -> Result<HttpResponse, ApiError> {
    let place = api.followers.0.clone().try_acquire_owned().map_err(|_| ApiError::TooManyFollowers(MAX_FOLLOWERS))?;
    let latest = journal.page(None, 1).first().map_or(0, |entry| entry.seq);
    // Numbers begin anew with each run of the server: who has seen more than there is has seen nothing of this run.
    let seen = seen.map_or(latest, |seen| if seen > latest { 0 } else { seen });
    let follower =
        Follower { journal, seen, greeted: false, over: false, readiness: api.readiness.clone(), _place: place };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies of nginx's kind would keep events back to fill a buffer.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(follower.events()))
}

struct Follower {
    journal: JournalReader,
    /// The last entry that was sent.
    seen: u64,
    greeted: bool,
    /// The stream is gone, so no more entries will come.
    over: bool,
    readiness: Readiness,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        unfold(self, |mut this| async {
            let text = this.next().await?;
            Some((Ok(Bytes::from(text)), this))
        })
    }

    /// What is to be sent next; `None` ends the events.
    async fn next(&mut self) -> Option<String> {
        if !self.greeted {
            self.greeted = true;
            // Without a first byte some clients do not take the connection for open.
            return Some(format!(": journal from {}\n\n", self.seen + 1));
        }
        loop {
            let entries = self.journal.after(self.seen);
            if !entries.is_empty() {
                return Some(self.write(entries.iter().take(AT_ONCE)));
            }
            if self.over {
                return None;
            }
            tokio::select! {
                more = self.journal.changed() => self.over = !more,
                () = self.readiness.drains() => return None,
                () = tokio::time::sleep(HEARTBEAT) => return Some(": still here\n\n".into()),
            }
        }
    }

    fn write<'a>(&mut self, entries: impl Iterator<Item = &'a JournalEntry>) -> String {
        let mut text = String::new();
        for entry in entries {
            let missed = entry.seq.saturating_sub(self.seen + 1);
            if missed > 0 {
                text.push_str(&format!(": {missed} entries are gone\n\n"));
            }
            self.seen = entry.seq;
            text.push_str(&event(entry));
        }
        text
    }
}

/// JSON has no line breaks, so one `data` line holds it.
fn event(entry: &JournalEntry) -> String {
    let json = entry_json(entry);
    let name = json["event"].as_str().unwrap_or("note");
    format!("id: {}\nevent: {name}\ndata: {json}\n\n", entry.seq)
}
