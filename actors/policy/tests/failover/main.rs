//! The failover rule for two slots: exact instants in tables, and random schedules against an oracle.

mod covers;
mod decoding;
mod oracle;
mod random;
mod script;
mod switching;
