//! The official `gcore` client works with only its base URL changed. `scripts/python-venv.sh` installs it into `.venv`.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/api_server.rs"]
#[allow(dead_code)] // This test wants the running server only.
mod api_server;

use std::process::Command;

use api_server::{ApiServer, KEY};

#[test]
fn the_official_client_creates_lists_gets_patches_deletes_and_understands_refusals() {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = format!("{root}/.venv/bin/python");
    assert!(std::path::Path::new(&python).exists(), "the client is not installed: run scripts/python-venv.sh");
    let server = ApiServer::start();
    let run = Command::new(python)
        .arg(format!("{root}/tests/gcore_client/client.py"))
        .args([format!("http://{}", server.address), KEY.to_owned()])
        .output()
        .expect("python runs");
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
}
