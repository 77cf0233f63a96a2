//! Rules 1 to 4, the end of a broadcast, the operator's choice: at exact instants.

use std::time::Duration;

use weir_media::id::Slot::{self, Backup, Primary};
use weir_policy::failover::{Action, Fact, InputState, Law, Loss, Mode, Policy, Rule, Standby, Timer};

use crate::script::{MS, Script, fresh, id, origin, start};

fn on_air(slot: Slot, law: Law) -> Action {
    Action::OnAir(Some(slot), law)
}

fn hold_picture(law: Law) -> Action {
    Action::OnAir(None, law)
}

fn armed(timer: Timer, due: u64) -> Action {
    Action::Armed(timer, origin() + MS(due))
}

/// Primary from 0 to `primary_end`, backup from 1 s on.
fn both(primary_end: u64, backup_end: u64) -> Script {
    Script::default().publish(Primary, 1, 0, primary_end).publish(Backup, 2, 1_000, backup_end)
}

/// Primary lost at 10 s, so backup is on air from 13 s; backup ends at `backup_end`.
fn on_backup(backup_end: u64) -> Script {
    both(10_000, backup_end)
}

const TO_BACKUP: [(u64, Action); 2] =
    [(0, Action::OnAir(Some(Primary), Law::Media)), (13_000, Action::OnAir(Some(Backup), Law::PrimaryLost))];

#[test]
fn three_seconds_of_silence_switch_and_not_a_nanosecond_less() {
    let t = start();
    let mut rule = fresh(Policy::default(), t);
    for (at, fact) in both(10_000, 12_900).facts() {
        rule.on_fact(fact, t + MS(at), t + MS(at));
    }
    assert_eq!(rule.on_timeout(t + MS(12_990)), [], "2.99 s");
    assert_eq!(rule.deadline(), Some(t + MS(13_000)));
    assert_eq!(rule.on_timeout(t + MS(13_000) - Duration::from_nanos(1)), []);
    let actions: Vec<Action> = rule.on_timeout(t + MS(13_000)).into_iter().map(|decision| decision.action).collect();
    let silent = Action::Input(Primary, Some(id(1)), InputState::Silent);
    assert_eq!(actions, [Action::Lost(Primary, Loss::Silent), silent, on_air(Backup, Law::PrimaryLost)]);
}

#[test]
fn gaps_under_three_seconds_never_switch() {
    let mut script = Script::default().publish(Primary, 1, 0, 0).publish(Backup, 2, 0, 300_000);
    for at in (2_999..300_000).step_by(2_999) {
        script = script.media(at, 1);
    }
    assert_eq!(script.on_air(Policy::default(), 300_000), [(0, on_air(Primary, Law::Media))]);
}

#[test]
fn a_gap_of_exactly_three_seconds_is_a_loss() {
    let script = on_backup(100_000).media(13_000, 1);
    assert_eq!(script.on_air(Policy::default(), 15_000), TO_BACKUP);
}

#[test]
fn primary_returns_after_sixty_steady_seconds_exactly() {
    let script = on_backup(200_000).publish(Primary, 3, 20_000, 200_000);
    assert_eq!(script.clone().on_air(Policy::default(), 79_999), TO_BACKUP);
    let expected = [
        (20_000, Action::Live(Primary)),
        (20_000, armed(Timer::Hold, 80_000)),
        (80_000, Action::Fired(Timer::Hold)),
        (80_000, on_air(Primary, Law::HoldOver)),
    ];
    assert_eq!(script.play_from(Policy::default(), 13_001, 80_000), expected);
}

#[test]
fn a_gap_at_59_seconds_restarts_the_hold_and_a_shorter_one_does_not() {
    let back_after = |gap: u64| {
        let script = on_backup(300_000).publish(Primary, 3, 20_000, 79_000).stream(3, 79_000 + gap, 300_000);
        script.on_air(Policy::default(), 300_000).last().copied()
    };
    assert_eq!(back_after(2_999), Some((80_000, on_air(Primary, Law::HoldOver))));
    assert_eq!(back_after(3_000), Some((142_000, on_air(Primary, Law::HoldOver))));
    assert_eq!(back_after(3_001), Some((142_001, on_air(Primary, Law::HoldOver))));
}

#[test]
fn a_reconnect_restarts_the_hold_though_no_gap_is_seen() {
    let script = on_backup(300_000).publish(Primary, 3, 20_000, 79_000).fact(79_000, Fact::Ended(id(3)));
    let log = script.publish(Primary, 4, 79_400, 300_000).play_from(Policy::default(), 79_000, 139_400);
    let expected = [
        (79_000, Action::Cancelled(Timer::Hold)),
        (79_400, armed(Timer::Hold, 139_400)),
        (139_400, Action::Fired(Timer::Hold)),
        (139_400, on_air(Primary, Law::HoldOver)),
    ];
    let told: Vec<_> =
        log.into_iter().filter(|(_, action)| !matches!(action, Action::Prepare(_) | Action::Rest(_))).collect();
    assert_eq!(told, expected, "and live all the time");
}

#[test]
fn a_primary_that_left_is_not_steady_though_it_is_still_live() {
    let script = on_backup(300_000).publish(Primary, 3, 20_000, 79_900).fact(79_900, Fact::Ended(id(3)));
    assert_eq!(script.on_air(Policy::default(), 300_000), TO_BACKUP);
}

#[test]
fn backup_lost_during_the_hold_brings_primary_back_at_once() {
    let script = on_backup(30_000).publish(Primary, 3, 20_000, 100_000);
    let log = script.play_from(Policy::default(), 20_001, 100_000);
    let lost = [
        (33_000, Action::Lost(Backup, Loss::Silent)),
        (33_000, on_air(Primary, Law::BackupLost)),
        (33_000, Action::Cancelled(Timer::Hold)),
    ];
    assert_eq!(log, lost);
}

#[test]
fn a_loss_at_the_instant_the_hold_is_over_is_told_as_the_loss() {
    let log = on_backup(77_000).publish(Primary, 3, 20_000, 100_000).on_air(Policy::default(), 100_000);
    assert_eq!(log[2..], [(80_000, on_air(Primary, Law::BackupLost))]);
}

#[test]
fn a_linger_shorter_than_the_stall_ends_the_broadcast_with_the_stall() {
    let policy = Policy { linger: MS(1_000), ..Policy::default() };
    let log = Script::default().publish(Primary, 1, 0, 10_000).play_from(policy, 10_001, 20_000);
    let expected = [
        (13_000, Action::Lost(Primary, Loss::Silent)),
        (13_000, hold_picture(Law::PrimaryLost)),
        (13_000, Action::End),
    ];
    assert_eq!(log, expected);
}

#[test]
fn both_lost_holds_the_picture_and_the_first_to_return_goes_on_air() {
    let held = (14_000, hold_picture(Law::BackupLost));
    let silent = on_backup(11_000);
    let log = silent.clone().play_from(Policy::default(), 13_000, 70_000);
    let expected = [
        (13_000, Action::Lost(Primary, Loss::Silent)),
        (13_000, on_air(Backup, Law::PrimaryLost)),
        (14_000, Action::Lost(Backup, Loss::Silent)),
        held,
        (14_000, armed(Timer::Linger, 71_000)),
    ];
    assert_eq!(log, expected);
    for (first, session) in [(Primary, 1), (Backup, 2)] {
        let script = silent.clone().stream(session, 30_000, 40_000);
        let log = script.on_air(Policy::default(), 40_000);
        assert_eq!(log[2..], [held, (30_000, on_air(first, Law::Media))]);
    }
}

#[test]
fn linger_ends_the_broadcast_exactly_and_a_return_before_continues_it() {
    let alone = Script::default().publish(Primary, 1, 0, 10_000);
    let log = alone.clone().play_from(Policy::default(), 10_001, 200_000);
    let expected = [
        (13_000, Action::Lost(Primary, Loss::Silent)),
        (13_000, hold_picture(Law::PrimaryLost)),
        (13_000, armed(Timer::Linger, 70_000)),
        (70_000, Action::Fired(Timer::Linger)),
        (70_000, Action::End),
    ];
    let told: Vec<_> = log.into_iter().filter(|(_, action)| !matches!(action, Action::Rest(_))).collect();
    assert_eq!(told, expected);

    let returned = alone.clone().media(69_999, 1).play_from(Policy::default(), 14_000, 69_999);
    let expected = [
        (69_999, Action::Live(Primary)),
        (69_999, on_air(Primary, Law::Media)),
        (69_999, Action::Cancelled(Timer::Linger)),
    ];
    assert_eq!(returned, expected);

    let late = alone.media(70_000, 1).play_from(Policy::default(), 70_000, 70_000);
    let expected = [
        (70_000, Action::Fired(Timer::Linger)),
        (70_000, Action::End),
        (70_000, Action::Begin),
        (70_000, Action::Live(Primary)),
        (70_000, on_air(Primary, Law::Media)),
    ];
    assert_eq!(late, expected, "a new broadcast");
}

#[test]
fn primary_takes_over_at_once_when_both_begin_together() {
    let first = |behind: u64| {
        let script = Script::default().publish(Backup, 2, 0, 200_000).publish(Primary, 1, behind, 200_000);
        script.on_air(Policy::default(), 200_000)
    };
    let begin = (0, on_air(Backup, Law::Media));
    assert_eq!(first(200), [begin, (200, on_air(Primary, Law::Opening))]);
    assert_eq!(first(2_999), [begin, (2_999, on_air(Primary, Law::Opening))]);
    assert_eq!(first(3_000), [begin, (63_000, on_air(Primary, Law::HoldOver))]);
}

#[test]
fn only_the_begin_of_a_broadcast_is_one() {
    // Primary has been on air: what it comes back to is no begin, however young the broadcast is.
    let policy = Policy { stall: MS(1_000), ..Policy::default() };
    let script = both(1_500, 200_000).publish(Primary, 3, 2_600, 200_000);
    let longer = script.clone().fact(2_550, Fact::Configured(Policy::default()));
    for script in [script, longer] {
        let log = script.on_air(policy, 30_000);
        assert_eq!(log, [(0, on_air(Primary, Law::Media)), (2_500, on_air(Backup, Law::PrimaryLost))]);
    }
    // The next broadcast has a begin of its own.
    let script = Script::default().publish(Primary, 1, 0, 1_000).publish(Backup, 2, 100_000, 200_000);
    let log = script.publish(Primary, 3, 100_500, 200_000).on_air(Policy::default(), 200_000);
    assert_eq!(log[2..], [(100_000, on_air(Backup, Law::Media)), (100_500, on_air(Primary, Law::Opening))]);
}

#[test]
fn an_operators_choice_at_the_begin_stays() {
    let script = Script::default().publish(Backup, 2, 0, 200_000).fact(100, Fact::Chosen(Some(Backup)));
    let log = script.publish(Primary, 1, 200, 200_000).on_air(Policy::default(), 30_000);
    assert_eq!(log, [(0, on_air(Backup, Law::Media))]);
}

#[test]
fn an_operators_choice_goes_on_air_without_a_hold_and_stays_until_taken_back() {
    let script = both(300_000, 300_000).fact(5_000, Fact::Chosen(Some(Backup)));
    let log = script.clone().on_air(Policy::default(), 300_000);
    assert_eq!(log[1..], [(5_000, on_air(Backup, Law::Operator))]);
    let log = script.fact(100_000, Fact::Chosen(None)).on_air(Policy::default(), 300_000);
    assert_eq!(log[2..], [(100_000, on_air(Primary, Law::HoldOver))], "long steady");
}

#[test]
fn an_operators_choice_ends_with_its_slot_and_needs_a_live_one() {
    let script = both(200_000, 10_000).fact(5_000, Fact::Chosen(Some(Backup))).stream(2, 20_000, 100_000);
    let log = script.clone().on_air(Policy::default(), 100_000);
    assert_eq!(log[1..], [(5_000, on_air(Backup, Law::Operator)), (13_000, on_air(Primary, Law::BackupLost))]);
    let refused = script.fact(15_000, Fact::Chosen(Some(Backup))).play_from(Policy::default(), 15_000, 19_000);
    assert_eq!(refused, [(15_000, Action::ChoiceRefused(Backup))]);
}

#[test]
fn new_numbers_hold_at_once_and_a_new_mode_with_the_next_broadcast() {
    let t = start();
    let mut rule = fresh(Policy::default(), t);
    for (at, fact) in both(10_000, 10_000).facts() {
        rule.on_fact(fact, t + MS(at), t + MS(at));
    }
    let changed = Policy { stall: MS(1_000), linger: MS(20_000), mode: Mode::Hitless, ..Policy::default() };
    rule.on_fact(Fact::Configured(changed), t + MS(10_500), t + MS(10_500));
    assert_eq!((rule.deadline(), rule.state().mode()), (Some(t + MS(11_000)), Mode::Freeze));
    rule.on_timeout(t + MS(11_000));
    assert_eq!((rule.deadline(), rule.state().mode()), (Some(t + MS(30_000)), Mode::Freeze));
    rule.on_timeout(t + MS(30_000));
    assert_eq!((rule.state().is_broadcasting(), rule.state().mode()), (false, Mode::Hitless));
}

#[test]
fn a_late_timer_decides_as_of_when_it_was_due_and_a_second_one_nothing() {
    let t = start();
    let mut rule = fresh(Policy::default(), t);
    for (at, fact) in on_backup(10_500).facts() {
        rule.on_fact(fact, t + MS(at), t + MS(at));
    }
    let late = t + MS(500_000);
    let decided: Vec<u64> =
        rule.on_timeout(late).into_iter().map(|decision| (decision.at - t).as_millis() as u64).collect();
    assert_eq!(decided, [13_000, 13_000, 13_000, 13_500, 13_500, 13_500, 13_500, 70_500, 70_500]);
    assert_eq!((rule.on_timeout(late), rule.deadline()), (vec![], None));
}

#[test]
fn media_told_late_is_media_when_it_arrived() {
    let t = start();
    let mut rule = fresh(Policy::default(), t);
    for (at, fact) in both(10_000, 20_000).facts().into_iter().filter(|(at, _)| *at <= 12_750) {
        rule.on_fact(fact, t + MS(at), t + MS(at));
    }
    let told = rule.on_fact(Fact::Arrived(id(1)), t + MS(12_900), t + MS(12_990));
    assert_eq!(told, [], "its picture is not told yet");
    let told = rule.on_fact(Fact::Decoded(id(1)), t + MS(12_950), t + MS(13_100));
    assert_eq!(told, [], "the picture was in time, only its report was not");
}

#[test]
fn what_is_told_of_an_earlier_session_counts_for_nothing() {
    let script = Script::default().publish(Primary, 1, 0, 1_000).connect(1_100, Primary, 2).stream(1, 1_200, 9_000);
    let log = script.on_air(Policy::default(), 9_000);
    assert_eq!(log[1..], [(4_000, hold_picture(Law::PrimaryLost))]);
}

#[test]
fn an_operators_choice_waits_for_pictures() {
    let script = both(300_000, 3_000).fact(3_500, Fact::Decoding(id(2), false)).units(2, 3_500, 9_000);
    let script = script.fact(5_000, Fact::Chosen(Some(Backup))).fact(7_000, Fact::Decoding(id(2), true));
    assert_eq!(
        script.clone().on_air(Policy::default(), 7_400).len(),
        1,
        "nothing to show: the worker has only begun to decode it"
    );
    let log = script.media(7_500, 2).on_air(Policy::default(), 7_500);
    assert_eq!(log[1..], [(7_500, on_air(Backup, Law::Operator))]);
}

#[test]
fn a_choice_that_never_shows_a_picture_ends_with_its_slot() {
    let script = both(300_000, 3_000).fact(3_500, Fact::Decoding(id(2), false)).units(2, 3_500, 100_000);
    let script = script.fact(5_000, Fact::Chosen(Some(Backup))).fact(7_000, Fact::Decoding(id(2), true));
    let log = script.fact(20_000, Fact::Decoded(id(2))).play_from(Policy::default(), 5_000, 22_000);
    assert_eq!(log, [(10_000, Action::Lost(Backup, Loss::Undecoded)), (20_000, Action::Live(Backup))]);
}

#[test]
fn a_warm_choice_is_decoded_first_and_goes_on_air_with_its_first_picture() {
    let warm = Policy { standby: Standby::Warm, ..Policy::default() };
    let script = Script::default().publish(Primary, 1, 0, 100_000);
    let script =
        script.fact(0, Fact::Admitted(Backup, id(2))).units(2, 0, 100_000).fact(5_000, Fact::Chosen(Some(Backup)));
    let script = script.fact(5_010, Fact::Decoding(id(2), true)).fact(5_200, Fact::Decoded(id(2)));
    let log = script.play_from(warm, 5_000, 6_000);
    let expected =
        [(5_000, Action::Prepare(Backup)), (5_200, on_air(Backup, Law::Operator)), (5_200, Action::Rest(Primary))];
    assert_eq!(log, expected);
}

/// What `script` decides when the actor of the rule is away from `crash` until `back`, and is told then what it missed.
fn resumed(script: Script, crash: u64, back: u64, until: u64) -> Vec<(u64, Action)> {
    let t = start();
    let (mut rule, mut decisions) = (fresh(Policy::default(), t), vec![]);
    let mut facts = script.facts().into_iter().filter(|(at, _)| *at <= until).peekable();
    while let Some((at, fact)) = facts.next_if(|(at, _)| *at <= crash) {
        decisions.extend(rule.on_fact(fact, t + MS(at), t + MS(at)));
    }
    let mut rule = Rule::resume(rule.state().clone());
    for (at, fact) in facts {
        decisions.extend(rule.on_fact(fact, t + MS(at), t + MS(at)));
        if at > back {
            assert_eq!(rule.on_timeout(t + MS(at)), [], "nothing is late any more");
        }
    }
    decisions.extend(rule.on_timeout(t + MS(until)));
    decisions.retain(|decision| !matches!(decision.action, Action::Input(..)));
    decisions.into_iter().map(|decision| ((decision.at - t).as_millis() as u64, decision.action)).collect()
}

#[test]
fn a_fresh_rule_goes_on_where_a_crashed_one_stopped() {
    let script = on_backup(200_000).publish(Primary, 3, 20_000, 200_000);
    let log = resumed(script, 40_000, 46_000, 90_000);
    let switches: Vec<_> = log.into_iter().filter(|(_, action)| matches!(action, Action::OnAir(..))).collect();
    assert_eq!(switches[..2], TO_BACKUP);
    assert_eq!(switches[2..], [(80_000, on_air(Primary, Law::HoldOver))]);
}

#[test]
fn a_gap_while_the_rule_was_away_restarts_the_hold() {
    let back = |gap: u64| {
        let script = on_backup(300_000).publish(Primary, 3, 20_000, 40_000).stream(3, 40_000 + gap, 300_000);
        let log = resumed(script, 39_000, 46_000, 300_000);
        log.into_iter().find(|(_, action)| *action == on_air(Primary, Law::HoldOver)).map(|(at, _)| at)
    };
    assert_eq!(back(2_999), Some(80_000));
    assert_eq!(back(3_000), Some(103_000));
    assert_eq!(back(5_000), Some(105_000));
}
