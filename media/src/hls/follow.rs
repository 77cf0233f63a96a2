//! Follows a live playlist: which segment is next, and when the list is loaded again.
//!
//! [`Follow`] is told what was loaded and what came of each segment, and is asked what to do next. It begins three target durations before
//! the end (RFC 8216, 6.3.3), or at the first segment where fewer are listed; of a recording at its begin. A list is loaded again a target
//! duration after the begin of the last load, and half of one when that brought nothing new or failed (6.3.4).
//!
//! ```text
//! step ─▶ Load ─────▶ loaded | not_loaded ──┐
//!      ─▶ Fetch ────▶ done | failed ────────┤
//!      ─▶ Wait(until) ──────────────────────┴─▶ step …
//!      ─▶ Ended
//! ```
//!
//! A segment that fails is tried again while it is listed, [`TRIES`] times at most, and is then left out. What is left out, marked as
//! missing, or no longer listed when its turn comes, makes a gap in front of the next. A list that goes back by more than its own length is
//! another one: its server has begun anew.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::playlist::{Media, Segment};

/// Times that a segment is asked for.
pub const TRIES: u32 = 5;
/// From a failed try to the next.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// From the end of the list to where playing begins, target durations.
const BEHIND: u32 = 3;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load the playlist.
    Load,
    /// Fetch this segment.
    Fetch(Next),
    /// Nothing before that time.
    Wait(Instant),
    /// The programme is over, and all of it is fetched.
    Ended,
}

/// A segment whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The segment.
    pub segment: Segment,
    /// Timestamps may begin anew with it.
    pub discontinuity: bool,
    /// Something is missing before it.
    pub gap: bool,
    /// No later one is listed.
    pub last: bool,
}

/// One media playlist's state.
#[derive(Debug, Default)]
pub struct Follow {
    /// Number of the segment that comes next.
    next: Option<u64>,
    /// Number behind the last segment that was ever listed.
    end: u64,
    /// What is listed from the next segment on.
    listed: VecDeque<Segment>,
    ended: bool,
    reload_at: Option<Instant>,
    /// Half the last known target duration.
    half_target: Duration,
    tries: u32,
    retry_at: Option<Instant>,
    discontinuity: bool,
    gap: bool,
}

impl Follow {
    /// What is to be done now.
    pub fn step(&mut self, now: Instant) -> Step {
        let Some(reload_at) = self.reload_at else { return Step::Load };
        if !self.ended && now >= reload_at {
            return Step::Load;
        }
        while self.listed.front().is_some_and(|segment| segment.gap) {
            self.leave_out();
        }
        let retry_at = self.retry_at.filter(|&at| now < at);
        match (self.listed.front(), retry_at) {
            (Some(segment), None) => Step::Fetch(Next {
                segment: segment.clone(),
                discontinuity: self.discontinuity || segment.discontinuity,
                gap: self.gap,
                last: self.listed.len() == 1,
            }),
            (Some(_), Some(at)) => Step::Wait(if self.ended { at } else { at.min(reload_at) }),
            (None, _) if self.ended => Step::Ended,
            (None, _) => Step::Wait(reload_at),
        }
    }

    /// The playlist was loaded, by a request that began at that time and is answered now.
    pub fn loaded(&mut self, media: Media, began: Instant, now: Instant) {
        self.half_target = media.target_duration / 2;
        self.ended = media.ended;
        let end = media.end();
        let news = self.next.is_none() || end > self.end;
        // An older copy is from a cache that lags behind, unless it is older than all that it lists.
        let length = media.segments.len() as u64;
        let anew = self.next.is_some() && length > 0 && end < self.end.saturating_sub(length);
        let reload_at = began + if news || anew { media.target_duration } else { self.half_target };
        // Answers that take longer than that leave time to fetch something.
        self.reload_at = Some(reload_at.max(now + RETRY_AFTER));
        if anew {
            (self.next, self.end) = (None, 0);
            (self.discontinuity, self.gap) = (true, true);
        }
        let next = match self.next {
            Some(next) => next,
            None if media.segments.is_empty() => return,
            None => start(&media),
        };
        if self.next != Some(next.max(media.sequence)) {
            (self.tries, self.retry_at) = (0, None);
        }
        self.gap |= next < media.sequence;
        self.next = Some(next.max(media.sequence));
        self.end = self.end.max(end);
        // A copy that lags behind takes nothing away.
        if news || anew || media.sequence > next {
            self.listed = media.segments.into_iter().filter(|segment| segment.sequence >= next).collect();
        }
    }

    /// The playlist could not be loaded.
    pub fn not_loaded(&mut self, now: Instant) {
        self.reload_at = Some(now + self.half_target.max(RETRY_AFTER));
    }

    /// The segment is taken.
    pub fn done(&mut self) {
        self.advance();
        (self.discontinuity, self.gap) = (false, false);
    }

    /// The segment could not be fetched. Whether it is given up.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.tries += 1;
        self.retry_at = Some(now + RETRY_AFTER);
        let given_up = self.tries >= TRIES;
        if given_up {
            self.leave_out();
        }
        given_up
    }

    /// The segment is missing, or nothing can be made of it.
    pub fn leave_out(&mut self) {
        self.discontinuity |= self.listed.front().is_some_and(|segment| segment.discontinuity);
        self.gap = true;
        self.advance();
    }

    fn advance(&mut self) {
        if let Some(segment) = self.listed.pop_front() {
            self.next = Some(segment.sequence + 1);
        }
        (self.tries, self.retry_at) = (0, None);
    }
}

/// Number of the segment that playing begins with.
fn start(media: &Media) -> u64 {
    if media.ended {
        // What is over when it is first seen is not live; but a recording is meant.
        return if media.on_demand { media.sequence } else { media.end() };
    }
    let mut behind = Duration::ZERO;
    for segment in media.segments.iter().rev() {
        behind += segment.duration;
        if behind >= media.target_duration * BEHIND {
            return segment.sequence;
        }
    }
    media.sequence
}

#[cfg(test)]
mod tests;
