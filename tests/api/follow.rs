//! What happens, as server-sent events: of all streams, of one, of the tree; and an actor that is restarted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_actors::control::{Restartable, StreamActor};
use weir_actors::refusals::Applicant;
use weir_actors::status::{StreamState, StreamStatus};
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use super::api_server::{ApiServer, KEY};
use super::events::{Event, Events};

fn follow(server: &ApiServer, path: &str) -> Events {
    Events::follow(server.address, path, &format!("Authorization: APIKey {KEY}\r\n"))
}

/// The next event of that name.
fn next(events: &mut Events, name: &str) -> Event {
    loop {
        let event = events.next().expect("it goes on");
        if event.name == name {
            return event;
        }
    }
}

fn on_air(slot: Slot) -> StreamStatus {
    StreamStatus { state: StreamState::OnAir, on_air: Some(slot), live: true, ..StreamStatus::default() }
}

#[test]
fn all_streams_are_told_of_at_first_and_then_those_that_change() {
    let server = ApiServer::start();
    server.board.set(StreamId(1), on_air(Slot::Primary));
    server.board.set(StreamId(2), StreamStatus::default());
    let mut events = follow(&server, "/ops/events");
    let (first, second) = (events.next().unwrap(), events.next().unwrap());
    assert_eq!(
        (first.name.as_str(), &first.data["id"], &first.data["on_air"]),
        ("status", &json!(1), &json!("primary"))
    );
    assert_eq!((&second.data["id"], &second.data["state"]), (&json!(2), &json!("idle")));
    server.board.set(StreamId(2), on_air(Slot::Backup));
    let told = events.next().unwrap();
    assert_eq!(
        (&told.data["id"], &told.data["on_air"], &told.data["live"]),
        (&json!(2), &json!("backup"), &json!(true))
    );
    server.create(&json!({"name": "a"}));
    assert_eq!(events.next().unwrap().name, "edited");
    // The list has the same fields, and what clients wrote.
    let item = server.get("/ops/streams").1["items"][0].clone();
    assert_eq!((&item["name"], &item["state"], &item["on_air"]), (&json!("a"), &json!("on_air"), &json!("primary")));
    assert_eq!(server.raw("GET", "/ops/events", &[], b"").0, 401);
}

#[test]
fn what_changes_often_is_told_a_few_times_a_second_and_the_latest_always() {
    let server = ApiServer::start();
    let mut events = follow(&server, "/ops/events");
    let (began, mut told) = (Instant::now(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for width in 1..=2_000 {
                server.board.set(StreamId(1), StreamStatus { video_width: Some(width), ..on_air(Slot::Primary) });
                std::thread::park_timeout(Duration::from_micros(500));
            }
        });
        while events.next().unwrap().data["video_width"] != json!(2_000) {
            told += 1;
        }
    });
    assert!(u128::from(told as u32) <= began.elapsed().as_millis() / 400 + 1, "{told} in {:?}", began.elapsed());
}

#[test]
fn one_connection_tells_all_of_a_stream_and_no_secret() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a", "srt_passphrase": "a passphrase".replace(' ', "-")}));
    let id = stream["id"].clone();
    let journal = server.journal(&id);
    (0..120).for_each(|n| journal.note(format!("note {n}")));
    let mut events = follow(&server, &format!("/ops/streams/{id}/events"));
    let mut entries = vec![];
    while entries.len() < 100 {
        entries.push(next(&mut events, "entry").id.unwrap());
    }
    assert_eq!(entries, (21..=120).collect::<Vec<u64>>(), "the latest hundred, oldest first");
    let detail = next(&mut events, "detail");
    assert_eq!((&detail.data["state"], &detail.data["refusals"], detail.id), (&json!("idle"), &json!(0), None));
    let fields = detail.data.as_object().unwrap();
    assert!(!fields.contains_key("journal") && !fields.contains_key("push_url_rtmps"), "{fields:?}");
    journal.note("one more");
    assert_eq!(next(&mut events, "entry").data["text"], "one more");
    // Nothing new is told of what stays as it is, until it does not.
    let key = Some(StreamId(id.as_u64().unwrap()));
    let who = Applicant {
        stream: key,
        slot: Slot::Primary,
        protocol: Protocol::Rtmp,
        address: [192, 0, 2, 1].into(),
        agent: None,
    };
    server.get(&format!("/ops/streams/{id}/refusals"));
    server.refusals.lock().unwrap()[&key].record(&who, &Refusal::SlotTaken);
    let told = events.next().unwrap();
    assert_eq!((told.name.as_str(), &told.data["refusals"]), ("detail", &json!(1)));
    server.call("PATCH", &format!("/streaming/streams/{id}"), &json!({"name": "b"}));
    assert_eq!(events.next().unwrap().name, "edited");
    // Who comes back goes on behind what he has seen.
    let headers = format!("Authorization: APIKey {KEY}\r\nLast-Event-ID: 120\r\n");
    let mut back = Events::follow(server.address, &format!("/ops/streams/{id}/events"), &headers);
    assert_eq!(next(&mut back, "entry").id, Some(121));
    server.call("DELETE", &format!("/streaming/streams/{id}"), &Value::Null);
    while events.next().is_some() {}
    assert_eq!(server.get("/ops/streams/99/events").0, 404);
}

#[test]
fn the_tree_is_told_when_it_changes_and_as_it_is_answered() {
    let server = ApiServer::start();
    let mut events = follow(&server, "/ops/tree");
    let (told, answered) = (events.next().unwrap(), server.get("/ops/tree").1);
    assert_eq!(told.name, "tree");
    assert_eq!(told.data["children"], answered["children"]);
    assert!(told.data["arbiter"]["tick_age_ms"].is_number());
    assert_eq!(events.next().unwrap().name, "tree", "a second later the tick has another age");
}

#[test]
fn events_of_all_kinds_end_with_the_server() {
    let server = ApiServer::start();
    let id = server.create(&json!({"name": "a"}))["id"].clone();
    let paths = ["/ops/events".to_owned(), "/ops/tree".to_owned(), format!("/ops/streams/{id}/events")];
    let mut all = paths.map(|path| follow(&server, &path));
    server.readiness.draining();
    for events in &mut all {
        while events.next().is_some() {}
    }
}

#[test]
fn an_operator_restarts_one_actor() {
    let server = ApiServer::start();
    let id = server.create(&json!({"name": "a"}))["id"].clone();
    let restart = |body: Value| server.call("POST", "/ops/tree/restart", &body);
    let actor = |actor: &str| json!({"stream": id, "actor": actor});
    assert_eq!(restart(actor("FailoverActor")), (200, actor("FailoverActor")));
    assert_eq!(restart(actor("StreamSupervisor")).0, 200);
    let door = json!({"stream": null, "actor": "RtmpListener"});
    assert_eq!(restart(json!({"actor": "RtmpListener"})), (200, door));
    let stream = StreamId(id.as_u64().unwrap());
    let wanted = [
        Restartable::Stream(stream, StreamActor::Failover),
        Restartable::Stream(stream, StreamActor::Supervisor),
        Restartable::Door("RtmpListener".into()),
    ];
    assert_eq!(*server.restarted.lock().unwrap(), wanted);
    assert_eq!(restart(actor("PullActor")).0, 409, "it is not pulled");
    assert_eq!(restart(json!({"stream": 99, "actor": "FailoverActor"})).0, 404);
    for (wrong, field) in [
        (actor("Root"), "actor"),
        (actor("IngestConnection"), "actor"),
        (actor("RtmpListener"), "actor"),
        (json!({"actor": "FailoverActor"}), "actor"),
        (json!({"stream": id}), "actor"),
        (json!({}), "actor"),
        (json!({"stream": "x", "actor": "FailoverActor"}), "stream"),
        (json!({"stream": id, "actor": "FailoverActor", "now": true}), "now"),
    ] {
        let (status, answer) = restart(wrong);
        assert_eq!(status, 422, "{answer}");
        assert!(answer["errors"][field][0].is_string(), "{field}: {answer}");
    }
    assert_eq!(server.restarted.lock().unwrap().len(), 3);
    assert_eq!(server.raw("POST", "/ops/tree/restart", &[], b"").0, 401);
}
