//! The way of a database to its newest schema, and of the secrets in it out of plain text.
//!
//! Schemas up to version 2 hold push tokens, SRT passphrases and pull URIs as plain text. They are sealed between versions 3, which has
//! the columns for it, and 4, which drops the old ones, and then the file is written anew, so that nothing of them is left in it, be it in
//! pages that are free. Cut off at any point, the next start goes on there.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, SqliteConnection};
use weir_actors::token::Token;
use weir_media::id::StreamId;

use super::StoreError;
use super::stream::fresh_token;
use super::vault::{Column, Vault};
use crate::config::Secret;

/// The schema that has columns for sealed secrets beside the plain ones.
const BOTH: i64 = 3;
/// Setting: the id of the key.
const KEY_ID: &str = "token_key";

/// Brings the database to the newest schema and gives its vault.
pub(super) async fn migrate(pool: &SqlitePool, dir: &Path, key: Option<&Secret>) -> Result<Vault, StoreError> {
    let mut connection = pool.acquire().await?;
    prepare(&mut connection).await?;
    let noted = noted(&mut connection).await?;
    let vault = Vault::open(dir, key, noted.as_deref())?;
    // Otherwise the start writes nothing, so that it works on a full disk.
    if noted.is_none() {
        note(&mut connection, &vault).await?;
    }
    finish(&mut connection, &vault).await?;
    Ok(vault)
}

/// Seals everything by a new key: each stream gets a new token, and has no passphrase and no URI any more; webhooks are gone. Tells how many
/// streams.
pub(super) async fn reset(pool: &SqlitePool, dir: &Path, key: Option<&Secret>) -> Result<u64, StoreError> {
    let mut connection = pool.acquire().await?;
    prepare(&mut connection).await?;
    let vault = Vault::renew(dir, key)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM streams").fetch_all(&mut *transaction).await?;
    for &id in &ids {
        let stream = StreamId(id as u64);
        let token = fresh_token()?;
        sqlx::query(
            "UPDATE streams SET token_digest = ?, sealed_token = ?, sealed_srt_passphrase = NULL, sealed_uri = NULL WHERE id = ?",
        )
        .bind(vault.digests().digest(stream, &token).as_bytes().to_vec())
        .bind(vault.seal(stream, Column::Token, token.expose())?)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    }
    if has_plain_columns(&mut transaction).await? {
        sqlx::query("UPDATE streams SET token = '', srt_passphrase = NULL, uri = NULL")
            .execute(&mut *transaction)
            .await?;
    }
    if has_webhooks(&mut transaction).await? {
        sqlx::query("DELETE FROM webhooks").execute(&mut *transaction).await?;
    }
    note(&mut transaction, &vault).await?;
    transaction.commit().await?;
    finish(&mut connection, &vault).await?;
    Ok(ids.len() as u64)
}

/// All migrations that have to come before the sealing.
async fn prepare(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let before = sqlx::migrate!().iter().filter(|migration| migration.version <= BOTH).cloned().collect();
    let mut before = Migrator::with_migrations(before);
    before.set_ignore_missing(true);
    before.run(&mut *connection).await?;
    Ok(())
}

/// Seals what is plain, and then all other migrations.
async fn finish(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StoreError> {
    let plain = has_plain_columns(connection).await?;
    if plain {
        seal_all(connection, vault).await?;
        rewrite(connection).await?;
    }
    sqlx::migrate!().run(&mut *connection).await?;
    if plain {
        rewrite(connection).await?;
    }
    Ok(())
}

async fn has_plain_columns(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pragma_table_info('streams') WHERE name = 'token'")
        .fetch_one(connection)
        .await?;
    Ok(count > 0)
}

async fn has_webhooks(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'webhooks'")
            .fetch_one(connection)
            .await?;
    Ok(count > 0)
}

async fn seal_all(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StoreError> {
    type Plain = (i64, String, Option<String>, Option<String>);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let rows: Vec<Plain> =
        sqlx::query_as("SELECT id, token, srt_passphrase, uri FROM streams WHERE sealed_token IS NULL")
            .fetch_all(&mut *transaction)
            .await?;
    for (id, token, passphrase, uri) in rows {
        let (stream, token) = (StreamId(id as u64), Token::new(token));
        let seal = |column, text: Option<String>| text.map(|text| vault.seal(stream, column, &text)).transpose();
        sqlx::query(
            "UPDATE streams SET token_digest = ?, sealed_token = ?, sealed_srt_passphrase = ?, sealed_uri = ?, token = '', \
             srt_passphrase = NULL, uri = NULL WHERE id = ?",
        )
        .bind(vault.digests().digest(stream, &token).as_bytes().to_vec())
        .bind(vault.seal(stream, Column::Token, token.expose())?)
        .bind(seal(Column::SrtPassphrase, passphrase)?)
        .bind(seal(Column::Uri, uri)?)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Writes the file anew, and empties the log of it.
async fn rewrite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("VACUUM").execute(&mut *connection).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
    Ok(())
}

/// The id of the key that the database is sealed by.
async fn noted(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let id = sqlx::query_scalar("SELECT value FROM settings WHERE key = ?").bind(KEY_ID);
    Ok(id.fetch_optional(connection).await?)
}

async fn note(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(KEY_ID)
        .bind(vault.id())
        .execute(connection)
        .await?;
    Ok(())
}
