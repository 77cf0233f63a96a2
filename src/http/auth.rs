//! Who may ask: the API key, and which parts of the server plain HTTP opens to other machines.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Api;
use super::arrival::{peer, trusted};
use super::error::ApiError;
use crate::config::{Config, Secret};

/// Lets requests with the right API key through; all others get 401.
pub async fn require_key(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let right = request.app_data::<web::Data<Api>>().is_some_and(|api| has_key(request.request(), &api.key));
    if !right {
        return Err(ApiError::Unauthorized.into());
    }
    next.call(request).await
}

/// `Authorization: APIKey …`, the word in any case; `Bearer` does too. Compares digests in constant time.
fn has_key(request: &HttpRequest, key: &Secret) -> bool {
    let Some(value) = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, offered)) = value.trim().split_once(' ') else { return false };
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let known = scheme.eq_ignore_ascii_case("apikey") || scheme.eq_ignore_ascii_case("bearer");
    known && bool::from(digest(offered.trim()).ct_eq(&digest(key.expose())))
}

/// Answers 403 to what plain HTTP from another machine may not reach, and 400 to a request that names two servers (RFC 9112 3.2).
pub async fn guard_plain(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.headers().get_all(header::HOST).nth(1).is_some() {
        return Err(ApiError::BadRequest("more than one Host header".into()).into());
    }
    let allowed = request.app_config().secure()
        || is_open(request.path())
        || request.app_data::<web::Data<Api>>().is_some_and(|api| plain_is_fine(&api.config, peer(request.request())));
    if !allowed {
        return Err(ApiError::Forbidden(
            "Plain HTTP from another machine is not served here: use HTTPS, or set http.allow_plain or http.trusted_proxies",
        )
        .into());
    }
    next.call(request).await
}

/// What viewers need, and what tells a load balancer that the process lives. Everything else is shut, whatever is added to the routes.
fn is_open(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some("healthz"), None, None, None) => true,
        (Some("cmaf"), Some(_), Some(_), None) => true,
        (Some("streams"), Some(stream), None, None) => stream.bytes().all(|b| b.is_ascii_digit() || b == b'_'),
        (Some("assets"), Some(_), None, None) => true,
        _ => false,
    }
}

fn plain_is_fine(config: &Config, peer: Option<IpAddr>) -> bool {
    // Without a peer the request comes from within this process.
    config.http.allow_plain || peer.is_none_or(|peer| peer.is_loopback() || trusted(config, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_for_trusted_proxies_and_for_who_allows_it() {
        let ip = |text: &str| Some(text.parse().unwrap());
        let mut config = Config::default();
        assert!(plain_is_fine(&config, ip("127.0.0.1")) && plain_is_fine(&config, ip("::1")));
        assert!(!plain_is_fine(&config, ip("10.1.2.3")));
        config.http.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(plain_is_fine(&config, ip("10.1.2.3")));
        assert!(!plain_is_fine(&config, ip("192.0.2.1")));
        config.http.allow_plain = true;
        assert!(plain_is_fine(&config, ip("192.0.2.1")));
    }
}
