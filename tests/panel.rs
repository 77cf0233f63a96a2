//! The control panel in a real browser, against a real server with real encoders: `tests/browser/panel.test.mjs` tells the story.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // Other tests want the rest of it.
    #[allow(dead_code)]
    pub mod server;
}

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::server::{API_KEY, Encoder, Server, free_port};

/// Longest run of the story, whose own steps have shorter deadlines.
const WITHIN: Duration = Duration::from_secs(180);

/// Two neighbouring UDP ports that are free as far as one can see.
fn free_udp_ports() -> (u16, u16) {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok() {
            return (port, port + 1);
        }
    }
}

/// Every door open, and a hold that a test can wait for.
fn settings(pair: &Path) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["self-signed", "--host", "127.0.0.1", "--out"])
        .arg(pair)
        .stdout(Stdio::null())
        .status()
        .expect("weir starts");
    assert!(made.success());
    let ((first, last), pair) = (free_udp_ports(), pair.display());
    format!(
        "[failover]\nhold = \"8s\"\n[whip]\nudp_ports = [{first}, {last}]\n\
         [rtmps]\nlisten = \"{}\"\ncert = \"{pair}/cert.pem\"\nkey = \"{pair}/key.pem\"\n",
        free_port(),
    )
}

#[test]
fn an_operator_runs_a_broadcast_from_the_panel() {
    let pair = std::env::temp_dir().join(format!("weir-panel-{}", std::process::id()));
    let server = Server::start(&settings(&pair));
    // What it says goes where an encoder's errors would.
    let story = Command::new("node")
        .args(["--test", "--test-reporter=spec", "--test-reporter-destination=stderr", "tests/browser/panel.test.mjs"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("WEIR_URL", server.url(""))
        .env("WEIR_KEY", API_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let (code, told) = Encoder(story).output(WITHIN);
    std::fs::remove_dir_all(&pair).ok();
    assert_eq!(code, Some(0), "{told}");
}
