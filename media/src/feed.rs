//! The bounded queue between one publisher and the worker that decodes it.
//!
//! A [`Feed`] also keeps what a *new* reader needs: the latest decoder configuration and the access units since the
//! last keyframe, or since an earlier one where the output runs behind. A worker that replaces a dead one therefore just takes a new
//! reader and starts at once.
//!
//! Contract:
//! - One writer, one reader at a time; a newer reader ends the older one.
//! - Full (units or bytes) means: drop everything unread, then every unit up to the next keyframe, and count it.
//!   The latest configuration of each track always arrives. The writer never waits.
//! - Retained but already read units give way first when room is short.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::access_unit::{AccessUnit, Track};
use crate::codec::{AudioConfig, TrackConfig, VideoConfig};

/// What a second of a demanding source has: 60 frames and its sound …
const UNITS_PER_SECOND: usize = 150;
/// … and 16 Mbit.
const BYTES_PER_SECOND: usize = 2 << 20;

/// How long it takes to find a worker dead or hung and to have another one, and the part that was never published.
const REPLACED_WITHIN: Duration = Duration::from_secs(3);

/// How much a feed holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Access units.
    pub units: usize,
    /// Bytes of media.
    pub bytes: usize,
    /// How much before the newest unit a new reader starts at the latest, in media time; at a keyframe, and if there is room.
    pub history: Duration,
}

impl Limits {
    /// Of media that nobody reads: no more than a keyframe is kept.
    pub const NOTHING: Self = Self { units: 0, bytes: 0, history: Duration::ZERO };

    /// The same for an output that runs `delay` behind: a worker that replaces another one needs that much of the past, and what
    /// was lost until it runs.
    pub fn delayed(self, delay: Duration) -> Self {
        let delay = delay + REPLACED_WITHIN;
        let seconds = delay.as_secs() as usize + 1;
        Self {
            units: self.units + seconds * UNITS_PER_SECOND,
            bytes: self.bytes + seconds * BYTES_PER_SECOND,
            history: self.history + delay,
        }
    }
}

impl Default for Limits {
    /// A 4 s GOP at 60 fps with its audio, or 8 MiB.
    fn default() -> Self {
        Self { units: 1_024, bytes: 8 << 20, history: Duration::ZERO }
    }
}

/// What comes out of a feed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// The decoder configuration of a track, before its first unit and at every change.
    Config(TrackConfig),
    /// One frame.
    Unit(AccessUnit),
}

/// Counters of one feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedStats {
    /// Units pushed, dropped ones included.
    pub pushed_units: u64,
    /// Bytes pushed, dropped ones included.
    pub pushed_bytes: u64,
    /// Units dropped because the reader was too slow.
    pub dropped_units: u64,
    /// Times the feed was full.
    pub overflows: u64,
}

/// The shared queue; cloning shares it.
#[derive(Clone)]
pub struct Feed(Arc<Mutex<State>>);

/// The only way media gets in. Dropping it ends the feed.
pub struct FeedWriter(Feed);

/// A cursor over a feed.
pub struct FeedReader {
    feed: Feed,
    generation: u64,
}

struct State {
    limits: Limits,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    items: VecDeque<FeedItem>,
    /// Sequence number of `items[0]`.
    base: u64,
    /// Sequence number the reader takes next.
    cursor: u64,
    /// Where a new reader may start, oldest first.
    keys: VecDeque<Key>,
    bytes: usize,
    /// After an overflow: nothing goes in until a video keyframe does.
    awaiting_keyframe: bool,
    generation: u64,
    /// Configurations the current reader has to get before its first unit.
    preamble: VecDeque<FeedItem>,
    closed: bool,
    waker: Option<Waker>,
    stats: FeedStats,
}

/// A video keyframe's item.
struct Key {
    /// Its sequence number.
    at: u64,
    /// Its decoding time, nanoseconds.
    dts: i64,
    /// What it and what follows are decoded by.
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
}

impl Feed {
    /// An empty feed and its writer.
    pub fn new(limits: Limits) -> (Self, FeedWriter) {
        let feed = Self(Arc::new(Mutex::new(State {
            limits,
            video: None,
            audio: None,
            items: VecDeque::new(),
            base: 0,
            cursor: 0,
            keys: VecDeque::new(),
            bytes: 0,
            awaiting_keyframe: false,
            generation: 0,
            preamble: VecDeque::new(),
            closed: false,
            waker: None,
            stats: FeedStats::default(),
        })));
        (feed.clone(), FeedWriter(feed))
    }

    /// A reader that starts with the current configurations and the last keyframe. Any earlier reader ends.
    pub fn reader(&self) -> FeedReader {
        let mut state = self.lock();
        state.generation += 1;
        // All of it is unread again: what would leave no room for what comes is too old.
        while state.keys.len() > 1 && state.bytes_from(state.start()) > state.limits.bytes / 4 * 3 {
            state.keys.pop_front();
        }
        state.cursor = state.start();
        // Configurations that lie between the keyframe and now are read again in order, so it begins with the keyframe's own: what is older
        // than a change of codec would be another codec's to who has only the latest.
        let (video, audio) = match state.keys.front() {
            Some(key) => (key.video.clone(), key.audio.clone()),
            None => (state.video.clone(), state.audio.clone()),
        };
        let configs = [video.map(TrackConfig::Video), audio.map(TrackConfig::Audio)];
        state.preamble = configs.into_iter().flatten().map(FeedItem::Config).collect();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        FeedReader { feed: self.clone(), generation: state.generation }
    }

    /// Counters so far.
    pub fn stats(&self) -> FeedStats {
        self.lock().stats
    }

    /// The latest configurations.
    pub fn configs(&self) -> (Option<VideoConfig>, Option<AudioConfig>) {
        let state = self.lock();
        (state.video.clone(), state.audio.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code below panics while it holds the lock; a poisoned state is still a consistent one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedWriter {
    /// Announces or changes a track's decoder configuration.
    pub fn config(&mut self, config: TrackConfig) {
        let mut state = self.0.lock();
        match &config {
            TrackConfig::Video(video) => state.video = Some(video.clone()),
            TrackConfig::Audio(audio) => state.audio = Some(audio.clone()),
        }
        if !state.make_room(0) {
            state.overflow();
            state.awaiting_keyframe = true;
        }
        state.items.push_back(FeedItem::Config(config));
        state.wake();
    }

    /// Adds a unit. Returns false when it (or others before it) had to be dropped.
    pub fn push(&mut self, unit: AccessUnit) -> bool {
        let mut state = self.0.lock();
        state.stats.pushed_units += 1;
        state.stats.pushed_bytes += unit.data.len() as u64;
        let key = unit.keyframe && unit.track == Track::Video;
        let mut fits = true;
        if state.awaiting_keyframe {
            if !key {
                state.stats.dropped_units += 1;
                return false;
            }
            state.awaiting_keyframe = false;
        }
        if !state.make_room(unit.data.len()) {
            fits = false;
            state.overflow();
            if !key {
                state.awaiting_keyframe = true;
                state.stats.dropped_units += 1;
                return false;
            }
        }
        if unit.track == Track::Video {
            state.note_video(unit.dts.as_nanos(), key);
        }
        state.bytes += unit.data.len();
        state.items.push_back(FeedItem::Unit(unit));
        state.trim();
        state.wake();
        fits
    }

    /// The feed this writer belongs to.
    pub fn feed(&self) -> &Feed {
        &self.0
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.wake();
    }
}

impl FeedReader {
    /// The next item; `None` when the feed has ended or a newer reader took over.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<FeedItem>> {
        let mut state = self.feed.lock();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        if let Some(item) = state.preamble.pop_front() {
            return Poll::Ready(Some(item));
        }
        let at = (state.cursor - state.base) as usize;
        if let Some(item) = state.items.get(at).cloned() {
            state.cursor += 1;
            state.trim();
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for the next item; `None` at the end.
    pub async fn next(&mut self) -> Option<FeedItem> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sequence number of the first item that a new reader gets.
    fn start(&self) -> u64 {
        self.keys.front().map_or(self.base, |key| key.at)
    }

    /// Bytes of the units from item `at` on.
    fn bytes_from(&self, at: u64) -> usize {
        let items = self.items.iter().skip((at - self.base) as usize);
        items.map(|item| if let FeedItem::Unit(unit) = item { unit.data.len() } else { 0 }).sum()
    }

    /// A video unit is about to be added. A keyframe that the history does not need any more is no place to start.
    fn note_video(&mut self, dts: i64, key: bool) {
        let history = i64::try_from(self.limits.history.as_nanos()).unwrap_or(i64::MAX);
        // A source's clock that went back begins another timeline.
        self.keys.retain(|earlier| earlier.dts <= dts || !key);
        if key {
            let (video, audio) = (self.video.clone(), self.audio.clone());
            self.keys.push_back(Key { at: self.base + self.items.len() as u64, dts, video, audio });
        }
        while self.keys.get(1).is_some_and(|second| second.dts <= dts.saturating_sub(history)) {
            self.keys.pop_front();
        }
    }

    /// Forgets items that are read and that no new reader gets.
    fn trim(&mut self) {
        while self.base < self.cursor.min(self.start()) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(FeedItem::Unit(unit)) = self.items.pop_front() {
            self.bytes -= unit.data.len();
        }
        self.base += 1;
    }

    fn full(&self, more: usize) -> bool {
        self.items.len() >= self.limits.units || self.bytes + more > self.limits.bytes
    }

    /// Gives up retained units until `more` bytes fit; false when unread ones are in the way.
    fn make_room(&mut self, more: usize) -> bool {
        while self.full(more) && self.base < self.cursor {
            self.forget_first();
        }
        let base = self.base;
        self.keys.retain(|key| key.at >= base);
        !self.full(more)
    }

    /// Drops all that is unread. Of unread configurations the latest ones still go to the reader.
    fn overflow(&mut self) {
        self.stats.overflows += 1;
        for item in std::mem::take(&mut self.items) {
            match item {
                FeedItem::Unit(_) => self.stats.dropped_units += 1,
                FeedItem::Config(config) => {
                    let track = std::mem::discriminant(&config);
                    let other =
                        |item: &FeedItem| !matches!(item, FeedItem::Config(c) if std::mem::discriminant(c) == track);
                    self.preamble.retain(other);
                    self.preamble.push_back(FeedItem::Config(config));
                }
            }
        }
        self.bytes = 0;
        self.base = self.cursor;
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests;
