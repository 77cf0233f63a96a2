//! What must survive a restart: streams, settings, the outbox of events, webhooks and what they have delivered, in one SQLite file.
//!
//! Every write is on the disk when its method returns (`synchronous = FULL`). Writers take the database's write lock at the start
//! of their transaction, so that a read-modify-write never loses another's change.

pub mod delivery;
pub mod failover;
pub mod health;
pub mod message;
pub mod numbers;
pub mod outbox;
mod sealing;
pub mod stream;
mod vault;
pub mod webhook;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use weir_actors::token::DigestKey;

pub use self::failover::FailoverSettings;
pub use self::health::Health;
pub use self::numbers::NumberKeeper;
pub use self::outbox::Outbox;
pub(crate) use self::stream::hex;
pub use self::stream::{Ids, Projection, RecordType, Stream, StreamFields};
use self::vault::Vault;
pub use self::vault::VaultError;
pub use self::webhook::Webhook;
use crate::config::Secret;

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
    /// The key of the secrets is missing or wrong.
    #[error(transparent)]
    Vault(#[from] VaultError),
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

/// What SQLite says when the disk has no room, or takes no writes: `SQLITE_FULL`, and `SQLITE_IOERR` with `_WRITE`, `_FSYNC`, `_SHMSIZE`.
const DISK_FULL: [&str; 4] = ["13", "778", "1034", "4874"];

impl StoreError {
    /// Whether room on the disk would help.
    pub fn is_disk_full(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| DISK_FULL.contains(&code.as_ref()))
    }
}

/// The store; cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// A connection that only stays open. When the last one closes, SQLite removes its shared memory file, and on a full disk nobody, not
    /// even a reader, could make it again.
    keeper: SqlitePool,
    vault: Vault,
    /// Most streams that may be switched on; 0 for no limit.
    max_active: u32,
    /// Failed tries of what is tried on.
    failed_writes: Arc<AtomicU64>,
}

impl Store {
    /// Opens or makes the database in a directory, which is made with mode 0700 when it does not exist. Its secrets are sealed by the
    /// key in `token.key` there, which is made with the database. Sessions that the last run left open are closed.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, None).await
    }

    /// The same with a key from elsewhere.
    pub async fn open_with(dir: &Path, key: Option<&Secret>) -> Result<Self, StoreError> {
        let (keeper, options) = keeper(dir).await?;
        let vault = sealing::migrate(&keeper, dir, key).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .after_release(|connection, _| Box::pin(is_sound(connection)))
            .connect_with(options)
            .await?;
        let store = Self { pool, keeper, vault, max_active: 0, failed_writes: Arc::default() };
        store.close_open_sessions().await?;
        Ok(store)
    }

    /// For when the key is lost: seals everything by a new one. Each stream gets a new push token, and loses its SRT passphrase and its
    /// pull URI, which nobody can read any more; webhooks of the API are gone. Tells how many streams there are. No server may run on the database meanwhile.
    pub async fn reset_secrets(dir: &Path, key: Option<&Secret>) -> Result<u64, StoreError> {
        let (keeper, _) = keeper(dir).await?;
        let count = sealing::reset(&keeper, dir, key).await?;
        keeper.close().await;
        Ok(count)
    }

    /// The key by which the tree digests what encoders offer as tokens.
    pub fn digest_key(&self) -> DigestKey {
        self.vault.digests().clone()
    }

    /// A name of this database, which no other has that is sealed by another key.
    pub fn name(&self) -> &str {
        self.vault.id()
    }

    /// Lets at most so many streams be switched on; 0 for no limit.
    pub fn with_max_active(self, max_active: u32) -> Self {
        Self { max_active, ..self }
    }

    /// Writes of events and numbers that failed, each try counted, since the server started.
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes.load(Ordering::Relaxed)
    }

    fn write_failed(&self) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
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

/// The connection that stays open, and how to make others.
async fn keeper(dir: &Path) -> Result<(SqlitePool, SqliteConnectOptions), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(private_file(dir)?)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", PAGE_CACHE)
        // What is deleted or replaced is overwritten.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT);
    let keeper = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await?;
    Ok((keeper, options))
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
mod tests;
