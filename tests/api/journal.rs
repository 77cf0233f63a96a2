//! A stream's journal, in pages and as server-sent events.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_actors::journal::{JournalEvent, TimerState};
use weir_media::id::Slot;
use weir_policy::failover::Timer;

use super::api_server::{ApiServer, KEY};
use super::events::Events;

fn open(server: &ApiServer, id: &Value, headers: &str) -> Events {
    Events::open(server.address, KEY, id, headers)
}

fn stream(server: &ApiServer) -> Value {
    server.create(&json!({"name": "a"}))["id"].clone()
}

#[test]
fn pages_go_from_the_newest_entry_to_the_oldest() {
    let server = ApiServer::start();
    let id = stream(&server);
    let journal = server.journal(&id);
    let page = |query: &str| {
        let (status, page) = server.get(&format!("/ops/streams/{id}/journal{query}"));
        assert_eq!(status, 200, "{page}");
        let seqs: Vec<u64> =
            page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect();
        (seqs, page["next"].as_u64())
    };
    assert_eq!(page(""), (vec![], None));
    (0..7).for_each(|n| journal.note(n.to_string()));
    assert_eq!(page(""), ((1..=7).rev().collect(), None));
    assert_eq!(page("?limit=3"), (vec![7, 6, 5], Some(5)));
    assert_eq!(page("?limit=3&before=5"), (vec![4, 3, 2], Some(2)));
    assert_eq!(page("?limit=3&before=2"), (vec![1], None));
    assert_eq!(page("?limit=7"), ((1..=7).rev().collect(), None), "a full last page has no next one");
    assert_eq!(page("?before=1"), (vec![], None));
    (0..600).for_each(|n| journal.note(n.to_string()));
    assert_eq!(page("").0.len(), 100);
    assert_eq!(page("?limit=100000").0.len(), 500);
    assert_eq!(page("?limit=0").0.len(), 1);
    assert_eq!(server.get(&format!("/ops/streams/{id}/journal?before=x")).0, 400);
    assert_eq!(server.get("/ops/streams/99/journal").0, 404);
}

#[test]
fn an_entry_has_its_events_fields_and_its_times_as_text() {
    let server = ApiServer::start();
    let id = stream(&server);
    let journal = server.journal(&id);
    let rule = "rule 2: primary lost".to_owned();
    journal.record(JournalEvent::OnAir { slot: Some(Slot::Backup), rule }, "backup on air");
    let due = Some(std::time::UNIX_EPOCH + Duration::from_millis(1_696_118_461_007));
    journal.record(JournalEvent::Timer { timer: Timer::Hold, state: TimerState::Armed, due }, "hold armed");
    let (_, page) = server.get(&format!("/ops/streams/{id}/journal"));
    let (timer, on_air) = (&page["items"][0], &page["items"][1]);
    let at = on_air["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(
        on_air,
        &json!({"seq": 1, "at": at, "text": "backup on air", "event": "on_air", "slot": "backup", "rule": "rule 2: primary lost"})
    );
    assert_eq!(
        (&timer["event"], &timer["timer"], &timer["state"], &timer["due"]),
        (&json!("timer"), &json!("hold"), &json!("armed"), &json!("2023-10-01T00:01:01.007Z"))
    );
    // The events are the same JSON.
    let mut events = open(&server, &id, "Last-Event-ID: 0\r\n");
    let first = events.next().unwrap();
    assert_eq!((first.id, first.name.as_str(), &first.data), (Some(1), "on_air", on_air));
    assert_eq!(&events.next().unwrap().data, timer);
}

#[test]
fn who_follows_gets_what_happens_from_now_on_or_behind_the_last_event_seen() {
    let server = ApiServer::start();
    let id = stream(&server);
    let journal = server.journal(&id);
    (0..5).for_each(|n| journal.note(n.to_string()));
    let mut fresh = open(&server, &id, "");
    let mut back = open(&server, &id, "Last-Event-ID: 3\r\n");
    // Numbers of an earlier run of the server, which had come further.
    let mut earlier = open(&server, &id, "Last-Event-ID: 900\r\n");
    journal.note("six");
    assert_eq!(fresh.entries(1), [6]);
    assert_eq!(back.entries(3), [4, 5, 6]);
    assert_eq!(earlier.entries(6), [1, 2, 3, 4, 5, 6]);
    journal.note("seven");
    for events in [&mut fresh, &mut back, &mut earlier] {
        assert_eq!(events.next().unwrap().data["text"], "seven");
    }
    let (status, _) = Events::ask(server.address, KEY, &id, "Last-Event-ID: seven\r\n").head();
    assert_eq!(status, 400);
}

#[test]
fn a_slow_reader_holds_up_nobody_and_is_told_what_it_missed() {
    let server = ApiServer::start();
    let id = stream(&server);
    let journal = server.journal(&id);
    let mut slow = open(&server, &id, "");
    // More than the sockets between take, many times over what the journal keeps.
    let text = "x".repeat(10_000);
    let began = Instant::now();
    for _ in 0..5_000 {
        journal.note(text.clone());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "writing waits for a reader");
    let mut other = open(&server, &id, "Last-Event-ID: 4999\r\n");
    assert_eq!(other.entries(1), [5_000]);
    let (mut last, mut missed, mut all_missed) = (0, 0, 0);
    while last < 5_000 {
        let event = slow.next().unwrap();
        match event.id {
            Some(id) => {
                assert_eq!(id, last + missed + 1);
                (last, missed) = (id, 0);
            }
            None => missed = event.comment.trim().split(' ').next().unwrap().parse().unwrap_or(0),
        }
        all_missed += missed;
    }
    assert!(all_missed > 1_000, "all was kept for it: {all_missed}");
}

#[test]
fn events_end_with_the_stream_and_with_the_server() {
    let server = ApiServer::start();
    let (deleted, kept) = (stream(&server), stream(&server));
    let mut of_deleted = open(&server, &deleted, "");
    let mut of_kept = open(&server, &kept, "");
    server.journal(&deleted).note("last");
    assert_eq!(server.call("DELETE", &format!("/streaming/streams/{deleted}"), &Value::Null).0, 204);
    assert_eq!(of_deleted.next().unwrap().data["text"], "last");
    assert_eq!(of_deleted.next(), None);
    server.journal(&kept).note("goes on");
    assert_eq!(of_kept.entries(1), [1]);
    server.readiness.draining();
    assert_eq!(of_kept.next(), None);
}

#[test]
fn silence_is_broken_by_a_comment() {
    let server = ApiServer::start();
    let id = stream(&server);
    let mut events = open(&server, &id, "");
    let began = Instant::now();
    let heartbeat = events.next().unwrap();
    assert!(heartbeat.id.is_none() && !heartbeat.comment.is_empty(), "{heartbeat:?}");
    let took = began.elapsed();
    assert!((14..18).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn so_many_may_follow_and_places_come_back() {
    let server = ApiServer::start();
    let id = stream(&server);
    let mut following: Vec<Events> = (0..256).map(|_| open(&server, &id, "")).collect();
    assert_eq!(Events::ask(server.address, KEY, &id, "").head().0, 503);
    assert_eq!(server.get(&format!("/ops/streams/{id}/journal")).0, 200, "pages are no matter of places");
    following.truncate(200);
    // The server notices with the next byte that it cannot write.
    let end = Instant::now() + Duration::from_secs(20);
    while Events::ask(server.address, KEY, &id, "").head().0 != 200 {
        assert!(Instant::now() < end, "no place came back");
        server.journal(&id).note("a byte");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
