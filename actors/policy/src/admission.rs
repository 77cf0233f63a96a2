//! Why a publisher is turned away.

use std::time::Duration;

/// A refusal, as every door tells it in its own protocol's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such stream, or not its token: told alike on RTMP and SRT, so that ids cannot be probed.
    #[error("unknown stream or wrong token")]
    NotAuthorized {
        /// The id is known. For the operator's ledger only, never for the encoder.
        known: bool,
    },
    /// `active` is false.
    #[error("stream is switched off")]
    StreamOff,
    /// The slot has a publisher that is sending.
    #[error("another encoder is already publishing here")]
    SlotTaken,
    /// The stream is on air over another protocol.
    #[error("stream is already fed over another protocol")]
    OtherProtocol,
    /// The stream is fed by pulling.
    #[error("stream is set to pull")]
    PullStream,
    /// Too many connections in a short time.
    #[error("too many connections, try again in {retry_after:?}")]
    RateLimited {
        /// When the next try is welcome.
        retry_after: Duration,
    },
    /// The server is going down.
    #[error("server is shutting down")]
    Draining,
    /// This ingest point is not built.
    #[error("{0}")]
    NotSupported(String),
}
