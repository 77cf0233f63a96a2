//! Streams that are pulled: sources in a circle, one session at a time, the same broadcast.

use std::time::{Duration, Instant};

use weir_actors::control::PutStream;
use weir_actors::event::EventKind;
use weir_actors::{TreeConfig, clock};
use weir_media::id::{Protocol, Slot};
use weir_policy::admission::Refusal;
use weir_policy::rotation;

use crate::support::sources::Does::{Nothing, Play, Refuse};
use crate::support::{Cmd, STREAM, Tree, live, ms, pass, publish, pulled, settle, spec};

/// A stream that is pulled from `a`, `b` and `c`, of which `a` plays and has played for a while.
async fn playing() -> Tree {
    let tree = Tree::new().await;
    tree.sources.set("a", Play);
    put(&tree, &["a", "b", "c"]).await;
    pass(20_000).await;
    assert!(tree.board.get(STREAM).live);
    tree.sources.take_asked();
    tree
}

async fn put(tree: &Tree, hosts: &[&str]) {
    tree.root.send(PutStream(pulled(STREAM, hosts))).await.unwrap();
    settle().await;
}

/// Who was asked, and how many milliseconds after `from`.
fn asked(tree: &Tree, from: Instant) -> Vec<(u128, String)> {
    tree.sources.take_asked().into_iter().map(|(at, host)| (ms(from, Some(at)), host)).collect()
}

async fn journal(tree: &Tree) -> Vec<String> {
    tree.detail().await.journal.into_iter().rev().map(|entry| entry.text).collect()
}

#[actix::test]
async fn a_stream_set_to_pull_is_fetched_at_once_and_shown_as_what_it_is() {
    let tree = Tree::new().await;
    tree.sources.set("a", Play);
    let from = clock::now();
    put(&tree, &["a", "b"]).await;
    pass(1_000).await;
    assert_eq!(asked(&tree, from), [(0, "a".to_owned())]);
    let (status, detail) = (tree.board.get(STREAM), tree.detail().await);
    assert!(status.live && status.transcoding && !status.backup_live, "{status:?}");
    assert_eq!((status.protocol, status.video_width), (Some(Protocol::Rtmp), Some(640)));
    let session = detail.slots[0].session.as_ref().expect("a session");
    assert_eq!((session.peer.as_str(), session.protocol), ("rtmp://a/live/name", Protocol::Rtmp));
    let pull = detail.pull.expect("it is pulled");
    assert_eq!((pull.state, pull.source, pull.sources, pull.tries), ("on", 0, 2, 0));
    assert_eq!((pull.next_try_s, pull.gives_up_s, pull.last_error), (None, None, None));
    let refused = tree.try_publish(publish(1)).await.map(drop);
    assert_eq!(refused, Err(Refusal::PullStream));
}

#[actix::test]
async fn a_source_that_breaks_off_makes_way_at_once_in_the_same_broadcast() {
    let tree = playing().await;
    tree.sources.set("b", Play);
    tree.sources.set("a", Refuse);
    let from = clock::now();
    pass(500).await;
    let asked = asked(&tree, from);
    assert!(matches!(asked.as_slice(), [(0..=2, host)] if host == "b"), "{asked:?}");
    pass(5_000).await;
    assert_eq!(tree.events.count(&live(false)), 0, "it never was without media for as long as the stall");
    assert_eq!(
        (tree.events.count(&EventKind::BroadcastStarted), tree.events.count(&EventKind::BroadcastEnded)),
        (1, 0)
    );
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.shown), (Some(Slot::Primary), Some(Slot::Primary)));
    assert_eq!(detail.pull.map(|pull| (pull.state, pull.source)), Some(("on", 1)));
    let lines = journal(&tree).await;
    let told = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(told("source 1 of 3, rtmp://a/live/name: connection lost: reset"), "{lines:#?}");
    assert!(told("source 2 of 3, rtmp://b/live/name delivers"), "{lines:#?}");
}

#[actix::test]
async fn a_source_that_is_back_is_not_said_to_have_failed() {
    let tree = Tree::new().await;
    tree.sources.set("a", Play);
    put(&tree, &["a"]).await;
    pass(10_000).await;
    tree.sources.set("a", Refuse);
    pass(1_000).await;
    tree.sources.set("a", Play);
    pass(4_000).await;
    let lines = journal(&tree).await;
    let of_source = lines.iter().filter(|line| line.starts_with("source ")).collect::<Vec<_>>();
    assert!(of_source.last().is_some_and(|line| line.ends_with("delivers")), "{of_source:#?}");
    assert_eq!(tree.detail().await.pull.map(|pull| pull.state), Some("on"));
}

#[actix::test]
async fn a_source_that_falls_silent_makes_way_after_the_stall_to_the_millisecond() {
    let tree = playing().await;
    tree.sources.set("b", Play);
    tree.sources.set("a", Nothing);
    // Its last picture came on a multiple of 250 ms, and so did the change.
    let last = clock::now();
    pass(2_990).await;
    assert_eq!(asked(&tree, last), []);
    pass(20).await;
    let asked = asked(&tree, last);
    assert!(matches!(asked.as_slice(), [(2_750..=3_003, host)] if host == "b"), "{asked:?}");
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live);
    assert_eq!((tree.events.count(&live(false)), tree.events.count(&EventKind::BroadcastEnded)), (1, 0));
}

#[actix::test]
async fn sources_are_taken_in_a_circle_without_a_way_back() {
    let tree = playing().await;
    for (dies, plays) in [("a", "b"), ("b", "c"), ("c", "a")] {
        tree.sources.set(plays, Play);
        tree.sources.set(dies, Refuse);
        let from = clock::now();
        pass(20_000).await;
        let asked = asked(&tree, from);
        assert!(matches!(asked.as_slice(), [(0..=2, host)] if host == plays), "and nobody after it: {asked:?}");
    }
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1);
}

#[actix::test]
async fn dead_sources_are_asked_about_every_three_seconds_and_the_broadcast_ends_by_its_linger() {
    let tree = playing().await;
    tree.sources.set("a", Refuse);
    let from = clock::now();
    pass(58_000).await;
    let asks = asked(&tree, from);
    let hosts: Vec<_> = asks.iter().map(|(_, host)| host.as_str()).collect();
    let circle: Vec<_> = ["b", "c", "a"].into_iter().cycle().take(hosts.len()).collect();
    assert_eq!(hosts, circle);
    for pair in asks.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        assert!((2_700..=3_302).contains(&apart), "{apart} ms");
    }
    let ended = |tree: &Tree| tree.events.count(&EventKind::BroadcastEnded);
    assert_eq!(ended(&tree), 0);
    pass(5_000).await;
    assert_eq!(ended(&tree), 1, "60 s after the last media");
    tree.sources.set("c", Play);
    pass(12_000).await;
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 2, "a source that comes later opens a new one");
    let lines = journal(&tree).await;
    let refused = lines.iter().filter(|line| line.ends_with("refused")).count();
    assert_eq!(refused, 3, "each source's failure is told once: {lines:#?}");
}

#[actix::test]
async fn a_source_that_connects_and_says_nothing_makes_way() {
    let tree = Tree::new().await;
    tree.sources.set("a", Nothing);
    tree.sources.set("b", Play);
    let from = clock::now();
    put(&tree, &["a", "b"]).await;
    pass(8_000).await;
    let asked = asked(&tree, from);
    assert!(matches!(asked.as_slice(), [(0, a), (5_000..=5_002, b)] if a == "a" && b == "b"), "{asked:?}");
    assert!(tree.board.get(STREAM).live);
}

#[actix::test]
async fn after_two_hours_without_media_it_gives_up_and_begins_afresh_when_it_is_switched_on() {
    let tree = playing().await;
    tree.sources.set("a", Refuse);
    let from = clock::now();
    for _ in 0..119 {
        pass(60_000).await;
    }
    assert_eq!(tree.events.count(&EventKind::PullGivenUp), 0);
    pass(60_500).await;
    let given_up = ms(from, tree.events.when(&EventKind::PullGivenUp));
    assert!((7_199_700..=7_200_003).contains(&given_up), "{given_up} ms after the last media");
    assert_eq!(tree.detail().await.pull.map(|pull| pull.state), Some("given_up"));
    tree.sources.take_asked();
    pass(60_000).await;
    assert_eq!(asked(&tree, from), []);
    // As the API then does, and later its client.
    let off = weir_actors::control::StreamSpec { active: false, ..pulled(STREAM, &["a", "b", "c"]) };
    tree.root.send(PutStream(off)).await.unwrap();
    settle().await;
    tree.sources.set("a", Play);
    let from = clock::now();
    put(&tree, &["a", "b", "c"]).await;
    pass(1_000).await;
    let asked = asked(&tree, from);
    assert!(matches!(asked.as_slice(), [(0..=5, host)] if host == "a"), "{asked:?}");
    assert!(tree.board.get(STREAM).live);
}

#[actix::test]
async fn the_numbers_are_the_configurations() {
    let rotation = rotation::Policy {
        retry_every: Duration::from_secs(1),
        give_up: Duration::from_secs(10),
        ..rotation::Policy::default()
    };
    let tree = Tree::with(TreeConfig { rotation, ..TreeConfig::default() }, vec![]).await;
    let from = clock::now();
    put(&tree, &["a"]).await;
    pass(11_000).await;
    let count = asked(&tree, from).len();
    assert!((10..=12).contains(&count), "{count} tries in 10 s");
    assert_eq!(ms(from, tree.events.when(&EventKind::PullGivenUp)) / 10, 1_000);
}

#[actix::test]
async fn other_sources_are_taken_at_once_and_the_same_ones_change_nothing() {
    let tree = playing().await;
    let session = tree.detail().await.slots[0].session.as_ref().map(|session| session.id);
    put(&tree, &["a", "b", "c"]).await;
    pass(1_000).await;
    assert_eq!(tree.detail().await.slots[0].session.as_ref().map(|session| session.id), session);
    tree.sources.set("d", Play);
    let from = clock::now();
    put(&tree, &["d"]).await;
    pass(1_000).await;
    assert_eq!(asked(&tree, from), [(0, "d".to_owned())]);
    assert_eq!((tree.events.count(&live(false)), tree.events.count(&EventKind::BroadcastEnded)), (0, 0));
    assert_eq!(tree.events.reason_of(session.unwrap()).as_deref(), Some("sources to pull from were changed"));
}

#[actix::test]
async fn a_stream_that_is_no_longer_pulled_takes_encoders_and_back() {
    let tree = playing().await;
    tree.root.send(PutStream(spec(STREAM))).await.unwrap();
    settle().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(2_000).await;
    assert_eq!(tree.detail().await.pull.map(|pull| pull.state), None);
    assert!(tree.board.get(STREAM).live);
    put(&tree, &["a"]).await;
    pass(2_000).await;
    assert!(wire.ended.is_finished());
    assert_eq!(tree.detail().await.pull.map(|pull| pull.state), Some("on"));
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1, "all of it one broadcast");
}

#[actix::test]
async fn a_stream_switched_off_is_not_pulled() {
    let tree = playing().await;
    let off = weir_actors::control::StreamSpec { active: false, ..pulled(STREAM, &["a"]) };
    let closed = tree.root.send(PutStream(off)).await.unwrap();
    assert_eq!(closed.iter().map(|one| (one.slot, one.address)).collect::<Vec<_>>(), [(Slot::Primary, None)]);
    tree.sources.take_asked();
    pass(60_000).await;
    assert!(tree.sources.take_asked().is_empty() && !tree.board.get(STREAM).live);
    assert_eq!(tree.events.count(&EventKind::BroadcastEnded), 1);
}

#[actix::test]
async fn a_source_that_cannot_be_decoded_makes_way() {
    let tree = Tree::new().await;
    tree.sources.set("a", Play);
    tree.sources.set("b", Play);
    tree.factory.blind.lock().unwrap().insert(weir_media::id::SessionId(1));
    let from = clock::now();
    put(&tree, &["a", "b"]).await;
    pass(15_000).await;
    let asked = asked(&tree, from);
    assert!(matches!(asked.as_slice(), [(0, a), (10_000..=10_010, b)] if a == "a" && b == "b"), "{asked:?}");
    assert!(tree.board.get(STREAM).live);
}

#[actix::test]
async fn a_token_reset_does_not_touch_a_source() {
    let tree = playing().await;
    let token = crate::support::digest(STREAM, "other");
    let reset = weir_actors::control::StreamSpec { token, ..pulled(STREAM, &["a", "b", "c"]) };
    assert_eq!(tree.root.send(PutStream(reset)).await.unwrap(), []);
    pass(2_000).await;
    assert_eq!(tree.sources.take_asked(), []);
    assert!(tree.board.get(STREAM).live);
}
