//! `/ops/streams/{id}`: one stream in full, as it is now or as it goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep_until;
use weir_actors::clock;
use weir_actors::journal::JournalReader;
use weir_actors::status::StreamDetail;
use weir_media::id::{Slot, StreamId};

use super::follow::{self, Source};
use super::journal::{Position, entry_json};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::streams::{stream_id, unknown};
use crate::http::urls::Urls;
use crate::tree::TreeGone;

/// How often those who follow ask.
const EVERY: Duration = Duration::from_secs(1);
/// Journal entries from before, for who has seen none.
const ENTRIES: usize = 100;

/// One stream: what is on air and what is shown, its slots and publishers, its failover, its worker and output, its latest journal.
///
/// `on_air` is the slot by the law, `chosen` an operator's choice while it holds, `shown` the one whose pictures the output carries now; all
/// are `primary`, `backup` or null. `mode`, `standby`, `delay_ms` and `trim_ms` are the running broadcast's, else the next one's. `hold_remaining_s`: steady media that the primary
/// lacks for its return. `alignment`: `state` (`idle`, `searching`, `candidate`, `locked`, `lost`), and by how much later the backup's
/// programme arrives. A slot's `state`: `absent`, `silent`, `undecoded`, `received` or `decoding`; its `doctor`: what is wrong with what
/// it gets, each with `code`, `severity` (`warning`, `error`), `value`, `limit`, `unit`, `text`, `since_s`, `seen_s` and `fix` (`text`, `obs`,
/// `ffmpeg`). A session's `measured`: codecs, size, `frame_rate`, `video_kbps`, `gop_s`, `b_frames`, `av_offset_ms` …; `preflight`: it is only looked at.
/// A session's `transport` is what its connection knows of itself (by SRT: `rtt_ms`, the negotiated `latency_ms`, `packets_received`, `_lost`,
/// `_retransmitted`, `_dropped`, `_undecrypted`, `continuity_errors`; by WHIP: `packets_received`, `_lost`, `_dropped`,
/// `keyframe_requests`), else null. `pull`, of a stream that is pulled: `state` (`waiting`, `trying`, `on`, `given_up`), `source` (counted from 0) of
/// `sources`, its `uri` without what may be secret, `tries` since the last media, `last_error`, `next_try_s`, `gives_up_s`. `push_url_rtmps` and
/// `backup_push_url_rtmps`: where encoders push by RTMPS; null while that door is shut.
#[utoipa::path(get, path = "/ops/streams/{id}", tag = "operations", params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = Object), (status = 404, description = "No such stream")))]
pub async fn stream(
    request: HttpRequest,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let stream = api.store.stream(id).await?.ok_or_else(|| unknown(id))?;
    let mut detail = detail_json(&api.tree.stream(id).await?.ok_or_else(|| unknown(id))?);
    let urls = Urls::for_request(&api.config, &request);
    for (field, slot) in [("push_url_rtmps", Slot::Primary), ("backup_push_url_rtmps", Slot::Backup)] {
        detail[field] = json!(urls.push_secured(id, slot, &stream.token));
    }
    Ok(HttpResponse::Ok().json(detail))
}

/// The journal's times are for people here.
fn detail_json(detail: &StreamDetail) -> Value {
    let mut value = json!(detail);
    value["journal"] = detail.journal.iter().map(entry_json).collect();
    value
}

/// What happens to one stream, as server-sent events: all that a page about it has to know, over one connection.
///
/// `detail` has what `GET /ops/streams/{id}` answers, without journal and URLs, at most once a second and only when it differs; its `refusals` is
/// the number of the newest entry in the stream's ledger. `entry` is an entry of the journal, with its number as `id`: the latest 100, or those behind `Last-Event-ID`, then
/// each as it happens. `edited`: streams were added, changed or deleted, this one perhaps. The events end when the stream is deleted or the server goes down.
#[utoipa::path(get, path = "/ops/streams/{id}/events", tag = "operations", params(("id" = u64, Path, description = "Stream")), responses(
    (status = 200, description = "`text/event-stream`", content_type = "text/event-stream", body = follow::Event),
    (status = 404, description = "No such stream"),
    (status = 503, description = "Too many follow already, or the server is going down"),
))]
pub async fn events(
    api: web::Data<Api>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let journal = api.tree.journal(id).await?.ok_or_else(|| unknown(id))?;
    let position = Position::new(&journal, follow::last_event_id(&request)?, ENTRIES);
    let edits = api.control.edits();
    let source = DetailSource {
        api: Arc::clone(&api),
        id,
        journal,
        position,
        over: false,
        edits,
        last: String::new(),
        due: clock::now(),
    };
    follow::follow(&api, &request, source)
}

struct DetailSource {
    api: Arc<Api>,
    id: StreamId,
    journal: JournalReader,
    position: Position,
    /// The stream is gone, so no more will come.
    over: bool,
    edits: watch::Receiver<u64>,
    /// What was sent last.
    last: String,
    due: Instant,
}

impl Source for DetailSource {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.position.advance(&self.journal, |_| "entry") {
                return Some(text);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                more = self.journal.changed() => self.over = !more,
                _ = self.edits.changed() => return Some("event: edited\ndata: {}\n\n".into()),
                () = sleep_until(self.due.into()) => {
                    let detail = self.detail().await;
                    self.due = clock::now() + EVERY;
                    match detail {
                        Ok(Some(detail)) if detail != self.last => {
                            let text = format!("event: detail\ndata: {detail}\n\n");
                            self.last = detail;
                            return Some(text);
                        }
                        Ok(None) => self.over = true,
                        // The same again; or the tree is busy, and answers the next time.
                        Ok(Some(_)) | Err(TreeGone) => {}
                    }
                }
            }
        }
    }
}

impl DetailSource {
    /// `None` when the tree does not know the stream any more.
    async fn detail(&self) -> Result<Option<String>, TreeGone> {
        let Some(detail) = self.api.tree.stream(self.id).await? else { return Ok(None) };
        let Some(ledger) = self.api.tree.refusals(Some(self.id)).await? else { return Ok(None) };
        let mut value = json!(StreamDetail { journal: vec![], ..detail });
        if let Some(fields) = value.as_object_mut() {
            fields.remove("journal");
            fields.insert("refusals".into(), ledger.page(None, 1).first().map_or(0, |newest| newest.seq).into());
        }
        Ok(Some(value.to_string()))
    }
}
