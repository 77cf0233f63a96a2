//! What operators see of the tree, and whether the server takes work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::config::Config;
use weir_actors::heartbeat::Heartbeat;
use weir_actors::refusals::Applicant;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use super::api_server::ApiServer;

#[test]
fn operators_see_which_sessions_a_reset_closed() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let (status, answer) =
        server.call("POST", &format!("/ops/streams/{}/reset_push_token", stream["id"]), &Value::Null);
    let receipt = json!({"session": 5, "slot": "primary", "protocol": "rtmp", "address": "192.0.2.1", "took_ms": 7});
    assert_eq!((status, &answer["closed"]), (200, &json!([receipt])));
}

#[test]
fn operators_see_who_was_refused_and_what_the_encoder_was_told() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let id = StreamId(stream["id"].as_u64().unwrap());
    let path = format!("/ops/streams/{id}/refusals");
    assert_eq!(server.get(&path), (200, json!({"items": [], "next": null})));
    let ledger = server.refusals.lock().unwrap()[&Some(id)].clone();
    let encoder = |address: [u8; 4]| Applicant {
        stream: Some(id),
        slot: Slot::Backup,
        protocol: Protocol::Srt,
        address: address.into(),
        agent: None,
    };
    ledger.record(&encoder([192, 0, 2, 1]), &Refusal::NotAuthorized { known: true });
    for _ in 0..2 {
        let limited = Refusal::RateLimited { retry_after: Duration::from_millis(2_500) };
        ledger.record(&encoder([192, 0, 2, 2]), &limited);
    }
    let (status, page) = server.get(&format!("{path}?limit=1"));
    let mut entry = page["items"][0].clone();
    for time in ["first", "last"] {
        let time = entry.as_object_mut().unwrap().remove(time).unwrap();
        assert!(time.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{time}");
    }
    let wanted = json!({
        "seq": 3, "times": 2, "rule": "rate_limited", "stream": id, "slot": "backup", "protocol": "srt",
        "address": "192.0.2.2", "agent": null, "retry_after_s": 2.5,
        "told": {"text": "too many connections, try again in 2.5s", "code": "1402"},
    });
    assert_eq!((status, entry, &page["next"]), (200, wanted, &json!(3)));
    let (_, page) = server.get(&format!("{path}?limit=1&before=3"));
    assert_eq!((&page["items"][0]["rule"], &page["next"]), (&json!("not_authorized"), &Value::Null));
    assert_eq!(server.get("/ops/refusals"), (200, json!({"items": [], "next": null})));
    assert_eq!(server.get("/ops/streams/99/refusals").0, 404);
    assert_eq!(server.raw("GET", "/ops/refusals", &[], b"").0, 401);
}

#[test]
fn operators_see_the_tree_and_page_through_streams() {
    let server = ApiServer::start();
    let tree = server.get("/ops/tree").1;
    let child = json!({
        "actor": "PipelineActor", "name": "broadcast 1", "state": "unresponsive", "generation": 4, "restarts": 2,
        "last_exit": "signal 9", "last_exit_at": "2023-10-01T00:01:01.007Z", "mailbox_lag_ms": null, "pid": 4242, "children": [],
    });
    assert_eq!(
        (&tree["actor"], &tree["mailbox_lag_ms"], &tree["last_exit_at"]),
        (&json!("Root"), &json!(1.5), &Value::Null)
    );
    assert_eq!(tree["children"], json!([child]));
    assert_eq!(tree["arbiter"]["state"], "running");
    assert!(tree["arbiter"]["tick_age_ms"].as_u64().unwrap() < 4_000, "{tree}");
    for name in ["a", "b", "c"] {
        server.create(&json!({"name": name}));
    }
    let (_, page) = server.get("/ops/streams?limit=2");
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let (_, page) = server.get(&format!("/ops/streams?limit=2&after={}", page["next"]));
    assert_eq!((&page["items"][0]["name"], &page["next"]), (&json!("c"), &Value::Null));
    server.journal(&json!(1)).note("known");
    let (status, detail) = server.get("/ops/streams/1");
    assert_eq!((status, &detail["journal"][0]["text"]), (200, &json!("known")));
    let at = detail["journal"][0]["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!(server.get("/ops/streams/9").0, 404);
    assert_eq!(server.get("/ops/streams?limit=x").0, 400);
}

#[test]
fn readiness_says_when_work_is_taken_and_health_that_the_process_lives() {
    let server = ApiServer::start();
    let status = |path: &str| server.raw("GET", path, &[], b"").0;
    assert_eq!((status("/healthz"), status("/readyz")), (200, 503));
    server.readiness.ready();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    server.readiness.draining();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 503));
}

#[test]
fn a_stuck_tree_is_not_ready_and_says_so() {
    let stuck = Heartbeat::still(Instant::now() - Duration::from_secs(10));
    let server = ApiServer::with_heartbeat("127.0.0.1", Config::default(), Some(stuck));
    server.readiness.ready();
    assert_eq!(server.get("/readyz"), (503, json!({"status": "stuck"})));
    assert_eq!(server.raw("GET", "/healthz", &[], b"").0, 200, "the process lives");
    let arbiter = &server.get("/ops/tree").1["arbiter"];
    assert_eq!(arbiter["state"], "stuck");
    assert!(arbiter["tick_age_ms"].as_u64().unwrap() >= 10_000, "{arbiter}");
}

#[test]
fn a_stream_tells_its_failover_before_anything_is_pushed() {
    let server = ApiServer::start();
    let id = server.create(&json!({"name": "a"}))["id"].clone();
    let expected = json!({
        "on_air": null, "chosen": null, "shown": null, "hold_remaining_s": null, "mode": "freeze", "standby": "hot", "delay_ms": 1000,
        "trim_ms": {"primary": 0, "backup": 0},
        "alignment": {"state": "idle", "offset_ms": null, "confidence": null, "drift_ppm": null},
        "slots": [
            {"slot": "primary", "live": false, "state": "absent", "session": null, "doctor": []},
            {"slot": "backup", "live": false, "state": "absent", "session": null, "doctor": []},
        ],
    });
    let (status, detail) = server.get(&format!("/ops/streams/{id}"));
    assert_eq!(status, 200);
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&detail[field], value, "{field}");
    }
}

#[test]
fn an_operator_chooses_what_is_on_air_among_live_slots() {
    let server = ApiServer::start();
    let id = server.create(&json!({"name": "a"}))["id"].clone();
    let path = format!("/ops/streams/{id}/on_air");
    let choose = |slot: Value| server.call("POST", &path, &json!({ "slot": slot }));
    let (status, answer) = choose(json!("backup"));
    assert_eq!(status, 409, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("the backup slot is not live"), "{answer}");
    *server.live.lock().unwrap() = vec![Slot::Primary, Slot::Backup];
    assert_eq!(choose(json!("backup")), (200, json!({"id": id, "slot": "backup"})));
    assert_eq!(choose(json!("primary")).0, 200);
    assert_eq!(choose(Value::Null), (200, json!({"id": id, "slot": null})));
    assert_eq!(*server.chosen.lock().unwrap(), [Some(Slot::Backup), Some(Slot::Primary), None]);
    for wrong in [json!({}), json!({"slot": "third"}), json!({"slot": true}), json!({"slot": "backup", "at": 1})] {
        let (status, answer) = server.call("POST", &path, &wrong);
        assert_eq!(status, 422, "{wrong}: {answer}");
        assert!(answer["errors"].is_object(), "{answer}");
    }
    assert_eq!(server.chosen.lock().unwrap().len(), 3, "nothing wrong reached the tree");
    assert_eq!(server.call("POST", "/ops/streams/99/on_air", &json!({"slot": null})).0, 404);
    assert_eq!(server.call("GET", &path, &Value::Null).0, 405);
}
