//! The control panel: its page at `/`, and signing in to it.
//!
//! The page is the same for everybody and holds nothing; what it shows it asks of the API, like any other client. Who signs in with the API
//! key gets a cookie that scripts cannot read ([`sessions`]); it opens what the key opens, for the panel's own pages only ([`guard`]).

mod guard;
pub mod sessions;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use self::sessions::{LIFETIME, Session};
use super::arrival::Arrival;
use super::auth::digest;
use super::body::Body;
use super::error::ApiError;
use super::{Api, player};

const PAGE: &str = "panel.html";
/// Frames the player's page, and nothing frames it.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The cookie's name over HTTPS: browsers take one of that prefix from this very host only (RFC 6265bis 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-weir";
/// Its name over plain HTTP, where that prefix is not allowed.
const PLAIN_COOKIE: &str = "weir";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Adds the page and the session.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(super::resource("/", "GET, HEAD").route(web::get().to(page)).route(web::head().to(page))).service(
        super::resource("/panel/session", "GET, POST, DELETE")
            .route(web::get().to(session))
            .route(web::post().to(sign_in))
            .route(web::delete().to(sign_out)),
    );
}

async fn page(request: HttpRequest) -> HttpResponse {
    let mut response = player::answer(&request, PAGE, "no-cache", POLICY);
    let headers = response.headers_mut();
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Whether the panel's user is signed in.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// By a cookie of this server.
    signed_in: bool,
    /// The client number of player and publish pages; null to strangers.
    client_id: Option<u64>,
    /// The server's version; null to strangers.
    version: Option<&'static str>,
}

impl SessionView {
    fn new(api: &Api, signed_in: bool) -> Self {
        let client_id = signed_in.then_some(api.config.api.client_id);
        Self { signed_in, client_id, version: signed_in.then_some(env!("CARGO_PKG_VERSION")) }
    }
}

/// Whether the request's cookie is that of a session.
#[utoipa::path(get, path = "/panel/session", tag = "panel", security(()), responses((status = 200, body = SessionView)))]
pub async fn session(api: web::Data<Api>, request: HttpRequest) -> HttpResponse {
    let signed_in = authorise(&api, &request).is_ok();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(SessionView::new(&api, signed_in))
}

/// What is sent to sign in.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the field is read from the body by name.
pub struct KeyInput {
    /// The API key.
    key: String,
}

/// Signs in: the answer sets a cookie that does what the key does for 12 h, for pages of this origin, which send `X-Weir-Panel` with all
/// that changes something. It is `HttpOnly` and `SameSite=Strict`, over HTTPS also `Secure`. Ten wrong keys from one address (IPv6: one
/// /64) and it has to wait, 6 s for each further try.
#[utoipa::path(post, path = "/panel/session", tag = "panel", security(()), request_body = KeyInput, responses(
    (status = 200, body = SessionView, description = "Signed in"),
    (status = 401, description = "Not the API key"),
    (status = 403, description = "Not from a page of this server, or without `X-Weir-Panel`"),
    (status = 422, description = "No key"),
    (status = 429, description = "Too many wrong keys; `Retry-After` says when the next try is welcome"),
))]
pub async fn sign_in(api: web::Data<Api>, request: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let arrival = Arrival::of(&api.config, &request);
    guard::check(&request, &arrival)?;
    let Some(offered) = body.0.get("key").and_then(|key| key.as_str()) else {
        return Err(ApiError::field("key", "must be a string"));
    };
    api.sessions.may_try(arrival.client).map_err(ApiError::TooManyTries)?;
    if !bool::from(digest(offered.trim()).ct_eq(&digest(api.key.expose()))) {
        api.sessions.tried_wrong(arrival.client);
        return Err(ApiError::WrongKey);
    }
    let cookie = api.sessions.open().map_err(|_| ApiError::NoRandomness)?;
    tracing::info!(client = ?arrival.client, "signed in to the panel");
    Ok(HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, set_cookie(arrival.secure, cookie.expose(), LIFETIME.as_secs())))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(SessionView::new(&api, true)))
}

/// Signs out: the session is over at once, also for what is being followed with it.
#[utoipa::path(delete, path = "/panel/session", tag = "panel", security(()), responses(
    (status = 204, description = "Signed out"),
    (status = 401, description = "There was no session"),
    (status = 403, description = "Not from a page of this server, or without `X-Weir-Panel`"),
))]
pub async fn sign_out(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let session = authorise(&api, &request)?;
    api.sessions.close(session);
    let secure = Arrival::of(&api.config, &request).secure;
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, set_cookie(secure, "", 0))).finish())
}

/// The session whose cookie a request bears, if it may act by it.
pub(super) fn authorise(api: &Api, request: &HttpRequest) -> Result<Session, ApiError> {
    let arrival = Arrival::of(&api.config, request);
    let cookie = cookie(request, name(arrival.secure)).ok_or(ApiError::Unauthorized)?;
    let session = api.sessions.find(cookie).ok_or(ApiError::Unauthorized)?;
    guard::check(request, &arrival)?;
    Ok(session)
}

fn name(secure: bool) -> &'static str {
    if secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}

fn set_cookie(secure: bool, value: &str, max_age_s: u64) -> String {
    let mark = if secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{mark}", name(secure))
}

/// A cookie's value (RFC 6265 4.2.1).
fn cookie<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let headers = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(named, _)| *named == name).map(|(_, value)| value)
}
