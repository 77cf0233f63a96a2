//! WHIP with real clients: headless Chromium by the publish page, aiortc by itself, and a client that only asks.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    #[allow(dead_code)] // Each test file uses its part.
    pub mod server;
}

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::server::Server;

const OFFER: &str = include_str!("webrtc/offer.sdp");
const ONE_RUNG: &str = "360p";

/// Media ports for one test's server: neighbours that are free as far as one can see.
fn free_ports(count: u16) -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let first = base + NEXT.fetch_add(count, Ordering::Relaxed);
        let mut range = first..=first + count - 1;
        if range.clone().all(|port| UdpSocket::bind(("0.0.0.0", port)).is_ok()) {
            return range;
        }
        assert!(range.next().is_some_and(|first| first < 32_000), "no free ports");
    }
}

fn setting(ports: &RangeInclusive<u16>) -> String {
    format!("[whip]\nudp_ports = [{}, {}]\n", ports.start(), ports.end())
}

/// A client process that says what it does, line by line. Killed when dropped.
struct Client {
    child: Child,
    lines: Receiver<String>,
}

impl Client {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn chromium(url: &str) -> Self {
        Self::start("node", &["tests/browser/publish.mjs", url])
    }

    fn aiortc(args: &[&str]) -> Self {
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
        assert!(std::path::Path::new(python).exists(), "aiortc is not installed: run scripts/python-venv.sh");
        Self::start(python, &[&["tests/webrtc/publish.py"], args].concat())
    }

    /// Waits for a line with this in it.
    fn says(&self, what: &str, limit: Duration) -> String {
        let (end, mut heard) = (Instant::now() + limit, vec![]);
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => heard.push(line),
                Err(_) => panic!("no {what:?} within {limit:?}: {heard:#?}"),
            }
        }
    }

    /// Asks it to end.
    fn end(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An answer: status, header values, body.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }
}

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
    let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(10))).build().into();
    let request = headers
        .iter()
        .fold(ureq::http::Request::builder().method(method).uri(server.url(path)), |request, (name, value)| {
            request.header(*name, *value)
        });
    let mut answer = agent.run(request.body(body.to_owned()).unwrap()).expect("answer");
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    Answer { status: answer.status().as_u16(), headers, body: answer.body_mut().read_to_string().unwrap_or_default() }
}

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

fn path(stream: &Value) -> String {
    format!("/{}_{}/whip", stream["id"], stream["token"].as_str().unwrap())
}

/// What a player gets for some seconds: ffmpeg's complaints, the mean volume in dB, and how many pictures differ from the one before.
fn watch(url: &str) -> (String, f64, usize) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i", url, "-t", "4"])
        .args(["-af", "volumedetect", "-vf", "mpdecimate,showinfo", "-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let volume = text.split("mean_volume: ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let moving = text.matches(" pts_time:").count();
    let complaints = text.lines().filter(|line| line.contains("error") || line.contains("Invalid")).collect::<Vec<_>>();
    (complaints.join("\n"), volume.unwrap_or(f64::NEG_INFINITY), moving)
}

#[test]
fn a_browser_goes_live_from_the_publish_page_plays_and_when_killed_frees_its_slot() {
    let server = Server::start(&setting(&free_ports(10)));
    let stream = server.create_stream(ONE_RUNG);
    let (id, token) = (&stream["id"], stream["token"].as_str().unwrap());
    assert_eq!(stream["push_url_whip"], server.url(&format!("/{id}_{token}/whip")));
    let browser = Client::chromium(&server.url(&format!("/publish/1_{id}#{token}")));
    browser.says("\"live\"", Duration::from_secs(30));
    server.wait_playable(id);
    let (complaints, volume, moving) = watch(&server.url(&format!("/cmaf/1_{id}/master.m3u8")));
    assert_eq!(complaints, "");
    assert!(volume > -60.0, "no sound: {volume} dB");
    assert!(moving > 20, "the picture stands still: {moving} pictures in 4 s");
    let now = server.stream(id);
    assert_eq!((&now["live"], &now["stream_source_type"]), (&Value::Bool(true), &"webrtc".into()));

    // The running session stays; whoever knocks is told why.
    let taken = ask(&server, "POST", &path(&stream), &[SDP], OFFER);
    assert_eq!((taken.status, taken.header("X-Reason-Code")), (403, "2003"), "{}", taken.body);

    let killed = Instant::now();
    let pids = Command::new("pkill").args(["-KILL", "-P", &browser.child.id().to_string()]).status().unwrap();
    assert!(pids.success());
    drop(browser);
    server.wait("end of live", Duration::from_secs(6), || server.stream(id)["live"] == false);
    let silent = killed.elapsed();
    assert!(silent < Duration::from_secs(5), "{silent:?}");
    let again = ask(&server, "POST", &path(&stream), &[SDP], OFFER);
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(server.get(&format!("/cmaf/1_{id}/master.m3u8")).unwrap().0, 200, "the broadcast lingers");
}

#[test]
fn aiortc_publishes_with_a_header_and_a_reset_token_closes_it_at_once() {
    let server = Server::start(&setting(&free_ports(10)));
    let stream = server.create_stream(ONE_RUNG);
    let (id, token) = (&stream["id"], stream["token"].as_str().unwrap());
    let endpoint = server.url(&format!("/{id}/whip"));
    let mut client = Client::aiortc(&[&endpoint, token]);
    client.says("connected", Duration::from_secs(20));
    server.wait_playable(id);
    let (complaints, volume, moving) = watch(&server.url(&format!("/cmaf/1_{id}/master.m3u8")));
    assert_eq!(complaints, "");
    assert!(volume > -40.0 && moving > 20, "{volume} dB, {moving} pictures");
    client.end();
    client.says("deleted 200", Duration::from_secs(10));
    server.wait("end of live", Duration::from_secs(6), || server.stream(id)["live"] == false);

    let client = Client::aiortc(&[&endpoint, token]);
    client.says("connected", Duration::from_secs(20));
    server.wait("live", Duration::from_secs(5), || server.stream(id)["live"] == true);
    let asked = Instant::now();
    let receipt = server.post(&format!("/ops/streams/{id}/reset_push_token"), &Value::Null);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}: {receipt}", asked.elapsed());
    let refused = Client::aiortc(&[&endpoint, token]);
    refused.says("answered 403 2002", Duration::from_secs(10));
}

#[test]
fn each_refusal_has_its_code_and_a_session_its_resource() {
    let server = Server::start(&format!("{}[limits]\nconnect_burst = 2\n", setting(&free_ports(10))));
    let stream = server.create_stream(ONE_RUNG);
    let (id, token) = (&stream["id"], stream["token"].as_str().unwrap());
    let post = |path: &str, body: &str| ask(&server, "POST", path, &[SDP], body);
    let code = |answer: &Answer| (answer.status, answer.header("X-Reason-Code").to_owned());
    let told = |status: u16, reason: &str| (status, reason.to_owned());

    assert_eq!(code(&post("/999999_x/whip", OFFER)), told(401, "2001"));
    assert_eq!(code(&post("/whip/whip", "no offer")), told(401, "2001"), "who may not publish hears that first");
    assert_eq!(code(&post(&format!("/{id}b_wrong/whip"), OFFER)), told(403, "2002"));
    let wrong = post(&format!("/{id}_wrong/whip"), OFFER);
    assert_eq!(code(&wrong), told(403, "2002"));
    assert_eq!(wrong.header("Access-Control-Allow-Origin"), "*");
    assert!(wrong.header("Access-Control-Expose-Headers").contains("X-Reason-Code"));
    assert_eq!(code(&post(&path(&stream), "v=0\r\n")), told(400, ""));
    assert_eq!(
        code(&post(&path(&stream), &OFFER.replace("H264", "VP8").replace("packetization-mode=1", ""))),
        told(406, "")
    );
    assert_eq!(post(&path(&stream), &"x".repeat(70 << 10)).status, 413);
    assert_eq!(ask(&server, "POST", &path(&stream), &[("Content-Type", "application/json")], "{}").status, 415);
    assert_eq!(ask(&server, "GET", &path(&stream), &[], "").status, 405);
    let preflight = ask(&server, "OPTIONS", &path(&stream), &[], "");
    assert_eq!((preflight.status, preflight.header("Accept-Post")), (204, "application/sdp"));

    let created =
        ask(&server, "POST", &format!("/{id}/whip"), &[SDP, ("Authorization", &format!("bearer {token}"))], OFFER);
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.header("Content-Type"), "application/sdp");
    assert!(created.body.contains("a=ice-lite") && created.body.contains("a=candidate:"), "{}", created.body);
    let (resource, etag) = (created.header("Location"), created.header("ETag"));
    assert!(!resource.contains(token));
    let shown = format!("Bearer {token}");
    let patch = |etag: &str, fragment: &str, authorization: &str| {
        let headers = [FRAGMENT, ("If-Match", etag), ("Authorization", authorization)];
        ask(&server, "PATCH", resource, &headers, fragment).status
    };
    let candidate = "a=ice-ufrag:Rg5A\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 50000 typ host\r\n";
    assert_eq!(patch(etag, candidate, &shown), 204);
    assert_eq!(patch("\"other\"", candidate, &shown), 412);
    assert_eq!(patch("*", candidate, &shown), 405, "an ICE restart");
    assert_eq!(patch(etag, "a=ice-ufrag:another\r\n", &shown), 405, "an ICE restart");
    assert_eq!(patch(etag, candidate, "Bearer wrong"), 401);
    assert_eq!(ask(&server, "PATCH", resource, &[FRAGMENT], candidate).status, 428);
    assert_eq!(ask(&server, "DELETE", resource, &[], "").status, 401);
    assert_eq!(code(&post(&path(&stream), OFFER)), told(403, "2003"));
    assert_eq!(ask(&server, "DELETE", resource, &[("Authorization", &shown)], "").status, 200);
    assert_eq!(ask(&server, "DELETE", resource, &[("Authorization", &shown)], "").status, 404);

    let second = post(&path(&stream), OFFER);
    assert_eq!(second.status, 201, "the slot is free: {}", second.body);
    assert_eq!(ask(&server, "DELETE", second.header("Location"), &[], "").status, 200, "its URL is enough");
    let often = post(&path(&stream), OFFER);
    assert_eq!(often.status, 429);
    let wait: u64 = often.header("Retry-After").parse().expect("seconds");
    assert!((1..=10).contains(&wait));
    server.patch(&format!("/streaming/streams/{id}"), &serde_json::json!({"active": false}));
    assert_eq!(code(&post(&path(&stream), OFFER)), told(403, "2004"));
}

/// Resident memory of a process, kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn sessions_that_go_nowhere_leave_sockets_and_memory_as_they_were() {
    // As many as are asked for well within the ten seconds that the first one waits; `accept.py --only whip` has a hundred.
    const SESSIONS: u16 = 20;
    let ports = free_ports(SESSIONS);
    let server = Server::start(&setting(&ports));
    let streams: Vec<Value> = (0..SESSIONS).map(|_| server.create_stream(ONE_RUNG)).collect();
    let pid = server.child.id();
    let sessions = || server.get_json("/ops/tree").to_string().matches("\"IngestConnection\"").count();
    let open = || ports.clone().filter(|port| UdpSocket::bind(("0.0.0.0", *port)).is_err()).count();
    let abort = || {
        for stream in &streams {
            assert_eq!(ask(&server, "POST", &path(stream), &[SDP], "v=0\r\nnonsense").status, 400);
            assert_eq!(ask(&server, "POST", &path(stream), &[SDP], OFFER).status, 201);
        }
        assert_eq!(open(), usize::from(SESSIONS), "one port each");
        // Nobody says good-bye. Each has ten seconds to connect.
        server.wait("end of all sessions", Duration::from_secs(25), || sessions() == 0 && open() == 0);
        resident(pid)
    };
    // What the first sessions and their workers take stays for the next.
    let before = abort();
    let after = abort();
    assert!(after <= before + 10_000, "{before} kB after {SESSIONS} sessions, {after} kB after as many more");
}
