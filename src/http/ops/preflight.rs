//! `/ops/streams/{id}/preflight`: an encoder is tried with its real URL, and nothing goes on air.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weir_actors::preflight::{LONGEST, PreflightDetail};
use weir_media::id::{Slot, StreamId};

use crate::http::Api;
use crate::http::body::Body;
use crate::http::error::{ApiError, unknown_fields};
use crate::http::streams::{stream_id, unknown};

/// How long one takes that is not given a time, seconds.
const USUAL_S: u64 = 60;

/// Which slot is tried, and for how long.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the fields are read one by one to tell all faults.
pub struct PreflightInput {
    /// Length, whoever comes.
    #[schema(minimum = 1, maximum = 300, default = 60)]
    seconds: Option<u64>,
    /// `primary` (default) or `backup`; nobody may publish to it.
    #[schema(value_type = Option<String>, pattern = "^(primary|backup)$")]
    slot: Option<Slot>,
}

/// Begins a preflight: until it is over, who publishes to the slot with the real URL is admitted by the usual rules, read and judged, but does
/// not go on air: no worker, no `live`, no event. At its end the encoder's session is closed with that reason, and the next connect goes on
/// air as usual. The other slot is not touched. Answers as `GET` does.
#[utoipa::path(post, path = "/ops/streams/{id}/preflight", tag = "operations", request_body = Option<PreflightInput>,
    params(("id" = u64, Path, description = "Stream")), responses(
    (status = 200, body = Object),
    (status = 404, description = "No such stream"),
    (status = 409, description = "The slot has a publisher, a preflight runs already, or the stream is off or pulled"),
    (status = 422, description = "Unknown fields or wrong values"),
))]
pub async fn open(api: web::Data<Api>, id: web::Path<String>, body: Body) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let (slot, window) = choice(&body.0)?;
    let answer = api.tree.open_preflight(id, slot, window).await?.ok_or_else(|| unknown(id))?;
    let detail = answer.map_err(|refusal| ApiError::Conflict(refusal.to_string()))?;
    Ok(HttpResponse::Ok().json(detail))
}

/// The latest preflight: `state` (`waiting`, `checking`, `done`), `seconds`, `ends_in_s`, the latest publisher in it as in
/// `GET /ops/streams/{id}` (`session`), why that went (`closed`), all that was `findings`, and the `verdict` (`pass`, `warnings`, `errors`,
/// `nothing_received`; null while nobody came).
#[utoipa::path(get, path = "/ops/streams/{id}/preflight", tag = "operations", params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = Object), (status = 404, description = "No such stream, or no preflight since the server started")))]
pub async fn get(api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    answer(&api, id, api.tree.preflight(id).await?, "has had no preflight").await
}

/// Ends the preflight that runs, and the session in it. The next connect goes on air. Answers as `GET` does.
#[utoipa::path(delete, path = "/ops/streams/{id}/preflight", tag = "operations", params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = Object), (status = 404, description = "No such stream, or no preflight that runs")))]
pub async fn end(api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    answer(&api, id, api.tree.end_preflight(id).await?, "has no preflight that runs").await
}

async fn answer(
    api: &Api,
    id: StreamId,
    detail: Option<PreflightDetail>,
    without: &str,
) -> Result<HttpResponse, ApiError> {
    let Some(detail) = detail else {
        api.store.stream(id).await?.ok_or_else(|| unknown(id))?;
        return Err(ApiError::NotFound(format!("Stream {id} {without}")));
    };
    Ok(HttpResponse::Ok().json(detail))
}

fn choice(given: &Map<String, Value>) -> Result<(Slot, Duration), ApiError> {
    let mut errors = unknown_fields(given, &["seconds", "slot"]);
    let slot = given.get("slot").map_or(Ok(Slot::Primary), Slot::deserialize);
    if slot.is_err() {
        errors.insert("slot".into(), vec!["must be primary or backup".into()]);
    }
    let most = LONGEST.as_secs();
    let seconds = given.get("seconds").map_or(Some(USUAL_S), Value::as_u64).filter(|s| (1..=most).contains(s));
    if seconds.is_none() {
        errors.insert("seconds".into(), vec![format!("must be a whole number within 1 and {most}")]);
    }
    match (slot, seconds) {
        (Ok(slot), Some(seconds)) if errors.is_empty() => Ok((slot, Duration::from_secs(seconds))),
        _ => Err(ApiError::Invalid(errors)),
    }
}
