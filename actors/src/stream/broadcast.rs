//! A StreamSupervisor's broadcast: its pipeline, and what that is told.

use std::sync::Arc;

use actix::{Addr, Handler, Message};
use tracing::Span;
use weir_media::failover::HandOver;
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::BroadcastSpec;
use weir_policy::failover::InputState;

use super::StreamSupervisor;
use super::session::Session;
use crate::SPANS;
use crate::event::EventKind;
use crate::journal::{JournalEvent, WorkerState};
use crate::pipeline::{Finish, InputLive, OpenInput, PipelineActor, PutOnAir};
use crate::report::{ChildName, PipelineView};
use crate::supervise::ExitReason;

/// The running broadcast's pipeline.
pub(super) struct PipelineRef {
    pub number: u64,
    /// What it is made with, also when it is restarted.
    pub spec: BroadcastSpec,
    /// `None` while it waits to be restarted.
    pub addr: Option<Addr<PipelineActor>>,
    pub view: PipelineView,
    pub transcoding: bool,
    /// What it was told to put on air.
    pub on_air: Option<SessionId>,
    /// What its output carries, by its own word.
    pub shown: Option<SessionId>,
    /// What it was told of its inputs.
    pub input_live: bool,
    /// Its broadcast has begun: media came.
    pub begun: bool,
    /// From the first video on, until its playlists play.
    pub starting: Starting,
}

/// The span of a pipeline's start.
#[derive(Default)]
pub(super) enum Starting {
    /// Nobody sends yet.
    #[default]
    Idle,
    /// Ends when it is dropped.
    Runs { _span: Span },
    /// Its playlists play, or did.
    Over,
}

impl StreamSupervisor {
    /// Makes sure that a pipeline takes the open sessions' media: a new broadcast's if there is none.
    pub(super) fn ensure_pipeline(&mut self) {
        if self.pipeline.is_none() {
            self.configure();
            self.broadcasts += 1;
            let (ladder, failover) = (self.wished.ladder.clone(), self.failover);
            self.start_pipeline(self.broadcasts, BroadcastSpec { stream: self.id, ladder, failover });
        }
    }

    pub(super) fn start_pipeline(&mut self, number: u64, spec: BroadcastSpec) {
        let (made_with, shared) = (spec.clone(), Arc::clone(&self.shared));
        let policy = shared.config.restarts.actor;
        let start = |uplink| PipelineActor::new(made_with, shared, uplink);
        let addr = self.children.start(ChildName::Pipeline(number), policy, start);
        self.pipeline = Some(PipelineRef {
            number,
            spec,
            addr: Some(addr),
            view: PipelineView::default(),
            transcoding: false,
            on_air: None,
            shown: None,
            input_live: false,
            begun: self.broadcasting,
            starting: Starting::default(),
        });
        self.open_sessions().for_each(|session| self.open_input(session));
        for slot in [Slot::Primary, Slot::Backup] {
            if self.air.state.is_prepared(slot) {
                self.prepare(slot, true);
            }
        }
        self.tell_arrival();
        self.put_on_air(HandOver::WhenOut);
    }

    /// Video comes for the pipeline.
    pub(super) fn starting(&mut self) {
        if let Some(PipelineRef { starting: starting @ Starting::Idle, .. }) = &mut self.pipeline {
            *starting = Starting::Runs { _span: tracing::info_span!(target: SPANS, "start", stream = self.id.0) };
        }
    }

    /// Those that may go on air and are not told to go.
    pub(super) fn open_sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions
            .values()
            .filter(|session| session.closing.is_none() && !session.preflight)
            .map(|session| session.id)
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

    /// Puts the session on air that sends in the slot on air; a newcomer there from its first media on. One that is gone stays, for what
    /// it delivered is played out.
    pub(super) fn put_on_air(&mut self, hand_over: HandOver) {
        let slot = self.air.state.on_air();
        let Some(pipeline) = &mut self.pipeline else { return };
        let wanted = slot.and_then(|slot| self.sending[slot as usize].or(pipeline.on_air));
        if pipeline.on_air != wanted {
            pipeline.on_air = wanted;
            self.tell_pipeline(PutOnAir(wanted, hand_over));
        }
    }

    /// Video arrives from a publisher that is there, decodable or not.
    pub(super) fn is_sent_to(&self) -> bool {
        let state = |slot| self.air.state.input_state(slot);
        [Slot::Primary, Slot::Backup]
            .into_iter()
            .any(|slot| !matches!(state(slot), InputState::Absent | InputState::Silent))
    }

    /// Tells the pipeline whether there is anything for its worker to do.
    pub(super) fn tell_arrival(&mut self) {
        let live = [Slot::Primary, Slot::Backup].into_iter().any(|slot| self.air.state.is_live(slot));
        let arrives = live || self.is_sent_to();
        let Some(pipeline) = &mut self.pipeline else { return };
        if std::mem::replace(&mut pipeline.input_live, arrives) != arrives {
            self.tell_pipeline(InputLive(arrives));
        }
    }

    /// Tells the edge once.
    pub(super) fn set_transcoding(&self, transcoding: bool) {
        if self.status.transcoding != transcoding {
            let (state, text) = match transcoding {
                true => (WorkerState::Playable, "playable: parts advance"),
                false => (WorkerState::Stalled, "parts no longer advance"),
            };
            self.journal.record(JournalEvent::Worker { state, reason: None }, text);
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
            self.worker_gone();
            self.configure();
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
