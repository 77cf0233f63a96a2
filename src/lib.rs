//! Weir: a self-hosted live-stream ingest orchestrator, wired together.

pub mod api_key;
pub mod cli;
pub mod config;
pub mod control;
mod descriptors;
pub mod doctor;
pub mod http;
pub mod metrics;
pub mod pull;
pub mod server;
pub mod shelf;
pub mod store;
pub mod telemetry;
mod timestamp;
pub mod tls;
pub mod tree;
pub mod webhooks;
pub mod worker;
