//! How sessions end: ordered from above, by silence, or by themselves.

use std::time::Duration;

use actix::{Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use weir_media::id::{Protocol, SessionId};
use weir_policy::admission::Expiry;
use weir_policy::failover::Fact;

use super::StreamSupervisor;
use crate::clock;
use crate::control::ClosedSession;
use crate::event::EventKind;
use crate::ingest::CloseReason;
use crate::journal::{BroadcastState, JournalEvent, SessionState};
use crate::pipeline::CloseInput;
use crate::supervise::ExitReason;

/// How long an answer waits for sockets to end.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Closes sessions; the answer comes when they are closed, or after 2 s.
#[derive(Message)]
#[rtype(result = "Vec<ClosedSession>")]
pub(crate) struct CloseSessions {
    pub reason: CloseReason,
    /// Of this door alone.
    pub only: Option<Protocol>,
}

/// Closes the session of a preflight that was ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndPreflight(pub SessionId);

/// Closes all sessions, ends the broadcast and then itself; the answer comes when the sessions are closed, or after 2 s.
#[derive(Message)]
#[rtype(result = "Vec<ClosedSession>")]
pub(crate) struct Retire(pub CloseReason);

impl StreamSupervisor {
    /// Orders a session to close. Its slot is free and its media ends now; it is gone when its wire task is.
    pub(super) fn close_session(&mut self, id: SessionId, reason: CloseReason) {
        self.admission.lock().on_closed(id);
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.closing.is_none()) else { return };
        let (slot, preflight) = (session.slot, session.preflight);
        let text = format!("{slot} session {id} is told to go: {reason}");
        let told = Some(reason.to_string());
        let why = told.clone();
        session.close(reason, clock::now());
        self.journal
            .record(JournalEvent::Session { slot, session: id, state: SessionState::Ordered, reason: told }, text);
        if !preflight {
            self.tell_rule(Fact::Ended(id));
            self.tell_pipeline(CloseInput(id));
        }
        if let Some(why) = why {
            self.pull_over(id, &why);
        }
    }

    /// Closes sessions that have been silent for too long.
    pub(super) fn expire_sessions(&mut self) {
        let expired = self.admission.lock().on_timeout(clock::now());
        for (id, expiry) in expired {
            let config = &self.shared.config;
            let reason = match expiry {
                Expiry::Silent => CloseReason::Silent,
                Expiry::PreflightOver => CloseReason::PreflightOver,
                Expiry::NoVideo => {
                    CloseReason::Unacceptable(format!("audio, but no video within {:?} of publishing", config.stall))
                }
            };
            self.close_session(id, reason);
        }
    }

    /// A session's actor is gone, and with it the wire task.
    pub(super) fn session_gone(&mut self, id: SessionId, exit: ExitReason) {
        self.admission.lock().on_closed(id);
        let Some(session) = self.sessions.get(&id) else { return };
        let why = session.closed.as_ref().map_or_else(|| exit.to_string(), ToString::to_string);
        self.pull_over(id, &why);
        let Some(mut session) = self.sessions.remove(&id) else { return };
        let now = clock::now();
        session.tell_closed(now);
        let reason = match (&session.closing, &session.closed) {
            (Some(closing), _) => closing.reason.to_string(),
            (None, Some(reason)) => reason.to_string(),
            (None, None) => exit.to_string(),
        };
        let slot = session.slot;
        let mut line = format!("{slot} session {id} closed: {reason}");
        if exit != ExitReason::Normal && reason != exit.to_string() {
            line += &format!("; its actor {exit}");
        }
        let what =
            JournalEvent::Session { slot, session: id, state: SessionState::Closed, reason: Some(reason.clone()) };
        self.journal.record(what, line);
        self.idle_since = now;
        if session.preflight {
            return self.preflight.closed(id, reason);
        }
        self.end_health();
        self.record(EventKind::SessionClosed { session: id, slot, reason });
        if session.closing.is_none() {
            self.tell_rule(Fact::Ended(id));
            self.tell_pipeline(CloseInput(id));
        }
    }

    fn close_sessions(&mut self, reason: &CloseReason, only: Option<Protocol>) -> ResponseFuture<Vec<ClosedSession>> {
        let meant = self.sessions.iter().filter(|(_, session)| only.is_none_or(|only| session.protocol == only));
        let ids: Vec<SessionId> = meant.map(|(id, _)| *id).collect();
        let mut waiting = vec![];
        for id in ids {
            self.close_session(id, reason.clone());
            if let Some(session) = self.sessions.get_mut(&id) {
                let (tell, told) = oneshot::channel();
                session.waiters.push(tell);
                let who = (session.slot, session.protocol, session.origin.address());
                waiting.push((id, who, told));
            }
        }
        let until = (clock::now() + CLOSED_WITHIN).into();
        Box::pin(async move {
            let mut closed = vec![];
            for (session, (slot, protocol, address), told) in waiting {
                let took = timeout_at(until, told).await.ok().and_then(Result::ok);
                closed.push(ClosedSession { session, slot, protocol, address, took });
            }
            closed
        })
    }
}

impl Handler<CloseSessions> for StreamSupervisor {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, CloseSessions { reason, only }: CloseSessions, ctx: &mut Context<Self>) -> Self::Result {
        fault!("StreamSupervisor: CloseSessions");
        let answer = self.close_sessions(&reason, only);
        self.settle(ctx);
        answer
    }
}

impl Handler<EndPreflight> for StreamSupervisor {
    type Result = ();

    fn handle(&mut self, EndPreflight(session): EndPreflight, ctx: &mut Context<Self>) {
        fault!("StreamSupervisor: EndPreflight");
        self.close_session(session, CloseReason::PreflightOver);
        self.settle(ctx);
    }
}

impl Handler<Retire> for StreamSupervisor {
    type Result = ResponseFuture<Vec<ClosedSession>>;

    fn handle(&mut self, Retire(reason): Retire, ctx: &mut Context<Self>) -> Self::Result {
        fault!("StreamSupervisor: Retire");
        self.stop_pulling(reason.clone());
        let answer = self.close_sessions(&reason, None);
        // The next publisher is the next supervisor's.
        self.admission.clear();
        if self.broadcasting {
            self.broadcasting = false;
            self.ended = true;
            let what = JournalEvent::Broadcast { state: BroadcastState::Ended };
            self.journal.record(what, format!("broadcast ends: {reason}"));
        }
        self.retiring = true;
        self.settle(ctx);
        answer
    }
}
