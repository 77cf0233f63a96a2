use std::time::{Duration, UNIX_EPOCH};

use weir_actors::event::{EventKind, StreamEvent};
use weir_media::id::Slot;

use super::*;
use crate::config::Secret;
use crate::store::{StreamFields, testing};

/// A store with a webhook, and as many messages of streams 1 and 2 in turn.
async fn filled(messages: u64) -> (std::path::PathBuf, Store, i64) {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    store.create(&StreamFields { name: "a".into(), ..StreamFields::default() }).await.unwrap();
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let webhook = store.add_webhook(&Secret::new("https://h"), &secret, true).await.unwrap().unwrap();
    let event = |n: u64| StreamEvent {
        stream: StreamId(1 + n % 2),
        at: UNIX_EPOCH + Duration::from_secs(n),
        kind: EventKind::LiveChanged { slot: Slot::Primary, live: (n / 2).is_multiple_of(2) },
    };
    let events: Vec<_> = (0..messages).map(event).collect();
    store.append(&events, &|_, _, _| None).await.unwrap();
    (dir, store, webhook)
}

fn tried(stream: i64, message: i64) -> Try {
    let (status, error, answer) = (Some(200), None, Some("ok".into()));
    Try { id: 0, message, stream, attempt: 1, at: 5, took_ms: 6, status, error, answer }
}

async fn settled(store: &Store, webhook: i64) -> (i64, Vec<(StreamId, i64)>) {
    (store.webhook(webhook).await.unwrap().unwrap().settled, store.lanes(webhook).await.unwrap())
}

#[tokio::test]
async fn what_is_done_with_is_found_again_after_a_restart() {
    let (dir, store, webhook) = filled(6).await;
    assert_eq!(store.message_range().await.unwrap(), (1, 6));
    // Stream 2 goes on while the first message of stream 1 waits.
    for message in [2, 4] {
        let done = Settled { up_to: 0, given_up: false };
        store.note_try(webhook, &tried(2, message), Some(done)).await.unwrap();
    }
    store.note_try(webhook, &Try { error: Some("no".into()), ..tried(1, 1) }, None).await.unwrap();
    store.close().await;
    let store = Store::open(&dir).await.unwrap();
    assert_eq!(settled(&store, webhook).await, (0, vec![(StreamId(2), 4)]));
    let next =
        async |stream, after| store.next_message(StreamId(stream), after).await.unwrap().map(|message| message.id);
    assert_eq!((next(1, 0).await, next(2, 4).await, next(2, 6).await), (Some(1), Some(6), None));
    store.note_try(webhook, &tried(1, 1), Some(Settled { up_to: 1, given_up: true })).await.unwrap();
    assert_eq!(settled(&store, webhook).await, (1, vec![(StreamId(2), 4)]));
    store.note_try(webhook, &tried(1, 3), Some(Settled { up_to: 4, given_up: false })).await.unwrap();
    assert_eq!(settled(&store, webhook).await, (4, vec![]));
    // A late note takes nothing back.
    store.note_try(webhook, &tried(1, 1), Some(Settled { up_to: 1, given_up: false })).await.unwrap();
    assert_eq!(settled(&store, webhook).await.0, 4);
    assert_eq!(store.webhook(webhook).await.unwrap().unwrap().given_up, 1);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_log_is_bounded_and_read_in_pages_newest_first() {
    let (dir, store, webhook) = filled(1).await;
    for attempt in 1..=LOGGED as u32 + 5 {
        store.note_try(webhook, &Try { attempt, ..tried(1, 1) }, None).await.unwrap();
    }
    let page = store.tries(webhook, None, 2).await.unwrap();
    assert_eq!(page.iter().map(|tried| tried.attempt).collect::<Vec<_>>(), [1_005, 1_004]);
    let rest = store.tries(webhook, Some(page[1].id), 5_000).await.unwrap();
    assert_eq!((rest.len() as i64, rest[0].attempt), (LOGGED - 2, 1_003));
    assert!(store.delete_webhook(webhook).await.unwrap());
    assert_eq!(store.tries(webhook, None, 1).await.unwrap(), []);
    store.note_try(webhook, &tried(1, 1), Some(Settled { up_to: 1, given_up: false })).await.unwrap_err();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn undelivered_messages_that_are_deleted_are_counted() {
    let (dir, store, webhook) = filled(10).await;
    let off = store.add_webhook(&Secret::new("https://off"), &Secret::new("x"), false).await.unwrap().unwrap();
    store.replay_webhook(off, 0).await.unwrap();
    store.note_try(webhook, &tried(1, 1), Some(Settled { up_to: 1, given_up: false })).await.unwrap();
    store.note_try(webhook, &tried(2, 4), Some(Settled { up_to: 1, given_up: false })).await.unwrap();
    let mut transaction = store.pool.begin().await.unwrap();
    store.purge(&mut transaction, 6).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.message_range().await.unwrap(), (7, 10));
    let purged = async |id| store.webhook(id).await.unwrap().unwrap().purged;
    assert_eq!(purged(webhook).await, 3, "3, 5 and 6");
    assert_eq!(purged(off).await, 0, "nobody waits for it");
    std::fs::remove_dir_all(dir).unwrap();
}
