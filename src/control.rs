//! Changes of streams: first to the store, then to the tree, in that order for each stream.
//!
//! A change runs as a task of its own, so that a client that hangs up half-way leaves no stream that the store and the tree know
//! differently. The store is the truth: a tree that does not answer is only logged, because a new one is filled from the store.

use std::future::Future;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::{Mutex, watch};
use weir_actors::control::{ClosedSession, StreamSpec};
use weir_media::id::StreamId;
use weir_media::pull::PullUri;

use crate::config::{Config, QualitySet};
use crate::shelf::Shelf;
use crate::store::{FailoverSettings, Store, StoreError, Stream, StreamFields};
use crate::tree::{Tree, TreeGone};

/// Locks that order changes of the same stream; streams that share one only wait for each other.
const LOCKS: usize = 64;

/// Changes streams; cloning shares it.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    store: Store,
    tree: Arc<dyn Tree>,
    locks: [Mutex<()>; LOCKS],
    /// Changes that were tried.
    edits: watch::Sender<u64>,
}

/// What a change closed: `Err` when the tree did not answer.
pub type Closed = Result<Vec<ClosedSession>, TreeGone>;

impl Control {
    /// Works on this store and this tree.
    pub fn new(config: Arc<Config>, store: Store, tree: Arc<dyn Tree>) -> Self {
        let (locks, edits) = (std::array::from_fn(|_| Mutex::new(())), watch::Sender::default());
        Self(Arc::new(Inner { config, store, tree, locks, edits }))
    }

    /// Wakes when streams were added, changed or deleted.
    pub fn edits(&self) -> watch::Receiver<u64> {
        self.0.edits.subscribe()
    }

    /// Adds a stream.
    pub async fn create(&self, fields: StreamFields) -> Result<Stream, StoreError> {
        self.run(|inner| async move {
            let stream = inner.store.create(&fields).await?;
            inner.refresh(stream.id).await?;
            Ok(stream)
        })
        .await
    }

    /// Changes a stream's fields; see [`Store::edit`].
    pub async fn edit<E: 'static>(
        &self,
        id: StreamId,
        edit: impl FnOnce(&mut StreamFields) -> Result<(), E> + 'static,
    ) -> Result<Option<Result<Stream, E>>, StoreError> {
        self.run(move |inner| async move {
            let _order = inner.lock(id).await;
            let edited = inner.store.edit(id, edit).await?;
            if let Some(Ok(stream)) = &edited {
                inner.put(stream).await?.ok();
            }
            Ok(edited)
        })
        .await
    }

    /// Changes how a stream fails over, from its next broadcast on; see [`Store::edit_failover`].
    pub async fn edit_failover<E: 'static>(
        &self,
        id: StreamId,
        edit: impl FnOnce(&mut FailoverSettings) -> Result<(), E> + 'static,
    ) -> Result<Option<Result<Stream, E>>, StoreError> {
        self.run(move |inner| async move {
            let _order = inner.lock(id).await;
            let edited = inner.store.edit_failover(id, edit).await?;
            if let Some(Ok(stream)) = &edited {
                inner.put(stream).await?.ok();
            }
            Ok(edited)
        })
        .await
    }

    /// Gives a stream a fresh token, and closes the sessions of the old one.
    pub async fn reset_token(&self, id: StreamId) -> Result<Option<(Stream, Closed)>, StoreError> {
        self.run(move |inner| async move {
            let _order = inner.lock(id).await;
            let Some(stream) = inner.store.reset_token(id).await? else { return Ok(None) };
            let closed = inner.put(&stream).await?;
            Ok(Some((stream, closed)))
        })
        .await
    }

    /// Deletes a stream, and then what it has on the shelf; false when there was none.
    pub async fn delete(&self, id: StreamId, shelf: Arc<Shelf>) -> Result<bool, StoreError> {
        self.run(move |inner| async move {
            let _order = inner.lock(id).await;
            let deleted = inner.store.delete(id).await?;
            if deleted && let Err(error) = inner.tree.remove_stream(id).await {
                tracing::error!(stream = %id, %error, "deleted in the store only");
            }
            if deleted {
                shelf.remove(id);
            }
            Ok(deleted)
        })
        .await
    }

    /// Chooses the quality set of streams that choose none, and tells the tree of each of them.
    pub async fn set_default_quality_set(&self, id: Option<u32>) -> Result<(), StoreError> {
        self.run(move |inner| async move {
            inner.store.set_default_quality_set(id).await?;
            for stream in inner.store.streams().await? {
                if stream.fields.quality_set_id.is_none() {
                    inner.refresh(stream.id).await?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn run<T, F>(&self, change: impl FnOnce(Arc<Inner>) -> F) -> Result<T, StoreError>
    where
        T: 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        let (inner, change) = (Arc::clone(&self.0), change(Arc::clone(&self.0)));
        let changed = actix_rt::spawn(async move {
            let result = change.await;
            inner.edits.send_modify(|edits| *edits += 1);
            result
        });
        match changed.await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Interrupted(error.to_string())),
        }
    }
}

impl Inner {
    async fn lock(&self, id: StreamId) -> tokio::sync::MutexGuard<'_, ()> {
        self.locks[(id.0 % LOCKS as u64) as usize].lock().await
    }

    /// Tells the tree what the store now knows of a stream.
    async fn refresh(&self, id: StreamId) -> Result<(), StoreError> {
        let _order = self.lock(id).await;
        if let Some(stream) = self.store.stream(id).await? {
            self.put(&stream).await?.ok();
        }
        Ok(())
    }

    async fn put(&self, stream: &Stream) -> Result<Closed, StoreError> {
        let chosen = self.store.default_quality_set().await?;
        let spec = spec(stream, &self.config, chosen);
        let closed = self.tree.put_stream(spec).await;
        if let Err(error) = &closed {
            tracing::error!(stream = %stream.id, %error, "changed in the store only");
        }
        Ok(closed)
    }
}

/// What a new tree must know: all streams of the store.
pub async fn specs(store: &Store, config: &Config) -> Result<Vec<StreamSpec>, StoreError> {
    let chosen = store.default_quality_set().await?;
    let streams = store.streams().await?;
    Ok(streams.iter().map(|stream| spec(stream, config, chosen)).collect())
}

/// What a stream is pulled from. The API checks what it takes, but an older version of it may have taken more.
fn sources(stream: &Stream) -> Arc<[PullUri]> {
    match PullUri::parse_list(stream.fields.uri.as_deref().unwrap_or_default()) {
        Ok(sources) => sources.into(),
        Err(error) => {
            tracing::error!(stream = %stream.id, %error, "uri cannot be pulled from");
            Arc::default()
        }
    }
}

/// What the tree must know of a stream. A quality set that is gone from the configuration counts as not chosen; `default` is the API's
/// choice for streams that choose none.
pub fn spec(stream: &Stream, config: &Config, default: Option<u32>) -> StreamSpec {
    let sets = &config.quality_sets;
    let by_id = |id: i64| sets.iter().find(|set| i64::from(set.id) == id);
    let set = stream
        .fields
        .quality_set_id
        .and_then(by_id)
        .or_else(|| by_id(default?.into()))
        .or_else(|| sets.iter().find(|set| set.default));
    StreamSpec {
        id: stream.id,
        token: stream.token_digest,
        srt_passphrase: stream.fields.srt_passphrase.clone().map(SecretString::from),
        active: stream.fields.active,
        pull: stream.fields.pull,
        sources: sources(stream),
        ladder: set.map(QualitySet::ladder).unwrap_or_default(),
        failover: stream.failover.over(config.failover.spec()),
    }
}
