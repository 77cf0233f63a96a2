//! Covers: the other slot is shown while the slot on air has no content. They need mode `freeze`, both slots decoded and
//! the pair locked, and leave the law alone: live, on air and the events stay what they are.

use std::fmt;
use std::time::Instant;

use super::input::Input;

/// Why a cover ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoverEnd {
    /// The covered slot has had steady content.
    Steady,
    /// The covered slot is not on air any more.
    Switched,
    /// The covering slot has nothing to show.
    NoContent,
}

impl fmt::Display for CoverEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "the slot on air is steady again",
            Self::Switched => "another slot is on air",
            Self::NoContent => "the covering slot has no content",
        })
    }
}

/// Whether `other` has to cover for `on_air`.
pub(super) fn begins(on_air: &Input, other: &Input) -> bool {
    on_air.content_since().is_none() && can_show(other)
}

/// Whether a cover ends, given when the covered slot is steady again. A lock that is lost meanwhile ends nothing: the
/// held picture would be worse.
pub(super) fn ends(on_air: bool, covering: &Input, steady_at: Option<Instant>, now: Instant) -> Option<CoverEnd> {
    if !on_air {
        Some(CoverEnd::Switched)
    } else if !can_show(covering) {
        Some(CoverEnd::NoContent)
    } else {
        steady_at.is_some_and(|at| at <= now).then_some(CoverEnd::Steady)
    }
}

fn can_show(input: &Input) -> bool {
    input.live && input.content_since().is_some()
}
