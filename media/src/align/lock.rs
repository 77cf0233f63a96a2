//! From single measurements to an alignment that can be relied on.
//!
//! ```text
//! searching ──match──▶ candidate ──1 s of matches that agree──▶ locked
//!     ▲                    │                                      │ 3 in a row against it, 120 s unconfirmed,
//!     └──────refusal───────┘◀───────────match─────────────── lost ◀┘ or a timeline broke
//! ```
//!
//! A locked pair follows what agrees with it. A match elsewhere, or windows that speak against a common programme, must
//! come three times in a row to end the lock; then the search begins anew. A lock is never moved: a new one has a new number.

use super::estimate::Refusal;
use super::follow::Line;

/// Matches this near agree, nanoseconds: 4 ms.
const TOLERANCE: i64 = 4_000_000;
/// How far apart the first and the last of the matches that make a lock are at least, nanoseconds: 1 s, less what blocks are long.
const CONFIRMING: i64 = 900_000_000;
/// Contradictions in a row that end a lock.
const CONTRADICTIONS: u32 = 3;
/// Longest time without a match that a lock stands, nanoseconds of sound. Drift is known to 30 ppm by then: 4 ms.
const UNCONFIRMED: i64 = 120_000_000_000;

/// What one window says: `offset` is the source time in b minus that in a of the same instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    /// The source time in a that it holds for, nanoseconds.
    pub at: i64,
    /// Source time in b minus source time in a, nanoseconds.
    pub nanos: i64,
    /// Nanoseconds by which it grows per nanosecond.
    pub drift: f64,
    /// Likeness of the waveforms, 0.35 to 1.
    pub likeness: f64,
    /// Height of the correlation's peak against all other lags, 12 and more.
    pub prominence: f64,
}

/// What is known of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum State {
    /// No measurement has named an offset, or the last did not.
    #[default]
    Searching,
    /// One measurement named an offset that no other has confirmed.
    Candidate,
    /// The offset is known.
    Locked(Alignment),
    /// It was known and is no longer true.
    Lost,
}

/// A known offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// Counts the locks of this pair from 1. The offset may differ arbitrarily from that of another number.
    pub number: u32,
    /// Likeness of the waveforms at the latest match, 0.35 to 1: the confidence to show.
    pub confidence: f64,
    /// Source time in a of the end of the latest window that matched, nanoseconds.
    pub confirmed_at: i64,
    line: Line,
}

impl Alignment {
    /// Source time in b minus source time in a, nanoseconds, of the instant that a has at `source_a`. Within one lock it
    /// never steps: it moves by at most 0.6 ms per second.
    pub fn offset_at(&self, source_a: i64) -> i64 {
        self.line.value(source_a)
    }

    /// Drift of b's clock against a's, parts per million; positive when b counts faster.
    pub fn drift_ppm(&self) -> f64 {
        self.line.drift() * 1e6
    }
}

/// The state machine of one pair.
#[derive(Debug, Default)]
pub struct Lock {
    state: State,
    /// The first of the matches that agree, and when its windows ended.
    candidate: Option<(i64, Offset)>,
    contradictions: u32,
    agreed: bool,
    number: u32,
}

impl Lock {
    /// What is known.
    pub fn state(&self) -> State {
        self.state
    }

    /// Locked, and the latest measurement agreed.
    pub fn confirmed(&self) -> bool {
        matches!(self.state, State::Locked(_)) && self.agreed
    }

    /// Sample numbers no longer mean what they meant.
    pub fn timeline_broke(&mut self) {
        self.candidate = None;
        self.state = if matches!(self.state, State::Locked(_) | State::Lost) { State::Lost } else { State::Searching };
    }

    /// Takes one measurement, of windows that end at `now` in a's source time.
    pub fn on_verdict(&mut self, now: i64, verdict: Result<Offset, Refusal>) -> State {
        self.state = match self.state {
            State::Locked(alignment) => self.hold(alignment, now, verdict),
            _ => self.search(now, verdict),
        };
        self.state
    }

    fn search(&mut self, now: i64, verdict: Result<Offset, Refusal>) -> State {
        let Ok(found) = verdict else {
            self.candidate = None;
            return if self.state == State::Lost { State::Lost } else { State::Searching };
        };
        match self.candidate {
            Some((since, first)) if (first.nanos - found.nanos).abs() <= TOLERANCE => {
                if now - since < CONFIRMING {
                    return State::Candidate;
                }
            }
            _ => {
                self.candidate = Some((now, found));
                return State::Candidate;
            }
        }
        self.candidate = None;
        self.contradictions = 0;
        self.agreed = true;
        self.number += 1;
        let line = Line::new(found.at, found.nanos, found.drift);
        State::Locked(Alignment { number: self.number, confidence: found.likeness, confirmed_at: now, line })
    }

    fn hold(&mut self, mut alignment: Alignment, now: i64, verdict: Result<Offset, Refusal>) -> State {
        self.agreed = false;
        match verdict {
            Ok(found) if alignment.line.error(now, found.at, found.nanos).abs() <= TOLERANCE => {
                alignment.line.bend(now, found.at, found.nanos);
                alignment.confidence = found.likeness;
                alignment.confirmed_at = now;
                self.contradictions = 0;
                self.agreed = true;
            }
            Ok(_) => self.contradictions += 1,
            Err(refusal) if refusal.contradicts() => self.contradictions += 1,
            Err(_) => {}
        }
        if self.contradictions >= CONTRADICTIONS || now - alignment.confirmed_at > UNCONFIRMED {
            self.contradictions = 0;
            return State::Lost;
        }
        State::Locked(alignment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    fn heard(now: i64, nanos: i64) -> Result<Offset, Refusal> {
        Ok(Offset { at: now * SECOND, nanos, drift: 0.0, likeness: 0.9, prominence: 50.0 })
    }

    fn locked() -> Lock {
        let mut lock = Lock::default();
        lock.on_verdict(SECOND, heard(1, 700 * MS));
        assert!(matches!(lock.on_verdict(2 * SECOND, heard(2, 700 * MS)), State::Locked(_)));
        lock
    }

    fn name(state: State) -> &'static str {
        match state {
            State::Searching => "searching",
            State::Candidate => "candidate",
            State::Locked(_) => "locked",
            State::Lost => "lost",
        }
    }

    /// Feeds a verdict each second from the third, and names the states after them.
    fn states<const N: usize>(lock: &mut Lock, verdicts: [Result<i64, Refusal>; N]) -> [&'static str; N] {
        let mut now = 2;
        verdicts.map(|verdict| {
            now += 1;
            name(lock.on_verdict(now * SECOND, verdict.and_then(|nanos| heard(now, nanos))))
        })
    }

    #[test]
    fn matches_that_agree_for_a_second_lock() {
        let verdicts = [Ok(0), Err(Refusal::Weak), Ok(0), Ok(5 * MS), Ok(2 * MS)];
        let expected = ["candidate", "searching", "candidate", "candidate", "locked"];
        assert_eq!(states(&mut Lock::default(), verdicts), expected);
    }

    #[test]
    fn three_contradictions_in_a_row_end_a_lock() {
        for against in [Ok(900 * MS), Err(Refusal::Weak), Err(Refusal::Different)] {
            let verdicts = [against, against, Ok(700 * MS), against, against, against, against];
            let states = states(&mut locked(), verdicts);
            assert_eq!(states[..6], ["locked", "locked", "locked", "locked", "locked", "lost"]);
            assert_eq!(states[6], if against.is_ok() { "candidate" } else { "lost" });
        }
    }

    #[test]
    fn windows_that_say_nothing_neither_count_nor_forgive() {
        for neutral in [Refusal::Quiet, Refusal::Tonal, Refusal::Ambiguous] {
            let mut lock = locked();
            assert_eq!(states(&mut lock, [Err(neutral); 30]), ["locked"; 30]);
            assert!(!lock.confirmed());
            let verdicts = [Ok(0), Err(neutral), Ok(0), Err(neutral), Ok(0)];
            assert_eq!(states(&mut locked(), verdicts), ["locked", "locked", "locked", "locked", "lost"]);
        }
    }

    #[test]
    fn a_lock_that_nothing_confirms_ends_after_two_minutes() {
        let mut lock = locked();
        let mut quiet = |second: i64| name(lock.on_verdict(second * SECOND, Err(Refusal::Quiet)));
        assert_eq!([quiet(60), quiet(122), quiet(123)], ["locked", "locked", "lost"]);
    }

    #[test]
    fn a_new_lock_has_a_new_number() {
        let mut lock = locked();
        let moved = [Ok(900 * MS); 5];
        assert_eq!(states(&mut lock, moved), ["locked", "locked", "lost", "candidate", "locked"]);
        let State::Locked(alignment) = lock.state() else { panic!("{:?}", lock.state()) };
        assert_eq!((alignment.number, alignment.offset_at(7 * SECOND)), (2, 900 * MS));
    }

    #[test]
    fn a_broken_timeline_ends_a_lock_at_once() {
        let mut lock = locked();
        lock.timeline_broke();
        assert_eq!(lock.state(), State::Lost);
        let mut lock = Lock::default();
        lock.on_verdict(SECOND, heard(1, 0));
        lock.timeline_broke();
        assert_eq!(lock.state(), State::Searching);
        assert_eq!(name(lock.on_verdict(2 * SECOND, heard(2, 0))), "candidate");
    }
}
