//! How a stream fails over, where it does not follow the server's own setting.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_media::failover::{FailoverSpec, Mode, Standby};
use weir_media::id::StreamId;

use super::stream::{Row, key};
use super::{Store, StoreError, Stream};

/// A stream's own choices; `None` follows the server. A JSON object in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailoverSettings {
    /// What viewers see while the input on air has no content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the input that is not shown is decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,
    /// How far a hitless output runs behind, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
    /// By how much the primary's sound is played later, milliseconds; negative: earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim_primary_ms: Option<i32>,
    /// The same of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim_backup_ms: Option<i32>,
}

impl FailoverSettings {
    /// What is kept of a stream. What cannot be read costs that stream its choices, and no other stream anything: without all streams the
    /// server cannot start.
    pub(super) fn read(id: StreamId, json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_else(|error| {
            tracing::error!(stream = %id, %error, "the stream's failover settings cannot be read; it has the server's");
            Self::default()
        })
    }

    /// What a broadcast gets that begins now.
    pub fn over(&self, server: FailoverSpec) -> FailoverSpec {
        FailoverSpec {
            mode: self.mode.unwrap_or(server.mode),
            standby: self.standby.unwrap_or(server.standby),
            delay: self.delay_ms.map_or(server.delay, |ms| Duration::from_millis(ms.into())),
            trim_ms: [
                self.trim_primary_ms.unwrap_or(server.trim_ms[0]),
                self.trim_backup_ms.unwrap_or(server.trim_ms[1]),
            ],
        }
    }
}

impl Store {
    /// Changes how a stream fails over by `edit`, which sees the present choices. `None` when there is no such stream; `edit`'s refusal
    /// changes nothing.
    pub async fn edit_failover<E>(
        &self,
        id: StreamId,
        edit: impl FnOnce(&mut FailoverSettings) -> Result<(), E>,
    ) -> Result<Option<Result<Stream, E>>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row: Option<Row> = sqlx::query_as("SELECT * FROM streams WHERE id = ?")
            .bind(key(id))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut stream = self.open_row(row)?;
        if let Err(refusal) = edit(&mut stream.failover) {
            return Ok(Some(Err(refusal)));
        }
        sqlx::query("UPDATE streams SET failover = ? WHERE id = ?")
            .bind(serde_json::json!(stream.failover).to_string())
            .bind(key(id))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(Ok(stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_does_not_choose_is_the_servers() {
        let server = FailoverSpec { mode: Mode::Hitless, delay: Duration::from_secs(2), ..FailoverSpec::default() };
        assert_eq!(FailoverSettings::default().over(server), server);
        let own =
            FailoverSettings { mode: Some(Mode::Freeze), trim_backup_ms: Some(-40), ..FailoverSettings::default() };
        let spec = FailoverSpec { mode: Mode::Freeze, trim_ms: [0, -40], ..server };
        assert_eq!(own.over(server), spec);
        let all = FailoverSettings {
            mode: None,
            standby: Some(Standby::Warm),
            delay_ms: Some(500),
            trim_primary_ms: Some(7),
            trim_backup_ms: None,
        };
        let spec =
            FailoverSpec { standby: Standby::Warm, delay: Duration::from_millis(500), trim_ms: [7, 0], ..server };
        assert_eq!(all.over(server), spec);
    }
}
