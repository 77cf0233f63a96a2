//! What a StreamSupervisor hears of its pipeline: to the rule, to the journal, to the status.

use std::time::Duration;

use weir_media::failover::{AlignmentState, Gap, InputEdge, Shown};
use weir_media::id::{SessionId, Slot};
use weir_media::protocol::Report as WorkerReport;
use weir_policy::failover::Fact;

use super::StreamSupervisor;
use super::broadcast::Starting;
use crate::clock;
use crate::event::EventKind;
use crate::ingest::CloseReason;
use crate::journal::{JournalEvent, WorkerState};
use crate::report::PipelineFact;
use crate::status::AlignmentDetail;

impl StreamSupervisor {
    pub(super) fn on_pipeline(&mut self, number: u64, fact: PipelineFact) {
        let Some(pipeline) = self.pipeline.as_mut().filter(|pipeline| pipeline.number == number) else { return };
        match fact {
            PipelineFact::View(view) => {
                let before = std::mem::replace(&mut pipeline.view, (*view).clone()).report;
                self.on_worker_report(&before, &view.report);
            }
            PipelineFact::Transcoding(transcoding) => {
                pipeline.transcoding = transcoding;
                if transcoding {
                    pipeline.starting = Starting::Over;
                }
                self.set_transcoding(transcoding);
            }
            PipelineFact::Input { session, edge: InputEdge::Decoding(decoding) } => {
                self.tell_rule(Fact::Decoding(session, decoding));
            }
            PipelineFact::Input { session, edge: InputEdge::Content(content) } => {
                self.tell_rule(Fact::Content(session, content));
            }
            PipelineFact::Shown(shown) => {
                pipeline.shown = shown.session;
                self.on_shown(shown);
            }
            PipelineFact::Gap(gap) => self.on_gap(gap),
            PipelineFact::Alignment(alignment) => {
                self.on_alignment(&alignment);
                let AlignmentDetail { state, offset_ms, confidence, drift_ppm } = alignment.into();
                let text = alignment_text(state, offset_ms);
                self.journal.record(JournalEvent::Alignment { state, offset_ms, confidence, drift_ppm }, text);
            }
            PipelineFact::Rejected { session, reason } => {
                self.journal.note(format!("session {session} refused by the worker: {reason}"));
                self.tell_rule(Fact::Undecodable(session));
                self.close_session(session, CloseReason::Unacceptable(reason));
            }
            PipelineFact::WorkerDied { reason } => {
                pipeline.shown = None;
                let what = JournalEvent::Worker { state: WorkerState::Died, reason: Some(reason.clone()) };
                self.journal.record(what, format!("worker died and is replaced: {reason}"));
                self.record(EventKind::PipelineRestarted { reason });
                self.worker_gone();
            }
            PipelineFact::Degraded { reason } => {
                let what = JournalEvent::Worker { state: WorkerState::Degraded, reason: Some(reason.clone()) };
                self.journal.record(what, "worker keeps dying: one try per 10 s until it runs steadily");
                self.record(EventKind::PipelineDegraded { reason });
            }
        }
    }

    /// Pictures that were decoded between two reports of the same worker, and what is known of keyframes. A dead worker's report is empty.
    fn on_worker_report(&mut self, before: &WorkerReport, report: &WorkerReport) {
        let now = clock::now();
        for input in &report.inputs {
            let session = input.session;
            let last = before.inputs.iter().find(|last| last.session == session);
            let grown =
                input.decoded_frames > last.map_or(0, |last| last.decoded_frames) || input.since_decoded_ms == Some(0);
            if let Some(since) = input.since_decoded_ms.filter(|_| grown) {
                let at = now.checked_sub(Duration::from_millis(since.into())).unwrap_or(now);
                self.tell_rule_at(Fact::Decoded(session), at);
            }
            if let Some(gop) = input.gop_ms.filter(|gop| last.and_then(|last| last.gop_ms) != Some(*gop)) {
                self.tell_rule(Fact::Gop(session, Duration::from_millis(gop.into())));
            }
        }
    }

    pub(super) fn slot_of(&self, session: Option<SessionId>) -> Option<Slot> {
        self.slots.get(&session?).copied()
    }

    fn on_shown(&mut self, Shown { session, covers, frame }: Shown) {
        let slot = self.slot_of(session);
        let text = match (slot, session) {
            (Some(slot), Some(session)) if covers => format!("shown: {slot} session {session}, which covers"),
            (Some(slot), Some(session)) => format!("shown: {slot} session {session}"),
            _ => "shown: the last picture".to_owned(),
        };
        self.journal.record(JournalEvent::Shown { slot, session, covers, frame }, text);
    }

    fn on_gap(&mut self, gap: Gap) {
        let Gap { from, to, frame, filled_ms, silence_ms, since_good_ms } = gap;
        let (from, to) = (self.slot_of(from), self.slot_of(to));
        let text = match filled_ms.max(silence_ms) {
            0 => format!("no gap: {since_good_ms} ms from picture to picture"),
            _ => format!(
                "gap of {filled_ms} ms of picture and {silence_ms} ms of sound, {since_good_ms} ms from picture to picture"
            ),
        };
        self.journal.record(JournalEvent::Gap { from, to, filled_ms, silence_ms, since_good_ms, frame }, text);
    }
}

fn alignment_text(state: AlignmentState, offset_ms: Option<f64>) -> String {
    let text = match state {
        AlignmentState::Idle => "there are no two programmes to compare",
        AlignmentState::Searching => "looks for how far apart both programmes are",
        AlignmentState::Candidate => "has an idea of how far apart both programmes are, not confirmed yet",
        AlignmentState::Locked => "knows how far apart both programmes are",
        AlignmentState::Lost => "both programmes are no longer as far apart as they were",
    };
    match offset_ms {
        Some(offset) if offset < 0.0 => format!("{text}: the backup is {:.1} ms early", -offset),
        Some(offset) => format!("{text}: the backup is {offset:.1} ms late"),
        None => text.to_owned(),
    }
}
