//! Who is let in.

use weir_actors::control::PutStream;
use weir_actors::ingest::{CloseReason, Publish};
use weir_actors::token::Token;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use crate::support::*;

#[actix::test]
async fn token_first_then_state_then_slot() {
    let tree = Tree::new().await;
    let off = StreamId(43);
    let pull = StreamId(44);
    tree.root.send(PutStream(weir_actors::control::StreamSpec { active: false, ..spec(off) })).await.unwrap();
    tree.root.send(PutStream(weir_actors::control::StreamSpec { pull: true, ..spec(pull) })).await.unwrap();
    let wrong = || Token::new("wrong");
    let _holder = tree.wire(1).await;
    let table = [
        (Publish { stream: None, ..publish(2) }, Refusal::NotAuthorized { known: false }),
        (Publish { stream: Some(StreamId(7)), ..publish(2) }, Refusal::NotAuthorized { known: false }),
        (Publish { token: wrong(), ..publish(2) }, Refusal::NotAuthorized { known: true }),
        (Publish { stream: Some(off), token: wrong(), ..publish(2) }, Refusal::NotAuthorized { known: true }),
        (Publish { stream: Some(off), ..publish(2) }, Refusal::StreamOff),
        (Publish { stream: Some(pull), ..publish(2) }, Refusal::PullStream),
        (publish(2), Refusal::SlotTaken),
        (Publish { protocol: Protocol::Srt, ..publish(2) }, Refusal::SlotTaken),
        (Publish { slot: Slot::Backup, protocol: Protocol::Srt, ..publish(2) }, Refusal::OtherProtocol),
    ];
    for (asked, refusal) in table {
        let what = format!("{asked:?}");
        assert_eq!(tree.try_publish(asked).await.unwrap_err(), refusal, "{what}");
    }
    let journal = tree.detail().await.journal;
    assert!(journal.iter().any(|entry| entry.text.contains("another encoder is already publishing")));
    assert!(journal.iter().all(|entry| !entry.text.contains(TOKEN) && !entry.text.contains("wrong\"")));
}

#[actix::test]
async fn a_quick_reconnect_works_and_a_storm_is_limited() {
    let tree = Tree::new().await;
    for _ in 0..3 {
        tree.wire(1).await.tell(Cmd::Unpublish).await;
    }
    let refusal = tree.try_publish(publish(1)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::RateLimited { .. }), "{refusal:?}");
    tree.wire(2).await.tell(Cmd::Vanish).await;
    pass(10_001).await;
    tree.wire(1).await;
}

#[actix::test]
async fn a_newcomer_displaces_after_three_seconds_of_silence_and_not_before() {
    let tree = Tree::new().await;
    let old = tree.wire(1).await;
    old.tell(Cmd::Media).await;
    pass(2_990).await;
    assert_eq!(tree.try_publish(publish(2)).await.unwrap_err(), Refusal::SlotTaken);
    pass(20).await;
    let new = tree.wire(2).await;
    assert_eq!(old.ended.await.unwrap(), Some(CloseReason::Displaced));
    new.tell(Cmd::Media).await;
    settle().await;
    assert_eq!(tree.events.reason_of(old.session).unwrap(), CloseReason::Displaced.to_string());
    let (old, new) = (old.session, new.session);
    let calls = tree.factory.seen();
    let wanted = [
        "1: start".into(),
        format!("1: show {old}"),
        "1: hold".into(),
        format!("1: close {old}"),
        format!("1: open {new} primary"),
        format!("1: show {new}"),
    ];
    let seen: Vec<&String> = calls.iter().filter(|call| wanted.contains(call)).collect();
    assert_eq!(seen, wanted.iter().collect::<Vec<_>>(), "one broadcast, all of it");
}

#[actix::test]
async fn media_takes_the_silent_slot_back_while_it_is_free() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    pass(5_000).await;
    assert!(!tree.board.get(STREAM).live);
    wire.tell(Cmd::Media).await;
    assert!(tree.board.get(STREAM).live);
    assert_eq!(tree.try_publish(publish(2)).await.unwrap_err(), Refusal::SlotTaken);
    assert!(!wire.ended.is_finished());
}

#[actix::test]
async fn what_is_shown_is_known_however_often_the_other_slot_reconnects() {
    let tree = Tree::new().await;
    let backup = tree.backup(1).await;
    backup.tell(Cmd::Flow).await;
    pass(1_000).await;
    for host in 2..102 {
        tree.wire(host).await.tell(Cmd::Unpublish).await;
    }
    let detail = tree.detail().await;
    assert_eq!((detail.on_air, detail.shown), (Some(Slot::Backup), Some(Slot::Backup)));
}
