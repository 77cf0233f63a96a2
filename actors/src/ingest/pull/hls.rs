//! A live HLS source: its playlists followed, its segments fetched, and what is in them handed on in real time.
//!
//! ```text
//! playlist ─▶ open ─▶ one rendition, or pictures and sound apart
//!                       │ each: follow, fetch, decrypt, demux
//!                       ▼
//!                     batches (a segment each, bounded) ─▶ playout ─▶ Outlet
//! ```
//!
//! A segment is taken from its queue only when there is room in the playout; so a rendition is ahead of what plays by that, one segment in the
//! queue and one in its hands. A playlist that stands still or cannot be loaded any more is loaded again and again: that no pictures come is
//! for the session to judge.

mod rendition;

use std::convert::Infallible;

use tokio::sync::mpsc;
use tokio::try_join;
use url::Url;
use weir_media::access_unit::Track;
use weir_media::hls::playlist::Playlist;

use self::rendition::{Batch, Rendition};
use super::http::client::{Client, Response};
use super::http::playout::Playout;
use super::{Outlet, PullError};
use crate::clock;

/// Segments that wait for room in the playout, of each rendition.
const QUEUED: usize = 1;

/// Fetches a source whose playlist is answered.
pub async fn fetch(client: &Client, url: &Url, response: Response, outlet: &Outlet) -> Result<Infallible, PullError> {
    let (pictures, sound) = open(client, url, response, outlet).await?;
    let mut playout = Playout::new(outlet, pictures.target());
    let (to_pictures, mut from_pictures) = mpsc::channel(QUEUED);
    let (to_sound, mut from_sound) = mpsc::channel(QUEUED);
    let renditions = async { try_join!(pictures.run(to_pictures), run(sound, to_sound)) };
    tokio::pin!(renditions);
    let mut over = false;
    loop {
        tokio::select! {
            ended = &mut renditions, if !over => over = ended.map(|_| true)?,
            Some(batch) = from_pictures.recv(), if playout.has_room(Track::Video) => take(&mut playout, batch),
            Some(batch) = from_sound.recv(), if playout.has_room(Track::Audio) => take(&mut playout, batch),
            () = playout.due() => playout.release().await?,
        }
        if over && from_pictures.is_empty() && playout.is_empty() {
            return Err(PullError::Ended);
        }
    }
}

/// The renditions that a playlist offers: one with both, or one with pictures and one with sound.
async fn open<'a>(
    client: &'a Client,
    url: &Url,
    response: Response,
    outlet: &'a Outlet,
) -> Result<(Rendition<'a>, Option<Rendition<'a>>), PullError> {
    let began = clock::now();
    let base = response.url().clone();
    let master = match rendition::playlist(response).await? {
        Playlist::Media(media) => {
            let mut whole = Rendition::new(client, url.clone(), outlet);
            whole.loaded(media, base, began);
            return Ok((whole, None));
        }
        Playlist::Master(master) => master,
    };
    let choice = master.choose().ok_or(PullError::Refused("HLS playlist lists nothing".to_owned()))?;
    let mut pictures = Rendition::open(client, &base, choice.variant, outlet).await?;
    let Some(audio) = choice.audio else { return Ok((pictures, None)) };
    let mut sound = Rendition::open(client, &base, audio, outlet).await?;
    (pictures.keeps, sound.keeps) = (Some(Track::Video), Some(Track::Audio));
    Ok((pictures, Some(sound)))
}

/// Runs a rendition, if there is one.
async fn run(rendition: Option<Rendition<'_>>, to: mpsc::Sender<Batch>) -> Result<(), PullError> {
    match rendition {
        Some(rendition) => rendition.run(to).await,
        None => Ok(()),
    }
}

fn take(playout: &mut Playout<'_>, batch: Batch) {
    if batch.discontinuity {
        batch.tracks().for_each(|track| playout.cut(track));
    }
    let has_pictures = batch.tracks().any(|track| track == Track::Video);
    batch.items.into_iter().for_each(|item| playout.take(item));
    if has_pictures && !playout.skip() && batch.last {
        playout.steer();
    }
}

#[cfg(test)]
mod tests;
