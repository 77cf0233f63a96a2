//! Units that wait for their time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Pace;
use crate::access_unit::{AccessUnit, Track};
use crate::codec::TrackConfig;
use crate::feed::FeedItem;
use crate::time::Timestamp;

/// Bytes that may wait before there is no room: three segments of 10 s and 16 Mbit/s.
const MOST_BYTES: usize = 64 << 20;

/// Units that wait for their time, of both tracks in the order of their decoding times.
///
/// Contract: it takes whatever is put in, so whoever does that asks [`Self::has_room`] first; what waits is then bounded by one segment more.
/// Decoding times of a track grow. A configuration comes out right before the unit behind it, and none is lost where units are skipped.
#[derive(Debug)]
pub struct Buffer {
    pace: Pace,
    /// What may wait beyond the usual before the rest is skipped; and, beyond that again, before there is no room.
    excess: Duration,
    video: Queue,
    audio: Queue,
    skipped_units: u64,
}

#[derive(Debug, Default)]
struct Queue {
    units: VecDeque<(Option<TrackConfig>, AccessUnit)>,
    bytes: usize,
    /// For the next unit.
    config: Option<TrackConfig>,
    newest: Option<Timestamp>,
}

impl Buffer {
    /// An empty buffer. `excess` is what may wait beyond the usual: three target durations.
    pub fn new(excess: Duration) -> Self {
        let (video, audio) = (Queue::default(), Queue::default());
        Self { pace: Pace::default(), excess, video, audio, skipped_units: 0 }
    }

    /// Puts something in.
    pub fn push(&mut self, item: FeedItem) {
        match item {
            FeedItem::Config(config @ TrackConfig::Video(_)) => self.video.config = Some(config),
            FeedItem::Config(config @ TrackConfig::Audio(_)) => self.audio.config = Some(config),
            FeedItem::Unit(unit) => self.queue(unit.track).push(unit),
        }
    }

    /// Brings what waits nearer to the usual, which is what waits at the first time of asking. To be asked when the source has no more to
    /// give just now.
    pub fn steer(&mut self, now: Instant) {
        if let Some(newest) = self.video.newest {
            self.pace.steer(newest, now);
        }
    }

    /// Skips what is far over the usual, up to a keyframe. Whether there was anything.
    pub fn skip(&mut self, now: Instant) -> bool {
        let Some(newest) = self.video.newest else { return false };
        let Some(begin) = self.pace.skip_to(newest, self.excess, now) else { return false };
        let units = self.video.units.iter();
        let keyframes = units.filter(|(_, unit)| unit.keyframe && unit.dts <= begin);
        let Some(keyframe) = keyframes.last().map(|(_, unit)| unit.dts) else { return false };
        let skipped = self.video.drop_before(keyframe);
        if skipped > 0 {
            self.skipped_units += skipped + self.audio.drop_before(keyframe);
            self.pace.restart();
        }
        skipped > 0
    }

    /// The next item, when it is due.
    pub fn poll(&mut self, now: Instant) -> Option<FeedItem> {
        let (track, dts) = self.front()?;
        if self.pace.due(dts).is_some_and(|due| due > now) {
            return None;
        }
        let queue = self.queue(track);
        if let Some(config) = queue.units.front_mut().and_then(|(config, _)| config.take()) {
            return Some(FeedItem::Config(config));
        }
        let unit = queue.pop()?;
        if track == Track::Video {
            self.pace.released(dts, now);
        }
        Some(FeedItem::Unit(unit))
    }

    /// When the next item is due; `None` when nothing is to come out.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.front().map(|(_, dts)| self.pace.due(dts).unwrap_or(now))
    }

    /// Nothing is to come out.
    pub fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    /// Whether more of a track may be put in.
    pub fn has_room(&self, track: Track, now: Instant) -> bool {
        let queue = match track {
            Track::Video => &self.video,
            Track::Audio => &self.audio,
        };
        if self.video.bytes + self.audio.bytes >= MOST_BYTES {
            return false;
        }
        let (Some(first), Some(newest)) = (queue.front(), queue.newest) else { return true };
        let waiting = self.pace.waiting(newest, now).unwrap_or(newest.since(first).into());
        waiting <= self.pace.usual() + 2 * self.excess.as_nanos() as i128
    }

    /// Units that were skipped.
    pub fn skipped_units(&self) -> u64 {
        self.skipped_units
    }

    /// The earliest unit. Sound waits for the first picture, which says when it is due.
    fn front(&self) -> Option<(Track, Timestamp)> {
        if !self.pace.is_anchored() && self.video.units.is_empty() {
            return None;
        }
        let fronts = [(Track::Audio, self.audio.front()), (Track::Video, self.video.front())];
        fronts.into_iter().filter_map(|(track, dts)| Some((track, dts?))).min_by_key(|&(_, dts)| dts)
    }

    fn queue(&mut self, track: Track) -> &mut Queue {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

impl Queue {
    fn push(&mut self, unit: AccessUnit) {
        self.bytes += unit.data.len();
        self.newest = Some(unit.dts);
        self.units.push_back((self.config.take(), unit));
    }

    fn pop(&mut self) -> Option<AccessUnit> {
        let (_, unit) = self.units.pop_front()?;
        self.bytes -= unit.data.len();
        Some(unit)
    }

    fn front(&self) -> Option<Timestamp> {
        self.units.front().map(|(_, unit)| unit.dts)
    }

    /// Drops units; the last configuration among them goes to the first that stays. Returns how many.
    fn drop_before(&mut self, begin: Timestamp) -> u64 {
        let (mut dropped, mut kept) = (0, None);
        while self.front().is_some_and(|dts| dts < begin) {
            kept = self.units.front_mut().and_then(|(config, _)| config.take()).or(kept);
            self.pop();
            dropped += 1;
        }
        match self.units.front_mut() {
            Some((config, _)) => *config = config.take().or(kept),
            None => self.config = self.config.take().or(kept),
        }
        dropped
    }
}

#[cfg(test)]
mod tests;
