//! Whether the process lives, and whether it takes work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Api;

/// How far the server is; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// All doors are open.
    pub fn ready(&self) {
        self.0.store(READY, Ordering::Release);
    }

    /// No new work is taken.
    pub fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    fn word(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            STARTING => "starting",
            READY => "ready",
            _ => "draining",
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
    let word = match api.readiness.word() {
        "ready" if api.heartbeat.is_late() => "stuck",
        word => word,
    };
    let mut response = if word == "ready" { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({ "status": word }))
}
