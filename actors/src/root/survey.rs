//! What Root tells monitoring: as much of each stream as its supervisor says in time, else what Root knows itself.

use actix::{Context, Handler, ResponseFuture};
use futures_util::future::join_all;
use tokio::time::timeout;
use weir_media::id::StreamId;

use super::Root;
use crate::control::GetSurvey;
use crate::stream::Describe;
use crate::supervise::ANSWER_WITHIN;
use crate::survey::{RefusalCounts, StreamSurvey, Survey};

impl Root {
    fn refusal_counts(&self, id: Option<StreamId>) -> RefusalCounts {
        self.shared.admission.refusals(id).map(|ledger| ledger.counts()).unwrap_or_default()
    }
}

impl Handler<GetSurvey> for Root {
    type Result = ResponseFuture<Survey>;

    fn handle(&mut self, _: GetSurvey, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetSurvey");
        let streams: Vec<_> = self
            .streams
            .iter()
            .filter_map(|(id, stream)| {
                let (supervisor, tally) = (stream.supervisor.borrow().clone(), stream.journal.tally());
                let known = StreamSurvey {
                    active: stream.spec.active,
                    in_use: supervisor.is_some() || tally.is_used(),
                    transcoding: self.shared.board.get(*id).transcoding,
                    detail: self.quiet_detail(*id)?,
                    tally,
                    refusals: self.refusal_counts(Some(*id)),
                };
                Some(async move {
                    let Some(supervisor) = supervisor else { return known };
                    let asked = timeout(ANSWER_WITHIN, supervisor.send(Describe)).await;
                    let Ok(Ok(detail)) = asked else { return known };
                    StreamSurvey { detail, ..known }
                })
            })
            .collect();
        let (strangers, restarts) = (self.refusal_counts(None), self.shared.restarts.all());
        Box::pin(async move { Survey { streams: join_all(streams).await, strangers, restarts } })
    }
}
