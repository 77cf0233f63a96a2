//! What must survive a restart: streams, settings, and the outbox of events, in one SQLite file.
//!
//! Every write is on the disk when its method returns (`synchronous = FULL`). Writers take the database's write lock at the start
//! of their transaction, so that a read-modify-write never loses another's change.

pub mod numbers;
pub mod outbox;
pub mod stream;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};

pub use self::numbers::NumberKeeper;
pub use self::outbox::Outbox;
pub(crate) use self::stream::hex;
pub use self::stream::{Ids, Projection, RecordType, Stream, StreamFields};

/// Name of the database file in `data.dir`.
const FILE: &str = "weir.db";
/// Pages that each connection keeps, as SQLite says it: 256 KiB. The usual 2 MiB fill up with old events and look like a leak.
const PAGE_CACHE: &str = "-256";
/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;
/// Time between two tries of what has to be written sooner or later.
const RETRY: Duration = Duration::from_secs(1);
/// Setting: the quality set of streams that choose none.
const DEFAULT_QUALITY_SET: &str = "default_quality_set";

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data directory or the file in it cannot be made.
    #[error("cannot use {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// No more streams may be switched on.
    #[error("limit of {0} active streams is reached")]
    MaxActive(u32),
    /// A change ended half-way: a defect, or the end of the process.
    #[error("change interrupted: {0}")]
    Interrupted(String),
    /// The database is of a later version, or damaged.
    #[error("database schema: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
}

/// The store; cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// A connection that only stays open. When the last one closes, SQLite removes its shared memory file, and on a full disk nobody, not
    /// even a reader, could make it again.
    keeper: SqlitePool,
    /// Most streams that may be switched on; 0 for no limit.
    max_active: u32,
}

impl Store {
    /// Opens or makes the database in a directory, which is made with mode 0700 when it does not exist. Sessions that the last run left open are closed.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = private_file(dir)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", PAGE_CACHE)
            .busy_timeout(BUSY_TIMEOUT);
        let keeper = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .after_release(|connection, _| Box::pin(is_sound(connection)))
            .connect_with(options)
            .await?;
        sqlx::migrate!().run(&keeper).await?;
        let store = Self { pool, keeper, max_active: 0 };
        store.close_open_sessions().await?;
        Ok(store)
    }

    /// Lets at most so many streams be switched on; 0 for no limit.
    pub fn with_max_active(self, max_active: u32) -> Self {
        Self { max_active, ..self }
    }

    /// Writes what is left and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
        self.keeper.close().await;
    }

    /// A primary publisher of the last run is not there any more: `started_at > finished_at` would claim it.
    async fn close_open_sessions(&self) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE streams SET finished_at_primary = ? WHERE started_at_primary > COALESCE(finished_at_primary, 0)",
        )
        .bind(stream::now_ms())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The quality set that the API chose for streams that choose none; `None` leaves it to the configuration.
    pub async fn default_quality_set(&self) -> Result<Option<u32>, StoreError> {
        let value: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE key = ?")
            .bind(DEFAULT_QUALITY_SET)
            .fetch_optional(&self.pool)
            .await?;
        Ok(value.and_then(|value| value.parse().ok()))
    }

    /// Chooses it.
    pub async fn set_default_quality_set(&self, id: Option<u32>) -> Result<(), StoreError> {
        let query = match id {
            Some(id) => {
                sqlx::query("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
                    .bind(DEFAULT_QUALITY_SET)
                    .bind(id.to_string())
            }
            None => sqlx::query("DELETE FROM settings WHERE key = ?").bind(DEFAULT_QUALITY_SET),
        };
        query.execute(&self.pool).await?;
        Ok(())
    }
}

/// Failed tries of one write. A disk that is full for hours must not fill what is left of it with log lines.
#[derive(Default)]
struct Tries(u32);

impl Tries {
    /// One more has failed; true for the first, second, fourth, eighth …
    fn worth_a_line(&mut self) -> bool {
        self.0 = self.0.saturating_add(1);
        self.0.is_power_of_two()
    }
}

/// Whether a connection that comes back can be used again. SQLite ends a transaction by itself when the disk is full, but sqlx goes on
/// to count it as open and refuses to begin another one on that connection, for ever.
async fn is_sound(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What rolls back a dropped transaction waits in the connection's queue.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// The database file, readable by this user only, in a directory of the same kind. A directory that stands already stays as its owner
/// made it: it may be shared with others.
fn private_file(dir: &Path) -> Result<PathBuf, StoreError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Directory { path, source }
    };
    if !dir.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong(dir))?;
    }
    // SQLite gives its -wal and -shm files the mode of this one.
    let path = dir.join(FILE);
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(wrong(&path))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(wrong(&path))?;
    Ok(path)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory that no other test uses.
    pub(crate) fn dir() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("weir-store-{}-{next}", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use weir_media::id::StreamId;
    use weir_media::package::Numbers;

    use super::*;

    fn named(name: &str) -> StreamFields {
        StreamFields { name: name.into(), ..StreamFields::default() }
    }

    #[tokio::test]
    async fn a_stream_comes_back_as_it_was_written_after_a_restart() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let fields = StreamFields {
            active: true,
            uri: Some("srt://a srt://b".into()),
            record_type: RecordType::Transcoded,
            projection: Projection::Vr360tb,
            quality_set_id: Some(2),
            client_entity_data: Some("x".into()),
            broadcast_ids: Ids(vec![3, 4]),
            ..named("a")
        };
        let made = store.create(&fields).await.unwrap();
        store.close().await;
        let read = Store::open(&dir).await.unwrap().stream(made.id).await.unwrap().unwrap();
        assert_eq!(read.fields, fields);
        assert!(read.token.matches(&made.token));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn an_id_is_never_given_again() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let first = store.create(&named("a")).await.unwrap().id;
        assert!(store.delete(first).await.unwrap());
        assert!(!store.delete(first).await.unwrap());
        assert!(store.create(&named("b")).await.unwrap().id > first);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn concurrent_edits_of_different_fields_lose_nothing() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let id = store.create(&named("0")).await.unwrap().id;
        let edits = (0..50).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let edit = |fields: &mut StreamFields| {
                    fields.name = (fields.name.parse::<u32>().unwrap() + 1).to_string();
                    Ok::<_, ()>(())
                };
                store.edit(id, edit).await.unwrap().unwrap().unwrap();
            })
        });
        for edit in edits.collect::<Vec<_>>() {
            edit.await.unwrap();
        }
        assert_eq!(store.stream(id).await.unwrap().unwrap().fields.name, "50");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn the_limit_of_active_streams_holds_under_concurrent_writes() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap().with_max_active(3);
        let off = store.create(&named("off")).await.unwrap().id;
        let creates = (0..20).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.create(&StreamFields { active: true, ..named("a") }).await })
        });
        let edit = store.edit(off, |fields| {
            fields.active = true;
            Ok::<_, ()>(())
        });
        let mut on = usize::from(edit.await.is_ok());
        for create in creates.collect::<Vec<_>>() {
            match create.await.unwrap() {
                Ok(_) => on += 1,
                Err(error) => assert!(matches!(error, StoreError::MaxActive(3)), "{error}"),
            }
        }
        assert_eq!(on, 3);
        let active = store.streams().await.unwrap().into_iter().find(|stream| stream.fields.active).unwrap().id;
        let rename = |fields: &mut StreamFields| {
            fields.name = "b".into();
            Ok::<_, ()>(())
        };
        assert!(store.edit(active, rename).await.is_ok(), "it is on already");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn numbers_never_go_back() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let id = store.create(&named("a")).await.unwrap().id;
        let of = |next_sequence, discontinuity_sequence| Numbers { next_sequence, discontinuity_sequence };
        store.save_numbers(id, of(10, 2)).await.unwrap();
        store.save_numbers(id, of(4, 3)).await.unwrap();
        assert_eq!(store.numbers(id).await.unwrap(), of(10, 3));
        assert_eq!(store.numbers(StreamId(99)).await.unwrap(), Numbers::default());
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// Bounds the file's size on every connection: SQLite then fails as on a full disk.
    async fn bound_pages(store: &Store, pages: u32) {
        let mut connections = vec![];
        for _ in 0..CONNECTIONS {
            let mut connection = store.pool.acquire().await.unwrap();
            let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            sqlx::query(pragma).fetch_one(&mut *connection).await.unwrap();
            connections.push(connection);
        }
    }

    #[tokio::test]
    async fn writes_work_again_once_a_full_disk_has_room() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let id = store.create(&named("a")).await.unwrap().id;
        let long = |fields: &mut StreamFields| {
            fields.client_entity_data = Some("x".repeat(100_000));
            Ok::<_, ()>(())
        };
        for _ in 0..2 * CONNECTIONS {
            bound_pages(&store, 1).await;
            let refused = store.edit(id, long).await.unwrap_err().to_string();
            assert!(refused.contains("full"), "{refused}");
        }
        bound_pages(&store, 1_000_000).await;
        for _ in 0..2 * CONNECTIONS {
            store.edit(id, long).await.unwrap().unwrap().unwrap();
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn the_shared_memory_outlives_every_connection_of_the_pool() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let mut connections = vec![];
        for _ in 0..CONNECTIONS {
            connections.push(store.pool.acquire().await.unwrap());
        }
        for connection in connections {
            connection.close().await.unwrap();
        }
        let there = |suffix: &str| dir.join(format!("{FILE}{suffix}")).exists();
        assert!(there("-shm") && there("-wal"));
        store.close().await;
        assert!(!there("-shm") && !there("-wal"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn other_users_cannot_read_the_data() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        store.create(&named("a")).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        for entry in std::fs::read_dir(&dir).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_stands_already_keeps_its_mode() {
        let dir = testing::dir();
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777)).unwrap();
        Store::open(&dir).await.unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o7777, 0o1777);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn the_default_quality_set_can_be_chosen_and_unchosen() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        assert_eq!(store.default_quality_set().await.unwrap(), None);
        store.set_default_quality_set(Some(2)).await.unwrap();
        store.set_default_quality_set(Some(3)).await.unwrap();
        assert_eq!(store.default_quality_set().await.unwrap(), Some(3));
        store.set_default_quality_set(None).await.unwrap();
        assert_eq!(store.default_quality_set().await.unwrap(), None);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn listing_never_returns_an_id_sqlite_cannot_hold() {
        let dir = testing::dir();
        let store = Store::open(&dir).await.unwrap();
        assert!(store.stream(StreamId(u64::MAX)).await.unwrap().is_none());
        assert!(store.page(u64::MAX, 25).await.unwrap().is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
