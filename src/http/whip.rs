//! WHIP (RFC 9725): `POST /{id}_{token}/whip`, or `/{id}/whip` with `Authorization: Bearer {token}`, and then `/whip/{resource}`.
//!
//! | answer | `X-Reason-Code` | when |
//! |---|---|---|
//! | 201 | | the SDP answer, `Location` of the session, `ETag` of its ICE session, `Link` for each of `whip.ice_servers` |
//! | 400 | | no SDP offer |
//! | 401 | 2001 | no such stream |
//! | 403 | 2002 | wrong token |
//! | 403 | 2003 | somebody is publishing here already, over whatever protocol |
//! | 403 | 2004 | the stream is switched off, or set to pull |
//! | 406 | | an offer of something else than H.264 and Opus |
//! | 413, 415 | | over 64 KiB, not `application/sdp` |
//! | 429, 503 | | with `Retry-After`: too many sessions in a short time; no port for media, or restarting |
//!
//! The API names no URL of a backup for WHIP, as the documented service has none; `{id}b` is one all the same, as on the other doors.
//! The session's URL is unguessable and holds no token. Who began it with a token in the path needs nothing else to end it, who sent a header
//! sends it again. `PATCH` takes candidates, of which an ICE-lite server needs none; for an ICE restart it answers 405, on which clients begin a new session.
//! Any web page may publish with a token that it has: all answers are open to other origins, none depends on a cookie.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::json;
use weir_actors::ingest::told;
use weir_actors::ingest::whip::{Created, PeerError, Publisher, ResourceError, Whip, WhipError};
use weir_actors::token::Token;
use weir_media::id::{Slot, StreamId};
use weir_media::sdp::fragment::{MAX_FRAGMENT, fragment};
use weir_media::sdp::{MAX_OFFER, SdpError, offer};
use weir_policy::admission::Refusal;

use super::Api;
use super::arrival::Arrival;
use crate::config::IceServer;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const REASON: HeaderName = HeaderName::from_static("x-reason-code");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const EXPOSED: &str = "Location, ETag, Link, X-Reason-Code, Retry-After";
/// Longest name that a client gives itself and that is kept, characters.
const LONGEST_AGENT: usize = 128;
/// When to come back to a server that is busy, restarting, or out of ports.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);

/// Why a request is refused, as its client is told.
struct Told {
    status: StatusCode,
    reason: Option<u16>,
    retry_after: Option<Duration>,
    text: String,
}

/// Adds the paths. Behind all others: the first one begins with anything.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::resource(r"/whip/{resource:[0-9a-f]{32}}")
                .app_data(web::PayloadConfig::new(MAX_FRAGMENT))
                .route(web::patch().to(trickle))
                .route(web::delete().to(end))
                .route(web::method(Method::OPTIONS).to(|| async { options("PATCH, DELETE, OPTIONS", None) }))
                .default_service(web::to(|| async { wrong_method("PATCH, DELETE, OPTIONS") })),
        )
        .service(
            web::resource(r"/{publisher}/whip{slash:/?}")
                .app_data(web::PayloadConfig::new(MAX_OFFER))
                .route(web::post().to(publish))
                .route(web::method(Method::OPTIONS).to(endpoint_options))
                .default_service(web::to(|| async { wrong_method("POST, OPTIONS") })),
        );
}

async fn publish(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    api: web::Data<Api>,
    whip: web::Data<Whip>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    if !is_type(&request, SDP) {
        return Told::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the offer as application/sdp").answer();
    }
    let Ok(body) = body else {
        return Told::plain(StatusCode::PAYLOAD_TOO_LARGE, "the offer is longer than 64 KiB, or broke off").answer();
    };
    let port = request.peer_addr().map_or(0, |peer| peer.port());
    let Some(peer) = Arrival::of(&api.config, &request).client.map(|client| SocketAddr::new(client, port)) else {
        return Told::plain(StatusCode::BAD_REQUEST, "no address to send from").answer();
    };
    let (stream, slot, token) = publisher(&path.0);
    // A header counts, when there is one.
    let shown = bearer(&request);
    let bearer = shown.is_some();
    let token = shown.unwrap_or_else(|| Token::new(token));
    let agent = text(&request, &header::USER_AGENT).map(|agent| agent.chars().take(LONGEST_AGENT).collect());
    let whose = Publisher { stream, slot, token, bearer, peer, agent };
    let offer = match offer(&body) {
        Ok(offer) => offer,
        Err(error) => {
            let refusal = whip.refusal(&whose);
            return refusal.map_or_else(|| Told::from(error), |refusal| Told::from(&refusal)).answer();
        }
    };
    match whip.publish(whose, offer).await {
        Ok(Created { resource, etag, answer }) => {
            // Relative to the endpoint, unless a proxy may have moved that.
            let base = api.config.whip.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
            let mut response = open(HttpResponse::Created());
            response
                .content_type(SDP)
                .insert_header((header::LOCATION, format!("{base}/whip/{resource}")))
                .insert_header((header::ETAG, format!("\"{etag}\"")));
            links(&mut response, &api.config.whip.ice_servers);
            response.body(answer)
        }
        Err(error) => Told::from(error).answer(),
    }
}

async fn trickle(
    request: HttpRequest,
    resource: web::Path<String>,
    whip: web::Data<Whip>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    if !is_type(&request, FRAGMENT) {
        let text = "send candidates as application/trickle-ice-sdpfrag";
        return Told::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).answer();
    }
    let Ok(body) = body else {
        return Told::plain(StatusCode::PAYLOAD_TOO_LARGE, "the fragment is too long").answer();
    };
    let fragment = match fragment(&body) {
        Ok(fragment) => fragment,
        Err(error) => return Told::from(error).answer(),
    };
    let Some(etag) = text(&request, &header::IF_MATCH) else {
        let text = "send the session's entity tag as If-Match";
        return Told::plain(StatusCode::PRECONDITION_REQUIRED, text).answer();
    };
    match whip.trickle(&resource, bearer(&request).as_ref(), etag.trim().trim_matches('"'), &fragment) {
        Ok(()) => open(HttpResponse::NoContent()).finish(),
        Err(ResourceError::Restart) => wrong_method("DELETE, OPTIONS"),
        Err(error) => Told::from(error).answer(),
    }
}

async fn end(request: HttpRequest, resource: web::Path<String>, whip: web::Data<Whip>) -> HttpResponse {
    match whip.end(&resource, bearer(&request).as_ref()).await {
        Ok(()) => open(HttpResponse::Ok()).finish(),
        Err(error) => Told::from(error).answer(),
    }
}

async fn endpoint_options(api: web::Data<Api>) -> HttpResponse {
    options("POST, OPTIONS", Some(&api.config.whip.ice_servers))
}

/// What a browser asks before, and what a client learns that needs its ICE servers early (RFC 9725, 4.6).
fn options(methods: &'static str, servers: Option<&[IceServer]>) -> HttpResponse {
    let mut response = open(HttpResponse::NoContent());
    response
        .insert_header((header::ALLOW, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"));
    if let Some(servers) = servers {
        response.insert_header((ACCEPT_POST, SDP));
        links(&mut response, servers);
    }
    response.finish()
}

fn wrong_method(methods: &'static str) -> HttpResponse {
    let mut response = Told::plain(StatusCode::METHOD_NOT_ALLOWED, &format!("this resource takes {methods}")).answer();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// Whom a path segment names, and the token that it has.
fn publisher(segment: &str) -> (Option<StreamId>, Slot, &str) {
    let (name, token) = segment.split_once('_').unwrap_or((segment, ""));
    match name.strip_suffix('b') {
        Some(id) => (id.parse().ok(), Slot::Backup, token),
        None => (name.parse().ok(), Slot::Primary, token),
    }
}

fn bearer(request: &HttpRequest) -> Option<Token> {
    let (scheme, token) = text(request, &header::AUTHORIZATION)?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::new(token.trim()))
}

fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn is_type(request: &HttpRequest, wanted: &str) -> bool {
    let sent = text(request, &header::CONTENT_TYPE).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

/// Lets pages of other origins read an answer.
fn open(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    response
}

fn links(response: &mut HttpResponseBuilder, servers: &[IceServer]) {
    for server in servers {
        response.append_header((header::LINK, server.link()));
    }
}

impl Told {
    fn plain(status: StatusCode, text: &str) -> Self {
        Self { status, reason: None, retry_after: None, text: text.to_owned() }
    }

    fn later(status: StatusCode, retry_after: Duration, text: &impl ToString) -> Self {
        Self { retry_after: Some(retry_after), ..Self::plain(status, &text.to_string()) }
    }

    fn answer(self) -> HttpResponse {
        let mut response = open(HttpResponse::build(self.status));
        if let Some(reason) = self.reason {
            response.insert_header((REASON, reason.to_string()));
        }
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, wait.as_millis().div_ceil(1000).max(1).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        response.json(json!({ "status": self.status.as_u16(), "error": format!("{title}. {}", self.text) }))
    }
}

impl From<SdpError> for Told {
    fn from(error: SdpError) -> Self {
        let status = match error {
            SdpError::Malformed(_) => StatusCode::BAD_REQUEST,
            SdpError::Unacceptable(_) => StatusCode::NOT_ACCEPTABLE,
        };
        Self::plain(status, &error.to_string())
    }
}

impl From<WhipError> for Told {
    fn from(error: WhipError) -> Self {
        match &error {
            WhipError::Refused(refusal) => Self::from(refusal),
            WhipError::Busy => Self::later(StatusCode::SERVICE_UNAVAILABLE, SOON, &error),
            WhipError::NoPort(_) => Self::later(StatusCode::SERVICE_UNAVAILABLE, LATER, &error),
            WhipError::Peer(PeerError::Offer(_)) => Self::plain(StatusCode::BAD_REQUEST, &error.to_string()),
            WhipError::Peer(PeerError::Codec) => Self::plain(StatusCode::NOT_ACCEPTABLE, &error.to_string()),
            WhipError::Peer(PeerError::Setup(_) | PeerError::TooSlow) => {
                tracing::error!(%error, "WHIP session failed");
                Self::later(StatusCode::SERVICE_UNAVAILABLE, LATER, &error)
            }
        }
    }
}

impl From<&Refusal> for Told {
    fn from(refusal: &Refusal) -> Self {
        let (status, reason) = told::whip(refusal);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        let soon = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON);
        let text = match refusal {
            Refusal::NotAuthorized { known: false } => "no such stream".to_owned(),
            Refusal::NotAuthorized { known: true } => "wrong token".to_owned(),
            Refusal::Unanswered { .. } => "too many wrong tokens".to_owned(),
            refusal => refusal.to_string(),
        };
        Self { status, reason, retry_after: refusal.retry_after().or(soon), text }
    }
}

impl From<ResourceError> for Told {
    fn from(error: ResourceError) -> Self {
        let status = match error {
            ResourceError::Gone => StatusCode::NOT_FOUND,
            ResourceError::Unauthorized => StatusCode::UNAUTHORIZED,
            ResourceError::Precondition => StatusCode::PRECONDITION_FAILED,
            ResourceError::Restart => StatusCode::METHOD_NOT_ALLOWED,
            ResourceError::TooMany => StatusCode::BAD_REQUEST,
        };
        Self::plain(status, &error.to_string())
    }
}
