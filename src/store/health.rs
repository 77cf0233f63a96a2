//! Stream health in the store: samples of ten seconds, written by one task behind a bounded queue, and read in sums.
//!
//! The tree never waits for the disk: when the queue is full a sample is dropped, counted and logged. A hole in a graph is worth less than
//! the disk, so nothing is tried twice. Kept are samples of `statistics.keep`, and at most [`MOST`] of all streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_actors::health::{HealthSample, HealthSink};
use weir_media::id::StreamId;

use super::stream::{key, ms};
use super::{Store, StoreError, Tries};

/// Samples that wait for the disk.
const CAPACITY: usize = 1024;
/// Samples in one transaction.
const BATCH: usize = 256;
/// How long samples are collected before they are written: they come in bunches, as all begin with the same second.
const COLLECT: Duration = Duration::from_secs(1);
/// Samples kept of all streams: a month of ten streams that are always on, some 250 MB.
pub const MOST: i64 = 2_600_000;

/// The tree's end of the queue.
#[derive(Debug)]
pub struct Health {
    queue: mpsc::Sender<HealthSample>,
    dropped: AtomicU64,
}

impl Health {
    /// Starts the writer on the current runtime. It ends when the last reference is gone and all is written.
    pub fn open(store: Store, keep: Duration) -> (Arc<Self>, JoinHandle<()>) {
        let (queue, samples) = mpsc::channel(CAPACITY);
        let writer = tokio::spawn(write(store, samples, keep));
        (Arc::new(Self { queue, dropped: AtomicU64::new(0) }), writer)
    }

    /// Samples lost because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl HealthSink for Health {
    fn record(&self, sample: HealthSample) {
        if let Err(error) = self.queue.try_send(sample) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, %error, "health sample lost");
            }
        }
    }
}

async fn write(store: Store, mut samples: mpsc::Receiver<HealthSample>, keep: Duration) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut tries = Tries::default();
    while samples.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = store.append_health(&batch, keep).await
            && tries.worth_a_line()
        {
            tracing::error!(%error, lost = batch.len(), "cannot write health samples");
        }
        batch.clear();
        if !samples.is_closed() {
            tokio::time::sleep(COLLECT).await;
        }
    }
}

/// What a stream received within one interval.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct HealthRow {
    /// Begin of the interval, seconds since 1970.
    pub at_s: i64,
    /// Bytes of pictures and sound.
    pub bytes: i64,
    /// Time in which they came, milliseconds.
    pub covered_ms: i64,
    /// Pictures.
    pub frames: i64,
    /// Highest picture, pixels.
    pub height: i64,
    /// Most pictures a second, thousandths.
    pub fps_milli: i64,
    /// Longest distance of keyframes, pictures.
    pub gop_frames: i64,
}

impl Store {
    /// Appends samples, all or none, and forgets what is too old or too much.
    pub async fn append_health(&self, samples: &[HealthSample], keep: Duration) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut last = 0;
        for sample in samples {
            last = sqlx::query(
                "INSERT INTO health (stream, at, covered_ms, bytes, frames, height, fps_milli, gop_frames) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(key(sample.stream))
            .bind(ms(sample.at))
            .bind(i64::try_from(sample.covered.as_millis()).unwrap_or(i64::MAX))
            .bind(i64::try_from(sample.bytes).unwrap_or(i64::MAX))
            .bind(i64::try_from(sample.frames).unwrap_or(i64::MAX))
            .bind(i64::from(sample.height))
            .bind((sample.frame_rate * 1000.0) as i64)
            .bind(i64::from(sample.gop_frames))
            .execute(&mut *transaction)
            .await?
            .last_insert_rowid();
        }
        let newest = samples.iter().map(|sample| sample.at).max().unwrap_or(SystemTime::UNIX_EPOCH);
        let oldest = newest.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
        sqlx::query("DELETE FROM health WHERE at < ?").bind(ms(oldest)).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM health WHERE id <= ?").bind(last - MOST).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What a stream received from one moment until before another, in intervals of `step_s` seconds that begin at multiples of it since
    /// 1970; at most `limit`, oldest first. Intervals in which it was off are left out.
    pub async fn health(
        &self,
        stream: StreamId,
        (from, to): (SystemTime, SystemTime),
        step_s: i64,
        limit: u32,
    ) -> Result<Vec<HealthRow>, StoreError> {
        let step_ms = step_s.max(1).saturating_mul(1000);
        Ok(sqlx::query_as(
            "SELECT at / ?1 * ?2 AS at_s, SUM(bytes) AS bytes, SUM(covered_ms) AS covered_ms, SUM(frames) AS frames, \
             MAX(height) AS height, MAX(fps_milli) AS fps_milli, MAX(gop_frames) AS gop_frames \
             FROM health WHERE stream = ?3 AND at >= ?4 AND at < ?5 GROUP BY at / ?1 ORDER BY at_s LIMIT ?6",
        )
        .bind(step_ms)
        .bind(step_s.max(1))
        .bind(key(stream))
        .bind(ms(from))
        .bind(ms(to))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
    }

    fn sample(stream: u64, second: u64) -> HealthSample {
        HealthSample {
            stream: StreamId(stream),
            at: at(second),
            covered: Duration::from_secs(10),
            bytes: 1_250_000,
            frames: 300,
            height: 720,
            frame_rate: 29.97,
            gop_frames: 60,
        }
    }

    #[tokio::test]
    async fn samples_are_read_in_sums_and_the_old_ones_go() {
        let dir = crate::store::testing::dir();
        let store = Store::open(&dir).await.unwrap();
        let (health, writer) = Health::open(store.clone(), Duration::from_secs(300));
        for second in (0..120).step_by(10).filter(|second| !(30..60).contains(second)) {
            health.record(sample(1, second));
            health.record(HealthSample { height: 1080, ..sample(2, second) });
        }
        health.record(HealthSample { bytes: 0, frames: 5, gop_frames: 250, ..sample(1, 110) });
        drop(health);
        writer.await.unwrap();
        let all = (at(0), at(120));
        let rows = store.health(StreamId(1), all, 10, 100).await.unwrap();
        let times: Vec<_> = rows.iter().map(|row| row.at_s - 1_700_000_000).collect();
        assert_eq!(times, [0, 10, 20, 60, 70, 80, 90, 100, 110]);
        let last = rows.last().unwrap();
        assert_eq!((last.frames, last.bytes, last.covered_ms), (305, 1_250_000, 20_000));
        assert_eq!((last.height, last.fps_milli, last.gop_frames), (720, 29_970, 250));
        let hour = store.health(StreamId(1), all, 3600, 100).await.unwrap();
        assert_eq!((hour.len(), hour.iter().map(|row| row.frames).sum::<i64>()), (1, 2_705));
        assert_eq!(store.health(StreamId(1), (at(60), at(80)), 10, 100).await.unwrap().len(), 2);
        assert_eq!(store.health(StreamId(1), all, 10, 3).await.unwrap().len(), 3);
        store.append_health(&[sample(1, 400)], Duration::from_secs(300)).await.unwrap();
        let left = store.health(StreamId(1), (at(0), at(1000)), 10, 100).await.unwrap();
        assert_eq!(left.first().map(|row| row.at_s - 1_700_000_000), Some(100));
        store.close().await;
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let (queue, _samples) = mpsc::channel(2);
        let health = Health { queue, dropped: AtomicU64::new(0) };
        (0..5).for_each(|second| health.record(sample(1, second)));
        assert_eq!(health.dropped(), 3);
    }
}
