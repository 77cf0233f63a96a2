//! What is borne, what is given up, and who goes down with it: at exact times.

use std::sync::Arc;

use tokio::sync::watch;
use weir_actors::control::PutStream;
use weir_actors::event::EventKind;
use weir_actors::ingest::{CloseReason, Publish};
use weir_actors::supervise::ExitReason;
use weir_actors::{Door, ServeFactory, TreeConfig};
use weir_media::id::{Slot, StreamId};
use weir_policy::admission::Refusal;

use crate::support::*;

const OTHER: StreamId = StreamId(43);

/// A publisher on another stream, to whom nothing must happen.
async fn bystander(tree: &Tree) -> Wire {
    tree.root.send(PutStream(spec(OTHER))).await.unwrap();
    let wire = tree.wire_to(OTHER, 200).await;
    wire.tell(Cmd::Flow).await;
    wire
}

async fn supervisor(tree: &Tree, id: StreamId) -> weir_actors::status::TreeNode {
    tree.tree().await.children.into_iter().find(|node| node.name == id.to_string()).unwrap()
}

#[test]
fn the_fourth_end_of_a_pipeline_actor_within_a_minute_takes_its_supervisor_and_one_later_does_not() {
    for (fourth, given_up) in [(59_900, true), (60_100, false)] {
        actix_rt::System::new().block_on(async {
            let tree = Tree::new().await;
            let other = bystander(&tree).await;
            let wire = tree.wire(1).await;
            wire.tell(Cmd::Flow).await;
            pass(15_000).await;
            let began = tokio::time::Instant::now();
            for at in [0, 20_000, 40_000, fourth] {
                tokio::time::sleep_until(began + std::time::Duration::from_millis(at)).await;
                let pipelines = tree.factory.events.lock().unwrap().len();
                tree.factory.hang_up(pipelines);
                settle().await;
                pass(10).await;
            }
            let node = supervisor(&tree, STREAM).await;
            assert_eq!(node.restarts, u32::from(given_up), "fourth end after {fourth} ms");
            assert_eq!(wire.ended.is_finished(), given_up);
            if given_up {
                let why = "failed: pipeline actor keeps dying: failed: pipeline dropped its event sink";
                assert_eq!(node.last_exit.as_deref(), Some(why));
                assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Restart));
            }
            assert_eq!(supervisor(&tree, OTHER).await.restarts, 0);
            assert!(!other.ended.is_finished() && tree.board.get(OTHER).live);
        });
    }
}

#[actix::test]
async fn a_poisoned_stream_is_left_alone_and_the_node_goes_on() {
    let tree = Tree::new().await;
    let other = bystander(&tree).await;
    *tree.events.cursed.lock().unwrap() = Some(STREAM);
    let degraded = EventKind::StreamDegraded { reason: "panicked: poisoned event".into() };
    for host in 1..=2 {
        assert_eq!(tree.events.count(&degraded), 0);
        assert_eq!(tree.try_publish(publish(host)).await.unwrap_err(), Refusal::Restarting, "it met two deaths");
        settle().await;
        if host == 1 {
            pass(2_500).await; // the next start
        }
    }
    assert_eq!(tree.events.count(&degraded), 1);
    let node = supervisor(&tree, STREAM).await;
    assert_eq!((node.state.as_str(), node.restarts, node.mailbox_lag), ("degraded", 3, None));
    assert!(node.last_exit_at.is_some());
    let detail = tree.detail().await;
    assert_eq!(detail.state, "degraded");
    assert!(detail.journal.iter().any(|line| line.text.contains("one try a minute")), "{:?}", detail.journal);
    let asked = tokio::time::Instant::now();
    assert_eq!(tree.try_publish(publish(3)).await.unwrap_err(), Refusal::Restarting);
    assert_eq!(asked.elapsed().as_millis(), 0, "refused at once");
    *tree.events.cursed.lock().unwrap() = None;
    pass(59_900).await;
    assert_eq!(supervisor(&tree, STREAM).await.restarts, 3);
    pass(200).await;
    assert_eq!(supervisor(&tree, STREAM).await.restarts, 4);
    let wire = tree.wire(4).await;
    wire.tell(Cmd::Flow).await;
    pass(10_000).await;
    assert_eq!(supervisor(&tree, STREAM).await.state, "running", "steady again");
    assert!(tree.board.get(STREAM).live && tree.root.connected());
    assert!(!other.ended.is_finished() && tree.board.get(OTHER).live);
    assert_eq!(supervisor(&tree, OTHER).await.restarts, 0);
}

/// A door that closes whenever it is told to.
fn slammed() -> (Door, watch::Sender<u32>) {
    let slams = watch::Sender::new(0);
    let slam = slams.clone();
    let serve: ServeFactory = Arc::new(move |_, _| {
        let mut slammed = slam.subscribe();
        Box::pin(async move {
            let _ = slammed.changed().await;
            Err("slammed".to_owned())
        })
    });
    let runtime = tokio::runtime::Handle::current();
    (Door { actor: "RtmpListener", name: "a door".into(), runtime, serve }, slams)
}

#[test]
fn the_fourth_end_of_a_door_within_five_minutes_takes_root_and_one_later_does_not() {
    for (fourth, given_up) in [(299_900, true), (300_100, false)] {
        actix_rt::System::new().block_on(async {
            let (door, slams) = slammed();
            let mut tree = Tree::with(TreeConfig::default(), vec![door]).await;
            settle().await;
            let began = tokio::time::Instant::now();
            for at in [0, 100_000, 200_000, fourth] {
                tokio::time::sleep_until(began + std::time::Duration::from_millis(at)).await;
                slams.send_modify(|slams| *slams += 1);
                settle().await;
            }
            let end = tokio::time::timeout(std::time::Duration::from_millis(1), &mut tree.end).await.ok();
            let why = ExitReason::Failed("RtmpListener a door keeps dying: failed: slammed".into());
            assert_eq!(end, given_up.then_some(why), "fourth end after {fourth} ms");
            assert_eq!(tree.root.connected(), !given_up);
        });
    }
}

#[actix::test]
async fn a_publisher_waits_for_a_supervisor_that_is_being_replaced_and_all_that_was_open_is_told_to_have_ended() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(2_000).await;
    *tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
    let session = wire.session;
    wire.tell(Cmd::Unpublish).await;
    assert_eq!(tree.events.reason_of(session).as_deref(), Some("stream supervisor panicked: poisoned event"));
    let ends = [
        live(false),
        EventKind::OnAirChanged { slot: None },
        EventKind::TranscodingChanged { transcoding: false },
        EventKind::BroadcastEnded,
    ];
    assert_eq!(ends.map(|end| tree.events.count(&end)), [1; 4]);
    let status = tree.board.get(STREAM);
    assert!(!status.live && !status.transcoding && status.finished_at_primary.is_some(), "{status:?}");
    assert_eq!(tree.detail().await.state, "restarting");
    let asked = tokio::time::Instant::now();
    let again = tree.wire(1).await;
    assert!((400..=610).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    again.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert_eq!((tree.events.count(&live(true)), tree.events.count(&live(false))), (2, 1));
    let on_air = EventKind::OnAirChanged { slot: Some(Slot::Primary) };
    assert_eq!(tree.events.count(&on_air), 2);
}

#[test]
fn a_publisher_that_comes_while_its_idle_supervisor_ends_gets_in() {
    for ms in 59_985..=60_015 {
        actix_rt::System::new().block_on(async {
            let tree = Tree::new().await;
            let wire = tree.wire(1).await;
            wire.tell(Cmd::Media).await;
            wire.tell(Cmd::Unpublish).await;
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            // No yield between the tree's own timers of this instant and the question.
            let answer = tree.try_publish(Publish { stream: Some(STREAM), ..publish(2) }).await;
            assert!(answer.is_ok(), "after {ms} ms: {answer:?}");
        });
    }
}
