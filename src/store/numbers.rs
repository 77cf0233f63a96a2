//! Numbers of a stream's output that must never go back, not even after a crash.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_media::id::StreamId;
use weir_media::package::Numbers;

use super::stream::key;
use super::{RETRY, Store, StoreError, Tries};
use crate::shelf::{NumberStore, Reservation};

/// Reservations that wait for the disk. A stream has one at a time, one more per broadcast, and asks again for one that was dropped.
const CAPACITY: usize = 1024;

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

/// The shelf's way to the store: one task writes, and tries on while the disk is full, so that no pipeline waits for the disk.
#[derive(Debug)]
pub struct NumberKeeper {
    queue: mpsc::Sender<(StreamId, Numbers, Reservation)>,
}

impl NumberKeeper {
    /// Starts the writer on the current runtime. It ends when the keeper is gone and all is written.
    pub fn open(store: Store) -> (Self, JoinHandle<()>) {
        let (queue, mut orders) = mpsc::channel::<(StreamId, Numbers, Reservation)>(CAPACITY);
        let writer = tokio::spawn(async move {
            while let Some((stream, numbers, reservation)) = orders.recv().await {
                let mut tries = Tries::default();
                while let Err(error) = store.save_numbers(stream, numbers).await {
                    store.write_failed();
                    if tries.worth_a_line() {
                        tracing::error!(%stream, %error, "cannot reserve sequence numbers, trying on");
                    }
                    if orders.is_closed() {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
                reservation.confirm();
            }
        });
        (Self { queue }, writer)
    }
}

impl NumberStore for NumberKeeper {
    fn reserve(&self, stream: StreamId, numbers: Numbers, reservation: Reservation) {
        // A reservation that finds no room is dropped, which tells the shelf to ask again.
        if self.queue.try_send((stream, numbers, reservation)).is_err() {
            tracing::warn!(%stream, "no room to reserve sequence numbers");
        }
    }
}
