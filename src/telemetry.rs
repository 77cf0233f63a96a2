//! The log: `tracing`, as text for people or as JSON lines.
//!
//! Other projects' crates stay at `warn`: some of them write what a peer sent, tokens included, at lower levels. rustls, webrtc and retina
//! are silent, because they warn of what strangers send, as often as they like; the doors tell what matters of it.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Crates of this project, as `tracing` names their targets.
const OURS: [&str; 5] = ["weir", "weir_actors", "weir_media", "weir_pipelines", "weir_policy"];

/// Crates that write what strangers make them write.
const SILENT: [&str; 10] = [
    "rustls",
    "webrtc",
    "rtc",
    "rtc_dtls",
    "rtc_ice",
    "rtc_srtp",
    "rtc_sdp",
    "rtc_interceptor",
    "rtc_shared",
    "retina",
];

/// Starts logging to standard error. To be called once; a second call changes nothing.
pub fn start(log: &Log) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(log.level)).with_writer(std::io::stderr);
    // Fails only when logging was started before.
    let _ = match log.format {
        LogFormat::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}

fn filter(level: LogLevel) -> EnvFilter {
    let (level, others) = match level {
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Info => ("info", "warn"),
        LogLevel::Debug => ("debug", "warn"),
        LogLevel::Trace => ("trace", "warn"),
    };
    let ours: Vec<String> = OURS.iter().map(|target| format!("{target}={level}")).collect();
    let silent: Vec<String> = SILENT.iter().map(|target| format!("{target}=off")).collect();
    EnvFilter::new(format!("{others},{},{}", silent.join(","), ours.join(",")))
}
