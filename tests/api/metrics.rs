//! `/metrics` over real HTTP: who may read it, and how requests are counted.

use serde_json::{Value, json};
use weir::config::Config;
use weir_actors::refusals::Applicant;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use super::api_server::{ApiServer, KEY};

fn scrape(server: &ApiServer) -> String {
    let key = format!("Bearer {KEY}");
    let (status, page) = server.raw("GET", "/metrics", &[("authorization", key.as_str())], b"");
    assert_eq!(status, 200, "{page}");
    page
}

/// The value of a measurement, by its whole name and labels.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn measurements_want_the_api_key() {
    let server = ApiServer::start();
    assert_eq!(server.raw("GET", "/metrics", &[], b"").0, 401);
    assert_eq!(server.call("POST", "/metrics", &Value::Null).0, 405);
    let page = scrape(&server);
    assert_eq!(value(&page, "weir_tree_responding"), Some(1.0), "{page}");
    assert!(value(&page, "process_start_time_seconds").is_some_and(|since| since > 1.7e9));
}

#[test]
fn a_streams_measurements_come_with_it_and_go_with_it() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "secret-name"}));
    let id = &stream["id"];
    let encoder = Applicant {
        stream: id.as_u64().map(StreamId),
        slot: Slot::Primary,
        protocol: Protocol::Rtmp,
        address: [192, 0, 2, 1].into(),
        agent: None,
    };
    assert_eq!(server.get(&format!("/ops/streams/{id}/refusals")).0, 200);
    let ledger = server.refusals.lock().unwrap()[&encoder.stream].clone();
    for _ in 0..3 {
        ledger.record(&encoder, &Refusal::SlotTaken);
    }
    let page = scrape(&server);
    assert_eq!(value(&page, &format!("weir_stream_active{{stream=\"{id}\"}}")), Some(1.0), "{page}");
    let refused = format!("weir_publish_refusals_total{{stream=\"{id}\",rule=\"slot_taken\"}}");
    assert_eq!(value(&page, &refused), Some(3.0), "{page}");
    assert_eq!(value(&page, r#"weir_actor_restarts_total{actor="SrtListener"}"#), Some(2.0));
    let token = stream["token"].as_str().unwrap();
    assert!(!page.contains("secret-name") && !page.contains(token) && !page.contains("192.0.2.1"), "{page}");
    server.call("DELETE", &format!("/streaming/streams/{id}"), &Value::Null);
    let page = scrape(&server);
    assert!(!page.contains(&format!("stream=\"{id}\"")), "{page}");
}

#[test]
fn requests_are_counted_by_route_and_media_by_kind_and_nothing_that_clients_make_up_is_a_label() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    for _ in 0..2 {
        assert_eq!(server.get(&format!("/streaming/streams/{}", stream["id"])).0, 200);
    }
    for path in ["/cmaf/1_1/master.m3u8", "/cmaf/1_1/media_0.m3u8?_HLS_msn=3", "/cmaf/1_1/made-up", "/made/up"] {
        assert_eq!(server.raw("GET", path, &[], b"").0, 404, "{path}");
    }
    let key = format!("APIKey {KEY}");
    server.raw("BREW", "/streaming/streams", &[("authorization", key.as_str())], b"");
    let page = scrape(&server);
    let got = |series: &str| value(&page, series);
    let read = r#"weir_http_requests_total{code="200",method="GET",route="/streaming/streams/{id}"}"#;
    assert_eq!(got(read), Some(2.0), "{page}");
    for (kind, count) in [("master", 1.0), ("blocking_playlist", 1.0), ("unknown", 1.0)] {
        let series = format!(r#"weir_delivery_requests_total{{code="404",kind="{kind}"}}"#);
        assert_eq!(got(&series), Some(count), "{page}");
        assert_eq!(got(&format!(r#"weir_delivery_request_duration_seconds_count{{kind="{kind}"}}"#)), Some(count));
    }
    assert!(!page.contains("BREW") && page.contains(r#"method="other""#), "{page}");
    assert!(!page.contains("made"), "{page}");
}

#[test]
fn a_tree_that_is_gone_leaves_a_page_that_says_so() {
    let server = ApiServer::with("127.0.0.1", Config::default());
    server.create(&json!({"name": "a"}));
    *server.gone.lock().unwrap() = true;
    let page = scrape(&server);
    assert_eq!(value(&page, "weir_tree_responding"), Some(0.0), "{page}");
    assert!(!page.contains("weir_stream_active"), "{page}");
}
