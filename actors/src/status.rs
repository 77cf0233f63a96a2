//! Snapshots for the API and for operators: values, never references into the tree.

mod board;
pub mod doctor;

use std::time::{Duration, SystemTime};

use serde::Serialize;
use weir_media::failover::{Alignment, AlignmentState, FailoverSpec, Mode, Standby};
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_policy::failover::InputState;

pub use self::board::StatusBoard;
use self::doctor::{FindingDetail, MeasuredDetail};
use crate::ingest::TransportStats;
pub use crate::journal::{JournalEntry, JournalEvent};
use crate::probe::Lag;
use crate::supervise::Vitals;

/// What a stream is doing, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// Nobody publishes.
    #[default]
    Idle,
    /// A publisher is there, and no broadcast yet.
    Waiting,
    /// A slot is on air.
    OnAir,
    /// The last picture is held.
    Holding,
    /// The broadcast is over.
    Ended,
}

impl StreamState {
    /// As operators read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::OnAir => "on_air",
            Self::Holding => "holding",
            Self::Ended => "ended",
        }
    }
}

/// The live fields of one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStatus {
    /// What it is doing.
    pub state: StreamState,
    /// The slot on air; `None` holds the last picture, or there is no broadcast.
    pub on_air: Option<Slot>,
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
    /// When the primary slot last became live; later than its end while it is. A reconnect within the stall time is no new start.
    pub started_at_primary: Option<SystemTime>,
    /// When the backup slot last became live.
    pub started_at_backup: Option<SystemTime>,
    /// When the primary slot was last lost.
    pub finished_at_primary: Option<SystemTime>,
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
    /// The slot on air by the law; null holds the last picture, or there is no broadcast.
    pub on_air: Option<Slot>,
    /// The slot that an operator chose, until it is lost or the choice is taken back; null leaves it to the rules.
    pub chosen: Option<Slot>,
    /// The slot whose pictures the output carries now; differs from `on_air` during a cover or a delay.
    pub shown: Option<Slot>,
    /// Seconds of steady media that primary still lacks for its return, while it waits for it.
    pub hold_remaining_s: Option<f64>,
    /// What is shown without content: of the running broadcast, else of the next one. So are the three below.
    pub mode: Mode,
    /// Whether the slot that is not shown is decoded.
    pub standby: Standby,
    /// How far a hitless output runs behind arrival.
    pub delay_ms: u64,
    /// How much later than its timestamps say each slot's sound is played.
    pub trim_ms: TrimDetail,
    /// How far apart both slots' programmes are.
    pub alignment: AlignmentDetail,
    /// Both slots.
    pub slots: Vec<SlotDetail>,
    /// The worker and its output, while a broadcast runs.
    pub pipeline: Option<PipelineDetail>,
    /// What it is pulled from, while it is.
    pub pull: Option<PullDetail>,
    /// Latest journal entries, newest first, at most 100.
    pub journal: Vec<JournalEntry>,
}

impl StreamDetail {
    /// A stream that nobody publishes to; its next broadcast is made as `failover` says.
    pub fn quiet(id: StreamId, state: &str, failover: &FailoverSpec) -> Self {
        let slot = |slot| SlotDetail { slot, live: false, state: InputState::Absent, session: None, doctor: vec![] };
        let trim_ms = TrimDetail { primary: failover.trim_ms(Slot::Primary), backup: failover.trim_ms(Slot::Backup) };
        Self {
            id,
            state: state.to_owned(),
            on_air: None,
            chosen: None,
            shown: None,
            hold_remaining_s: None,
            mode: failover.mode,
            standby: failover.standby,
            delay_ms: failover.delay.as_millis() as u64,
            trim_ms,
            alignment: Alignment::default().into(),
            slots: vec![slot(Slot::Primary), slot(Slot::Backup)],
            pipeline: None,
            pull: None,
            journal: vec![],
        }
    }
}

/// Milliseconds by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrimDetail {
    /// The primary's.
    pub primary: i32,
    /// The backup's.
    pub backup: i32,
}

/// How far apart both slots' programmes are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AlignmentDetail {
    /// How sure it is.
    pub state: AlignmentState,
    /// How much later the backup's programme arrives than the primary's; negative: earlier.
    pub offset_ms: Option<f64>,
    /// Likeness of the sound at that offset, up to 1.
    pub confidence: Option<f64>,
    /// Drift of the backup's clock against the primary's, parts per million.
    pub drift_ppm: Option<i32>,
}

impl From<Alignment> for AlignmentDetail {
    fn from(alignment: Alignment) -> Self {
        Self {
            state: alignment.state,
            offset_ms: alignment.offset_us.map(|offset| offset as f64 / 1_000.0),
            confidence: alignment.confidence_milli.map(|confidence| f64::from(confidence) / 1_000.0),
            drift_ppm: alignment.drift_ppm,
        }
    }
}

/// One slot.
#[derive(Clone, Debug, Serialize)]
pub struct SlotDetail {
    /// Which.
    pub slot: Slot,
    /// Media within the stall time.
    pub live: bool,
    /// How its input is doing.
    pub state: InputState,
    /// The publisher, if one is admitted.
    pub session: Option<SessionDetail>,
    /// What is wrong with what it sends.
    pub doctor: Vec<FindingDetail>,
}

/// An admitted publisher.
#[derive(Clone, Debug, Serialize)]
pub struct SessionDetail {
    /// Its name.
    pub id: SessionId,
    /// It is only looked at and does not go on air.
    pub preflight: bool,
    /// Its door.
    pub protocol: Protocol,
    /// Its address; of a source that is pulled from, where that is, without what may be secret.
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
    /// Content that waits for its output frame, milliseconds.
    pub buffered_ms: Option<u32>,
    /// Distance of its keyframes, milliseconds.
    pub gop_ms: Option<u32>,
    /// Its connection, where the transport tells of it.
    pub transport: Option<TransportStats>,
    /// What its media measures, from its second second on.
    pub measured: Option<MeasuredDetail>,
}

/// What a stream is pulled from, and how that goes.
#[derive(Clone, Debug, Serialize)]
pub struct PullDetail {
    /// `waiting` for the next try, `trying`, `on`, `given_up`.
    pub state: &'static str,
    /// The source that it is about, counted from 0.
    pub source: usize,
    /// Its address, without what may be secret.
    pub uri: String,
    /// How many there are.
    pub sources: usize,
    /// Tries since the last media.
    pub tries: u64,
    /// Why the latest try failed, or the latest source was let go.
    pub last_error: Option<String>,
    /// Seconds until the next try.
    pub next_try_s: Option<f64>,
    /// Seconds until it is given up; null while the stream is live.
    pub gives_up_s: Option<f64>,
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
