//! SRT push with real processes: encoders over libsrt (ffmpeg, srt-live-transmit) and beside it (srt-tokio), what they are told when they
//! are refused, and what strangers on the port can do.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    #[allow(dead_code)]
    pub mod server;
    pub mod srt;
}

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::server::{Encoder, Server};
use support::srt::{self, Handshake};

const PASSPHRASE: &str = "correct-horse-battery";

/// How long any client may take until it knows that it is refused.
const AT_ONCE: Duration = Duration::from_secs(4);

fn push_url(stream: &Value, field: &str) -> String {
    stream[field].as_str().unwrap_or_else(|| panic!("no {field}: {stream}")).to_owned()
}

fn session(server: &Server, id: &Value, slot: usize) -> Value {
    server.get_json(&format!("/ops/streams/{id}"))["slots"][slot]["session"].clone()
}

#[test]
fn an_srt_push_plays_is_described_and_ends_with_its_token() {
    let server = Server::start("");
    let stream = server.create_stream("360p");
    let id = &stream["id"];
    let url = push_url(&stream, "push_url_srt");
    assert_eq!(url, format!("srt://{}?streamid={id}#{}", server.srt, stream["token"].as_str().unwrap()));

    let encoder = Encoder::srt(&format!("{url}&latency=300000"));
    server.wait_playable(id);
    let now = server.stream(id);
    assert_eq!((&now["live"], &now["stream_source_type"]), (&json!(true), &json!("srt")));
    let told = || session(&server, id, 0)["transport"].clone();
    server.wait("statistics", Duration::from_secs(5), || told()["packets_received"].as_u64().is_some_and(|n| n > 100));
    let transport = told();
    assert_eq!(transport["latency_ms"], 300, "{transport}");
    assert!(transport["rtt_ms"].as_f64().is_some_and(|rtt| rtt > 0.0 && rtt < 100.0), "{transport}");
    assert_eq!((&transport["packets_dropped"], &transport["continuity_errors"]), (&json!(0), &json!(0)), "{transport}");

    // The second slot, over the spelling for clients that take a bare # for a fragment.
    let backup = Encoder::srt(&push_url(&stream, "backup_push_url_srt").replace('#', "%23"));
    server.wait("backup", Duration::from_secs(10), || server.stream(id)["backup_live"] == true);

    let receipt = server.post(&format!("/ops/streams/{id}/reset_push_token"), &json!({}));
    let closed = receipt["closed"].as_array().unwrap();
    assert_eq!(closed.len(), 2, "{receipt}");
    assert!(closed.iter().all(|session| session["took_ms"].as_u64().is_some_and(|took| took < 500)), "{receipt}");
    let (code, said) = encoder.output(Duration::from_secs(5));
    assert_ne!(code, Some(0), "{said}");
    backup.output(Duration::from_secs(5));
    assert_eq!(
        srt::call(&server.srt, &format!("{id}#{}", stream["token"].as_str().unwrap()), None),
        Err("Unauthorized".to_owned())
    );
    let again = Encoder::srt(&push_url(&server.stream(id), "push_url_srt"));
    server.wait("the new token's encoder", Duration::from_secs(10), || server.stream(id)["live"] == true);
    drop(again);
}

#[test]
fn encrypted_streams_take_their_passphrase_and_nothing_else() {
    let server = Server::start("");
    let mut stream = server.create_stream("360p");
    let id = stream["id"].clone();
    stream = server.patch(&format!("/streaming/streams/{id}"), &json!({ "srt_passphrase": PASSPHRASE }));
    let url = |field, passphrase: &str, bytes: u32| {
        format!("{}&passphrase={passphrase}&pbkeylen={bytes}", push_url(&stream, field))
    };
    let name = format!("{id}#{}", stream["token"].as_str().unwrap());
    for (key, reason) in [(Some((16, "wrong-horse-battery")), "BadSecret"), (None, "Unsecure")] {
        assert_eq!(srt::call(&server.srt, &name, key), Err(reason.to_owned()));
    }
    for wrong in [url("push_url_srt", "wrong-horse-battery", 32), push_url(&stream, "push_url_srt")] {
        let (code, said) = Encoder::srt(&wrong).output(AT_ONCE);
        assert_ne!(code, Some(0), "{said}");
    }
    assert_eq!(session(&server, &id, 0), Value::Null, "none of them was let in");

    let primary = Encoder::srt(&url("push_url_srt", PASSPHRASE, 16));
    let backup = Encoder::srt(&url("backup_push_url_srt", PASSPHRASE, 32));
    server.wait_playable(&id);
    server.wait("backup", Duration::from_secs(10), || server.stream(&id)["backup_live"] == true);
    assert_eq!(session(&server, &id, 0)["transport"]["packets_undecrypted"], 0);

    // Another passphrase is a new lock: who came in by the old one is let go.
    server.patch(&format!("/streaming/streams/{id}"), &json!({ "srt_passphrase": "another-secret" }));
    for encoder in [primary, backup] {
        let (code, said) = encoder.output(Duration::from_secs(5));
        assert_ne!(code, Some(0), "{said}");
    }
    // AES-192, and none at all once the stream has none.
    let third = srt::call(&server.srt, &name, Some((24, "another-secret")));
    assert!(third.is_ok(), "{:?}", third.err());
    drop(third);
    server.patch(&format!("/streaming/streams/{id}"), &json!({ "srt_passphrase": null }));
    assert_eq!(srt::call(&server.srt, &name, Some((16, "another-secret"))), Err("Unsecure".to_owned()));
}

#[test]
fn every_client_is_told_at_once_why_it_is_refused() {
    let server = Server::start("");
    let [taken, off, pull, rtmp] = [0; 4].map(|_| server.create_stream("360p"));
    let change = |stream: &Value, fields: Value| {
        server.patch(&format!("/streaming/streams/{}", stream["id"]), &fields);
    };
    change(&off, json!({ "active": false }));
    change(&pull, json!({ "pull": true, "uri": "https://example.org/a.m3u8" }));
    let holder = Encoder::srt(&push_url(&taken, "push_url_srt"));
    let other = Encoder::ffmpeg(&push_url(&rtmp, "push_url"), "640x360", 25);
    for stream in [&taken, &rtmp] {
        server.wait("holders", Duration::from_secs(10), || server.stream(&stream["id"])["live"] == true);
    }
    let units = |slot| session(&server, &taken["id"], slot)["video_units"].as_u64().unwrap_or(0);
    let before = units(0);

    let name = |stream: &Value, mark: &str| format!("{}{mark}#{}", stream["id"], stream["token"].as_str().unwrap());
    let token = taken["token"].as_str().unwrap();
    for (stream_id, reason) in [
        (format!("999999#{token}"), "Unauthorized"),
        (format!("{}#{}", taken["id"], "0".repeat(32)), "Unauthorized"),
        (format!("{}b#wrong", taken["id"]), "Unauthorized"),
        ("anything".to_owned(), "Unauthorized"),
        (name(&off, ""), "Forbidden"),
        (name(&off, "b"), "Forbidden"),
        (name(&pull, ""), "BadMode"),
        (name(&taken, ""), "Conflict"),
        (name(&rtmp, ""), "Conflict"),
        (name(&rtmp, "b"), "Conflict"),
        (format!("#!::r={},u={token},m=publish", taken["id"]), "Conflict"),
        (format!("#!::r={},u={token},m=request", taken["id"]), "BadMode"),
    ] {
        let began = Instant::now();
        assert_eq!(srt::call(&server.srt, &stream_id, None), Err(reason.to_owned()), "{stream_id}");
        assert!(began.elapsed() < AT_ONCE, "{stream_id}: {:?}", began.elapsed());
        let url = format!("srt://{}?streamid={stream_id}", server.srt);
        if !stream_id.starts_with("#!") {
            let (code, said) = Encoder::srt(&url).output(AT_ONCE);
            assert!(code.is_some_and(|code| code != 0), "{url}: {code:?} {said}");
        }
    }
    let url = format!("srt://{}?streamid={}", server.srt, name(&off, "").replace('#', "%23"));
    let (code, said) = Encoder::srt_live_transmit(&url).output(AT_ONCE);
    // It tells of failures on its standard error alone.
    assert!(code.is_some() && said.contains("REJECT"), "srt-live-transmit: {code:?} {said}");

    let ledger = server.get_json(&format!("/ops/streams/{}/refusals", taken["id"]));
    let told: Vec<(&str, &str)> = ledger["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_eq!((&entry["protocol"], &entry["address"]), (&json!("srt"), &json!("127.0.0.1")), "{entry}");
            (entry["rule"].as_str().unwrap(), entry["told"]["code"].as_str().unwrap())
        })
        .collect();
    for refused in [("not_authorized", "1401"), ("slot_taken", "1409")] {
        assert!(told.contains(&refused), "{ledger}");
    }

    server.wait("more of the holder", Duration::from_secs(5), || units(0) > before + 25);
    let kept = session(&server, &taken["id"], 0);
    assert_eq!((&kept["dropped_units"], &kept["transport"]["continuity_errors"]), (&json!(0), &json!(0)), "{kept}");
    drop((holder, other));
}

#[test]
fn other_senders_are_understood_too() {
    let server = Server::start("");
    let stream = server.create_stream("360p");
    let id = &stream["id"];
    let token = stream["token"].as_str().unwrap();
    let transmit = Encoder::srt_live_transmit(&push_url(&stream, "push_url_srt").replace('#', "%23"));
    server.wait_playable(id);
    drop(transmit);

    let sender = srt::Sender::start(&server.srt, &format!("#!::r={id}b,u={token},m=publish"));
    server.wait("srt-tokio's media", Duration::from_secs(10), || server.stream(id)["backup_live"] == true);
    assert_eq!(session(&server, id, 1)["transport"]["continuity_errors"], 0);
    drop(sender);
    // Whoever says good-bye is gone at once, without any wait for silence.
    server.wait("its end", Duration::from_secs(3), || session(&server, id, 1).is_null());
}

#[test]
fn strangers_cost_no_memory_and_disturb_nobody() {
    let server = Server::start("");
    let stream = server.create_stream("360p");
    let id = &stream["id"];
    let token = stream["token"].as_str().unwrap();
    let encoder = Encoder::srt(&push_url(&stream, "push_url_srt"));
    server.wait_playable(id);
    let before = srt::memory_kb(server.child.id());

    srt::spoof(&server.srt, 60_000);
    let name = format!("{id}b#{token}");
    for handshake in [
        Handshake { stream_id: "", ..Handshake::default() },
        Handshake { stream_id: &"x".repeat(516), ..Handshake::default() },
        Handshake { stream_id: &name, key_material: true, ..Handshake::default() },
        Handshake { stream_id: &name, key_material: true, encryption: 2, ..Handshake::default() },
        Handshake { stream_id: &name, key_material: false, encryption: 4, ..Handshake::default() },
        Handshake { stream_id: &name, extension: Some((6, 0)), ..Handshake::default() },
        Handshake { stream_id: &name, extension: Some((7, 400)), ..Handshake::default() },
        Handshake { stream_id: &name, extension: Some((8, 2)), ..Handshake::default() },
        Handshake { stream_id: &name, extension: Some((0xbd01, 1)), ..Handshake::default() },
        Handshake { stream_id: &name, lie: 0xffff, ..Handshake::default() },
        Handshake { stream_id: &name, latency_ms: 65_000, ..Handshake::default() },
        Handshake { stream_id: "1#wrong", latency_ms: 65_000, ..Handshake::default() },
    ] {
        for _ in 0..20 {
            handshake.send(&server.srt);
        }
    }
    let units = || session(&server, id, 0)["video_units"].as_u64().unwrap_or(0);
    let seen = units();
    server.wait("more of the encoder", Duration::from_secs(5), || units() > seen + 50);
    let kept = session(&server, id, 0);
    assert_eq!(
        (&kept["transport"]["packets_dropped"], &kept["transport"]["continuity_errors"]),
        (&json!(0), &json!(0)),
        "{kept}"
    );
    server.wait("memory", Duration::from_secs(15), || srt::memory_kb(server.child.id()) < before + 16_000);
    drop(encoder);
}

#[test]
fn a_busy_port_is_told_by_its_key() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let data = std::env::temp_dir().join(format!("weir-test-busy-{}", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[rtmp]\nlisten = \"off\"\n[srt]\nlisten = \"{}\"\n[data]\ndir = \"{}\"\n",
        taken.local_addr().unwrap(),
        data.join("store").display()
    );
    std::fs::write(data.join("config.toml"), config).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["serve", "--config"])
        .arg(data.join("config.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("srt.listen"), "{said}");
    std::fs::remove_dir_all(&data).unwrap();
}
