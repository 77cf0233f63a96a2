//! The failover rule for two slots: exact instants in tables, and random schedules against an oracle.

mod decoding;
mod hitless;
mod oracle;
mod random;
mod script;
mod switching;

/// A tick of the oracle's time.
const TICK: std::time::Duration = std::time::Duration::from_millis(7);
