//! A stream's journal: what happened and by which rule, in order.
//!
//! It outlives the stream's supervisor, so that the reason of a crash can be read after it. It decides nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_media::id::StreamId;
use weir_policy::rate_limit::Sampling;

use crate::clock;
use crate::status::JournalEntry;

/// Entries kept; older ones go first.
const CAPACITY: usize = 500;

/// A bounded ring of entries; cloning shares it.
#[derive(Clone, Debug)]
pub struct Journal {
    stream: StreamId,
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<JournalEntry>,
    last_seq: u64,
    /// Of tokens, which anybody can try.
    strangers: Sampling,
    /// Behind a right token.
    refusals: Sampling,
}

impl Journal {
    /// An empty journal of `stream`.
    pub fn new(stream: StreamId) -> Self {
        Self { stream, ring: Arc::default() }
    }

    /// Appends a line, and logs it.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        tracing::info!(stream = %self.stream, "{text}");
        let mut ring = self.lock();
        ring.last_seq += 1;
        if ring.entries.len() == CAPACITY {
            ring.entries.pop_front();
        }
        let seq = ring.last_seq;
        ring.entries.push_back(JournalEntry { seq, at: clock::wall(), text });
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
        self.lock().entries.iter().rev().take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics under the lock; a poisoned ring is still a consistent one.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_stay_and_numbers_go_on() {
        let journal = Journal::new(StreamId(1));
        for n in 0..CAPACITY + 3 {
            journal.note(n.to_string());
        }
        let seen: Vec<u64> = journal.latest(usize::MAX).iter().map(|entry| entry.seq).collect();
        assert_eq!((seen.len(), seen[0], seen[CAPACITY - 1]), (CAPACITY, CAPACITY as u64 + 3, 4));
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
}
