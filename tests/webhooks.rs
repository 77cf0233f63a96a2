//! Webhooks of a real server: whatever becomes of the receiver and of the server, every event arrives, in order, signed, without a token.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // Each test uses a part of it.
    #[allow(dead_code)]
    pub mod receiver;
    #[allow(dead_code)]
    pub mod server;
}

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::receiver::{Heard, Mode, Receiver};
use support::server::{Encoder, Server, spawn};

const CONFIG: &str = "[webhooks]\nallow = [\"127.0.0.0/8\"]\n[failover]\nlinger = \"1s\"\n";
/// For an event to arrive on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

const LIVE: [bool; 3] = [true, false, false];
const PLAYABLE: [bool; 3] = [true, false, true];
const OVER: [bool; 3] = [false, false, false];

/// Each message once, in the order of its first arrival.
fn first(heard: &[Heard]) -> Vec<Heard> {
    let mut known = HashMap::new();
    let mut first = vec![];
    for one in heard {
        match known.insert(one.id.clone(), one.body.clone()) {
            None => first.push(one.clone()),
            Some(body) => assert_eq!(body, one.body, "a message is the same whenever it is sent"),
        }
    }
    first
}

fn taken(heard: &[Heard]) -> Vec<Heard> {
    heard.iter().filter(|heard| heard.mode == Mode::Takes).cloned().collect()
}

/// The flags of what was taken last.
fn last_is(heard: &[Heard], flags: [bool; 3]) -> bool {
    taken(heard).last().is_some_and(|heard| heard.flags() == flags)
}

/// Waits for a try in the log, which is newest first.
fn wait_try(server: &Server, webhook: &Value, what: &str, wanted: impl Fn(&Value) -> bool) {
    let path = format!("/ops/webhooks/{webhook}/deliveries?limit=500");
    server.wait(what, SOON, || server.get_json(&path)["items"].as_array().unwrap().iter().any(&wanted));
}

fn says(tried: &Value, status: Value, error: &str) -> bool {
    tried["status"] == status && tried["error"].as_str().is_some_and(|text| text.contains(error))
}

#[test]
fn every_event_arrives_in_order_whatever_becomes_of_receiver_and_server() {
    let mut server = Server::start(CONFIG);
    let receiver = Receiver::start();
    let made = server.post("/ops/webhooks", &json!({"url": receiver.url()}));
    let (webhook, secret) = (made["id"].clone(), made["secret"].as_str().unwrap().to_owned());
    let stream = server.create_stream("360p");
    let (id, push) = (stream["id"].clone(), stream["push_url"].as_str().unwrap().to_owned());

    // In order, and playable when it says so.
    let encoder = Encoder::ffmpeg(&push, "640x360", 30);
    receiver.wait("playable", SOON, |heard| last_is(heard, PLAYABLE));
    assert_eq!(server.get(&format!("/cmaf/1_{id}/master.m3u8")).unwrap().0, 200);
    let flags: Vec<_> = receiver.heard().iter().map(Heard::flags).collect();
    assert_eq!(flags, [LIVE, PLAYABLE]);

    // It fails, redirects, hangs; the server is killed meanwhile, and with it a broadcast; then the receiver is.
    receiver.set(Mode::Answers("500 Internal Server Error\r\n"));
    drop(encoder);
    wait_try(&server, &webhook, "a refusal", |tried| says(tried, json!(500), "answered 500"));
    receiver.set(Mode::Answers("302 Found\r\nlocation: http://127.0.0.1:1/\r\n"));
    wait_try(&server, &webhook, "a redirect", |tried| says(tried, json!(302), "not followed"));
    server.wait("the end of the broadcast", SOON, || server.stream(&id)["transcoding_speed"].is_null());
    let encoder = Encoder::ffmpeg(&push, "640x360", 30);
    server.wait_playable(&id);
    receiver.set(Mode::Hangs);
    let done = || server.get_json(&format!("/ops/webhooks/{webhook}"));
    server.wait("a backlog that is kept", SOON, || done()["backlog"] == 4);
    receiver.wait("a request that hangs", SOON, |heard| heard.last().unwrap().mode == Mode::Hangs);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(encoder);
    server.child = spawn(&server.data);
    server.wait("readiness", SOON, || server.get("/readyz").is_ok_and(|(status, _)| status == 200));
    let (address, heard) = (receiver.address, receiver.heard());
    drop(receiver);
    wait_try(&server, &webhook, "a dead receiver", |tried| says(tried, Value::Null, "no connection"));
    let receiver = Receiver::on(address, heard);
    receiver.wait("all that was missed", Duration::from_secs(60), |heard| {
        last_is(heard, OVER) && first(heard).last().unwrap().json()["sequence"] == 8
    });

    let all = receiver.heard();
    let told: Vec<_> = first(&all).iter().map(Heard::flags).collect();
    let ended = [false, false, true];
    let aborted = LIVE;
    assert_eq!(told, [LIVE, PLAYABLE, ended, OVER, LIVE, PLAYABLE, aborted, OVER]);
    let sequences: Vec<_> = first(&all).iter().map(|heard| heard.json()["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
    let token = stream["token"].as_str().unwrap();
    for heard in &all {
        assert_eq!(heard.signed_by(&secret), 1, "{heard:?}");
        assert!(!heard.body.contains(token), "{heard:?}");
        assert_eq!(heard.json()["message"]["stream"]["uri"], format!("rtmp://{}/in/{id}?***", server.rtmp));
    }

    // What is heard and not noted yet would be sent once more by a change.
    let done = || server.get_json(&format!("/ops/webhooks/{webhook}"));
    server.wait("an empty backlog", SOON, || done()["backlog"] == 0);

    // Two secrets while one takes the other's place, and all once more.
    let rotated = server.post(&format!("/ops/webhooks/{webhook}/rotate_secret"), &json!({}));
    let fresh = rotated["secret"].as_str().unwrap();
    assert!(fresh != secret && rotated["old_secret_until"].is_string(), "{rotated}");
    let events: Vec<_> = first(&all).iter().map(|heard| heard.json()["event_id"].as_i64().unwrap()).collect();
    let replay = server.post(&format!("/ops/webhooks/{webhook}/replay"), &json!({"after": events[2]}));
    assert_eq!((&replay["messages"], &replay["oldest"]), (&json!(5), &json!(events[0])));
    receiver.wait("a replay", SOON, |heard| heard.len() == all.len() + 5);
    let again = &receiver.heard()[all.len()..];
    assert_eq!(again.iter().map(|heard| heard.json()["event_id"].as_i64().unwrap()).collect::<Vec<_>>(), events[3..]);
    assert_eq!(first(&receiver.heard()).len(), 8, "nothing new");
    assert!(again.iter().all(|heard| heard.signed_by(fresh) == 1 && heard.signed_by(&secret) == 1));
    server.wait("an empty backlog", SOON, || done()["backlog"] == 0 && done()["settled"] == events[7]);

    // A receiver that wants nothing more is asked no more.
    receiver.set(Mode::Answers("410 Gone\r\n"));
    server.post(&format!("/ops/webhooks/{webhook}/replay"), &json!({"after": 0}));
    server.wait("being switched off", SOON, || done()["enabled"] == false);
    assert!(done()["disabled_reason"].as_str().unwrap().contains("410"));
    receiver.set(Mode::Takes);
    let before = receiver.heard().len();
    server.patch(&format!("/ops/webhooks/{webhook}"), &json!({"enabled": true}));
    receiver.wait("all of it", SOON, |heard| heard.len() == before + 8);
}

#[test]
fn a_configured_webhook_is_told_and_signed_with_its_own_secret() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let receiver = Receiver::start();
    let endpoint = format!("endpoints = [{{ url = \"{}\", secret = \"{secret}\" }}]\n", receiver.url());
    let mut server = Server::start(&CONFIG.replace("[failover]", &format!("{endpoint}[failover]")));
    let kept = server.get_json("/ops/webhooks")["items"][0].clone();
    assert_eq!((&kept["configured"], &kept["secret"]), (&json!(true), &Value::Null));
    let tested = server.post(&format!("/ops/webhooks/{}/test", kept["id"]), &json!({}));
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)));
    let test = receiver.heard().remove(0);
    assert_eq!((test.json(), test.signed_by(secret)), (json!({"type": "test", "message": {}}), 1));
    // Going down tells the ends.
    let stream = server.create_stream("360p");
    let _encoder = Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "640x360", 30);
    receiver.wait("playable", SOON, |heard| heard.len() == 3);
    server.signal("-TERM");
    assert_eq!(server.exit_code(SOON), Some(0));
    assert!(last_is(&receiver.heard(), OVER), "{:#?}", receiver.heard());
}
