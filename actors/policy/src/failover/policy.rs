//! The numbers of the rule.

use std::time::Duration;

use weir_media::failover::{Mode, Standby};

/// The numbers of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A slot without media for this long is lost.
    pub stall: Duration,
    /// Steady media after which primary is on air again.
    pub hold: Duration,
    /// A broadcast without media for this long is over; never shorter than the stall.
    pub linger: Duration,
    /// What is shown without content. A change takes effect with the next broadcast.
    pub mode: Mode,
    /// Whether the slot that is not shown is decoded.
    pub standby: Standby,
    /// How much longer than the hold a hitless return waits for the pair to be locked.
    pub lock_patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(3),
            hold: Duration::from_secs(60),
            linger: Duration::from_secs(60),
            mode: Mode::default(),
            standby: Standby::default(),
            lock_patience: Duration::from_secs(20),
        }
    }
}
