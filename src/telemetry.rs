//! The log, and traces: `tracing`, as text for people or as JSON lines, and its spans to an OpenTelemetry collector where one is named.
//!
//! Other projects' crates stay at `warn`: some of them write what a peer sent, tokens included, at lower levels. rustls, webrtc and retina
//! are silent, because they warn of what strangers send, as often as they like; the doors tell what matters of it.
//!
//! Spans have a target of their own ([`SPANS`]): they never stand in the log, and nothing else is sent to a collector. Without one they are
//! not made.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};
use weir_actors::SPANS;
use weir_actors::network::Network;

use crate::config::{Log, LogFormat, LogLevel, Telemetry};

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

/// How long a collector may take for one batch of spans, and for the last one at the end.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// Why traces cannot be sent. A collector that does not answer is no reason: spans are dropped then.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// TLS cannot be set up on this machine.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// There can be no HTTP client.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The address cannot be used.
    #[error("telemetry.otlp_endpoint: {0}")]
    Endpoint(#[from] ExporterBuildError),
}

/// Sends spans while it lives; dropping it sends the last ones, within 5 s.
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // Nobody is left who could be told.
            let _ = provider.shutdown_with_timeout(SENT_WITHIN);
        }
    }
}

/// Starts logging to standard error, and sending spans. To be called once, outside any runtime; a second call changes nothing.
pub fn start(log: &Log, telemetry: &Telemetry) -> Result<Traces, TelemetryError> {
    let provider = telemetry.otlp_endpoint.as_deref().map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("weir"));
        layer.with_location(false).with_threads(false).with_filter(filter_fn(|metadata| metadata.target() == SPANS))
    });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only when logging was started before.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter(log.level))).with(spans).try_init();
    Ok(Traces(provider))
}

/// Spans are collected on a thread of its own and dropped, not waited for, when too many wait.
fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    // The one TLS client of this program that trusts what the system trusts.
    let network = Network::new(Vec::new())?;
    let client = reqwest::blocking::Client::builder()
        .tls_backend_preconfigured((**network.tls()).clone())
        .timeout(SENT_WITHIN)
        .build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()?;
    let resource = Resource::builder().with_service_name("weir").build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
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
    let silent: Vec<String> = SILENT.iter().chain([&SPANS]).map(|target| format!("{target}=off")).collect();
    EnvFilter::new(format!("{others},{},{}", silent.join(","), ours.join(",")))
}
