//! Preflights and the series of a stream's health, as calls.

use serde_json::{Value, json};
use weir_media::id::Slot;

use super::api_server::ApiServer;

#[test]
fn a_preflight_is_begun_seen_and_ended() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let path = format!("/ops/streams/{}/preflight", stream["id"]);
    assert_eq!(server.get(&path).0, 404, "none yet");
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 404);
    let (status, opened) = server.call("POST", &path, &json!({"seconds": 5, "slot": "backup"}));
    let expected = json!({
        "slot": "backup", "state": "waiting", "seconds": 5, "ends_in_s": 5.0, "session": null, "closed": null, "findings": [],
        "verdict": null,
    });
    assert_eq!((status, &opened), (200, &expected));
    assert_eq!(server.get(&path), (200, opened));
    assert_eq!(server.call("DELETE", &path, &Value::Null).1["state"], "done");
    let (_, usual) = server.call("POST", &path, &Value::Null);
    assert_eq!((&usual["slot"], &usual["seconds"]), (&json!("primary"), &json!(60)));
}

#[test]
fn a_preflight_that_cannot_be_is_refused_in_words() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let path = format!("/ops/streams/{}/preflight", stream["id"]);
    server.live.lock().unwrap().push(Slot::Primary);
    let (status, answer) = server.call("POST", &path, &Value::Null);
    assert_eq!((status, &answer["error"]), (409, &json!("Conflict. the primary slot has a publisher")));
    let (status, answer) = server.call("POST", &path, &json!({"seconds": 301, "slot": "third", "now": true}));
    let errors = json!({
        "seconds": ["must be a whole number within 1 and 300"],
        "slot": ["must be primary or backup"],
        "now": ["is unknown; known here: seconds, slot"],
    });
    assert_eq!((status, &answer["errors"]), (422, &errors));
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(server.call(method, "/ops/streams/99/preflight", &Value::Null).0, 404, "{method}");
    }
    assert_eq!(server.raw("POST", &path, &[], b"").0, 401);
}

#[test]
fn the_series_of_a_stream_that_was_never_on_is_empty_and_wrong_parameters_are_told() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let ask = |query: &str| server.get(&format!("/streaming/statistics/ffprobe?{query}"));
    let day = "date_from=2023-10-01T00:00:00.000Z&date_to=2023-10-02T00:00:00%2B02:00";
    assert_eq!(ask(&format!("stream_id={}&{day}&interval=1&units=minute", stream["id"])), (200, json!({"data": []})));
    assert_eq!(ask(&format!("stream_id=99&{day}")).0, 404);
    let (status, answer) = ask("date_from=yesterday&units=year");
    let errors = json!({
        "stream_id": ["is required"],
        "date_from": ["must be a date and time in ISO 8601, e.g. 2023-10-01T00:00:00Z"],
        "date_to": ["is required"],
        "units": ["must be second, minute, hour, day, week or month"],
    });
    assert_eq!((status, &answer["errors"]), (422, &errors));
    assert_eq!(server.raw("GET", "/streaming/statistics/ffprobe", &[], b"").0, 401);
}
