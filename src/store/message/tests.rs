use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use weir_media::id::SessionId;

use super::*;
use crate::store::{StreamFields, testing};

const FIELDS: [&str; 10] = [
    "id",
    "live",
    "backup_live",
    "recording",
    "client_user_id",
    "client_entity_data",
    "pull",
    "uri",
    "stream_source_type",
    "transcoding",
];

fn event(stream: u64, kind: EventKind) -> StreamEvent {
    StreamEvent { stream: StreamId(stream), at: UNIX_EPOCH + Duration::from_millis(1_696_118_461_007), kind }
}

fn opened(slot: Slot, protocol: Protocol) -> EventKind {
    EventKind::SessionOpened { session: SessionId(1), slot, protocol }
}

fn live(slot: Slot, live: bool) -> EventKind {
    EventKind::LiveChanged { slot, live }
}

fn push_uri(stream: StreamId, slot: Slot, protocol: Protocol) -> Option<String> {
    Some(format!("{protocol} {stream} {slot} ***"))
}

async fn append(store: &Store, stream: u64, kinds: impl IntoIterator<Item = EventKind>) -> Option<i64> {
    let events: Vec<_> = kinds.into_iter().map(|kind| event(stream, kind)).collect();
    store.append(&events, &push_uri).await.unwrap()
}

/// All bodies, as text and read.
async fn bodies(store: &Store) -> Vec<(String, Value)> {
    let mut bodies = vec![];
    for (id, stream) in store.messages_after(0, 1_000).await.unwrap() {
        let message = store.next_message(stream, id - 1).await.unwrap().unwrap();
        let read = serde_json::from_str(&message.body).unwrap();
        bodies.push((message.body, read));
    }
    bodies
}

async fn store_with(fields: StreamFields) -> (std::path::PathBuf, Store) {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    store.create(&fields).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn a_broadcast_is_told_by_its_flags_in_the_documented_order() {
    let fields = StreamFields {
        name: "a".into(),
        client_user_id: Some(7),
        client_entity_data: Some("\"x\"".into()),
        ..StreamFields::default()
    };
    let (dir, store) = store_with(fields).await;
    let kinds = [
        opened(Slot::Primary, Protocol::Srt),
        live(Slot::Primary, true),
        EventKind::BroadcastStarted,
        EventKind::OnAirChanged { slot: Some(Slot::Primary) },
        EventKind::TranscodingChanged { transcoding: true },
        opened(Slot::Backup, Protocol::Rtmp),
        live(Slot::Backup, true),
        live(Slot::Primary, false),
        EventKind::OnAirChanged { slot: Some(Slot::Backup) },
        live(Slot::Backup, false),
        EventKind::OnAirChanged { slot: None },
        EventKind::TranscodingChanged { transcoding: false },
        EventKind::BroadcastEnded,
    ];
    let newest = append(&store, 1, kinds).await;
    let bodies = bodies(&store).await;
    assert_eq!((newest, bodies.len()), (Some(12), 6));
    let (text, first) = &bodies[0];
    let wanted = json!({
        "id": 1, "live": true, "backup_live": false, "recording": false, "client_user_id": 7, "client_entity_data": "\"x\"",
        "pull": false, "uri": "srt 1 primary ***", "stream_source_type": null, "transcoding": false,
    });
    assert_eq!((&first["type"], &first["message"]["stream"]), (&json!("stream"), &wanted));
    assert_eq!(
        (&first["event_id"], &first["sequence"], &first["at"]),
        (&json!(2), &json!(1), &json!("2023-10-01T00:01:01.007Z"))
    );
    let place = |field: &str| text.find(&format!("\"{field}\":")).unwrap();
    assert!(FIELDS.map(place).is_sorted() && place("type") < place("message"), "{text}");

    let told: Vec<_> = bodies
        .iter()
        .map(|(_, body)| {
            let stream = &body["message"]["stream"];
            let flag = |name: &str| stream[name].as_bool().unwrap();
            let source = stream["stream_source_type"].as_str();
            (body["sequence"].as_i64().unwrap(), flag("live"), flag("backup_live"), flag("transcoding"), source)
        })
        .collect();
    let wanted = [
        (1, true, false, false, None),
        (2, true, false, true, Some("srt")),
        (3, true, true, true, Some("srt")),
        (4, false, true, true, Some("rtmp")),
        (5, false, false, true, Some("rtmp")),
        (6, false, false, false, None),
    ];
    assert_eq!(told, wanted);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_flag_that_is_told_already_is_not_told_again() {
    let (dir, store) = store_with(StreamFields { name: "a".into(), ..StreamFields::default() }).await;
    assert_eq!(append(&store, 1, [live(Slot::Primary, true)]).await, Some(1));
    assert_eq!(append(&store, 1, [live(Slot::Primary, true), EventKind::PullGivenUp]).await, None);
    assert_eq!(append(&store, 1, [EventKind::TranscodingChanged { transcoding: false }]).await, None);
    assert_eq!(bodies(&store).await.len(), 1);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_pulled_stream_tells_its_sources_without_what_is_secret() {
    let uri = "rtmp://user:canary@a.example/live/x?canary srt://b.example:9000?passphrase=canary-canary";
    let fields = StreamFields { name: "a".into(), pull: true, uri: Some(uri.into()), ..StreamFields::default() };
    let (dir, store) = store_with(fields).await;
    append(&store, 1, [opened(Slot::Primary, Protocol::Hls), live(Slot::Primary, true)]).await;
    append(&store, 1, [EventKind::TranscodingChanged { transcoding: true }]).await;
    for (text, body) in bodies(&store).await {
        assert!(!text.contains("canary"), "{text}");
        let stream = &body["message"]["stream"];
        assert_eq!(stream["uri"], "rtmp://***@a.example/live/x?*** srt://b.example:9000?passphrase=***");
        assert_eq!(stream["pull"], true);
        let source = if stream["transcoding"] == true { json!("https") } else { Value::Null };
        assert_eq!(stream["stream_source_type"], source);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn what_a_killed_server_left_open_is_ended_by_the_next_one() {
    let (dir, store) = store_with(StreamFields { name: "a".into(), ..StreamFields::default() }).await;
    append(&store, 1, [live(Slot::Primary, true), EventKind::TranscodingChanged { transcoding: true }]).await;
    store.close().await;
    let store = Store::open(&dir).await.unwrap();
    let ends = store.left_open(UNIX_EPOCH).await.unwrap();
    store.append(&ends, &push_uri).await.unwrap();
    assert_eq!(store.left_open(UNIX_EPOCH).await.unwrap(), []);
    let flags = |body: &Value| ["live", "transcoding"].map(|flag| body["message"]["stream"][flag].as_bool().unwrap());
    let told: Vec<_> = bodies(&store).await.iter().map(|(_, body)| flags(body)).collect();
    assert_eq!(told, [[true, false], [true, true], [true, false], [false, false]]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_stream_that_is_deleted_while_it_is_live_tells_its_end_as_it_was() {
    let fields = StreamFields { name: "a".into(), client_user_id: Some(7), ..StreamFields::default() };
    let (dir, store) = store_with(fields).await;
    append(&store, 1, [live(Slot::Primary, true)]).await;
    assert!(store.delete(StreamId(1)).await.unwrap());
    append(&store, 1, [live(Slot::Primary, false)]).await;
    let bodies = bodies(&store).await;
    let last = &bodies[1].1;
    assert_eq!((&last["sequence"], &last["message"]["stream"]["client_user_id"]), (&json!(2), &json!(7)));
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM told").fetch_one(&store.pool).await.unwrap();
    assert_eq!(left, 0);
    std::fs::remove_dir_all(dir).unwrap();
}
