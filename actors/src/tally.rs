//! What happened to a stream, counted for monitoring: a fold over what its journal hears.
//!
//! A tally only grows. It lives as long as the journal, so longer than the stream's supervisors, and is gone with the stream. It decides
//! nothing and is told the time.

use std::collections::BTreeMap;
use std::time::Instant;

use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{InputState, Law};

use crate::journal::{BroadcastState, JournalEvent, SessionState, WorkerState};

/// Upper bounds of what viewers missed at once, seconds. The first one is a change without a hole; `freeze` costs the stall time of 3 s.
pub const GAP_BOUNDS: &[f64] = &[0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 60.0];
/// Upper bounds of the time from first video to a playlist that plays, seconds.
pub const STARTUP_BOUNDS: &[f64] = &[0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// How many of some durations were at most so long.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    bounds: &'static [f64],
    /// One for each bound, and a last one for what is longer than all of them.
    counts: Vec<u64>,
    sum_s: f64,
}

impl Distribution {
    /// Of nothing; `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum_s: 0.0 }
    }

    /// One more, of so many seconds.
    pub fn add(&mut self, seconds: f64) {
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
            self.sum_s += seconds;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds of all together.
    pub fn sum_s(&self) -> f64 {
        self.sum_s
    }

    /// Each bound, and how many are not longer than it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bounds.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }
}

/// A stream's counts since the server started.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Times that another slot was put on air, or none, by the rule that did.
    pub switches: BTreeMap<(Option<Slot>, &'static str), u64>,
    /// Picture that viewers missed at each change or hole: output for which the input on air had none.
    pub picture_gaps: Distribution,
    /// The same of sound: inserted silence.
    pub sound_gaps: Distribution,
    /// From first video to a playlist that plays, of each broadcast.
    pub startups: Distribution,
    /// Broadcasts that began.
    pub broadcasts: u64,
    /// Workers that died and were replaced.
    pub worker_deaths: u64,
    /// Publishers let in, primary first.
    pub sessions: [u64; 2],
    /// Since when each slot's publisher sends video, while no playlist plays.
    arrived: [Option<(Option<SessionId>, Instant)>; 2],
    /// The running broadcast has become playable.
    started: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            switches: BTreeMap::new(),
            picture_gaps: Distribution::new(GAP_BOUNDS),
            sound_gaps: Distribution::new(GAP_BOUNDS),
            startups: Distribution::new(STARTUP_BOUNDS),
            broadcasts: 0,
            worker_deaths: 0,
            sessions: [0; 2],
            arrived: [None; 2],
            started: false,
        }
    }
}

impl Tally {
    /// Somebody was let in since the server started.
    pub fn is_used(&self) -> bool {
        self.sessions != [0, 0]
    }

    /// The rule put another slot on air.
    pub(crate) fn switched(&mut self, slot: Option<Slot>, law: Law) {
        *self.switches.entry((slot, law.word())).or_default() += 1;
    }

    /// The journal heard this.
    pub(crate) fn count(&mut self, what: &JournalEvent, now: Instant) {
        match what {
            JournalEvent::Input { slot, session, state } => self.input(*slot, *session, *state, now),
            JournalEvent::Gap { filled_ms, silence_ms, .. } => {
                self.picture_gaps.add(f64::from(*filled_ms) / 1_000.0);
                self.sound_gaps.add(f64::from(*silence_ms) / 1_000.0);
            }
            JournalEvent::Broadcast { state: BroadcastState::Began } => {
                self.broadcasts += 1;
                self.started = false;
            }
            JournalEvent::Broadcast { state: BroadcastState::Ended } => self.arrived = [None; 2],
            JournalEvent::Worker { state: WorkerState::Died, .. } => self.worker_deaths += 1,
            JournalEvent::Worker { state: WorkerState::Playable, .. } => self.playable(now),
            JournalEvent::Session { slot, state: SessionState::Admitted, .. } => self.sessions[*slot as usize] += 1,
            _ => {}
        }
    }

    fn input(&mut self, slot: Slot, session: Option<SessionId>, state: InputState, now: Instant) {
        let arrived = &mut self.arrived[slot as usize];
        if matches!(state, InputState::Absent | InputState::Silent) {
            *arrived = None;
        } else if arrived.is_none_or(|(known, _)| known != session) {
            *arrived = Some((session, now));
        }
    }

    fn playable(&mut self, now: Instant) {
        let first = self.arrived.iter().flatten().map(|(_, at)| *at).min();
        // A worker that was replaced makes a broadcast playable once more.
        if let Some(first) = first.filter(|_| !std::mem::replace(&mut self.started, true)) {
            self.startups.add(now.saturating_duration_since(first).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn input(session: u64, state: InputState) -> JournalEvent {
        JournalEvent::Input { slot: Slot::Primary, session: Some(SessionId(session)), state }
    }

    fn worker(state: WorkerState) -> JournalEvent {
        JournalEvent::Worker { state, reason: None }
    }

    fn broadcast(state: BroadcastState) -> JournalEvent {
        JournalEvent::Broadcast { state }
    }

    fn told(story: &[(u64, JournalEvent)]) -> Tally {
        let (mut tally, began) = (Tally::default(), Instant::now());
        for (ms, what) in story {
            tally.count(what, began + Duration::from_millis(*ms));
        }
        tally
    }

    #[test]
    fn a_start_runs_from_the_first_video_to_the_first_playable_playlist_and_counts_once_per_broadcast() {
        use BroadcastState::*;
        let tally = told(&[
            (0, input(1, InputState::Silent)),
            (5_000, input(1, InputState::Undecoded)),
            (5_300, input(1, InputState::Decoding)),
            (5_300, broadcast(Began)),
            (5_800, worker(WorkerState::Playable)),
            (9_000, worker(WorkerState::Died)),
            (9_000, worker(WorkerState::Stalled)),
            (9_900, worker(WorkerState::Playable)),
            (80_000, input(1, InputState::Absent)),
            (80_000, broadcast(Ended)),
            (90_000, input(2, InputState::Undecoded)),
            (90_200, broadcast(Began)),
            (90_600, worker(WorkerState::Playable)),
        ]);
        assert_eq!((tally.broadcasts, tally.worker_deaths, tally.startups.count()), (2, 1, 2));
        assert!((tally.startups.sum_s() - 1.4).abs() < 1e-9, "{tally:?}");
    }

    #[test]
    fn a_publisher_that_a_dead_supervisor_left_behind_is_not_the_start_of_the_next() {
        let tally = told(&[
            (0, input(1, InputState::Undecoded)),
            (300, broadcast(BroadcastState::Began)),
            (500, worker(WorkerState::Playable)),
            // Here the supervisor died, and told nothing any more.
            (60_000, input(2, InputState::Undecoded)),
            (60_300, broadcast(BroadcastState::Began)),
            (60_600, worker(WorkerState::Playable)),
        ]);
        assert_eq!(tally.startups.count(), 2);
        assert!((tally.startups.sum_s() - 1.1).abs() < 1e-9, "{tally:?}");
    }

    #[test]
    fn gaps_fall_into_the_first_bound_that_they_do_not_exceed() {
        let gap = |filled_ms, silence_ms| JournalEvent::Gap {
            from: None,
            to: None,
            filled_ms,
            silence_ms,
            since_good_ms: 0,
            frame: 0,
        };
        let tally = told(&[(0, gap(0, 0)), (1, gap(1_000, 20)), (2, gap(3_040, 0)), (3, gap(90_000, 0))]);
        let counts: Vec<u64> = tally.picture_gaps.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3]);
        assert_eq!((tally.picture_gaps.count(), tally.sound_gaps.count()), (4, 4));
        assert!((tally.picture_gaps.sum_s() - 94.04).abs() < 1e-9);
    }
}
