//! `/ops/tree`: every actor, as it is now or as it goes on.
//!
//! Looking costs each actor a message. So all who follow share at most two looks a second, however many they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::sleep_until;
use utoipa::ToSchema;
use weir_actors::clock;
use weir_actors::status::TreeNode;

use super::follow::{self, Source};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::streams::view::timestamp;
use crate::tree::TreeGone;

/// How often those who follow look.
const EVERY: Duration = Duration::from_secs(1);

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
///
/// With `Accept: text/event-stream` the same as server-sent events, `tree`, once a second while it changes.
#[utoipa::path(get, path = "/ops/tree", tag = "operations", responses(
    (status = 200, body = TreeView),
    (status = 503, description = "There is no tree: the server is going down; or too many follow already"),
))]
pub async fn tree(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    if follow::wants_events(&request) {
        let source = TreeSource { api: Arc::clone(&api), last: "".into(), due: clock::now() };
        return follow::follow(&api, &request, source);
    }
    Ok(HttpResponse::Ok().json(look(&api).await?))
}

async fn look(api: &Api) -> Result<TreeView, TreeGone> {
    let root = api.tree.tree().await?.into();
    let state = if api.heartbeat.is_late() { "stuck" } else { "running" };
    let arbiter = ArbiterView { state, tick_age_ms: api.heartbeat.age().as_millis() as u64 };
    Ok(TreeView { root, arbiter })
}

/// The latest look; cloning shares it.
#[derive(Clone, Default)]
pub struct Sample(Arc<Mutex<Option<Seen>>>);

/// When the tree was looked at, and what was seen, as JSON.
type Seen = (Instant, Arc<str>);

impl Sample {
    /// A look that is not older than half of [`EVERY`]. Who asks while another one looks waits for what that one sees.
    async fn get(&self, api: &Api) -> Result<Arc<str>, TreeGone> {
        let mut sample = self.0.lock().await;
        // Half of it: who looks once a second must not get the same twice.
        if let Some((_, seen)) = sample.as_ref().filter(|(at, _)| clock::now() < *at + EVERY / 2) {
            return Ok(Arc::clone(seen));
        }
        let seen: Arc<str> = json!(look(api).await?).to_string().into();
        *sample = Some((clock::now(), Arc::clone(&seen)));
        Ok(seen)
    }
}

struct TreeSource {
    api: Arc<Api>,
    last: Arc<str>,
    due: Instant,
}

impl Source for TreeSource {
    async fn next(&mut self) -> Option<String> {
        loop {
            sleep_until(self.due.into()).await;
            let seen = self.api.sample.get(&self.api).await;
            self.due = clock::now() + EVERY;
            match seen {
                Ok(seen) if seen != self.last => {
                    self.last = seen;
                    return Some(format!("event: tree\ndata: {}\n\n", self.last));
                }
                Ok(_) => {}
                Err(TreeGone) => return None,
            }
        }
    }
}
