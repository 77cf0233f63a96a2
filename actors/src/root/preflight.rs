//! Preflights: begun and ended here, because they need no supervisor and must outlive one.

use actix::{Context, Handler, MessageResult};
use weir_policy::admission::PreflightRefusal;

use super::Root;
use crate::clock;
use crate::control::{EndPreflight, GetPreflight, OpenPreflight};
use crate::journal::{JournalEvent, PreflightState};
use crate::preflight::PreflightDetail;
use crate::stream;

impl Root {
    fn open_preflight(&self, open: OpenPreflight) -> Option<Result<PreflightDetail, PreflightRefusal>> {
        let OpenPreflight { stream, slot, window } = open;
        let stream = self.streams.get(&stream)?;
        if stream.spec.pull {
            return Some(Err(PreflightRefusal::PullStream));
        }
        if !stream.spec.active {
            return Some(Err(PreflightRefusal::StreamOff));
        }
        let now = clock::now();
        if let Err(refusal) = stream.slots.lock().open_preflight(slot, now + window, now) {
            return Some(Err(refusal));
        }
        stream.preflight.open(slot, window, now);
        let text = format!("preflight of {slot} for {window:?}: who publishes there does not go on air");
        stream.journal.record(JournalEvent::Preflight { slot, state: PreflightState::Opened }, text);
        stream.preflight.detail(now).map(Ok)
    }

    fn end_preflight(&self, EndPreflight(id): EndPreflight) -> Option<PreflightDetail> {
        let (stream, now) = (self.streams.get(&id)?, clock::now());
        let slot = stream.slots.lock().preflight(now)?.slot;
        let session = stream.slots.lock().close_preflight();
        stream.preflight.end(now);
        let what = JournalEvent::Preflight { slot, state: PreflightState::Ended };
        stream.journal.record(what, format!("preflight of {slot} ended by the operator"));
        if let (Some(session), Some(supervisor)) = (session, &*stream.supervisor.borrow()) {
            // Rare, and must not be lost: the session would keep its encoder.
            supervisor.do_send(stream::EndPreflight(session));
        }
        stream.preflight.detail(now)
    }
}

impl Handler<OpenPreflight> for Root {
    type Result = MessageResult<OpenPreflight>;

    fn handle(&mut self, open: OpenPreflight, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: OpenPreflight");
        MessageResult(self.open_preflight(open))
    }
}

impl Handler<GetPreflight> for Root {
    type Result = MessageResult<GetPreflight>;

    fn handle(&mut self, GetPreflight(id): GetPreflight, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetPreflight");
        MessageResult(self.streams.get(&id).and_then(|stream| stream.preflight.detail(clock::now())))
    }
}

impl Handler<EndPreflight> for Root {
    type Result = MessageResult<EndPreflight>;

    fn handle(&mut self, end: EndPreflight, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: EndPreflight");
        MessageResult(self.end_preflight(end))
    }
}
