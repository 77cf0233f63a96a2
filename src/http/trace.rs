//! One log line per request, its span, and the counting of requests. All name the route's pattern, never the path, because paths and
//! queries may hold secrets.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use weir_actors::SPANS;
use weir_actors::clock;

use super::Api;
use super::arrival::peer;

/// Logs what was asked and answered: failures of this server as warnings, all else as `debug`.
pub async fn trace(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = clock::now();
    let method = request.method().clone();
    let requests = request.app_data::<web::Data<Api>>().map(|api| api.metrics.requests.clone());
    let span = span(&request);
    let result = next.call(request).instrument(span.clone()).await;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let (route, peer) = match &result {
        Ok(response) => (response.request().match_pattern(), peer(response.request())),
        Err(_) => (None, None),
    };
    let (status, route) = (status.as_u16(), route.unwrap_or_default());
    span.record("http.route", route.as_str()).record("http.response.status_code", status);
    let took = clock::now().duration_since(began);
    if let Some(requests) = requests {
        let request = result.as_ref().ok().map(ServiceResponse::request);
        requests.count(request, &method, status, took.as_secs_f64());
    }
    let took_ms = took.as_millis() as u64;
    if status >= 500 && status != 503 {
        tracing::warn!(%method, route, status, took_ms, ?peer, "request");
    } else {
        tracing::debug!(%method, route, status, took_ms, ?peer, "request");
    }
    result
}

/// Of API requests. Viewers ask for media by the thousand, and are counted instead.
fn span(request: &ServiceRequest) -> Span {
    if request.path().starts_with("/cmaf/") {
        return Span::none();
    }
    tracing::info_span!(
        target: SPANS,
        "request",
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
    )
}
