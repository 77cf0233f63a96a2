//! The API's description, served at `/openapi.json` and checked in as `docs/openapi.json`.

mod answers;

use actix_web::HttpResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use self::answers::CommonAnswers;
use super::{health, metrics, ops, panel, process, quality_sets, statistics, streams};

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir", description = "Live-stream ingest: streams, quality sets, operations."),
    paths(
        streams::list,
        streams::create,
        streams::get,
        streams::patch,
        streams::delete,
        streams::reset_push_token,
        quality_sets::list,
        quality_sets::set_default,
        statistics::ffprobe,
        ops::tree::tree,
        ops::restart::restart,
        ops::events::events,
        process::process,
        ops::streams,
        ops::detail::stream,
        ops::detail::events,
        ops::failover::get,
        ops::failover::patch,
        ops::on_air::choose,
        ops::preflight::open,
        ops::preflight::get,
        ops::preflight::end,
        ops::journal::journal,
        ops::refusals::of_stream,
        ops::refusals::of_no_stream,
        ops::reset_push_token,
        panel::session,
        panel::sign_in,
        panel::sign_out,
        ops::webhooks::list,
        ops::webhooks::create,
        ops::webhooks::get,
        ops::webhooks::patch,
        ops::webhooks::delete,
        ops::webhooks::rotate_secret,
        ops::webhooks::replay,
        ops::webhooks::test,
        ops::webhooks::deliveries,
        health::healthz,
        health::readyz,
        metrics::metrics,
    ),
    components(schemas(answers::ErrorView)),
    modifiers(&KeyScheme, &CommonAnswers),
    security(("api_key" = []))
)]
struct Description;

struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let value = ApiKeyValue::with_description("Authorization", "`APIKey <key>`");
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(value)));
    }
}

/// The description as JSON, with a newline at its end.
pub fn document() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Description::openapi()).map(|text| text + "\n")
}

pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(Description::openapi())
}
