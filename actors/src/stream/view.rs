//! What a StreamSupervisor shows: the API's status, the operator's detail, its part of the tree.

use actix::ResponseFuture;
use futures_util::future::join_all;
use weir_media::id::Slot;
use weir_policy::failover::Timer;

use super::StreamSupervisor;
use crate::clock;
use crate::report::ChildName;
use crate::status::doctor::FindingDetail;
use crate::status::{PipelineDetail, SlotDetail, StreamDetail, StreamState, TreeNode};
use crate::supervise::{CHILD_ANSWERS_WITHIN, Vitals};

impl StreamSupervisor {
    /// Puts the stream's status on the board. Called after everything that can change it.
    pub(super) fn publish_status(&mut self) {
        let session = self.air.state.on_air().and_then(|slot| self.sending[slot as usize]);
        let session = session.and_then(|id| self.sessions.get(&id));
        let (state, on_air) = (self.state(), self.air.state.on_air());
        let status = &mut self.status;
        (status.state, status.on_air) = (state, on_air);
        status.live = self.air.state.is_live(Slot::Primary);
        status.backup_live = self.air.state.is_live(Slot::Backup);
        if let Some(session) = session {
            status.protocol = Some(session.protocol);
            if let Some(video) = &session.video {
                (status.video_width, status.video_height) = (Some(video.width), Some(video.height));
            }
        } else if self.pipeline.is_none() {
            (status.protocol, status.video_width, status.video_height) = (None, None, None);
        }
        let view = self.pipeline.as_ref().map(|pipeline| &pipeline.view);
        let output = view.and_then(|view| view.output.as_ref());
        status.transcoding = self.pipeline.as_ref().is_some_and(|pipeline| pipeline.transcoding);
        status.frame_rate = output.map(|output| output.grid.frame_rate.as_f64());
        status.qualities =
            output.map(|output| output.renditions.iter().map(|made| made.name.clone()).collect()).unwrap_or_default();
        status.transcoding_speed = view.filter(|_| status.transcoding).and_then(|view| speed(view.report.speed_milli));
        self.shared.board.set(self.id, status.clone());
    }

    /// Without the journal, which Root has too.
    pub(super) fn detail(&self) -> StreamDetail {
        let (now, air) = (clock::now(), &self.air.state);
        let worker = self.pipeline.as_ref().map(|pipeline| &pipeline.view.report);
        let holders = [Slot::Primary, Slot::Backup].map(|slot| self.admission.lock().holder(slot));
        let slot = |slot: Slot| SlotDetail {
            doctor: self.findings(slot).iter().map(|finding| FindingDetail::new(finding, now)).collect(),
            slot,
            live: air.is_live(slot),
            state: air.input_state(slot),
            session: holders[slot as usize]
                .and_then(|id| self.sessions.get(&id))
                .map(|session| session.detail(worker, now)),
        };
        StreamDetail {
            on_air: air.on_air(),
            chosen: air.chosen(),
            shown: self.slot_of(self.pipeline.as_ref().and_then(|pipeline| pipeline.shown)),
            hold_remaining_s: air.timer(Timer::Hold).map(|due| due.saturating_duration_since(now).as_secs_f64()),
            alignment: worker.map(|report| report.alignment).unwrap_or_default().into(),
            slots: vec![slot(Slot::Primary), slot(Slot::Backup)],
            pipeline: self.pipeline_detail(),
            pull: self.pull_detail(),
            ..StreamDetail::quiet(self.id, self.state().word(), &self.failover)
        }
    }

    fn state(&self) -> StreamState {
        match (self.broadcasting, self.air.state.on_air()) {
            (true, Some(_)) => StreamState::OnAir,
            (true, None) => StreamState::Holding,
            (false, _) if self.sessions.values().any(|session| !session.preflight) => StreamState::Waiting,
            (false, _) if self.ended => StreamState::Ended,
            (false, _) => StreamState::Idle,
        }
    }

    fn pipeline_detail(&self) -> Option<PipelineDetail> {
        let view = &self.pipeline.as_ref()?.view;
        let renditions = view.output.iter().flat_map(|output| &output.renditions);
        let renditions = renditions
            .map(|made| format!("{} {}x{} {} kbit/s", made.name, made.width, made.height, made.bitrate_kbps))
            .collect();
        Some(PipelineDetail {
            state: view.state.to_owned(),
            pid: view.pid,
            restarts: view.restarts,
            renditions,
            frames: view.report.frames,
            repeated: view.report.repeated,
            dropped: view.report.dropped,
            speed: speed(view.report.speed_milli),
            last_segment: view.last_segment,
        })
    }

    /// Its children's part of the tree, each probed.
    pub(super) fn children_nodes(&self) -> ResponseFuture<Vec<TreeNode>> {
        let nodes: Vec<_> = self
            .children
            .names()
            .filter_map(|name| {
                let node = self.child_node(*name, &self.children.vitals(name)?);
                let lag = self.children.lag(name, CHILD_ANSWERS_WITHIN);
                Some(async { node.probed(lag.await) })
            })
            .collect();
        Box::pin(join_all(nodes))
    }

    fn child_node(&self, name: ChildName, vitals: &Vitals) -> TreeNode {
        let own_name = match name {
            ChildName::Failover => "failover".to_owned(),
            ChildName::Pull => "pull".to_owned(),
            ChildName::Pipeline(number) => format!("broadcast {number}"),
            ChildName::Connection(id) => {
                let name = self.sessions.get(&id).map(|session| format!("{} {id}", session.slot));
                name.unwrap_or_else(|| id.to_string())
            }
        };
        let mut node = TreeNode::new(name.actor(), own_name, vitals);
        match name {
            ChildName::Pipeline(number) => {
                if let Some(pipeline) = self.pipeline.as_ref().filter(|pipeline| pipeline.number == number) {
                    // The worker's restarts and exits are what an operator looks for here.
                    let view = &pipeline.view;
                    node.restarts += view.restarts;
                    node.pid = view.pid;
                    if let Some((reason, at)) = &view.last_exit {
                        (node.last_exit, node.last_exit_at) = (Some(reason.clone()), Some(*at));
                    }
                    if vitals.running {
                        node.state = view.state.to_owned();
                    }
                } else {
                    node.state = "finishing".to_owned();
                }
            }
            ChildName::Connection(id) if self.sessions.get(&id).is_some_and(|session| session.closing.is_some()) => {
                node.state = "stopping".to_owned();
            }
            _ => {}
        }
        node
    }
}

/// The worker says 0 until it knows.
fn speed(milli: u32) -> Option<f64> {
    (milli > 0).then(|| f64::from(milli) / 1_000.0)
}
