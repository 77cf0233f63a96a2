//! What mode `hitless` adds: underruns and locks count towards the hold.

use weir_media::id::Slot::{Backup, Primary};
use weir_policy::failover::{Action, Fact, Law, Mode, Policy, Standby};

use crate::script::{Script, id};

/// Both publish and have content from 1 s on; locked at 8 s.
fn pair(primary_end: u64, backup_end: u64) -> Script {
    let script = Script::default().publish(Primary, 1, 0, primary_end).publish(Backup, 2, 0, backup_end);
    let script = script.fact(1_000, Fact::Content(id(1), true)).fact(1_000, Fact::Content(id(2), true));
    script.fact(8_000, Fact::Locked(true))
}

fn hitless() -> Policy {
    Policy { mode: Mode::Hitless, ..Policy::default() }
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

#[test]
fn a_warm_primary_that_nobody_decodes_is_prepared_and_returns() {
    let script = pair(10_000, 300_000).publish(Primary, 3, 20_000, 300_000).fact(26_000, Fact::Locked(true));
    // The worker decodes it once it is told to.
    let script = script.fact(78_200, Fact::Decoding(id(3), true)).fact(78_400, Fact::Decoded(id(3)));
    let warm = Policy { standby: Standby::Warm, ..hitless() };
    let log = script.on_air(warm, 300_000);
    let at = |wanted| log.iter().find(|(_, action)| *action == wanted).map(|(at, _)| *at);
    assert_eq!(at(Action::OnAir(Some(Primary), Law::HoldOver)), Some(80_000));
}
