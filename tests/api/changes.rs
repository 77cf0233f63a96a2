//! Changes of streams, and what the supervision tree is told of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use weir_actors::token::Token;

use super::api_server::{ApiServer, KEY};
use super::{STREAMS, path};

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
        let (id, spec) = told.last().unwrap();
        let token = Token::new(fresh["token"].as_str().unwrap());
        assert_eq!(spec.as_ref().unwrap().token, server.digests.digest(*id, &token));
    }
    *server.took.lock().unwrap() = None;
    let (status, answer) = server.call("POST", &format!("{}/reset_push_token", path(&stream)), &Value::Null);
    assert_eq!(status, 202);
    assert_eq!(
        answer["message"],
        "Token reset successful (it's already new). However, automated stream termination timed out, you should now manually restart the stream with the new token."
    );
    *server.gone.lock().unwrap() = true;
    let (status, answer) = server.call("POST", &format!("{}/reset_push_token", path(&stream)), &Value::Null);
    assert_eq!(status, 202);
    assert_eq!(
        answer["message"],
        "Token reset successful (it's already new). However, your active stream state prevents automated termination, you should now manually restart the stream with the new token."
    );
    assert_eq!(server.call("POST", &format!("{STREAMS}/99/reset_push_token"), &Value::Null).0, 404);
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
