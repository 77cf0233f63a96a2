//! Webhooks in the store: who is told what happens to streams. Addresses, which may hold credentials, and secrets are sealed.

use std::fmt;
use std::time::SystemTime;

use sqlx::{FromRow, SqliteConnection};

use super::stream::{ms, now_ms, time};
use super::vault::WebhookColumn;
use super::{Store, StoreError};
use crate::config::Secret;

/// Webhooks that may be kept.
pub const MOST: usize = 64;

/// A receiver of messages, as it is kept.
#[derive(Clone)]
pub struct Webhook {
    /// Its id.
    pub id: i64,
    /// Where to. May hold secrets.
    pub url: Secret,
    /// What messages are signed with.
    pub secret: Secret,
    /// What they are signed with too, until then.
    pub old_secret: Option<(Secret, SystemTime)>,
    /// It comes from the configuration.
    pub configured: bool,
    /// It is delivered to.
    pub enabled: bool,
    /// Why it is not, where nobody asked for that.
    pub disabled_reason: Option<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// A message's age counts from here where it is older, milliseconds since 1970.
    pub since: i64,
    /// All messages up to this id are done with.
    pub settled: i64,
    /// Messages that were given up.
    pub given_up: i64,
    /// Messages that were deleted before they were delivered.
    pub purged: i64,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// What is changed of a webhook; `None` leaves it.
#[derive(Default)]
pub struct WebhookEdit {
    /// Where to.
    pub url: Option<Secret>,
    /// Whether it is delivered to. Switched on again it goes on where it stood, with what is still kept.
    pub enabled: Option<bool>,
    /// Why it is switched off, where nobody asked for that.
    pub disabled_reason: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    sealed_url: Vec<u8>,
    sealed_secret: Vec<u8>,
    sealed_old_secret: Option<Vec<u8>>,
    old_secret_until: Option<i64>,
    configured: bool,
    enabled: bool,
    disabled_reason: Option<String>,
    created_at: i64,
    since: i64,
    settled: i64,
    given_up: i64,
    purged: i64,
}

impl Store {
    fn open_webhook_row(&self, row: Row) -> Result<Webhook, StoreError> {
        let open =
            |column, sealed: &[u8]| Ok::<_, StoreError>(Secret::new(self.vault.open_webhook(row.id, column, sealed)?));
        let old_secret = match (&row.sealed_old_secret, row.old_secret_until) {
            (Some(sealed), Some(until)) => Some((open(WebhookColumn::OldSecret, sealed)?, time(until))),
            _ => None,
        };
        Ok(Webhook {
            id: row.id,
            url: open(WebhookColumn::Url, &row.sealed_url)?,
            secret: open(WebhookColumn::Secret, &row.sealed_secret)?,
            old_secret,
            configured: row.configured,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            created_at: time(row.created_at),
            since: row.since,
            settled: row.settled,
            given_up: row.given_up,
            purged: row.purged,
        })
    }

    /// All webhooks, in order of their ids.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.webhooks_on(&mut *self.pool.acquire().await?).await
    }

    async fn webhooks_on(&self, connection: &mut SqliteConnection) -> Result<Vec<Webhook>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM webhooks ORDER BY id").fetch_all(connection).await?;
        rows.into_iter().map(|row| self.open_webhook_row(row)).collect()
    }

    /// A webhook by its id.
    pub async fn webhook(&self, id: i64) -> Result<Option<Webhook>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT * FROM webhooks WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| self.open_webhook_row(row)).transpose()
    }

    /// Adds a webhook, which is told what happens from now on. `None` when there are [`MOST`] already.
    pub async fn add_webhook(&self, url: &Secret, secret: &Secret, enabled: bool) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhooks").fetch_one(&mut *transaction).await?;
        if count >= MOST as i64 {
            return Ok(None);
        }
        let id = self.insert_webhook(&mut transaction, url, secret, false, enabled).await?;
        transaction.commit().await?;
        Ok(Some(id))
    }

    async fn insert_webhook(
        &self,
        connection: &mut SqliteConnection,
        url: &Secret,
        secret: &Secret,
        configured: bool,
        enabled: bool,
    ) -> Result<i64, StoreError> {
        let insert = "INSERT INTO webhooks (configured, enabled, created_at, since, settled) \
                      VALUES (?1, ?2, ?3, ?3, (SELECT COALESCE(MAX(id), 0) FROM messages))";
        let insert = sqlx::query(insert).bind(configured).bind(enabled).bind(now_ms());
        // What is sealed is bound to its webhook's id, which is known only now.
        let id = insert.execute(&mut *connection).await?.last_insert_rowid();
        self.write_url(connection, id, url).await?;
        sqlx::query("UPDATE webhooks SET sealed_secret = ? WHERE id = ?")
            .bind(self.vault.seal_webhook(id, WebhookColumn::Secret, secret.expose())?)
            .bind(id)
            .execute(connection)
            .await?;
        Ok(id)
    }

    async fn write_url(&self, connection: &mut SqliteConnection, id: i64, url: &Secret) -> Result<(), StoreError> {
        sqlx::query("UPDATE webhooks SET sealed_url = ? WHERE id = ?")
            .bind(self.vault.seal_webhook(id, WebhookColumn::Url, url.expose())?)
            .bind(id)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Changes a webhook.
    pub async fn edit_webhook(&self, id: i64, edit: &WebhookEdit) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(url) = &edit.url {
            self.write_url(&mut transaction, id, url).await?;
        }
        if let Some(enabled) = edit.enabled {
            sqlx::query(
                "UPDATE webhooks SET since = CASE WHEN ?1 AND NOT enabled THEN ?2 ELSE since END, enabled = ?1, disabled_reason = ?3 \
                 WHERE id = ?4",
            )
            .bind(enabled)
            .bind(now_ms())
            .bind(edit.disabled_reason.as_ref().filter(|_| !enabled))
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Signs by another secret; the present one signs too until `until`.
    pub async fn rotate_webhook(&self, id: i64, secret: &Secret, until: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        self.rotate_on(&mut transaction, id, secret, until).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn rotate_on(
        &self,
        connection: &mut SqliteConnection,
        id: i64,
        secret: &Secret,
        until: SystemTime,
    ) -> Result<(), StoreError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT * FROM webhooks WHERE id = ?").bind(id).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { return Ok(()) };
        let old = self.open_webhook_row(row)?.secret;
        sqlx::query("UPDATE webhooks SET sealed_secret = ?, sealed_old_secret = ?, old_secret_until = ? WHERE id = ?")
            .bind(self.vault.seal_webhook(id, WebhookColumn::Secret, secret.expose())?)
            .bind(self.vault.seal_webhook(id, WebhookColumn::OldSecret, old.expose())?)
            .bind(ms(until))
            .bind(id)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Deletes a webhook with its log; false when there was none.
    pub async fn delete_webhook(&self, id: i64) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM webhooks WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Has a webhook deliver all messages behind the one with id `after` again. Tells how many there are.
    pub async fn replay_webhook(&self, id: i64, after: i64) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE webhooks SET settled = ?, since = ? WHERE id = ?")
            .bind(after)
            .bind(now_ms())
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM lanes WHERE webhook = ?").bind(id).execute(&mut *transaction).await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM messages WHERE id > ?")
            .bind(after)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(count as u64)
    }

    /// Keeps the configured webhooks, told by their addresses, and no others that were configured before. Another secret than before is taken
    /// over, and the one before signs too until `until`.
    pub async fn sync_webhooks(&self, configured: &[(Secret, Secret)], until: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut kept = self.webhooks_on(&mut transaction).await?;
        kept.retain(|webhook| webhook.configured);
        for (url, secret) in configured {
            match kept.iter().position(|webhook| webhook.url == *url) {
                Some(at) => {
                    let webhook = kept.swap_remove(at);
                    if webhook.secret != *secret {
                        self.rotate_on(&mut transaction, webhook.id, secret, until).await?;
                    }
                }
                None => drop(self.insert_webhook(&mut transaction, url, secret, true, true).await?),
            }
        }
        for webhook in kept {
            sqlx::query("DELETE FROM webhooks WHERE id = ?").bind(webhook.id).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
