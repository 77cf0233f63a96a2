//! The failover rule for two slots: which one is live, which one is on air, and when a broadcast begins and ends.
//!
//! *Media* is a video access unit that arrived **and** whose input is decoding (`failover/input.rs`). A slot is *live* while its
//! latest media is younger than `stall` (3 s): at 2.999 s it is, at 3.000 s it is not. Then, in `failover/law.rs`:
//!
//! 1. Primary has priority: where nothing is on air, the slot with media goes on air, primary if both have it. At a broadcast's begin it need
//!    not be first: primary that shows its first media within `stall` of the backup's takes over at once.
//! 2. Primary on air and lost: backup goes on air if it is live. If not, the last picture is held; a slot that returns
//!    within `linger` (60 s, counted from the last media) continues the broadcast by rule 1, else it ends.
//! 3. Backup on air and primary media seen: a timer starts; a gap of `stall` or a reconnect restarts it. At `hold`
//!    (60 s) of steady media primary is on air again.
//! 4. Backup on air and lost: primary goes on air at once if it is live, whatever the timer of rule 3 says. If not, the
//!    last picture is held.
//!
//! An operator's choice comes before these, as soon as its input shows pictures; it ends when its slot is lost or it is taken back.
//!
//! What the viewer sees is the worker's to decide, frame by frame. Only in mode `hitless` does what it tells of *content* count here: each
//! underrun restarts the hold, which is `lock_patience` (20 s) longer while the pair is not locked. The mode is fixed while a broadcast runs.
//!
//! Contract: every fact goes to [`Rule::on_fact`] with the time it became true; [`Rule::on_timeout`] is called at
//! [`Rule::deadline`]. Nothing ticks: a call may come late, twice or not at all before the next fact, for each step
//! first decides all that was due before, at the instant it was due. At one and the same instant, what is due comes
//! before what is told. A [`State`] is all that a rule knows: a fresh rule goes on from it where a crashed one stopped, and decides as if
//! nothing had happened once it has been told what it missed.

mod fact;
mod input;
mod law;
mod policy;

use std::time::{Duration, Instant};

use weir_media::id::{SessionId, Slot};

pub use self::fact::{Action, Decision, Fact, Timer};
use self::input::Input;
pub use self::input::{InputState, Loss};
pub use self::law::Law;
pub use self::policy::Policy;
pub use weir_media::failover::{Mode, Standby};

/// How long before a planned return a primary of unknown GOP is decoded: what encoders are commonly set to.
const USUAL_GOP: Duration = Duration::from_secs(2);

/// What the rule knows; plain data, to be shown, and for a fresh rule to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    policy: Policy,
    /// Everything due until here is decided.
    clock: Instant,
    inputs: [Input; 2],
    on_air: Option<Slot>,
    broadcasting: bool,
    /// When the broadcast began, while primary has not been on air in it.
    began: Option<Instant>,
    /// The mode of the running broadcast.
    mode: Mode,
    locked: bool,
    chosen: Option<Slot>,
    /// Which slots are to be decoded, primary first.
    decoded: [bool; 2],
    /// Each slot's publisher and how its input is doing, as it was told.
    told: [(Option<SessionId>, InputState); 2],
    /// When each timer fires, by [`Timer`].
    timers: [Option<Instant>; 2],
}

impl State {
    /// Neither a session nor a broadcast.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            clock: now,
            inputs: Default::default(),
            on_air: None,
            broadcasting: false,
            began: None,
            mode: policy.mode,
            locked: false,
            chosen: None,
            decoded: [false; 2],
            told: [(None, InputState::Absent); 2],
            timers: [None; 2],
        }
    }

    /// The slot on air by the law; `None` holds the last picture, or there is no broadcast.
    pub fn on_air(&self) -> Option<Slot> {
        self.on_air
    }

    /// The operator's choice, until its slot is lost or it is taken back.
    pub fn chosen(&self) -> Option<Slot> {
        self.chosen
    }

    /// The slot had media within the stall: `live`, `backup_live`.
    pub fn is_live(&self, slot: Slot) -> bool {
        self.input(slot).live
    }

    /// A slot had media within the stall.
    pub fn is_any_live(&self) -> bool {
        self.inputs.iter().any(|input| input.live)
    }

    /// How the slot's input is doing.
    pub fn input_state(&self, slot: Slot) -> InputState {
        self.told[slot as usize].1
    }

    /// The slot's input is to be decoded although nothing of it may be on air.
    pub fn is_prepared(&self, slot: Slot) -> bool {
        self.decoded[slot as usize]
    }

    /// A broadcast is running.
    pub fn is_broadcasting(&self) -> bool {
        self.broadcasting
    }

    /// When `timer` fires, while it runs.
    pub fn timer(&self, timer: Timer) -> Option<Instant> {
        self.timers[timer as usize]
    }

    /// The mode of the running broadcast, else of the next one.
    pub fn mode(&self) -> Mode {
        if self.broadcasting { self.mode } else { self.policy.mode }
    }

    fn input(&self, slot: Slot) -> &Input {
        &self.inputs[slot as usize]
    }
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Rule {
    state: State,
}

impl Rule {
    /// A rule that goes on from `state`. What became true since then has to be told, each fact with its own times, before anything else.
    pub fn resume(state: State) -> Self {
        Self { state }
    }

    /// `fact` became true at `at`. Decides all that is due at `now`, in order.
    pub fn on_fact(&mut self, fact: Fact, at: Instant, now: Instant) -> Vec<Decision> {
        let (at, mut decisions) = (at.min(now), vec![]);
        self.advance(at, &mut decisions);
        if let Fact::Chosen(Some(slot)) = fact
            && !self.is_live(slot)
        {
            self.decide(Action::ChoiceRefused(slot), &mut decisions);
        }
        self.note(fact, at);
        self.settle(&mut decisions);
        self.advance(now, &mut decisions);
        decisions
    }

    /// Decides all that is due at `now`, in order.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Decision> {
        let mut decisions = vec![];
        self.advance(now, &mut decisions);
        self.settle(&mut decisions);
        decisions
    }

    /// When [`Self::on_timeout`] is next due: later than all that was decided. `None` while only a fact can change something.
    pub fn deadline(&self) -> Option<Instant> {
        let stall = self.state.policy.stall;
        let stalls =
            self.state.inputs.iter().flat_map(|input| [input.lost_at(stall), input.silent_at(stall)]).flatten();
        let timers = self.state.timers.into_iter().flatten();
        stalls.chain(timers).chain(self.prepare_at()).filter(|due| *due > self.state.clock).min()
    }

    /// What is true as of the latest decision, and what a fresh rule needs to go on from here.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn input(&self, slot: Slot) -> &Input {
        self.state.input(slot)
    }

    fn is_live(&self, slot: Slot) -> bool {
        self.state.is_live(slot)
    }

    /// Goes from deadline to deadline up to `to`, deciding at each.
    fn advance(&mut self, to: Instant, decisions: &mut Vec<Decision>) {
        while let Some(due) = self.deadline().filter(|due| *due <= to) {
            self.state.clock = due;
            self.settle(decisions);
        }
        self.state.clock = self.state.clock.max(to);
    }

    /// Takes in what a fact says, without deciding anything.
    fn note(&mut self, fact: Fact, at: Instant) {
        match fact {
            Fact::Configured(policy) => self.state.policy = policy,
            // A lock is one of two sessions; the worker tells when the new pair has one.
            Fact::Locked(locked) => self.state.locked = locked,
            Fact::Admitted(..) => self.state.locked = false,
            Fact::Chosen(slot) => self.state.chosen = slot.filter(|&slot| self.is_live(slot)),
            _ => {}
        }
        for slot in [Slot::Primary, Slot::Backup] {
            self.state.inputs[slot as usize].note(slot, fact, at, self.state.clock, &self.state.policy);
        }
    }

    /// Brings everything in line with what is known, as of `clock`.
    fn settle(&mut self, decisions: &mut Vec<Decision>) {
        self.fire_timers(decisions);
        self.tell_live(decisions);
        self.tell_inputs(decisions);
        self.apply_law(decisions);
        self.tell_decoding(decisions);
        self.end_broadcast(decisions);
        self.arm_timers(decisions);
    }

    fn decide(&self, action: Action, decisions: &mut Vec<Decision>) {
        decisions.push(Decision { at: self.state.clock, action });
    }

    fn fire_timers(&mut self, decisions: &mut Vec<Decision>) {
        for timer in Timer::ALL {
            let due = self.state.timers[timer as usize].take_if(|due| *due <= self.state.clock);
            if due.is_some() {
                self.decide(Action::Fired(timer), decisions);
            }
        }
    }

    /// Live edges, and the broadcast that begins with the first.
    fn tell_live(&mut self, decisions: &mut Vec<Decision>) {
        for slot in [Slot::Primary, Slot::Backup] {
            let edge = self.state.inputs[slot as usize].settle(self.state.clock, self.state.policy.stall);
            match edge {
                Some(Ok(())) => {
                    if !self.state.broadcasting {
                        (self.state.broadcasting, self.state.mode) = (true, self.state.policy.mode);
                        self.state.began = Some(self.state.clock);
                        self.decide(Action::Begin, decisions);
                    }
                    self.decide(Action::Live(slot), decisions);
                }
                Some(Err(loss)) => {
                    self.state.chosen.take_if(|chosen| *chosen == slot);
                    self.decide(Action::Lost(slot, loss), decisions);
                }
                None => {}
            }
        }
    }

    fn tell_inputs(&mut self, decisions: &mut Vec<Decision>) {
        for slot in [Slot::Primary, Slot::Backup] {
            let input = self.input(slot);
            let (session, state) = (input.publisher(), input.state(self.state.clock, self.state.policy.stall));
            if std::mem::replace(&mut self.state.told[slot as usize], (session, state)) != (session, state) {
                self.decide(Action::Input(slot, session, state), decisions);
            }
        }
    }

    fn apply_law(&mut self, decisions: &mut Vec<Decision>) {
        let situation = law::Situation {
            on_air: self.state.on_air,
            primary_live: self.is_live(Slot::Primary),
            backup_live: self.is_live(Slot::Backup),
            opening: self.is_opening(),
            hold_over: self.hold_over(),
            chosen: self.state.chosen.filter(|&slot| self.input(slot).shows_pictures()),
        };
        if let Some((slot, law)) = law::decide(&situation) {
            self.state.on_air = slot;
            self.state.began.take_if(|_| slot == Some(Slot::Primary));
            self.decide(Action::OnAir(slot, law), decisions);
        }
    }

    /// The broadcast is so young that primary may still come first, and nobody has chosen.
    fn is_opening(&self) -> bool {
        let young = |began| self.state.clock < began + self.state.policy.stall;
        self.state.chosen.is_none() && self.state.began.is_some_and(young)
    }

    /// Rule 3 can be carried out: primary has been steady for long enough, and pictures of it are there to be shown.
    fn hold_over(&self) -> bool {
        self.return_at().is_some_and(|due| due <= self.state.clock) && self.input(Slot::Primary).shows_pictures()
    }

    /// When primary's hold is over, if nothing happens to it before.
    fn return_at(&self) -> Option<Instant> {
        let waits = self.state.on_air == Some(Slot::Backup) && self.state.chosen.is_none();
        let steady =
            self.input(Slot::Primary).steady_since(self.state.mode(), self.state.policy.standby).filter(|_| waits)?;
        let unlocked = self.state.mode() == Mode::Hitless && !self.state.locked;
        Some(steady + self.state.policy.hold + if unlocked { self.state.policy.lock_patience } else { Duration::ZERO })
    }

    /// When a warm primary has to be decoded for its return: one of its GOPs earlier.
    fn prepare_at(&self) -> Option<Instant> {
        let ahead = self.input(Slot::Primary).gop().unwrap_or(USUAL_GOP);
        let due = self.return_at().filter(|_| self.state.policy.standby == Standby::Warm)?;
        Some(due.checked_sub(ahead).unwrap_or(due))
    }

    fn tell_decoding(&mut self, decisions: &mut Vec<Decision>) {
        for slot in [Slot::Primary, Slot::Backup] {
            let wanted = self.wants_decoding(slot);
            if self.state.decoded[slot as usize] != wanted {
                self.state.decoded[slot as usize] = wanted;
                self.decide(if wanted { Action::Prepare(slot) } else { Action::Rest(slot) }, decisions);
            }
        }
    }

    /// What is on air is decoded, and all else in hot standby. A warm slot is decoded ahead of its return, when an operator chose it, and
    /// while only a picture can make it media again.
    fn wants_decoding(&self, slot: Slot) -> bool {
        let (hot, input) = (self.state.policy.standby == Standby::Hot, self.input(slot));
        let returns = slot == Slot::Primary && self.prepare_at().is_some_and(|due| due <= self.state.clock);
        let needed = self.state.on_air == Some(slot) || self.state.chosen == Some(slot) || returns;
        needed || input.is_open() && (hot || !input.is_trusted())
    }

    fn end_broadcast(&mut self, decisions: &mut Vec<Decision>) {
        if self.linger_end().is_some_and(|end| end <= self.state.clock) {
            (self.state.broadcasting, self.state.began) = (false, None);
            self.decide(Action::End, decisions);
        }
    }

    /// When the broadcast ends if no media comes. It waits while a slot is on air, so never ends before the stall.
    fn linger_end(&self) -> Option<Instant> {
        let waits = self.state.broadcasting && self.state.on_air.is_none();
        let last = self.state.inputs.iter().filter_map(Input::last_media).max();
        last.filter(|_| waits).map(|last| last + self.state.policy.linger)
    }

    fn arm_timers(&mut self, decisions: &mut Vec<Decision>) {
        for (timer, due) in [(Timer::Hold, self.return_at()), (Timer::Linger, self.linger_end())] {
            let due = due.filter(|due| *due > self.state.clock);
            let before = std::mem::replace(&mut self.state.timers[timer as usize], due);
            if before == due {
                continue;
            }
            if before.is_some() {
                self.decide(Action::Cancelled(timer), decisions);
            }
            if let Some(due) = due {
                self.decide(Action::Armed(timer, due), decisions);
            }
        }
    }
}
