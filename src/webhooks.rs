//! Webhooks: what happens to streams, delivered to other machines.
//!
//! ```text
//! tree ─events─▶ outbox ─▶ store: messages ─▶ endpoint (one task per webhook) ─POST─▶ receiver
//!                             ▲                  │
//!                             └─ how far it is ──┘
//! ```
//!
//! Messages are written with their events (`src/store/message.rs`); an [`endpoint`] delivers them at least once, in order within each stream.
//! Whatever is changed of a webhook ends its endpoint first and begins another one from the store after it, so that no try runs on what was
//! before.

mod endpoint;
pub mod request;
pub mod signature;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use rand::TryRngCore;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;
use weir_actors::clock;
use weir_actors::network::http::HttpError;
use weir_actors::network::post::{Answer, Poster};
use weir_actors::network::{Network, NetworkError};

use self::endpoint::{End, Endpoint, Progress};
use self::request::Failure;
use crate::config::Secret;
use crate::store::{Store, StoreError, Webhook};

/// How long an old secret signs too, where nobody says otherwise.
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two starts of an endpoint whose store fails.
const RETRY: Duration = Duration::from_secs(1);

/// All webhooks; cloning shares them.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    store: Store,
    network: Network,
    poster: Poster,
    runtime: Handle,
    newest: watch::Receiver<i64>,
    /// Held while a webhook is changed.
    order: Mutex<()>,
    running: SyncMutex<HashMap<i64, Running>>,
}

/// An endpoint, which ends when this is gone.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    progress: watch::Receiver<Progress>,
}

impl Running {
    /// Ends it; nothing of it writes to the store any more.
    async fn end(self) {
        drop(self.stop);
        // It does not panic, and where it was aborted it is gone as well.
        let _ = self.task.await;
    }
}

/// How a test message fared.
pub struct Tested {
    /// What was answered, or why nothing.
    pub answer: Result<Answer, Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Webhooks {
    /// Delivers nothing yet. `newest` tells the id of the newest message; endpoints run on `runtime`.
    pub fn new(
        store: Store,
        network: Network,
        newest: watch::Receiver<i64>,
        runtime: Handle,
    ) -> Result<Self, HttpError> {
        let poster = Poster::new(&network)?;
        let (order, running) = (Mutex::default(), SyncMutex::default());
        Ok(Self(Arc::new(Inner { store, network, poster, runtime, newest, order, running })))
    }

    /// Takes the configured webhooks over, with address and secret, and begins to deliver to all that are kept.
    pub async fn start(&self, configured: &[(Secret, Secret)]) -> Result<(), StoreError> {
        let _order = self.0.order.lock().await;
        self.0.store.sync_webhooks(configured, clock::wall() + OVERLAP).await?;
        for webhook in self.0.store.webhooks().await? {
            self.0.begin(webhook);
        }
        Ok(())
    }

    /// Delivers what is due, for so long at most, and ends. Nothing may be written to the outbox any more.
    pub async fn finish(&self, within: Duration) {
        let newest = *self.0.newest.borrow();
        let deadline = Instant::now() + within;
        for mut progress in self.progress() {
            let done = progress.wait_for(|progress| progress.newest >= newest && !progress.busy);
            // What is not delivered in time is delivered by the next start.
            let _ = timeout_at(deadline, done).await;
        }
        let running = std::mem::take(&mut *self.0.running.lock().unwrap_or_else(PoisonError::into_inner));
        for endpoint in running.into_values() {
            endpoint.end().await;
        }
    }

    /// Messages that wait to be delivered, over all webhooks that are delivered to.
    pub fn backlog(&self) -> u64 {
        self.progress().iter().map(|progress| progress.borrow().backlog).sum()
    }

    /// The same of one webhook; `None` when it is not delivered to.
    pub fn backlog_of(&self, id: i64) -> Option<u64> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&id).filter(|running| !running.task.is_finished()).map(|running| running.progress.borrow().backlog)
    }

    fn progress(&self) -> Vec<watch::Receiver<Progress>> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().filter(|running| !running.task.is_finished()).map(|running| running.progress.clone()).collect()
    }

    /// Adds a webhook and begins to deliver to it; see [`Store::add_webhook`]. Runs as a task of its own, as changes do.
    pub async fn add(&self, url: Secret, secret: Secret, enabled: bool) -> Result<Option<Webhook>, StoreError> {
        let inner = Arc::clone(&self.0);
        let added = self.0.runtime.spawn(async move {
            let _order = inner.order.lock().await;
            let Some(id) = inner.store.add_webhook(&url, &secret, enabled).await? else { return Ok(None) };
            let added = inner.store.webhook(id).await?;
            added.iter().cloned().for_each(|webhook| inner.begin(webhook));
            Ok(added)
        });
        added.await.map_err(|error| StoreError::Interrupted(error.to_string()))?
    }

    /// Changes a webhook while nothing is delivered to it. Runs as a task of its own, so that a client that hangs up leaves nothing half-way.
    pub async fn change<T, F, Done>(&self, id: i64, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Store) -> Done + Send + 'static,
        Done: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let changed = self.0.runtime.spawn(async move {
            let _order = inner.order.lock().await;
            inner.end(id).await;
            let changed = change(inner.store.clone()).await;
            if let Some(webhook) = inner.store.webhook(id).await? {
                inner.begin(webhook);
            }
            changed
        });
        changed.await.map_err(|error| StoreError::Interrupted(error.to_string()))?
    }

    /// Whether the server may connect to an address; the error says what to do. A name that cannot be resolved now may be later.
    pub async fn check(&self, url: &Url) -> Result<(), NetworkError> {
        let host = url.host_str().unwrap_or_default();
        match self.0.network.resolve(host, url.port_or_known_default().unwrap_or(0)).await {
            Err(error @ NetworkError::Forbidden { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends a message of type `test` now, once, beside all others.
    pub async fn test(&self, webhook: Webhook) -> Result<Tested, StoreError> {
        let mut nonce = [0; 8];
        rand::rngs::OsRng.try_fill_bytes(&mut nonce).map_err(|error| StoreError::Random(error.to_string()))?;
        let id = format!("test_{}", crate::store::hex(&nonce));
        let poster = self.0.poster.clone();
        // Where endpoints run: a connection that is kept for the next request must not end with the asker's thread.
        let tested = self.0.runtime.spawn(async move {
            let began = clock::now();
            let answer = request::send(&poster, &webhook, &id, r#"{"type":"test","message":{}}"#).await;
            Tested { answer, took: clock::now().duration_since(began) }
        });
        tested.await.map_err(|error| StoreError::Interrupted(error.to_string()))
    }
}

impl Inner {
    fn begin(self: &Arc<Self>, webhook: Webhook) {
        if !webhook.enabled {
            return;
        }
        let (told, progress) = watch::channel(Progress { busy: true, ..Progress::default() });
        let (id, (stop, stopped)) = (webhook.id, oneshot::channel());
        let task = self.runtime.spawn(keep_running(Arc::clone(self), id, told, stopped));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Running { stop, task, progress });
    }

    async fn end(&self, id: i64) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(running) = running {
            running.end().await;
        }
    }
}

/// Runs an endpoint, and another one from the store when it fails or panics, until it is stopped or its receiver wants nothing more.
async fn keep_running(
    inner: Arc<Inner>,
    id: i64,
    progress: watch::Sender<Progress>,
    mut stopped: oneshot::Receiver<()>,
) {
    let progress = Arc::new(progress);
    loop {
        let (inner, told) = (Arc::clone(&inner), Arc::clone(&progress));
        let mut runs = JoinSet::new();
        runs.spawn(async move {
            let Some(webhook) = inner.store.webhook(id).await? else { return Err(End::Gone) };
            let endpoint = Endpoint { webhook, store: inner.store.clone(), poster: inner.poster.clone() };
            endpoint.run(inner.newest.clone(), &told).await
        });
        let ended = tokio::select! {
            ended = runs.join_next() => ended,
            _ = &mut stopped => return runs.shutdown().await,
        };
        match ended {
            Some(Ok(Err(End::Gone))) => {
                tracing::warn!(webhook = id, "the receiver answers 410 Gone, so the webhook is switched off");
                return;
            }
            Some(Ok(Err(End::Store(error)))) => tracing::error!(webhook = id, %error, "cannot deliver, trying on"),
            Some(Err(error)) => tracing::error!(webhook = id, %error, "delivery died, starting again"),
            Some(Ok(Ok(never))) => match never {},
            None => {}
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            _ = &mut stopped => return,
        }
    }
}
