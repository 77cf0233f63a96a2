//! Random schedules of media, stalls, flaps, reconnects, undecodable input, underruns, locks, settings and choices:
//! the rule decides what the oracle says, at the same instants, however its timer is called; and what always holds, holds.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{Action, Decision, Fact, Mode, Policy, Rule, Standby, Timer};

use crate::TICK;
use crate::oracle::{Oracle, Seen};
use crate::script::{fresh, start};

/// What one publisher or its decoder does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connect {
        decoding: bool,
    },
    End,
    Media {
        ticks: u64,
        every: u64,
        pictures: bool,
    },
    Wait(u64),
    Decoding(bool),
    Undecodable,
    Content(bool),
    Gop(u64),
    /// A late word of the session before.
    Stale,
}

/// Something about the pair or from outside.
#[derive(Clone, Copy, Debug)]
enum Outside {
    Locked(bool),
    Configured(Policy),
    Chosen(Option<Slot>),
}

/// A whole schedule: settings and facts by tick.
#[derive(Clone, Debug)]
struct Schedule {
    policy: Policy,
    facts: Vec<(u64, Fact)>,
    until: u64,
}

fn policies(stall: u64) -> impl Strategy<Value = Policy> {
    let numbers = (3u64..40, 2u64..40, 0u64..20);
    (numbers, any::<bool>(), any::<bool>()).prop_map(move |((hold, linger, patience), hitless, warm)| Policy {
        stall: TICK * stall as u32,
        hold: TICK * hold as u32,
        linger: TICK * linger as u32,
        mode: if hitless { Mode::Hitless } else { Mode::Freeze },
        standby: if warm { Standby::Warm } else { Standby::Hot },
        lock_patience: TICK * patience as u32,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop::bool::weighted(0.8).prop_map(|decoding| Step::Connect { decoding }),
        1 => Just(Step::End),
        8 => (1u64..50, 1u64..4, prop::bool::weighted(0.85))
            .prop_map(|(ticks, every, pictures)| Step::Media { ticks, every, pictures }),
        5 => (1u64..9).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Decoding),
        1 => Just(Step::Undecodable),
        4 => prop::bool::weighted(0.6).prop_map(Step::Content),
        1 => (0u64..12).prop_map(Step::Gop),
        1 => Just(Step::Stale),
    ];
    vec(step, 1..30).prop_map(|mut steps| {
        steps.insert(0, Step::Connect { decoding: true });
        steps
    })
}

fn outside(stall: u64) -> impl Strategy<Value = Vec<(u64, Outside)>> {
    let slot = prop_oneof![Just(None), Just(Some(Slot::Primary)), Just(Some(Slot::Backup))];
    let event = prop_oneof![
        6 => prop::bool::weighted(0.7).prop_map(Outside::Locked),
        1 => policies(stall).prop_map(Outside::Configured),
        2 => slot.prop_map(Outside::Chosen),
    ];
    vec((1u64..60, event), 0..12)
}

fn schedules() -> impl Strategy<Value = Schedule> {
    (2u64..7).prop_flat_map(|stall| (policies(stall), steps(), 0u64..30, steps(), outside(stall))).prop_map(
        |(policy, primary, delay, backup, outside)| {
            let mut facts = write_down(Slot::Primary, 100, 0, &primary);
            facts.extend(write_down(Slot::Backup, 200, delay, &backup));
            let mut at = 0;
            for (gap, event) in outside {
                at += gap;
                facts.push((
                    at,
                    match event {
                        Outside::Locked(locked) => Fact::Locked(locked),
                        Outside::Configured(policy) => Fact::Configured(policy),
                        Outside::Chosen(slot) => Fact::Chosen(slot),
                    },
                ));
            }
            facts.sort_by_key(|(at, _)| *at);
            let until = facts.last().map_or(0, |(at, _)| at + 60);
            Schedule { policy, facts, until }
        },
    )
}

/// The facts of one slot's steps; its sessions are counted from `first`.
fn write_down(slot: Slot, first: u64, mut at: u64, steps: &[Step]) -> Vec<(u64, Fact)> {
    let (mut facts, mut session) = (vec![], first);
    for step in steps {
        let id = SessionId(session);
        match *step {
            Step::Connect { decoding } => {
                session += 1;
                facts.push((at, Fact::Admitted(slot, SessionId(session))));
                if decoding {
                    facts.push((at, Fact::Decoding(SessionId(session), true)));
                }
            }
            Step::End => facts.push((at, Fact::Ended(id))),
            Step::Media { ticks, every, pictures } => {
                for passed in (0..ticks).step_by(every as usize) {
                    facts.push((at + passed, Fact::Arrived(id)));
                    if pictures {
                        facts.push((at + passed, Fact::Decoded(id)));
                    }
                }
                at += ticks;
            }
            Step::Wait(ticks) => at += ticks,
            Step::Decoding(runs) => facts.push((at, Fact::Decoding(id, runs))),
            Step::Undecodable => facts.push((at, Fact::Undecodable(id))),
            Step::Content(content) => facts.push((at, Fact::Content(id, content))),
            Step::Gop(ticks) => facts.push((at, Fact::Gop(id, TICK * ticks as u32))),
            Step::Stale => facts.push((at, Fact::Arrived(SessionId(session - 1)))),
        }
    }
    facts
}

fn tick(t: Instant, n: u64) -> Instant {
    t + TICK * n as u32
}

/// Plays a schedule, calling the timer at `extra` instants too. Returns all decisions.
fn play(schedule: &Schedule, t: Instant, extra: &[Duration]) -> Vec<Decision> {
    let mut rule = fresh(schedule.policy, t);
    let mut extra: Vec<Instant> = extra.iter().map(|after| t + *after).collect();
    extra.sort();
    let mut extra = extra.into_iter().peekable();
    let mut decisions = vec![];
    for &(at, fact) in &schedule.facts {
        let at = tick(t, at);
        while let Some(early) = extra.next_if(|early| *early <= at) {
            decisions.extend(rule.on_timeout(early));
        }
        decisions.extend(rule.on_fact(fact, at, at));
    }
    decisions.extend(rule.on_timeout(tick(t, schedule.until)));
    decisions
}

/// What decisions make true, one by one. An error if one repeats what was true before.
#[derive(Clone, Copy, Default)]
struct Told {
    seen: Seen,
}

impl Told {
    fn apply(&mut self, action: Action, t: Instant) -> Result<(), TestCaseError> {
        let before = self.seen;
        let seen = &mut self.seen;
        match action {
            Action::Begin => seen.broadcasting = true,
            Action::End => seen.broadcasting = false,
            Action::Live(slot) => seen.live[slot as usize] = true,
            Action::Lost(slot, _) => seen.live[slot as usize] = false,
            Action::OnAir(slot, _) => seen.on_air = slot,
            Action::Input(slot, session, state) => seen.inputs[slot as usize] = (session, state),
            Action::Prepare(slot) => seen.decoded[slot as usize] = true,
            Action::Rest(slot) => seen.decoded[slot as usize] = false,
            Action::Armed(Timer::Hold, due) => seen.hold = Some(((due - t).as_nanos() / TICK.as_nanos()) as u64),
            Action::Fired(Timer::Hold) | Action::Cancelled(Timer::Hold) => seen.hold = None,
            Action::Armed(..) | Action::Fired(_) | Action::Cancelled(_) | Action::ChoiceRefused(_) => return Ok(()),
        }
        prop_assert_ne!(before, self.seen, "{:?} changes nothing", action);
        Ok(())
    }
}

/// What must hold after every call, whatever was told and how late.
fn check(rule: &mut Rule, now: Instant) -> Result<(), TestCaseError> {
    let live = [Slot::Primary, Slot::Backup].map(|slot| rule.state().is_live(slot));
    prop_assert!(rule.state().on_air().is_none_or(|slot| live[slot as usize]), "a slot without media is on air");
    prop_assert_eq!(rule.state().on_air().is_some(), live[0] || live[1], "a slot with media is on air if there is one");
    prop_assert!(rule.state().is_broadcasting() || rule.state().on_air().is_none());
    prop_assert!(rule.deadline().is_none_or(|due| due > now), "the next deadline lies ahead");
    prop_assert_eq!(rule.on_timeout(now), vec![], "a second timer decides nothing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_rule_decides_what_the_oracle_says_at_the_same_instants(
        schedule in schedules(), extra in vec((0u64..3_000).prop_map(|ms| Duration::from_micros(ms * 777)), 0..20)
    ) {
        let t = start();
        let expected = Oracle::replay(schedule.policy, &schedule.facts, schedule.until);
        let decisions = play(&schedule, t, &extra);
        let mut decisions = decisions.iter().peekable();
        let mut told = Told::default();
        for (n, expected) in expected.into_iter().enumerate() {
            while let Some(decision) = decisions.next_if(|decision| decision.at <= tick(t, n as u64)) {
                prop_assert_eq!(decision.at, tick(t, n as u64), "{:?} between two ticks", decision.action);
                told.apply(decision.action, t)?;
            }
            prop_assert_eq!(told.seen, expected, "at tick {}", n);
        }
        prop_assert!(decisions.next().is_none());
    }

    #[test]
    fn steps_of_any_size_lead_to_the_same_decisions(
        schedule in schedules(), extra in vec((0u64..3_000_000).prop_map(Duration::from_micros), 0..60)
    ) {
        let t = start();
        let deadlines_only = play(&schedule, t, &[]);
        prop_assert_eq!(play(&schedule, t, &extra), deadlines_only);
    }

    #[test]
    fn invariants_hold_when_facts_and_timers_come_late(
        schedule in schedules(), delays in vec(0u64..40, 1..50)
    ) {
        let t = start();
        let mut rule = fresh(schedule.policy, t);
        let mut told = Told::default();
        let (mut now, mut decided) = (t, t);
        for (n, &(at, fact)) in schedule.facts.iter().enumerate() {
            now = now.max(tick(t, at) + Duration::from_millis(delays[n % delays.len()]));
            for decision in rule.on_fact(fact, tick(t, at), now) {
                prop_assert!(decision.at >= decided && decision.at <= now, "decisions are in order and in the past");
                decided = decision.at;
                told.apply(decision.action, t)?;
            }
            check(&mut rule, now)?;
            prop_assert_eq!(told.seen.on_air, rule.state().on_air());
        }
        while let Some(due) = rule.deadline() {
            for decision in rule.on_timeout(due) {
                told.apply(decision.action, t)?;
            }
            check(&mut rule, due)?;
        }
        prop_assert!(!rule.state().is_broadcasting(), "without media every broadcast ends");
    }

    #[test]
    fn a_resumed_rule_decides_as_if_nothing_had_happened(schedule in schedules(), crash in 0.0f64..1.0) {
        let t = start();
        let mut whole = fresh(schedule.policy, t);
        let crash = (schedule.facts.len() as f64 * crash) as usize;
        for &(at, fact) in &schedule.facts[..crash] {
            whole.on_fact(fact, tick(t, at), tick(t, at));
        }
        let mut fresh = Rule::resume(whole.state().clone());
        for &(at, fact) in &schedule.facts[crash..] {
            prop_assert_eq!(fresh.on_fact(fact, tick(t, at), tick(t, at)), whole.on_fact(fact, tick(t, at), tick(t, at)));
        }
        prop_assert_eq!(fresh.on_timeout(tick(t, schedule.until)), whole.on_timeout(tick(t, schedule.until)));
    }
}
