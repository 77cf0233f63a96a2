//! The REST API over real HTTP: documented shapes, status codes and oddities. The supervision tree is a fake that remembers.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/api_server.rs"]
mod api_server;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant, UNIX_EPOCH};

use api_server::{ApiServer, KEY};
use serde_json::{Value, json};
use weir::config::Config;
use weir_actors::heartbeat::Heartbeat;
use weir_actors::status::StreamStatus;
use weir_media::id::{Protocol, StreamId};

const STREAMS: &str = "/streaming/streams";

fn path(stream: &Value) -> String {
    format!("{STREAMS}/{}", stream["id"])
}

/// The fields of the documented stream object, in their order.
const FIELDS: [&str; 45] = [
    "name",
    "active",
    "pull",
    "uri",
    "srt_passphrase",
    "auto_record",
    "record_type",
    "dvr_enabled",
    "dvr_duration",
    "hls_mpegts_endlist_tag",
    "quality_set_id",
    "client_user_id",
    "client_entity_data",
    "cdn_id",
    "html_overlay",
    "broadcast_ids",
    "projection",
    "id",
    "token",
    "live",
    "backup_live",
    "active_ingest_region_primary",
    "active_ingest_region_backup",
    "stream_source_type",
    "push_url",
    "backup_push_url",
    "push_url_srt",
    "backup_push_url_srt",
    "push_url_whip",
    "created_at",
    "started_at_primary",
    "started_at_backup",
    "finished_at_primary",
    "iframe_url",
    "dash_url",
    "hls_cmaf_url",
    "hls_mpegts_url",
    "screenshot",
    "transcoded_qualities",
    "recording_duration",
    "transcoding_speed",
    "frame_rate",
    "video_height",
    "video_width",
    "html_overlays",
];

#[test]
fn a_new_stream_has_every_documented_field_and_default() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let defaults = json!({
        "name": "a", "active": false, "pull": false, "uri": null, "srt_passphrase": null, "auto_record": false,
        "record_type": "origin", "dvr_enabled": false, "dvr_duration": 3600, "hls_mpegts_endlist_tag": true,
        "quality_set_id": null, "client_user_id": null, "client_entity_data": null, "cdn_id": null, "html_overlay": false,
        "broadcast_ids": [], "projection": "regular", "live": false, "backup_live": false,
        "active_ingest_region_primary": null, "stream_source_type": null, "started_at_primary": null,
        "finished_at_primary": null, "hls_mpegts_url": null, "screenshot": null, "transcoded_qualities": null,
        "transcoding_speed": null, "frame_rate": null, "video_width": null, "html_overlays": [],
    });
    for (field, value) in defaults.as_object().unwrap() {
        assert_eq!(&stream[field], value, "{field}");
    }
    let (id, token) = (stream["id"].as_u64().unwrap(), stream["token"].as_str().unwrap());
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    assert_eq!(stream["push_url"], format!("rtmp://127.0.0.1/in/{id}?{token}"));
    let base = format!("http://{}", server.address);
    assert_eq!(stream["iframe_url"], format!("{base}/streams/1_{id}"));
    assert_eq!(stream["hls_cmaf_url"], format!("{base}/cmaf/1_{id}/master.m3u8"));
    assert_eq!(stream["dash_url"], format!("{base}/cmaf/1_{id}/index.mpd"));
    let created = stream["created_at"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z') && &created[19..20] == ".", "{created}");

    let (_, text) = server.raw("GET", &path(&stream), &[("authorization", &format!("APIKey {KEY}"))], b"");
    let places: Vec<usize> = FIELDS
        .iter()
        .map(|field| text.find(&format!("\"{field}\":")).unwrap_or_else(|| panic!("no {field}")))
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(stream.as_object().unwrap().len(), FIELDS.len());
}

#[test]
fn create_and_patch_take_flat_and_wrapped_bodies() {
    let server = ApiServer::start();
    let flat = server.create(&json!({"name": "flat", "active": true, "client_user_id": 7}));
    assert_eq!((&flat["active"], &flat["client_user_id"]), (&json!(true), &json!(7)));
    let wrapped = server.create(&json!({"stream": {"name": "wrapped", "projection": "vr360"}}));
    assert_eq!((&wrapped["name"], &wrapped["projection"]), (&json!("wrapped"), &json!("vr360")));
    let (status, patched) = server.call("PATCH", &path(&flat), &json!({"active": false}));
    assert_eq!((status, &patched["active"], &patched["name"]), (200, &json!(false), &json!("flat")));
    let (status, patched) = server.call("PATCH", &path(&flat), &json!({"stream": {"client_user_id": null}}));
    assert_eq!((status, &patched["client_user_id"]), (200, &Value::Null));
    assert_eq!(server.get(&path(&flat)).1, patched);
}

#[test]
fn clients_may_send_whole_objects_back() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let mut whole = stream.clone();
    whole["name"] = json!("b");
    whole["id"] = json!(999);
    whole["token"] = json!("stolen");
    let (status, patched) = server.call("PATCH", &path(&stream), &whole);
    assert_eq!(
        (status, &patched["name"], &patched["id"], &patched["token"]),
        (200, &json!("b"), &stream["id"], &stream["token"])
    );
}

#[test]
fn all_wrong_fields_are_told_at_once() {
    let server = ApiServer::start();
    let (status, answer) = server.call("POST", STREAMS, &json!({}));
    assert_eq!((status, answer), (422, json!({"errors": {"name": ["can't be blank"]}})));
    assert_eq!(server.call("POST", STREAMS, &Value::Null).0, 422);
    let wrong = json!({
        "name": " ", "active": "yes", "uri": "ftp://a", "srt_passphrase": "short", "record_type": "both", "dvr_duration": 5,
        "quality_set_id": 99, "client_user_id": "7", "client_entity_data": "x".repeat(4097), "broadcast_ids": 1, "projection": "flat",
    });
    let (status, answer) = server.call("POST", STREAMS, &wrong);
    assert_eq!(status, 422);
    let mut told: Vec<&str> = answer["errors"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut given: Vec<&str> = wrong.as_object().unwrap().keys().map(String::as_str).collect();
    told.sort_unstable();
    given.sort_unstable();
    assert_eq!(told, given);
    assert_eq!(server.get(STREAMS).1, json!([]), "nothing was created");

    let stream = server.create(&json!({"name": "a", "dvr_duration": 30}));
    let (status, answer) = server.call("PATCH", &path(&stream), &json!({"name": "", "dvr_duration": 14401}));
    assert_eq!(status, 422);
    assert_eq!(answer["errors"].as_object().unwrap().len(), 2);
    assert_eq!(server.get(&path(&stream)).1["name"], "a", "nothing was changed");
}

#[test]
fn features_that_are_off_answer_422() {
    let server = ApiServer::start();
    let off = (422, json!({"error": "Feature is disabled. Contact support to enable."}));
    for field in ["auto_record", "dvr_enabled", "html_overlay"] {
        assert_eq!(server.call("POST", STREAMS, &json!({"name": "a", field: true})), off, "{field}");
        assert_eq!(server.call("POST", STREAMS, &json!({"name": "a", field: false})).0, 200, "{field}");
    }
    let stream = server.create(&json!({"name": "a"}));
    for (method, sub) in [
        ("PUT", "start_recording"),
        ("PUT", "stop_recording"),
        ("PUT", "clip_recording"),
        ("GET", "clip_recording"),
        ("PUT", "dvr_cleanup"),
        ("GET", "overlays"),
        ("POST", "overlays"),
        ("DELETE", "overlays/1"),
    ] {
        assert_eq!(server.call(method, &format!("{}/{sub}", path(&stream)), &Value::Null), off, "{method} {sub}");
    }
}

#[test]
fn delete_answers_204_also_with_an_empty_json_body() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    assert_eq!(server.call("DELETE", &path(&stream), &Value::Null), (204, Value::Null));
    for method in ["GET", "DELETE"] {
        let (status, answer) = server.call(method, &path(&stream), &Value::Null);
        assert_eq!((status, &answer["status"]), (404, &json!(404)), "{method}");
        assert!(answer["error"].as_str().unwrap().starts_with("Not Found."), "{answer}");
    }
    assert_eq!(server.call("PATCH", &path(&stream), &json!({"name": "b"})).0, 404);
    let told = server.told.lock().unwrap();
    assert!(matches!(told.last(), Some((_, None))), "the tree forgets it too");
}

#[test]
fn a_list_is_an_array_in_pages_of_25() {
    let server = ApiServer::start();
    for n in 0..27 {
        server.create(&json!({"name": n.to_string()}));
    }
    let names = |query: &str| {
        let (status, list) = server.get(&format!("{STREAMS}{query}"));
        assert_eq!(status, 200, "{list}");
        list.as_array()
            .unwrap()
            .iter()
            .map(|stream| stream["name"].as_str().unwrap().parse().unwrap())
            .collect::<Vec<u32>>()
    };
    assert_eq!(names(""), (0..25).collect::<Vec<_>>());
    assert_eq!(names("?page=1"), (0..25).collect::<Vec<_>>());
    assert_eq!(names("?page=2"), [25, 26]);
    assert!(names("?page=3").is_empty());
    assert!(names("?page=18446744073709551615").is_empty());
    assert_eq!(server.get(&format!("{STREAMS}?page=x")).0, 400);
    let (_, list) = server.get(&format!("{STREAMS}?page=2&with_broadcasts=1"));
    assert_eq!(list[0]["broadcasts"], json!([]));
    assert!(server.get(&format!("{STREAMS}?page=2")).1[0].get("broadcasts").is_none());
}

#[test]
fn the_api_key_is_wanted_everywhere_and_its_scheme_in_any_case() {
    let server = ApiServer::start();
    let status = |path: &str, value: Option<&str>| {
        let headers: Vec<(&str, &str)> = value.iter().map(|value| ("authorization", *value)).collect();
        server.raw("GET", path, &headers, b"")
    };
    for path in [STREAMS, "/streaming/quality_sets", "/streaming/none", "/ops/tree", "/ops/streams", "/ops/streams/1"] {
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
        "/streaming/statistics/ffprobe",
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
    ] {
        let (status, answer) = server.call(method, path, &Value::Null);
        assert_eq!((status, &answer["status"]), (405, &json!(405)), "{method} {path}");
    }
}

#[test]
fn a_reset_gives_a_new_token_and_tells_the_tree() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a", "active": true}));
    for spelling in ["reset_push_token", "reset-push-token"] {
        let (status, fresh) = server.call("POST", &format!("{}/{spelling}", path(&stream)), &Value::Null);
        assert_eq!((status, &fresh["id"]), (200, &stream["id"]));
        assert_ne!(fresh["token"], stream["token"]);
        assert!(fresh["push_url"].as_str().unwrap().ends_with(fresh["token"].as_str().unwrap()));
        let told = server.told.lock().unwrap();
        assert_eq!(told.last().unwrap().1.as_ref().unwrap().token.expose(), fresh["token"]);
    }
    *server.took.lock().unwrap() = None;
    let (status, answer) = server.call("POST", &format!("{}/reset_push_token", path(&stream)), &Value::Null);
    assert_eq!(status, 202);
    assert_eq!(
        answer["message"],
        "Token reset successful (it's already new). However, automated stream termination timed out, you should now manually restart the stream with the new token."
    );
    assert_eq!(server.call("POST", &format!("{STREAMS}/99/reset_push_token"), &Value::Null).0, 404);
}

#[test]
fn operators_see_which_sessions_a_reset_closed() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let (status, answer) =
        server.call("POST", &format!("/ops/streams/{}/reset_push_token", stream["id"]), &Value::Null);
    assert_eq!((status, &answer["closed"]), (200, &json!([{"session": 5, "slot": "primary", "took_ms": 7}])));
}

#[test]
fn the_tree_learns_every_change_with_its_ladder() {
    let server = ApiServer::start();
    let ladder = || {
        let told = server.told.lock().unwrap();
        let spec = told.last().unwrap().1.clone().unwrap();
        (spec.active, spec.ladder.0.iter().map(|rung| rung.name.clone()).collect::<Vec<_>>())
    };
    let stream = server.create(&json!({"name": "a"}));
    let all = vec!["1080p".to_owned(), "720p".into(), "468p".into(), "360p".into()];
    assert_eq!(ladder(), (false, all.clone()));
    server.call("PATCH", &path(&stream), &json!({"active": true, "quality_set_id": 2}));
    assert_eq!(ladder(), (true, vec!["720p".into()]));
    server.call("PATCH", &path(&stream), &json!({"quality_set_id": null}));
    assert_eq!(ladder(), (true, all));
    server.call("PUT", "/streaming/quality_sets/default", &json!({"live": {"id": 3}}));
    assert_eq!(ladder(), (true, vec!["360p".into()]), "a new default reaches the streams that choose none");
}

#[test]
fn the_default_quality_set_can_be_changed() {
    let server = ApiServer::start();
    let default = |list: &Value| {
        let sets = list["live"].as_array().unwrap();
        assert_eq!(list["vod"], json!([]));
        sets.iter().filter(|set| set["default"] == true).map(|set| set["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (status, list) = server.get("/streaming/quality_sets");
    assert_eq!((status, default(&list)), (200, vec![1]));
    assert_eq!(
        list["live"][1],
        json!({"id": 2, "name": "720p", "default": false, "qualities": [{"id": 1, "name": "720p"}]})
    );
    let put = |body: Value| server.call("PUT", "/streaming/quality_sets/default", &body);
    assert_eq!(default(&put(json!({"live": {"id": 2}})).1), [2]);
    assert_eq!(default(&put(json!({"vod": {"id": null}})).1), [2], "live is not touched");
    assert_eq!(default(&put(json!({"live": {"id": null}})).1), [1]);
    for body in [json!({"live": {"id": 77}}), json!({"vod": {"id": 1}})] {
        let (status, answer) = put(body);
        assert_eq!((status, &answer["status"]), (404, &json!(404)));
    }
    assert_eq!(put(json!({"live": 2})).0, 400);
}

#[test]
fn live_fields_follow_the_tree() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let status = StreamStatus {
        live: true,
        transcoding: true,
        protocol: Some(Protocol::Rtmp),
        video_width: Some(1280),
        video_height: Some(720),
        frame_rate: Some(30000.0 / 1001.0),
        qualities: vec!["720p".into(), "360p".into()],
        transcoding_speed: Some(1.0149),
        started_at_primary: Some(UNIX_EPOCH + Duration::from_millis(1_696_118_461_007)),
        ..StreamStatus::default()
    };
    let id = StreamId(stream["id"].as_u64().unwrap());
    server.board.set(id, status.clone());
    let now = server.get(&path(&stream)).1;
    let expected = json!({
        "live": true, "backup_live": false, "active_ingest_region_primary": "local", "active_ingest_region_backup": null,
        "stream_source_type": "rtmp", "video_width": 1280, "video_height": 720, "frame_rate": 29.97,
        "transcoded_qualities": ["720p", "360p"], "transcoding_speed": 1.01,
        "started_at_primary": "2023-10-01T00:01:01.007Z", "finished_at_primary": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&now[field], value, "{field}");
    }
    server.board.set(id, StreamStatus { transcoding: false, live: false, ..status });
    let now = server.get(&path(&stream)).1;
    for field in ["stream_source_type", "video_width", "frame_rate", "transcoded_qualities", "transcoding_speed"] {
        assert_eq!(now[field], Value::Null, "{field}");
    }
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
fn the_limit_of_active_streams_holds_when_many_ask_at_once() {
    let mut config = Config::default();
    config.limits.max_streams = 2;
    let server = ApiServer::with("127.0.0.1", config);
    let body = json!({"name": "a", "active": true});
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..8).map(|_| scope.spawn(|| server.call("POST", STREAMS, &body).0)).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 2, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 422).count(), 6, "{answers:?}");
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
    let (status, detail) = server.get("/ops/streams/1");
    assert_eq!((status, &detail["journal"][0]["at"]), (200, &json!("2023-10-01T00:01:01.007Z")));
    assert_eq!(server.get("/ops/streams/9").0, 404);
    assert_eq!(server.get("/ops/streams?limit=x").0, 400);
}

#[test]
fn a_limit_of_active_streams_is_a_wrong_field_not_a_conflict() {
    let mut config = Config::default();
    config.limits.max_streams = 1;
    let server = ApiServer::with("127.0.0.1", config);
    let first = server.create(&json!({"name": "a", "active": true}));
    let second = server.create(&json!({"name": "b"}));
    for (status, answer) in [
        server.call("POST", STREAMS, &json!({"name": "c", "active": true})),
        server.call("PATCH", &path(&second), &json!({"active": true})),
    ] {
        assert_eq!(status, 422);
        assert!(answer["errors"]["active"].is_array(), "{answer}");
    }
    assert_eq!(server.call("PATCH", &path(&first), &json!({"active": true})).0, 200, "it is active already");
}

/// An address of this machine that others could reach; connecting to it does not come from loopback.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a datagram socket sends nothing.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn plain_http_from_another_machine_reaches_media_and_health_only() {
    // Without any network there is no other machine to be told from this one.
    let ip = outer_address().expect("a network interface besides loopback").to_string();
    let server = ApiServer::with(&ip, Config::default());
    for path in ["/streaming/streams", "/ops/tree", "/readyz", "/openapi.json", "/", "/nothing"] {
        let (status, answer) = server.get(path);
        assert_eq!((status, &answer["status"]), (403, &json!(403)), "{path}");
    }
    assert_eq!(server.raw("GET", "/healthz", &[], b"").0, 200);
    assert_eq!(server.raw("GET", "/streams/1_1", &[], b"").0, 200);
    assert_eq!(server.raw("GET", "/cmaf/1_1/master.m3u8", &[], b"").0, 404);

    let allowed =
        Config { http: weir::config::Http { allow_plain: true, ..Config::default().http }, ..Config::default() };
    assert_eq!(ApiServer::with(&ip, allowed).get(STREAMS).0, 200);
    let mut proxied = Config::default();
    proxied.http.trusted_proxies = vec![ip.parse().unwrap()];
    let server = ApiServer::with(&ip, proxied);
    let key = format!("APIKey {KEY}");
    let headers =
        [("authorization", key.as_str()), ("x-forwarded-proto", "https"), ("x-forwarded-host", "live.example.org")];
    let (status, text) = server.raw("POST", STREAMS, &headers, b"{\"name\": \"a\"}");
    assert_eq!(status, 200);
    assert!(text.contains("\"iframe_url\":\"https://live.example.org/streams/1_1\""), "{text}");
}

#[test]
fn forwarded_names_of_an_untrusted_peer_are_not_believed() {
    let server = ApiServer::start();
    let key = format!("APIKey {KEY}");
    let headers = [("authorization", key.as_str()), ("x-forwarded-host", "evil.example")];
    let (_, text) = server.raw("POST", STREAMS, &headers, b"{\"name\": \"a\"}");
    assert!(!text.contains("evil"), "{text}");
}

#[test]
fn a_client_that_hangs_up_leaves_store_and_tree_in_step() {
    let server = ApiServer::start();
    let body = br#"{"name": "gone"}"#;
    for _ in 0..20 {
        let mut socket = TcpStream::connect(server.address).unwrap();
        write!(
            socket,
            "POST {STREAMS} HTTP/1.1\r\nHost: a\r\nAuthorization: APIKey {KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        socket.write_all(body).unwrap();
        drop(socket);
    }
    // Another request on a connection of its own is answered, and sees as many streams as the tree was told of.
    let mut socket = TcpStream::connect(server.address).unwrap();
    write!(socket, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let streams = server.get(STREAMS).1.as_array().unwrap().len();
        let told = server.told.lock().unwrap().len();
        if streams > 0 && streams == told {
            break;
        }
        assert!(std::time::Instant::now() < end, "{streams} streams, {told} told");
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
