//! What an operator can set: the schema, its defaults, and how a file and the environment fill it.
//!
//! Later wins: [`Config::default`], then the TOML file, then the environment. `WEIR__SECTION__KEY` sets `section.key`; lists and
//! tables are written as JSON there, all else as plain text. `WEIR_API_KEY` sets `api.key`, `WEIR_TOKEN_KEY` sets `data.token_key`. An unknown key is a fault, and
//! [`load`] tells all faults at once, each with its TOML path. An empty text means "not set" wherever that makes sense.
//!
//! `config.toml` at the root of the repository is this schema's manual: every key with its default.

mod doors;
mod failover;
pub mod fault;
mod load;
pub mod quality;
pub mod value;

mod validate;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
pub use weir_media::protocol::H264Encoder;
pub use weir_policy::network::Network;

pub use self::doors::{Http, IceServer, Rtmp, Srt, Tls, Whip};
pub use self::failover::Failover;
pub use self::fault::{Fault, Faults};
pub use self::load::{load, load_from};
pub use self::quality::{Quality, QualitySet};
pub use self::value::{Listen, Secret};
use crate::tls::files::Files;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Plain HTTP: API, delivery, player, panel.
    pub http: Http,
    /// The same over TLS.
    pub https: Tls,
    /// RTMP push.
    pub rtmp: Rtmp,
    /// RTMP push over TLS.
    pub rtmps: Tls,
    /// SRT push.
    pub srt: Srt,
    /// WebRTC push.
    pub whip: Whip,
    /// REST API.
    pub api: Api,
    /// Where state is kept.
    pub data: Data,
    /// When and how another input is shown.
    pub failover: Failover,
    /// What one peer or all of them may take.
    pub limits: Limits,
    /// Streams that are fetched from elsewhere.
    pub pull: Pull,
    /// Media worker processes.
    pub worker: Worker,
    /// Stream health over time.
    pub statistics: Statistics,
    /// What happened to streams, told to other machines.
    pub webhooks: Webhooks,
    /// Measurements for monitoring.
    pub metrics: Metrics,
    /// Traces.
    pub telemetry: Telemetry,
    /// Diagnostics.
    pub log: Log,
    /// Ladders that streams choose from.
    pub quality_sets: Vec<QualitySet>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// What clients send as `Authorization: APIKey …`; generated at the first start when not set.
    #[serde(with = "value::optional_secret")]
    pub key: Option<Secret>,
    /// The account number in player and manifest URLs, `{client_id}_{stream_id}`. At least 1.
    pub client_id: u64,
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Directory of the database and of generated secrets; made with mode 0700 when it does not exist.
    pub dir: PathBuf,
    /// The key that push tokens, SRT passphrases and pull URIs are kept by: 64 hexadecimal digits; generated in `dir` when not set.
    #[serde(with = "value::optional_secret")]
    pub token_key: Option<Secret>,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// One admitted session per slot and address in this time …
    #[serde(with = "humantime_serde")]
    pub connect_every: Duration,
    /// … after this many at once.
    pub connect_burst: u32,
    /// Sockets of one address that have not shown a token yet.
    pub preauth_per_address: u32,
    /// All sockets that have not shown a token yet; over it the address with the most gives up its oldest.
    pub preauth_total: u32,
    /// Streams with `active` = true; 0 sets no limit.
    pub max_streams: u32,
}

/// `[pull]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pull {
    /// Private networks that may be pulled from.
    pub allow: Vec<Network>,
    /// Time between two tries.
    #[serde(with = "humantime_serde")]
    pub retry_every: Duration,
    /// Time without media after which the stream is switched off.
    #[serde(with = "humantime_serde")]
    pub give_up: Duration,
}

/// `[worker]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Encoder of the ladder.
    pub h264_encoder: H264Encoder,
    /// x264 speed preset, `ultrafast` to `veryslow`.
    pub preset: String,
    /// Threads per encoder, at most 64; 0 lets the encoder choose.
    pub threads: u32,
    /// Audio bit rate, 16 to 512 kbit/s.
    pub audio_bitrate_kbps: u32,
    /// How far the output runs behind an input's arrival: what evens out a network's jitter.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
}

/// `[statistics]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Statistics {
    /// How long samples of what streams receive are kept.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

/// `[webhooks]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Private networks that may be told.
    pub allow: Vec<Network>,
    /// Who is told.
    pub endpoints: Vec<Endpoint>,
}

/// One receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where to, `https://…`.
    pub url: String,
    /// What its messages are signed with: `whsec_` and the base64 of 24 to 64 bytes.
    #[serde(default, with = "value::optional_secret")]
    pub secret: Option<Secret>,
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where `/metrics` is served without the API key, and nothing else.
    pub listen: Listen,
}

/// `[telemetry]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP, e.g. `http://127.0.0.1:4318`; without one no spans are made.
    #[serde(with = "value::optional_text")]
    pub otlp_endpoint: Option<String>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something is wrong or was refused.
    Warn,
    /// Starts, ends and changes.
    #[default]
    Info,
    /// Requests and decisions.
    Debug,
    /// Everything.
    Trace,
}

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Its form.
    pub format: LogFormat,
    /// Its detail. Other projects' crates stay at `warn`.
    pub level: LogLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: Http::default(),
            https: Tls::default(),
            rtmp: Rtmp::default(),
            rtmps: Tls::default(),
            srt: Srt::default(),
            whip: Whip::default(),
            api: Api::default(),
            data: Data::default(),
            failover: Failover::default(),
            limits: Limits::default(),
            pull: Pull::default(),
            worker: Worker::default(),
            statistics: Statistics::default(),
            webhooks: Webhooks::default(),
            metrics: Metrics::default(),
            telemetry: Telemetry::default(),
            log: Log::default(),
            quality_sets: quality::default_sets(),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self { key: None, client_id: 1 }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: PathBuf::from("data"), token_key: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_every: Duration::from_secs(10),
            connect_burst: 3,
            preauth_per_address: 4096,
            preauth_total: 4096,
            max_streams: 0,
        }
    }
}

impl Default for Pull {
    fn default() -> Self {
        Self { allow: Vec::new(), retry_every: Duration::from_secs(3), give_up: Duration::from_secs(2 * 60 * 60) }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            h264_encoder: H264Encoder::default(),
            preset: "veryfast".into(),
            threads: 1,
            audio_bitrate_kbps: 128,
            delay: Duration::from_millis(150),
        }
    }
}

impl Webhooks {
    /// Each endpoint's address and secret. One without a secret is a fault that [`Config::validate`] tells.
    pub fn configured(&self) -> Vec<(Secret, Secret)> {
        let endpoint = |endpoint: &Endpoint| Some((Secret::new(endpoint.url.clone()), endpoint.secret.clone()?));
        self.endpoints.iter().filter_map(endpoint).collect()
    }
}

impl Config {
    /// The open doors that speak TLS, by the section of their keys, with their files.
    pub fn tls_doors(&self) -> impl Iterator<Item = (&'static str, Files)> {
        [("https", &self.https), ("rtmps", &self.rtmps)]
            .into_iter()
            .filter_map(|(door, tls)| Some((door, tls.files()?)))
    }
}
