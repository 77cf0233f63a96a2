//! Server-sent events (HTML Living Standard 9.2): what every answer of that kind has in common.
//!
//! Who follows pulls: what comes next is asked of its [`Source`] when the connection has room for it. So a slow reader holds up nobody and
//! costs no memory; what it misses is the source's to say. The events end with the server, with the source, and with the session of the panel
//! that asked for them.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::health::Readiness;
use crate::http::panel::sessions::{Session, Sessions};

/// Connections that may follow at a time.
const MAX_FOLLOWERS: usize = 256;
/// Longest silence: proxies close connections that say nothing, and a client that is gone is only noticed by writing to it.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

/// Places for those who follow; cloning shares them.
#[derive(Clone, Debug)]
pub struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FOLLOWERS)))
    }
}

/// One event.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts; events are written as text.
pub struct Event {
    /// Of an entry of a journal, its number.
    #[schema(nullable = false)]
    id: Option<String>,
    /// Its kind.
    event: String,
    /// JSON.
    data: String,
}

/// What is followed.
pub(super) trait Source: 'static {
    /// The first bytes, a comment: without them some clients do not take the connection for open.
    fn greeting(&self) -> String {
        ": follows\n\n".into()
    }

    /// What comes next, whole events; `None` ends them. Its future may be dropped while it waits, and the next one has to go on from there.
    async fn next(&mut self) -> Option<String>;
}

/// Whether the client asks for events.
pub(super) fn wants_events(request: &HttpRequest) -> bool {
    let accept = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// The last journal entry that the client has seen, if it says so.
pub(super) fn last_event_id(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| ApiError::BadRequest("Last-Event-ID is not the id of a journal entry".into()))
}

/// Answers with what comes from the source.
pub(super) fn follow(api: &Api, request: &HttpRequest, source: impl Source) -> Result<HttpResponse, ApiError> {
    let place = api.followers.0.clone().try_acquire_owned().map_err(|_| ApiError::TooManyFollowers(MAX_FOLLOWERS))?;
    let follower = Follower {
        source,
        greeted: false,
        readiness: api.readiness.clone(),
        sessions: api.sessions.clone(),
        session: request.extensions().get::<Session>().copied(),
        _place: place,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies of nginx's kind would keep events back to fill a buffer.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(follower.events()))
}

struct Follower<S> {
    source: S,
    greeted: bool,
    readiness: Readiness,
    sessions: Sessions,
    /// By which it was let in; `None` by the key.
    session: Option<Session>,
    _place: OwnedSemaphorePermit,
}

impl<S: Source> Follower<S> {
    fn events(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        unfold(self, |mut this| async {
            let text = this.next().await?;
            Some((Ok(Bytes::from(text)), this))
        })
    }

    /// What is to be sent next; `None` ends the events.
    async fn next(&mut self) -> Option<String> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.source.greeting());
        }
        let signed_out = async {
            match self.session {
                Some(session) => self.sessions.over(session).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signed_out => None,
            () = self.readiness.drains() => None,
            text = self.source.next() => text,
            () = tokio::time::sleep(HEARTBEAT) => Some(": still here\n\n".into()),
        }
    }
}
