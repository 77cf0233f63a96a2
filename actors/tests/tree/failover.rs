//! Two slots: who is on air, at exact times. Timers round up to the next millisecond, and so do publishers here.

use std::time::{Duration, Instant};

use weir_actors::control::{ChooseSlot, NotLive, PutStream, StreamSpec};
use weir_actors::event::EventKind;
use weir_actors::status::JournalEvent;
use weir_actors::{TreeConfig, clock};
use weir_media::failover::{FailoverSpec, Mode, Standby};
use weir_media::id::Slot::{self, Backup, Primary};
use weir_media::id::StreamId;
use weir_policy::failover::InputState;

use crate::support::*;

fn on_air(slot: impl Into<Option<Slot>>) -> EventKind {
    EventKind::OnAirChanged { slot: slot.into() }
}

/// Media from now on; when the first came.
async fn flow(wire: &Wire) -> Instant {
    let first = wire.tell(Cmd::Media).await;
    wire.tell(Cmd::Flow).await;
    first
}

/// One last media; when it came.
async fn last_media(wire: &Wire) -> Instant {
    wire.tell(Cmd::Silence).await;
    wire.tell(Cmd::Media).await
}

/// Waits until `ms` after `from`, at most 1 ms longer.
async fn at(from: Instant, ms: u64) {
    tokio::time::sleep_until((from + Duration::from_millis(ms)).into()).await;
    settle().await;
}

/// Both slots publish for 10 s.
async fn both() -> (Tree, Wire, Wire) {
    let tree = Tree::new().await;
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    flow(&primary).await;
    flow(&backup).await;
    pass(10_100).await;
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.shown), (Some(Primary), Some(Primary)));
    assert_eq!(detail.slots.iter().map(|slot| slot.state).collect::<Vec<_>>(), [InputState::Decoding; 2]);
    let status = tree.board.get(STREAM);
    assert!(status.live && status.backup_live && status.started_at_backup.is_some());
    (tree, primary, backup)
}

/// Backup on air, primary is gone.
async fn on_backup() -> (Tree, Wire) {
    let (tree, primary, backup) = both().await;
    primary.tell(Cmd::Unpublish).await;
    pass(3_000).await;
    assert_eq!(tree.detail().await.on_air, Some(Backup));
    (tree, backup)
}

/// `slot` goes on air `after` ms after `from`, and nothing happens 10 ms before.
async fn switches(tree: &Tree, from: Instant, after: u64, slot: impl Into<Option<Slot>>) {
    let slot = slot.into();
    let before = tree.detail().await.on_air;
    at(from, after - 10).await;
    assert_eq!(tree.detail().await.on_air, before, "{} ms", after - 10);
    at(from, after + 3).await;
    assert_eq!(tree.detail().await.on_air, slot, "{after} ms");
    let switched = ms(from, tree.events.when(&on_air(slot))) as u64;
    assert!((after..=after + 2).contains(&switched), "{switched} ms");
}

#[actix::test]
async fn backup_goes_on_air_three_seconds_after_primarys_last_media() {
    let (tree, primary, backup) = both().await;
    switches(&tree, last_media(&primary).await, 3_000, Backup).await;
    let detail = tree.detail().await;
    assert_eq!((detail.shown, detail.state.as_str()), (Some(Backup), "on_air"));
    let status = tree.board.get(STREAM);
    assert!(!status.live && status.backup_live && status.transcoding);
    assert!(status.finished_at_primary > status.started_at_primary);
    assert_eq!(tree.factory.seen().last().unwrap(), &format!("1: show {}", backup.session), "played out first");
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1);
    let rule = detail.journal.iter().find_map(|entry| match &entry.what {
        JournalEvent::OnAir { slot: Some(Backup), rule } => Some(rule.clone()),
        _ => None,
    });
    assert_eq!(rule.as_deref(), Some("rule 2: primary lost"));
}

#[actix::test]
async fn the_time_of_a_session_that_ends_counts_from_its_last_media() {
    let (tree, primary, _backup) = both().await;
    let last = last_media(&primary).await;
    at(last, 2_000).await;
    primary.tell(Cmd::Unpublish).await;
    switches(&tree, last, 3_000, Backup).await;
}

#[actix::test]
async fn primary_returns_after_sixty_steady_seconds() {
    let (tree, _backup) = on_backup().await;
    let back = tree.wire(3).await;
    let first = flow(&back).await;
    assert!(tree.detail().await.hold_remaining_s.is_some_and(|left| (59.99..=60.0).contains(&left)));
    let status = tree.board.get(STREAM);
    assert!(status.live && status.started_at_primary > status.finished_at_primary);
    switches(&tree, first, 60_000, Primary).await;
    assert_eq!(tree.detail().await.hold_remaining_s, None);
    assert_eq!(tree.factory.seen().last().unwrap(), &format!("1: show {} at once", back.session));
    assert_eq!(tree.board.get(STREAM).started_at_primary, status.started_at_primary);
}

#[test]
fn a_gap_of_three_seconds_at_59_restarts_the_hold_and_a_shorter_one_does_not() {
    for (gap, restarts) in [(2_990, false), (3_010, true)] {
        actix_rt::System::new().block_on(gap_at_59(gap, restarts));
    }
}

async fn gap_at_59(gap: u64, restarts: bool) {
    let (tree, _backup) = on_backup().await;
    let back = tree.wire(3).await;
    let first = flow(&back).await;
    at(first, 59_000).await;
    let last = last_media(&back).await;
    if !restarts {
        switches(&tree, first, 60_000, Primary).await;
    }
    at(last, gap).await;
    let again = flow(&back).await;
    if restarts {
        switches(&tree, again, 60_000, Primary).await;
    } else {
        pass(10_000).await;
        assert_eq!(tree.detail().await.on_air, Some(Primary));
    }
}

#[actix::test]
async fn a_backup_that_dies_in_the_hold_brings_primary_back_at_once() {
    let (tree, backup) = on_backup().await;
    let back = tree.wire(3).await;
    flow(&back).await;
    pass(20_000).await;
    switches(&tree, last_media(&backup).await, 3_000, Primary).await;
    assert!(!tree.board.get(STREAM).backup_live);
    assert_eq!(tree.factory.seen().last().unwrap(), &format!("1: show {}", back.session), "played out first");
}

#[test]
fn when_both_die_the_picture_is_held_and_who_returns_first_goes_on_air() {
    for first in [Primary, Backup] {
        actix_rt::System::new().block_on(both_die(first));
    }
}

async fn both_die(first: Slot) {
    let (tree, primary, backup) = both().await;
    let lost = last_media(&primary).await;
    pass(1_000).await;
    let last = last_media(&backup).await;
    switches(&tree, lost, 3_000, Backup).await;
    switches(&tree, last, 3_000, None).await;
    let (detail, status) = (tree.detail().await, tree.board.get(STREAM));
    assert_eq!(detail.state, "holding");
    assert!(!status.live && !status.backup_live && status.transcoding);
    assert_eq!(tree.factory.seen().last().unwrap(), "1: hold");
    pass(20_000).await;
    let back = if first == Primary { tree.wire(3).await } else { tree.backup(3).await };
    flow(&back).await;
    assert_eq!(tree.detail().await.on_air, Some(first));
    pass(60_000).await;
    assert_eq!(tree.detail().await.on_air, Some(first));
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1, "the same broadcast");
}

#[actix::test]
async fn an_input_that_does_not_decode_is_never_on_air() {
    let tree = Tree::new().await;
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    tree.factory.blind.lock().unwrap().insert(backup.session);
    flow(&primary).await;
    flow(&backup).await;
    pass(10_100).await;
    assert!(!tree.board.get(STREAM).backup_live);
    assert_eq!(tree.detail().await.slots[1].state, InputState::Undecoded);
    switches(&tree, last_media(&primary).await, 3_000, None).await;
    pass(50_000).await;
    assert_eq!(tree.events.count(&on_air(Backup)), 0);
}

#[actix::test]
async fn an_input_that_decodes_only_after_the_broadcasts_end_begins_the_next_one() {
    let (tree, primary, backup) = both().await;
    tree.factory.blind.lock().unwrap().insert(backup.session);
    pass(3_100).await;
    primary.tell(Cmd::Unpublish).await;
    pass(61_000).await;
    assert_eq!((tree.factory.count("1: finish"), tree.events.count(&EventKind::BroadcastEnded)), (1, 1));
    pass(20_000).await;
    assert_eq!(tree.detail().await.slots[1].state, InputState::Undecoded);
    assert!(!backup.ended.is_finished());
    tree.factory.blind.lock().unwrap().clear();
    pass(1_000).await;
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.shown), (Some(Backup), Some(Backup)));
    assert_eq!((tree.factory.count("2: start"), tree.events.count(&EventKind::BroadcastStarted)), (1, 2));
}

#[actix::test]
async fn a_publisher_that_is_silent_at_the_broadcasts_end_begins_the_next_one_only_with_media() {
    let tree = Tree::with(TreeConfig { linger: Duration::from_secs(5), ..TreeConfig::default() }, vec![]).await;
    let primary = tree.wire(1).await;
    flow(&primary).await;
    pass(5_000).await;
    let last = last_media(&primary).await;
    at(last, 8_000).await;
    assert_eq!((tree.factory.count("1: finish"), tree.events.count(&EventKind::BroadcastEnded)), (1, 1));
    assert!(!primary.ended.is_finished(), "it is there");
    assert_eq!(tree.factory.count("2: start"), 0, "what it sent before is no broadcast: {:?}", tree.factory.seen());
    flow(&primary).await;
    pass(1_000).await;
    assert_eq!((tree.factory.count("2: start"), tree.events.count(&EventKind::BroadcastStarted)), (1, 2));
}

#[actix::test]
async fn one_that_never_decoded_and_was_silent_then_is_tried_once_it_sends_again() {
    let tree = Tree::with(TreeConfig { linger: Duration::from_secs(5), ..TreeConfig::default() }, vec![]).await;
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    tree.factory.blind.lock().unwrap().insert(backup.session);
    flow(&primary).await;
    flow(&backup).await;
    pass(5_000).await;
    primary.tell(Cmd::Unpublish).await;
    let last = last_media(&backup).await;
    at(last, 8_000).await;
    assert_eq!((tree.factory.count("1: finish"), tree.factory.count("2: start")), (1, 0), "{:?}", tree.factory.seen());
    flow(&backup).await;
    pass(1_000).await;
    assert_eq!(tree.detail().await.slots[1].state, InputState::Undecoded);
    assert_eq!((tree.factory.count("2: start"), tree.events.count(&EventKind::BroadcastStarted)), (1, 1));
    tree.factory.blind.lock().unwrap().clear();
    pass(1_000).await;
    assert_eq!((tree.detail().await.on_air, tree.events.count(&EventKind::BroadcastStarted)), (Some(Backup), 2));
}

#[actix::test]
async fn pictures_that_stop_are_a_loss_though_units_arrive() {
    let (tree, primary, _backup) = both().await;
    let last = last_media(&primary).await;
    tree.factory.blind.lock().unwrap().insert(primary.session);
    flow(&primary).await;
    switches(&tree, last, 3_000, Backup).await;
    assert_eq!(tree.detail().await.slots[0].state, InputState::Undecoded);
}

#[actix::test]
async fn a_worker_that_dies_meanwhile_moves_no_deadline() {
    let (tree, primary, _backup) = both().await;
    let last = last_media(&primary).await;
    at(last, 1_000).await;
    tree.factory.kill();
    switches(&tree, last, 3_000, Backup).await;
    assert_eq!((tree.detail().await.shown, tree.factory.count("1: start")), (Some(Backup), 2));
}

#[actix::test]
async fn a_worker_that_dies_is_no_loss_of_what_still_arrives() {
    let (tree, _primary, _backup) = both().await;
    tree.factory.kill();
    pass(20_000).await;
    assert_eq!((tree.events.count(&on_air(Primary)), tree.events.count(&on_air(None))), (1, 0));
    assert_eq!(tree.events.count(&EventKind::LiveChanged { slot: Backup, live: false }), 0);
}

#[actix::test]
async fn the_operators_choice_goes_on_air_at_once_and_back_when_it_is_taken_back() {
    let (tree, _primary, backup) = both().await;
    let choose = |slot| tree.root.send(ChooseSlot { stream: STREAM, slot });
    assert_eq!(choose(Some(Backup)).await.unwrap(), Some(Ok(())));
    settle().await;
    assert_eq!(tree.detail().await.on_air, Some(Backup));
    assert_eq!(tree.factory.seen().last().unwrap(), &format!("1: show {} at once", backup.session));
    pass(120_000).await;
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.chosen), (Some(Backup), Some(Backup)), "no hold runs");
    assert_eq!(choose(None).await.unwrap(), Some(Ok(())));
    settle().await;
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.chosen), (Some(Primary), None), "it was steady all the time");
    backup.tell(Cmd::Unpublish).await;
    pass(3_100).await;
    assert_eq!(choose(Some(Backup)).await.unwrap(), Some(Err(NotLive(Backup))));
    let nobody = ChooseSlot { stream: StreamId(7), slot: None };
    assert_eq!(tree.root.send(nobody).await.unwrap(), None);
}

#[actix::test]
async fn a_session_that_reconnects_takes_its_slot_over_when_the_other_is_played_out() {
    let (tree, primary, _backup) = both().await;
    let old = primary.session;
    primary.tell(Cmd::Unpublish).await;
    let again = tree.wire(3).await;
    let before = tree.factory.seen().len();
    flow(&again).await;
    assert_eq!(tree.factory.seen()[before..], [format!("1: show {}", again.session)], "with its first media");
    assert_eq!(tree.detail().await.on_air, Some(Primary));
    let calls = tree.factory.seen();
    let told: Vec<&String> = calls.iter().filter(|call| call.ends_with(&format!(" {old}"))).collect();
    assert_eq!(told, [&format!("1: show {old}"), &format!("1: close {old}")], "nothing takes it off before");
    assert_eq!(tree.events.count(&live(false)), 0);
}

fn warm() -> StreamSpec {
    StreamSpec { failover: FailoverSpec { standby: Standby::Warm, ..FailoverSpec::default() }, ..spec(STREAM) }
}

#[actix::test]
async fn a_warm_primary_is_decoded_two_seconds_before_its_return() {
    let tree = Tree::new().await;
    tree.root.send(PutStream(warm())).await.unwrap();
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    flow(&primary).await;
    flow(&backup).await;
    pass(10_100).await;
    assert_eq!(tree.detail().await.slots[1].state, InputState::Received);
    switches(&tree, last_media(&primary).await, 3_000, Backup).await;
    assert_eq!(tree.detail().await.slots[1].state, InputState::Decoding);
    primary.tell(Cmd::Unpublish).await;
    let back = tree.wire(3).await;
    let first = flow(&back).await;
    at(first, 57_990).await;
    assert_eq!(tree.detail().await.slots[0].state, InputState::Received);
    let asked = clock::now();
    at(first, 58_003).await;
    let prepared =
        tree.factory.calls.lock().unwrap().iter().rev().find(|(_, call)| call == "1: prepare primary").cloned();
    assert!(prepared.is_some_and(|(at, _)| at > asked));
    switches(&tree, first, 60_000, Primary).await;
}

#[actix::test]
async fn how_a_broadcast_fails_over_is_fixed_while_it_runs() {
    let (tree, primary, backup) = both().await;
    let failover = FailoverSpec { mode: Mode::Hitless, ..warm().failover };
    tree.root.send(PutStream(StreamSpec { failover, ..spec(STREAM) })).await.unwrap();
    let settings = |detail: weir_actors::status::StreamDetail| (detail.mode, detail.standby, detail.delay_ms);
    assert_eq!(settings(tree.detail().await), (Mode::Freeze, Standby::Hot, 1_000));
    assert_eq!(tree.detail().await.slots[1].state, InputState::Decoding);
    primary.tell(Cmd::Unpublish).await;
    backup.tell(Cmd::Unpublish).await;
    pass(61_000).await;
    assert_eq!(tree.events.count(&EventKind::BroadcastEnded), 1);
    assert_eq!(settings(tree.detail().await), (Mode::Hitless, Standby::Warm, 1_000));
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    flow(&primary).await;
    flow(&backup).await;
    assert_eq!(tree.detail().await.slots[1].state, InputState::Received);
}
