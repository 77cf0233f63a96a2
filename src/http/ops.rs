//! `/ops`: what operators see of the tree and its streams, and what they can change. Lists are `{"items", "next"}`; `next` is the
//! `after` of the next page, of a journal and of refusals its `before`.

pub mod failover;
pub mod follow;
pub mod journal;
pub mod on_air;
pub mod refusals;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use weir_actors::control::ClosedSession;
use weir_actors::status::{StreamDetail, TreeNode};
use weir_media::id::{Slot, StreamId};

use super::Api;
use super::error::ApiError;
use super::streams::view::timestamp;
use super::streams::{stream_id, unknown};
use super::urls::Urls;
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

/// One actor.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeView {
    /// Kind of actor, e.g. `StreamSupervisor`.
    actor: &'static str,
    /// Which one, e.g. the stream id or the slot.
    name: String,
    /// `running`; `restarting`: it waits to be started again; `degraded`: it keeps dying and is tried slowly; `stopping`; `unresponsive`:
    /// it did not answer in time. A pipeline has its worker's state: `idle`, `starting`, `running`, `killing`, `restarting`, `degraded`,
    /// `finishing`.
    state: String,
    /// Which start under its parent it is; grows with every start of any sibling.
    generation: u64,
    /// Times its parent restarted it, for a pipeline with its worker's.
    restarts: u32,
    /// Why its predecessor ended, for a pipeline its worker's.
    last_exit: Option<String>,
    /// When it did, RFC 3339.
    last_exit_at: Option<String>,
    /// How long a message waits in its mailbox; null when it did not answer in time or does not run.
    mailbox_lag_ms: Option<f64>,
    /// Process id of a pipeline's worker.
    pid: Option<u32>,
    /// Its children.
    #[schema(no_recursion)]
    children: Vec<NodeView>,
}

/// The supervision tree from its root, and the thread that it runs on.
#[derive(Debug, Serialize, ToSchema)]
pub struct TreeView {
    #[serde(flatten)]
    root: NodeView,
    /// The thread.
    arbiter: ArbiterView,
}

/// The thread that all actors share.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArbiterView {
    /// `running`, or `stuck` when its tick, once a second, is 3 s late.
    state: &'static str,
    /// Age of its last tick.
    tick_age_ms: u64,
}

impl From<TreeNode> for NodeView {
    fn from(node: TreeNode) -> Self {
        Self {
            actor: node.actor,
            name: node.name,
            state: node.state,
            generation: node.generation,
            restarts: node.restarts,
            last_exit: node.last_exit,
            last_exit_at: node.last_exit_at.map(timestamp),
            mailbox_lag_ms: node.mailbox_lag.map(|lag| lag.as_micros() as f64 / 1_000.0),
            pid: node.pid,
            children: node.children.into_iter().map(Self::from).collect(),
        }
    }
}

/// The supervision tree: every actor with its state, restarts, last exit, mailbox and worker process. Answers within 2 s, whatever hangs.
#[utoipa::path(get, path = "/ops/tree", tag = "operations", responses(
    (status = 200, body = TreeView),
    (status = 503, description = "There is no tree: the server is going down"),
))]
pub async fn tree(api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let root = api.tree.tree().await?.into();
    let state = if api.heartbeat.is_late() { "stuck" } else { "running" };
    let arbiter = ArbiterView { state, tick_age_ms: api.heartbeat.age().as_millis() as u64 };
    Ok(HttpResponse::Ok().json(TreeView { root, arbiter }))
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

/// One stream: what is on air and what is shown, its slots and publishers, its failover, its worker and output, its latest journal.
///
/// `on_air` is the slot by the law, `chosen` an operator's choice while it holds, `shown` the one whose pictures the output carries now; all
/// are `primary`, `backup` or null. `mode`, `standby`, `delay_ms` and `trim_ms` are the running broadcast's, else the next one's. `hold_remaining_s`: steady media that the primary
/// lacks for its return. `alignment`: `state` (`idle`, `searching`, `candidate`, `locked`, `lost`), and by how much later the backup's
/// programme arrives. A slot's `state`: `absent`, `silent`, `undecoded`, `received` or `decoding`.
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
    value["journal"] = detail.journal.iter().map(journal::entry_json).collect();
    value
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
