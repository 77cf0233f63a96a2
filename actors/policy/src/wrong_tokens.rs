//! Who tries wrong tokens too often is no longer answered.
//!
//! A party gets [`ANSWERS`] answers in any [`WINDOW`]; its further wrong tries in that time are closed without a word. Tries that got no
//! answer do not count, so an encoder that keeps trying with a wrong token is told why again every minute. A right token never comes
//! here: nobody is kept out by another's failures, not even by those of his own address.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::admission::Refusal;
use crate::party::party;

/// Wrong tries that are answered in a [`WINDOW`].
pub const ANSWERS: usize = 10;

/// The time in which they are counted.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Parties that are remembered at most; the one that was answered longest ago gives way. About 1 MB.
const MAX_PARTIES: usize = 4_096;

/// What wrong tokens were answered, and when.
#[derive(Clone, Debug, Default)]
pub struct WrongTokens {
    /// The latest answers to each party, oldest first.
    answered: BTreeMap<IpAddr, VecDeque<Instant>>,
}

impl WrongTokens {
    /// How a try that named no stream, or not that stream's token, is refused. `known` says whether it named a stream.
    pub fn refuse(&mut self, known: bool, address: IpAddr, now: Instant) -> Refusal {
        let party = party(address);
        if !self.answered.contains_key(&party) && self.answered.len() >= MAX_PARTIES {
            self.make_room(now);
        }
        let answered = self.answered.entry(party).or_default();
        answered.retain(|at| now < *at + WINDOW);
        if answered.len() >= ANSWERS {
            return Refusal::Unanswered { known };
        }
        answered.push_back(now);
        Refusal::NotAuthorized { known }
    }

    fn make_room(&mut self, now: Instant) {
        self.answered.retain(|_, answered| answered.back().is_some_and(|at| now < *at + WINDOW));
        if self.answered.len() >= MAX_PARTIES
            && let Some((&oldest, _)) = self.answered.iter().min_by_key(|(_, answered)| answered.back().copied())
        {
            self.answered.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn is_answered(wrong: &mut WrongTokens, address: &str, now: Instant) -> bool {
        match wrong.refuse(true, address.parse().unwrap(), now) {
            Refusal::NotAuthorized { known: true } => true,
            Refusal::Unanswered { known: true } => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ten_answers_a_minute_for_each_party() {
        let (mut wrong, t) = (WrongTokens::default(), start());
        for n in 0..10 {
            assert!(is_answered(&mut wrong, "192.0.2.1", t + MS(n * 100)));
        }
        assert!(!is_answered(&mut wrong, "192.0.2.1", t + MS(1_000)));
        assert!(is_answered(&mut wrong, "192.0.2.2", t + MS(1_000)), "another address is not touched");
        assert!(!is_answered(&mut wrong, "192.0.2.1", t + MS(59_999)));
        assert!(is_answered(&mut wrong, "192.0.2.1", t + MS(60_000)), "the first is a minute old");
        assert!(!is_answered(&mut wrong, "192.0.2.1", t + MS(60_099)));
        assert!(is_answered(&mut wrong, "192.0.2.1", t + MS(60_100)), "unanswered tries did not count");
    }

    #[test]
    fn an_ipv6_network_is_one_party() {
        let (mut wrong, t) = (WrongTokens::default(), start());
        for n in 0..10 {
            assert!(is_answered(&mut wrong, &format!("2001:db8::{n}"), t));
        }
        assert!(!is_answered(&mut wrong, "2001:db8::ffff", t));
        assert!(is_answered(&mut wrong, "2001:db8:0:1::1", t));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_longest_unheard() {
        let (mut wrong, t) = (WrongTokens::default(), start());
        let network = |n: u64| format!("2001:db8:{:x}:{:x}::1", n >> 16, n & 0xffff);
        for n in 0..3 * MAX_PARTIES as u64 {
            assert!(is_answered(&mut wrong, &network(n), t + MS(n)));
            assert!(wrong.answered.len() <= MAX_PARTIES);
        }
        let last = 3 * MAX_PARTIES as u64 - 1;
        for _ in 1..10 {
            assert!(is_answered(&mut wrong, &network(last), t + MS(last)));
        }
        assert!(!is_answered(&mut wrong, &network(last), t + MS(last)), "the latest is remembered");
    }

    proptest! {
        #[test]
        fn no_schedule_gets_more_than_ten_answers_in_a_minute_nor_less_than_it_may(
            gaps in proptest::collection::vec(0u64..20_000, 1..200)
        ) {
            let (mut wrong, mut now) = (WrongTokens::default(), start());
            let mut answers: Vec<Instant> = vec![];
            for gap in gaps {
                now += MS(gap);
                let recent = answers.iter().filter(|at| now < **at + WINDOW).count();
                let answered = is_answered(&mut wrong, "192.0.2.1", now);
                prop_assert_eq!(answered, recent < ANSWERS);
                if answered {
                    answers.push(now);
                }
            }
        }
    }
}
