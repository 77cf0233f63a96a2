//! Who is let in.

use weir_actors::control::{GetRefusals, PutStream};
use weir_actors::ingest::{CloseReason, Publish};
use weir_actors::refusals::RefusalEntry;
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

async fn refusals(tree: &Tree, stream: Option<StreamId>) -> Vec<RefusalEntry> {
    tree.root.send(GetRefusals(stream)).await.unwrap().expect("a ledger").page(None, 1_000)
}

#[actix::test]
async fn wrong_tokens_of_one_address_are_not_answered_after_ten_and_right_ones_are_let_in() {
    let tree = Tree::new().await;
    let _holder = tree.wire(2).await;
    let wrong = |host, stream| Publish { stream, token: Token::new("wrong"), ..publish(host) };
    for n in 0..10 {
        // Unknown streams and wrong tokens are counted together.
        let stream = [Some(STREAM), Some(StreamId(7)), None][n % 3];
        let refusal = tree.try_publish(wrong(1, stream)).await.unwrap_err();
        assert_eq!(refusal, Refusal::NotAuthorized { known: stream == Some(STREAM) });
    }
    let refused = |host, stream| tree.try_publish(wrong(host, stream));
    assert_eq!(refused(1, Some(STREAM)).await.unwrap_err(), Refusal::Unanswered { known: true });
    assert_eq!(refused(1, None).await.unwrap_err(), Refusal::Unanswered { known: false });
    assert_eq!(refused(3, Some(STREAM)).await.unwrap_err(), Refusal::NotAuthorized { known: true });
    assert_eq!(tree.try_publish(publish(1)).await.unwrap_err(), Refusal::SlotTaken, "a right token is answered");
    let backup = tree.try_publish(Publish { slot: Slot::Backup, ..publish(1) }).await;
    assert!(backup.is_ok(), "and let in");
    pass(60_000).await;
    assert_eq!(refused(1, Some(STREAM)).await.unwrap_err(), Refusal::NotAuthorized { known: true });
}

#[actix::test]
async fn every_refusal_stands_in_the_ledger_of_the_stream_that_was_named_else_in_the_nodes() {
    let tree = Tree::new().await;
    let _holder = tree.wire(1).await;
    let srt = Publish { slot: Slot::Backup, protocol: Protocol::Srt, ..publish(2) };
    for asked in [
        Publish { token: Token::new("canary"), ..publish(2) },
        Publish { token: Token::new("canary"), ..publish(2) },
        publish(2),
        srt,
        Publish { stream: Some(StreamId(7)), token: Token::new("canary"), ..publish(3) },
        Publish { stream: None, token: Token::new("canary"), ..publish(3) },
    ] {
        tree.try_publish(asked).await.unwrap_err();
    }
    let entries = refusals(&tree, Some(STREAM)).await;
    let code = |entry: &RefusalEntry| entry.told.as_ref().unwrap().code.clone();
    let seen: Vec<_> =
        entries.iter().map(|entry| (entry.rule, entry.protocol, entry.slot, entry.times, code(entry))).collect();
    let name = || "NetStream.Publish.BadName".to_owned();
    let wanted = [
        ("other_protocol", Protocol::Srt, Slot::Backup, 1, "1409".to_owned()),
        ("slot_taken", Protocol::Rtmp, Slot::Primary, 1, name()),
        ("not_authorized", Protocol::Rtmp, Slot::Primary, 2, name()),
    ];
    assert_eq!(seen, wanted);
    assert_eq!((entries[0].address.to_string(), entries[0].agent.as_deref()), ("10.0.0.2".into(), Some("test/1")));
    let unknown = refusals(&tree, None).await;
    let named: Vec<_> = unknown.iter().map(|entry| (entry.rule, entry.stream)).collect();
    assert_eq!(named, [("not_authorized", None), ("not_authorized", Some(StreamId(7)))]);
    assert!(!format!("{entries:?}{unknown:?}").contains("canary"));
    assert!(tree.root.send(GetRefusals(Some(StreamId(7)))).await.unwrap().is_none());
    // As the journal does, it outlives the supervisor and every change of the stream.
    *tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
    drop(_holder);
    pass(5_000).await;
    tree.root.send(PutStream(spec(STREAM))).await.unwrap();
    assert_eq!(refusals(&tree, Some(STREAM)).await, entries);
}

#[actix::test]
async fn what_the_board_refuses_a_door_can_write_down() {
    let tree = Tree::new().await;
    let asked = Publish { protocol: Protocol::Srt, token: Token::new("wrong"), ..publish(2) };
    let Publish { stream, slot, token, protocol, peer, .. } = &asked;
    let refusal = tree.admission.ask(*stream, *slot, token, *protocol, peer.ip()).unwrap_err();
    tree.admission.record(&(&asked).into(), &refusal);
    let entries = refusals(&tree, Some(STREAM)).await;
    assert_eq!(entries.iter().map(|entry| (entry.rule, entry.times)).collect::<Vec<_>>(), [("not_authorized", 1)]);
    assert!(tree.detail().await.journal.iter().any(|entry| entry.text.contains("refused srt primary from 10.0.0.2")));
}
