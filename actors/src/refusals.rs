//! Who was refused, by which rule, and what the encoder was told: for the operator who is asked why an encoder does not get in.
//!
//! One ledger per stream and one for tries that name no stream. Like the journal a stream's ledger outlives its supervisors. Both are
//! bounded, and fair: tries that differ in nothing are one entry with a count, and where there is no room the party with the most entries
//! gives up its oldest. So no single source, however it varies what it sends, can push out what others left.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;
use weir_policy::party::party;

use crate::clock;
use crate::ingest::Publish;
use crate::ingest::told::{Told, told};
use crate::survey::RefusalCounts;

/// Entries of a stream's ledger.
pub const PER_STREAM: usize = 100;

/// Entries of the ledger for tries that name no stream.
pub const OF_NODE: usize = 1_000;

/// Most characters of an agent's name that are kept.
const AGENT: usize = 128;

/// Who asked to publish, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The stream it named; `None` when the name was no stream id at all.
    pub stream: Option<StreamId>,
    /// The slot it named.
    pub slot: Slot,
    /// The door.
    pub protocol: Protocol,
    /// Where it came from.
    pub address: IpAddr,
    /// What the encoder calls itself.
    pub agent: Option<String>,
}

impl From<&Publish> for Applicant {
    fn from(publish: &Publish) -> Self {
        let Publish { stream, slot, protocol, peer, agent, .. } = publish;
        Self {
            stream: *stream,
            slot: *slot,
            protocol: *protocol,
            address: peer.ip().to_canonical(),
            agent: agent.clone(),
        }
    }
}

/// Tries that were refused alike. It never holds what was offered as a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RefusalEntry {
    /// Position in the ledger, from 1, ascending; grows when the entry is counted up, and what is gone leaves a hole.
    pub seq: u64,
    /// The first of these tries. The API writes it, as RFC 3339; so it does with the next one.
    #[serde(skip)]
    pub first: SystemTime,
    /// The latest of them.
    #[serde(skip)]
    pub last: SystemTime,
    /// How many they were.
    pub times: u64,
    /// The rule that refused them: [`Refusal::rule`].
    pub rule: &'static str,
    /// The stream that was named, if it was a number.
    pub stream: Option<StreamId>,
    /// The slot that was named.
    pub slot: Slot,
    /// The door.
    pub protocol: Protocol,
    /// Where they came from.
    pub address: IpAddr,
    /// What the encoder calls itself.
    pub agent: Option<String>,
    /// What the encoder was told, the latest time; null when it was closed without an answer.
    pub told: Option<Told>,
    /// After the latest try: seconds until the next one is welcome, where the rule knows.
    pub retry_after_s: Option<f64>,
}

/// A bounded ledger; cloning shares it.
#[derive(Clone, Debug)]
pub struct RefusalLedger(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    capacity: usize,
    /// Number of the newest entry.
    newest: u64,
    /// In the order of their numbers.
    entries: Vec<RefusalEntry>,
    /// Of all tries, also of those whose entries are gone.
    counts: RefusalCounts,
}

impl RefusalLedger {
    /// An empty one for so many entries.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Pages { capacity, newest: 0, entries: vec![], counts: RefusalCounts::new() })))
    }

    /// Writes down that somebody was refused just now.
    pub fn record(&self, who: &Applicant, refusal: &Refusal) {
        self.lock().record(who, refusal, clock::wall());
    }

    /// Entries before the entry of that number, or the newest ones: newest first, at most `limit`.
    pub fn page(&self, before: Option<u64>, limit: usize) -> Vec<RefusalEntry> {
        let pages = self.lock();
        let older = pages.entries.partition_point(|entry| before.is_none_or(|before| entry.seq < before));
        pages.entries[..older].iter().rev().take(limit).cloned().collect()
    }

    /// Tries since the ledger began, by the rule that refused them.
    pub fn counts(&self) -> RefusalCounts {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn record(&mut self, who: &Applicant, refusal: &Refusal, now: SystemTime) {
        let Applicant { stream, slot, protocol, address, agent } = who.clone();
        let agent: Option<String> = agent.map(|agent| agent.chars().take(AGENT).collect());
        let rule = refusal.rule();
        *self.counts.entry(rule).or_default() += 1;
        let same = |entry: &RefusalEntry| {
            (entry.address, entry.rule, entry.stream, entry.slot) == (address, rule, stream, slot)
                && (entry.protocol, &entry.agent) == (protocol, &agent)
        };
        let known = self.entries.iter().rposition(same).map(|place| self.entries.remove(place));
        if known.is_none() && self.entries.len() >= self.capacity {
            self.make_room(address);
        }
        self.newest += 1;
        self.entries.push(RefusalEntry {
            seq: self.newest,
            first: known.as_ref().map_or(now, |known| known.first),
            last: now,
            times: known.map_or(0, |known| known.times) + 1,
            rule,
            stream,
            slot,
            protocol,
            address,
            agent,
            told: told(protocol, refusal),
            retry_after_s: refusal.retry_after().map(|wait| wait.as_secs_f64()),
        });
    }

    /// The party with the most entries, the newcomer's counted, gives up its oldest; of equal ones that with the oldest.
    fn make_room(&mut self, newcomer: IpAddr) {
        let mut sizes = HashMap::from([(party(newcomer), 1_usize)]);
        for entry in &self.entries {
            *sizes.entry(party(entry.address)).or_default() += 1;
        }
        let size = |entry: &RefusalEntry| sizes.get(&party(entry.address)).copied();
        let most = self.entries.iter().map(size).max().flatten();
        if let Some(place) = self.entries.iter().position(|entry| size(entry) == most) {
            self.entries.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn who(address: &str) -> Applicant {
        Applicant {
            stream: Some(StreamId(7)),
            slot: Slot::Primary,
            protocol: Protocol::Rtmp,
            address: address.parse().unwrap(),
            agent: Some("encoder/1".to_owned()),
        }
    }

    const WRONG: Refusal = Refusal::NotAuthorized { known: true };

    #[test]
    fn tries_that_differ_in_nothing_are_one_entry_with_a_count() {
        let ledger = RefusalLedger::new(10);
        let limited = |seconds| Refusal::RateLimited { retry_after: Duration::from_secs(seconds) };
        ledger.lock().record(&who("192.0.2.1"), &limited(9), at(1));
        ledger.lock().record(&who("192.0.2.2"), &Refusal::SlotTaken, at(2));
        ledger.lock().record(&who("192.0.2.1"), &limited(4), at(6));
        let page = ledger.page(None, 9);
        let [counted, other] = &page[..] else { panic!("{page:?}") };
        assert_eq!((counted.seq, counted.times, counted.first, counted.last), (3, 2, at(1), at(6)));
        assert_eq!((counted.rule, counted.retry_after_s), ("rate_limited", Some(4.0)));
        assert!(counted.told.as_ref().unwrap().text.contains("4s"), "{counted:?}");
        assert_eq!((other.seq, other.times, other.rule, other.retry_after_s), (2, 1, "slot_taken", None));
        for other in [
            Applicant { slot: Slot::Backup, ..who("192.0.2.1") },
            Applicant { protocol: Protocol::Srt, ..who("192.0.2.1") },
            Applicant { agent: None, ..who("192.0.2.1") },
            Applicant { stream: None, ..who("192.0.2.1") },
        ] {
            ledger.lock().record(&other, &limited(1), at(7));
        }
        assert_eq!(ledger.page(None, 9).len(), 6, "each differs in something");
    }

    #[test]
    fn one_source_pushes_out_nobody_else_whatever_it_varies() {
        let ledger = RefusalLedger::new(20);
        for host in 1..=10 {
            ledger.lock().record(&who(&format!("192.0.2.{host}")), &WRONG, at(host));
        }
        for n in 0..1_000 {
            let flood = Applicant { agent: Some(format!("flood {n}")), ..who(&format!("2001:db8::{n:x}")) };
            ledger.lock().record(&flood, &WRONG, at(20 + n));
        }
        let page = ledger.page(None, 99);
        let others = page.iter().filter(|entry| entry.address.is_ipv4()).count();
        assert_eq!((page.len(), others), (20, 10));
        assert_eq!((page[0].last, page[9].last), (at(1_019), at(1_010)), "the flood's latest");
        for host in 11..=40 {
            ledger.lock().record(&who(&format!("192.0.2.{host}")), &WRONG, at(2_000 + host));
        }
        let page = ledger.page(None, 99);
        assert_eq!((page.len(), page[19].last), (20, at(2_021)), "of equal ones the oldest goes");
        let counted = (WRONG.rule(), 10 + 1_000 + 30);
        assert_eq!(ledger.counts().into_iter().collect::<Vec<_>>(), [counted], "what is gone stays counted");
    }

    #[test]
    fn pages_go_back_in_time() {
        let ledger = RefusalLedger::new(100);
        for host in 1..=10 {
            ledger.lock().record(&who(&format!("192.0.2.{host}")), &WRONG, at(host));
        }
        let seqs = |before, limit| ledger.page(before, limit).iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seqs(None, 3), [10, 9, 8]);
        assert_eq!(seqs(Some(8), 2), [7, 6]);
        assert_eq!(seqs(Some(1), 2), [0u64; 0]);
    }

    #[test]
    fn a_long_name_of_an_agent_is_cut() {
        let ledger = RefusalLedger::new(1);
        ledger.lock().record(&Applicant { agent: Some("ü".repeat(1_000)), ..who("192.0.2.1") }, &WRONG, at(1));
        assert_eq!(ledger.page(None, 1)[0].agent.as_ref().map(|agent| agent.chars().count()), Some(AGENT));
    }
}
