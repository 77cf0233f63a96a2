//! Which of its sources a stream pulls from, when it tries the next one, and when it gives up (the brief's "PULL fallback algorithm").
//!
//! ```text
//! Waiting ──due──▶ Trying ──first picture──▶ On ──lost, ended──▶ Waiting (the next source)
//!    ▲                └────────failed─────────────────────────────▲
//!    └─ all of these but a live one ──no media for give_up──▶ GivenUp
//! ```
//!
//! Sources are asked in a circle; there is no way back to the first one but round it. A source that is lost makes way at once: media is
//! missing for as long as the stall already. Then tries begin `retry_every` apart, so that dead sources are not flooded, however fast they
//! fail. A source that is live resets the time after which the stream gives up.
//!
//! Contract: facts and timeouts come with `now` in order; [`Rotation::on_timeout`] is called at [`Rotation::deadline`], too early or too
//! often does no harm. A [`State`] is all that it knows, and a fresh rule goes on from it.

use std::time::{Duration, Instant};

/// The numbers of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `pull.retry_every`: from the begin of a try to that of the next one, give or take [`JITTER`] of it.
    pub retry_every: Duration,
    /// `pull.give_up`: without media for so long, the stream is switched off.
    pub give_up: Duration,
    /// From a source's first picture to the stream being live by it: a source that cannot be decoded makes way.
    pub live_within: Duration,
}

/// Share of `retry_every` by which tries come sooner or later, so that many streams do not ask one dead server all at once.
pub const JITTER: f64 = 0.1;

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry_every: Duration::from_secs(3),
            give_up: Duration::from_secs(2 * 60 * 60),
            live_within: Duration::from_secs(10),
        }
    }
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The source is asked at this time.
    Waiting(Instant),
    /// It is being asked.
    Trying,
    /// It delivers pictures, since then.
    On {
        /// When the first one came.
        since: Instant,
        /// The stream is live by it.
        live: bool,
    },
    /// It asks nobody any more.
    GivenUp,
}

/// What happened to the source that is asked or delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It cannot be had.
    Failed,
    /// It delivers pictures.
    Began,
    /// The stream is live by it.
    Live,
    /// The stream is not live any more, without media since then.
    Lost(Instant),
    /// It is gone, its last media came then.
    Ended(Option<Instant>),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask this source, counted from 0.
    Try(usize),
    /// Let go of the one that is asked or delivers.
    Cut,
    /// Switch the stream off.
    GiveUp,
}

/// What the rule knows; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    policy: Policy,
    sources: usize,
    source: usize,
    phase: Phase,
    /// The last try's begin.
    tried: Option<Instant>,
    tries: u64,
    last_media: Instant,
}

impl State {
    /// Begins with the first of `sources`, at once. At least one source.
    pub fn new(policy: Policy, sources: usize, now: Instant) -> Self {
        let sources = sources.max(1);
        Self { policy, sources, source: 0, phase: Phase::Waiting(now), tried: None, tries: 0, last_media: now }
    }

    /// The source that is asked, delivers, or is asked next, counted from 0.
    pub fn source(&self) -> usize {
        self.source
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Tries since the last media.
    pub fn tries(&self) -> u64 {
        self.tries
    }

    /// When it gives up; `None` while the stream is live by a source, and once it has.
    pub fn gives_up(&self) -> Option<Instant> {
        match self.phase {
            Phase::On { live: true, .. } | Phase::GivenUp => None,
            _ => Some(self.last_media + self.policy.give_up),
        }
    }
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Rotation(State);

impl Rotation {
    /// Goes on from what is known.
    pub fn resume(state: State) -> Self {
        Self(state)
    }

    /// What it knows.
    pub fn state(&self) -> &State {
        &self.0
    }

    /// When [`Self::on_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let own = match self.0.phase {
            Phase::Waiting(until) => Some(until),
            Phase::On { since, live: false } => Some(since + self.0.policy.live_within),
            Phase::Trying | Phase::On { live: true, .. } | Phase::GivenUp => None,
        };
        own.into_iter().chain(self.0.gives_up()).min()
    }

    /// Does what is due. `jitter` is uniform in `0.0..1.0`.
    pub fn on_timeout(&mut self, now: Instant, jitter: f64) -> Vec<Action> {
        if self.0.gives_up().is_some_and(|at| now >= at) {
            let cut = !matches!(self.0.phase, Phase::Waiting(_));
            self.0.phase = Phase::GivenUp;
            return cut.then_some(Action::Cut).into_iter().chain([Action::GiveUp]).collect();
        }
        match self.0.phase {
            Phase::Waiting(until) if now >= until => {
                self.0.phase = Phase::Trying;
                self.0.tried = Some(now);
                self.0.tries += 1;
                vec![Action::Try(self.0.source)]
            }
            Phase::On { since, live: false } if now >= since + self.0.policy.live_within => {
                self.next(now, jitter);
                vec![Action::Cut]
            }
            _ => vec![],
        }
    }

    /// Takes a fact in. One that does not fit what is being done comes too late and changes nothing.
    pub fn on_fact(&mut self, fact: Fact, now: Instant, jitter: f64) -> Vec<Action> {
        let mut actions = self.on_timeout(now, jitter);
        match (fact, self.0.phase) {
            (Fact::Failed, Phase::Trying) => self.next(now, jitter),
            (Fact::Began, Phase::Trying) => self.0.phase = Phase::On { since: now, live: false },
            (Fact::Live, Phase::On { since, .. }) => {
                self.0.phase = Phase::On { since, live: true };
                self.0.tries = 0;
            }
            (Fact::Lost(last), Phase::On { live: true, .. }) => {
                self.media_ended(last);
                self.next(now, jitter);
                actions.push(Action::Cut);
            }
            (Fact::Ended(last), Phase::On { live, .. }) => {
                if live {
                    self.media_ended(last.unwrap_or(now));
                }
                self.next(now, jitter);
            }
            _ => {}
        }
        actions
    }

    fn media_ended(&mut self, at: Instant) {
        self.0.last_media = self.0.last_media.max(at);
    }

    /// The next source's turn.
    fn next(&mut self, now: Instant, jitter: f64) {
        let state = &mut self.0;
        let apart = state.policy.retry_every.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
        state.source = (state.source + 1) % state.sources;
        state.phase = Phase::Waiting(state.tried.map_or(now, |tried| now.max(tried + apart)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;
    use proptest::prelude::*;

    /// In the middle: exactly `retry_every`.
    const MIDDLE: f64 = 0.5;

    struct Pull {
        rule: Rotation,
        start: Instant,
    }

    impl Pull {
        fn new(sources: usize) -> Self {
            let start = start();
            Self { rule: Rotation::resume(State::new(Policy::default(), sources, start)), start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn wait(&mut self, ms: u64) -> Vec<Action> {
            self.rule.on_timeout(self.at(ms), MIDDLE)
        }

        fn tell(&mut self, ms: u64, fact: Fact) -> Vec<Action> {
            self.rule.on_fact(fact, self.at(ms), MIDDLE)
        }

        fn due(&self) -> Option<u64> {
            self.rule.deadline().map(|at| (at - self.start).as_millis() as u64)
        }

        /// Asked at `ms`, it delivers and the stream is live.
        fn works(&mut self, ms: u64) {
            self.tell(ms, Fact::Began);
            assert_eq!(self.tell(ms, Fact::Live), []);
        }
    }

    #[test]
    fn the_first_source_is_asked_at_once() {
        let mut pull = Pull::new(3);
        assert_eq!(pull.due(), Some(0));
        assert_eq!(pull.wait(0), [Action::Try(0)]);
        assert_eq!(pull.wait(1), []);
        pull.works(500);
        assert_eq!(pull.due(), None, "nothing is due while it is live");
    }

    #[test]
    fn dead_sources_are_asked_three_seconds_apart_round_and_round() {
        let mut pull = Pull::new(3);
        let mut asked = vec![];
        for ms in (0..20_000).step_by(10) {
            for action in pull.wait(ms) {
                asked.push((ms, action));
                assert_eq!(pull.tell(ms, Fact::Failed), [], "a refusal is told at once");
            }
        }
        let expected: Vec<_> = (0..7).map(|n| (n * 3_000, Action::Try(n as usize % 3))).collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_single_source_is_asked_again_and_again() {
        let mut pull = Pull::new(1);
        pull.wait(0);
        pull.tell(100, Fact::Failed);
        assert_eq!((pull.due(), pull.wait(2_999), pull.wait(3_000)), (Some(3_000), vec![], vec![Action::Try(0)]));
        // A try that takes longer than that is followed at once.
        pull.tell(8_000, Fact::Failed);
        assert_eq!(pull.wait(8_000), [Action::Try(0)]);
    }

    #[test]
    fn a_lost_source_makes_way_at_once() {
        let mut pull = Pull::new(2);
        pull.wait(0);
        pull.works(500);
        let last = pull.at(60_000);
        assert_eq!(pull.tell(63_000, Fact::Lost(last)), [Action::Cut]);
        assert_eq!(pull.wait(63_000), [Action::Try(1)]);
        assert_eq!(
            pull.tell(63_001, Fact::Ended(None)),
            [],
            "the end of the one that was cut says nothing of this one"
        );
        pull.works(63_300);
        assert_eq!(pull.tell(90_000, Fact::Ended(Some(pull.at(90_000)))), []);
        assert_eq!(pull.wait(90_000), [Action::Try(0)], "round to the first");
    }

    #[test]
    fn a_source_that_works_for_a_moment_is_not_asked_too_often() {
        let mut pull = Pull::new(1);
        pull.wait(0);
        pull.works(100);
        pull.tell(200, Fact::Ended(None));
        assert_eq!(pull.due(), Some(3_000));
    }

    #[test]
    fn what_cannot_be_decoded_makes_way() {
        let mut pull = Pull::new(2);
        pull.wait(0);
        pull.tell(1_000, Fact::Began);
        assert_eq!((pull.wait(10_999), pull.wait(11_000)), (vec![], vec![Action::Cut]));
        assert_eq!(pull.wait(11_000), [Action::Try(1)]);
    }

    #[test]
    fn it_gives_up_two_hours_after_the_last_media() {
        const TWO_HOURS: u64 = 2 * 60 * 60 * 1_000;
        let mut pull = Pull::new(2);
        pull.wait(0);
        pull.works(500);
        pull.tell(10_000_000, Fact::Lost(pull.at(9_997_000)));
        let end = 9_997_000 + TWO_HOURS;
        let mut ms = 10_000_000;
        while ms < end {
            match pull.wait(ms).as_slice() {
                [Action::Try(_)] => drop(pull.tell(ms, Fact::Failed)),
                actions => assert_eq!(actions, []),
            }
            ms = pull.due().unwrap();
        }
        assert_eq!((ms, pull.wait(end - 1), pull.wait(end)), (end, vec![], vec![Action::GiveUp]));
        assert_eq!((pull.due(), pull.wait(end + TWO_HOURS)), (None, vec![]));
    }

    #[test]
    fn a_try_that_runs_when_it_gives_up_is_cut() {
        let mut pull = Pull::new(1);
        pull.wait(0);
        assert_eq!(pull.wait(7_200_000), [Action::Cut, Action::GiveUp]);
        assert_eq!(pull.tell(7_200_000, Fact::Failed), []);
    }

    /// A source that answers after so long, and then works for so long, or does not.
    fn schedule() -> impl Strategy<Value = Vec<(u64, Option<u64>)>> {
        prop::collection::vec((0u64..8_000, prop::option::weighted(0.3, 0u64..100_000)), 1..200)
    }

    proptest! {
        #[test]
        fn whatever_sources_do_tries_go_round_and_keep_their_distance(
            sources in 1usize..5, schedule in schedule(), jitter in 0.0f64..1.0
        ) {
            let start = start();
            let policy = Policy { give_up: Duration::from_secs(60), ..Policy::default() };
            let mut rule = Rotation::resume(State::new(policy, sources, start));
            let (mut now, mut last_try, mut last_media, mut turn) = (start, None::<Instant>, start, 0);
            for (answers_after, works_for) in schedule {
                let due = rule.deadline().expect("it waits or gives up");
                now = now.max(due);
                match rule.on_timeout(now, jitter).as_slice() {
                    [Action::Try(source)] => prop_assert_eq!(*source, turn % sources),
                    [Action::GiveUp] => {
                        prop_assert!(now >= last_media + policy.give_up);
                        prop_assert_eq!(rule.deadline(), None);
                        return Ok(());
                    }
                    actions => prop_assert!(false, "{actions:?}"),
                }
                prop_assert!(now < last_media + policy.give_up);
                turn += 1;
                if let Some(last) = last_try {
                    prop_assert!(now - last >= policy.retry_every.mul_f64(1.0 - JITTER));
                    let dead = last_media < last;
                    prop_assert!(!dead || now - last <= policy.retry_every.mul_f64(1.0 + JITTER) + Duration::from_secs(8));
                }
                last_try = Some(now);
                now += Duration::from_millis(answers_after);
                let given_up = match works_for {
                    Some(ms) => {
                        let cut = rule.on_fact(Fact::Began, now, jitter);
                        rule.on_fact(Fact::Live, now, jitter);
                        now += Duration::from_millis(ms);
                        if cut.is_empty() {
                            last_media = now;
                        }
                        rule.on_fact(Fact::Ended(Some(now)), now, jitter)
                    }
                    None => rule.on_fact(Fact::Failed, now, jitter),
                };
                if rule.state().phase() == Phase::GivenUp {
                    prop_assert!(given_up.contains(&Action::GiveUp) || now >= last_media + policy.give_up);
                    return Ok(());
                }
            }
        }
    }
}
