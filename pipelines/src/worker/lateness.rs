//! How late an input's sound comes behind its pictures. Pure.
//!
//! A transport stream's muxer packs eight or nine AAC frames into one packet, so sound arrives in bursts: the last frame of each is in
//! time, and the first one as late as the burst is long. What counts is therefore the latest sound of each [`WINDOW`]. One stall of the
//! network says nothing about the source: while it is learnt, the worst of the last [`KEPT`] windows is left out; later all of them have
//! to agree, because what an input is delayed once is never taken back. Only at the very beginning, before anything is heard, [`FIRST`]
//! has to be enough.

use std::collections::VecDeque;

/// The first window, nanoseconds; the first burst shows itself at once.
const FIRST: i64 = 200_000_000;
/// A window, nanoseconds: longer than any muxer holds sound back.
const WINDOW: i64 = 500_000_000;
/// Windows that are compared.
const KEPT: usize = 4;
/// Windows while it is learnt: 5 s.
const LEARNT: u32 = 10;

/// The greatest lateness of each of the last windows.
#[derive(Debug, Default)]
pub struct Lateness {
    /// End and greatest lateness of the window that runs.
    window: Option<(i64, i64)>,
    latest: VecDeque<i64>,
    /// Windows that are over, the first one included; stops at [`LEARNT`].
    over: u32,
}

impl Lateness {
    /// Sound arrived `now`, `late` nanoseconds behind the pictures of its time; at the end of a window, how late the source's sound is.
    pub fn arrived(&mut self, now: i64, late: i64) -> Option<i64> {
        let length = if self.over == 0 { FIRST } else { WINDOW };
        let (end, greatest) = self.window.get_or_insert((now + length, i64::MIN));
        *greatest = late.max(*greatest);
        let greatest = *greatest;
        if now < *end {
            return None;
        }
        self.window = None;
        self.over = (self.over + 1).min(LEARNT);
        if self.over == 1 {
            return Some(greatest);
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
        (0..500).filter_map(|n| lateness.arrived(n * 20 * MS, late(n) * MS)).map(|told| told / MS).collect()
    }

    #[test]
    fn a_burst_is_as_late_as_its_first_frame() {
        let told = told(|n| 160 - n % 9 * 20);
        assert!(told.len() > 10 && told.iter().all(|&late| late == 160), "{told:?}");
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
}
