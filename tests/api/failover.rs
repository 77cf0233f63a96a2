//! A stream's own failover setting: `/ops/streams/{id}/failover`.

use std::time::Duration;

use serde_json::{Value, json};
use weir::config::Config;
use weir_media::failover::{FailoverSpec, Mode, Standby};

use super::api_server::ApiServer;
use super::path;

/// What the tree was last told.
fn told(server: &ApiServer) -> FailoverSpec {
    server.told.lock().unwrap().last().unwrap().1.as_ref().unwrap().failover
}

fn hitless_server() -> ApiServer {
    let mut config = Config::default();
    (config.failover.mode, config.failover.delay) = (Mode::Hitless, Duration::from_millis(3500));
    ApiServer::with("127.0.0.1", config)
}

#[test]
fn a_new_stream_follows_the_server() {
    let server = hitless_server();
    let stream = server.create(&json!({"name": "a"}));
    let defaults = FailoverSpec { mode: Mode::Hitless, delay: Duration::from_millis(3500), ..FailoverSpec::default() };
    assert_eq!(told(&server), defaults);
    let (status, setting) = server.get(&format!("/ops/streams/{}/failover", stream["id"]));
    let expected = json!({
        "mode": null, "standby": null, "delay_ms": null, "trim_ms": {"primary": null, "backup": null},
        "effective": {"mode": "hitless", "standby": "hot", "delay_ms": 3500, "trim_ms": {"primary": 0, "backup": 0}},
    });
    assert_eq!((status, setting), (200, expected));
}

#[test]
fn choices_reach_the_tree_stay_and_go_back_to_the_servers() {
    let server = hitless_server();
    let stream = server.create(&json!({"name": "a"}));
    let path_of_setting = format!("/ops/streams/{}/failover", stream["id"]);
    let patch = |body: Value| {
        let (status, setting) = server.call("PATCH", &path_of_setting, &body);
        assert_eq!(status, 200, "{setting}");
        assert_eq!(server.get(&path_of_setting).1, setting);
        setting
    };
    patch(json!({"mode": "freeze", "standby": "warm", "trim_ms": {"primary": -40}}));
    let setting = patch(json!({"delay_ms": 500, "trim_ms": {"backup": 500}}));
    assert_eq!(setting["trim_ms"], json!({"primary": -40, "backup": 500}));
    let all = FailoverSpec {
        mode: Mode::Freeze,
        standby: Standby::Warm,
        delay: Duration::from_millis(500),
        trim_ms: [-40, 500],
    };
    assert_eq!(told(&server), all);
    assert_eq!(setting["effective"]["mode"], "freeze");

    // What clients of the documented API write leaves it alone, and does not show it.
    let (_, patched) = server.call("PATCH", &path(&stream), &json!({"name": "b", "mode": "hitless", "delay_ms": 7000}));
    assert_eq!(told(&server), all);
    assert!(patched.get("mode").is_none() && patched.get("failover").is_none(), "{patched}");

    let setting = patch(json!({"mode": null, "trim_ms": null}));
    assert_eq!(setting["trim_ms"], json!({"primary": null, "backup": null}));
    assert_eq!(told(&server), FailoverSpec { mode: Mode::Hitless, trim_ms: [0, 0], ..all });
    patch(json!({"standby": null, "delay_ms": null}));
    assert_eq!(told(&server).delay, Duration::from_millis(3500));
    assert_eq!(patch(Value::Null)["effective"]["standby"], "hot", "nothing given changes nothing");
}

#[test]
fn wrong_choices_are_told_all_at_once_and_change_nothing() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let path = format!("/ops/streams/{}/failover", stream["id"]);
    let before = server.get(&path).1;
    let puts = server.told.lock().unwrap().len();
    let wrong =
        json!({"mode": "fast", "standby": 1, "delay_ms": 10_001, "trim_ms": {"primary": 501, "x": 1}, "hold": 5});
    let (status, answer) = server.call("PATCH", &path, &wrong);
    let expected = json!({"errors": {
        "mode": ["must be freeze, hitless or null"],
        "standby": ["must be hot, warm or null"],
        "delay_ms": ["must be a whole number within 500 and 10000, or null"],
        "trim_ms.primary": ["must be a whole number within -500 and 500, or null"],
        "trim_ms.x": ["is unknown; known here: primary, backup"],
        "hold": ["is unknown; known here: mode, standby, delay_ms, trim_ms"],
    }});
    assert_eq!((status, answer), (422, expected));
    // One right field among wrong ones is not written either.
    assert_eq!(server.call("PATCH", &path, &json!({"mode": "hitless", "delay_ms": 499})).0, 422);
    assert_eq!(server.get(&path).1, before);
    assert_eq!(server.told.lock().unwrap().len(), puts, "the tree heard nothing");
    for missing in ["GET", "PATCH"] {
        assert_eq!(server.call(missing, "/ops/streams/99/failover", &Value::Null).0, 404, "{missing}");
    }
}
