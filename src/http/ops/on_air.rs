//! `/ops/streams/{id}/on_air`: an operator's choice of what is on air.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use weir_media::id::Slot;

use crate::http::Api;
use crate::http::body::Body;
use crate::http::error::{ApiError, unknown_fields};
use crate::http::streams::{stream_id, unknown};

/// The choice.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the fields are read one by one to tell all faults.
pub struct OnAirInput {
    /// `primary` or `backup`; null leaves it to the rules again.
    #[schema(value_type = Option<String>, required, pattern = "^(primary|backup)$")]
    slot: Option<Slot>,
}

/// Puts a slot on air, until it is lost or the choice is taken back with null. The rules decide again from then on.
#[utoipa::path(post, path = "/ops/streams/{id}/on_air", tag = "operations", request_body = OnAirInput,
    params(("id" = u64, Path, description = "Stream")), responses(
    (status = 200, body = Object, description = "{\"id\": stream, \"slot\": the choice}; the switch follows, and stands in the journal"),
    (status = 404, description = "No such stream"),
    (status = 409, description = "The slot is not live"),
    (status = 422, description = "Unknown fields, or no slot"),
))]
pub async fn choose(api: web::Data<Api>, id: web::Path<String>, body: Body) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let slot = choice(&body.0)?;
    let answer = api.tree.choose_slot(id, slot).await?.ok_or_else(|| unknown(id))?;
    answer.map_err(|refusal| ApiError::Conflict(refusal.to_string()))?;
    Ok(HttpResponse::Ok().json(json!({ "id": id, "slot": slot })))
}

fn choice(given: &Map<String, Value>) -> Result<Option<Slot>, ApiError> {
    let mut errors = unknown_fields(given, &["slot"]);
    let slot = given.get("slot").and_then(|value| Option::<Slot>::deserialize(value).ok());
    if slot.is_none() {
        errors.insert("slot".into(), vec!["must be primary, backup or null".into()]);
    }
    slot.filter(|_| errors.is_empty()).ok_or(ApiError::Invalid(errors))
}
