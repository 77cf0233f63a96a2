//! Carrying out what the failover rule decided, and writing down why.

use std::time::Instant;

use weir_media::failover::{HandOver, Standby};
use weir_media::id::Slot;
use weir_policy::failover::{Action, Decision, Fact, Law, Loss, Timer};

use super::StreamSupervisor;
use crate::clock;
use crate::control::NotLive;
use crate::event::EventKind;
use crate::journal::{BroadcastState, JournalEvent, TimerState};
use crate::pipeline::PrepareSlot;

impl StreamSupervisor {
    pub(super) fn on_decision(&mut self, Decision { action, .. }: Decision) {
        match action {
            Action::Begin => self.begin(),
            Action::End => self.end(),
            Action::Input(slot, session, state) => {
                let who = session.map(|session| format!(" session {session}")).unwrap_or_default();
                let text = format!("{slot}{who}: {state}");
                self.journal.record(JournalEvent::Input { slot, session, state }, text);
                // Silent when the last broadcast ended, it sends again.
                if self.is_sent_to() && !self.retiring {
                    self.ensure_pipeline();
                    self.starting();
                }
            }
            Action::Live(slot) => self.live(slot, Ok(())),
            Action::Lost(slot, loss) => self.live(slot, Err(loss)),
            Action::OnAir(slot, law) => self.on_air(slot, law),
            Action::Prepare(slot) => self.prepare(slot, true),
            Action::Rest(slot) => self.prepare(slot, false),
            Action::Armed(timer, due) => self.timer(timer, TimerState::Armed, Some(due)),
            Action::Fired(timer) => self.timer(timer, TimerState::Fired, None),
            Action::Cancelled(timer) => self.timer(timer, TimerState::Cancelled, None),
            Action::ChoiceRefused(slot) => {
                self.journal.note(format!("the operator's choice is dropped: {slot} is not live"));
            }
        }
    }

    fn begin(&mut self) {
        (self.broadcasting, self.ended) = (true, false);
        let what = JournalEvent::Broadcast { state: BroadcastState::Began };
        self.journal.record(what, "broadcast begins: first media");
        self.record(EventKind::BroadcastStarted);
        self.ensure_pipeline();
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.begun = true;
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.broadcasting, false) {
            return;
        }
        self.ended = true;
        let what = JournalEvent::Broadcast { state: BroadcastState::Ended };
        self.journal.record(what, format!("broadcast ends: no media for {:?}", self.shared.config.linger));
        self.finish_pipeline();
        // One that sends and has not decoded yet may begin the next broadcast, which takes a worker that tries.
        if self.is_sent_to() {
            self.ensure_pipeline();
        }
    }

    fn live(&mut self, slot: Slot, edge: Result<(), Loss>) {
        let now = Some(clock::wall());
        let live = edge.is_ok();
        match (slot, live) {
            (Slot::Primary, true) => self.status.started_at_primary = now,
            (Slot::Primary, false) => self.status.finished_at_primary = now,
            (Slot::Backup, true) => self.status.started_at_backup = now,
            (Slot::Backup, false) => {}
        }
        let reason = match edge {
            Ok(()) => "media arrives".to_owned(),
            Err(loss) => format!("{loss}, no media for {:?}", self.shared.config.stall),
        };
        let text = format!("{slot} {}: {reason}", if live { "live" } else { "not live" });
        self.journal.record(JournalEvent::Live { slot, live, reason }, text);
        self.record(EventKind::LiveChanged { slot, live });
        match (slot, live) {
            (Slot::Primary, true) => self.pull_alive(),
            (Slot::Primary, false) => self.pull_lost(),
            (Slot::Backup, _) => {}
        }
    }

    fn on_air(&mut self, slot: Option<Slot>, law: Law) {
        let text = match slot {
            Some(slot) => format!("on air: {slot}, by {law}"),
            None => format!("holding the last picture, by {law}"),
        };
        self.journal.record(JournalEvent::OnAir { slot, rule: law.to_string() }, text);
        self.journal.switched(slot, law);
        self.record(EventKind::OnAirChanged { slot });
        self.put_on_air(match law {
            Law::Media | Law::PrimaryLost | Law::BackupLost => HandOver::WhenOut,
            Law::Opening | Law::HoldOver | Law::Operator => HandOver::AtOnce,
        });
    }

    /// A hot slot is decoded anyway.
    pub(super) fn prepare(&mut self, slot: Slot, decode: bool) {
        if self.failover.standby == Standby::Warm {
            let text = if decode { "to be decoded" } else { "need not be decoded any longer" };
            self.journal.record(JournalEvent::Prepare { slot, decode }, format!("{slot} {text}"));
            self.tell_pipeline(PrepareSlot { slot, decode });
        }
    }

    fn timer(&mut self, timer: Timer, state: TimerState, due: Option<Instant>) {
        let left = due.map(|due| due.saturating_duration_since(clock::now()));
        let text = match (state, left) {
            (TimerState::Armed, Some(left)) => format!("{timer} timer runs for {:.3} s", left.as_secs_f64()),
            (TimerState::Fired, _) => format!("{timer} is over"),
            _ => format!("{timer} timer cancelled"),
        };
        let due = left.map(|left| clock::wall() + left);
        self.journal.record(JournalEvent::Timer { timer, state, due }, text);
    }

    /// The operator wants this slot on air, or leaves it to the rules again.
    pub(super) fn choose(&mut self, slot: Option<Slot>) -> Result<(), NotLive> {
        if let Some(slot) = slot.filter(|slot| !self.air.state.is_live(*slot)) {
            return Err(NotLive(slot));
        }
        self.journal.note(match slot {
            Some(slot) => format!("the operator chooses {slot}"),
            None => "the operator leaves the choice to the rules".to_owned(),
        });
        self.tell_rule(Fact::Chosen(slot));
        Ok(())
    }
}
