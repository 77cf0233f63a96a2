//! Which missing packets are asked for again (RFC 4585, 6.2.1), and when.
//!
//! A picture that comes later than the output runs behind is never shown, so a packet is asked for at once when one behind it comes.
//! Requests and answers get lost too: when an answer is overdue, the packet is asked for again, and from then on twice in the time of an
//! answer, because few packets get so far and they have to hurry. How long answers take is learnt from those that came, counted from the
//! first request. Their median is moved neither by packets that were only overtaken nor by those that were asked for twice.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Most packets that are asked for at a time. A larger hole is no loss that could be made good in time: a keyframe is sooner there.
const MOST_MISSING: usize = 512;
/// Requests for one packet; who does not answer ten does not have it any more.
const MOST_REQUESTS: u32 = 10;
/// Answers whose median counts.
const ANSWERS: usize = 9;
/// How long an answer takes while none has come.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Between two requests for one packet, at least: senders look at requests and send in steps of some milliseconds.
const LEAST: Duration = Duration::from_millis(20);

/// The packets of one track that are missing.
#[derive(Default)]
pub struct Missing {
    /// By number, as the track's packets are ordered.
    packets: BTreeMap<u64, Wanted>,
    /// How long the latest answers took.
    answers: VecDeque<Duration>,
}

/// One of them.
struct Wanted {
    /// When it was first asked for.
    first: Option<Instant>,
    requests: u32,
    /// When it is to be asked for next.
    due: Instant,
}

impl Missing {
    /// A packet came now whose forerunners with these numbers have not.
    pub fn left_out(&mut self, numbers: Range<u64>, now: Instant) {
        let room = MOST_MISSING - self.packets.len();
        if numbers.end - numbers.start <= room as u64 {
            let wanted = |number| (number, Wanted { first: None, requests: 0, due: now });
            self.packets.extend(numbers.map(wanted));
        }
    }

    /// One of them came now; `true` when it had been asked for.
    pub fn came(&mut self, number: u64, now: Instant) -> bool {
        let Some(first) = self.packets.remove(&number).and_then(|wanted| wanted.first) else { return false };
        if self.answers.len() == ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(now.saturating_duration_since(first));
        true
    }

    /// Those before this number are waited for no longer.
    pub fn give_up(&mut self, before: u64) {
        self.packets = self.packets.split_off(&before);
    }

    /// When [`Self::requests`] has something.
    pub fn due(&self) -> Option<Instant> {
        let wanted = self.packets.values().filter(|wanted| wanted.requests < MOST_REQUESTS);
        wanted.map(|wanted| wanted.due).min()
    }

    /// The sequence numbers to ask for now, in order. They count as asked for.
    pub fn requests(&mut self, now: Instant) -> Vec<u16> {
        let answer_takes = self.answer_takes();
        let due = |wanted: &Wanted| wanted.due <= now && wanted.requests < MOST_REQUESTS;
        let wanted = self.packets.iter_mut().filter(|(_, wanted)| due(wanted));
        wanted
            .map(|(number, wanted)| {
                wanted.first.get_or_insert(now);
                wanted.requests += 1;
                // A little more at first, because answers do not all take the same time.
                let wait = if wanted.requests == 1 { answer_takes * 9 / 8 } else { answer_takes / 2 };
                wanted.due = now + wait.max(LEAST);
                *number as u16
            })
            .collect()
    }

    /// From a request to its answer.
    fn answer_takes(&self) -> Duration {
        let mut answers = Vec::from_iter(self.answers.iter().copied());
        answers.sort_unstable();
        answers.get(answers.len() / 2).copied().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::now;

    const MS: Duration = Duration::from_millis(1);

    /// When a packet that never comes is asked for, milliseconds after it was found missing.
    fn asked(missing: &mut Missing, number: u64, found: Instant) -> Vec<u128> {
        missing.left_out(number..number + 1, found);
        let mut asked = vec![];
        while let Some(due) = missing.due() {
            assert_eq!(missing.requests(due), [number as u16]);
            asked.push((due - found).as_millis());
        }
        asked
    }

    /// Loses one packet and lets it come `after` its first request.
    fn answered(missing: &mut Missing, number: u64, found: Instant, after: Duration) {
        missing.left_out(number..number + 1, found);
        assert_eq!(missing.requests(found), [number as u16]);
        assert!(missing.came(number, found + after));
    }

    #[test]
    fn a_missing_packet_is_asked_for_at_once_and_again_when_the_answer_is_overdue() {
        let (mut missing, start) = (Missing::default(), now());
        missing.left_out(65_535..65_538, start);
        assert_eq!(missing.due(), Some(start));
        assert_eq!(missing.requests(start), [65_535, 0, 1]);
        assert!(missing.came(65_536, start + 40 * MS));
        let overdue = start + UNKNOWN * 9 / 8;
        assert_eq!(missing.due(), Some(overdue), "nothing was known when it was asked for");
        assert_eq!(missing.requests(overdue - MS), [0u16; 0]);
        assert_eq!(missing.requests(overdue), [65_535, 1]);
        assert_eq!(missing.due(), Some(overdue + 20 * MS));
    }

    #[test]
    fn ten_requests_without_an_answer_are_enough() {
        let (mut missing, start) = (Missing::default(), now());
        answered(&mut missing, 1, start, 40 * MS);
        assert_eq!(asked(&mut missing, 2, start), [0, 45, 65, 85, 105, 125, 145, 165, 185, 205]);
    }

    #[test]
    fn the_time_of_answers_is_learnt_whatever_single_ones_take() {
        let (mut missing, start) = (Missing::default(), now());
        // The last but one came by itself; two were asked for twice, of which nobody knows which request was answered.
        for (number, ms) in [80, 80, 180, 80, 80, 180, 80, 1, 80].into_iter().enumerate() {
            answered(&mut missing, number as u64, start, ms * MS);
        }
        assert_eq!(asked(&mut missing, 10, start)[..3], [0, 90, 130]);
        let mut slower = Missing::default();
        for number in 0..20 {
            answered(&mut slower, number, start, if number < 10 { 80 } else { 400 } * MS);
        }
        missing = slower;
        assert_eq!(asked(&mut missing, 30, start)[..2], [0, 450]);
    }

    #[test]
    fn answers_that_come_at_once_make_no_flood_of_requests() {
        let (mut missing, start) = (Missing::default(), now());
        answered(&mut missing, 1, start, Duration::ZERO);
        assert_eq!(asked(&mut missing, 2, start)[..3], [0, 20, 40]);
    }

    #[test]
    fn what_is_given_up_or_was_never_sent_is_not_asked_for() {
        let (mut missing, start) = (Missing::default(), now());
        missing.left_out(1..4, start);
        missing.give_up(3);
        assert_eq!(missing.requests(start), [3]);
        missing.left_out(10..20_000, start);
        assert_eq!(missing.requests(start), [0u16; 0]);
        assert!(!missing.came(2, start));
    }
}
