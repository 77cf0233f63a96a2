//! `/streaming/quality_sets`: ladders that streams choose from. They are made in the configuration only.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::error::ApiError;
use crate::config::QualitySet;
use crate::store::Store;

/// All quality sets.
#[derive(Serialize, ToSchema)]
pub struct QualitySetsView {
    /// For live streams.
    live: Vec<QualitySetView>,
    /// For recordings: none.
    vod: Vec<QualitySetView>,
}

/// A quality set.
#[derive(Serialize, ToSchema)]
pub struct QualitySetView {
    /// Its number.
    id: u32,
    /// Its name.
    name: String,
    /// Used by streams that choose none.
    default: bool,
    /// Its rungs, largest first.
    qualities: Vec<QualityView>,
}

/// A rung.
#[derive(Serialize, ToSchema)]
pub struct QualityView {
    /// Its number within the set.
    id: u32,
    /// Its name.
    name: String,
}

/// The set of streams that choose none: the API's choice, else the configuration's.
pub async fn default_set<'a>(sets: &'a [QualitySet], store: &Store) -> Result<Option<&'a QualitySet>, ApiError> {
    let chosen = store.default_quality_set().await?;
    let by_api = chosen.and_then(|id| sets.iter().find(|set| set.id == id));
    Ok(by_api.or_else(|| sets.iter().find(|set| set.default)))
}

async fn view(api: &Api) -> Result<HttpResponse, ApiError> {
    let default = default_set(&api.config.quality_sets, &api.store).await?.map(|set| set.id);
    let live = api.config.quality_sets.iter().map(|set| QualitySetView {
        id: set.id,
        name: set.name.clone(),
        default: Some(set.id) == default,
        qualities: set.qualities.iter().map(|q| QualityView { id: q.id, name: q.name.clone() }).collect(),
    });
    Ok(HttpResponse::Ok().json(QualitySetsView { live: live.collect(), vod: Vec::new() }))
}

/// All quality sets.
#[utoipa::path(get, path = "/streaming/quality_sets", tag = "quality sets",
    responses((status = 200, body = QualitySetsView)))]
pub async fn list(api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    view(&api).await
}

/// Which sets are the default ones.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the fields are read one by one.
pub struct DefaultInput {
    /// Of live streams; left out or null, it stays.
    live: Option<DefaultChoice>,
    /// Of recordings, of which there are none: an id answers 404.
    vod: Option<DefaultChoice>,
}

/// A set.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct DefaultChoice {
    /// Null is the configuration's.
    id: Option<u64>,
}

/// Chooses the set of streams that choose none: `{"live": {"id": 2}}`; a null id goes back to the configuration's.
#[utoipa::path(put, path = "/streaming/quality_sets/default", tag = "quality sets", request_body = Option<DefaultInput>, responses(
    (status = 200, body = QualitySetsView),
    (status = 404, description = "No such quality set"),
))]
pub async fn set_default(api: web::Data<Api>, body: Body) -> Result<HttpResponse, ApiError> {
    let live = choice(&body, "live")?;
    if let Some(Some(id)) = choice(&body, "vod")? {
        return Err(unknown(id));
    }
    if let Some(id) = live {
        let known = |id: u64| api.config.quality_sets.iter().map(|set| set.id).find(|known| u64::from(*known) == id);
        let id = id.map(|id| known(id).ok_or_else(|| unknown(id))).transpose()?;
        api.control.set_default_quality_set(id).await?;
    }
    view(&api).await
}

fn unknown(id: u64) -> ApiError {
    ApiError::NotFound(format!("Quality set {id} does not exist"))
}

/// `None` when not given, `Some(None)` when null.
fn choice(body: &Body, kind: &str) -> Result<Option<Option<u64>>, ApiError> {
    let wrong = || ApiError::BadRequest(format!("{kind} is not an object with a number or null as id"));
    match body.0.get(kind) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) => match fields.get("id") {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(id) => id.as_u64().map(|id| Some(Some(id))).ok_or_else(wrong),
        },
        Some(_) => Err(wrong()),
    }
}
