//! The shelf: every stream's [`Packager`] behind a lock, filled by pipelines and read by HTTP.
//!
//! Contract: a stream's numbers never go back, also not when the process is killed. Before a segment is listed, a [`NumberStore`]
//! has confirmed that a number above it is stored; reserving goes in steps of two hours and never blocks a writer, so a disk that is full
//! or slow leaves an operator an hour at least before the output stops.
//! Readers wait for the next change of one track, so a part wakes those who can use it and nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use weir_media::id::StreamId;
use weir_media::package::{Numbers, Packager};
use weir_media::pipeline::{OutputSink, Placed};
use weir_media::protocol::{Chunk, Output};

/// Requests that may wait at a time, over all streams: a hundred bytes and a timer each.
const MAX_WAITING: usize = 16_384;
/// Pause after a reservation that could not be stored.
const RESERVE_AGAIN: Duration = Duration::from_secs(1);
/// Bells of a stream. Tracks share them beyond that, and are then woken in vain at times.
const BELLS: usize = 16;
/// See [`Shelf::lingering`].
const LINGER: Duration = Duration::from_secs(60);

/// How far the server is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Leaving,
    Left,
}

/// Where the next numbers of streams are kept.
pub trait NumberStore: Send + Sync {
    /// Stores `numbers` for `stream`, then confirms the reservation; dropping it says that storing failed, and a part that comes a second
    /// later or more tries again. Must not block. Must never replace a stored number by a lower one: reservations may overtake each other.
    fn reserve(&self, stream: StreamId, numbers: Numbers, reservation: Reservation);
}

/// Asked-for numbers on their way to the store.
pub struct Reservation {
    channel: Weak<Channel>,
    numbers: Numbers,
    confirmed: bool,
}

impl Reservation {
    /// The numbers are stored.
    pub fn confirm(mut self) {
        self.confirmed = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.upgrade() {
            channel.reserved(self.numbers, self.confirmed);
        }
    }
}

/// Why a stream has nothing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// No such running stream.
    #[error("no such running stream")]
    NotRunning,
    /// It is fed, but nothing playable has come out yet.
    #[error("the stream has no playable output yet")]
    NotReady,
}

/// Every stream's output.
pub struct Shelf {
    channels: RwLock<HashMap<StreamId, Arc<Channel>>>,
    store: Arc<dyn NumberStore>,
    linger: Duration,
    ended_retention: Duration,
    waiting: Arc<Semaphore>,
    phase: Arc<watch::Sender<Phase>>,
}

impl Shelf {
    /// An empty shelf. What has ended stays for `ended_retention`.
    pub fn new(store: Arc<dyn NumberStore>, ended_retention: Duration) -> Self {
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        let phase = Arc::new(watch::Sender::new(Phase::Serving));
        Self { channels: RwLock::default(), store, linger: LINGER, ended_retention, waiting, phase }
    }

    /// Sets how long a broadcast whose pipeline died without ending it waits for the next one before it counts as ended.
    pub fn lingering(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// Tells what was stored for a stream in an earlier run; the default means nothing was. Without effect once the stream has been opened.
    pub fn restore(&self, stream: StreamId, numbers: Numbers) {
        if numbers != Numbers::default() {
            self.channel(stream, || numbers);
        }
    }

    /// Opens the place of a stream's next broadcast. An earlier sink of the stream has no effect any more.
    pub fn open(&self, stream: StreamId) -> Arc<BroadcastSink> {
        self.sweep();
        let channel = self.channel(stream, first_numbers);
        let generation = channel.update(None, |state| {
            state.generation += 1;
            state.fed = true;
            state.begun = false;
            state.screenshot = None;
            state.generation
        });
        Arc::new(BroadcastSink { channel, generation })
    }

    /// The stream's channel when there is something to play.
    pub fn find(&self, stream: StreamId) -> Result<Arc<Channel>, Absence> {
        let channel = self.read().get(&stream).cloned().ok_or(Absence::NotRunning)?;
        let there = channel.update(None, |state| {
            state.expire(self.linger, self.ended_retention);
            (state.packager.playable(), state.fed)
        });
        match there {
            (true, _) => Ok(channel),
            (false, true) => Err(Absence::NotReady),
            (false, false) => Err(Absence::NotRunning),
        }
    }

    /// Forgets what a deleted stream had.
    pub fn remove(&self, stream: StreamId) {
        let removed = self.channels.write().unwrap_or_else(PoisonError::into_inner).remove(&stream);
        if let Some(channel) = removed {
            channel.update(None, |state| {
                state.generation += 1;
                state.fed = false;
                state.packager.end();
                state.packager.forget_ended();
            });
        }
    }

    /// Frees the media of broadcasts that ended long ago. `find` does the same for one stream, so this is only about memory.
    pub fn sweep(&self) {
        for channel in self.read().values() {
            channel.update(None, |state| state.expire(self.linger, self.ended_retention));
        }
    }

    /// The server goes down. Pipelines that end now end for its sake: their playlists stay open, because encoders and players go on
    /// with the next server.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Nothing more will come: whoever waits for media is told so at once.
    pub fn dismiss(&self) {
        self.phase.send_replace(Phase::Left);
    }

    /// See [`Self::dismiss`].
    pub fn dismissed(&self) -> bool {
        *self.phase.borrow() == Phase::Left
    }

    /// Room to wait for media; `None` when too many do.
    pub fn waiter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<StreamId, Arc<Channel>>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn channel(&self, stream: StreamId, numbers: impl FnOnce() -> Numbers) -> Arc<Channel> {
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        channels.entry(stream).or_insert_with(|| Arc::new(Channel::new(stream, self, numbers()))).clone()
    }
}

/// A stream that was never stored begins at the seconds since 1970: a segment takes longer than a second, so a lost store cannot
/// bring numbers back that some cache still holds media for, as long as a server is not restarted on air every three hours on average,
/// which skips what was reserved. It also fits the 32 bits of DASH's startNumber.
fn first_numbers() -> Numbers {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Numbers { next_sequence: now, discontinuity_sequence: 0 }
}

/// One stream's output.
pub struct Channel {
    stream: StreamId,
    store: Arc<dyn NumberStore>,
    state: Mutex<State>,
    /// Rung for a track's new part, all of them for what concerns more than one track.
    bells: [watch::Sender<()>; BELLS],
    phase: Arc<watch::Sender<Phase>>,
}

struct State {
    packager: Packager,
    /// The latest, as JPEG.
    screenshot: Option<Bytes>,
    /// Which sink may write.
    generation: u64,
    /// Its broadcast has begun.
    begun: bool,
    /// There is a sink whose broadcast has not ended.
    fed: bool,
    /// Since when what is visible has got nothing new.
    idle_since: Option<Instant>,
    /// What the store was asked for and has not answered.
    reserving: Option<Numbers>,
    /// When the store failed last.
    refused: Option<Instant>,
}

impl State {
    fn expire(&mut self, linger: Duration, retention: Duration) {
        let Some(idle) = self.idle_since.map(|since| since.elapsed()) else { return };
        if !self.fed && idle >= linger.min(retention) {
            self.packager.end();
        }
        if idle >= retention {
            self.idle_since = None;
            self.screenshot = None;
            self.packager.forget_ended();
        }
    }
}

impl Channel {
    fn new(stream: StreamId, shelf: &Shelf, numbers: Numbers) -> Self {
        let state = State {
            packager: Packager::new(numbers),
            screenshot: None,
            generation: 0,
            begun: false,
            fed: false,
            idle_since: None,
            reserving: None,
            refused: None,
        };
        let bells = std::array::from_fn(|_| watch::Sender::new(()));
        Self { stream, store: shelf.store.clone(), state: Mutex::new(state), bells, phase: shelf.phase.clone() }
    }

    /// Looks at the packager. Short: writers wait.
    pub fn read<T>(&self, look: impl FnOnce(&mut Packager) -> T) -> T {
        look(&mut self.lock().packager)
    }

    /// The latest picture of the broadcast, as JPEG.
    pub fn screenshot(&self) -> Option<Bytes> {
        self.lock().screenshot.clone()
    }

    /// Looks at the packager now and at every change that concerns `track`, until `look` finds something; `None` at the deadline
    /// and when the server has no more to give.
    pub async fn wait<T>(
        &self,
        track: u8,
        deadline: Instant,
        mut look: impl FnMut(&mut Packager) -> Option<T>,
    ) -> Option<T> {
        let mut bell = self.bells[usize::from(track) % BELLS].subscribe();
        let mut phase = self.phase.subscribe();
        loop {
            bell.borrow_and_update();
            if let Some(found) = self.read(&mut look) {
                return Some(found);
            }
            tokio::select! {
                rung = tokio::time::timeout_at(deadline, bell.changed()) => rung.ok()?.ok()?,
                _ = phase.wait_for(|phase| *phase == Phase::Left) => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, by a part of `track` or otherwise, wakes readers, and asks the store for more numbers when they run short.
    fn update<T>(self: &Arc<Self>, track: Option<u8>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = (state.packager.version(), state.packager.turn());
        let result = change(&mut state);
        let wanted = state.packager.wanted().filter(|wanted| {
            // One question at a time, unless a new broadcast needs another discontinuity number.
            state.reserving.is_none_or(|asked| asked.discontinuity_sequence != wanted.discontinuity_sequence)
                && state.refused.is_none_or(|since| since.elapsed() >= RESERVE_AGAIN)
        });
        if wanted.is_some() {
            state.reserving = wanted;
        }
        let after = (state.packager.version(), state.packager.turn());
        drop(state);
        if before != after {
            self.ring(track.filter(|_| before.1 == after.1));
        }
        if let Some(numbers) = wanted {
            let reservation = Reservation { channel: Arc::downgrade(self), numbers, confirmed: false };
            self.store.reserve(self.stream, numbers, reservation);
        }
        result
    }

    /// Wakes those who wait for `track`, or all.
    fn ring(&self, track: Option<u8>) {
        match track {
            Some(track) => self.bells[usize::from(track) % BELLS].send_replace(()),
            None => self.bells.iter().for_each(|bell| bell.send_replace(())),
        }
    }

    fn reserved(self: &Arc<Self>, numbers: Numbers, confirmed: bool) {
        let mut state = self.lock();
        if state.reserving == Some(numbers) {
            state.reserving = None;
        }
        let failing = state.refused.is_some();
        state.refused = (!confirmed).then(Instant::now);
        if !confirmed {
            if !failing {
                tracing::warn!(stream = %self.stream, "sequence numbers could not be stored; the output goes on with those that are");
            }
            return;
        }
        state.packager.confirm(numbers);
        drop(state);
        self.ring(None);
    }
}

/// Where one broadcast's pipeline writes. Dropping it leaves what is published in place, until the stream's next broadcast or as if the
/// encoder had stayed away: it ends after the linger, and goes after `ended_retention`.
pub struct BroadcastSink {
    channel: Arc<Channel>,
    generation: u64,
}

impl BroadcastSink {
    /// Does `change` unless a newer sink has taken over or the broadcast has ended.
    fn write<T: Default>(&self, track: Option<u8>, change: impl FnOnce(&mut State) -> T) -> T {
        self.channel.update(track, |state| match state.generation == self.generation && state.fed {
            true => change(state),
            false => T::default(),
        })
    }
}

impl OutputSink for BroadcastSink {
    fn output(&self, output: &Output) {
        self.write(None, |state| {
            if !std::mem::replace(&mut state.begun, true) {
                state.packager.begin(output);
            }
        });
    }

    fn init(&self, track: u8, data: Bytes) {
        self.write(None, |state| {
            if state.begun {
                state.packager.init(track, data);
            }
        });
    }

    fn chunk(&self, chunk: Chunk) -> Placed {
        self.write(Some(chunk.track), |state| {
            if !state.begun {
                return Placed::default();
            }
            let placed = state.packager.chunk(chunk);
            if placed.playable {
                state.idle_since = None;
            }
            placed
        })
    }

    fn screenshot(&self, data: Bytes) {
        self.write(None, |state| state.screenshot = Some(data));
    }

    fn next_frames(&self) -> [u64; 2] {
        let state = self.channel.lock();
        match state.generation == self.generation && state.begun {
            true => state.packager.next_frames(),
            false => [0, 0],
        }
    }

    fn break_off(&self) {
        self.write(None, |state| state.begun = false);
    }

    fn end(&self) {
        let over = *self.channel.phase.borrow() == Phase::Serving;
        self.write(None, |state| {
            if over {
                state.packager.end();
            }
            state.fed = false;
            state.idle_since.get_or_insert_with(Instant::now);
        });
    }
}

impl Drop for BroadcastSink {
    fn drop(&mut self) {
        self.write(None, |state| {
            state.fed = false;
            state.idle_since.get_or_insert_with(Instant::now);
        });
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
