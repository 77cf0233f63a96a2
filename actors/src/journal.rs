//! A stream's journal: what happened and by which rule, in order.
//!
//! It outlives the stream's supervisor, so that the reason of a crash can be read after it. It decides nothing. What it hears is counted
//! too ([`Tally`]).

mod entry;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use weir_media::id::{Slot, StreamId};
use weir_policy::failover::Law;
use weir_policy::rate_limit::Sampling;

pub use self::entry::{
    BroadcastState, FindingState, JournalEntry, JournalEvent, PreflightState, PullState, SessionState, TimerState,
    WorkerState,
};
use crate::clock;
use crate::tally::Tally;

/// Entries kept; the oldest detail goes first, so that the reasons of switches stay, and the oldest of all once none is left.
const CAPACITY: usize = 1_000;

/// A bounded ring of entries; cloning shares it.
#[derive(Clone, Debug)]
pub struct Journal {
    stream: StreamId,
    ring: Arc<Mutex<Ring>>,
    /// Number of the newest entry.
    newest: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<JournalEntry>,
    /// Of tokens, which anybody can try.
    strangers: Sampling,
    /// Behind a right token.
    refusals: Sampling,
    tally: Tally,
}

impl Ring {
    /// Entries with numbers below `before`, newest first.
    fn page(&self, before: u64, limit: usize) -> Vec<JournalEntry> {
        let older = self.entries.partition_point(|entry| entry.seq < before);
        self.entries.range(..older).rev().take(limit).cloned().collect()
    }

    fn drop_one(&mut self) {
        let oldest_detail = self.entries.iter().position(|entry| entry.what.is_detail());
        self.entries.remove(oldest_detail.unwrap_or(0));
    }
}

impl Journal {
    /// An empty journal of `stream`.
    pub fn new(stream: StreamId) -> Self {
        Self { stream, ring: Arc::default(), newest: Arc::new(watch::Sender::new(0)) }
    }

    /// Appends a line, and logs it.
    pub fn note(&self, text: impl Into<String>) {
        self.record(JournalEvent::Note, text);
    }

    /// Appends what happened, and logs it.
    pub fn record(&self, what: JournalEvent, text: impl Into<String>) {
        let text = text.into();
        if what.is_detail() {
            tracing::debug!(stream = %self.stream, "{text}");
        } else {
            tracing::info!(stream = %self.stream, "{text}");
        }
        let mut ring = self.lock();
        ring.tally.count(&what, clock::now());
        if ring.entries.len() == CAPACITY {
            ring.drop_one();
        }
        // Numbered under the lock, so that the ring is in order.
        let seq = *self.newest.borrow() + 1;
        ring.entries.push_back(JournalEntry { seq, at: clock::wall(), text, what });
        self.newest.send_replace(seq);
    }

    /// Counts that a rule put another slot on air; [`Self::record`] has it in words.
    pub(crate) fn switched(&self, slot: Option<Slot>, law: Law) {
        self.lock().tally.switched(slot, law);
    }

    /// What happened so far, counted.
    pub fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    /// Appends a line about somebody who was refused, but not each time: who tries again and again must not push out the rest. Strangers
    /// are counted apart, so that they cannot silence the line about the stream's own encoder.
    pub fn note_once(&self, text: String, stranger: bool) {
        let mut ring = self.lock();
        let taken = if stranger { ring.strangers.take(clock::now()) } else { ring.refusals.take(clock::now()) };
        drop(ring);
        match taken {
            Some(0) => self.note(text),
            Some(unnoted) => self.note(format!("{text}; {unnoted} more were refused since the last line about it")),
            None => {}
        }
    }

    /// The latest entries, newest first, at most `limit`.
    pub fn latest(&self, limit: usize) -> Vec<JournalEntry> {
        self.lock().page(u64::MAX, limit)
    }

    /// A reader of what is here and of what follows.
    pub fn reader(&self) -> JournalReader {
        JournalReader { ring: Arc::clone(&self.ring), newest: self.newest.subscribe() }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    // Nothing panics under the lock; a poisoned ring is still a consistent one.
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a journal; cloning is cheap. It outlives the stream, whose last entries it keeps.
#[derive(Clone, Debug)]
pub struct JournalReader {
    ring: Arc<Mutex<Ring>>,
    newest: watch::Receiver<u64>,
}

impl JournalReader {
    /// Entries before the entry of that number, or the newest ones: newest first, at most `limit`.
    pub fn page(&self, before: Option<u64>, limit: usize) -> Vec<JournalEntry> {
        lock(&self.ring).page(before.unwrap_or(u64::MAX), limit)
    }

    /// Entries behind the entry of that number, oldest first: at most 1000. What is gone leaves holes in the numbers.
    pub fn after(&self, seq: u64) -> Vec<JournalEntry> {
        let ring = lock(&self.ring);
        let first = ring.entries.partition_point(|entry| entry.seq <= seq);
        ring.entries.range(first..).cloned().collect()
    }

    /// Comes back when there is an entry that was not there at the last call, or at the first one since [`Journal::reader`]. False when
    /// none will ever come: the stream was removed.
    pub async fn changed(&mut self) -> bool {
        self.newest.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seqs(entries: &[JournalEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn the_newest_entries_stay_and_numbers_go_on() {
        let journal = Journal::new(StreamId(1));
        for n in 0..CAPACITY + 3 {
            journal.note(n.to_string());
        }
        let seen = seqs(&journal.latest(usize::MAX));
        assert_eq!((seen.len(), seen[0], seen[CAPACITY - 1]), (CAPACITY, CAPACITY as u64 + 3, 4));
    }

    #[test]
    fn details_go_first_and_leave_holes_in_the_numbers() {
        use weir_media::id::Slot::Primary;
        let journal = Journal::new(StreamId(1));
        let reader = journal.reader();
        let detail = || journal.record(JournalEvent::Prepare { slot: Primary, decode: true }, "prepared");
        journal.note("on air: backup");
        (0..3 * CAPACITY).for_each(|_| detail());
        journal.note("on air: primary");
        let seen = journal.latest(usize::MAX);
        let newest = 3 * CAPACITY as u64 + 2;
        assert_eq!((seen.len(), seen[0].seq, seen[CAPACITY - 2].seq), (CAPACITY, newest, newest - CAPACITY as u64 + 2));
        assert_eq!(seen[CAPACITY - 1].text, "on air: backup");
        assert_eq!(seqs(&reader.page(Some(newest - CAPACITY as u64 + 3), 9)), [newest - CAPACITY as u64 + 2, 1]);
        assert_eq!(seqs(&reader.after(1)[..2]), [newest - CAPACITY as u64 + 2, newest - CAPACITY as u64 + 3]);
        (0..CAPACITY).for_each(|n| journal.note(n.to_string()));
        detail();
        detail();
        let seen = journal.latest(usize::MAX);
        assert_eq!((seen.len(), &*seen[0].text, &*seen[1].text), (CAPACITY, "prepared", "999"), "one detail at most");
        assert_eq!(seen.last().map(|entry| &*entry.text), Some("1"), "and one reason for it");
    }

    #[test]
    fn refused_tries_do_not_push_out_the_rest() {
        let journal = Journal::new(StreamId(1));
        journal.note("on air");
        for port in 0..10 * CAPACITY {
            journal.note_once(format!("refused 192.0.2.1:{port}"), true);
        }
        let seen = journal.latest(CAPACITY);
        assert!(seen.len() < 20 && seen.last().is_some_and(|entry| entry.text == "on air"), "{} lines", seen.len());
    }

    #[test]
    fn pages_go_back_and_readers_go_on() {
        let journal = Journal::new(StreamId(1));
        let reader = journal.reader();
        (0..10).for_each(|n| journal.note(n.to_string()));
        assert_eq!(seqs(&reader.page(None, 3)), [10, 9, 8]);
        assert_eq!(seqs(&reader.page(Some(8), 3)), [7, 6, 5]);
        assert_eq!(seqs(&reader.page(Some(2), 3)), [1]);
        assert_eq!(seqs(&reader.page(Some(1), 3)), [0u64; 0]);
        assert_eq!(seqs(&reader.after(7)), [8, 9, 10]);
        assert_eq!(seqs(&reader.after(10)), [0u64; 0]);
        assert_eq!(reader.after(0).len(), 10);
        (0..CAPACITY).for_each(|n| journal.note(n.to_string()));
        assert_eq!(reader.after(3)[0].seq, 11, "what is older is gone");
        assert_eq!(seqs(&reader.page(Some(5), 3)), [0u64; 0]);
    }

    #[tokio::test]
    async fn a_reader_wakes_with_each_entry_and_learns_that_the_stream_is_gone() {
        let journal = Journal::new(StreamId(1));
        let mut reader = journal.reader();
        journal.note("first");
        assert!(reader.changed().await);
        let waiting = tokio::spawn(async move { (reader.changed().await, reader) });
        tokio::task::yield_now().await;
        journal.note("second");
        let (changed, mut reader) = waiting.await.unwrap();
        assert!(changed);
        drop(journal);
        assert!(!reader.changed().await);
        assert_eq!(seqs(&reader.page(None, 9)), [2, 1]);
    }
}
