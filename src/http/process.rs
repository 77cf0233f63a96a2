//! `/ops/process`: what the server's process holds that is no actor.

use actix_web::{HttpResponse, web};
use serde_json::json;
use tokio::runtime::Handle;

/// How many tasks the runtime of wire connections and worker sockets holds: constant while no publisher comes or goes.
#[utoipa::path(get, path = "/ops/process", tag = "operations", responses((status = 200, body = Object, description = "{\"tasks\": number}")))]
pub async fn process(media: web::Data<Handle>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "tasks": media.metrics().num_alive_tasks() }))
}
