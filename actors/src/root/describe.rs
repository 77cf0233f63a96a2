//! What Root shows: a stream's detail, the whole tree. A child that does not answer in time is shown as such.

use actix::{Context, Handler, MessageResult, ResponseFuture};
use futures_util::future::{join, join_all};
use tokio::time::timeout;
use weir_media::id::StreamId;

use super::{Root, RootChild};
use crate::control::{GetJournal, GetRefusals, GetStream, GetTree};
use crate::probe::Lag;
use crate::status::{StreamDetail, TreeNode};
use crate::stream::{Describe, DescribeChildren};
use crate::supervise::{ANSWER_WITHIN, Vitals};

/// Journal lines in one answer.
const JOURNAL_LINES: usize = 100;

impl Root {
    /// A stream's detail as far as Root knows it, without its journal.
    pub(super) fn quiet_detail(&self, id: StreamId) -> Option<StreamDetail> {
        let stream = self.streams.get(&id)?;
        let state = match self.vitals(id) {
            Some(Vitals { running: false, degraded: true, .. }) => "degraded",
            Some(Vitals { running: false, .. }) => "restarting",
            _ => "idle",
        };
        Some(StreamDetail::quiet(id, state, &stream.spec.failover))
    }

    fn child_node(&self, name: RootChild) -> Option<TreeNode> {
        let vitals = self.children.vitals(&name)?;
        Some(match name {
            RootChild::Door(number) => {
                let door = self.doors.get(number)?;
                TreeNode::new(door.actor, door.name.clone(), &vitals)
            }
            RootChild::Stream(id) => TreeNode::new("StreamSupervisor", id.to_string(), &vitals),
        })
    }
}

impl Handler<GetStream> for Root {
    type Result = ResponseFuture<Option<StreamDetail>>;

    fn handle(&mut self, GetStream(id): GetStream, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetStream");
        let quiet = self.quiet_detail(id);
        let stream = self.streams.get(&id);
        let stream = stream.map(|stream| (stream.supervisor.borrow().clone(), stream.journal.clone()));
        Box::pin(async move {
            let (supervisor, journal) = stream?;
            let told = async { timeout(ANSWER_WITHIN, supervisor?.send(Describe)).await.ok()?.ok() };
            let detail = told.await.or(quiet)?;
            Some(StreamDetail { journal: journal.latest(JOURNAL_LINES), ..detail })
        })
    }
}

impl Handler<GetJournal> for Root {
    type Result = MessageResult<GetJournal>;

    fn handle(&mut self, GetJournal(id): GetJournal, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetJournal");
        MessageResult(self.streams.get(&id).map(|stream| stream.journal.reader()))
    }
}

impl Handler<GetRefusals> for Root {
    type Result = MessageResult<GetRefusals>;

    fn handle(&mut self, GetRefusals(id): GetRefusals, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetRefusals");
        MessageResult(self.shared.admission.refusals(id))
    }
}

impl Handler<GetTree> for Root {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, GetTree(probe): GetTree, _: &mut Context<Self>) -> Self::Result {
        fault!("Root: GetTree");
        let nodes: Vec<_> = self
            .children
            .names()
            .filter_map(|name| {
                let node = self.child_node(*name)?;
                let supervisor = match name {
                    RootChild::Stream(id) => self.streams.get(id).and_then(|stream| stream.supervisor.borrow().clone()),
                    RootChild::Door(_) => None,
                };
                let lag = self.children.lag(name, ANSWER_WITHIN);
                Some(async move {
                    let children = async {
                        let asked = timeout(ANSWER_WITHIN, supervisor?.send(DescribeChildren)).await;
                        asked.ok()?.ok()
                    };
                    let (lag, children) = join(lag, children).await;
                    TreeNode { children: children.unwrap_or_default(), ..node.probed(lag) }
                })
            })
            .collect();
        let root = Vitals { generation: 1, running: true, degraded: false, restarts: 0, last_exit: None };
        let mut root = TreeNode::new("Root", "root".to_owned(), &root).probed(Lag::Measured(probe.waited()));
        if self.draining {
            root.state = "stopping".to_owned();
        }
        Box::pin(async move { TreeNode { children: join_all(nodes).await, ..root } })
    }
}
