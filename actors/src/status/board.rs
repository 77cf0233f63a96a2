//! The board: the status of all streams, and which of them has changed since somebody last looked.
//!
//! Every change of the board has a number. Who follows it keeps the number that it has seen and asks for what is newer, so a slow
//! follower misses states in between, never the latest one, and costs nobody anything.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use tokio::sync::watch;
use weir_media::id::StreamId;

use super::StreamStatus;

/// Status of all streams; cloning shares it. Written by supervisors, read by the API.
#[derive(Clone, Default)]
pub struct StatusBoard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    streams: RwLock<HashMap<StreamId, Noted>>,
    /// Number of the latest change; raised under the lock, so that numbers are in order.
    latest: watch::Sender<u64>,
}

struct Noted {
    status: StreamStatus,
    /// Number of its latest change.
    change: u64,
}

impl StatusBoard {
    /// A stream's status; all quiet when the tree has none.
    pub fn get(&self, stream: StreamId) -> StreamStatus {
        self.read().get(&stream).map(|noted| noted.status.clone()).unwrap_or_default()
    }

    /// Replaces a stream's status. The encoder's speed alone is no change: it wavers with every report.
    pub fn set(&self, stream: StreamId, status: StreamStatus) {
        let mut streams = self.0.streams.write().unwrap_or_else(PoisonError::into_inner);
        let last = streams.get(&stream);
        let same = last.is_some_and(|last| {
            last.status == StreamStatus { transcoding_speed: last.status.transcoding_speed, ..status.clone() }
        });
        let change = match last {
            Some(last) if same => last.change,
            _ => self.count(),
        };
        streams.insert(stream, Noted { status, change });
    }

    /// Shows a stream whose supervisor ended at `now`, one way or another: nothing of it is left but its history.
    pub(crate) fn died(&self, stream: StreamId, now: SystemTime) {
        let last = self.get(stream);
        let status = StreamStatus {
            started_at_primary: last.started_at_primary,
            started_at_backup: last.started_at_backup,
            finished_at_primary: if last.live { Some(now) } else { last.finished_at_primary },
            ..StreamStatus::default()
        };
        self.set(stream, status);
    }

    /// Forgets a stream.
    pub fn remove(&self, stream: StreamId) {
        self.0.streams.write().unwrap_or_else(PoisonError::into_inner).remove(&stream);
    }

    /// Streams that changed after the change of that number, each with the number of its latest one, in their order, at most `limit`. 0 asks
    /// for all.
    pub fn since(&self, seen: u64, limit: usize) -> Vec<(u64, StreamId, StreamStatus)> {
        let streams = self.read();
        let mut newer: Vec<_> = streams.iter().filter(|(_, noted)| noted.change > seen).collect();
        newer.sort_unstable_by_key(|(_, noted)| noted.change);
        newer.truncate(limit);
        newer.into_iter().map(|(id, noted)| (noted.change, *id, noted.status.clone())).collect()
    }

    /// Wakes with every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.latest.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<StreamId, Noted>> {
        self.0.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a change that is being made.
    fn count(&self) -> u64 {
        self.0.latest.send_modify(|latest| *latest += 1);
        *self.0.latest.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(board: &StatusBoard, seen: u64) -> Vec<(u64, u64)> {
        board.since(seen, 9).iter().map(|(change, id, _)| (*change, id.0)).collect()
    }

    #[test]
    fn who_asks_gets_what_changed_since_and_speed_alone_is_no_change() {
        let board = StatusBoard::default();
        let live = StreamStatus { live: true, ..StreamStatus::default() };
        board.set(StreamId(1), live.clone());
        board.set(StreamId(2), StreamStatus::default());
        assert_eq!(since(&board, 0), [(1, 1), (2, 2)]);
        assert_eq!(board.since(0, 1).len(), 1, "the oldest change first");
        board.set(StreamId(1), StreamStatus { transcoding_speed: Some(1.5), ..live.clone() });
        board.set(StreamId(2), StreamStatus::default());
        assert_eq!(since(&board, 2), []);
        assert_eq!(board.get(StreamId(1)).transcoding_speed, Some(1.5), "but it is shown");
        board.set(StreamId(1), StreamStatus::default());
        board.set(StreamId(2), live);
        assert_eq!(since(&board, 2), [(3, 1), (4, 2)]);
        assert_eq!(since(&board, 3), [(4, 2)]);
        board.remove(StreamId(2));
        assert_eq!(since(&board, 0), [(3, 1)]);
    }

    #[tokio::test]
    async fn who_waits_wakes_with_a_change() {
        let board = StatusBoard::default();
        let mut changes = board.changes();
        board.set(StreamId(1), StreamStatus::default());
        changes.changed().await.unwrap();
        board.set(StreamId(1), StreamStatus::default());
        assert!(!changes.has_changed().unwrap(), "the same again");
    }
}
