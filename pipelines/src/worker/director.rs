//! Which input each output frame shows. Pure.
//!
//! The control process says which input is *on air* by the failover rule; the director says which one is *shown*, frame by frame, from
//! what is there: picture and sound change hands when content ends, not when a timer does.
//!
//! 1. What is shown and has content stays, unless the input on air takes over: at once when it was put on air at once (a planned return,
//!    an operator's choice), after [`COVER`] of steady content when it is covered for, or [`STRANGER`] while it is not known to carry
//!    the same programme (yet). One that was put on air because the other was lost waits until what the other delivered is played out.
//! 2. Else the input on air, if it has content.
//! 3. Else one that is known to carry the same programme and has content *covers*.
//! 4. Else what is shown stays, and its last picture is held. Before anything was on air, the first input with content is shown: the
//!    control process puts it on air once it has heard that it decodes.
//!
//! In mode `freeze` the output has no reserve, and a picture that is a little late is not a failed encoder: content is missed only after
//! [`FREEZE_PATIENCE`]. In mode `hitless` it is missed in the very slot it is not there for, so that none is filled.

use weir_media::failover::{self, HandOver, Mode};
use weir_media::id::{SessionId, Slot};

/// How late content may be in mode `freeze` before another input covers, nanoseconds.
const FREEZE_PATIENCE: i64 = 200_000_000;
/// Steady content of the input on air that ends a cover, nanoseconds.
const COVER: i64 = failover::COVER.as_nanos() as i64;

/// The same of one that is not in step: an encoder that came back. Its sound is in step within 10 s, else it has nothing in common.
const STRANGER: i64 = 20_000_000_000;

/// One input, as it is in the slot to decide.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The input.
    pub session: SessionId,
    /// Its ingest point.
    pub slot: Slot,
    /// It has a picture and sound for this slot.
    pub has_content: bool,
    /// It has, or missed it by no more than the director's patience.
    pub lasts: bool,
    /// It is known to carry the programme that is on air.
    pub on_programme: bool,
}

/// What the director decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// The input whose picture and sound are taken; its last ones if it has no content.
    pub session: Option<SessionId>,
    /// It stands in for the input on air.
    pub covers: bool,
}

/// The director of one broadcast.
#[derive(Debug)]
pub struct Director {
    mode: Mode,
    on_air: Option<SessionId>,
    /// As the control process said.
    ordered: HandOver,
    /// What of it is still to be done.
    hand_over: HandOver,
    shown: Option<SessionId>,
    /// What is shown stands in for the input on air, which had no content when it began to.
    covering: bool,
    /// Since when the input on air has had content, output time.
    steady_since: Option<i64>,
}

impl Director {
    /// A director who shows nothing yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            on_air: None,
            ordered: HandOver::default(),
            hand_over: HandOver::default(),
            shown: None,
            covering: false,
            steady_since: None,
        }
    }

    /// How late content may be before it is missed, nanoseconds.
    pub fn patience(&self) -> i64 {
        match self.mode {
            Mode::Freeze => FREEZE_PATIENCE,
            Mode::Hitless => 0,
        }
    }

    /// The control process put `session` on air.
    pub fn on_air(&mut self, session: Option<SessionId>, hand_over: HandOver) {
        if self.on_air != session {
            self.steady_since = None;
        }
        if (self.on_air, self.ordered) != (session, hand_over) {
            (self.on_air, self.ordered, self.hand_over) = (session, hand_over, hand_over);
        }
    }

    /// Decides the slot that starts at `t`, nanoseconds.
    pub fn pick(&mut self, t: i64, candidates: &[Candidate]) -> Shot {
        let find = |id: Option<SessionId>| candidates.iter().find(|candidate| Some(candidate.session) == id);
        let (on_air, shown) = (find(self.on_air), find(self.shown));
        let ready = on_air.filter(|candidate| candidate.has_content);
        self.steady_since = if ready.is_some() { self.steady_since.or(Some(t)) } else { None };
        let stays = shown.is_some_and(|shown| shown.lasts) && !(ready.is_some() && self.takes_over(t, candidates));
        if !stays {
            let cover = || {
                let able =
                    candidates.iter().filter(|c| c.has_content && c.on_programme && Some(c.session) != self.shown);
                // Of two of one slot the later is the one that goes on.
                able.min_by_key(|c| (c.slot, std::cmp::Reverse(c.session)))
            };
            let first = || candidates.iter().find(|c| c.has_content && self.on_air.is_none() && self.shown.is_none());
            let next = ready.or_else(|| cover().filter(|_| self.on_air.is_some())).or_else(first);
            if let Some(next) = next {
                self.covering = self.on_air.is_some_and(|on_air| on_air != next.session);
            }
            self.shown = next.map(|candidate| candidate.session).or(self.shown);
        }
        self.covering &= self.on_air.is_some() && self.shown != self.on_air;
        if self.shown == self.on_air {
            // The order is carried out; a cover from now on is one.
            self.hand_over = HandOver::WhenOut;
        }
        // Nothing is due yet: what will be is shown early, rather than black.
        let early = || on_air.or(candidates.first()).map(|candidate| candidate.session);
        Shot { session: self.shown.or_else(early), covers: self.covering }
    }

    /// Whether the input on air, which has content, takes over from one that has, too.
    fn takes_over(&self, t: i64, candidates: &[Candidate]) -> bool {
        if self.shown == self.on_air {
            return false;
        }
        let on_programme = candidates.iter().any(|c| Some(c.session) == self.on_air && c.on_programme);
        let steady = self.steady_since.map_or(0, |since| t - since);
        match self.hand_over {
            HandOver::AtOnce => steady > 0,
            HandOver::WhenOut => self.covering && steady >= if on_programme { COVER } else { STRANGER },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: i64 = 33_333_334;
    const PRIMARY: SessionId = SessionId(1);
    const BACKUP: SessionId = SessionId(2);

    fn candidate(session: SessionId, slot: Slot, has_content: bool, on_programme: bool) -> Candidate {
        Candidate { session, slot, has_content, lasts: has_content, on_programme }
    }

    struct Stage {
        director: Director,
        n: i64,
    }

    impl Stage {
        fn new(mode: Mode) -> Self {
            let mut director = Director::new(mode);
            director.on_air(Some(PRIMARY), HandOver::WhenOut);
            Self { director, n: 0 }
        }

        /// Decides `slots` slots in which primary and backup have content or not; returns what the last showed.
        fn run(&mut self, slots: i64, primary: bool, backup: bool, locked: bool) -> Shot {
            let candidates =
                [candidate(PRIMARY, Slot::Primary, primary, true), candidate(BACKUP, Slot::Backup, backup, locked)];
            let mut shot = Shot { session: None, covers: false };
            for _ in 0..slots {
                self.n += 1;
                shot = self.director.pick(self.n * SLOT, &candidates);
            }
            shot
        }
    }

    fn shot(session: SessionId, covers: bool) -> Shot {
        Shot { session: Some(session), covers }
    }

    #[test]
    fn what_has_content_stays() {
        let mut stage = Stage::new(Mode::Hitless);
        assert_eq!(stage.run(100, true, true, true), shot(PRIMARY, false));
    }

    #[test]
    fn a_locked_standby_covers_in_the_very_slot_and_gives_back_after_steady_content() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.run(10, true, true, true);
        assert_eq!(stage.run(1, false, true, true), shot(BACKUP, true));
        assert_eq!(stage.run(60, true, true, true), shot(BACKUP, true));
        assert_eq!(stage.run(1, true, true, true), shot(PRIMARY, false));
    }

    #[test]
    fn every_underrun_begins_the_steadiness_anew() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.run(10, true, true, true);
        stage.run(1, false, true, true);
        for _ in 0..10 {
            assert_eq!(stage.run(59, true, true, true), shot(BACKUP, true));
            stage.run(1, false, true, true);
        }
    }

    #[test]
    fn an_unlocked_standby_waits_for_the_rule() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.run(10, true, true, false);
        assert_eq!(stage.run(50, false, true, false), shot(PRIMARY, false));
        stage.director.on_air(Some(BACKUP), HandOver::WhenOut);
        assert_eq!(stage.run(1, false, true, false), shot(BACKUP, false));
    }

    #[test]
    fn the_lost_input_is_played_out_first() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.run(10, true, true, false);
        stage.director.on_air(Some(BACKUP), HandOver::WhenOut);
        assert_eq!(stage.run(15, true, true, false), shot(PRIMARY, false));
        assert_eq!(stage.run(1, false, true, false), shot(BACKUP, false));
    }

    #[test]
    fn a_planned_return_takes_over_once_it_has_content_in_two_slots() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.director.on_air(Some(BACKUP), HandOver::WhenOut);
        stage.run(10, false, true, true);
        stage.director.on_air(Some(PRIMARY), HandOver::AtOnce);
        assert_eq!(stage.run(5, false, true, true), shot(BACKUP, false));
        assert_eq!(stage.run(1, true, true, true), shot(BACKUP, false));
        assert_eq!(stage.run(1, true, true, true), shot(PRIMARY, false));
    }

    #[test]
    fn a_cover_after_a_planned_return_lasts_as_long_as_any() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.director.on_air(Some(PRIMARY), HandOver::AtOnce);
        stage.run(10, true, true, true);
        stage.run(1, false, true, true);
        for _ in 0..60 {
            stage.director.on_air(Some(PRIMARY), HandOver::AtOnce);
            assert_eq!(stage.run(1, true, true, true), shot(BACKUP, true));
        }
        assert_eq!(stage.run(1, true, true, true), shot(PRIMARY, false));
    }

    #[test]
    fn a_covered_encoder_that_came_back_waits_until_it_is_in_step() {
        let mut director = Director::new(Mode::Hitless);
        director.on_air(Some(PRIMARY), HandOver::WhenOut);
        let again = SessionId(3);
        let backup = candidate(BACKUP, Slot::Backup, true, true);
        director.pick(0, &[candidate(PRIMARY, Slot::Primary, true, true), backup]);
        assert_eq!(director.pick(SLOT, &[candidate(PRIMARY, Slot::Primary, false, true), backup]), shot(BACKUP, true));
        director.on_air(Some(again), HandOver::WhenOut);
        for n in 2..200 {
            let shown = director.pick(n * SLOT, &[backup, candidate(again, Slot::Primary, true, false)]);
            assert_eq!(shown, shot(BACKUP, true));
        }
        let shown = director.pick(200 * SLOT, &[backup, candidate(again, Slot::Primary, true, true)]);
        assert_eq!(shown, shot(again, false));
    }

    #[test]
    fn a_cover_that_runs_out_gives_back_at_once() {
        let mut stage = Stage::new(Mode::Freeze);
        stage.run(10, true, true, true);
        stage.run(1, false, true, true);
        assert_eq!(stage.run(1, true, false, true), shot(PRIMARY, false));
    }

    #[test]
    fn the_first_input_with_content_is_shown_before_anything_is_on_air() {
        let mut stage = Stage::new(Mode::Freeze);
        stage.director.on_air(None, HandOver::WhenOut);
        assert_eq!(stage.run(1, false, false, false), shot(PRIMARY, false));
        assert_eq!(stage.run(1, false, true, false), shot(BACKUP, false));
        stage.director.on_air(Some(PRIMARY), HandOver::WhenOut);
        assert_eq!(stage.run(1, true, false, false), shot(PRIMARY, false));
    }

    #[test]
    fn nothing_on_air_plays_out_and_holds() {
        let mut stage = Stage::new(Mode::Hitless);
        stage.run(10, true, false, false);
        stage.director.on_air(None, HandOver::WhenOut);
        assert_eq!(stage.run(30, true, false, false), shot(PRIMARY, false));
        assert_eq!(stage.run(30, false, true, true), shot(PRIMARY, false));
    }

    #[test]
    fn a_reconnected_encoder_goes_on_where_its_earlier_session_ends() {
        let mut director = Director::new(Mode::Hitless);
        director.on_air(Some(PRIMARY), HandOver::WhenOut);
        let again = SessionId(3);
        let candidate = |session, has_content| candidate(session, Slot::Primary, has_content, false);
        director.pick(0, &[candidate(PRIMARY, true)]);
        director.on_air(Some(again), HandOver::WhenOut);
        for n in 1..200 {
            assert_eq!(
                director.pick(n * SLOT, &[candidate(PRIMARY, true), candidate(again, true)]),
                shot(PRIMARY, false)
            );
        }
        assert_eq!(director.pick(200 * SLOT, &[candidate(PRIMARY, false), candidate(again, true)]), shot(again, false));
    }
}
