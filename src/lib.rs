//! Weir: a self-hosted live-stream ingest orchestrator, wired together.

pub mod config;
pub mod store;
