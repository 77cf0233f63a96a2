//! The failover rule for two slots: exact instants in tables, and random schedules against an oracle.

mod decoding;
mod hitless;
mod oracle;
mod random;
mod script;
mod switching;
