//! What the doctor says of a stream's publishers: kept, compared, and noted when it changes.

use weir_media::id::{SessionId, Slot};
use weir_policy::doctor::{Checkup, Finding};

use super::StreamSupervisor;
use crate::clock;
use crate::health::HealthSample;
use crate::journal::{FindingState, JournalEvent};

impl StreamSupervisor {
    pub(super) fn on_checkup(&mut self, id: SessionId, checkup: Box<Checkup>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let slot = session.slot;
        let before = session.checkup.replace(checkup);
        let before = before.as_ref().map_or(&[][..], |checkup| &checkup.findings);
        let after = session.checkup.as_ref().map_or(&[][..], |checkup| &checkup.findings);
        let edges = edges(before, after);
        self.note_edges(slot, id, edges);
        self.count_health(id);
        self.compare();
        self.show_preflight(id);
    }

    /// What is wrong with a slot's publisher. What both do differently is the backup's: it is the one to be made like the other.
    pub(super) fn findings(&self, slot: Slot) -> Vec<Finding> {
        let own = self.checkup_of(slot).map(|checkup| checkup.findings.clone()).unwrap_or_default();
        let pair = self.pair.finding().filter(|_| slot == Slot::Backup && self.checkup_of(slot).is_some());
        own.into_iter().chain(pair).collect()
    }

    /// Adds what came to the stream's health, if it is of the input on air.
    fn count_health(&mut self, id: SessionId) {
        let on_air = self.air.state.on_air().and_then(|slot| self.sending[slot as usize]);
        let checkup = self.sessions.get(&id).and_then(|session| session.checkup.as_deref());
        if let Some(checkup) = checkup.filter(|_| on_air == Some(id)) {
            let over = self.tally.add(self.id, checkup, clock::wall());
            self.hand_on_health(over);
        }
    }

    /// An input is gone: what was counted is handed on.
    pub(super) fn end_health(&mut self) {
        let rest = self.tally.end();
        self.hand_on_health(rest);
    }

    fn hand_on_health(&self, sample: Option<HealthSample>) {
        if let (Some(health), Some(sample)) = (&self.shared.health, sample) {
            health.record(sample);
        }
    }

    fn compare(&mut self) {
        let mut pair = std::mem::take(&mut self.pair);
        let before = pair.finding();
        let measured = |slot| self.checkup_of(slot).map(|checkup| &checkup.measured);
        let after = pair.look(measured(Slot::Primary).zip(measured(Slot::Backup)), clock::now());
        self.pair = pair;
        let holder = self.admission.lock().holder(Slot::Backup);
        if let Some(session) = holder {
            let edges = edges(before.as_slice(), after.as_slice());
            self.note_edges(Slot::Backup, session, edges);
        }
    }

    fn checkup_of(&self, slot: Slot) -> Option<&Checkup> {
        let holder = self.admission.lock().holder(slot);
        holder.and_then(|id| self.sessions.get(&id)).and_then(|session| session.checkup.as_deref())
    }

    fn note_edges(&self, slot: Slot, session: SessionId, edges: Vec<(Finding, FindingState)>) {
        for (Finding { code, text, .. }, state) in edges {
            let name = code.name();
            let text = match state {
                FindingState::Raised => format!("{slot} session {session}: {name}: {text}"),
                FindingState::Cleared => format!("{slot} session {session}: {name} is over"),
            };
            self.journal.record(JournalEvent::Doctor { slot, session, code, state }, text);
        }
    }
}

impl StreamSupervisor {
    /// Writes down how a session in a preflight is doing.
    pub(super) fn show_preflight(&self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id).filter(|session| session.preflight) {
            let own = session.checkup.as_ref().map(|checkup| checkup.findings.clone()).unwrap_or_default();
            self.preflight.seen(session.detail(None, clock::now()), own.into_iter().chain(self.pair.finding()));
        }
    }
}

/// What is new, and what is gone.
fn edges(before: &[Finding], after: &[Finding]) -> Vec<(Finding, FindingState)> {
    let lacks = |all: &[Finding], one: &Finding| !all.iter().any(|other| other.code == one.code);
    let raised = after.iter().filter(|finding| lacks(before, finding)).map(|new| (new.clone(), FindingState::Raised));
    let cleared = before.iter().filter(|finding| lacks(after, finding)).map(|old| (old.clone(), FindingState::Cleared));
    raised.chain(cleared).collect()
}
