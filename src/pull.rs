//! What follows when the tree gives pulling up: the stream is switched off, in the store as in the tree.
//!
//! The tree knows no store. It tells by an event, which goes to the outbox like all others, and from here to the control API's own way of
//! changing a stream, so that an operator's change at the same moment is before it or after it, never lost between.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_actors::event::{EventKind, EventSink, StreamEvent};
use weir_media::id::StreamId;

use crate::control::Control;

/// Streams that wait to be switched off; each waits once in two hours.
const CAPACITY: usize = 4096;
/// Between two tries of a store that fails.
const RETRY: Duration = Duration::from_secs(1);

/// Passes events on, and notes which streams have given up.
pub struct GiveUps<S> {
    events: Arc<S>,
    given_up: mpsc::Sender<StreamId>,
}

impl<S: EventSink> GiveUps<S> {
    /// In front of `events`; the receiver is for [`switch_off`].
    pub fn before(events: Arc<S>) -> (Arc<Self>, mpsc::Receiver<StreamId>) {
        let (given_up, streams) = mpsc::channel(CAPACITY);
        (Arc::new(Self { events, given_up }), streams)
    }
}

impl<S: EventSink> EventSink for GiveUps<S> {
    fn record(&self, event: StreamEvent) {
        if event.kind == EventKind::PullGivenUp && self.given_up.try_send(event.stream).is_err() {
            tracing::error!(stream = %event.stream, "cannot be switched off for good: it is pulled again after a restart");
        }
        self.events.record(event);
    }
}

/// Switches streams off until nobody can give up any more.
pub async fn switch_off(mut streams: mpsc::Receiver<StreamId>, control: Control) {
    while let Some(id) = streams.recv().await {
        loop {
            let off = control.edit(id, |fields| {
                fields.active = false;
                Ok::<_, Infallible>(())
            });
            match off.await {
                Ok(_) => break,
                Err(error) => tracing::error!(stream = %id, %error, "cannot be switched off yet, trying on"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
