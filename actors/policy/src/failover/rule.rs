//! The failover rule for two slots: which one is on air, which one is shown, and when a broadcast begins and ends.
//!
//! *Media* is a video access unit that arrived **and** whose input is decoding (`rule/input.rs`). A slot is *live* while its
//! latest media is younger than `stall` (3 s): at 2.999 s it is, at 3.000 s it is not. Then, in `rule/law.rs`:
//!
//! 1. Primary has priority: where nothing is on air, the slot with media goes on air, primary if both have it.
//! 2. Primary on air and lost: backup goes on air if it is live. If not, the last picture is held; a slot that returns
//!    within `linger` (60 s, counted from the last media) continues the broadcast by rule 1, else it ends.
//! 3. Backup on air and primary media seen: a timer starts; a gap of `stall` or a reconnect restarts it. At `hold`
//!    (60 s) of steady media primary is on air again.
//! 4. Backup on air and lost: primary goes on air at once if it is live, whatever the timer of rule 3 says. If not, the
//!    last picture is held.
//!
//! An operator's choice comes before these; it ends when its slot is lost or it is taken back.
//!
//! The *mode* says what the viewer sees meanwhile, and is fixed while a broadcast runs:
//!
//! - `freeze`: the last picture is held until the law switches. Where both programmes are aligned (*locked*) and both
//!   are decoded, the other slot *covers* from the moment the slot on air has no content until that slot has had
//!   content again for `cover` (2 s) (`rule/cover.rs`). A cover never changes what is on air, only what is shown.
//! - `hitless`: the worker picks what is shown frame by frame, behind a delay. The rule is the same, but content counts
//!   towards the hold: each underrun restarts it, and it is `lock_patience` (20 s) longer while the pair is not locked.
//!
//! Contract: every fact goes to [`Rule::on_fact`] with the time it became true; [`Rule::on_timeout`] is called at
//! [`Rule::deadline`]. Nothing ticks: a call may come late, twice or not at all before the next fact, for each step
//! first decides all that was due before, at the instant it was due. At one and the same instant, what is due comes
//! before what is told.

mod cover;
mod fact;
mod input;
mod law;
mod policy;

use std::time::{Duration, Instant};

use weir_media::id::Slot;

pub use self::cover::CoverEnd;
pub use self::fact::{Action, Decision, Fact, Timer};
use self::input::Input;
pub use self::input::{InputState, Loss};
pub use self::law::Law;
pub use self::policy::{Mode, Policy, Standby};

/// How long before a planned return a primary of unknown GOP is decoded: what encoders are commonly set to.
const USUAL_GOP: Duration = Duration::from_secs(2);

/// What the rule knows; plain data, to be shown, and for a fresh rule to go on where a crashed one stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    inputs: [Input; 2],
    on_air: Option<Slot>,
    /// The slot that is shown instead of the one on air.
    cover: Option<Slot>,
    broadcasting: bool,
    /// The mode of the running broadcast.
    mode: Mode,
    locked: bool,
    chosen: Option<Slot>,
    /// Which slots are to be decoded, primary first.
    decoded: [bool; 2],
    /// When each timer fires, by [`Timer`].
    timers: [Option<Instant>; 3],
}

impl State {
    /// The slot on air by the law; `None` holds the last picture, or there is no broadcast.
    pub fn on_air(&self) -> Option<Slot> {
        self.on_air
    }

    /// The slot whose pictures the output is to carry: the one that covers, else the one on air. In mode `hitless` the
    /// worker decides that by itself and reports it.
    pub fn shown(&self) -> Option<Slot> {
        self.cover.or(self.on_air)
    }

    /// The slot had media within the stall: `live`, `backup_live`.
    pub fn is_live(&self, slot: Slot) -> bool {
        self.input(slot).live
    }

    /// How the slot's input is doing, for operators.
    pub fn input_state(&self, slot: Slot, now: Instant, stall: Duration) -> InputState {
        self.input(slot).state(now, stall)
    }

    /// A broadcast is running.
    pub fn is_broadcasting(&self) -> bool {
        self.broadcasting
    }

    /// When `timer` fires, while it runs.
    pub fn timer(&self, timer: Timer) -> Option<Instant> {
        self.timers[timer as usize]
    }

    fn input(&self, slot: Slot) -> &Input {
        &self.inputs[slot as usize]
    }
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Rule {
    policy: Policy,
    state: State,
    /// Everything due until here is decided.
    clock: Instant,
}

impl Rule {
    /// A rule that knows of no session and no broadcast.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self { policy, state: State::default(), clock: now }
    }

    /// A rule that goes on from `state`, to which `facts` are added: what became true after `state` was taken. Decides
    /// nothing before the next call, which should be [`Self::on_timeout`].
    pub fn resume(policy: Policy, state: State, facts: &[(Fact, Instant)], now: Instant) -> Self {
        let mut rule = Self { policy, state, clock: now };
        facts.iter().for_each(|&(fact, at)| rule.note(fact, at.min(now)));
        rule
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
        let stalls = self.state.inputs.iter().filter_map(|input| input.lost_at(self.policy.stall));
        let timers = self.state.timers.into_iter().flatten();
        stalls.chain(timers).chain(self.prepare_at()).filter(|due| *due > self.clock).min()
    }

    /// What is true as of the latest decision, and what a fresh rule needs to go on from here.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The mode of the running broadcast, else of the next one.
    pub fn mode(&self) -> Mode {
        if self.state.broadcasting { self.state.mode } else { self.policy.mode }
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
            self.clock = due;
            self.settle(decisions);
        }
        self.clock = self.clock.max(to);
    }

    /// Takes in what a fact says, without deciding anything.
    fn note(&mut self, fact: Fact, at: Instant) {
        match fact {
            Fact::Configured(policy) => self.policy = policy,
            // A lock is one of two sessions; the worker tells when the new pair has one.
            Fact::Locked(locked) => self.state.locked = locked,
            Fact::Admitted(..) => self.state.locked = false,
            Fact::Chosen(slot) => self.state.chosen = slot.filter(|&slot| self.is_live(slot)),
            _ => {}
        }
        for slot in [Slot::Primary, Slot::Backup] {
            self.state.inputs[slot as usize].note(slot, fact, at, self.clock, &self.policy);
        }
    }

    /// Brings everything in line with what is known, as of `clock`.
    fn settle(&mut self, decisions: &mut Vec<Decision>) {
        self.fire_timers(decisions);
        self.tell_live(decisions);
        self.apply_law(decisions);
        self.apply_cover(decisions);
        self.tell_decoding(decisions);
        self.end_broadcast(decisions);
        self.arm_timers(decisions);
    }

    fn decide(&self, action: Action, decisions: &mut Vec<Decision>) {
        decisions.push(Decision { at: self.clock, action });
    }

    fn fire_timers(&mut self, decisions: &mut Vec<Decision>) {
        for timer in Timer::ALL {
            let due = self.state.timers[timer as usize].take_if(|due| *due <= self.clock);
            if due.is_some() {
                self.decide(Action::Fired(timer), decisions);
            }
        }
    }

    /// Live edges, and the broadcast that begins with the first.
    fn tell_live(&mut self, decisions: &mut Vec<Decision>) {
        for slot in [Slot::Primary, Slot::Backup] {
            let edge = self.state.inputs[slot as usize].settle(self.clock, self.policy.stall);
            match edge {
                Some(Ok(())) => {
                    if !self.state.broadcasting {
                        (self.state.broadcasting, self.state.mode) = (true, self.policy.mode);
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

    fn apply_law(&mut self, decisions: &mut Vec<Decision>) {
        let situation = law::Situation {
            on_air: self.state.on_air,
            primary_live: self.is_live(Slot::Primary),
            backup_live: self.is_live(Slot::Backup),
            hold_over: self.hold_over(),
            chosen: self.state.chosen,
        };
        if let Some((slot, law)) = law::decide(&situation) {
            self.state.on_air = slot;
            self.decide(Action::OnAir(slot, law), decisions);
        }
    }

    /// Rule 3 can be carried out: primary has been steady for long enough, and pictures of it are there to be shown.
    fn hold_over(&self) -> bool {
        self.return_at().is_some_and(|due| due <= self.clock) && self.input(Slot::Primary).shows_pictures()
    }

    /// When primary's hold is over, if nothing happens to it before.
    fn return_at(&self) -> Option<Instant> {
        let waits = self.state.on_air == Some(Slot::Backup) && self.state.chosen.is_none();
        let steady = self.input(Slot::Primary).steady_since(self.mode()).filter(|_| waits)?;
        let unlocked = self.mode() == Mode::Hitless && !self.state.locked;
        Some(steady + self.policy.hold + if unlocked { self.policy.lock_patience } else { Duration::ZERO })
    }

    /// When a warm primary has to be decoded for its return: one of its GOPs earlier.
    fn prepare_at(&self) -> Option<Instant> {
        let ahead = self.input(Slot::Primary).gop().unwrap_or(USUAL_GOP);
        let due = self.return_at().filter(|_| self.policy.standby == Standby::Warm)?;
        Some(due.checked_sub(ahead).unwrap_or(due))
    }

    fn apply_cover(&mut self, decisions: &mut Vec<Decision>) {
        if let Some(by) = self.state.cover {
            let (covering, covered) = (self.input(by), self.input(other(by)));
            if let Some(end) =
                cover::ends(self.state.on_air == Some(other(by)), covering, self.cover_end(covered), self.clock)
            {
                self.state.cover = None;
                self.decide(Action::CoverEnded(by, end), decisions);
            }
        }
        let may_cover = self.mode() == Mode::Freeze && self.policy.standby == Standby::Hot && self.state.locked;
        if let (None, Some(on_air), true) = (self.state.cover, self.state.on_air, may_cover)
            && cover::begins(self.input(on_air), self.input(other(on_air)))
        {
            self.state.cover = Some(other(on_air));
            self.decide(Action::Cover(other(on_air)), decisions);
        }
    }

    /// When a covered slot is steady again.
    fn cover_end(&self, covered: &Input) -> Option<Instant> {
        covered.content_since().map(|since| since + self.policy.cover)
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

    /// What is shown is decoded, and all else in hot standby. A warm slot is decoded ahead of its return, and while only
    /// a picture can make it media again.
    fn wants_decoding(&self, slot: Slot) -> bool {
        let (hot, input) = (self.policy.standby == Standby::Hot, self.input(slot));
        let returns = slot == Slot::Primary && self.prepare_at().is_some_and(|due| due <= self.clock);
        self.state.on_air == Some(slot) || returns || input.is_open() && (hot || !input.is_trusted())
    }

    fn end_broadcast(&mut self, decisions: &mut Vec<Decision>) {
        if self.linger_end().is_some_and(|end| end <= self.clock) {
            self.state.broadcasting = false;
            self.decide(Action::End, decisions);
        }
    }

    /// When the broadcast ends if no media comes. It waits while a slot is on air, so never ends before the stall.
    fn linger_end(&self) -> Option<Instant> {
        let waits = self.state.broadcasting && self.state.on_air.is_none();
        let last = self.state.inputs.iter().filter_map(Input::last_media).max();
        last.filter(|_| waits).map(|last| last + self.policy.linger)
    }

    fn arm_timers(&mut self, decisions: &mut Vec<Decision>) {
        let covered = self.state.cover.and_then(|by| self.cover_end(self.input(other(by))));
        for (timer, due) in
            [(Timer::Hold, self.return_at()), (Timer::Linger, self.linger_end()), (Timer::Cover, covered)]
        {
            let due = due.filter(|due| *due > self.clock);
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

fn other(slot: Slot) -> Slot {
    match slot {
        Slot::Primary => Slot::Backup,
        Slot::Backup => Slot::Primary,
    }
}
