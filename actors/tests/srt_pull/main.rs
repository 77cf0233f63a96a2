//! Pulling by SRT from real listeners (ffmpeg, srt-live-transmit).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sources;

/// One test at a time: each has an encoder and its clock.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);
