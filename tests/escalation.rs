//! The last level of supervision, with a real process: when a door cannot be kept open, `weir serve` ends, and its exit code says so.
//!
//! The binary itself has no door that breaks, so this test is one: started with [`SERVE`] it is `weir serve` with one more door, started
//! by that server as `worker` it is `weir worker`, else it is the test.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_actors::{Door, ServeFactory};

const SERVE: &str = "--serve-with-a-broken-door";
/// `EX_SOFTWARE`, docs/operations.md.
const EXIT_TREE: i32 = 70;
/// Four deaths, 3.5 s apart in all, a start and an orderly end on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") => weir::cli::main(arguments),
        Some(SERVE) => serve(&arguments[1]),
        Some("--list") => ExitCode::SUCCESS,
        _ => {
            a_door_that_keeps_dying_ends_the_process();
            println!("a_door_that_keeps_dying_ends_the_process ... ok");
            ExitCode::SUCCESS
        }
    }
}

fn serve(config: &str) -> ExitCode {
    let config = weir::config::load(Some(config.as_ref())).unwrap();
    let _traces = weir::telemetry::start(&config.log, &config.telemetry).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let serve: ServeFactory = Arc::new(|_, _| Box::pin(async { panic!("broken accept loop") }));
    let door = Door { actor: "RtmpListener", name: "broken".into(), runtime: runtime.handle().clone(), serve };
    weir::cli::outcome(weir::server::serve(config, vec![door]))
}

fn a_door_that_keeps_dying_ends_the_process() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, rtmp) = (free(), free());
    let data = std::env::temp_dir().join(format!("weir-escalation-{}", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    let config = data.join("config.toml");
    let text = format!(
        "[http]\nlisten = \"{http}\"\n[rtmp]\nlisten = \"{rtmp}\"\n[srt]\nlisten = \"off\"\n[api]\nkey = \"1$escalation\"\n[data]\ndir = \"{}\"\n",
        data.join("store").display()
    );
    std::fs::write(&config, text).unwrap();
    let began = Instant::now();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg(SERVE)
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = loop {
        if let Some(status) = server.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LIMIT {
            server.kill().unwrap();
            panic!("it still runs");
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let mut log = String::new();
    std::io::Read::read_to_string(&mut server.stderr.take().unwrap(), &mut log).unwrap();
    assert_eq!(status.code(), Some(EXIT_TREE), "{log}");
    let why = "the supervision tree failed: RtmpListener broken keeps dying: failed: accept loop panicked: broken accept loop";
    assert!(log.contains(why), "{log}");
    assert_eq!(log.matches("door closed").count(), 4, "three restarts are borne: {log}");
    println!("the process ended {:?} after its start", began.elapsed());
    std::fs::remove_dir_all(&data).unwrap();
}
