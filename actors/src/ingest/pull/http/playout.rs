//! What is fetched ahead of its time: brought onto one timeline, held, and handed on at the pace of a live source.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weir_media::access_unit::Track;
use weir_media::feed::FeedItem;
use weir_media::pace::Buffer;
use weir_media::splice::Splice;

use super::super::{Fetched, Outlet, PullError};
use crate::clock;

/// Target durations that may wait beyond the usual before the rest is skipped.
const EXCESS: u32 = 3;

/// The way from a source's bursts to its outlet.
pub struct Playout<'a> {
    splice: Splice,
    buffer: Buffer,
    outlet: &'a Outlet,
}

impl<'a> Playout<'a> {
    /// An empty one, for segments of that target duration.
    pub fn new(outlet: &'a Outlet, target: Duration) -> Self {
        Self { splice: Splice::default(), buffer: Buffer::new(target * EXCESS), outlet }
    }

    /// The timestamps of a track begin anew with its next unit.
    pub fn cut(&mut self, track: Track) {
        self.splice.cut(track);
    }

    /// Takes an item in; units of a track in order.
    pub fn take(&mut self, item: FeedItem) {
        match item {
            FeedItem::Config(_) => self.buffer.push(item),
            FeedItem::Unit(unit) => {
                if let Some(unit) = self.splice.place(unit) {
                    self.buffer.push(FeedItem::Unit(unit));
                }
            }
        }
    }

    /// The source has no more to give just now: the pace is corrected by what waits.
    pub fn steer(&mut self) {
        self.buffer.steer(clock::now());
    }

    /// Skips what is far too much, up to a keyframe. Whether there was anything.
    pub fn skip(&mut self) -> bool {
        let skipped = self.buffer.skip(clock::now());
        if skipped {
            tracing::info!(
                skipped_units = self.buffer.skipped_units(),
                "source is far ahead, skipped up to a keyframe"
            );
        }
        skipped
    }

    /// Whether more of a track may be taken in.
    pub fn has_room(&self, track: Track) -> bool {
        self.buffer.has_room(track, clock::now())
    }

    /// Nothing is to come out.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Waits until something is due. Cancel safe.
    pub async fn due(&self) {
        match self.buffer.due(clock::now()) {
            Some(due) => sleep_until(Instant::from_std(due)).await,
            None => pending().await,
        }
    }

    /// Hands on what is due.
    pub async fn release(&mut self) -> Result<(), PullError> {
        while let Some(item) = self.buffer.poll(clock::now()) {
            self.outlet.put(Fetched::Item(item)).await?;
        }
        Ok(())
    }
}
