//! What every ingest door and the tree say to each other.
//!
//! A door's wire task reads the publisher's name and token and sends [`Publish`] to Root. On a [`Grant`] it writes media
//! into the grant's feed, reports [`IngestFact`]s by `try_send`, and ends when `stop` says so. Media never enters a mailbox.

pub mod intake;
pub mod preauth;
pub mod pull;
pub mod refusals;
pub mod rtmp;
pub mod srt;
pub mod told;
pub mod transport;
pub mod whip;

use std::net::SocketAddr;
use std::time::Instant;

use actix::Message;
use tokio::sync::{mpsc, watch};
use weir_media::codec::{AudioConfig, VideoConfig};
use weir_media::feed::FeedWriter;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_policy::admission::Refusal;
use weir_policy::doctor::Checkup;

pub use self::transport::TransportStats;
use crate::token::Token;

/// How many facts may wait for the connection's actor; a full channel ends the session with a reason.
pub const FACTS_CAPACITY: usize = 64;

/// A publisher asks to be let in. Sent to Root by a wire task.
#[derive(Debug, Message)]
#[rtype(result = "Result<Grant, Refusal>")]
pub struct Publish {
    /// The stream it names; `None` when the name is no stream id at all (answered like an unknown one).
    pub stream: Option<StreamId>,
    /// The slot it names.
    pub slot: Slot,
    /// The token it offers; empty when it offers none.
    pub token: Token,
    /// The door.
    pub protocol: Protocol,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What the encoder calls itself, e.g. the `flashVer` of its connect. At most 128 characters.
    pub agent: Option<String>,
}

/// Admission: what the wire task works with from now on.
pub struct Grant {
    /// Its name.
    pub session: SessionId,
    /// The stream.
    pub stream: StreamId,
    /// The slot.
    pub slot: Slot,
    /// Where its media goes. Dropping it ends the input.
    pub feed: FeedWriter,
    /// Where its facts go. Dropping it without [`IngestFact::Closed`] counts as a crash of the task.
    pub facts: mpsc::Sender<IngestFact>,
    /// `Some` when the session has to end, with what to tell the encoder.
    pub stop: watch::Receiver<Option<CloseReason>>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("session", &self.session)
            .field("stream", &self.stream)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// What a wire task reports. Media at most 4 times a second, the first at once.
#[derive(Clone, Debug)]
pub enum IngestFact {
    /// A track's configuration is known or has changed.
    Source {
        /// Of the video track, once known.
        video: Option<VideoConfig>,
        /// Of the audio track, once known.
        audio: Option<AudioConfig>,
    },
    /// A video access unit arrived.
    Media {
        /// When the latest one arrived.
        at: Instant,
        /// Bytes of media received so far.
        bytes: u64,
        /// Video units received so far.
        video_units: u64,
        /// Audio units received so far.
        audio_units: u64,
    },
    /// How the connection is doing.
    Transport(TransportStats),
    /// What the doctor says, once a second while media arrives. One that finds no room is left out: the next one says all.
    Examined(Box<Checkup>),
    /// The session is over; the last fact.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a session ended, or has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The encoder said good-bye.
    #[error("encoder ended the stream")]
    Unpublished,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// What a source that is pulled from ended with.
    #[error("{0}")]
    Source(String),
    /// The stream is to be pulled from elsewhere, or not at all.
    #[error("sources to pull from were changed")]
    SourcesChanged,
    /// The encoder broke the protocol or sent what cannot be decoded.
    #[error("{0}")]
    Unacceptable(String),
    /// A valid newcomer took the silent slot.
    #[error("replaced by another encoder after silence")]
    Displaced,
    /// No media for too long.
    #[error("no media received")]
    Silent,
    /// The push token was reset.
    #[error("push token was reset")]
    TokenReset,
    /// The stream's SRT passphrase is another one.
    #[error("SRT passphrase was changed")]
    PassphraseChanged,
    /// The stream was switched off.
    #[error("stream was switched off")]
    StreamOff,
    /// It was only looked at, and the time for that is over.
    #[error("preflight is over, connect again to go on air")]
    PreflightOver,
    /// The stream was deleted.
    #[error("stream was deleted")]
    StreamRemoved,
    /// The server is going down.
    #[error("server is shutting down")]
    Shutdown,
    /// A supervisor died above it.
    #[error("internal restart")]
    Restart,
}

/// Waits for a door's order to shut down.
pub(crate) async fn shut_down(mut shutdown: watch::Receiver<bool>) {
    // Without a sender nobody could ever give the order.
    let _ = shutdown.wait_for(|down| *down).await;
}
