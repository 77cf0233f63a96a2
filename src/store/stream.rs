//! Streams in the store.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, SqliteConnection};
use utoipa::ToSchema;
use weir_actors::clock;
use weir_actors::token::{Token, TokenDigest};
use weir_media::id::{Slot, StreamId};

use super::vault::{Column, VaultError};
use super::{FailoverSettings, Store, StoreError};

/// Random bytes in a push token: 128 bits.
const TOKEN_BYTES: usize = 16;

/// What a recording would keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum RecordType {
    /// What the encoder sent.
    #[default]
    Origin,
    /// What viewers see.
    Transcoded,
}

/// How a player shows the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum Projection {
    /// Flat.
    #[default]
    Regular,
    /// 360°.
    Vr360,
    /// 180°.
    Vr180,
    /// 360°, one eye above the other.
    Vr360tb,
}

/// Numbers that the API keeps without a meaning of its own; a JSON array in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ids(pub Vec<i64>);

impl TryFrom<String> for Ids {
    type Error = serde_json::Error;

    fn try_from(json: String) -> Result<Self, Self::Error> {
        serde_json::from_str(&json)
    }
}

/// What API clients write. Its `Debug` leaves out what may hold secrets: the passphrase, and the URIs.
#[derive(Clone, PartialEq, FromRow)]
#[allow(missing_docs)] // The API's own names and meanings; documented on its response type.
pub struct StreamFields {
    pub name: String,
    pub active: bool,
    pub pull: bool,
    #[sqlx(skip)] // Sealed, as the passphrase is: see `Store::open_row`.
    pub uri: Option<String>,
    #[sqlx(skip)]
    pub srt_passphrase: Option<String>,
    pub auto_record: bool,
    pub record_type: RecordType,
    pub dvr_enabled: bool,
    pub dvr_duration: i64,
    pub hls_mpegts_endlist_tag: bool,
    pub quality_set_id: Option<i64>,
    pub client_user_id: Option<i64>,
    pub client_entity_data: Option<String>,
    pub cdn_id: Option<i64>,
    pub html_overlay: bool,
    #[sqlx(try_from = "String")]
    pub broadcast_ids: Ids,
    pub projection: Projection,
}

impl fmt::Debug for StreamFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamFields")
            .field("name", &self.name)
            .field("active", &self.active)
            .field("pull", &self.pull)
            .finish_non_exhaustive()
    }
}

impl Default for StreamFields {
    /// The documented defaults, with an empty name.
    fn default() -> Self {
        Self {
            name: String::new(),
            active: false,
            pull: false,
            uri: None,
            srt_passphrase: None,
            auto_record: false,
            record_type: RecordType::default(),
            dvr_enabled: false,
            dvr_duration: 3600,
            hls_mpegts_endlist_tag: true,
            quality_set_id: None,
            client_user_id: None,
            client_entity_data: None,
            cdn_id: None,
            html_overlay: false,
            broadcast_ids: Ids::default(),
            projection: Projection::default(),
        }
    }
}

/// A stream as it is kept.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// What clients write.
    pub fields: StreamFields,
    /// What operators chose for its failover.
    pub failover: FailoverSettings,
    /// Its push token.
    pub token: Token,
    /// By which the tree knows it.
    pub token_digest: TokenDigest,
    /// When it was made.
    pub created_at: SystemTime,
    /// When the primary input last began to send.
    pub started_at_primary: Option<SystemTime>,
    /// When the backup input last began to send.
    pub started_at_backup: Option<SystemTime>,
    /// When the primary input last stopped.
    pub finished_at_primary: Option<SystemTime>,
}

#[derive(FromRow)]
pub(super) struct Row {
    id: i64,
    #[sqlx(flatten)]
    fields: StreamFields,
    failover: String,
    token_digest: Vec<u8>,
    sealed_token: Vec<u8>,
    sealed_srt_passphrase: Option<Vec<u8>>,
    sealed_uri: Option<Vec<u8>>,
    created_at: i64,
    started_at_primary: Option<i64>,
    started_at_backup: Option<i64>,
    finished_at_primary: Option<i64>,
}

/// Binds the fields in the order of their columns.
macro_rules! bind_fields {
    ($query:expr, $fields:expr) => {
        $query
            .bind(&$fields.name)
            .bind($fields.active)
            .bind($fields.pull)
            .bind($fields.auto_record)
            .bind($fields.record_type)
            .bind($fields.dvr_enabled)
            .bind($fields.dvr_duration)
            .bind($fields.hls_mpegts_endlist_tag)
            .bind($fields.quality_set_id)
            .bind($fields.client_user_id)
            .bind(&$fields.client_entity_data)
            .bind($fields.cdn_id)
            .bind($fields.html_overlay)
            .bind(serde_json::json!($fields.broadcast_ids).to_string())
            .bind($fields.projection)
    };
}

impl Store {
    /// Opens what is sealed in a row.
    pub(super) fn open_row(&self, row: Row) -> Result<Stream, StoreError> {
        let (id, mut fields) = (StreamId(row.id as u64), row.fields);
        let open = |column, sealed: &[u8]| self.vault.open_sealed(id, column, sealed);
        let optional = |column, sealed: Option<Vec<u8>>| sealed.map(|sealed| open(column, &sealed)).transpose();
        fields.srt_passphrase = optional(Column::SrtPassphrase, row.sealed_srt_passphrase)?;
        fields.uri = optional(Column::Uri, row.sealed_uri)?;
        let digest = row.token_digest.try_into().map_err(|_| VaultError::Damaged(id, "token's digest"))?;
        Ok(Stream {
            id,
            fields,
            failover: FailoverSettings::read(id, &row.failover),
            token: Token::new(open(Column::Token, &row.sealed_token)?),
            token_digest: TokenDigest::from_bytes(digest),
            created_at: time(row.created_at),
            started_at_primary: row.started_at_primary.map(time),
            started_at_backup: row.started_at_backup.map(time),
            finished_at_primary: row.finished_at_primary.map(time),
        })
    }

    fn open_rows(&self, rows: Vec<Row>) -> Result<Vec<Stream>, StoreError> {
        rows.into_iter().map(|row| self.open_row(row)).collect()
    }

    fn seal_optional(
        &self,
        id: StreamId,
        column: Column,
        text: Option<&String>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(text.map(|text| self.vault.seal(id, column, text)).transpose()?)
    }

    /// Writes a fresh token into a stream's row.
    async fn write_fresh_token(
        &self,
        connection: &mut SqliteConnection,
        id: StreamId,
    ) -> Result<Option<Row>, StoreError> {
        let token = fresh_token()?;
        Ok(sqlx::query_as("UPDATE streams SET token_digest = ?, sealed_token = ? WHERE id = ? RETURNING *")
            .bind(self.vault.digests().digest(id, &token).as_bytes().to_vec())
            .bind(self.vault.seal(id, Column::Token, token.expose())?)
            .bind(key(id))
            .fetch_optional(connection)
            .await?)
    }

    /// Writes the fields that are sealed into a stream's row.
    async fn write_sealed(
        &self,
        connection: &mut SqliteConnection,
        id: StreamId,
        fields: &StreamFields,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE streams SET sealed_srt_passphrase = ?, sealed_uri = ? WHERE id = ?")
            .bind(self.seal_optional(id, Column::SrtPassphrase, fields.srt_passphrase.as_ref())?)
            .bind(self.seal_optional(id, Column::Uri, fields.uri.as_ref())?)
            .bind(key(id))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Adds a stream with a fresh token.
    pub async fn create(&self, fields: &StreamFields) -> Result<Stream, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if fields.active {
            self.check_max_active(&mut transaction).await?;
        }
        let insert = sqlx::query(
            "INSERT INTO streams (name, active, pull, auto_record, record_type, dvr_enabled, dvr_duration, hls_mpegts_endlist_tag, \
             quality_set_id, client_user_id, client_entity_data, cdn_id, html_overlay, broadcast_ids, projection, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let made = bind_fields!(insert, fields).bind(now_ms()).execute(&mut *transaction).await?;
        // What is sealed is bound to its stream's id, which is known only now.
        let id = StreamId(made.last_insert_rowid() as u64);
        self.write_sealed(&mut transaction, id, fields).await?;
        let row = self.write_fresh_token(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        self.open_row(row)
    }

    /// A stream by its id.
    pub async fn stream(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT * FROM streams WHERE id = ?").bind(key(id)).fetch_optional(&self.pool).await?;
        row.map(|row| self.open_row(row)).transpose()
    }

    /// Up to `limit` streams in order of their ids, after `skip` others.
    pub async fn page(&self, skip: u64, limit: u32) -> Result<Vec<Stream>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM streams ORDER BY id LIMIT ? OFFSET ?")
            .bind(limit)
            .bind(i64::try_from(skip).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        self.open_rows(rows)
    }

    /// Up to `limit` streams in order of their ids, whose ids are larger than `after`.
    pub async fn after(&self, after: StreamId, limit: u32) -> Result<Vec<Stream>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM streams WHERE id > ? ORDER BY id LIMIT ?")
            .bind(key(after))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        self.open_rows(rows)
    }

    /// All streams, in order of their ids.
    pub async fn streams(&self) -> Result<Vec<Stream>, StoreError> {
        self.page(0, u32::MAX).await
    }

    /// Whether one more stream may be switched on. Asked in the transaction that does it, which holds the write lock.
    async fn check_max_active(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let count: u32 =
            sqlx::query_scalar("SELECT COUNT(*) FROM streams WHERE active = 1").fetch_one(connection).await?;
        if self.max_active != 0 && count >= self.max_active {
            return Err(StoreError::MaxActive(self.max_active));
        }
        Ok(())
    }

    /// Changes a stream by `edit`, which sees the present fields. `None` when there is none; `edit`'s refusal changes nothing.
    pub async fn edit<E>(
        &self,
        id: StreamId,
        edit: impl FnOnce(&mut StreamFields) -> Result<(), E>,
    ) -> Result<Option<Result<Stream, E>>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row: Option<Row> = sqlx::query_as("SELECT * FROM streams WHERE id = ?")
            .bind(key(id))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut stream = self.open_row(row)?;
        let was_active = stream.fields.active;
        if let Err(refusal) = edit(&mut stream.fields) {
            return Ok(Some(Err(refusal)));
        }
        if stream.fields.active && !was_active {
            self.check_max_active(&mut transaction).await?;
        }
        let update = sqlx::query(
            "UPDATE streams SET name = ?, active = ?, pull = ?, auto_record = ?, record_type = ?, dvr_enabled = ?, dvr_duration = ?, \
             hls_mpegts_endlist_tag = ?, quality_set_id = ?, client_user_id = ?, client_entity_data = ?, cdn_id = ?, \
             html_overlay = ?, broadcast_ids = ?, projection = ? WHERE id = ?",
        );
        bind_fields!(update, stream.fields).bind(key(id)).execute(&mut *transaction).await?;
        self.write_sealed(&mut transaction, id, &stream.fields).await?;
        transaction.commit().await?;
        Ok(Some(Ok(stream)))
    }

    /// Gives a stream a fresh token; the old one is gone. `None` when there is no such stream.
    pub async fn reset_token(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        let row = self.write_fresh_token(&mut *self.pool.acquire().await?, id).await?;
        row.map(|row| self.open_row(row)).transpose()
    }

    /// Deletes a stream; false when there was none.
    pub async fn delete(&self, id: StreamId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM streams WHERE id = ?").bind(key(id)).execute(&self.pool).await?;
        Ok(done.rows_affected() == 1)
    }
}

/// When an input began or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Started(Slot),
    Finished(Slot),
}

/// Notes it in a stream's row. The API has no end of the backup input.
pub(super) async fn mark(
    connection: &mut SqliteConnection,
    id: StreamId,
    mark: Mark,
    at: SystemTime,
) -> Result<(), sqlx::Error> {
    let sql = match mark {
        Mark::Started(Slot::Primary) => "UPDATE streams SET started_at_primary = ? WHERE id = ?",
        Mark::Started(Slot::Backup) => "UPDATE streams SET started_at_backup = ? WHERE id = ?",
        Mark::Finished(Slot::Primary) => "UPDATE streams SET finished_at_primary = ? WHERE id = ?",
        Mark::Finished(Slot::Backup) => return Ok(()),
    };
    sqlx::query(sql).bind(ms(at)).bind(key(id)).execute(connection).await?;
    Ok(())
}

/// An id as SQLite keeps it; ids beyond its range are no stream's.
pub(super) fn key(id: StreamId) -> i64 {
    i64::try_from(id.0).unwrap_or(-1)
}

/// Milliseconds since 1970; times before that count as 1970.
pub(super) fn ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

pub(crate) fn now_ms() -> i64 {
    ms(clock::wall())
}

pub(super) fn time(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64)
}

pub(super) fn fresh_token() -> Result<Token, StoreError> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(Token::new(hex(&bytes)))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
