//! A StreamSupervisor's broadcast: its pipeline, what is shown, and carrying out the failover rule's decisions.

use std::sync::Arc;

use actix::{Addr, Handler, Message};
use weir_media::failover::FailoverSpec;
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::BroadcastSpec;
use weir_policy::failover::Decision;

use super::StreamSupervisor;
use super::session::Session;
use crate::clock;
use crate::event::EventKind;
use crate::ingest::CloseReason;
use crate::pipeline::{Finish, InputLive, OpenInput, PipelineActor, ShowInput};
use crate::report::{ChildName, PipelineFact, PipelineView};
use crate::supervise::ExitReason;

/// The running broadcast's pipeline.
pub(super) struct PipelineRef {
    pub number: u64,
    /// `None` while it waits to be restarted.
    pub addr: Option<Addr<PipelineActor>>,
    pub view: PipelineView,
    pub transcoding: bool,
    pub shown: Option<SessionId>,
    /// Its broadcast has begun: media came.
    pub begun: bool,
}

impl StreamSupervisor {
    /// Makes sure that a pipeline takes the open sessions' media: a new broadcast's if there is none.
    pub(super) fn ensure_pipeline(&mut self) {
        if self.pipeline.is_none() {
            self.broadcasts += 1;
            self.start_pipeline(self.broadcasts);
        }
    }

    pub(super) fn start_pipeline(&mut self, number: u64) {
        let failover = FailoverSpec::default();
        let spec = BroadcastSpec { stream: self.id, ladder: self.ladder.clone(), failover };
        let shared = Arc::clone(&self.shared);
        let policy = shared.config.restarts.actor;
        let start = |uplink| PipelineActor::new(spec, shared, uplink);
        let addr = self.children.start(ChildName::Pipeline(number), policy, start);
        self.pipeline = Some(PipelineRef {
            number,
            addr: Some(addr),
            view: PipelineView::default(),
            transcoding: false,
            shown: None,
            begun: self.air.broadcasting,
        });
        let open: Vec<SessionId> =
            self.sessions.values().filter(|session| session.closing.is_none()).map(|session| session.id).collect();
        open.into_iter().for_each(|session| self.open_input(session));
        self.tell_pipeline(InputLive(self.air.live.contains(&true)));
        self.show();
    }

    pub(super) fn open_input(&self, id: SessionId) {
        if let Some(Session { slot, feed, .. }) = self.sessions.get(&id) {
            self.tell_pipeline(OpenInput { session: id, slot: *slot, feed: feed.clone() });
        }
    }

    /// Commands down are rare, a few per session, and must not be lost: hence `do_send`.
    pub(super) fn tell_pipeline<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        PipelineActor: Handler<M>,
    {
        if let Some(addr) = self.pipeline.as_ref().and_then(|pipeline| pipeline.addr.as_ref()) {
            addr.do_send(message);
        }
    }

    /// Has the pipeline show the session that holds the slot on air. A newcomer there is shown from its first media on.
    pub(super) fn show(&mut self) {
        let holder = self.air.on_air.and_then(|slot| self.admission.holder(slot));
        let sending = holder.filter(|id| self.sessions.get(id).is_some_and(|session| session.last_media.is_some()));
        let Some(pipeline) = &mut self.pipeline else { return };
        let wanted = if self.air.on_air.is_some() { sending.or(pipeline.shown) } else { None };
        if pipeline.shown != wanted {
            pipeline.shown = wanted;
            self.tell_pipeline(ShowInput(wanted));
        }
    }

    pub(super) fn on_decision(&mut self, decision: Decision) {
        let before = self.air;
        self.air.apply(decision);
        if before == self.air {
            return;
        }
        match decision {
            Decision::Begin => {
                self.ended = false;
                self.journal.note("broadcast begins: first media");
                self.record(EventKind::BroadcastStarted);
                self.ensure_pipeline();
                if let Some(pipeline) = &mut self.pipeline {
                    pipeline.begun = true;
                }
            }
            Decision::Live { slot, live } => {
                let why = if live { "media arrives".to_owned() } else { self.stalled() };
                self.journal.note(format!("{slot} {}: {why}", if live { "live" } else { "not live" }));
                self.record(EventKind::LiveChanged { slot, live });
                if slot == Slot::Primary && !live {
                    self.status.finished_at_primary = Some(clock::wall());
                }
                self.tell_pipeline(InputLive(self.air.live.contains(&true)));
            }
            Decision::OnAir(slot) => {
                let text = match slot {
                    Some(slot) => format!("on air: {slot}"),
                    None => format!("holding the last picture: {}", self.stalled()),
                };
                self.journal.note(text);
                self.record(EventKind::OnAirChanged { slot });
                self.show();
            }
            Decision::End => {
                self.ended = true;
                self.journal.note(format!("broadcast ends: no media for {:?}", self.shared.config.linger));
                self.finish_pipeline();
            }
        }
    }

    pub(super) fn stalled(&self) -> String {
        format!("no media for {:?}", self.shared.config.stall)
    }

    pub(super) fn on_pipeline(&mut self, number: u64, fact: PipelineFact) {
        let Some(pipeline) = self.pipeline.as_mut().filter(|pipeline| pipeline.number == number) else { return };
        match fact {
            PipelineFact::View(view) => pipeline.view = *view,
            PipelineFact::Transcoding(transcoding) => {
                pipeline.transcoding = transcoding;
                self.set_transcoding(transcoding);
            }
            PipelineFact::Rejected { session, reason } => {
                self.journal.note(format!("session {session} refused by the worker: {reason}"));
                self.close_session(session, CloseReason::Unacceptable(reason));
            }
            PipelineFact::WorkerDied { reason } => {
                self.journal.note(format!("worker died and is replaced: {reason}"));
                self.record(EventKind::PipelineRestarted { reason });
            }
            PipelineFact::Degraded { reason } => {
                self.journal.note("worker keeps dying: one try per 10 s until it runs steadily");
                self.record(EventKind::PipelineDegraded { reason });
            }
        }
    }

    /// Tells the edge once.
    pub(super) fn set_transcoding(&self, transcoding: bool) {
        if self.status.transcoding != transcoding {
            self.journal.note(if transcoding { "playable: parts advance" } else { "parts no longer advance" });
            self.record(EventKind::TranscodingChanged { transcoding });
        }
    }

    /// The pipeline publishes what it has and ends; its playlists get their end.
    pub(super) fn finish_pipeline(&mut self) {
        self.tell_pipeline(Finish);
        if let Some(PipelineRef { number, begun, .. }) = self.pipeline.take() {
            self.set_transcoding(false);
            if begun {
                self.ending.insert(number);
            }
        }
    }

    /// A finishing pipeline is gone.
    pub(super) fn pipeline_gone(&mut self, number: u64, reason: &ExitReason) {
        self.journal.note(format!("pipeline actor of broadcast {number} {reason}"));
        self.pipeline_ended(number);
    }

    /// Nothing more comes from a broadcast's pipeline.
    pub(super) fn pipeline_ended(&mut self, number: u64) {
        self.children.forget(&ChildName::Pipeline(number));
        if self.ending.remove(&number) {
            self.record(EventKind::BroadcastEnded);
        }
    }
}
