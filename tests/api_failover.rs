//! Failover with real processes, as API clients and operators see it: two encoders, fields that are true at every poll, the journal as it
//! happens, a choice by hand.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // Shared with tests that look at more of them.
    #[allow(dead_code)]
    pub mod events;
    #[allow(dead_code)]
    pub mod server;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::events::{Event, Events};
use support::server::{API_KEY, Encoder, Server};

/// Shortened, so that the test takes seconds.
const TIMES: &str = "[failover]\nstall = \"1s\"\nhold = \"3s\"\nlinger = \"20s\"";
const SOON: Duration = Duration::from_secs(10);

/// What must hold in every answer of the API, whatever happens meanwhile.
fn check(stream: &Value) {
    for (live, region, started) in [
        ("live", "active_ingest_region_primary", "started_at_primary"),
        ("backup_live", "active_ingest_region_backup", "started_at_backup"),
    ] {
        let is_live = stream[live] == true;
        assert_eq!(stream[region].is_string(), is_live, "{live} and {region}: {stream}");
        assert!(!is_live || stream[started].is_string(), "{live} without {started}: {stream}");
    }
    let (started, finished) = (stream["started_at_primary"].as_str(), stream["finished_at_primary"].as_str());
    if started.is_some() {
        assert_eq!(stream["live"] == true, started > finished, "start > finish means that it runs: {stream}");
    }
}

/// Everything that happened, up to the events' end.
fn rest(mut events: Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next()).filter(|event| event.id.is_some()).collect()
}

#[test]
fn a_switch_and_the_return_are_true_in_the_api_and_explained_in_the_journal() {
    let server = Arc::new(Server::start(TIMES));
    let stream = server.create_stream("360p");
    let id = &stream["id"];
    let (push, backup_push) = (stream["push_url"].as_str().unwrap(), stream["backup_push_url"].as_str().unwrap());
    let ops = |path: &str| format!("/ops/streams/{id}{path}");
    let on_air = |slot: Value| server.get_json(&ops(""))["on_air"] == slot;
    let setting = server.patch(&ops("/failover"), &json!({"mode": "hitless", "delay_ms": 700}));
    assert_eq!(setting["effective"]["delay_ms"], 700);
    let events = Events::open(server.http, API_KEY, id, "");

    // Polled all the time, so that no moment is left out.
    let over = Arc::new(AtomicBool::new(false));
    let poller = {
        let (server, id, over) = (server.clone(), id.clone(), over.clone());
        std::thread::spawn(move || {
            let mut polls = 0;
            while !over.load(Ordering::Relaxed) {
                check(&server.stream(&id));
                polls += 1;
            }
            polls
        })
    };

    let primary = Encoder::ffmpeg(push, "640x360", 30);
    server.wait("primary on air", SOON, || on_air(json!("primary")));
    let _backup = Encoder::ffmpeg(backup_push, "426x240", 25);
    server.wait("both live", SOON, || {
        let now = server.stream(id);
        now["live"] == true && now["backup_live"] == true
    });
    let detail = server.get_json(&ops(""));
    assert_eq!(
        (&detail["mode"], &detail["delay_ms"], &detail["standby"]),
        (&json!("hitless"), &json!(700), &json!("hot"))
    );
    server.patch(&ops("/failover"), &json!({"mode": "freeze"}));
    assert_eq!(server.get_json(&ops(""))["mode"], "hitless", "a running broadcast keeps its mode");
    server.wait_playable(id);

    drop(primary);
    server.wait("backup on air", SOON, || on_air(json!("backup")));
    let now = server.stream(id);
    assert_eq!((&now["live"], &now["backup_live"]), (&json!(false), &json!(true)));
    assert!(now["finished_at_primary"].is_string() && now["transcoded_qualities"] == json!(["360p"]), "{now}");
    let refused = server.post(&ops("/on_air"), &json!({"slot": "primary"}));
    assert_eq!(refused["status"], 409, "{refused}");

    let _primary = Encoder::ffmpeg(push, "640x360", 30);
    server.wait("the hold", SOON, || server.get_json(&ops(""))["hold_remaining_s"].is_number());
    assert!(on_air(json!("backup")), "not before the hold is over");
    // Two encoders' own test patterns: the pair may lock or not, and waits 20 s longer if it does not.
    server.wait("primary on air again", Duration::from_secs(40), || on_air(json!("primary")));
    assert_eq!(server.post(&ops("/on_air"), &json!({"slot": "backup"})), json!({"id": id, "slot": "backup"}));
    server.wait("the operator's choice", SOON, || on_air(json!("backup")));
    server.post(&ops("/on_air"), &json!({"slot": null}));

    over.store(true, Ordering::Relaxed);
    let polls = poller.join().expect("every poll was true");
    assert!(polls > 1_000, "{polls} polls");
    let before = server.get_json(&ops("/journal?limit=500"));
    let deleted = std::process::Command::new("curl")
        .args(["-sf", "-X", "DELETE", "-H", &format!("Authorization: APIKey {API_KEY}")])
        .arg(server.url(&format!("/streaming/streams/{id}")))
        .status()
        .expect("curl");
    assert!(deleted.success());
    // The stream is gone, so its events end.
    let told = rest(events);
    let ids: Vec<u64> = told.iter().filter_map(|event| event.id).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    let of = |name: &str| told.iter().filter(|event| event.name == name).map(|event| &event.data).collect::<Vec<_>>();
    let switches: Vec<_> = of("on_air").iter().map(|data| data["slot"].clone()).collect();
    assert_eq!(switches[..4], [json!("primary"), json!("backup"), json!("primary"), json!("backup")], "{told:?}");
    let rules = of("on_air").iter().map(|data| data["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    for (rule, word) in rules.iter().zip(["rule 1", "rule 2", "rule 3", "operator"]) {
        assert!(rule.contains(word), "{rules:?}");
    }
    for name in ["session", "live", "broadcast", "timer", "shown", "gap", "input"] {
        assert!(!of(name).is_empty(), "no {name}: {told:?}");
    }
    // Pages have the same entries.
    for item in before["items"].as_array().unwrap().iter().filter(|item| item["seq"].as_u64() >= ids.first().copied()) {
        let event = told.iter().find(|event| event.data["seq"] == item["seq"]).expect("an event of each entry");
        assert_eq!(&event.data, item);
    }
}

#[test]
fn events_end_when_the_server_is_told_to_go() {
    let mut server = Server::start("");
    let id = server.create_stream("360p")["id"].clone();
    let events = Events::open(server.http, API_KEY, &id, "");
    server.signal("-TERM");
    rest(events);
    assert_eq!(server.exit_code(Duration::from_secs(10)), Some(0));
}
