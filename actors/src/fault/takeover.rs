//! A FailoverActor that panics in between: the next one decides as if nothing had happened.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use weir_media::id::Slot::{self, Backup, Primary};

use super::tests::support::{Cmd, STREAM, Tree, live, ms, pass, settle};
use super::{arm, is_spent};
use crate::event::EventKind;

fn on_air(slot: Slot) -> EventKind {
    EventKind::OnAirChanged { slot: Some(slot) }
}

async fn at(from: Instant, ms: u64) {
    tokio::time::sleep_until((from + Duration::from_millis(ms)).into()).await;
    settle().await;
}

/// Restarts of the stream's FailoverActor.
async fn restarts(tree: &Tree) -> u32 {
    tree.node(&["StreamSupervisor", "FailoverActor"]).await.unwrap().restarts
}

#[actix::test]
async fn a_failover_actor_that_panics_goes_on_from_the_known_state() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    let last = wire.tell(Cmd::Media).await;
    pass(1_000).await;
    arm("FailoverActor: Probe");
    tree.tree().await;
    pass(1_980).await;
    let failover = tree.node(&["StreamSupervisor", "FailoverActor"]).await.unwrap();
    assert_eq!((failover.restarts, is_spent()), (1, true));
    assert!(tree.board.get(STREAM).live, "2.98 s after the last media");
    pass(1_000).await;
    let edge = ms(last, tree.events.when(&live(false)));
    assert!((3_000..=3_002).contains(&edge), "{edge} ms: the new actor kept the old deadline");
    assert_eq!((tree.events.count(&live(true)), tree.events.count(&live(false))), (1, 1), "each edge once");
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1);
}

#[test]
fn a_panic_anywhere_moves_no_switch() {
    for entry in ["FailoverActor: Told", "FailoverActor: timer", "FailoverActor: Probe"] {
        actix_rt::System::new().block_on(switch_with_a_panic(entry));
    }
}

/// The actor panics a second before the switch, or when the switch itself is due.
async fn switch_with_a_panic(entry: &str) {
    let tree = Tree::new().await;
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    primary.tell(Cmd::Flow).await;
    backup.tell(Cmd::Flow).await;
    pass(12_000).await;
    primary.tell(Cmd::Silence).await;
    let last = primary.tell(Cmd::Media).await;
    at(last, 2_000).await;
    arm(entry);
    at(last, 2_300).await;
    tree.tree().await;
    at(last, 2_990).await;
    assert_eq!(tree.events.count(&on_air(Backup)), 0, "{entry}");
    at(last, 3_010).await;
    assert_eq!((is_spent(), restarts(&tree).await), (true, 1), "{entry}");
    let switched = ms(last, tree.events.when(&on_air(Backup)));
    assert!((3_000..=3_003).contains(&switched), "{entry}: {switched} ms");
}

#[actix::test]
async fn a_panic_in_the_hold_does_not_restart_it() {
    let tree = Tree::new().await;
    let (primary, backup) = (tree.wire(1).await, tree.backup(2).await);
    primary.tell(Cmd::Flow).await;
    backup.tell(Cmd::Flow).await;
    pass(12_000).await;
    primary.tell(Cmd::Unpublish).await;
    pass(4_000).await;
    let back = tree.wire(3).await;
    let first = back.tell(Cmd::Media).await;
    back.tell(Cmd::Flow).await;
    at(first, 30_000).await;
    arm("FailoverActor: Told");
    at(first, 59_990).await;
    assert_eq!((is_spent(), restarts(&tree).await, tree.events.count(&on_air(Primary))), (true, 1, 1));
    at(first, 60_003).await;
    let returned = ms(first, tree.events.when(&on_air(Primary)));
    assert!((60_000..=60_002).contains(&returned), "{returned} ms");
}
