//! How far an input's sound comes behind its timestamps. Pure.
//!
//! A transport stream's muxer packs eight or nine AAC frames into one packet, so sound arrives in bursts: the last frame of each is in
//! time, and the first one as late as the burst is long. What counts is therefore the latest sound of each [`WINDOW`]. One stall of the
//! network says nothing about the source: while it is learnt, the worst of the last [`KEPT`] windows is left out; later all of them have
//! to agree, because what an input is delayed once is never taken back.
//!
//! At the very beginning, before anything is heard, the first window has to be enough. A packet's end may wait somewhere on its way for the
//! next packet to push it on, which a first window does not show: so sound that comes in bursts is taken to come as much later as
//! the longest of them is long. Nothing is told by the sound of a replay, which comes with pictures that are all too late.
//!
//! All numbers are arrival less timestamp, in nanoseconds: they mean something only beside those of pictures.

use std::collections::VecDeque;

/// The first window, nanoseconds; the first burst shows itself at once.
const FIRST: i64 = 200_000_000;
/// A window, nanoseconds: longer than any muxer holds sound back.
const WINDOW: i64 = 500_000_000;
/// Windows that are compared.
const KEPT: usize = 4;
/// Windows while it is learnt: 5 s.
const LEARNT: u32 = 10;
/// Pieces of a burst arrive at most this far apart, nanoseconds.
const APART: i64 = 100_000_000;
/// What arrives within this time arrives together, nanoseconds.
const TOGETHER: i64 = 20_000_000;
/// Shorter bursts are an encoder's own rhythm, nanoseconds: two or three frames between two pictures.
const SHORTEST_BURST: i64 = 60_000_000;

/// The greatest lateness of each of the last windows.
#[derive(Debug, Default)]
pub struct Lateness {
    /// End and greatest lateness of the window that runs.
    window: Option<(i64, i64)>,
    latest: VecDeque<i64>,
    /// Windows that are over, the first one included; stops at [`LEARNT`].
    over: u32,
    /// The sound that came last, with no picture since.
    burst: Option<Burst>,
    /// The longest burst of the first window.
    longest: i64,
}

/// Sound that arrived with no picture between.
#[derive(Clone, Copy, Debug)]
struct Burst {
    /// How late its first frame was.
    first: i64,
    /// How late the latest one was, and when it came.
    last: (i64, i64),
}

impl Burst {
    fn length(&self) -> i64 {
        self.first - self.last.0
    }
}

impl Lateness {
    /// Sound of the time `pts` arrived `now`; at the end of a window, how late the source's sound is.
    pub fn sound(&mut self, now: i64, pts: i64) -> Option<i64> {
        let late = now - pts;
        let first = self.burst.filter(|burst| now - burst.last.1 <= APART).map_or(late, |burst| burst.first);
        let burst = Burst { first, last: (late, now) };
        self.burst = Some(burst);
        let length = if self.over == 0 { FIRST } else { WINDOW };
        let (end, greatest) = self.window.get_or_insert((now + length, i64::MIN));
        *greatest = late.max(*greatest);
        if self.over == 0 {
            self.longest = self.longest.max(burst.length());
        }
        if now < *end { None } else { self.end_window() }
    }

    /// A picture arrived `now`: a burst of sound has nothing else in it. `replayed` tells that all pictures before it were late.
    pub fn picture(&mut self, now: i64, replayed: bool) {
        let burst = self.burst.take();
        if replayed {
            // But for the sound that came just before it.
            let burst = burst.filter(|burst| now - burst.last.1 <= TOGETHER);
            *self = Self {
                window: burst.map(|burst| (now + FIRST, burst.first)),
                longest: burst.map_or(0, |burst| burst.length()),
                ..Self::default()
            };
        }
    }

    /// There was sound, and what came last is not in the middle of a burst.
    pub fn has_begun(&self, now: i64) -> bool {
        (self.over > 0 || self.window.is_some()) && self.burst.is_none_or(|burst| now - burst.last.1 > APART)
    }

    /// Ends the first window, if it runs: how late the source's sound is.
    pub fn end_first(&mut self) -> Option<i64> {
        if self.over == 0 { self.end_window() } else { None }
    }

    fn end_window(&mut self) -> Option<i64> {
        let (_, greatest) = self.window.take()?;
        self.over = (self.over + 1).min(LEARNT);
        if self.over == 1 {
            let reserve = if self.longest < SHORTEST_BURST { 0 } else { self.longest };
            return Some(greatest + reserve);
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(greatest);
        let mut sorted = Vec::from_iter(self.latest.iter().copied());
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        match self.over {
            LEARNT => sorted.last().copied(),
            _ => sorted.get(1).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// What is told of sound that comes every 20 ms, as late as `late` says of its number.
    fn told(late: impl Fn(i64) -> i64) -> Vec<i64> {
        let mut lateness = Lateness::default();
        let arrival = |n: i64| n * 20 * MS;
        (0..500).filter_map(|n| lateness.sound(arrival(n), arrival(n) - late(n) * MS)).map(|told| told / MS).collect()
    }

    #[test]
    fn a_burst_is_as_late_as_its_first_frame() {
        let told = told(|n| 160 - n % 9 * 20);
        assert!(told.len() > 10 && told[1..].iter().all(|&late| late == 160), "{told:?}");
    }

    #[test]
    fn a_stall_of_the_network_is_no_lateness_of_the_source() {
        let told = told(|n| if n % 100 == 50 { 400 } else { 10 });
        assert!(told.iter().all(|&late| late == 10), "{told:?}");
    }

    #[test]
    fn bursts_of_different_lengths_are_learnt_within_two_seconds() {
        // Windows of 25 frames; a short burst now and then, as a pipe before the encoder makes them.
        let told = told(|n| if n / 25 % 3 == 0 { 20 } else { 160 - n % 9 * 20 });
        assert!(told[..4].contains(&160), "{told:?}");
    }

    #[test]
    fn a_source_that_becomes_late_is_noticed() {
        let told = told(|n| if n < 200 { 0 } else { 300 });
        assert_eq!((told[0], told[1], *told.last().unwrap()), (0, 0, 300));
    }

    /// `frames` of 20 ms that arrive in one burst whose last one is of its end.
    fn burst(lateness: &mut Lateness, at: i64, frames: i64) -> Vec<i64> {
        (0..frames)
            .filter_map(|n| lateness.sound(at * MS, (at - (frames - n) * 20) * MS))
            .map(|told| told / MS)
            .collect()
    }

    #[test]
    fn the_first_window_leaves_room_for_a_burst_that_waits_for_the_next_one() {
        let mut lateness = Lateness::default();
        assert!(burst(&mut lateness, 100, 8).is_empty());
        assert!(!lateness.has_begun(105 * MS) && lateness.has_begun(201 * MS));
        lateness.picture(110 * MS, false);
        assert!(lateness.has_begun(110 * MS));
        assert_eq!(lateness.end_first(), Some(300 * MS));
        assert_eq!(lateness.end_first(), None);
        // What is seen later is what is told.
        let told: Vec<i64> = (0..20).flat_map(|n| burst(&mut lateness, 260 + n * 160, 8)).collect();
        assert!(!told.is_empty() && told.iter().all(|&late| late == 160), "{told:?}");
    }

    #[test]
    fn an_encoder_that_sends_its_sound_between_pictures_has_no_bursts() {
        let mut lateness = Lateness::default();
        for picture in 0..3 {
            lateness.picture(picture * 40 * MS, false);
            burst(&mut lateness, picture * 40, 2);
        }
        assert_eq!(lateness.end_first(), Some(40 * MS));
        // A backlog, for a picture comes after every other frame.
        let mut lateness = Lateness::default();
        for picture in 0..6 {
            lateness.sound(0, (picture * 40 - 240) * MS);
            lateness.sound(0, (picture * 40 - 220) * MS);
            lateness.picture(0, false);
        }
        assert_eq!(lateness.end_first(), Some(240 * MS));
    }

    #[test]
    fn the_sound_of_a_replay_tells_nothing() {
        let mut lateness = Lateness::default();
        burst(&mut lateness, 0, 50);
        lateness.picture(50 * MS, true);
        assert!(!lateness.has_begun(60 * MS) && lateness.end_first().is_none());
        burst(&mut lateness, 98, 8);
        lateness.picture(100 * MS, true);
        assert!(lateness.has_begun(100 * MS));
        assert_eq!(lateness.end_first(), Some(300 * MS));
    }
}
