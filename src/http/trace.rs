//! One log line per request. It names the route's pattern, never the path, because paths and queries may hold secrets.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use weir_actors::clock;

use super::arrival::peer;

/// Logs what was asked and answered: failures of this server as warnings, all else as `debug`.
pub async fn trace(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = clock::now();
    let method = request.method().clone();
    let result = next.call(request).await;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let (route, peer) = match &result {
        Ok(response) => (response.request().match_pattern(), peer(response.request())),
        Err(_) => (None, None),
    };
    let (status, route) = (status.as_u16(), route.unwrap_or_default());
    let took_ms = clock::now().duration_since(began).as_millis() as u64;
    if status >= 500 && status != 503 {
        tracing::warn!(%method, route, status, took_ms, ?peer, "request");
    } else {
        tracing::debug!(%method, route, status, took_ms, ?peer, "request");
    }
    result
}
