use std::collections::{BinaryHeap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::test_clock::start;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const A: StreamId = StreamId(1);
const B: StreamId = StreamId(2);

fn failed(age: Duration) -> Outcome {
    Outcome::Failed { age, retry_after: None }
}

fn begin(rule: &mut Delivery, now: Instant) -> Option<(u64, i64, u32)> {
    rule.start(now).map(|start| (start.stream.0, start.after, start.attempt))
}

#[test]
fn a_stream_s_messages_go_one_by_one_and_streams_side_by_side() {
    let now = start();
    let mut rule = Delivery::new(Policy::default(), 10);
    for (stream, id) in [(A, 11), (A, 12), (B, 14)] {
        rule.arrived(stream, id, now);
    }
    assert_eq!((begin(&mut rule, now), begin(&mut rule, now)), (Some((1, 10, 1)), Some((2, 13, 1))));
    assert_eq!(begin(&mut rule, now), None, "the second of a stream waits for its first");
    assert_eq!((rule.settled(), rule.backlog()), (10, 3));
    assert_eq!(rule.tried(B, 14, Outcome::Taken, now, 0.5), Verdict::Settled);
    assert_eq!(rule.settled(), 10, "stream 1 holds it");
    assert_eq!(rule.tried(A, 11, Outcome::Taken, now, 0.5), Verdict::Settled);
    assert_eq!((begin(&mut rule, now), rule.settled()), (Some((1, 11, 1)), 11));
    rule.tried(A, 12, Outcome::Taken, now, 0.5);
    assert_eq!((rule.settled(), rule.backlog(), rule.deadline()), (14, 0, None));
}

#[test]
fn a_refused_message_is_tried_later_and_later_and_holds_up_its_own_stream_alone() {
    let mut now = start();
    let mut rule = Delivery::new(Policy::default(), 0);
    rule.arrived(A, 1, now);
    rule.arrived(A, 2, now);
    let mut delays = vec![];
    for attempt in 1..=11 {
        assert_eq!(begin(&mut rule, now), Some((1, 0, attempt)));
        let Verdict::Retry(at) = rule.tried(A, 1, failed(SECOND), now, 0.5) else { panic!("given up") };
        assert_eq!((begin(&mut rule, at - Duration::from_nanos(1)), rule.deadline()), (None, Some(at)));
        delays.push((at - now).as_secs());
        now = at;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    rule.arrived(B, 3, now);
    begin(&mut rule, now);
    assert_eq!(begin(&mut rule, now), Some((2, 2, 1)));
}

#[test]
fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
    let now = start();
    let mut rule = Delivery::new(Policy::default(), 0);
    rule.arrived(A, 1, now);
    for (asked, wanted) in [(30, 30), (1, 2), (86_400, 300)] {
        let at = rule.deadline().unwrap();
        rule.start(at).unwrap();
        let outcome = Outcome::Failed { age: SECOND, retry_after: Some(SECOND * asked) };
        assert_eq!(rule.tried(A, 1, outcome, at, 0.5), Verdict::Retry(at + SECOND * wanted));
    }
}

#[test]
fn a_message_is_given_up_at_24_hours_and_an_older_one_after_one_try() {
    let now = start();
    let mut rule = Delivery::new(Policy::default(), 0);
    for id in 1..=3 {
        rule.arrived(A, id, now);
    }
    begin(&mut rule, now);
    let Verdict::Retry(at) = rule.tried(A, 1, failed(24 * HOUR - SECOND), now, 0.5) else { panic!("too early") };
    begin(&mut rule, at);
    assert_eq!(rule.tried(A, 1, failed(24 * HOUR), at, 0.5), Verdict::GivenUp);
    assert_eq!(begin(&mut rule, at), Some((1, 1, 1)), "the lane goes on at once");
    assert_eq!(rule.tried(A, 2, failed(48 * HOUR), at, 0.5), Verdict::GivenUp);
    assert_eq!((rule.settled(), rule.backlog()), (2, 1));
}

#[test]
fn no_more_tries_run_than_may_and_the_one_due_for_longest_goes_first() {
    let now = start();
    let mut rule = Delivery::new(Policy { in_flight: 2, ..Policy::default() }, 0);
    for id in 1..=4 {
        rule.arrived(StreamId(10 - id as u64), id, now + SECOND * id as u32);
    }
    let later = now + HOUR;
    assert_eq!((begin(&mut rule, later), begin(&mut rule, later)), (Some((9, 0, 1)), Some((8, 1, 1))));
    assert_eq!((begin(&mut rule, later), rule.deadline()), (None, None));
    rule.tried(StreamId(8), 2, failed(SECOND), later, 0.5);
    assert_eq!(begin(&mut rule, later), Some((7, 2, 1)));
}

#[test]
fn messages_that_were_deleted_are_waited_for_no_longer() {
    let now = start();
    let mut rule = Delivery::new(Policy::default(), 0);
    rule.arrived(A, 1, now);
    rule.arrived(B, 2, now);
    rule.skip_to(5);
    rule.start(now);
    rule.vanished(A);
    assert_eq!((rule.backlog(), rule.settled(), rule.trying), (1, 1, 0));
    rule.vanished(A);
    assert_eq!(rule.tried(A, 1, Outcome::Taken, now, 0.5), Verdict::Settled, "nothing of it is left");
    rule.start(now);
    rule.tried(B, 2, Outcome::Taken, now, 0.5);
    assert_eq!(rule.settled(), 5);
}

/// What a receiver does with a try.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Takes,
    Refuses,
    Hangs,
    /// It has it, but its answer is lost.
    TakesSilently,
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver, the messages that are kept, and an endpoint that may be killed and started anew, in virtual time.
struct World {
    policy: Policy,
    messages: Vec<(StreamId, i64, Instant)>,
    received: Vec<(StreamId, i64)>,
    given_up: HashSet<i64>,
    most_at_once: usize,
    tries: usize,
}

/// What an endpoint keeps.
#[derive(Clone, Default)]
struct Kept {
    settled: i64,
    lanes: HashMap<StreamId, i64>,
}

impl World {
    /// Delivers until `until`, answers by the time; returns what is kept then, everything that ran being lost.
    fn run(
        &mut self,
        kept: Kept,
        from: Instant,
        until: Instant,
        jitter: f64,
        answer: impl Fn(Instant, usize) -> Answer,
    ) -> Kept {
        let mut kept = kept;
        let mut rule = Delivery::new(self.policy, kept.settled);
        let mut running: BinaryHeap<std::cmp::Reverse<(Instant, StreamId, i64, bool)>> = BinaryHeap::new();
        let (mut now, mut seen) = (from, kept.settled);
        loop {
            for &(stream, id, at) in &self.messages {
                if id > seen && at <= now {
                    seen = id;
                    if kept.lanes.get(&stream).is_none_or(|settled| id > *settled) {
                        rule.arrived(stream, id, now)
                    } else {
                        rule.skip_to(id)
                    }
                }
            }
            while let Some(begun) = rule.start(now) {
                let of = self.messages.iter().find(|(stream, id, _)| *stream == begun.stream && *id > begun.after);
                let &(stream, id, _) = of.expect("what waits is there");
                self.tries += 1;
                let answer = answer(now, self.tries);
                if matches!(answer, Answer::Takes | Answer::TakesSilently) {
                    self.received.push((stream, id));
                }
                let takes = if matches!(answer, Answer::Hangs | Answer::TakesSilently) { TIMEOUT } else { SECOND / 10 };
                running.push(std::cmp::Reverse((now + takes, stream, id, matches!(answer, Answer::Takes))));
                self.most_at_once = self.most_at_once.max(running.len());
            }
            let arrival = self.messages.iter().find(|(_, id, _)| *id > seen).map(|(_, _, at)| *at);
            let end = running.peek().map(|std::cmp::Reverse((at, ..))| *at);
            let Some(next) = [arrival, end, rule.deadline()].into_iter().flatten().min() else { return kept };
            now = now.max(next);
            if now >= until {
                return kept;
            }
            while let Some(std::cmp::Reverse((at, stream, id, taken))) =
                running.peek().copied().filter(|ended| ended.0.0 <= now)
            {
                running.pop();
                let &(_, _, made) = self.messages.iter().find(|message| message.1 == id).expect("it is kept");
                let outcome = if taken { Outcome::Taken } else { failed(at - made) };
                match rule.tried(stream, id, outcome, now, jitter) {
                    Verdict::Retry(_) => continue,
                    Verdict::GivenUp => _ = self.given_up.insert(id),
                    Verdict::Settled => {}
                }
                assert!(rule.settled() >= kept.settled, "it never goes back");
                kept.lanes.insert(stream, id);
                kept.settled = rule.settled();
            }
        }
    }

    /// The first time that each message came, stream by stream, is in order; and who never came was given up.
    fn check(&self) {
        let mut first = HashSet::new();
        let mut last = HashMap::new();
        for (stream, id) in self.received.iter().filter(|(_, id)| first.insert(*id)) {
            assert!(last.insert(*stream, *id).is_none_or(|before| before < *id), "{:?}", self.received);
        }
        for (_, id, _) in &self.messages {
            assert!(first.contains(id) || self.given_up.contains(id), "message {id} is lost: {:?}", self.received);
        }
        assert!(self.most_at_once <= self.policy.in_flight);
    }
}

fn world(times: &[(u64, u64)], start: Instant) -> World {
    let mut at = start;
    let messages = times.iter().enumerate().map(|(n, (stream, after_ms))| {
        at += Duration::from_millis(*after_ms);
        (StreamId(*stream), n as i64 + 1, at)
    });
    World {
        messages: messages.collect(),
        policy: Policy { in_flight: 3, ..Policy::default() },
        received: vec![],
        given_up: HashSet::new(),
        most_at_once: 0,
        tries: 0,
    }
}

#[test]
fn a_receiver_that_answers_500_for_an_hour_misses_nothing() {
    let start = start();
    let messages: Vec<(u64, u64)> = (0..300).map(|n| (n % 20, 5_000)).collect();
    let mut world = world(&messages, start);
    let answer = |now: Instant, _| if now < start + HOUR { Answer::Refuses } else { Answer::Takes };
    let kept = world.run(Kept::default(), start, start + HOUR + 7 * SECOND * 60, 0.5, answer);
    world.check();
    assert_eq!(
        (kept.settled, world.received.len(), world.given_up.len()),
        (300, 300, 0),
        "within 7 minutes of its recovery"
    );
    assert!(world.tries < 300 + 20 * 25, "{} tries: a dead receiver is not flooded", world.tries);
}

#[test]
fn a_receiver_that_is_dead_for_good_costs_each_message_24_hours() {
    let start = start();
    let mut world = world(&[(1, 0), (1, 1000), (2, 1000)], start);
    let kept = world.run(Kept::default(), start, start + 80 * HOUR, 0.5, |_, _| Answer::Hangs);
    world.check();
    assert_eq!((kept.settled, world.given_up.len(), world.received.len()), (3, 3, 0));
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        3 => Just(Answer::Takes),
        2 => Just(Answer::Refuses),
        1 => Just(Answer::Hangs),
        1 => Just(Answer::TakesSilently),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    #[test]
    fn whatever_a_receiver_does_and_whenever_the_server_is_killed_all_arrive_in_order(
        messages in prop::collection::vec((0u64..5, 0u64..20_000), 1..60),
        answers in answers(),
        kills in prop::collection::vec(1u64..120, 0..6),
        jitter in 0.0f64..1.0,
    ) {
        let start = start();
        let mut world = world(&messages, start);
        let mut kept = Kept::default();
        let mut now = start;
        for kill in kills {
            kept = world.run(kept, now, now + SECOND * kill as u32, jitter, |_, n| answers[n % answers.len()]);
            now += SECOND * kill as u32;
        }
        let recovered = now + HOUR;
        let answer = |at, n: usize| if at < recovered { answers[n % answers.len()] } else { Answer::Takes };
        kept = world.run(kept, now, now + 12 * HOUR, jitter, answer);
        world.check();
        prop_assert_eq!(kept.settled, messages.len() as i64);
        prop_assert!(world.given_up.is_empty());
    }
}
