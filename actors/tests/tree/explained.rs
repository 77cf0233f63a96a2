//! Whether a journal explains each of its switches: what the entries say, read by themselves, without the rule.

use std::time::SystemTime;

use weir_actors::journal::BroadcastState;
use weir_actors::status::{JournalEntry, JournalEvent};
use weir_media::id::{SessionId, Slot};
use weir_policy::failover::{InputState, Timer};

/// What the entries up to some point have told.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub on_air: Option<Slot>,
    /// Since which tick each slot is live, primary first.
    pub live: [Option<u64>; 2],
    pub inputs: [Option<(Option<SessionId>, InputState)>; 2],
    /// Since which tick primary has had its publisher.
    connected: u64,
    hold: Hold,
    chosen: Option<Slot>,
    released: bool,
    /// When the broadcast began, while primary has not been on air in it.
    began: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    Idle,
    Runs {
        until: u64,
    },
    /// It fired, and primary has not been on air since.
    Over,
}

/// Numbers in ticks.
#[derive(Clone, Copy)]
pub struct Times {
    pub stall: u64,
    pub hold: u64,
}

fn other(slot: Slot) -> Slot {
    if slot == Slot::Primary { Slot::Backup } else { Slot::Primary }
}

/// Both are wall clock, read a moment apart.
fn ticks_until(due: Option<SystemTime>, now: SystemTime) -> u64 {
    let left = due.and_then(|due| due.duration_since(now).ok()).unwrap_or_default();
    (left.as_secs_f64() / crate::TICK.as_secs_f64()).round() as u64
}

impl Reader {
    fn is_live(&self, slot: Slot) -> bool {
        self.live[slot as usize].is_some()
    }

    /// Takes in one entry; says what is wrong with it.
    pub fn read(&mut self, at: u64, entry: &JournalEntry, times: Times) -> Result<(), String> {
        let known = self.clone();
        let wrong = |what: &str| Err(format!("tick {at}, {}: {what}; {known:?}", entry.text));
        match &entry.what {
            JournalEvent::Input { slot, session, state } => {
                let before = self.inputs[*slot as usize].replace((*session, *state));
                if before == Some((*session, *state)) {
                    return wrong("repeats what was told");
                }
                if *slot == Slot::Primary && before.is_none_or(|(before, _)| before != *session) {
                    self.connected = at;
                }
            }
            JournalEvent::Live { slot, live, .. } => {
                if self.is_live(*slot) == *live {
                    return wrong("repeats what was told");
                }
                self.live[*slot as usize] = live.then_some(at);
                if !live && self.chosen == Some(*slot) {
                    self.chosen = None;
                }
            }
            JournalEvent::Timer { timer: Timer::Hold, state, due } => {
                use weir_actors::journal::TimerState::*;
                self.hold = match (state, self.hold) {
                    (Armed, Hold::Idle | Hold::Over) => Hold::Runs { until: at + ticks_until(*due, entry.at) },
                    (Fired, Hold::Runs { until }) if at == until => Hold::Over,
                    (Cancelled, Hold::Runs { .. }) => Hold::Idle,
                    _ => return wrong("no such timer runs"),
                };
            }
            JournalEvent::OnAir { slot, rule } => {
                if let Err(why) = self.justify(at, *slot, rule, times) {
                    return wrong(&why);
                }
                (self.on_air, self.released) = (*slot, false);
                self.began.take_if(|_| *slot == Some(Slot::Primary));
                if self.hold == Hold::Over {
                    self.hold = Hold::Idle;
                }
            }
            JournalEvent::Broadcast { state } => self.began = (*state == BroadcastState::Began).then_some(at),
            JournalEvent::Note if entry.text == "the operator chooses primary" => self.chosen = Some(Slot::Primary),
            JournalEvent::Note if entry.text == "the operator chooses backup" => self.chosen = Some(Slot::Backup),
            JournalEvent::Note if entry.text.contains("leaves the choice") => {
                (self.chosen, self.released) = (None, true);
            }
            _ => {}
        }
        Ok(())
    }

    /// The rule that an entry names must follow from the entries before it.
    fn justify(&self, at: u64, slot: Option<Slot>, rule: &str, times: Times) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        check(slot != self.on_air, "it is on air already")?;
        check(slot.is_none_or(|slot| self.is_live(slot)), "it is not live")?;
        let loss = |lost: Slot| {
            check(self.on_air == Some(lost), "the lost slot was not on air")?;
            check(!self.is_live(lost), "it was not lost")?;
            let instead = Some(other(lost)).filter(|slot| self.is_live(*slot));
            check(slot == instead, "the other slot was live")
        };
        match rule {
            "rule 1: first media" => {
                check(self.on_air.is_none(), "something was on air")?;
                check(slot == Some(Slot::Primary) || !self.is_live(Slot::Primary), "primary has priority")
            }
            "rule 1: primary's first media just behind the backup's" => {
                check((self.on_air, slot) == (Some(Slot::Backup), Some(Slot::Primary)), "not that switch")?;
                check(self.began.is_some_and(|began| at < began + times.stall), "not the begin of a broadcast")?;
                check(self.chosen.is_none(), "the operator chose backup")
            }
            "rule 2: primary lost" => loss(Slot::Primary),
            "rule 4: backup lost" => loss(Slot::Backup),
            "rule 3: primary steady for the hold" => {
                check((self.on_air, slot) == (Some(Slot::Backup), Some(Slot::Primary)), "not a return")?;
                check(self.chosen.is_none(), "the operator chose backup")?;
                let since = self.live[0].map(|live| live.max(self.connected));
                check(since.is_some_and(|since| at >= since + times.hold), "primary was not steady")?;
                check(self.released || self.hold == Hold::Over, "no hold ran to its end")
            }
            "operator's choice" => check(slot.is_some() && slot == self.chosen, "nobody chose it"),
            _ => Err("an unknown rule".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_actors::journal::TimerState::{Armed, Fired};

    use super::*;

    const TIMES: Times = Times { stall: 30, hold: 150 };

    fn entry(what: JournalEvent, text: &str) -> JournalEntry {
        JournalEntry { seq: 1, at: SystemTime::UNIX_EPOCH, text: text.into(), what }
    }

    fn live(slot: Slot, live: bool) -> JournalEvent {
        JournalEvent::Live { slot, live, reason: String::new() }
    }

    fn on_air(slot: Option<Slot>, rule: &str) -> JournalEvent {
        JournalEvent::OnAir { slot, rule: rule.into() }
    }

    fn hold(state: weir_actors::journal::TimerState) -> JournalEvent {
        let due = Some(SystemTime::UNIX_EPOCH + crate::TICK * 150);
        JournalEvent::Timer { timer: Timer::Hold, state, due }
    }

    /// Reads entries that are right, then one that may be wrong.
    fn judge(story: &[(u64, JournalEvent)], last: (u64, JournalEvent)) -> Result<(), String> {
        let mut reader = Reader::default();
        for (at, what) in story {
            reader.read(*at, &entry(what.clone(), ""), TIMES).unwrap();
        }
        reader.read(last.0, &entry(last.1, ""), TIMES)
    }

    #[test]
    fn primary_takes_over_at_once_at_a_begin_and_nowhere_else() {
        use Slot::{Backup, Primary};
        let behind = "rule 1: primary's first media just behind the backup's";
        let began = JournalEvent::Broadcast { state: BroadcastState::Began };
        let story = [
            (0, began),
            (0, live(Backup, true)),
            (0, on_air(Some(Backup), "rule 1: first media")),
            (2, live(Primary, true)),
        ];
        assert!(judge(&story, (29, on_air(Some(Primary), behind))).is_ok());
        assert!(judge(&story, (30, on_air(Some(Primary), behind))).is_err(), "too late");
        assert!(judge(&story[1..], (29, on_air(Some(Primary), behind))).is_err(), "no broadcast began");
        assert!(judge(&story[..3], (29, on_air(Some(Primary), behind))).is_err(), "primary is not live");
    }

    #[test]
    fn a_switch_that_does_not_follow_from_the_entries_before_it_is_found() {
        use Slot::{Backup, Primary};
        let (first, lost, back) =
            ("rule 1: first media", "rule 2: primary lost", "rule 3: primary steady for the hold");
        let story = [(0, live(Primary, true)), (0, on_air(Some(Primary), first)), (5, live(Backup, true))];
        assert!(judge(&story, (9, on_air(Some(Backup), lost))).is_err(), "primary is live");
        assert!(judge(&story, (9, on_air(Some(Backup), "operator's choice"))).is_err(), "nobody chose it");
        assert!(judge(&story[..2], (9, on_air(Some(Backup), lost))).is_err(), "backup is not live");
        assert!(judge(&story[2..], (9, on_air(Some(Primary), first))).is_err(), "primary is not live");
        assert!(judge(&story, (9, live(Primary, true))).is_err(), "told twice");
        let gone = [&story[..], &[(40, live(Primary, false))]].concat();
        assert!(judge(&gone, (40, on_air(None, lost))).is_err(), "backup is live");
        assert!(judge(&gone, (40, on_air(Some(Backup), lost))).is_ok());
        let returned =
            [&gone[..], &[(40, on_air(Some(Backup), lost)), (50, live(Primary, true)), (50, hold(Armed))]].concat();
        assert!(judge(&returned, (199, hold(Fired))).is_err(), "a tick early");
        assert!(judge(&returned, (200, on_air(Some(Primary), back))).is_err(), "the timer has not fired");
        let fired = [&returned[..], &[(200, hold(Fired))]].concat();
        assert!(judge(&fired, (200, on_air(Some(Primary), back))).is_ok());
        assert!(judge(&fired, (200, on_air(Some(Primary), "rule 4: backup lost"))).is_err(), "backup is live");
    }
}
