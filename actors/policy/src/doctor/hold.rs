//! One code's hysteresis: a fault has to last before it is told, and to be gone for a while before it is taken back.

use std::time::Instant;

use super::{Code, Finding};

/// What one look says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing to judge by.
    Unknown,
    /// As it should be.
    Good,
    /// Not so; `told` are its words where the code has none for numbers.
    Bad { value: f64, limit: f64, told: Option<String> },
}

impl Verdict {
    pub fn bad(value: f64, limit: f64) -> Self {
        Self::Bad { value, limit, told: None }
    }
}

/// A code, and whether it holds.
#[derive(Debug)]
pub(super) struct Hold {
    code: Code,
    /// Bad without a good look between.
    bad_since: Option<Instant>,
    finding: Option<Finding>,
}

impl Hold {
    pub fn new(code: Code) -> Self {
        Self { code, bad_since: None, finding: None }
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn finding(&self) -> Option<Finding> {
        self.finding.clone()
    }

    pub fn look(&mut self, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Unknown => {}
            Verdict::Good => {
                self.bad_since = None;
                let clear_after = self.code.clear_after();
                self.finding.take_if(|finding| now >= finding.seen + clear_after);
            }
            Verdict::Bad { value, limit, told } => {
                let bad_since = *self.bad_since.get_or_insert(now);
                let raised = self.finding.as_ref().map(|finding| finding.since);
                let due = now >= bad_since + self.code.raise_after();
                if let Some(since) = raised.or(due.then_some(now)) {
                    let text = told.unwrap_or_else(|| self.code.say(value, limit));
                    self.finding = Some(Finding { code: self.code, value, limit, text, since, seen: now });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::test_clock::start;

    #[test]
    fn a_fault_has_to_last_and_so_has_its_cure() {
        let (mut hold, t) = (Hold::new(Code::GopLong), start());
        let (raise, clear) = (Code::GopLong.raise_after(), Code::GopLong.clear_after());
        let bad = || Verdict::bad(5.0, 2.0);
        hold.look(bad(), t);
        hold.look(Verdict::Good, t + raise / 2);
        hold.look(bad(), t + raise);
        assert_eq!(hold.finding(), None, "it did not last");
        hold.look(bad(), t + raise * 2);
        let raised = hold.finding().expect("raised");
        assert_eq!((raised.since, raised.seen), (t + raise * 2, t + raise * 2));
        hold.look(bad(), t + raise * 3);
        let seen = t + raise * 3;
        assert_eq!(hold.finding().map(|finding| (finding.since, finding.seen)), Some((t + raise * 2, seen)));
        hold.look(Verdict::Good, seen + clear - Duration::from_millis(1));
        hold.look(Verdict::Unknown, seen + clear * 2);
        assert!(hold.finding().is_some(), "not long enough, and what is unknown says nothing");
        hold.look(Verdict::Good, seen + clear * 2);
        assert_eq!(hold.finding(), None);
    }

    proptest! {
        #[test]
        fn no_schedule_makes_it_flicker(looks in proptest::collection::vec((0u8..3, 200u64..3_000), 1..300)) {
            let (mut hold, mut now) = (Hold::new(Code::AvDrift), start());
            let mut changed: Option<(bool, Instant)> = None;
            for (look, gap) in looks {
                now += Duration::from_millis(gap);
                let before = hold.finding().is_some();
                hold.look([Verdict::Unknown, Verdict::Good, Verdict::bad(300.0, 200.0)][usize::from(look)].clone(), now);
                let after = hold.finding().is_some();
                if before != after {
                    if let Some((raised, at)) = changed {
                        let least = if raised { Code::AvDrift.clear_after() } else { Code::AvDrift.raise_after() };
                        prop_assert!(now >= at + least);
                        prop_assert_ne!(raised, after);
                    }
                    changed = Some((after, now));
                }
            }
        }
    }
}
