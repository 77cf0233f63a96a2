//! Numbers of a stream's output that must never go back, not even after a crash.

use weir_media::id::StreamId;

use super::stream::key;
use super::{Store, StoreError};

/// Where a stream's next playlist goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// First media sequence number that no playlist has shown.
    pub next_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` behind everything that was shown.
    pub discontinuity_sequence: u64,
}

impl Store {
    /// A stream's numbers; zero for an unknown stream.
    pub async fn numbers(&self, stream: StreamId) -> Result<Numbers, StoreError> {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT next_sequence, discontinuity_sequence FROM streams WHERE id = ?")
                .bind(key(stream))
                .fetch_optional(&self.pool)
                .await?;
        let (next_sequence, discontinuity_sequence) = row.unwrap_or_default();
        Ok(Numbers { next_sequence: next_sequence as u64, discontinuity_sequence: discontinuity_sequence as u64 })
    }

    /// Keeps numbers before a playlist shows them. Smaller ones than those kept change nothing.
    pub async fn save_numbers(&self, stream: StreamId, numbers: Numbers) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE streams SET next_sequence = MAX(next_sequence, ?), discontinuity_sequence = MAX(discontinuity_sequence, ?) \
             WHERE id = ?",
        )
        .bind(i64::try_from(numbers.next_sequence).unwrap_or(i64::MAX))
        .bind(i64::try_from(numbers.discontinuity_sequence).unwrap_or(i64::MAX))
        .bind(key(stream))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
