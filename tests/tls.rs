//! RTMPS and HTTPS with real processes: encoders push through TLS, certificates change under them, and what is wrong is told by its key.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // Other tests want the rest of it.
    #[allow(dead_code)]
    pub mod server;
    pub mod tls_client;
}

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use support::server::{API_KEY, Encoder, Server, free_port};
use support::tls_client::{ask, connect, presented};

const ONE_RUNG: &str = "360p";

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("weir-tls-{}-{}", std::process::id(), free_port().port()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A pair of its own below this directory.
    fn pair(&self, name: &str) -> PathBuf {
        let dir = self.0.join(name);
        let made = weir(&["self-signed", "--host", "localhost", "--host", "127.0.0.1", "--out", dir.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        dir
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn weir(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output().expect("weir starts")
}

/// Configuration of a door with TLS.
fn door(name: &str, address: SocketAddr, pair: &Path) -> String {
    let (cert, key) = (pair.join("cert.pem"), pair.join("key.pem"));
    format!("[{name}]\nlisten = \"{address}\"\ncert = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display())
}

/// The certificate in a file, as a handshake presents it.
fn certificate(pair: &Path) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_file(pair.join("cert.pem")).unwrap().to_vec()
}

fn curl(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("curl").args(["-sS", "--max-time", "10"]).args(arguments).output().expect("curl");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn a_certificate_is_renewed_under_a_running_stream_and_a_running_download() {
    let dir = Dir::new();
    let [first, second] = ["first", "second"].map(|name| dir.pair(name));
    let link = dir.0.join("current");
    symlink("first", &link).unwrap();
    let (https, rtmps) = (free_port(), free_port());
    let server = Server::start(&(door("https", https, &link) + &door("rtmps", rtmps, &link)));
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let ops = || server.get_json(&format!("/ops/streams/{id}"));
    let push = ops()["push_url_rtmps"].as_str().unwrap().to_owned();
    assert!(push.starts_with(&format!("rtmps://{rtmps}/in/{id}?")), "{push}");
    assert!(stream["push_url"].as_str().unwrap().starts_with("rtmp://"), "{stream}");

    let mut encoder = Encoder::ffmpeg(&push, "640x360", 25);
    server.wait_playable(id);
    let session = ops()["slots"][0]["session"].clone();
    assert_eq!(session["protocol"], "rtmps");
    assert!(ops()["journal"].to_string().contains("admitted: rtmps from"), "{}", ops()["journal"]);
    assert_eq!(server.stream(id)["stream_source_type"], "rtmp");

    // A download without an end, and a connection that is kept.
    let mut kept = connect(https, &["http/1.1"]).unwrap();
    assert_eq!(ask(&mut kept, "/healthz", "").0, 200);
    let mut follower = connect(https, &[]).unwrap();
    write!(
        follower,
        "GET /ops/streams/{id}/journal HTTP/1.1\r\nHost: a\r\nAuthorization: APIKey {API_KEY}\r\nAccept: text/event-stream\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(follower).lines();
    assert!(lines.any(|line| line.unwrap().starts_with(": journal from")));
    let before = ops()["pipeline"].clone();

    for address in [https, rtmps] {
        assert_eq!(presented(address), certificate(&first));
    }
    symlink("second", dir.0.join("next")).unwrap();
    std::fs::rename(dir.0.join("next"), &link).unwrap();
    for address in [https, rtmps] {
        server.wait("the new certificate", Duration::from_secs(10), || presented(address) == certificate(&second));
    }

    assert_eq!(ask(&mut kept, "/healthz", "").0, 200, "the connection of before");
    let choice = server.post(&format!("/ops/streams/{id}/on_air"), &json!({"slot": "primary"}));
    assert_eq!(choice["slot"], "primary");
    assert!(lines.any(|line| line.unwrap().contains("primary")), "the download of before goes on");
    let segment = |ops: &Value| ops["pipeline"]["last_segment"].as_u64();
    let reached = segment(&ops());
    server.wait("two more segments", Duration::from_secs(10), || segment(&ops()) >= reached.map(|number| number + 2));
    let after = ops();
    assert!(encoder.0.try_wait().unwrap().is_none(), "the encoder goes on");
    assert_eq!(after["slots"][0]["session"]["id"], session["id"], "in the same session");
    for counter in ["restarts", "repeated", "dropped"] {
        assert_eq!(after["pipeline"][counter], before[counter], "{counter}");
    }
    assert_eq!(after["slots"][0]["session"]["dropped_units"], 0);
}

#[test]
fn failover_works_between_rtmp_and_rtmps() {
    let dir = Dir::new();
    let rtmps = free_port();
    let server = Server::start(&door("rtmps", rtmps, &dir.pair("pair")));
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let ops = || server.get_json(&format!("/ops/streams/{id}"));
    let primary = Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "320x180", 25);
    server.wait_playable(id);
    let _backup = Encoder::ffmpeg(ops()["backup_push_url_rtmps"].as_str().unwrap(), "320x180", 25);
    server.wait("both slots live", Duration::from_secs(10), || {
        ops()["slots"].as_array().unwrap().iter().all(|slot| slot["live"] == true)
    });
    assert_eq!(ops()["slots"][1]["session"]["protocol"], "rtmps");
    drop(primary);
    server.wait("the backup on air", Duration::from_secs(8), || ops()["on_air"] == "backup");
    let (status, _) = server.get(&format!("/cmaf/1_{id}/master.m3u8")).unwrap();
    assert_eq!(status, 200);
}

#[test]
fn refusals_are_as_loud_over_tls() {
    let dir = Dir::new();
    let rtmps = free_port();
    let server = Server::start(&door("rtmps", rtmps, &dir.pair("pair")));
    let stream = server.create_stream(ONE_RUNG);
    let path = format!("/ops/streams/{}", stream["id"]);
    let push = server.get_json(&path)["push_url_rtmps"].as_str().unwrap().to_owned();
    let (base, _) = push.split_once('?').unwrap();
    let (code, text) = Encoder::ffmpeg(&format!("{base}?wrong"), "320x180", 25).output(Duration::from_secs(5));
    assert!(code != Some(0) && text.contains("unknown stream or wrong token"), "{text}");
    // An encoder that forgot the s is not left waiting either.
    let plain = push.replace("rtmps://", "rtmp://");
    let (code, text) = Encoder::ffmpeg(&plain, "320x180", 25).output(Duration::from_secs(5));
    assert_ne!(code, Some(0), "{text}");
    let journal = server.get_json(&path)["journal"].to_string();
    assert!(journal.contains("rtmps primary from 127.0.0.1"), "{journal}");
}

#[test]
fn https_alone_serves_everything_over_http_1_1() {
    let dir = Dir::new();
    let (pair, https) = (dir.pair("pair"), free_port());
    let config = dir.0.join("config.toml");
    let text = format!(
        "http.listen = \"off\"\nrtmp.listen = \"off\"\nsrt.listen = \"off\"\napi.key = \"{API_KEY}\"\ndata.dir = \"{}\"\n{}{}",
        dir.0.join("store").display(),
        door("https", https, &pair),
        door("rtmps", free_port(), &pair),
    );
    std::fs::write(&config, text).unwrap();
    let mut child = support::server::spawn(&dir.0);
    let base = format!("https://localhost:{}", https.port());
    let (ca, key) = (pair.join("cert.pem"), format!("Authorization: APIKey {API_KEY}"));
    let trusting = ["--cacert", ca.to_str().unwrap()];
    let call = |arguments: &[&str]| curl(&[&trusting[..], arguments].concat());
    let ready = format!("{base}/readyz");
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while call(&[&ready]).1 != r#"{"status":"ready"}"# {
        assert!(std::time::Instant::now() < end, "{:?}", call(&[&ready]));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(curl(&[&ready]).0, 60, "nobody vouches for it");

    let streams = format!("{base}/streaming/streams");
    let (_, text) = call(&["-H", &key, "-d", r#"{"name": "a"}"#, &streams]);
    let stream: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(stream["iframe_url"], format!("{base}/streams/1_1"));
    assert_eq!(stream["hls_cmaf_url"], format!("{base}/cmaf/1_1/master.m3u8"));
    for (field, name) in [("push_url", "1"), ("backup_push_url", "1b")] {
        let url = stream[field].as_str().unwrap();
        assert!(url.starts_with("rtmps://127.0.0.1:") && url.contains(&format!("/in/{name}?")), "{url}");
    }
    assert_eq!(call(&["-o", "/dev/null", "-w", "%{http_code}", &streams]).1, "401");
    let version = call(&["--http2", "-o", "/dev/null", "-w", "%{http_version}", &streams]);
    assert_eq!(version.1, "1.1");
    assert!(connect(https, &["h2"]).is_err(), "a client that speaks nothing else is told so");
    let (_, head) = call(&["-I", &format!("{base}/streams/1_1")]);
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && !head.contains("strict-transport-security"), "{head}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_by_its_key() {
    let dir = Dir::new();
    let [good, other] = ["good", "other"].map(|name| dir.pair(name));
    let mixed = dir.0.join("mixed");
    std::fs::create_dir(&mixed).unwrap();
    std::fs::copy(good.join("cert.pem"), mixed.join("cert.pem")).unwrap();
    std::fs::copy(other.join("key.pem"), mixed.join("key.pem")).unwrap();
    let run = |command: &str, name: &str, pair: &Path| {
        let config = dir.0.join("config.toml");
        let store = dir.0.join("store").display().to_string();
        let ports = "http.listen = \"127.0.0.1:0\"\nrtmp.listen = \"off\"\nsrt.listen = \"off\"\n";
        let text = format!("{ports}data.dir = \"{store}\"\n{}", door(name, free_port(), pair));
        std::fs::write(&config, text).unwrap();
        let output = weir(&[command, "--config", config.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    for (name, pair, says) in [
        ("rtmps", dir.0.join("none"), "rtmps.cert: cannot read"),
        ("https", dir.0.join("none"), "https.cert: cannot read"),
        ("https", mixed.clone(), "https.cert: the first certificate"),
        ("rtmps", mixed.clone(), "rtmps.cert: the first certificate"),
    ] {
        for command in ["serve", "check-config"] {
            let (code, said) = run(command, name, &pair);
            assert!(code == Some(64) && said.contains(says), "{command}: {code:?} {said}");
        }
        let (code, said) = run("doctor", name, &pair);
        assert!(code == Some(1) && said.contains(&format!("fail  tls        {says}")), "{said}");
    }
    let (code, said) = run("check-config", "https", &good);
    assert!(code == Some(0) && !said.contains("note: https"), "{said}");
    assert!(
        run("doctor", "https", &good).1.contains("ok    tls        https: certificate and key fit, valid until 20")
    );
    std::fs::set_permissions(good.join("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run("check-config", "https", &good);
    assert!(code == Some(0) && said.contains("note: https.key: the file can be read by others"), "{said}");
    assert!(run("doctor", "https", &good).1.contains("warn  tls        https.key"));
}

#[test]
fn a_pair_for_trials_is_private_and_never_overwritten() {
    let dir = Dir::new();
    let pair = dir.pair("pair");
    assert_eq!(std::fs::metadata(pair.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = certificate(&pair);
    let again = weir(&["self-signed", "--host", "localhost", "--out", pair.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(73), "{again:?}");
    assert_eq!(certificate(&pair), before);
    let wrong = weir(&["self-signed", "--host", "a b", "--out", dir.0.join("x").to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}

/// The indented lines below a heading of the README, one command each.
fn commands(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split(&format!("## {heading}\n")).nth(1).expect("the section");
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    lines.take_while(|line| line.starts_with("    ")).map(|line| line.trim().to_owned()).collect()
}

/// A process that ends with the test.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_three_commands_of_the_readme_push_through_tls() {
    let dir = Dir::new();
    let (http, rtmps) = (free_port(), free_port());
    let shell = |command: &str| {
        let command = command
            .replace("target/release/weir", env!("CARGO_BIN_EXE_weir"))
            .replace("0.0.0.0:1936", &rtmps.to_string())
            .replace("-re ", "-v error -re ");
        // For one command the shell makes room: its process becomes that of the command.
        let mut shell = Command::new("bash");
        shell.args(["-c", &command]).current_dir(&dir.0);
        shell
            .env("WEIR__HTTP__LISTEN", http.to_string())
            .env("WEIR__RTMP__LISTEN", "off")
            .env("WEIR__SRT__LISTEN", "off");
        shell
    };
    let [make, serve, push] = commands("Encrypted push: RTMPS").try_into().expect("three commands");
    assert!(shell(&make).status().unwrap().success());
    let _server = Process(shell(&serve).spawn().unwrap());
    let key = "Authorization: APIKey 1$change-me";
    let api = |path: &str, more: &[&str]| {
        let (_, text) = curl(&[&["-H", key, &format!("http://{http}{path}")], more].concat());
        serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
    };
    let wait = |what: &str, condition: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(std::time::Instant::now() < end, "no {what}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    };
    wait("readiness", &|| api("/readyz", &[])["status"] == "ready");
    let stream = api("/streaming/streams", &["-d", r#"{"name": "a", "active": true, "quality_set_id": 3}"#]);
    let detail = api("/ops/streams/1", &[]);
    assert_eq!(detail["push_url_rtmps"], stream["push_url"]);
    let push = push.replace("RTMPS_URL", detail["push_url_rtmps"].as_str().unwrap());
    let _encoder = Process(shell(&push).spawn().unwrap());
    wait("picture", &|| api("/streaming/streams/1", &[])["live"] == true);
}
