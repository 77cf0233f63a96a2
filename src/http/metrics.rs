//! `/metrics`: measurements for Prometheus, here with the API key, and on a listener of its own (`metrics.listen`) without.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::future::join;

use super::Api;
use super::error::ApiError;
use crate::metrics::{Answers, CONTENT_TYPE, Snapshot};

/// How long running scrapes may take once the server goes down, seconds.
const DRAIN: u64 = 1;

/// Measurements in Prometheus's text format.
///
/// What each means stands in its HELP line; `docs/monitoring` lists them. Of a tree that does not answer within 2 s nothing is told but that.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain", description = "Text format 0.0.4")))]
pub async fn metrics(api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let (survey, tree) = join(api.tree.survey(), api.tree.tree()).await;
    let snapshot = Snapshot {
        answers: Answers { survey, tree },
        ready: api.state() == "ready",
        tick_age_s: api.heartbeat.age().as_secs_f64(),
        failed_writes: api.store.failed_writes(),
    };
    let page = api.metrics.page(&snapshot)?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(page))
}

/// Serves `/metrics` and nothing else on a socket, to whoever can reach it.
pub fn exporter(socket: TcpListener, api: Api) -> std::io::Result<Server> {
    let api = web::Data::new(api);
    let app = move || App::new().app_data(api.clone()).route("/metrics", web::get().to(metrics));
    let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(DRAIN);
    Ok(server.listen(socket)?.run())
}
