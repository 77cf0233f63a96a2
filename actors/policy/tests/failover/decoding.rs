//! What counts as media: pictures in hot standby, arrival in warm standby until it is decoded.

use weir_media::id::Slot::{Backup, Primary};
use weir_policy::failover::{Action, Fact, InputState, Law, Loss, Policy, Standby, Timer};

use crate::script::{MS, Script, fresh, id, origin, start};

fn warm() -> Policy {
    Policy { standby: Standby::Warm, ..Policy::default() }
}

#[test]
fn units_without_a_picture_are_never_media() {
    let script = Script::default().connect(0, Backup, 2).units(2, 0, 100_000);
    assert_eq!(script.clone().play(Policy::default(), 100_000), [(0, Action::Prepare(Backup))]);
    let script = script.publish(Primary, 1, 0, 10_000);
    let log = script.on_air(Policy::default(), 100_000);
    assert_eq!(log[1..], [(13_000, Action::OnAir(None, Law::PrimaryLost))], "not backup");
}

#[test]
fn pictures_that_stop_are_a_loss_three_seconds_after_the_last() {
    let script =
        Script::default().publish(Primary, 1, 0, 10_000).units(1, 10_000, 50_000).publish(Backup, 2, 0, 50_000);
    let log = script.play_from(Policy::default(), 10_000, 50_000);
    let expected =
        [(13_000, Action::Lost(Primary, Loss::Undecoded)), (13_000, Action::OnAir(Some(Backup), Law::PrimaryLost))];
    assert_eq!(log, expected);
}

#[test]
fn an_input_that_was_given_up_is_lost_three_seconds_after_its_last_picture() {
    let script = Script::default()
        .publish(Primary, 1, 0, 10_000)
        .fact(10_100, Fact::Undecodable(id(1)))
        .units(1, 10_100, 50_000);
    let log = script.play_from(Policy::default(), 10_000, 13_000);
    assert_eq!(
        log[..2],
        [(13_000, Action::Lost(Primary, Loss::Undecoded)), (13_000, Action::OnAir(None, Law::PrimaryLost))]
    );
}

#[test]
fn sound_alone_is_silence() {
    // Only video is told at all, so an encoder that goes on with sound only falls silent here.
    let script = Script::default().publish(Primary, 1, 0, 10_000);
    let log = script.play_from(Policy::default(), 10_001, 13_000);
    assert_eq!(log[0], (13_000, Action::Lost(Primary, Loss::Silent)));
}

#[test]
fn a_publisher_that_left_is_lost_after_the_stall_too_and_told_so() {
    let script = Script::default().publish(Primary, 1, 0, 10_000).fact(10_050, Fact::Ended(id(1)));
    let log = script.play_from(Policy::default(), 10_100, 13_000);
    assert_eq!(log[0], (13_000, Action::Lost(Primary, Loss::Ended)));
}

#[test]
fn a_proven_input_stays_live_by_arrival_while_there_is_no_worker() {
    let script = Script::default().publish(Primary, 1, 0, 10_000).fact(10_000, Fact::Decoding(id(1), false));
    let script = script.units(1, 10_000, 20_000).fact(20_000, Fact::Decoding(id(1), true)).units(1, 20_000, 22_900);
    assert_eq!(script.clone().play_from(Policy::default(), 10_000, 22_999), []);
    let log = script.units(1, 22_900, 30_000).play_from(Policy::default(), 10_000, 30_000);
    assert_eq!(log[0], (23_000, Action::Lost(Primary, Loss::Undecoded)), "the new worker shows nothing for 3 s");
}

#[test]
fn a_warm_standby_is_media_by_arrival() {
    let script = Script::default().publish(Primary, 1, 0, 10_000);
    let script = script.fact(0, Fact::Admitted(Backup, id(2))).units(2, 0, 15_000);
    let log = script.play_from(warm(), 10_000, 14_000);
    let expected = [
        (13_000, Action::Lost(Primary, Loss::Silent)),
        (13_000, Action::OnAir(Some(Backup), Law::PrimaryLost)),
        (13_000, Action::Rest(Primary)),
        (13_000, Action::Prepare(Backup)),
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_warm_standby_that_does_not_decode_is_lost_once_and_needs_a_picture_to_return() {
    let script = Script::default().publish(Primary, 1, 0, 10_000);
    let script =
        script.fact(0, Fact::Admitted(Backup, id(2))).units(2, 0, 60_000).fact(13_010, Fact::Decoding(id(2), true));
    let log = script.clone().play_from(warm(), 13_001, 40_000);
    assert_eq!(log[0], (16_010, Action::Lost(Backup, Loss::Undecoded)));
    assert_eq!(log[1], (16_010, Action::OnAir(None, Law::BackupLost)));
    assert!(!log.iter().any(|(_, action)| matches!(action, Action::Rest(Backup) | Action::Live(_))), "{log:?}");
    let log = script.fact(30_000, Fact::Decoded(id(2))).play_from(warm(), 16_011, 30_000);
    assert_eq!(
        log,
        [
            (30_000, Action::Live(Backup)),
            (30_000, Action::OnAir(Some(Backup), Law::Media)),
            (30_000, Action::Cancelled(Timer::Linger)),
        ]
    );
}

/// Warm: primary lost at 13 s, back at 20 s and not decoded, GOP 1.5 s.
fn warm_return() -> Script {
    let script = Script::default().publish(Primary, 1, 0, 10_000).publish(Backup, 2, 0, 200_000);
    let script = script.fact(20_000, Fact::Admitted(Primary, id(3))).units(3, 20_000, 200_000);
    script.fact(20_000, Fact::Gop(id(3), MS(1_500)))
}

#[test]
fn a_warm_primary_is_prepared_one_gop_before_its_return() {
    let script = warm_return().fact(78_510, Fact::Decoding(id(3), true)).fact(78_600, Fact::Decoded(id(3)));
    let log = script.play_from(warm(), 20_000, 90_000);
    let expected = [
        (20_000, Action::Live(Primary)),
        (20_000, Action::Armed(Timer::Hold, origin() + MS(80_000))),
        (78_500, Action::Prepare(Primary)),
        (80_000, Action::Fired(Timer::Hold)),
        (80_000, Action::OnAir(Some(Primary), Law::HoldOver)),
        (80_000, Action::Rest(Backup)),
    ];
    assert_eq!(log[..6], expected);
}

#[test]
fn a_return_waits_for_the_first_picture_and_never_comes_without() {
    let script = warm_return().fact(79_000, Fact::Decoding(id(3), true));
    let returned = |log: &[(u64, Action)]| {
        log.iter().copied().find(|(_, action)| matches!(action, Action::OnAir(Some(Primary), _)))
    };
    let log = script.clone().fact(80_700, Fact::Decoded(id(3))).play_from(warm(), 20_000, 81_000);
    assert_eq!(returned(&log), Some((80_700, Action::OnAir(Some(Primary), Law::HoldOver))));
    let log = script.play_from(warm(), 20_000, 200_000);
    assert_eq!(returned(&log), None);
    assert!(log.contains(&(82_000, Action::Lost(Primary, Loss::Undecoded))));
}

#[test]
fn a_hold_that_breaks_lets_a_prepared_primary_rest() {
    let script = Script::default().publish(Primary, 1, 0, 10_000).publish(Backup, 2, 0, 200_000);
    let script = script.fact(20_000, Fact::Admitted(Primary, id(3))).units(3, 20_000, 76_000);
    let log = script.play_from(warm(), 76_001, 90_000);
    let expected = [
        (78_000, Action::Prepare(Primary)),
        (79_000, Action::Lost(Primary, Loss::Silent)),
        (79_000, Action::Rest(Primary)),
        (79_000, Action::Cancelled(Timer::Hold)),
    ];
    assert_eq!(log, expected, "2 s before the return while the GOP is unknown");
}

#[test]
fn operators_see_how_an_input_is_doing() {
    let t = start();
    let mut rule = fresh(Policy::default(), t);
    let mut state_after = |at: u64, fact: Fact| {
        rule.on_fact(fact, t + MS(at), t + MS(at));
        rule.state().input_state(Primary)
    };
    assert_eq!(state_after(0, Fact::Locked(false)), InputState::Absent);
    assert_eq!(state_after(0, Fact::Admitted(Primary, id(1))), InputState::Silent);
    assert_eq!(state_after(100, Fact::Arrived(id(1))), InputState::Undecoded);
    assert_eq!(state_after(100, Fact::Decoding(id(1), true)), InputState::Undecoded);
    assert_eq!(state_after(200, Fact::Decoded(id(1))), InputState::Decoding);
    assert_eq!(state_after(300, Fact::Decoding(id(1), false)), InputState::Received);
    assert_eq!(state_after(3_100, Fact::Locked(false)), InputState::Silent);
    assert_eq!(state_after(3_200, Fact::Ended(id(1))), InputState::Absent);
}
