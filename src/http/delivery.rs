//! Delivery: `GET|HEAD|OPTIONS /cmaf/{client}_{id}/{file}`, manifests and media straight from the [`Shelf`].
//!
//! - Playlists answer blocking reloads (`_HLS_msn`, `_HLS_part`) and come as delta updates when asked (`_HLS_skip`). Like the MPD, they are
//!   written, and compressed, once per change and not per request.
//! - A part that was hinted at is answered when it exists; a segment that is still growing is sent part by part.
//! - What cannot change is cacheable for good; what says "not yet" or "gone" for one second.
//! - `screenshot.jpg` is the latest picture, a new one every 10 s.
//! - A stream without playable output is 404 with `X-Err-Code`: 1000 not running, 2000 id not readable, 3000 not ready.

mod answer;
mod growing;
mod query;

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::{Method, header};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::Instant;
use weir_actors::clock;
use weir_media::id::StreamId;
use weir_media::package::names::Name;
use weir_media::package::{Lookup, Media, Reload};

use crate::shelf::{Absence, Channel, Shelf};
use answer::{Kind, media, missing, no_stream, page, picture, unavailable};
use query::{Blocking, Directives};

/// How long a request waits for media: three target durations (RFC 8216bis 6.2.5.2).
const PATIENCE: Duration = Duration::from_secs(6);

/// Where.
const ROUTE: &str = "/cmaf/{stream}/{file}";
/// The file with the latest picture of a stream.
pub(super) const SCREENSHOT: &str = "screenshot.jpg";

/// How streams are delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// The `{client}` of URLs.
    pub client_id: u64,
    /// How long a request waits for media that is about to come.
    pub patience: Duration,
}

impl Delivery {
    /// Delivery for the one client of this server.
    pub fn new(client_id: u64) -> Self {
        Self { client_id, patience: PATIENCE }
    }
}

/// Adds the route. The app's data must hold a [`Data<Shelf>`].
pub fn configure(delivery: Delivery) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config.service(
            web::resource(ROUTE)
                .app_data(Data::new(delivery))
                .route(web::get().to(serve))
                .route(web::head().to(serve))
                .route(web::method(Method::OPTIONS).to(preflight)),
        );
    }
}

/// What kind of file a request is for, by a word for each; `None` when it is not for delivery.
pub fn kind(request: &HttpRequest) -> Option<&'static str> {
    request.match_pattern().filter(|pattern| pattern == ROUTE)?;
    let file = request.match_info().query("file");
    Some(match Name::parse(file) {
        Some(Name::Master) => "master",
        Some(Name::Mpd) => "mpd",
        Some(Name::Playlist { .. }) => match Directives::parse(request.query_string()) {
            Ok(Directives { blocking: Some(_), .. }) => "blocking_playlist",
            _ => "playlist",
        },
        Some(Name::Init { .. }) => "init",
        Some(Name::Part { .. }) => "part",
        Some(Name::Segment { .. }) => "segment",
        None if file == SCREENSHOT => "screenshot",
        None => "unknown",
    })
}

async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*, Range"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

async fn serve(
    request: HttpRequest,
    path: Path<(String, String)>,
    shelf: Data<Shelf>,
    delivery: Data<Delivery>,
) -> HttpResponse {
    let (stream, file) = path.into_inner();
    let Some((client, stream)) = stream_of(&stream) else { return no_stream(2000) };
    let channel = match shelf.find(stream) {
        Ok(channel) if client == delivery.client_id => channel,
        Err(Absence::NotReady) if client == delivery.client_id => return no_stream(3000),
        _ => return no_stream(1000),
    };
    if file == SCREENSHOT {
        return channel.screenshot().map_or_else(missing, picture);
    }
    let Some(name) = Name::parse(&file) else { return missing() };
    let deadline = Instant::now() + delivery.patience;
    match name {
        Name::Master => match channel.read(|packager| packager.master()) {
            Some(master) => page(&request, Kind::Playlist, &master, false),
            None => no_stream(1000),
        },
        Name::Mpd => {
            let now = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
            match channel.read(|packager| packager.mpd(now)) {
                Some(mpd) => page(&request, Kind::Mpd, &mpd, false),
                None => no_stream(1000),
            }
        }
        Name::Playlist { track } => playlist(&request, &shelf, &channel, track, deadline).await,
        Name::Init { first_sequence, track } => {
            match channel.read(|packager| packager.init_segment(first_sequence, track)) {
                Some(init) => media(&request, init),
                None => missing(),
            }
        }
        Name::Part { track, number, part } => {
            match found(&shelf, &channel, track, deadline, |packager| packager.part(track, number, part)).await {
                Some(part) => media(&request, part),
                None => missing(),
            }
        }
        Name::Segment { track, number } => {
            match found(&shelf, &channel, track, deadline, |packager| packager.segment(track, number, 0)).await {
                Some(segment) if segment.complete => media(&request, segment),
                Some(segment) => match shelf.waiter() {
                    Some(permit) => growing::respond(channel, track, number, segment, delivery.patience, permit),
                    None => unavailable(),
                },
                None => missing(),
            }
        }
    }
}

/// `{client}_{id}`.
fn stream_of(text: &str) -> Option<(u64, StreamId)> {
    let (client, stream) = text.split_once('_')?;
    // The same strictness for both: digits only.
    Some((StreamId::from_str(client).ok()?.0, StreamId::from_str(stream).ok()?))
}

async fn playlist(
    request: &HttpRequest,
    shelf: &Shelf,
    channel: &Channel,
    track: u8,
    deadline: Instant,
) -> HttpResponse {
    let Directives { blocking, skip } = match Directives::parse(request.query_string()) {
        Ok(directives) => directives,
        Err(refusal) => return answer::refused(&refusal.to_string()),
    };
    let list = |by_number: bool| {
        let (list, ended) = channel.read(|packager| {
            let list = if skip { packager.delta(track) } else { packager.playlist(track) };
            (list, packager.ended())
        });
        // An end under a number that the next broadcast will have must not stay in a cache until then.
        list.map_or_else(missing, |list| page(request, Kind::Playlist, &list, by_number && !ended))
    };
    let Some(Blocking { msn, part }) = blocking else {
        if ignores_parts(request) && !channel.read(|packager| packager.settled()) {
            let Some(_permit) = shelf.waiter() else { return unavailable() };
            channel.wait(track, deadline, |packager| (packager.settled() || !packager.playable()).then_some(())).await;
        }
        return list(false);
    };
    match channel.read(|packager| packager.reload(track, msn, part)) {
        None => return missing(),
        Some(Reload::TooFar) => return answer::refused("_HLS_msn is more than two segments ahead"),
        Some(Reload::Ready) => {}
        Some(Reload::Wait) => {
            let Some(_permit) = shelf.waiter() else { return unavailable() };
            // `None` of `reload` ends the wait too: the renditions have changed.
            let ready = channel.wait(track, deadline, |packager| match packager.reload(track, msn, part) {
                Some(Reload::Wait | Reload::TooFar) => None,
                Some(Reload::Ready) | None => Some(()),
            });
            if ready.await.is_none() {
                // A server that goes down has no more than it has listed, and still answers for it.
                return if shelf.dismissed() { list(false) } else { unavailable() };
            }
        }
    }
    list(true)
}

/// In a broadcast's first moments a playlist has parts but no segment. These players know no parts, and instead of asking again they
/// give up on a list without a segment: they are held until there is one.
fn ignores_parts(request: &HttpRequest) -> bool {
    const GIVE_UP: [&str; 3] = ["Lavf/", "LibVLC", "GStreamer"];
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| GIVE_UP.iter().any(|name| agent.contains(name)))
}

/// What `look` finds, waiting while it says that it comes soon.
async fn found(
    shelf: &Shelf,
    channel: &Arc<Channel>,
    track: u8,
    deadline: Instant,
    look: impl Fn(&mut weir_media::package::Packager) -> Lookup<Media>,
) -> Option<Media> {
    match channel.read(&look) {
        Lookup::Found(media) => return Some(media),
        Lookup::Missing => return None,
        Lookup::Soon => {}
    }
    let _permit = shelf.waiter()?;
    let settled = channel.wait(track, deadline, |packager| match look(packager) {
        Lookup::Found(media) => Some(Some(media)),
        Lookup::Missing => Some(None),
        Lookup::Soon => None,
    });
    settled.await.flatten()
}

#[cfg(test)]
mod tests;
