//! The whole tree in virtual time: real actors and rules, scripted publishers, a fake pipeline, no socket, no GStreamer.

// Helpers outside `#[test]` functions may unwrap too: this whole crate is a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod board;
mod broadcast;
mod budgets;
mod closing;
mod doctor;
mod explained;
mod failover;
mod flaps;
#[path = "../../policy/tests/failover/oracle.rs"]
mod oracle;
mod preflight;
mod pull;
mod restart;
mod supervise;
mod supervision;
mod support;
mod survey;

/// A tick of the oracle's time.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);
