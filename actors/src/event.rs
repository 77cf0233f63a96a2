//! What happens to streams, in order: the outbox that webhooks will deliver from.

use std::time::SystemTime;

use serde::Serialize;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};

/// Takes events in order. Must not block; an implementation writes them to the store behind a bounded queue.
pub trait EventSink: Send + Sync {
    /// Records one event.
    fn record(&self, event: StreamEvent);
}

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamEvent {
    /// The stream.
    pub stream: StreamId,
    /// When, wall clock.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// A publisher was admitted.
    SessionOpened {
        /// Its name.
        session: SessionId,
        /// Its slot.
        slot: Slot,
        /// Its door.
        protocol: Protocol,
    },
    /// A publisher is gone.
    SessionClosed {
        /// Its name.
        session: SessionId,
        /// Its slot.
        slot: Slot,
        /// Why, in words.
        reason: String,
    },
    /// A slot began or stopped receiving media (`live`, `backup_live`).
    LiveChanged {
        /// The slot.
        slot: Slot,
        /// Receiving.
        live: bool,
    },
    /// The manifest began to answer 200 with advancing parts, or stopped.
    TranscodingChanged {
        /// It does.
        transcoding: bool,
    },
    /// Another input is shown; `None` holds the last picture.
    OnAirChanged {
        /// The slot shown.
        slot: Option<Slot>,
    },
    /// Nothing could be pulled for `pull.give_up`: the stream is to be switched off.
    PullGivenUp,
    /// A broadcast began.
    BroadcastStarted,
    /// A broadcast ended: playlists have their end.
    BroadcastEnded,
    /// The worker died and was replaced.
    PipelineRestarted {
        /// Why it died.
        reason: String,
    },
    /// The worker keeps dying; it is retried slowly.
    PipelineDegraded {
        /// Why it died last.
        reason: String,
    },
    /// The stream's supervisor keeps dying; it is retried slowly, and publishers are refused meanwhile.
    StreamDegraded {
        /// Why it died last.
        reason: String,
    },
}
