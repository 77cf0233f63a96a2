//! The worker's sandbox in real processes: each ban tried, and a worker at work looked at from outside.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // Each test uses a part of it.
    #[allow(dead_code)]
    pub mod server;
}

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use support::server::{Encoder, Server};

/// The filter's answer.
const DENIED: &str = "Operation not permitted (os error 1)";

/// Runs the self-test; `confined` gives it a worker's limits as well.
fn sandbox_test(confined: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["worker", "--sandbox-test"]);
    if confined {
        weir_pipelines::host::confine(&mut command);
    }
    command.output().expect("weir runs")
}

/// The line of a call: what it answered with the filter and without.
fn answers<'a>(text: &'a str, call: &str) -> (&'a str, &'a str) {
    text.lines()
        .find(|line| line.split_whitespace().nth(1) == Some(call))
        .and_then(|line| line.split_once(call)?.1.trim_start().split_once("; without the filter: "))
        .unwrap_or_else(|| panic!("no line of {call} in {text}"))
}

#[test]
fn every_ban_holds_and_what_a_worker_needs_still_works() {
    for confined in [false, true] {
        let output = sandbox_test(confined);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "confined: {confined}\n{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("ok      a thread starts") && text.contains("ok      element h264parse"), "{text}");

        // These are refused by the filter and not by the kernel itself, whoever runs the test.
        let calls = [
            "socket",
            "connect",
            "bind",
            "listen",
            "accept",
            "accept4",
            "socketpair",
            "execve",
            "execveat",
            "clone",
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "pidfd_getfd",
            "kill",
            "tgkill",
            "mount",
            "umount2",
            "unshare",
            "setns",
            "chroot",
            "setuid",
            "setgid",
            "prctl",
            "ioctl",
        ];
        for call in calls {
            let (with, without) = answers(&text, call);
            assert_eq!(with, DENIED, "{call}");
            assert_ne!(without, DENIED, "{call} proves nothing");
        }
        for call in ["bpf", "perf_event_open", "io_uring_setup", "userfaultfd", "keyctl", "init_module", "reboot"] {
            assert_eq!(answers(&text, call).0, DENIED, "{call}");
        }
        let (clone3, _) = answers(&text, "clone3");
        assert!(clone3.contains("(os error 38)"), "libc falls back to clone after ENOSYS alone: {clone3}");
    }
}

fn worker_pid(node: &Value) -> Option<u64> {
    let own = (node["actor"] == "PipelineActor").then(|| node["pid"].as_u64()).flatten();
    own.or_else(|| node["children"].as_array()?.iter().find_map(worker_pid))
}

/// A field of a `status` file of `/proc`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

#[test]
fn a_worker_at_work_is_confined_in_all_its_threads_and_dies_with_the_server() {
    let server = Server::start("");
    let stream = server.create_stream("360p");
    let _encoder = Encoder::ffmpeg(stream["push_url"].as_str().expect("push URL"), "640x360", 30);
    // Decoders, mixer and encoders run.
    server.wait_playable(&stream["id"]);
    let pid = worker_pid(&server.get_json("/ops/tree")).expect("worker pid");
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));

    let mut threads = 0;
    for task in std::fs::read_dir(process.join("task")).expect("threads") {
        // A thread may end while it is looked at.
        let Ok(status) = std::fs::read_to_string(task.expect("thread").path().join("status")) else { continue };
        assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), (Some("1"), Some("2")), "{status}");
        threads += 1;
    }
    assert!(threads > 4, "{threads} threads decode, mix and encode");

    let environment = std::fs::read(process.join("environ")).expect("environment");
    let environment = String::from_utf8_lossy(&environment);
    let names: Vec<&str> = environment.split('\0').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    assert!(names.contains(&"GST_REGISTRY"), "{names:?}");
    // The one other name that is passed on, when whoever runs the test has set it.
    let strange: Vec<_> = names.iter().filter(|name| !name.starts_with("GST_") && **name != "RUST_BACKTRACE").collect();
    assert!(strange.is_empty(), "{strange:?}");

    server.signal("-KILL");
    server.wait("end of the worker", Duration::from_secs(5), || {
        // Whoever inherits it may leave it unburied.
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        field(&status, "State").is_none_or(|state| state.starts_with('Z'))
    });
}
