//! `/streaming/streams`: the documented calls on streams.

mod input;
pub mod view;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use weir_media::id::StreamId;

use self::view::StreamView;
use super::Api;
use super::body::Body;
use super::error::ApiError;
use super::query::Number;
use super::urls::Urls;
use crate::shelf::Shelf;
use crate::store::{Stream, StreamFields};
use crate::tree::TreeGone;

/// Streams on one page of the list.
const PAGE_SIZE: u32 = 25;
/// Said when the new token stands but the old sessions could not be ended in time.
const RESET_TIMED_OUT: &str = "Token reset successful (it's already new). However, automated stream termination timed out, \
     you should now manually restart the stream with the new token.";
/// Said when the new token stands but nobody is there who could end the old sessions.
const RESET_PREVENTED: &str = "Token reset successful (it's already new). However, your active stream state prevents automated \
     termination, you should now manually restart the stream with the new token.";

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
pub struct ListQuery {
    /// From 1; 25 streams a page. A page past the end is empty.
    #[param(value_type = Option<u64>)]
    page: Option<String>,
    /// 1 adds `broadcasts` to each stream.
    #[param(value_type = Option<String>)]
    with_broadcasts: Option<String>,
}

/// The documented 202 of a token reset.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the answer itself is one JSON text.
pub struct Message {
    /// What the client should do.
    message: String,
}

/// Streams in order of their ids.
#[utoipa::path(get, path = "/streaming/streams", tag = "streams", params(ListQuery),
    responses((status = 200, body = [StreamView])))]
pub async fn list(
    api: web::Data<Api>,
    query: web::Query<ListQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let page = match query.page.as_deref().filter(|page| !page.is_empty()) {
        None => 1,
        Some(page) => {
            let number = page.parse::<i64>().ok().and_then(|page| Number::try_from(page).ok());
            number.ok_or_else(|| ApiError::BadRequest("page is not a number from 1".into()))?.0
        }
    };
    let skip = page.saturating_sub(1).saturating_mul(PAGE_SIZE.into());
    let broadcasts = query.with_broadcasts.as_deref().is_some_and(|value| matches!(value, "1" | "true"));
    let urls = Urls::for_request(&api.config, &request);
    let view = |stream: Stream| {
        let view = api.view(stream, &urls);
        if broadcasts { view.with_broadcasts() } else { view }
    };
    let streams = api.store.page(skip, PAGE_SIZE).await?;
    Ok(HttpResponse::Ok().json(streams.into_iter().map(view).collect::<Vec<_>>()))
}

/// Creates a stream. Only `name` is required; the body may be wrapped as `{"stream": {…}}`.
#[utoipa::path(post, path = "/streaming/streams", tag = "streams", request_body = StreamInput, responses(
    (status = 200, body = StreamView),
    (status = 422, description = "Wrong fields, or a feature that is off"),
))]
pub async fn create(api: web::Data<Api>, body: Body, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut fields = StreamFields::default();
    input::apply(&body.unwrap_from("stream"), &mut fields, &api.config.quality_sets)?;
    let stream = api.control.create(fields).await?;
    Ok(HttpResponse::Ok().json(api.view(stream, &Urls::for_request(&api.config, &request))))
}

/// One stream.
#[utoipa::path(get, path = "/streaming/streams/{id}", tag = "streams", params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = StreamView), (status = 404, description = "No such stream")))]
pub async fn get(api: web::Data<Api>, id: web::Path<String>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let stream = api.store.stream(id).await?.ok_or_else(|| unknown(id))?;
    Ok(HttpResponse::Ok().json(api.view(stream, &Urls::for_request(&api.config, &request))))
}

/// Changes the given fields of a stream. The body may be flat or wrapped as `{"stream": {…}}`.
#[utoipa::path(patch, path = "/streaming/streams/{id}", tag = "streams", params(("id" = u64, Path, description = "Stream")),
    request_body = Option<StreamChange>, responses(
    (status = 200, body = StreamView),
    (status = 404, description = "No such stream"),
    (status = 422, description = "Wrong fields, or a feature that is off"),
))]
pub async fn patch(
    api: web::Data<Api>,
    id: web::Path<String>,
    body: Body,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let given = body.unwrap_from("stream");
    let sets = api.config.quality_sets.clone();
    let edited = api.control.edit(id, move |fields| input::apply(&given, fields, &sets)).await?;
    let stream = edited.ok_or_else(|| unknown(id))??;
    Ok(HttpResponse::Ok().json(api.view(stream, &Urls::for_request(&api.config, &request))))
}

/// Deletes a stream, closing its sessions.
#[utoipa::path(delete, path = "/streaming/streams/{id}", tag = "streams", params(("id" = u64, Path, description = "Stream")),
    responses((status = 204, description = "Deleted"), (status = 404, description = "No such stream")))]
pub async fn delete(
    api: web::Data<Api>,
    shelf: web::Data<Shelf>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    if !api.control.delete(id, shelf.into_inner()).await? {
        return Err(unknown(id));
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a stream a fresh push token and closes the sessions of the old one, of both slots and on every protocol. The broadcast goes on:
/// encoders that come back with the new token within its linger continue it.
#[utoipa::path(post, path = "/streaming/streams/{id}/reset_push_token", tag = "streams",
    params(("id" = u64, Path, description = "Stream")), responses(
    (status = 200, body = StreamView, description = "The old sessions are closed"),
    (status = 202, body = Message, description = "The token is new, but a session did not end within 2 s, or could not be told to"),
    (status = 404, description = "No such stream"),
))]
pub async fn reset_push_token(
    api: web::Data<Api>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let (stream, closed) = api.control.reset_token(id).await?.ok_or_else(|| unknown(id))?;
    let message = match closed {
        Ok(sessions) if sessions.iter().all(|session| session.took.is_some()) => {
            return Ok(HttpResponse::Ok().json(api.view(stream, &Urls::for_request(&api.config, &request))));
        }
        Ok(_) => RESET_TIMED_OUT,
        Err(TreeGone) => RESET_PREVENTED,
    };
    Ok(HttpResponse::Accepted().json(json!({ "message": message })))
}

/// Recording, clips, DVR and overlays of any stream: not on this server.
pub async fn feature_disabled() -> Result<HttpResponse, ApiError> {
    Err(ApiError::FeatureDisabled)
}

pub(super) fn stream_id(text: &str) -> Result<StreamId, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound("There is no such stream".into()))
}

pub(super) fn unknown(id: StreamId) -> ApiError {
    ApiError::NotFound(format!("Stream {id} does not exist"))
}

impl Api {
    fn view(&self, stream: Stream, urls: &Urls) -> StreamView {
        let status = self.board.get(stream.id);
        StreamView::new(stream, status, urls)
    }
}

/// What a change of a stream may hold: what its creation may, and nothing of that is required.
pub struct StreamChange;

impl PartialSchema for StreamChange {
    fn schema() -> RefOr<Schema> {
        let mut schema = StreamInput::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
        }
        schema
    }
}

impl ToSchema for StreamChange {}

/// What clients may write of a stream. All but `name` have defaults.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts; `input` reads the fields one by one to tell all faults.
pub struct StreamInput {
    /// Required on creation; at most 255 characters.
    name: String,
    #[schema(default = false, required = false)]
    active: bool,
    #[schema(default = false, required = false)]
    pull: bool,
    uri: Option<String>,
    #[schema(min_length = 10, max_length = 79)]
    srt_passphrase: Option<String>,
    #[schema(default = "origin", required = false)]
    record_type: crate::store::RecordType,
    #[schema(default = 3600, minimum = 30, maximum = 14400, required = false)]
    dvr_duration: i64,
    #[schema(default = true, required = false)]
    hls_mpegts_endlist_tag: bool,
    quality_set_id: Option<i64>,
    client_user_id: Option<i64>,
    #[schema(max_length = 4096)]
    client_entity_data: Option<String>,
    cdn_id: Option<i64>,
    #[schema(required = false)]
    broadcast_ids: Vec<i64>,
    #[schema(default = "regular", required = false)]
    projection: crate::store::Projection,
}
