//! The seam between the control plane and the media plane: what a `PipelineActor` drives, and what it hears back.
//!
//! `weir-pipelines` implements [`PipelineFactory`] with a worker process; actor tests implement it with a fake.
//! Nothing here blocks: calls hand over and return, and everything that happens comes as a [`PipelineEvent`].

use std::sync::Arc;

use bytes::Bytes;

use crate::failover::{Alignment, FailoverSpec, Gap, HandOver, InputEdge, Shown};
use crate::feed::Feed;
use crate::id::{SessionId, Slot, StreamId};
use crate::ladder::Ladder;
use crate::protocol::{Chunk, Output, Report};

/// What one broadcast is made with; fixed until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastSpec {
    /// The stream.
    pub stream: StreamId,
    /// Wished rungs.
    pub ladder: Ladder,
    /// What is shown while an input fails.
    pub failover: FailoverSpec,
}

/// Where a pipeline puts what it makes: the packager behind a lock. Called from one task at a time; must not block on IO.
pub trait OutputSink: Send + Sync {
    /// The broadcast's output is fixed, or a resumed worker repeats it.
    fn output(&self, output: &Output);
    /// A track's initialization segment; all but the first of a track are ignored.
    fn init(&self, track: u8, data: Bytes);
    /// A part. Parts that are already published are ignored, so a resumed worker may overlap.
    fn chunk(&self, chunk: Chunk) -> Placed;
    /// A picture of the output as JPEG takes the place of the one before.
    fn screenshot(&self, data: Bytes);
    /// First output frame that at least one track has not published, where a new worker goes on, and the first one that no track has.
    fn next_frames(&self) -> [u64; 2];
    /// What follows cannot be joined to what is published: the next output begins anew, behind a discontinuity.
    fn break_off(&self);
    /// The broadcast is over: playlists get their end.
    fn end(&self);
}

/// What a chunk completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// With this chunk every rendition has its first part.
    pub playable: bool,
    /// With this chunk this segment is complete in every rendition; its sequence number.
    pub segment: Option<u64>,
    /// A part before this chunk never came and never will: nothing that this worker makes fits any more.
    pub hole: bool,
}

/// Makes pipelines. One per process.
pub trait PipelineFactory: Send + Sync {
    /// Opens the broadcast's place on the shelf and readies a pipeline for it, without starting a worker. Events go to `events`, from any thread.
    fn broadcast(&self, spec: BroadcastSpec, events: PipelineEvents) -> Box<dyn Pipeline>;
}

/// Where a pipeline's events go. Must not block.
pub type PipelineEvents = Arc<dyn Fn(PipelineEvent) + Send + Sync>;

/// One broadcast's worker, seen from its actor. Dropping it kills the worker and leaves what is published in place.
pub trait Pipeline: Send {
    /// Starts a worker, or replaces a dead one: inputs that are open are replayed from their last keyframe, output goes on
    /// at the first part that was never published.
    fn start(&mut self);
    /// Adds an input.
    fn open(&mut self, session: SessionId, slot: Slot, feed: Feed);
    /// Removes an input.
    fn close(&mut self, session: SessionId);
    /// Puts an input on air; `None` holds the last picture once nothing is left to show.
    fn on_air(&mut self, session: Option<SessionId>, hand_over: HandOver);
    /// Has a warm slot's input decoded although it is not shown, or no longer.
    fn prepare(&mut self, slot: Slot, decode: bool);
    /// Kills the worker; [`PipelineEvent::Exited`] follows.
    fn kill(&mut self);
    /// Ends the broadcast: the worker publishes what it has, playlists get their end.
    /// [`PipelineEvent::Exited`] follows, at the latest 2 s later.
    fn finish(&mut self);
    /// Process id of the worker while there is one.
    fn pid(&self) -> Option<u32>;
}

/// What a pipeline reports.
#[derive(Clone, Debug, PartialEq)]
pub enum PipelineEvent {
    /// A worker process runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// The first decodable input fixed the output.
    Output(Output),
    /// Every rendition has its first part: manifests answer 200.
    Playable,
    /// A segment is complete in every rendition; its sequence number.
    Segment {
        /// The sequence number.
        sequence: u64,
    },
    /// Inputs and output, 4 times a second.
    Report(Report),
    /// Something changed with an input.
    Input {
        /// The publisher.
        session: SessionId,
        /// What.
        edge: InputEdge,
    },
    /// Another input is shown.
    Shown(Shown),
    /// A hole or a change of input is over.
    Gap(Gap),
    /// The alignment's state changed.
    Alignment(Alignment),
    /// An input cannot be decoded.
    Rejected {
        /// The publisher.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// The worker has ended.
    Exited {
        /// Exit code or signal and the worker's last words.
        reason: String,
        /// It ended because it was asked to finish.
        expected: bool,
    },
}
