//! What the modes add: covers of a content-locked pair in `freeze`, underruns and locks in `hitless`.

use weir_media::id::Slot::{Backup, Primary};
use weir_policy::failover::rule::{Action, CoverEnd, Fact, Law, Loss, Mode, Policy, Standby, Timer};

use crate::script::{MS, Script, id, origin};

/// Both publish and have content from 1 s on; locked at 8 s.
fn pair(primary_end: u64, backup_end: u64) -> Script {
    let script = Script::default().publish(Primary, 1, 0, primary_end).publish(Backup, 2, 0, backup_end);
    let script = script.fact(1_000, Fact::Content(id(1), true)).fact(1_000, Fact::Content(id(2), true));
    script.fact(8_000, Fact::Locked(true))
}

fn hitless() -> Policy {
    Policy { mode: Mode::Hitless, ..Policy::default() }
}

#[test]
fn a_cover_begins_with_the_underrun_and_ends_after_two_steady_seconds() {
    let script =
        pair(20_000, 20_000).fact(10_150, Fact::Content(id(1), false)).fact(11_000, Fact::Content(id(1), true));
    let log = script.play_from(Policy::default(), 8_000, 19_000);
    let expected = [
        (10_150, Action::Cover(Backup)),
        (11_000, Action::Armed(Timer::Cover, origin() + MS(13_000))),
        (13_000, Action::Fired(Timer::Cover)),
        (13_000, Action::CoverEnded(Backup, CoverEnd::Steady)),
    ];
    assert_eq!(log, expected, "live and on air unchanged");
}

#[test]
fn an_underrun_inside_the_two_seconds_restarts_them() {
    let script =
        pair(20_000, 20_000).fact(10_000, Fact::Content(id(1), false)).fact(11_000, Fact::Content(id(1), true));
    let script = script.fact(12_999, Fact::Content(id(1), false)).fact(13_100, Fact::Content(id(1), true));
    let log = script.play_from(Policy::default(), 12_000, 19_000);
    assert_eq!(
        log[..2],
        [(12_999, Action::Cancelled(Timer::Cover)), (13_100, Action::Armed(Timer::Cover, origin() + MS(15_100)))]
    );
    assert_eq!(log[3], (15_100, Action::CoverEnded(Backup, CoverEnd::Steady)));
}

#[test]
fn the_law_switches_three_seconds_after_the_last_media_whatever_covers() {
    let script = pair(10_000, 20_000).fact(10_150, Fact::Content(id(1), false));
    let log = script.play_from(Policy::default(), 10_001, 19_000);
    let expected = [
        (10_150, Action::Cover(Backup)),
        (13_000, Action::Lost(Primary, Loss::Silent)),
        (13_000, Action::OnAir(Some(Backup), Law::PrimaryLost)),
        (13_000, Action::CoverEnded(Backup, CoverEnd::Switched)),
    ];
    assert_eq!(log, expected);
}

#[test]
fn primary_covers_for_backup_during_its_hold() {
    let script = pair(10_000, 30_000).publish(Primary, 3, 15_000, 40_000).fact(15_500, Fact::Content(id(3), true));
    let script = script.fact(22_000, Fact::Locked(true)).fact(30_150, Fact::Content(id(2), false));
    let log = script.play_from(Policy::default(), 23_000, 40_000);
    let expected = [
        (30_150, Action::Cover(Primary)),
        (33_000, Action::Lost(Backup, Loss::Silent)),
        (33_000, Action::OnAir(Some(Primary), Law::BackupLost)),
        (33_000, Action::CoverEnded(Primary, CoverEnd::Switched)),
        (33_000, Action::Cancelled(Timer::Hold)),
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_covering_slot_without_content_shows_nothing() {
    let script =
        pair(20_000, 20_000).fact(10_000, Fact::Content(id(1), false)).fact(10_500, Fact::Content(id(2), false));
    let log = script.play_from(Policy::default(), 10_000, 11_000);
    assert_eq!(log, [(10_000, Action::Cover(Backup)), (10_500, Action::CoverEnded(Backup, CoverEnd::NoContent))]);
}

#[test]
fn nothing_covers_unless_locked_hot_and_in_freeze() {
    let covers = |script: Script, policy: Policy| {
        let log = script.fact(10_150, Fact::Content(id(1), false)).play(policy, 12_000);
        log.iter().any(|(_, action)| matches!(action, Action::Cover(_)))
    };
    assert!(covers(pair(20_000, 20_000), Policy::default()));
    assert!(!covers(pair(20_000, 20_000).fact(9_000, Fact::Locked(false)), Policy::default()));
    assert!(!covers(pair(20_000, 20_000), Policy { standby: Standby::Warm, ..Policy::default() }));
    assert!(!covers(pair(20_000, 20_000), hitless()));
    assert!(!covers(pair(20_000, 5_000), Policy::default()), "backup is lost");
    let reconnected = pair(20_000, 9_000).publish(Backup, 3, 9_100, 20_000).fact(9_200, Fact::Content(id(3), true));
    assert!(!covers(reconnected, Policy::default()), "the lock was one of other sessions");
}

/// Hitless, primary back at 20 s with content, locked at 26 s.
fn hitless_return() -> Script {
    let script = pair(10_000, 300_000).publish(Primary, 3, 20_000, 300_000);
    script.fact(20_500, Fact::Content(id(3), true)).fact(26_000, Fact::Locked(true))
}

fn returned(script: Script) -> Option<u64> {
    let log = script.on_air(hitless(), 300_000);
    log.iter().find(|(_, action)| *action == Action::OnAir(Some(Primary), Law::HoldOver)).map(|(at, _)| *at)
}

#[test]
fn in_hitless_every_underrun_restarts_the_hold() {
    assert_eq!(returned(hitless_return()), Some(80_500), "from its first content on");
    let underrun = hitless_return().fact(80_000, Fact::Content(id(3), false)).fact(80_100, Fact::Content(id(3), true));
    assert_eq!(returned(underrun), Some(140_100));
}

#[test]
fn in_hitless_a_return_waits_for_the_lock_but_not_for_ever() {
    assert_eq!(returned(hitless_return().fact(27_000, Fact::Locked(false))), Some(100_500));
    let late = hitless_return().fact(27_000, Fact::Locked(false)).fact(90_000, Fact::Locked(true));
    assert_eq!(returned(late), Some(90_000));
}
