//! Pulling: the wire task that fetches one source, and what it works with.
//!
//! ```text
//! fetch (rtmp, srt, http, hls, rtsp) ──Outlet──▶ session ──▶ Intake ──▶ feed, facts
//!   └─ network: resolves, checks, connects
//! ```
//!
//! [`fetch`] connects to a source and hands on what it delivers until that ends. It knows neither slots nor sessions: those begin, in
//! [`session`], with the first picture that can be decoded. Everything it connects to, redirects and what playlists name among them, goes
//! through [`crate::network`], which permits no address that only this machine or its network reaches, unless the operator does.

pub mod hls;
pub mod http;
pub mod rtmp;
pub mod rtsp;
pub mod session;
pub mod srt;

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_media::feed::FeedItem;
use weir_media::pull::{PullUri, Scheme};

use super::TransportStats;
use crate::network::{Network, NetworkError};

/// Items that may wait between a fetch and its session; then the fetch waits, and with it the source or its buffers.
const WAITING: usize = 64;

/// From the begin of a fetch to an answered request for the stream.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a source delivers no more, or never did. The words are shown to operators: no secret may be in them.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It cannot be reached, or must not be.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It does not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It says no, or speaks another protocol.
    #[error("{0}")]
    Refused(String),
    /// What it sends cannot be taken.
    #[error("{0}")]
    Unacceptable(String),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// It has ended in order.
    #[error("source ended the stream")]
    Ended,
    /// Nobody takes what it delivers any more.
    #[error("no longer wanted")]
    Unwanted,
}

/// What comes out of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// Bytes of media that came over the network.
    Heard(usize),
    /// What they turned out to be: configurations before units, video from a keyframe on.
    Item(FeedItem),
    /// How the connection is doing; at most once a second.
    Transport(TransportStats),
}

/// Where a fetch puts what it has.
#[derive(Clone)]
pub struct Outlet(mpsc::Sender<Fetched>);

impl Outlet {
    /// An outlet, and its other end.
    pub fn new() -> (Self, mpsc::Receiver<Fetched>) {
        let (queue, fetched) = mpsc::channel(WAITING);
        (Self(queue), fetched)
    }

    /// Hands something on, waiting for room.
    pub async fn put(&self, fetched: Fetched) -> Result<(), PullError> {
        self.0.send(fetched).await.map_err(|_| PullError::Unwanted)
    }
}

/// Fetches a source until it ends. Dropping the future closes all its connections.
pub async fn fetch(source: &PullUri, network: &Network, outlet: &Outlet) -> PullError {
    let fetched: Result<Infallible, PullError> = match source.scheme() {
        Scheme::Rtmp | Scheme::Rtmps => rtmp::fetch(source, network, outlet).await,
        Scheme::Srt => srt::fetch(source, network, outlet).await,
        Scheme::Http | Scheme::Https => http::fetch(source, network, outlet).await,
        Scheme::Rtsp => rtsp::fetch(source, network, outlet).await,
    };
    match fetched {
        Err(error) => error,
        Ok(never) => match never {},
    }
}
