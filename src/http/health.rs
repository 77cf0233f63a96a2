//! Whether the process lives, and whether it takes work.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::json;
use tokio::sync::watch;

use super::Api;

/// How far the server is; cloning shares it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Phase>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Draining,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Starting)))
    }
}

impl Readiness {
    /// All doors are open.
    pub fn ready(&self) {
        self.0.send_replace(Phase::Ready);
    }

    /// No new work is taken.
    pub fn draining(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// Comes back when the server drains: what would go on for ever has to end.
    pub async fn drains(&self) {
        // The sender is `self`'s own, so it cannot be gone.
        self.0.subscribe().wait_for(|phase| *phase == Phase::Draining).await.ok();
    }

    fn word(&self) -> &'static str {
        match *self.0.borrow() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        }
    }
}

impl Api {
    /// How far the server is, in a word: `ready`, `starting`, `stuck` or `draining`.
    pub fn state(&self) -> &'static str {
        match self.readiness.word() {
            "ready" if self.heartbeat.is_late() => "stuck",
            word => word,
        }
    }
}

/// 200 while the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses((status = 200, description = "The process lives")))]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// 200 while work is taken: `ready`, else `starting`, `stuck` (the supervision tree gets no processor time) or `draining`.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()), responses(
    (status = 200, description = "Publishers and viewers are served"),
    (status = 503, description = "Starting, stuck or draining"),
))]
pub async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let word = api.state();
    let mut response = if word == "ready" { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({ "status": word }))
}
