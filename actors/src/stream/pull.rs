//! A stream that is pulled: its PullActor, and the one session of the source that delivers.

use std::sync::Arc;
use std::time::Instant;

use actix::Addr;
use tokio::sync::oneshot;
use weir_media::id::{SessionId, Slot};
use weir_media::pull::PullUri;
use weir_policy::rotation::{Fact, Phase, State};

use super::StreamSupervisor;
use super::session::Origin;
use crate::clock;
use crate::event::EventKind;
use crate::ingest::{CloseReason, Grant};
use crate::journal::{JournalEvent, PullState};
use crate::pull::{PullActor, PullFact, PullView, SessionTold};
use crate::report::ChildName;
use crate::status::PullDetail;

/// What a stream is pulled from, and how that goes.
pub(super) struct Pulling {
    sources: Arc<[PullUri]>,
    /// `None` while it waits to be restarted.
    addr: Option<Addr<PullActor>>,
    view: PullView,
    session: Option<SessionId>,
    /// Its actor knows that the stream is live by it.
    told_live: bool,
    /// What each source's latest failure was, since it last worked.
    errors: Vec<Option<String>>,
}

impl StreamSupervisor {
    /// Pulls from these sources, the first one first, or with none from nowhere. The same sources again change nothing, unless they have been
    /// given up.
    pub(super) fn pull_from(&mut self, sources: Arc<[PullUri]>) {
        let same = match &self.pulling {
            Some(pulling) => pulling.sources == sources && !self.has_given_up(),
            None => sources.is_empty(),
        };
        if same {
            return;
        }
        self.stop_pulling(CloseReason::SourcesChanged);
        if !sources.is_empty() {
            let state = State::new(self.shared.config.rotation, sources.len(), clock::now());
            let view = PullView { state, last_error: None };
            let errors = vec![None; sources.len()];
            self.pulling = Some(Pulling { sources, addr: None, view, session: None, told_live: false, errors });
            self.start_pull();
        }
    }

    /// Ends pulling and its session.
    pub(super) fn stop_pulling(&mut self, reason: CloseReason) {
        self.children.forget(&ChildName::Pull);
        if let Some(session) = self.pulling.take().and_then(|pulling| pulling.session) {
            self.close_session(session, reason);
        }
    }

    /// Starts its actor, or starts it again.
    pub(super) fn start_pull(&mut self) {
        let (Some(pulling), Some(puller)) = (&mut self.pulling, self.shared.puller.clone()) else { return };
        let (sources, view) = (Arc::clone(&pulling.sources), pulling.view.clone());
        let policy = self.shared.config.restarts.actor;
        let start = |uplink| PullActor::new(sources, puller, view, uplink);
        pulling.addr = Some(self.children.start(ChildName::Pull, policy, start));
        // What it would have been told meanwhile.
        if matches!(pulling.view.state.phase(), Phase::On { .. }) && pulling.session.is_none() {
            self.tell_pull(Fact::Ended(None), None);
        }
    }

    /// Its actor is gone.
    pub(super) fn pull_gone(&mut self) {
        if let Some(pulling) = &mut self.pulling {
            pulling.addr = None;
        }
    }

    /// It asks for sources as long as it is active.
    pub(super) fn is_pulling(&self) -> bool {
        self.pulling.is_some() && !self.has_given_up()
    }

    fn has_given_up(&self) -> bool {
        self.pulling.as_ref().is_some_and(|pulling| pulling.view.state.phase() == Phase::GivenUp)
    }

    pub(super) fn on_pull(&mut self, fact: PullFact) {
        match fact {
            PullFact::View(view) => self.on_pull_view(view),
            PullFact::Ready { source, ask } => self.pull_ready(source, ask),
            PullFact::Cut => {
                if let Some(session) = self.pulling.as_mut().and_then(|pulling| pulling.session.take()) {
                    self.close_session(session, CloseReason::Silent);
                }
            }
            PullFact::GaveUp => {
                let after = self.shared.config.rotation.give_up;
                self.journal_pull(PullState::GaveUp, None, format!("no media for {after:?}: pulling is given up"));
                self.record(EventKind::PullGivenUp);
            }
        }
    }

    fn on_pull_view(&mut self, view: PullView) {
        let Some(pulling) = &mut self.pulling else { return };
        // What failed before a source delivered is no news.
        let on = matches!(view.state.phase(), Phase::On { .. });
        let failed = view.last_error.clone().filter(|_| !on).filter(|(source, why)| {
            pulling.errors.get_mut(*source).is_some_and(|last| last.replace(why.clone()).as_ref() != Some(why))
        });
        let asks = view.state.phase() == Phase::Trying && view.state.tries() == 1;
        let asked = asks && pulling.view.state != view.state;
        pulling.view = view;
        if let Some((source, why)) = failed {
            let text = format!("{}: {why}", self.named(source));
            self.journal_pull(PullState::Failed, Some(why), text);
        }
        if asked {
            let source = self.pulling.as_ref().map_or(0, |pulling| pulling.view.state.source());
            self.journal_pull(PullState::Trying, None, format!("asks {}", self.named(source)));
        }
    }

    /// A source has a picture: it becomes a session.
    fn pull_ready(&mut self, source: usize, ask: oneshot::Sender<Grant>) {
        let Some(uri) = self.pulling.as_ref().and_then(|pulling| pulling.sources.get(source)).cloned() else { return };
        if self.retiring {
            return;
        }
        let (id, slot, protocol) = (self.shared.next_session(), Slot::Primary, uri.protocol());
        let displaced = self.admission.lock().take(id, slot, protocol, clock::now());
        for session in displaced {
            self.close_session(session, CloseReason::Displaced);
        }
        let grant = self.open_session(id, slot, protocol, Origin::Source(uri.to_string()), None);
        let named = self.named(source);
        if let Some(pulling) = &mut self.pulling {
            (pulling.session, pulling.told_live) = (Some(id), false);
            if let Some(error) = pulling.errors.get_mut(source) {
                *error = None;
            }
        }
        self.journal_pull(PullState::On, None, format!("{named} delivers"));
        if ask.send(grant).is_err() {
            // The facts' end tells the connection's actor, and it ends as any session does.
            tracing::debug!(stream = %self.id, "the source was gone before its session began");
        }
    }

    /// The session has sent media, or the slot has become live.
    pub(super) fn pull_alive(&mut self) {
        let live = self.air.state.is_live(Slot::Primary);
        let Some(pulling) = self.pulling.as_mut().filter(|pulling| live && pulling.session.is_some()) else { return };
        if !std::mem::replace(&mut pulling.told_live, true) {
            self.tell_pull(Fact::Live, None);
        }
    }

    /// The slot has no media any more.
    pub(super) fn pull_lost(&mut self) {
        let Some(pulling) = self.pulling.as_mut().filter(|pulling| pulling.told_live) else { return };
        pulling.told_live = false;
        let session = pulling.session.and_then(|id| self.sessions.get(&id));
        let stall = self.shared.config.stall;
        let last = session.and_then(|session| session.last_media).unwrap_or_else(clock::now);
        self.tell_pull(Fact::Lost(last), Some(format!("no media for {stall:?}")));
    }

    /// A session is over; if it was the source's, the next one has its turn.
    pub(super) fn pull_over(&mut self, session: SessionId, why: &str) {
        let last = self.sessions.get(&session).and_then(|session| session.last_media);
        let Some(pulling) = self.pulling.as_mut().filter(|pulling| pulling.session == Some(session)) else { return };
        (pulling.session, pulling.told_live) = (None, false);
        self.tell_pull(Fact::Ended(last), Some(why.to_owned()));
    }

    /// Rare, and must not be lost. An actor that is being restarted is told what counts by [`Self::start_pull`].
    fn tell_pull(&self, fact: Fact, why: Option<String>) {
        if let Some(addr) = self.pulling.as_ref().and_then(|pulling| pulling.addr.as_ref()) {
            addr.do_send(SessionTold(fact, why));
        }
    }

    fn named(&self, source: usize) -> String {
        let Some(pulling) = &self.pulling else { return String::new() };
        let uri = pulling.sources.get(source).map(ToString::to_string).unwrap_or_default();
        match pulling.sources.len() {
            1 => format!("source {uri}"),
            count => format!("source {} of {count}, {uri}", source + 1),
        }
    }

    fn journal_pull(&self, state: PullState, reason: Option<String>, text: String) {
        let source = self.pulling.as_ref().map_or(0, |pulling| pulling.view.state.source());
        self.journal.record(JournalEvent::Pull { source, state, reason }, text);
    }

    pub(super) fn pull_detail(&self) -> Option<PullDetail> {
        let (pulling, now) = (self.pulling.as_ref()?, clock::now());
        let state = &pulling.view.state;
        let left = |at: Instant| at.saturating_duration_since(now).as_secs_f64();
        let next_try = match state.phase() {
            Phase::Waiting(until) => Some(left(until)),
            _ => None,
        };
        Some(PullDetail {
            state: match state.phase() {
                Phase::Waiting(_) => "waiting",
                Phase::Trying => "trying",
                Phase::On { .. } => "on",
                Phase::GivenUp => "given_up",
            },
            source: state.source(),
            uri: pulling.sources.get(state.source()).map(ToString::to_string).unwrap_or_default(),
            sources: pulling.sources.len(),
            tries: state.tries(),
            last_error: pulling.view.last_error.as_ref().map(|(_, why)| why.clone()),
            next_try_s: next_try,
            gives_up_s: state.gives_up().map(left),
        })
    }
}
