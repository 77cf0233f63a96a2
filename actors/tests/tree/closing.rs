//! Orders from above: token reset, switched off, removed, drained.

use std::time::Duration;

use weir_actors::control::{Drain, PutStream, RemoveStream, Stop, StreamSpec};
use weir_actors::event::EventKind;
use weir_actors::ingest::CloseReason;
use weir_actors::token::Token;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use crate::support::*;

#[actix::test]
async fn a_token_reset_closes_the_session_says_so_and_the_old_token_is_dead() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    let reset = StreamSpec { token: digest(STREAM, "fresh"), ..spec(STREAM) };
    let closed = tree.root.send(PutStream(reset)).await.unwrap();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].session, wire.session);
    assert!(closed[0].took.unwrap() < Duration::from_millis(10));
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::TokenReset));
    assert_eq!(tree.try_publish(publish(1)).await.unwrap_err(), Refusal::NotAuthorized { known: true });
    let fresh = weir_actors::ingest::Publish { token: Token::new("fresh"), ..publish(1) };
    assert!(tree.try_publish(fresh).await.is_ok());
}

#[actix::test]
async fn a_token_that_is_reset_while_it_opens_a_session_leaves_none() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    wire.tell(Cmd::Unpublish).await;
    settle().await;
    // Both are in Root's mailbox before it handles either.
    let asking = tree.root.send(publish(2));
    let reset = StreamSpec { token: digest(STREAM, "fresh"), ..spec(STREAM) };
    let (answer, closed) = tokio::join!(asking, tree.root.send(PutStream(reset)));
    let (grant, closed) = (answer.unwrap().unwrap(), closed.unwrap());
    assert_eq!(closed.iter().map(|closed| closed.session).collect::<Vec<_>>(), [grant.session]);
    assert_eq!(*grant.stop.borrow(), Some(CloseReason::TokenReset));
}

#[actix::test]
async fn both_slots_of_a_reset_stream_are_told_and_the_receipt_says_whose_they_were() {
    let tree = Tree::new().await;
    let wires = [tree.wire(1).await, tree.backup(2).await];
    for wire in &wires {
        wire.tell(Cmd::Flow).await;
    }
    pass(1_000).await;
    let reset = StreamSpec { token: digest(STREAM, "fresh"), ..spec(STREAM) };
    let closed = tree.root.send(PutStream(reset)).await.unwrap();
    let receipt: Vec<_> = closed
        .iter()
        .map(|one| (one.session, one.slot, one.address.map(|address| address.to_string()).unwrap_or_default()))
        .collect();
    let [primary, backup] = wires.map(|wire| wire.session);
    let wanted = [(primary, Slot::Primary, "10.0.0.1".into()), (backup, Slot::Backup, "10.0.0.2".into())];
    assert_eq!(receipt, wanted);
    assert!(closed.iter().all(|one| one.protocol == Protocol::Rtmp && one.took.unwrap() < Duration::from_millis(10)));
    let fresh = weir_actors::ingest::Publish { token: Token::new("fresh"), ..publish(1) };
    let wire = Wire::start(tree.try_publish(fresh).await.unwrap());
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1, "in the same broadcast");
    assert_eq!(tree.events.count(&EventKind::BroadcastEnded), 0);
}

#[actix::test]
async fn a_stream_that_is_switched_off_ends_its_broadcast_and_can_be_switched_on_again() {
    let tree = Tree::new().await;
    for silent_for in [0, 20_000] {
        let wire = tree.wire(1).await;
        wire.tell(Cmd::Flow).await;
        pass(1_500).await;
        let status = tree.board.get(STREAM);
        assert!(status.live && status.transcoding, "{status:?}");
        let begun = tree.events.count(&EventKind::BroadcastStarted);
        if silent_for > 0 {
            wire.tell(Cmd::Unpublish).await;
            pass(silent_for).await;
        }
        assert_eq!(tree.events.count(&EventKind::BroadcastEnded), begun - 1, "it lives, or lingers");
        let off = StreamSpec { active: false, ..spec(STREAM) };
        let closed = tree.root.send(PutStream(off)).await.unwrap();
        assert_eq!(closed.len(), usize::from(silent_for == 0));
        pass(3_000).await;
        assert_eq!(tree.events.count(&EventKind::BroadcastEnded), begun);
        let status = tree.board.get(STREAM);
        assert!(!status.live && !status.transcoding && status.finished_at_primary >= status.started_at_primary);
        assert_eq!(tree.try_publish(publish(2)).await.unwrap_err(), Refusal::StreamOff);
        tree.root.send(PutStream(spec(STREAM))).await.unwrap();
        pass(10_000).await;
    }
}

#[actix::test]
async fn a_drain_tells_the_end_of_all_that_has_begun() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.events.when(&live(true)).is_some());
    tree.root.send(Drain).await.unwrap();
    pass(1_000).await;
    assert!(tree.events.when(&live(false)).is_some());
    assert!(tree.events.when(&EventKind::OnAirChanged { slot: None }).is_some());
}

#[actix::test]
async fn a_wire_task_that_does_not_end_is_reported_after_two_seconds_and_cut_off_after_five() {
    let tree = Tree::new().await;
    let grant = tree.try_publish(publish(1)).await.unwrap(); // held, never looks at `stop`
    let started = tokio::time::Instant::now();
    let off = StreamSpec { active: false, ..spec(STREAM) };
    let closed = tree.root.send(PutStream(off)).await.unwrap();
    assert_eq!((closed.len(), closed[0].took), (1, None));
    assert!((2_000..2_010).contains(&started.elapsed().as_millis()));
    assert!(!grant.facts.is_closed());
    pass(3_010).await;
    assert!(grant.facts.is_closed());
    assert_eq!(tree.events.reason_of(grant.session).unwrap(), CloseReason::StreamOff.to_string());
}

#[actix::test]
async fn an_unchanged_stream_keeps_its_session() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    assert_eq!(tree.root.send(PutStream(spec(STREAM))).await.unwrap(), []);
    pass(5_000).await;
    assert!(!wire.ended.is_finished());
}

#[actix::test]
async fn a_removed_stream_ends_its_broadcast_and_leaves_the_tree() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    let closed = tree.root.send(RemoveStream(STREAM)).await.unwrap();
    assert_eq!(closed.len(), 1);
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::StreamRemoved));
    pass(100).await;
    assert_eq!(tree.factory.count("1: finish"), 1);
    assert_eq!(tree.events.count(&EventKind::BroadcastEnded), 1);
    assert!(tree.node(&["StreamSupervisor"]).await.is_none());
    assert_eq!(tree.try_publish(publish(1)).await.unwrap_err(), Refusal::NotAuthorized { known: false });
}

#[actix::test]
async fn a_drain_says_good_bye_flushes_and_refuses() {
    let tree = Tree::new().await;
    let other = StreamId(43);
    tree.root.send(PutStream(spec(other))).await.unwrap();
    let wires = [tree.wire(1).await, tree.wire_to(other, 2).await];
    for wire in &wires {
        wire.tell(Cmd::Flow).await;
    }
    let started = tokio::time::Instant::now();
    tree.root.send(Drain).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(100), "nobody was slow");
    for wire in wires {
        assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Shutdown));
    }
    assert_eq!((tree.factory.count("1: finish"), tree.factory.count("2: finish")), (1, 1));
    assert!(tree.tree().await.children.is_empty());
    assert_eq!(tree.try_publish(publish(3)).await.unwrap_err(), Refusal::Draining);
}

#[actix::test]
async fn a_drain_does_not_wait_for_what_is_dead_already() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    *tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
    wire.tell(Cmd::Flow).await;
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Restart));
    settle().await;
    let started = tokio::time::Instant::now();
    tree.root.send(Drain).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(100), "its supervisor waits to be restarted");
    assert!(tree.tree().await.children.is_empty());
}

#[actix::test]
async fn root_answers_until_it_is_stopped_and_then_lets_everything_go() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    tree.root.send(Stop).await.unwrap();
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Restart));
    settle().await;
    assert!(!tree.root.connected());
    assert!(tree.factory.seen().contains(&"1: drop".to_owned()), "its worker is gone");
}
