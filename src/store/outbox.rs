//! The outbox: events of streams in order, written by one task behind a bounded queue.
//!
//! The same task keeps the times of a stream's row that follow from events, and makes the messages of webhooks, which are delivered from the
//! store. It begins and ends with the ends of what was left open. The tree never waits for the disk: when the queue is full an event is
//! dropped, counted and logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use weir_actors::clock;
use weir_actors::event::{EventKind, EventSink, StreamEvent};
use weir_media::id::StreamId;

use super::message::PushUri;
use super::stream::{Mark, key, mark, ms};
use super::{RETRY, Store, StoreError, Tries};

/// Events that wait for the disk.
const CAPACITY: usize = 4096;
/// Events in one transaction.
const BATCH: usize = 256;
/// Events kept: about a month of a busy node.
const KEPT: i64 = 200_000;

/// The tree's end of the outbox.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<StreamEvent>,
    dropped: AtomicU64,
    newest: watch::Receiver<i64>,
}

impl Outbox {
    /// Starts the writer on the current runtime. It ends when the last reference to the outbox is gone and all is written.
    /// `push_uri` tells receivers of webhooks where encoders push.
    pub fn open(store: Store, push_uri: Box<PushUri>) -> (Arc<Self>, JoinHandle<()>) {
        let (queue, events) = mpsc::channel(CAPACITY);
        let (newest, told) = watch::channel(0);
        let writer = tokio::spawn(write(store, events, push_uri, newest));
        (Arc::new(Self { queue, dropped: AtomicU64::new(0), newest: told }), writer)
    }

    /// Tells the id of the newest message of webhooks that this run has written, as it is written.
    pub fn newest_message(&self) -> watch::Receiver<i64> {
        self.newest.clone()
    }

    /// Events lost because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Events that wait for the disk.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

impl EventSink for Outbox {
    fn record(&self, event: StreamEvent) {
        if let Err(error) = self.queue.try_send(event) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // A flood of events must not become a flood of log lines.
            if dropped.is_power_of_two() {
                tracing::error!(dropped, %error, "event lost");
            }
        }
    }
}

async fn write(
    store: Store,
    mut events: mpsc::Receiver<StreamEvent>,
    push_uri: Box<PushUri>,
    newest: watch::Sender<i64>,
) {
    let writer = Writer { store, push_uri, newest };
    writer.write(&events, None).await;
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        writer.write(&events, Some(&batch)).await;
        batch.clear();
    }
    // A tree that ends need not have told all ends of its streams.
    writer.write(&events, None).await;
}

struct Writer {
    store: Store,
    push_uri: Box<PushUri>,
    newest: watch::Sender<i64>,
}

impl Writer {
    /// Writes events, or the ends of what is left open, until they are written or the server ends without them.
    async fn write(&self, queue: &mpsc::Receiver<StreamEvent>, events: Option<&[StreamEvent]>) {
        let mut tries = Tries::default();
        loop {
            let written = match events {
                Some(events) => self.store.append(events, &*self.push_uri).await,
                None => self.store.end_left_open(&*self.push_uri).await,
            };
            match written {
                Ok(newest) => {
                    newest.into_iter().for_each(|id| _ = self.newest.send_replace(id));
                    return;
                }
                Err(error) => {
                    self.store.write_failed();
                    if tries.worth_a_line() {
                        let waiting = events.map_or(0, <[_]>::len);
                        tracing::error!(%error, waiting, "cannot write events, trying on");
                    }
                }
            }
            if queue.is_closed() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// An event in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredEvent {
    /// Its place in the order of all events.
    pub id: i64,
    /// The stream.
    pub stream: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// [`EventKind`] as JSON.
    pub json: String,
}

impl Store {
    /// Appends events and what follows from them, all or none. The id of the newest message that webhooks are to deliver, if there is one.
    pub(super) async fn append(&self, events: &[StreamEvent], push_uri: &PushUri) -> Result<Option<i64>, StoreError> {
        if events.is_empty() {
            return Ok(None);
        }
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let (mut last, mut newest) = (0, None);
        for event in events {
            last = sqlx::query("INSERT INTO events (stream, at, json) VALUES (?, ?, ?)")
                .bind(key(event.stream))
                .bind(ms(event.at))
                .bind(serde_json::json!(event.kind).to_string())
                .execute(&mut *transaction)
                .await?
                .last_insert_rowid();
            if let Some(change) = consequence(&event.kind) {
                mark(&mut transaction, event.stream, change, event.at).await?;
            }
            newest = self.tell(&mut transaction, event, last, push_uri).await?.or(newest);
        }
        self.purge(&mut transaction, last - KEPT).await?;
        transaction.commit().await?;
        Ok(newest)
    }

    /// Ends in the eyes of receivers what is left open.
    async fn end_left_open(&self, push_uri: &PushUri) -> Result<Option<i64>, StoreError> {
        self.append(&self.left_open(clock::wall()).await?, push_uri).await
    }

    /// Up to `limit` events behind the one with id `after`, oldest first.
    pub async fn events(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(sqlx::query_as("SELECT id, stream, at, json FROM events WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?)
    }

    /// The newest `limit` events of one stream, newest first.
    pub async fn events_of(&self, stream: StreamId, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(sqlx::query_as("SELECT id, stream, at, json FROM events WHERE stream = ? ORDER BY id DESC LIMIT ?")
            .bind(key(stream))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?)
    }
}

/// `started_at > finished_at` is how the API says "is running", so both follow the slot's media.
fn consequence(kind: &EventKind) -> Option<Mark> {
    match *kind {
        EventKind::LiveChanged { slot, live: true } => Some(Mark::Started(slot)),
        EventKind::LiveChanged { slot, live: false } => Some(Mark::Finished(slot)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use weir_media::id::Slot;

    use super::*;

    fn event(at: u64, kind: EventKind) -> StreamEvent {
        StreamEvent { stream: StreamId(1), at: UNIX_EPOCH + Duration::from_secs(at), kind }
    }

    fn live(live: bool) -> EventKind {
        EventKind::LiveChanged { slot: Slot::Primary, live }
    }

    #[tokio::test]
    async fn events_are_kept_in_order_and_set_the_streams_times() {
        let dir = crate::store::testing::dir();
        let store = Store::open(&dir).await.unwrap();
        store.create(&crate::store::StreamFields { name: "a".into(), ..Default::default() }).await.unwrap();
        let (outbox, writer) = Outbox::open(store.clone(), Box::new(|_, _, _| None));
        for n in 0..600 {
            outbox.record(event(n, live(n % 2 == 0)));
        }
        drop(outbox);
        writer.await.unwrap();
        let times: Vec<i64> = store.events(0, 1000).await.unwrap().iter().map(|event| event.at / 1000).collect();
        assert_eq!(times, (0..600).collect::<Vec<_>>());
        let stream = store.stream(StreamId(1)).await.unwrap().unwrap();
        assert_eq!(stream.started_at_primary, Some(UNIX_EPOCH + Duration::from_secs(598)));
        assert_eq!(stream.finished_at_primary, Some(UNIX_EPOCH + Duration::from_secs(599)));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn what_a_tree_leaves_open_is_ended_with_it() {
        let dir = crate::store::testing::dir();
        let store = Store::open(&dir).await.unwrap();
        store.create(&crate::store::StreamFields { name: "a".into(), ..Default::default() }).await.unwrap();
        let (outbox, writer) = Outbox::open(store.clone(), Box::new(|_, _, _| None));
        outbox.record(event(5, live(true)));
        let newest = outbox.newest_message();
        drop(outbox);
        writer.await.unwrap();
        let kinds: Vec<String> = store.events(0, 9).await.unwrap().into_iter().map(|event| event.json).collect();
        assert_eq!(kinds, [live(true), live(false)].map(|kind| serde_json::json!(kind).to_string()));
        assert_eq!(*newest.borrow(), 2);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let (queue, _events) = mpsc::channel(2);
        let outbox = Outbox { queue, dropped: AtomicU64::new(0), newest: watch::channel(0).1 };
        for n in 0..5 {
            outbox.record(event(n, EventKind::BroadcastStarted));
        }
        assert_eq!((outbox.dropped(), outbox.waiting()), (3, 2));
    }

    #[tokio::test]
    async fn a_session_that_the_last_run_left_open_is_closed_at_start() {
        let dir = crate::store::testing::dir();
        let store = Store::open(&dir).await.unwrap();
        store.create(&crate::store::StreamFields { name: "a".into(), ..Default::default() }).await.unwrap();
        store.append(&[event(5, live(true))], &|_, _, _| None).await.unwrap();
        store.close().await;
        let stream = Store::open(&dir).await.unwrap().stream(StreamId(1)).await.unwrap().unwrap();
        assert!(stream.finished_at_primary > stream.started_at_primary);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
