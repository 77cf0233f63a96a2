//! Crashes: the right subtree is restarted with fresh state, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use weir_actors::control::{PutStream, StreamSpec};
use weir_actors::event::EventKind;
use weir_actors::ingest::CloseReason;
use weir_actors::{Door, ServeFactory, TreeConfig};
use weir_media::id::StreamId;
use weir_media::ladder::Ladder;
use weir_media::pipeline::PipelineEvent;

use crate::support::*;

const PIPELINE: [&str; 2] = ["StreamSupervisor", "PipelineActor"];

#[actix::test]
async fn a_panicking_pipeline_actor_is_replaced_and_its_session_stays() {
    let tree = Tree::new().await;
    tree.factory.panics.store(1, Relaxed);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    assert_eq!(tree.node(&PIPELINE).await.unwrap().state, "restarting");
    pass(700).await;
    let node = tree.node(&PIPELINE).await.unwrap();
    assert_eq!((node.restarts, node.last_exit.as_deref()), (1, Some("panicked: poisoned open")));
    assert!(!wire.ended.is_finished());
    let calls = tree.factory.seen();
    let session = wire.session;
    assert!(calls.contains(&"1: drop".to_owned()), "the failed value is gone: {calls:?}");
    for call in [format!("2: open {session} primary"), "2: start".into(), format!("2: show {session}")] {
        assert!(calls.contains(&call), "{call} in {calls:?}");
    }
    let failover = tree.node(&["StreamSupervisor", "FailoverActor"]).await.unwrap();
    assert_eq!((failover.restarts, failover.last_exit), (0, None), "its sibling was not touched");
}

#[actix::test]
async fn a_pipeline_actor_restarted_in_mid_broadcast_makes_the_same_output() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    let ladder = Ladder(spec(STREAM).ladder.0[..1].to_vec());
    tree.root.send(PutStream(StreamSpec { ladder: ladder.clone(), ..spec(STREAM) })).await.unwrap();
    tree.factory.hang_up(1);
    pass(2_000).await;
    wire.tell(Cmd::Unpublish).await;
    pass(61_000).await;
    let _next = tree.wire(1).await;
    let made: Vec<Ladder> = tree.factory.specs.lock().unwrap().iter().map(|made| made.ladder.clone()).collect();
    assert_eq!(made, [spec(STREAM).ladder, spec(STREAM).ladder, ladder], "changed with the next broadcast");
}

#[actix::test]
async fn a_panicking_supervisor_takes_its_subtree_down_and_no_other() {
    let tree = Tree::new().await;
    let other = StreamId(43);
    tree.root.send(PutStream(spec(other))).await.unwrap();
    let bystander = tree.wire_to(other, 2).await;
    bystander.tell(Cmd::Flow).await;
    let wire = tree.wire(1).await;
    *tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
    wire.tell(Cmd::Flow).await;
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Restart));
    settle().await;
    assert!(tree.factory.seen().contains(&"2: drop".to_owned()), "its worker is killed");
    assert_eq!(tree.node(&["StreamSupervisor"]).await.unwrap().state, "restarting");
    let status = tree.board.get(STREAM);
    assert!(!status.live && !status.transcoding, "nothing stale: {status:?}");
    pass(700).await;
    let tree_now = tree.tree().await;
    let find = |id: StreamId| tree_now.children.iter().find(|node| node.name == id.to_string()).unwrap();
    assert_eq!((find(STREAM).restarts, find(other).restarts), (1, 0));
    assert_eq!(find(STREAM).last_exit.as_deref(), Some("panicked: poisoned event"));
    assert!(find(STREAM).children.iter().all(|child| child.actor == "FailoverActor"), "fresh state");
    let again = tree.wire(1).await;
    again.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live);
    assert!(!bystander.ended.is_finished() && tree.board.get(other).live);
}

#[actix::test]
async fn a_hung_worker_is_killed_after_two_seconds_and_replaced_in_the_same_broadcast() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(20_100).await; // last report at 20.0 s
    tree.factory.healthy.store(false, Relaxed);
    pass(1_880).await;
    assert_eq!(tree.factory.count("1: kill"), 0);
    pass(40).await;
    assert_eq!(tree.factory.count("1: kill"), 1);
    tree.factory.healthy.store(true, Relaxed);
    pass(1_000).await;
    assert_eq!(tree.factory.count("1: start"), 2, "at once: it had run steadily");
    assert_eq!(tree.factory.count("2: start"), 0);
    assert!(!wire.ended.is_finished());
    let node = tree.node(&PIPELINE).await.unwrap();
    assert_eq!((node.pid, node.restarts, node.last_exit.as_deref()), (Some(1_002), 1, Some("signal 9")));
    let restarted = EventKind::PipelineRestarted { reason: "signal 9".into() };
    assert_eq!(tree.events.count(&restarted), 1);
    assert!(tree.board.get(STREAM).transcoding);
}

#[actix::test]
async fn a_worker_owes_no_frame_before_it_has_announced_its_output() {
    let tree = Tree::new().await;
    tree.factory.waiting.store(true, Relaxed);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(14_000).await;
    assert_eq!(tree.factory.count("1: kill"), 0, "it decodes and waits for what it can begin with");
    tree.factory.emit(1, PipelineEvent::Output(fake::output()));
    pass(1_990).await;
    assert_eq!(tree.factory.count("1: kill"), 0);
    pass(260).await; // the first report after the announcement starts the clock
    assert_eq!(tree.factory.count("1: kill"), 1, "announced, and nothing comes");
    let workers = || (tree.factory.count("1: start"), tree.factory.count("1: kill"));
    pass(14_000).await;
    assert_eq!(workers(), (2, 1), "the next one has announced nothing");
    pass(4_000).await;
    assert_eq!(workers().1, 2, "and does not for longer than any GOP");
}

#[actix::test]
async fn a_worker_that_keeps_dying_is_degraded_and_never_given_up() {
    let tree = Tree::new().await;
    tree.factory.healthy.store(false, Relaxed);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    let dead = || PipelineEvent::Exited { reason: "exit 1".into(), expected: false };
    for _ in 0..6 {
        let starts = tree.factory.count("1: start");
        tree.factory.emit(1, dead());
        while tree.factory.count("1: start") == starts {
            pass(100).await;
        }
    }
    assert_eq!(tree.events.count(&EventKind::PipelineDegraded { reason: "exit 1".into() }), 1);
    assert_eq!(tree.node(&PIPELINE).await.unwrap().state, "degraded");
    let starts = tree.factory.count("1: start");
    tree.factory.emit(1, dead());
    pass(9_900).await;
    assert_eq!(tree.factory.count("1: start"), starts);
    pass(200).await;
    assert_eq!(tree.factory.count("1: start"), starts + 1);
    tree.factory.healthy.store(true, Relaxed);
    pass(12_000).await;
    assert_eq!(tree.node(&PIPELINE).await.unwrap().state, "running", "steady again");
}

#[actix::test]
async fn what_a_dead_pipeline_still_says_is_not_heard() {
    let tree = Tree::new().await;
    tree.factory.panics.store(1, Relaxed);
    let wire = tree.wire(1).await;
    pass(700).await; // the second generation works by now
    wire.tell(Cmd::Flow).await;
    tree.factory.emit(1, PipelineEvent::Rejected { session: wire.session, reason: "stale".into() });
    pass(1_000).await;
    assert!(!wire.ended.is_finished());
    tree.factory.emit(2, PipelineEvent::Rejected { session: wire.session, reason: "fresh".into() });
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Unacceptable("fresh".into())));
}

#[actix::test]
async fn a_wire_task_without_a_last_word_ends_its_session_only() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    wire.tell(Cmd::Vanish).await;
    let reason = tree.events.reason_of(wire.session).unwrap();
    assert_eq!(reason, "failed: wire task ended without a word");
    assert!(tree.node(&["StreamSupervisor", "IngestConnection"]).await.is_none());
    assert_eq!(tree.node(&["StreamSupervisor"]).await.unwrap().restarts, 0);
}

#[actix::test]
async fn a_flood_of_facts_is_bounded_and_leaves_the_stream_working() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flood).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live);
}

#[actix::test]
async fn a_door_that_panics_is_reopened_and_sessions_go_on() {
    let opened = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opened);
    let serve: ServeFactory = Arc::new(move |_, mut shutdown| {
        let nth = count.fetch_add(1, Relaxed);
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            assert!(nth > 0, "poisoned accept loop");
            let _ = shutdown.wait_for(|down| *down).await;
            Ok(())
        })
    });
    let door =
        Door { actor: "RtmpListener", name: "127.0.0.1:0".into(), runtime: tokio::runtime::Handle::current(), serve };
    let tree = Tree::with(TreeConfig::default(), vec![door]).await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(2_000).await;
    let node = tree.node(&["RtmpListener"]).await.unwrap();
    assert_eq!((node.state.as_str(), node.restarts), ("running", 1));
    assert!(node.last_exit.unwrap().contains("poisoned accept loop"));
    assert_eq!(opened.load(Relaxed), 2);
    assert!(!wire.ended.is_finished());
    tree.root.send(weir_actors::control::Drain).await.unwrap();
    assert!(tree.node(&["RtmpListener"]).await.is_none());
}

#[actix::test]
async fn a_door_lets_publishers_in_from_its_first_moment() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let serve: ServeFactory = Arc::new(move |root, _| {
        let tell = tell.clone();
        Box::pin(async move {
            let answer = root.send(publish(1)).await.unwrap();
            tell.send(answer.map(|grant| grant.stream)).await.unwrap();
            std::future::pending().await
        })
    });
    let door =
        Door { actor: "RtmpListener", name: "127.0.0.1:0".into(), runtime: tokio::runtime::Handle::current(), serve };
    let _tree = Tree::with(TreeConfig::default(), vec![door]).await;
    assert_eq!(told.recv().await.unwrap(), Ok(STREAM));
}

#[actix::test]
async fn the_tree_shows_every_actor_with_its_parent() {
    let tree = Tree::new().await;
    assert!(tree.tree().await.children.is_empty());
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    let root = tree.tree().await;
    assert_eq!((root.actor, root.children.len()), ("Root", 1));
    let stream = &root.children[0];
    assert_eq!((stream.actor, stream.name.as_str(), stream.state.as_str()), ("StreamSupervisor", "42", "running"));
    let seen: Vec<(&str, String, &str)> =
        stream.children.iter().map(|node| (node.actor, node.name.clone(), node.state.as_str())).collect();
    let connection = format!("primary {}", wire.session);
    let wanted = [
        ("FailoverActor", "failover".to_owned(), "running"),
        ("PipelineActor", "broadcast 1".to_owned(), "running"),
        ("IngestConnection", connection, "running"),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(stream.children[1].pid, Some(1_001));
    let generations: Vec<u64> = stream.children.iter().map(|node| node.generation).collect();
    assert!(generations.iter().all(|generation| (1..=3).contains(generation)), "{generations:?}");
}
