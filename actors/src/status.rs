//! Snapshots for the API and for operators: values, never references into the tree.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};

use crate::probe::Lag;
use crate::supervise::Vitals;

/// The API's live fields of one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStatus {
    /// The primary slot had media within the stall time.
    pub live: bool,
    /// The backup slot had media within the stall time.
    pub backup_live: bool,
    /// Manifest answers 200 and parts advance.
    pub transcoding: bool,
    /// Door of the input on air; while the last picture is held, of the one it came from. So are the sizes.
    pub protocol: Option<Protocol>,
    /// Pixels of the input on air.
    pub video_width: Option<u32>,
    /// Pixels of the input on air.
    pub video_height: Option<u32>,
    /// Frames per second of the input on air, as the output grid took it.
    pub frame_rate: Option<f64>,
    /// Names of the renditions being made, largest first.
    pub qualities: Vec<String>,
    /// Encoder speed, 1.0 keeps up.
    pub transcoding_speed: Option<f64>,
    /// When media first arrived in the latest primary session.
    pub started_at_primary: Option<SystemTime>,
    /// When media first arrived in the latest backup session.
    pub started_at_backup: Option<SystemTime>,
    /// When the primary slot last stopped.
    pub finished_at_primary: Option<SystemTime>,
}

/// Status of all streams; cloning shares it. Written by supervisors, read by the API.
#[derive(Clone, Default)]
pub struct StatusBoard(Arc<RwLock<HashMap<StreamId, StreamStatus>>>);

impl StatusBoard {
    /// A stream's status; all quiet when the tree has none.
    pub fn get(&self, stream: StreamId) -> StreamStatus {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned().unwrap_or_default()
    }

    /// Replaces a stream's status.
    pub fn set(&self, stream: StreamId, status: StreamStatus) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(stream, status);
    }

    /// Shows a stream whose supervisor died at `now`: nothing of it is left but its history.
    pub(crate) fn died(&self, stream: StreamId, now: SystemTime) {
        let last = self.get(stream);
        let status = StreamStatus {
            started_at_primary: last.started_at_primary,
            started_at_backup: last.started_at_backup,
            finished_at_primary: if last.live { Some(now) } else { last.finished_at_primary },
            ..StreamStatus::default()
        };
        self.set(stream, status);
    }

    /// Forgets a stream.
    pub fn remove(&self, stream: StreamId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&stream);
    }
}

/// One actor in `GET /ops/tree`.
#[derive(Clone, Debug)]
pub struct TreeNode {
    /// Kind of actor, e.g. `StreamSupervisor`.
    pub actor: &'static str,
    /// Which one, e.g. the stream id or the slot.
    pub name: String,
    /// One word: `running`, `starting`, `restarting`, `degraded`, `stopping`, `unresponsive` …
    pub state: String,
    /// Which start under its parent it is; grows with every start of any sibling.
    pub generation: u64,
    /// Times its parent restarted it.
    pub restarts: u32,
    /// Why its predecessor ended.
    pub last_exit: Option<String>,
    /// When it did.
    pub last_exit_at: Option<SystemTime>,
    /// How long a message waits in its mailbox; `None` when it did not answer in time or does not run.
    pub mailbox_lag: Option<Duration>,
    /// Process id, for a pipeline with a worker.
    pub pid: Option<u32>,
    /// Its children.
    pub children: Vec<TreeNode>,
}

impl TreeNode {
    /// What a parent knows of a child, without the child's own children.
    pub(crate) fn new(actor: &'static str, name: String, vitals: &Vitals) -> Self {
        let state = match vitals {
            Vitals { degraded: true, .. } => "degraded",
            Vitals { running: true, .. } => "running",
            _ => "restarting",
        };
        Self {
            actor,
            name,
            state: state.to_owned(),
            generation: vitals.generation,
            restarts: vitals.restarts,
            last_exit: vitals.last_exit.as_ref().map(|exit| exit.reason.to_string()),
            last_exit_at: vitals.last_exit.as_ref().map(|exit| exit.at),
            mailbox_lag: None,
            pid: None,
            children: vec![],
        }
    }

    /// A Root that does not answer.
    pub fn silent_root() -> Self {
        let vitals = Vitals { generation: 1, running: true, degraded: false, restarts: 0, last_exit: None };
        Self::new("Root", "root".to_owned(), &vitals).probed(Lag::Unresponsive)
    }

    /// Adds what a probe found.
    pub(crate) fn probed(mut self, lag: Lag) -> Self {
        match lag {
            Lag::Measured(lag) => self.mailbox_lag = Some(lag),
            Lag::Unresponsive => self.state = "unresponsive".to_owned(),
            // It died a moment ago.
            Lag::Down if self.state == "running" => self.state = "restarting".to_owned(),
            Lag::Down => {}
        }
        self
    }
}

/// `GET /ops/streams/{id}`.
#[derive(Clone, Debug, Serialize)]
pub struct StreamDetail {
    /// The stream.
    pub id: StreamId,
    /// `idle`, `waiting`, `on_air`, `holding`, `ended`, `restarting`, `degraded`.
    pub state: String,
    /// The slot shown by the law.
    pub on_air: Option<Slot>,
    /// Both slots.
    pub slots: Vec<SlotDetail>,
    /// The worker and its output, while a broadcast runs.
    pub pipeline: Option<PipelineDetail>,
    /// Latest journal entries, newest first, at most 100.
    pub journal: Vec<JournalEntry>,
}

/// One slot.
#[derive(Clone, Debug, Serialize)]
pub struct SlotDetail {
    /// Which.
    pub slot: Slot,
    /// Media within the stall time.
    pub live: bool,
    /// The publisher, if one is admitted.
    pub session: Option<SessionDetail>,
}

/// An admitted publisher.
#[derive(Clone, Debug, Serialize)]
pub struct SessionDetail {
    /// Its name.
    pub id: SessionId,
    /// Its door.
    pub protocol: Protocol,
    /// Its address.
    pub peer: String,
    /// What the encoder calls itself.
    pub agent: Option<String>,
    /// Seconds since it was admitted.
    pub age_s: f64,
    /// Seconds since its last video unit.
    pub silent_s: Option<f64>,
    /// Bytes of media received.
    pub bytes: u64,
    /// Video units received.
    pub video_units: u64,
    /// Audio units received.
    pub audio_units: u64,
    /// Units dropped because the worker was too slow.
    pub dropped_units: u64,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Samples per second.
    pub sample_rate: Option<u32>,
    /// Video frames decoded by the worker.
    pub decoded_frames: Option<u64>,
}

/// The worker and its output.
#[derive(Clone, Debug, Serialize)]
pub struct PipelineDetail {
    /// `starting`, `running`, `degraded` …
    pub state: String,
    /// Worker process.
    pub pid: Option<u32>,
    /// Times the worker was replaced in this broadcast.
    pub restarts: u32,
    /// Renditions, e.g. `720p 1280x720 1800 kbit/s`.
    pub renditions: Vec<String>,
    /// Output frames so far.
    pub frames: u64,
    /// Of them repeats.
    pub repeated: u64,
    /// Frames the encoders could not take.
    pub dropped: u64,
    /// Encoder speed, 1.0 keeps up.
    pub speed: Option<f64>,
    /// Sequence number of the latest complete segment.
    pub last_segment: Option<u64>,
}

/// One line of a stream's journal.
#[derive(Clone, Debug, Serialize)]
pub struct JournalEntry {
    /// Position in the journal, from 1.
    pub seq: u64,
    /// RFC 3339, UTC, milliseconds.
    #[serde(skip)]
    pub at: SystemTime,
    /// What happened and by which rule, in words.
    pub text: String,
}
