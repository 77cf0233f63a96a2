//! Pulling by HTTP and HTTPS: a live HLS playlist, or MPEG-TS that does not end.
//!
//! ```text
//! source ─▶ client ─▶ playlist? ─┬─ yes ─▶ hls: segments ──────┐
//!                                └─ no ──▶ one body of MPEG-TS ┴─▶ playout ─▶ Outlet
//! ```
//!
//! HTTP delivers as fast as the network does: segments come at once, a server may begin with what it kept, and a file has no pace at all. What
//! goes out is therefore on one timeline and at the pace of that: see [`playout`].

pub(super) mod client;
pub(super) mod playout;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use weir_media::access_unit::Track;
use weir_media::hls::playlist::Playlist;
use weir_media::pull::PullUri;
use weir_media::ts::{Demuxer, TsError};

use self::client::{Client, Response};
use self::playout::Playout;
use super::{Fetched, Outlet, PullError, hls};
use crate::clock;
use crate::ingest::TransportStats;
use crate::network::Network;

/// Bytes that tell a playlist, a mark of byte order in front.
const MARK: usize = 10;
/// Media types of playlists (RFC 8216, 4).
const PLAYLIST_TYPES: [&str; 3] = ["application/vnd.apple.mpegurl", "audio/mpegurl", "application/x-mpegurl"];
/// What a stream without segments is measured by where segments are: a usual GOP.
const STRETCH: Duration = Duration::from_secs(2);
/// Between two reports of the connection's state.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Fetches a source.
pub async fn fetch(source: &PullUri, network: &Network, outlet: &Outlet) -> Result<Infallible, PullError> {
    let client = Client::new(source, network)?;
    let mut response = client.get(source.url(), None).await?;
    let begin = response.first(MARK).await?;
    if Playlist::begins(&begin) || is_called_playlist(source.url().path(), &response) {
        hls::fetch(&client, source.url(), response, outlet).await
    } else {
        transport_stream(response, outlet).await
    }
}

/// Whether the source's name, or what its server says, is a playlist's.
fn is_called_playlist(path: &str, response: &Response) -> bool {
    let path = path.to_ascii_lowercase();
    let named = |path: &str| path.ends_with(".m3u8") || path.ends_with(".m3u");
    let typed = response.content_type().is_some_and(|media_type| PLAYLIST_TYPES.contains(&media_type.as_str()));
    named(&path) || typed
}

/// Hands on a body of MPEG-TS until it ends. While more waits than there is room for, nothing is read, and so the server waits.
async fn transport_stream(mut response: Response, outlet: &Outlet) -> Result<Infallible, PullError> {
    let mut stream = Stream { demuxer: Demuxer::default(), playout: Playout::new(outlet, STRETCH), over: false };
    let mut report_at = clock::now() + REPORT_EVERY;
    loop {
        let takes = !stream.over && stream.playout.has_room(Track::Video) && stream.playout.has_room(Track::Audio);
        tokio::select! {
            chunk = response.chunk(), if takes => {
                let chunk = chunk?;
                outlet.put(Fetched::Heard(chunk.as_ref().map_or(0, Bytes::len))).await?;
                stream.push(chunk).map_err(|error| PullError::Unacceptable(error.to_string()))?;
            }
            () = stream.playout.due() => stream.playout.release().await?,
            () = sleep_until(Instant::from_std(report_at)) => {
                report_at = clock::now() + REPORT_EVERY;
                outlet.put(Fetched::Transport(stream.transport())).await?;
            }
        }
        if stream.over && stream.playout.is_empty() {
            return Err(PullError::Ended);
        }
    }
}

/// A body of MPEG-TS, and what of it waits for its time.
struct Stream<'a> {
    demuxer: Demuxer,
    playout: Playout<'a>,
    over: bool,
}

impl Stream<'_> {
    /// Takes bytes in, or the end.
    fn push(&mut self, chunk: Option<Bytes>) -> Result<(), TsError> {
        match chunk {
            Some(chunk) => self.demuxer.push(&chunk)?,
            None if self.demuxer.stats().packets == 0 => return Err(TsError::NoPackets),
            None => {
                self.over = true;
                self.demuxer.finish()?;
            }
        }
        while let Some(item) = self.demuxer.poll() {
            self.playout.take(item);
        }
        // Nothing is skipped: a server that is far ahead has nothing newer for those who ask again.
        self.playout.steer();
        Ok(())
    }

    fn transport(&self) -> TransportStats {
        let continuity_errors = Some(self.demuxer.stats().continuity_errors);
        TransportStats { continuity_errors, ..TransportStats::default() }
    }
}

#[cfg(test)]
pub(super) mod origin;
#[cfg(test)]
mod tests;
