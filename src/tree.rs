//! What the HTTP side asks of the supervision tree: the seam that lets API tests run without one.

use std::time::Duration;

use actix::{Addr, Handler, Message};
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;
use weir_actors::Root;
use weir_actors::control::{
    ChooseSlot, ClosedSession, EndPreflight, GetJournal, GetPreflight, GetRefusals, GetStream, GetSurvey, GetTree,
    NotLive, NotRestarted, OpenPreflight, PutStream, RemoveStream, RestartActor, Restartable, StreamSpec,
};
use weir_actors::journal::JournalReader;
use weir_actors::preflight::PreflightDetail;
use weir_actors::probe::Probe;
use weir_actors::refusals::RefusalLedger;
use weir_actors::status::{StreamDetail, TreeNode};
use weir_actors::survey::Survey;
use weir_media::id::{Slot, StreamId};
use weir_policy::admission::PreflightRefusal;

/// The tree does not answer: it is going down, or its root is being replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervision tree does not answer")]
pub struct TreeGone;

/// How long an operator's question may take: longer than anything below Root does.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// An answer of the tree.
pub type Answer<'a, T> = LocalBoxFuture<'a, Result<T, TreeGone>>;

/// The messages of `weir_actors::control`, as calls.
pub trait Tree: Send + Sync {
    /// [`PutStream`].
    fn put_stream(&self, spec: StreamSpec) -> Answer<'_, Vec<ClosedSession>>;
    /// [`RemoveStream`].
    fn remove_stream(&self, id: StreamId) -> Answer<'_, Vec<ClosedSession>>;
    /// [`GetTree`]; a Root that does not answer is shown as such.
    fn tree(&self) -> Answer<'_, TreeNode>;
    /// [`GetStream`].
    fn stream(&self, id: StreamId) -> Answer<'_, Option<StreamDetail>>;
    /// [`GetSurvey`].
    fn survey(&self) -> Answer<'_, Survey>;
    /// [`GetJournal`].
    fn journal(&self, id: StreamId) -> Answer<'_, Option<JournalReader>>;
    /// [`GetRefusals`].
    fn refusals(&self, id: Option<StreamId>) -> Answer<'_, Option<RefusalLedger>>;
    /// [`ChooseSlot`].
    fn choose_slot(&self, id: StreamId, slot: Option<Slot>) -> Answer<'_, Option<Result<(), NotLive>>>;
    /// [`RestartActor`].
    fn restart(&self, which: Restartable) -> Answer<'_, Option<Result<(), NotRestarted>>>;
    /// [`OpenPreflight`].
    fn open_preflight(&self, id: StreamId, slot: Slot, window: Duration) -> Answer<'_, Option<PreflightAnswer>>;
    /// [`GetPreflight`].
    fn preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>>;
    /// [`EndPreflight`].
    fn end_preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>>;
}

/// A preflight that begins, or why none does.
pub type PreflightAnswer = Result<PreflightDetail, PreflightRefusal>;

impl Tree for Addr<Root> {
    fn put_stream(&self, spec: StreamSpec) -> Answer<'_, Vec<ClosedSession>> {
        let answer = self.send(PutStream(spec));
        Box::pin(async { answer.await.map_err(|_| TreeGone) })
    }

    fn remove_stream(&self, id: StreamId) -> Answer<'_, Vec<ClosedSession>> {
        let answer = self.send(RemoveStream(id));
        Box::pin(async { answer.await.map_err(|_| TreeGone) })
    }

    fn tree(&self) -> Answer<'_, TreeNode> {
        let answer = self.send(GetTree(Probe::now()));
        Box::pin(async {
            match timeout(ANSWER_WITHIN, answer).await {
                Ok(answer) => answer.map_err(|_| TreeGone),
                Err(_) => Ok(TreeNode::silent_root()),
            }
        })
    }

    fn stream(&self, id: StreamId) -> Answer<'_, Option<StreamDetail>> {
        ask(self, GetStream(id))
    }

    fn survey(&self) -> Answer<'_, Survey> {
        ask(self, GetSurvey)
    }

    fn journal(&self, id: StreamId) -> Answer<'_, Option<JournalReader>> {
        ask(self, GetJournal(id))
    }

    fn refusals(&self, id: Option<StreamId>) -> Answer<'_, Option<RefusalLedger>> {
        ask(self, GetRefusals(id))
    }

    fn choose_slot(&self, id: StreamId, slot: Option<Slot>) -> Answer<'_, Option<Result<(), NotLive>>> {
        ask(self, ChooseSlot { stream: id, slot })
    }

    fn restart(&self, which: Restartable) -> Answer<'_, Option<Result<(), NotRestarted>>> {
        ask(self, RestartActor(which))
    }

    fn open_preflight(&self, id: StreamId, slot: Slot, window: Duration) -> Answer<'_, Option<PreflightAnswer>> {
        ask(self, OpenPreflight { stream: id, slot, window })
    }

    fn preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>> {
        ask(self, GetPreflight(id))
    }

    fn end_preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>> {
        ask(self, EndPreflight(id))
    }
}

/// What an operator wants of the tree, answered in time or not at all.
fn ask<M>(root: &Addr<Root>, message: M) -> Answer<'static, M::Result>
where
    M: Message<Result: Send> + Send + 'static,
    Root: Handler<M>,
{
    let answer = timeout(ANSWER_WITHIN, root.send(message));
    Box::pin(async { answer.await.map_err(|_| TreeGone)?.map_err(|_| TreeGone) })
}
