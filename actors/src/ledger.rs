//! A stream's events in order, and what of it has begun and must end, also when the supervisor that records them dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_media::id::{SessionId, Slot, StreamId};

use crate::clock;
use crate::event::{EventKind, EventSink, StreamEvent};

/// The way of one stream's events to the outbox. Outlives the stream's supervisors, as the journal does.
pub(crate) struct Ledger {
    stream: StreamId,
    sink: Arc<dyn EventSink>,
    open: Mutex<Open>,
}

/// What was told to have begun and was not told to have ended.
#[derive(Debug, Default)]
struct Open {
    sessions: BTreeMap<SessionId, Slot>,
    live: [bool; 2],
    on_air: Option<Slot>,
    transcoding: bool,
    /// One that runs, and others that are finishing.
    broadcasts: u32,
}

impl Ledger {
    pub fn new(stream: StreamId, sink: Arc<dyn EventSink>) -> Self {
        Self { stream, sink, open: Mutex::default() }
    }

    /// Records an event.
    pub fn record(&self, kind: EventKind) {
        self.sink.record(StreamEvent { stream: self.stream, at: clock::wall(), kind: kind.clone() });
        let mut open = self.lock();
        match kind {
            EventKind::SessionOpened { session, slot, .. } => _ = open.sessions.insert(session, slot),
            EventKind::SessionClosed { session, .. } => _ = open.sessions.remove(&session),
            EventKind::LiveChanged { slot, live } => open.live[slot as usize] = live,
            EventKind::TranscodingChanged { transcoding } => open.transcoding = transcoding,
            EventKind::OnAirChanged { slot } => open.on_air = slot,
            EventKind::BroadcastStarted => open.broadcasts += 1,
            EventKind::BroadcastEnded => open.broadcasts = open.broadcasts.saturating_sub(1),
            EventKind::PullGivenUp
            | EventKind::PipelineRestarted { .. }
            | EventKind::PipelineDegraded { .. }
            | EventKind::StreamDegraded { .. } => {}
        }
    }

    /// Ends what the supervisor has left open, for this reason.
    pub fn close(&self, reason: &str) {
        let Open { sessions, live, on_air, transcoding, broadcasts } = std::mem::take(&mut *self.lock());
        for (session, slot) in sessions {
            self.record(EventKind::SessionClosed { session, slot, reason: reason.to_owned() });
        }
        for slot in [Slot::Primary, Slot::Backup].into_iter().filter(|slot| live[*slot as usize]) {
            self.record(EventKind::LiveChanged { slot, live: false });
        }
        if on_air.is_some() {
            self.record(EventKind::OnAirChanged { slot: None });
        }
        if transcoding {
            self.record(EventKind::TranscodingChanged { transcoding: false });
        }
        (0..broadcasts).for_each(|_| self.record(EventKind::BroadcastEnded));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing panics under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
