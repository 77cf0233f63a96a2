//! An operator has one actor start afresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use weir_actors::control::{NotRestarted, RestartActor, Restartable, StreamActor};
use weir_actors::ingest::CloseReason;
use weir_actors::{Door, ServeFactory, TreeConfig};
use weir_media::id::StreamId;

use crate::support::*;

const ORDERED: &str = "failed: restarted by an operator";

async fn order(tree: &Tree, which: Restartable) -> Option<Result<(), NotRestarted>> {
    let answer = tree.root.send(RestartActor(which)).await.unwrap();
    pass(10).await; // at once, by timers of a millisecond
    answer
}

async fn order_of_stream(tree: &Tree, actor: StreamActor) -> Option<Result<(), NotRestarted>> {
    order(tree, Restartable::Stream(STREAM, actor)).await
}

/// Restarts, last exit, state.
async fn told(tree: &Tree, path: &[&str]) -> (u32, Option<String>, String) {
    let node = tree.node(path).await.unwrap();
    (node.restarts, node.last_exit, node.state)
}

fn restarted(times: u32) -> (u32, Option<String>, String) {
    (times, Some(ORDERED.into()), "running".into())
}

/// A stream that is on air.
async fn on_air() -> (Tree, Wire) {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    (tree, wire)
}

#[actix::test]
async fn a_failover_actor_starts_afresh_at_once_and_no_order_uses_up_its_budget() {
    let (tree, wire) = on_air().await;
    for nth in 1..=10 {
        assert_eq!(order_of_stream(&tree, StreamActor::Failover).await, Some(Ok(())));
        assert_eq!(told(&tree, &["StreamSupervisor", "FailoverActor"]).await, restarted(nth));
    }
    pass(5_000).await;
    let detail = tree.detail().await;
    assert_eq!(detail.state, "on_air");
    assert!(detail.journal.iter().any(|entry| entry.text.contains("failover actor failed: restarted by an operator")));
    assert!(!wire.ended.is_finished() && tree.board.get(STREAM).live);
    assert_eq!(tree.node(&["StreamSupervisor"]).await.unwrap().restarts, 0);
}

#[actix::test]
async fn a_pipeline_actor_starts_afresh_with_another_worker_and_the_session_stays() {
    let (tree, wire) = on_air().await;
    assert_eq!(order_of_stream(&tree, StreamActor::Pipeline).await, Some(Ok(())));
    pass(1_000).await;
    assert_eq!((tree.factory.count("1: drop"), tree.factory.count("2: start")), (1, 1));
    assert_eq!(told(&tree, &["StreamSupervisor", "PipelineActor"]).await, restarted(1));
    assert!(!wire.ended.is_finished() && tree.board.get(STREAM).transcoding);
}

#[actix::test]
async fn a_supervisor_starts_afresh_and_its_encoder_comes_back() {
    let (tree, wire) = on_air().await;
    assert_eq!(order_of_stream(&tree, StreamActor::Supervisor).await, Some(Ok(())));
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Restart));
    assert_eq!(told(&tree, &["StreamSupervisor"]).await, restarted(1));
    let again = tree.wire(1).await;
    again.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live);
}

#[actix::test]
async fn a_door_opens_again_and_sessions_go_on() {
    let opened = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opened);
    let serve: ServeFactory = Arc::new(move |_, mut shutdown| {
        count.fetch_add(1, Relaxed);
        Box::pin(async move {
            let _ = shutdown.wait_for(|down| *down).await;
            Ok(())
        })
    });
    let runtime = tokio::runtime::Handle::current();
    let door = Door { actor: "RtmpListener", name: "127.0.0.1:0".into(), runtime, serve };
    let tree = Tree::with(TreeConfig::default(), vec![door]).await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    for nth in 1..=5 {
        assert_eq!(order(&tree, Restartable::Door("RtmpListener".into())).await, Some(Ok(())));
        assert_eq!(told(&tree, &["RtmpListener"]).await, restarted(nth));
    }
    assert_eq!(opened.load(Relaxed), 6);
    assert!(!wire.ended.is_finished());
    assert_eq!(order(&tree, Restartable::Door("SrtListener".into())).await, Some(Err(NotRestarted)));
}

#[actix::test]
async fn one_that_waits_for_its_restart_has_it_at_once() {
    let tree = Tree::new().await;
    *tree.events.cursed.lock().unwrap() = Some(STREAM);
    for host in 1..=4 {
        let _ = tree.try_publish(publish(host)).await;
        pass(1_000).await;
    }
    assert_eq!(tree.node(&["StreamSupervisor"]).await.unwrap().state, "degraded");
    *tree.events.cursed.lock().unwrap() = None;
    assert_eq!(order_of_stream(&tree, StreamActor::Supervisor).await, Some(Ok(())));
    // Not a minute later.
    let wire = tree.wire(9).await;
    wire.tell(Cmd::Flow).await;
    pass(61_000).await;
    let node = tree.node(&["StreamSupervisor"]).await.unwrap();
    assert_eq!((node.restarts, node.state.as_str()), (4, "running"), "its old timer does nothing");
}

#[actix::test]
async fn what_does_not_run_is_not_restarted() {
    let tree = Tree::new().await;
    for actor in StreamActor::ALL {
        assert_eq!(order_of_stream(&tree, actor).await, Some(Err(NotRestarted)), "{actor:?} of a stream not in use");
        assert_eq!(order(&tree, Restartable::Stream(StreamId(7), actor)).await, None, "{actor:?} of no stream");
    }
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    assert_eq!(order_of_stream(&tree, StreamActor::Pull).await, Some(Err(NotRestarted)), "it is not pulled");
}
