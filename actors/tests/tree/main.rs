//! The whole tree in virtual time: real actors and rules, scripted publishers, a fake pipeline, no socket, no GStreamer.

// Helpers outside `#[test]` functions may unwrap too: this whole crate is a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod broadcast;
mod budgets;
mod closing;
mod supervise;
mod supervision;
mod support;
