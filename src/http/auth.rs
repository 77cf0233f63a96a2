//! Who may ask: the API key or a session of the panel, and which parts of the server plain HTTP opens to other machines.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::arrival::{peer, trusted};
use super::error::ApiError;
use super::{Api, panel};
use crate::config::{Config, Secret};

/// Lets requests with the right API key through, and without any those of the panel's session; all others get 401. A session is left in the
/// request's extensions.
pub async fn require_key(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(api) = request.app_data::<web::Data<Api>>().cloned() else { return Err(ApiError::Unauthorized.into()) };
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) if is_key(value, &api.key) => {}
        Some(_) => return Err(ApiError::Unauthorized.into()),
        None => {
            let session = panel::authorise(&api, request.request())?;
            request.extensions_mut().insert(session);
        }
    }
    next.call(request).await
}

/// `Authorization: APIKey …`, the word in any case; `Bearer` does too.
fn is_key(value: &HeaderValue, key: &Secret) -> bool {
    let Some((scheme, offered)) = value.to_str().ok().and_then(|value| value.trim().split_once(' ')) else {
        return false;
    };
    let known = scheme.eq_ignore_ascii_case("apikey") || scheme.eq_ignore_ascii_case("bearer");
    known && bool::from(digest(offered.trim()).ct_eq(&digest(key.expose())))
}

/// What secrets are compared by: of one length, so that comparing takes the same time whatever is offered.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
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
