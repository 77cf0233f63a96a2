//! One timeline out of a source's several.
//!
//! A source's timestamps begin anew where its encoder or its programme did, announced or not. [`Splice`] moves them so that what comes out
//! goes on where it was. It keeps video and audio in step: they share the distance that they are moved by, in each *span* between two cuts,
//! and both pass from span to span, each at its own time.
//!
//! Contract: decoding times of a track grow strictly. What would go back is dropped, of video everything up to the next keyframe; video begins
//! at one. The first unit is at zero. A step forward of up to [`AHEAD`] is a hole in the programme, and stays one.

use std::collections::VecDeque;

use crate::access_unit::{AccessUnit, Track};
use crate::time::Timestamp;

/// Furthest that a unit is behind the last one of its track without a cut, nanoseconds.
pub const AHEAD: i64 = 10_000_000_000;
/// Furthest that it is before it, nanoseconds: a glitch, and dropped.
const BACK: i64 = 1_000_000_000;
/// What a unit lasts, nanoseconds, while that is not known.
const STEP: i64 = 20_000_000;
/// Spans that are remembered: a track lags behind the other by a cut or two.
const SPANS: usize = 8;

/// Moves the units of one source.
#[derive(Debug, Default)]
pub struct Splice {
    /// Distances that the spans' units are moved by, nanoseconds.
    spans: VecDeque<i128>,
    /// Number of the first span that is remembered.
    first: usize,
    video: Lane,
    audio: Lane,
}

/// One track's place.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// Number of its span; `None` before its first unit.
    span: Option<usize>,
    /// A cut is announced.
    cut: bool,
    /// Last decoding time that came out, nanoseconds.
    last: Option<i64>,
    /// How long the last unit was.
    step: Option<i64>,
    /// Video begun at a keyframe.
    begun: bool,
}

impl Splice {
    /// The timestamps of a track begin anew with its next unit.
    pub fn cut(&mut self, track: Track) {
        self.lane(track).cut = true;
    }

    /// Moves a unit to its place; `None` when it has none.
    pub fn place(&mut self, mut unit: AccessUnit) -> Option<AccessUnit> {
        let [dts, pts] = [unit.dts, unit.pts].map(|time| i128::from(time.as_nanos()));
        let out = self.out(unit.track, dts);
        let pts = i64::try_from(i128::from(out) + pts - dts).ok()?;
        let lane = self.lane(unit.track);
        if lane.last.is_some_and(|last| out <= last) {
            lane.begun = false;
            return None;
        }
        lane.begun |= unit.keyframe;
        if !lane.begun {
            return None;
        }
        lane.step = lane.last.map(|last| out - last).filter(|&step| step <= BACK).or(lane.step);
        lane.last = Some(out);
        (unit.dts, unit.pts) = (Timestamp::from_nanos(out), Timestamp::from_nanos(pts));
        Some(unit)
    }

    /// Where a unit comes to be, in the span that it belongs to.
    fn out(&mut self, track: Track, dts: i128) -> i64 {
        let lane = *self.lane(track);
        let stays = lane.span.filter(|_| !lane.cut).and_then(|span| self.near(&lane, span, dts));
        if let Some(out) = stays {
            return out;
        }
        // The other track may have gone on to the next span already.
        let known = self.first..self.first + self.spans.len();
        let mut later = known.clone().filter(|&span| lane.span.is_some_and(|mine| span > mine));
        let found = match lane.span {
            Some(_) => later.find_map(|span| Some((span, self.near(&lane, span, dts)?))),
            None => known.rev().find_map(|span| Some((span, self.near(&lane, span, dts)?))),
        };
        let (span, out) = match found {
            // Audio is cut where it overlaps, but video would wait for a keyframe: it moves them both.
            Some((span, out)) if track == Track::Video && lane.last.is_some_and(|last| out <= last) => {
                (span, self.shift(span, lane.end() - out) + out)
            }
            Some(found) => found,
            None => self.begin(dts),
        };
        let lane = self.lane(track);
        (lane.span, lane.cut) = (Some(span), false);
        out
    }

    /// Where a unit of a track would be in a span, if that is near what the track had.
    fn near(&self, lane: &Lane, span: usize, dts: i128) -> Option<i64> {
        let out = dts + self.spans.get(span.checked_sub(self.first)?)?;
        let earliest = lane.last.map_or(-AHEAD, |last| last - BACK);
        i64::try_from(out).ok().filter(|out| (earliest..=self.end() + AHEAD).contains(out))
    }

    /// A new span, whose first unit follows what is there.
    fn begin(&mut self, dts: i128) -> (usize, i64) {
        let out = self.end();
        self.spans.push_back(i128::from(out) - dts);
        if self.spans.len() > SPANS {
            self.spans.pop_front();
            self.first += 1;
        }
        (self.first + self.spans.len() - 1, out)
    }

    /// Moves a span's units by more. Returns by how much.
    fn shift(&mut self, span: usize, more: i64) -> i64 {
        if let Some(distance) = self.spans.get_mut(span - self.first) {
            *distance += i128::from(more);
        }
        more
    }

    /// Where what is there ends.
    fn end(&self) -> i64 {
        self.video.end().max(self.audio.end())
    }

    fn lane(&mut self, track: Track) -> &mut Lane {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

impl Lane {
    /// Where the last unit ends; zero before the first.
    fn end(&self) -> i64 {
        self.last.map_or(0, |last| last + self.step.unwrap_or(STEP))
    }
}

#[cfg(test)]
mod tests;
