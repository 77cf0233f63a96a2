//! One log line per request, and the counting of requests. A line names the route's pattern, never the path, because paths and queries may hold secrets.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};
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
