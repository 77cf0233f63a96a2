//! Streams: documented fields, defaults, limits and oddities.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use weir::config::Config;
use weir_actors::status::StreamStatus;
use weir_media::id::{Protocol, StreamId};

use super::api_server::{ApiServer, KEY};
use super::{FIELDS, STREAMS, path};

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
        "finished_at_primary": null, "hls_mpegts_url": null, "transcoded_qualities": null,
        "transcoding_speed": null, "frame_rate": null, "video_width": null, "html_overlays": [],
    });
    for (field, value) in defaults.as_object().unwrap() {
        assert_eq!(&stream[field], value, "{field}");
    }
    let (id, token) = (stream["id"].as_u64().unwrap(), stream["token"].as_str().unwrap());
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    assert_eq!(stream["push_url"], format!("rtmp://127.0.0.1/in/{id}?{token}"));
    assert_eq!(stream["backup_push_url"], format!("rtmp://127.0.0.1/in/{id}b?{token}"));
    assert_eq!(stream["push_url_srt"], format!("srt://127.0.0.1:5001?streamid={id}#{token}"));
    assert_eq!(stream["backup_push_url_srt"], format!("srt://127.0.0.1:5001?streamid={id}b#{token}"));
    let base = format!("http://{}", server.address);
    assert_eq!(stream["push_url_whip"], format!("{base}/{id}_{token}/whip"));
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
fn each_address_to_pull_from_is_checked_and_the_wrong_one_is_named_without_its_secrets() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let several = "rtmp://a.example/live/1 rtmps://b.example/live/1  srt://c.example:9000?mode=caller&latency=1000000&streamid=1#token \
                   https://d.example/index.m3u8 http://user:secret@e.example/a.ts rtsp://f.example/cam";
    let (status, answer) = server.call("PATCH", &path(&stream), &json!({"pull": true, "uri": several}));
    assert_eq!((status, &answer["uri"]), (200, &json!(several)));
    let wrong = "rtmp://a.example/live/1 srt://user:secret@c.example?streamid=secret";
    let (status, answer) = server.call("PATCH", &path(&stream), &json!({"uri": wrong}));
    assert_eq!((status, answer), (422, json!({"errors": {"uri": ["\"srt://***@c.example\" names no port"]}})));
    for uri in [
        "file:///etc/passwd",
        "udp://239.0.0.1:1234",
        "rtmp://a.example",
        "https://",
        "rtmp://a.example/live/1,rtmp://b",
    ] {
        let (status, _) = server.call("PATCH", &path(&stream), &json!({"uri": uri}));
        assert_eq!(status == 422, !uri.contains(','), "{uri}");
    }
}

#[test]
fn a_passphrase_is_one_that_libsrt_takes() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let patch = |passphrase: Value| server.call("PATCH", &path(&stream), &json!({ "srt_passphrase": passphrase }));
    for right in [json!("x".repeat(10)), json!("x".repeat(79)), Value::Null] {
        let (status, patched) = patch(right.clone());
        assert_eq!((status, &patched["srt_passphrase"]), (200, &right));
    }
    for wrong in ["x".repeat(9), "x".repeat(80), "with a space".to_owned(), "größer-als-zehn".to_owned(), String::new()]
    {
        let (status, answer) = patch(json!(wrong));
        let text = "must have 10 to 79 printable ASCII characters without spaces";
        assert_eq!((status, &answer["errors"]["srt_passphrase"]), (422, &json!([text])), "{wrong:?}");
    }
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
    assert!(names("?page=9223372036854775807").is_empty());
    assert_eq!(server.get(&format!("{STREAMS}?page=9223372036854775808")).0, 400);
    assert_eq!(server.get(&format!("{STREAMS}?page=x")).0, 400);
    let (_, list) = server.get(&format!("{STREAMS}?page=2&with_broadcasts=1"));
    assert_eq!(list[0]["broadcasts"], json!([]));
    assert!(server.get(&format!("{STREAMS}?page=2")).1[0].get("broadcasts").is_none());
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
fn live_fields_tell_both_ingest_points_apart() {
    let server = ApiServer::start();
    let stream = server.create(&json!({"name": "a"}));
    let id = StreamId(stream["id"].as_u64().unwrap());
    let at = |second: u64| Some(UNIX_EPOCH + Duration::from_secs(second));
    let text = |second: u32| json!(format!("1970-01-01T00:00:{second:02}.000Z"));
    let shows = |status: StreamStatus, expected: Value| {
        server.board.set(id, status);
        let now = server.get(&path(&stream)).1;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&now[field], value, "{field}");
        }
    };
    // Both push, primary is lost, both are gone: start > finish says that the primary runs.
    let both = StreamStatus {
        live: true,
        backup_live: true,
        started_at_primary: at(1),
        started_at_backup: at(2),
        ..StreamStatus::default()
    };
    shows(
        both.clone(),
        json!({
            "live": true, "backup_live": true, "active_ingest_region_primary": "local", "active_ingest_region_backup": "local",
            "started_at_primary": text(1), "started_at_backup": text(2), "finished_at_primary": null,
        }),
    );
    let backup = StreamStatus { live: false, finished_at_primary: at(3), ..both };
    shows(
        backup.clone(),
        json!({
            "live": false, "backup_live": true, "active_ingest_region_primary": null, "active_ingest_region_backup": "local",
            "started_at_primary": text(1), "started_at_backup": text(2), "finished_at_primary": text(3),
        }),
    );
    shows(
        StreamStatus { backup_live: false, ..backup },
        json!({
            "backup_live": false, "active_ingest_region_backup": null, "started_at_backup": text(2), "finished_at_primary": text(3),
        }),
    );
}
