//! Who may ask, how requests are read, and what the description says.

use serde_json::{Value, json};

use super::api_server::{ApiServer, KEY};
use super::{FIELDS, STREAMS};

#[test]
fn the_api_key_is_wanted_everywhere_and_its_scheme_in_any_case() {
    let server = ApiServer::start();
    let status = |path: &str, value: Option<&str>| {
        let headers: Vec<(&str, &str)> = value.iter().map(|value| ("authorization", *value)).collect();
        server.raw("GET", path, &headers, b"")
    };
    for path in [
        STREAMS,
        "/streaming/quality_sets",
        "/streaming/none",
        "/ops/tree",
        "/ops/streams",
        "/ops/streams/1",
        "/ops/streams/1/failover",
        "/ops/streams/1/journal",
        "/ops/streams/1/events",
        "/ops/events",
        "/ops/tree/restart",
    ] {
        for wrong in [None, Some("APIKey"), Some("APIKey wrong"), Some(KEY), Some("Basic 1234$test-key")] {
            let (code, text) = status(path, wrong);
            assert_eq!(code, 401, "{path} {wrong:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["status"], 401);
        }
    }
    for scheme in ["APIKey", "apikey", "APIKEY", "Bearer"] {
        assert_eq!(status(STREAMS, Some(&format!("{scheme} {KEY}"))).0, 200, "{scheme}");
    }
}

#[test]
fn a_body_that_cannot_be_read_is_the_clients_fault() {
    let server = ApiServer::start();
    let key = format!("APIKey {KEY}");
    let post = |body: &[u8]| server.raw("POST", STREAMS, &[("authorization", key.as_str())], body);
    for body in [&b"{\"name\": "[..], b"[1]", b"\"a\"", b"\xff\xfe"] {
        let (status, text) = post(body);
        assert_eq!(status, 400, "{text}");
        assert!(serde_json::from_str::<Value>(&text).unwrap()["error"].is_string());
    }
    let nested = format!("{{\"name\": {}", "[".repeat(100_000));
    assert_eq!(post(nested.as_bytes()).0, 400);
    let (status, text) = post(format!("{{\"name\": \"{}\"}}", "x".repeat(300 << 10)).as_bytes());
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("262144"), "{text}");
    // No content type is wanted.
    assert_eq!(post(b"{\"name\": \"a\"}").0, 200);
}

#[test]
fn unknown_paths_and_methods_are_told_as_json() {
    let server = ApiServer::start();
    for path in [
        "/nothing",
        "/streaming/restreams",
        "/streaming/players/1",
        "/streaming/broadcasts",
        "/streaming/statistics/stream",
        "/ops/x",
        "/streaming/streams/x",
        "/streaming/streams/-1",
    ] {
        let (status, answer) = server.get(path);
        assert_eq!((status, &answer["status"]), (404, &json!(404)), "{path}");
    }
    for (method, path) in [
        ("PUT", STREAMS),
        ("POST", "/streaming/streams/1"),
        ("GET", "/streaming/streams/1/reset_push_token"),
        ("DELETE", "/healthz"),
        ("PUT", "/ops/streams/1/failover"),
        ("POST", "/ops/streams/1/journal"),
        ("POST", "/ops/events"),
        ("GET", "/ops/tree/restart"),
        ("PUT", "/panel/session"),
    ] {
        let (status, answer) = server.call(method, path, &Value::Null);
        assert_eq!((status, &answer["status"]), (405, &json!(405)), "{method} {path}");
    }
}

#[test]
fn the_description_is_served_and_the_checked_in_one_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document = weir::http::openapi::document().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(file, &document).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == document, "docs/openapi.json is stale: run this test with UPDATE_OPENAPI=1");
    let server = ApiServer::start();
    let (status, served) = server.get("/openapi.json");
    assert_eq!((status, &served), (200, &serde_json::from_str(&document).unwrap()));
    for path in ["/streaming/streams", "/streaming/streams/{id}", "/streaming/quality_sets/default", "/ops/tree"] {
        assert!(served["paths"][path].is_object(), "{path}");
    }
    let fields = &served["components"]["schemas"]["StreamView"]["properties"];
    for field in FIELDS {
        assert!(fields[field].is_object(), "{field} is not described");
    }
}
