//! Letting publishers in, and what is heard of them.

use std::net::SocketAddr;
use std::time::Duration;

use actix::{Context, Handler, Message};
use tokio::sync::{mpsc, watch};
use weir_media::failover::HandOver;
use weir_media::feed::{Feed, Limits};
use weir_media::id::{Protocol, SessionId, Slot};
use weir_policy::admission::{Claim, Refusal};
use weir_policy::failover::Fact;

use super::StreamSupervisor;
use super::session::{Origin, Session};
use crate::clock;
use crate::config::behind;
use crate::connection::IngestConnection;
use crate::event::EventKind;
use crate::ingest::{CloseReason, FACTS_CAPACITY, Grant, Publish};
use crate::journal::{JournalEvent, SessionState};
use crate::report::{ChildName, ConnectionFact};

/// Sessions whose slots are remembered, those here among them: what was delivered may be played out for seconds after they are gone.
const REMEMBERED: usize = 64;

/// Lets a publisher in that has passed the gate.
#[derive(Message)]
#[rtype(result = "Result<Grant, Refusal>")]
pub(crate) struct Admit {
    pub slot: Slot,
    pub protocol: Protocol,
    pub peer: SocketAddr,
    pub agent: Option<String>,
}

impl From<&Publish> for Admit {
    fn from(publish: &Publish) -> Self {
        let Publish { slot, protocol, peer, agent, .. } = publish;
        Self { slot: *slot, protocol: *protocol, peer: *peer, agent: agent.clone() }
    }
}

impl StreamSupervisor {
    fn admit(&mut self, admit: Admit, ctx: &mut Context<Self>) -> Result<Grant, Refusal> {
        if self.retiring {
            return Err(Refusal::Restarting);
        }
        let (now, id) = (clock::now(), self.shared.next_session());
        let Admit { slot, protocol, peer, agent } = admit;
        let displaced =
            self.admission.lock().request(id, &Claim { slot, protocol, address: peer.ip().to_canonical() }, now)?;
        for displaced in displaced {
            let preflight = self.sessions.get(&displaced).is_some_and(|session| session.preflight);
            let reason = if preflight { CloseReason::PreflightOver } else { CloseReason::Displaced };
            self.close_session(displaced, reason);
        }
        let grant = self.open_session(id, slot, protocol, Origin::Peer(peer), agent);
        self.settle(ctx);
        Ok(grant)
    }

    /// A session that has its slot: its actor, its feed, and unless it is only looked at its place in the pipeline.
    pub(super) fn open_session(
        &mut self,
        id: SessionId,
        slot: Slot,
        protocol: Protocol,
        origin: Origin,
        agent: Option<String>,
    ) -> Grant {
        let now = clock::now();
        let preflight = self.admission.lock().is_preflight(id);
        if !preflight {
            self.configure();
        }
        let limits = self.shared.config.feed;
        let (feed, writer) = Feed::new(match behind(&self.failover) {
            _ if preflight => Limits::NOTHING,
            Duration::ZERO => limits,
            delay => limits.delayed(delay),
        });
        let (facts, received) = mpsc::channel(FACTS_CAPACITY);
        let (stop, stopped) = watch::channel(None);
        let start = |uplink| IngestConnection::new(received, stop, uplink);
        let connection = self.children.start(ChildName::Connection(id), self.shared.config.restarts.actor, start);
        let by = agent.as_deref().map(|agent| format!(" by {agent:?}")).unwrap_or_default();
        let what = JournalEvent::Session { slot, session: id, state: SessionState::Admitted, reason: None };
        let purpose = if preflight { " for preflight" } else { "" };
        self.journal.record(what, format!("{slot} session {id} admitted{purpose}: {protocol} from {origin}{by}"));
        let session = Session {
            id,
            slot,
            preflight,
            protocol,
            origin,
            agent,
            admitted: now,
            feed,
            connection,
            video: None,
            audio: None,
            last_media: None,
            bytes: 0,
            video_units: 0,
            audio_units: 0,
            transport: None,
            checkup: None,
            closing: None,
            closed: None,
            waiters: vec![],
        };
        self.sessions.insert(id, session);
        if preflight {
            self.show_preflight(id);
        } else {
            self.go_on_air(id, slot, protocol);
        }
        Grant { session: id, stream: self.id, slot, feed: writer, facts, stop: stopped }
    }

    /// A session's media counts from now on.
    fn go_on_air(&mut self, id: SessionId, slot: Slot, protocol: Protocol) {
        self.record(EventKind::SessionOpened { session: id, slot, protocol });
        self.remember(id, slot);
        self.tell_admitted(slot, id);
        match self.pipeline {
            Some(_) => self.open_input(id),
            None => self.ensure_pipeline(),
        }
    }

    /// Who was admitted where, for what the worker still tells of those that are gone.
    fn remember(&mut self, session: SessionId, slot: Slot) {
        self.slots.insert(session, slot);
        if self.slots.len() > REMEMBERED {
            let gone = self.slots.keys().find(|id| !self.sessions.contains_key(id)).copied();
            gone.map(|id| self.slots.remove(&id));
        }
    }

    pub(super) fn on_connection(&mut self, id: SessionId, fact: ConnectionFact) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match fact {
            ConnectionFact::Source { video, audio } => {
                self.admission.lock().on_source(id, video.is_some(), audio.is_some());
                (session.video, session.audio) = (video, audio);
            }
            ConnectionFact::MediaSeen { at, bytes, video_units, audio_units } => {
                (session.bytes, session.video_units, session.audio_units) = (bytes, video_units, audio_units);
                session.last_media = Some(at);
                if session.closing.as_ref().is_some_and(|closing| at > closing.ordered) {
                    return;
                }
                if session.preflight {
                    self.admission.lock().on_media(id, at);
                    return;
                }
                let slot = session.slot;
                self.tell_rule_at(Fact::Arrived(id), at);
                let holds = self.admission.lock().on_media(id, at);
                if holds && self.sending[slot as usize] != Some(id) {
                    self.sending[slot as usize] = Some(id);
                    self.put_on_air(HandOver::WhenOut);
                }
                self.pull_alive();
            }
            ConnectionFact::Transport(stats) => session.transport = Some(stats),
            ConnectionFact::Examined(checkup) => self.on_checkup(id, checkup),
            ConnectionFact::Closed(reason) => session.closed = Some(reason),
        }
    }
}

impl Handler<Admit> for StreamSupervisor {
    type Result = Result<Grant, Refusal>;

    fn handle(&mut self, admit: Admit, ctx: &mut Self::Context) -> Self::Result {
        fault!("StreamSupervisor: Admit");
        self.admit(admit, ctx)
    }
}
