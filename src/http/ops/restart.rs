//! `/ops/tree/restart`: an operator has one actor start afresh.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use weir_actors::control::{Restartable, StreamActor};
use weir_media::id::StreamId;

use crate::http::Api;
use crate::http::body::Body;
use crate::http::error::{ApiError, unknown_fields};
use crate::http::streams::unknown;

/// Doors, by their names in the tree.
const DOORS: [&str; 3] = ["RtmpListener", "RtmpsListener", "SrtListener"];

/// Which actor.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the fields are read one by one to tell all faults.
pub struct RestartInput {
    /// Its stream; null or absent for a door.
    stream: Option<u64>,
    /// Of a stream: `StreamSupervisor`, `FailoverActor`, `PipelineActor` or `PullActor`; a door: `RtmpListener`, `RtmpsListener` or `SrtListener`.
    actor: String,
}

/// Has one actor end as if it had failed, and start afresh at once; that does not count against its budget of restarts.
///
/// A `FailoverActor` goes on from its latest state, and nobody notices. A `PipelineActor` comes back with another worker and a new broadcast, the
/// encoders stay. A `PullActor` loses the try that runs. A `StreamSupervisor` closes the stream's sessions, whose encoders have to come back. A door opens again on the same
/// socket. One that waits for its restart is started now. It stands in the stream's journal, and as `last_exit` in the tree.
#[utoipa::path(post, path = "/ops/tree/restart", tag = "operations", request_body = RestartInput, responses(
    (status = 200, body = Object, description = "{\"stream\": number or null, \"actor\": name}; the restart follows"),
    (status = 404, description = "No such stream"),
    (status = 409, description = "There is no such actor at present"),
    (status = 422, description = "Unknown fields, or no actor that can be restarted"),
))]
pub async fn restart(api: web::Data<Api>, body: Body) -> Result<HttpResponse, ApiError> {
    let which = chosen(&body.0)?;
    let (stream, actor) = match &which {
        Restartable::Door(actor) => (None, actor.clone()),
        Restartable::Stream(stream, actor) => (Some(*stream), actor.name().to_owned()),
    };
    let answer = api.tree.restart(which).await?;
    answer
        .ok_or_else(|| stream.map_or_else(|| ApiError::NotFound("There is no such door".into()), unknown))?
        .map_err(|refusal| ApiError::Conflict(refusal.to_string()))?;
    Ok(HttpResponse::Ok().json(json!({ "stream": stream, "actor": actor })))
}

fn chosen(given: &Map<String, Value>) -> Result<Restartable, ApiError> {
    let mut errors = unknown_fields(given, &["stream", "actor"]);
    let of_stream = given.get("stream").filter(|stream| !stream.is_null());
    let stream = of_stream.and_then(Value::as_u64).map(StreamId);
    if of_stream.is_some() && stream.is_none() {
        errors.insert("stream".into(), vec!["must be a stream's id, or null".into()]);
    }
    let known = if of_stream.is_some() { StreamActor::ALL.map(StreamActor::name).to_vec() } else { DOORS.to_vec() };
    let name = given.get("actor").and_then(Value::as_str).unwrap_or_default();
    if !known.contains(&name) {
        errors.insert("actor".into(), vec![format!("must be one of {}", known.join(", "))]);
    }
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let actor = StreamActor::ALL.into_iter().find(|actor| actor.name() == name);
    let of_stream = stream.zip(actor).map(|(stream, actor)| Restartable::Stream(stream, actor));
    Ok(of_stream.unwrap_or_else(|| Restartable::Door(name.to_owned())))
}
