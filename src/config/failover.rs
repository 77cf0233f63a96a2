//! `[failover]`: when and how another input is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_media::failover::{FailoverSpec, Mode, Standby};

/// `[failover]`. Mode, standby and delay are what a stream has whose own setting does not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failover {
    /// Silence after which an input is lost.
    #[serde(with = "humantime_serde")]
    pub stall: Duration,
    /// Steady media after which the primary input is on air again.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// How long a broadcast waits for media before it ends.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// What viewers see while the input on air has no content.
    pub mode: Mode,
    /// How far a hitless output runs behind.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// Whether the input that is not shown is decoded.
    pub standby: Standby,
}

impl Failover {
    /// How a stream without a setting of its own fails over.
    pub fn spec(&self) -> FailoverSpec {
        FailoverSpec { mode: self.mode, standby: self.standby, delay: self.delay, ..FailoverSpec::default() }
    }
}

impl Default for Failover {
    fn default() -> Self {
        let FailoverSpec { mode, standby, delay, .. } = FailoverSpec::default();
        Self {
            stall: Duration::from_secs(3),
            hold: Duration::from_secs(60),
            linger: Duration::from_secs(60),
            mode,
            delay,
            standby,
        }
    }
}
