//! What webhooks deliver, how far each has come, and the log of its tries.
//!
//! A webhook is done with all messages up to its `settled`, and of some streams, which its `lanes` name, with more. Both are written when a
//! message is delivered or given up; a server that was killed goes on from there, and at worst sends again what it had no time to note.

use sqlx::SqliteConnection;
use weir_media::id::StreamId;

use super::stream::key;
use super::{Store, StoreError};

/// Tries in the log of one webhook.
const LOGGED: i64 = 1_000;

/// A message to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Message {
    /// Its place in the order of all events.
    pub id: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// What is sent.
    pub body: String,
}

/// One try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Try {
    /// Its place in the log.
    pub id: i64,
    /// The message.
    pub message: i64,
    /// Its stream.
    pub stream: i64,
    /// Which try of it, from 1.
    pub attempt: u32,
    /// When it began, milliseconds since 1970.
    pub at: i64,
    /// How long it took.
    pub took_ms: i64,
    /// The status that was answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The begin of what was answered.
    pub answer: Option<String>,
}

/// A message that is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// All of the webhook's messages up to this id are done with.
    pub up_to: i64,
    /// Nobody has the message.
    pub given_up: bool,
}

impl Store {
    /// Id of the oldest and of the newest message; zeros when there is none.
    pub async fn message_range(&self) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) FROM messages";
        Ok(sqlx::query_as(sql).fetch_one(&self.pool).await?)
    }

    /// Up to `limit` messages behind the one with id `after`, oldest first: their ids and streams.
    pub async fn messages_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, StreamId)>, StoreError> {
        let found: Vec<(i64, i64)> = sqlx::query_as("SELECT id, stream FROM messages WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(found.into_iter().map(|(id, stream)| (id, StreamId(stream as u64))).collect())
    }

    /// A stream's first message behind the one with id `after`.
    pub async fn next_message(&self, stream: StreamId, after: i64) -> Result<Option<Message>, StoreError> {
        let sql = "SELECT id, at, body FROM messages WHERE stream = ? AND id > ? ORDER BY id LIMIT 1";
        Ok(sqlx::query_as(sql).bind(key(stream)).bind(after).fetch_optional(&self.pool).await?)
    }

    /// Streams that are further than their webhook, with how far.
    pub async fn lanes(&self, webhook: i64) -> Result<Vec<(StreamId, i64)>, StoreError> {
        let lanes: Vec<(i64, i64)> = sqlx::query_as("SELECT stream, settled FROM lanes WHERE webhook = ?")
            .bind(webhook)
            .fetch_all(&self.pool)
            .await?;
        Ok(lanes.into_iter().map(|(stream, settled)| (StreamId(stream as u64), settled)).collect())
    }

    /// Logs a try, and notes what is done with by it.
    pub async fn note_try(&self, webhook: i64, tried: &Try, settled: Option<Settled>) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        log_try(&mut transaction, webhook, tried).await?;
        if let Some(Settled { up_to, given_up }) = settled {
            sqlx::query("INSERT INTO lanes VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET settled = MAX(settled, ?3)")
                .bind(webhook)
                .bind(tried.stream)
                .bind(tried.message)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE webhooks SET settled = MAX(settled, ?), given_up = given_up + ? WHERE id = ?")
                .bind(up_to)
                .bind(given_up)
                .bind(webhook)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM lanes WHERE webhook = ? AND settled <= ?")
                .bind(webhook)
                .bind(up_to)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A webhook's tries, newest first: up to `limit` of those before the one with id `before`.
    pub async fn tries(&self, webhook: i64, before: Option<i64>, limit: u32) -> Result<Vec<Try>, StoreError> {
        let sql = "SELECT id, message, stream, attempt, at, took_ms, status, error, answer FROM deliveries \
                   WHERE webhook = ? AND id < ? ORDER BY id DESC LIMIT ?";
        let before = before.unwrap_or(i64::MAX);
        Ok(sqlx::query_as(sql).bind(webhook).bind(before).bind(limit).fetch_all(&self.pool).await?)
    }

    /// Deletes events and messages up to an id. Messages that a webhook had yet to deliver are counted with it, and told.
    pub(super) async fn purge(&self, connection: &mut SqliteConnection, up_to: i64) -> Result<(), StoreError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT MIN(id) FROM messages").fetch_one(&mut *connection).await?;
        if oldest.is_some_and(|oldest| oldest <= up_to) {
            count_purged(connection, up_to).await?;
            sqlx::query("DELETE FROM messages WHERE id <= ?").bind(up_to).execute(&mut *connection).await?;
        }
        sqlx::query("DELETE FROM events WHERE id <= ?").bind(up_to).execute(connection).await?;
        Ok(())
    }
}

async fn log_try(connection: &mut SqliteConnection, webhook: i64, tried: &Try) -> Result<(), sqlx::Error> {
    // A webhook may have been deleted while it was tried.
    sqlx::query(
        "INSERT INTO deliveries (webhook, message, stream, attempt, at, took_ms, status, error, answer) \
         SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM webhooks WHERE id = ?",
    )
    .bind(tried.message)
    .bind(tried.stream)
    .bind(tried.attempt)
    .bind(tried.at)
    .bind(tried.took_ms)
    .bind(tried.status)
    .bind(&tried.error)
    .bind(&tried.answer)
    .bind(webhook)
    .execute(&mut *connection)
    .await?;
    let old = "DELETE FROM deliveries WHERE webhook = ?1 AND id <= \
               (SELECT id FROM deliveries WHERE webhook = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    sqlx::query(old).bind(webhook).bind(LOGGED).execute(connection).await?;
    Ok(())
}

async fn count_purged(connection: &mut SqliteConnection, up_to: i64) -> Result<(), sqlx::Error> {
    let lost: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT webhooks.id, COUNT(*) FROM webhooks JOIN messages ON messages.id > webhooks.settled AND messages.id <= ? \
         LEFT JOIN lanes ON lanes.webhook = webhooks.id AND lanes.stream = messages.stream \
         WHERE webhooks.enabled AND messages.id > COALESCE(lanes.settled, 0) GROUP BY webhooks.id",
    )
    .bind(up_to)
    .fetch_all(&mut *connection)
    .await?;
    for (webhook, count) in lost {
        tracing::error!(webhook, count, "messages deleted before they were delivered: there are too many");
        sqlx::query("UPDATE webhooks SET purged = purged + ? WHERE id = ?")
            .bind(count)
            .bind(webhook)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
