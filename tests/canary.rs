//! Nothing that the server writes or shows holds a push token, a passphrase, a pull URI's password, a webhook's secret or credentials, the
//! API key or the key of the tokens, but for the API's answers that are there to tell them. A full run at log level `debug`, once as text and
//! once as JSON; then everything it left is searched.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rtmp_wire.rs"]
mod rtmp_wire;
mod support {
    // Each test uses a part of it.
    #[allow(dead_code)]
    pub mod server;
}

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::server::{API_KEY, Encoder, Server, free_port, spawn_quietly};

const PASSPHRASE: &str = "canary-passphrase";
const WRONG_PASSPHRASE: &str = "canaryofferedpassphrase";
const URI: &str = "canary-pull-password";
const WEBHOOK: &str = "canary-webhook-password";
/// What strangers offer as tokens.
const OFFERED: &str = "canaryofferedtoken";

/// What must not be found, with where each came from.
#[derive(Default)]
struct Canaries(Vec<(String, &'static str)>);

impl Canaries {
    fn add(&mut self, text: &str, what: &'static str) {
        assert!(text.len() >= 12, "{what} is too short to be searched for");
        self.0.push((text.to_owned(), what));
    }

    fn search(&self, place: &str, bytes: &[u8]) {
        for (text, what) in &self.0 {
            let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
            let around = found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(120)..at]).into_owned());
            assert_eq!(around, None, "{what} stands in {place}");
        }
    }

    fn search_process(&self, name: &str, pid: u64) {
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{file}");
            self.search(&format!("{file} of {name}"), &std::fs::read(&path).expect("a running process"));
        }
    }

    /// All files of the run but those that are there to hold a secret.
    fn search_files(&self, dir: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                self.search_files(&path, but);
            } else if !but.contains(&name) {
                self.search(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

fn worker_pid(node: &Value) -> Option<u64> {
    let own = (node["actor"] == "PipelineActor").then(|| node["pid"].as_u64()).flatten();
    own.or_else(|| node["children"].as_array()?.iter().find_map(worker_pid))
}

fn refused(url: &str) {
    let (code, _) = Encoder::ffmpeg(url, "160x90", 25).output(Duration::from_secs(20));
    assert_ne!(code, Some(0), "it is let in");
}

/// Sends bytes and reads what comes back for a moment.
fn say(address: SocketAddr, bytes: &[u8]) {
    let _ = rtmp_wire::exchange(address, bytes, Duration::from_millis(300));
}

/// Every answer of `/ops` and of what needs no key.
fn search_answers(server: &Server, canaries: &Canaries, id: &Value) {
    let of_stream = ["", "/journal?limit=500", "/refusals", "/failover"].map(|what| format!("/ops/streams/{id}{what}"));
    let others = [
        "/ops/tree",
        "/ops/streams",
        "/ops/refusals",
        "/ops/process",
        "/ops/webhooks",
        "/ops/webhooks/1/deliveries",
        "/openapi.json",
        "/healthz",
        "/readyz",
    ];
    let pages = [format!("/cmaf/1_{id}/master.m3u8"), format!("/cmaf/1_{id}/index.mpd"), format!("/streams/1_{id}")];
    for path in of_stream.into_iter().chain(others.map(str::to_owned)).chain(pages) {
        let (_, mut body) = server.get(&path).expect("an answer");
        // The URLs of doors that the documented API has no fields for stand here, and are there to be copied.
        if let Ok(Value::Object(mut detail)) = serde_json::from_slice::<Value>(&body) {
            detail.retain(|field, _| !field.contains("push_url"));
            body = json!(detail).to_string().into_bytes();
        }
        canaries.search(&format!("the answer of {path}"), &body);
    }
}

fn live(format: &str) {
    let rtmps = free_port();
    let pair = std::env::temp_dir().join(format!("weir-canary-{}-{format}", std::process::id()));
    let made = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["self-signed", "--host", "localhost", "--out"])
        .arg(&pair)
        .output()
        .expect("weir runs");
    assert!(made.status.success(), "{made:?}");
    let more = format!(
        "[log]\nlevel = \"debug\"\nformat = \"{format}\"\n[webhooks]\nallow = [\"127.0.0.0/8\"]\n\
         [rtmps]\nlisten = \"{rtmps}\"\ncert = \"{pair}/cert.pem\"\nkey = \"{pair}/key.pem\"\n",
        pair = pair.display()
    );
    let mut server = Server::start_by(&more, spawn_quietly);
    let mut canaries = Canaries::default();
    canaries.add(API_KEY, "the API key");
    canaries.add(PASSPHRASE, "a passphrase");
    canaries.add(WRONG_PASSPHRASE, "what was offered as a passphrase");
    canaries.add(URI, "a pull URI's password");
    canaries.add(OFFERED, "what was offered as a token");
    let key = std::fs::read_to_string(server.data.join("store/token.key")).unwrap();
    canaries.add(key.trim(), "the key of the tokens");

    // Nobody is there: each try is told.
    let url = format!("http://user:{WEBHOOK}@{}/hook?key={WEBHOOK}", free_port());
    let webhook = server.post("/ops/webhooks", &json!({"url": url}));
    canaries.add(WEBHOOK, "a webhook's password");
    canaries.add(webhook["secret"].as_str().unwrap(), "a webhook's secret");

    let stream = server.create_stream("360p");
    let (id, path) = (&stream["id"], format!("/streaming/streams/{}", stream["id"]));
    let token = |stream: &Value| stream["token"].as_str().unwrap().to_owned();
    let first = token(&stream);
    canaries.add(&first, "the first token");
    server
        .patch(&path, &json!({"srt_passphrase": PASSPHRASE, "uri": format!("rtmp://user:{URI}@192.0.2.1/live/name")}));

    // Strangers, at both doors and in every place where a token can stand.
    let url = |name: String| format!("rtmp://{}/in/{name}", server.rtmp);
    refused(&url(format!("{id}?{OFFERED}")));
    refused(&url(format!("{OFFERED}?{first}")));
    refused(&format!("rtmp://{}/in?{OFFERED}/{id}", server.rtmp));
    refused(&format!("rtmps://{rtmps}/in/{id}?{OFFERED}"));
    let srt = |token: &str, passphrase: &str| {
        Encoder::srt(&format!("srt://{}?streamid={id}%23{token}&passphrase={passphrase}&pbkeylen=16", server.srt))
    };
    for (token, passphrase) in [(OFFERED, PASSPHRASE), (&first, WRONG_PASSPHRASE)] {
        let (code, _) = srt(token, passphrase).output(Duration::from_secs(20));
        assert_ne!(code, Some(0), "it is let in");
    }
    for n in 0..20 {
        say(server.rtmp, &rtmp_wire::opening(&format!("{}?{OFFERED}", 900 + n)));
    }

    // A publisher, its worker's death, and others that break the protocol behind a right token.
    let encoder = Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "640x360", 30);
    server.wait_playable(id);
    let worker = || worker_pid(&server.get_json("/ops/tree"));
    let pid = worker().expect("a worker");
    canaries.search_process("serve", server.child.id().into());
    canaries.search_process("worker", pid);
    search_answers(&server, &canaries, id);
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    server.wait("another worker", Duration::from_secs(20), || worker().is_some_and(|other| other != pid));
    refused(&url(format!("{id}?{first}")));
    for defect in rtmp_wire::fatal_defects(&format!("{id}b?{first}")) {
        say(server.rtmp, &defect.bytes);
    }
    for more in [rtmp_wire::audio_configuration(), rtmp_wire::mark(), rtmp_wire::video_configuration()] {
        say(server.rtmp, &[rtmp_wire::opening(&format!("{id}b?{first}")), more].concat());
    }
    drop(TcpStream::connect(rtmps));

    // Resets, by both ways, with the encoder there; and what is wrong with requests.
    let second = token(&server.post(&format!("{path}/reset_push_token"), &Value::Null));
    canaries.add(&second, "the second token");
    let (code, told) = encoder.output(Duration::from_secs(20));
    assert!(code != Some(0) && told.contains("push token was reset"), "{told}");
    refused(&url(format!("{id}?{first}")));
    let receipt = server.post(&format!("/ops/streams/{id}/reset_push_token"), &Value::Null);
    let third = token(&receipt);
    canaries.add(&third, "the third token");
    let _again = srt(&third, PASSPHRASE);
    let protocol = || server.get_json(&format!("/ops/streams/{id}"))["slots"][0]["session"]["protocol"].clone();
    server.wait("an SRT session", Duration::from_secs(15), || protocol() == "srt");
    for path in [format!("/{id}_{third}/whip"), format!("/streaming/streams/{third}"), format!("{path}?token={third}")]
    {
        server.get(&path).expect("an answer");
    }
    server.patch(&path, &json!({"name": third, "srt_passphrase": format!("{PASSPHRASE} "), "active": third}));
    search_answers(&server, &canaries, id);
    server.patch(&path, &json!({"active": false}));
    server.wait("the end", Duration::from_secs(15), || server.stream(id)["live"] == false);
    search_answers(&server, &canaries, id);
    canaries.search_process("serve", server.child.id().into());

    // While it runs, with the database's log, and when all is written.
    let but = ["config.toml", "token.key"];
    canaries.search_files(&server.data, &but);
    server.signal("-TERM");
    assert_eq!(server.exit_code(Duration::from_secs(20)), Some(0), "it ends in order, SRT's library too");
    let log = std::fs::read_to_string(server.data.join("stderr")).unwrap();
    for told in [
        "RTMP publisher refused",
        "RTMP publisher admitted",
        "SRT publisher refused",
        "SRT publisher admitted",
        "webhook not delivered",
        "DEBUG",
        "worker",
    ] {
        assert!(log.contains(told), "the run left nothing about {told:?} in its log");
    }
    canaries.search_files(&server.data, &but);
    std::fs::remove_dir_all(pair).unwrap();
}

#[test]
fn no_output_of_a_run_holds_a_secret_as_text() {
    live("text");
}

#[test]
fn no_output_of_a_run_holds_a_secret_as_json() {
    live("json");
}
