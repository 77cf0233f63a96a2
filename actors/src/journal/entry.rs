//! What a journal's entries say: in words for people, in fields for programs.

use std::time::SystemTime;

use serde::Serialize;
use weir_media::failover::AlignmentState;
use weir_media::id::{SessionId, Slot};
use weir_policy::doctor::Code;
use weir_policy::failover::{InputState, Timer};

/// One entry of a stream's journal. As JSON its event's fields stand beside its own, and `event` names it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalEntry {
    /// Position in the journal, from 1, ascending; what is gone leaves a hole.
    pub seq: u64,
    /// Wall clock. The API writes it, as RFC 3339.
    #[serde(skip)]
    pub at: SystemTime,
    /// What happened and by which rule, in words.
    pub text: String,
    /// What happened.
    #[serde(flatten)]
    pub what: JournalEvent,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JournalEvent {
    /// A slot's input is doing differently.
    Input {
        /// The slot.
        slot: Slot,
        /// Its publisher.
        session: Option<SessionId>,
        /// How it is doing.
        state: InputState,
    },
    /// A slot is live, or no longer.
    Live {
        /// The slot.
        slot: Slot,
        /// It is.
        live: bool,
        /// Why.
        reason: String,
    },
    /// Another slot is on air.
    OnAir {
        /// The slot; null holds the last picture.
        slot: Option<Slot>,
        /// By which rule.
        rule: String,
    },
    /// The output carries another slot's pictures, or another session's of the same slot.
    Shown {
        /// The slot; null holds the last picture.
        slot: Option<Slot>,
        /// The publisher.
        session: Option<SessionId>,
        /// It stands in for the slot on air, which has no content.
        covers: bool,
        /// First output frame that shows it, counted from the broadcast's start.
        frame: u64,
    },
    /// A timer of the rule runs, or no longer.
    Timer {
        /// Which.
        timer: Timer,
        /// What became of it.
        state: TimerState,
        /// When an armed one fires. The API writes it, as RFC 3339.
        #[serde(skip)]
        due: Option<SystemTime>,
    },
    /// A warm slot is to be decoded although it is not shown, or no longer.
    Prepare {
        /// The slot.
        slot: Slot,
        /// Decode it.
        decode: bool,
    },
    /// A hole in what viewers saw or heard is over, or another input is shown without one.
    Gap {
        /// The slot shown before it.
        from: Option<Slot>,
        /// The slot shown after it.
        to: Option<Slot>,
        /// Output for which the input on air had no picture, milliseconds.
        filled_ms: u32,
        /// Inserted silence, milliseconds.
        silence_ms: u32,
        /// From the last output frame with a picture of its own to the first one after the hole, milliseconds.
        since_good_ms: u32,
        /// First output frame after it, counted from the broadcast's start.
        frame: u64,
    },
    /// Both slots' programmes are known to be so far apart.
    Alignment {
        /// How sure that is.
        state: AlignmentState,
        /// How much later the backup's programme arrives; negative: earlier.
        offset_ms: Option<f64>,
        /// Likeness of the sound at that offset, up to 1.
        confidence: Option<f64>,
        /// Drift of the backup's clock against the primary's, parts per million.
        drift_ppm: Option<i32>,
    },
    /// A broadcast began or ended.
    Broadcast {
        /// Which of both.
        state: BroadcastState,
    },
    /// The worker, or what it makes.
    Worker {
        /// What became of it.
        state: WorkerState,
        /// Why.
        reason: Option<String>,
    },
    /// A publisher came or went.
    Session {
        /// Its slot.
        slot: Slot,
        /// The publisher.
        session: SessionId,
        /// Which of both.
        state: SessionState,
        /// Why it went.
        reason: Option<String>,
    },
    /// A publisher sends something that is not as it should be, or no longer.
    Doctor {
        /// Its slot.
        slot: Slot,
        /// The publisher.
        session: SessionId,
        /// What it is.
        code: Code,
        /// Which of both.
        state: FindingState,
    },
    /// What comes to a slot is only looked at, or no longer.
    Preflight {
        /// The slot.
        slot: Slot,
        /// Which of both.
        state: PreflightState,
    },
    /// Pulling came to something.
    Pull {
        /// The source, counted from 0.
        source: usize,
        /// What became of it.
        state: PullState,
        /// Why.
        reason: Option<String>,
    },
    /// Anything else.
    Note,
}

impl JournalEvent {
    /// Of interest to who reads the journal while it is new, but not in the log.
    pub(crate) fn is_detail(&self) -> bool {
        match self {
            Self::Input { .. } | Self::Timer { .. } | Self::Prepare { .. } => true,
            Self::Gap { filled_ms, silence_ms, .. } => (*filled_ms, *silence_ms) == (0, 0),
            _ => false,
        }
    }
}

/// What became of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerState {
    /// It runs.
    Armed,
    /// Its time came.
    Fired,
    /// What it ran for came to nothing, or it starts anew.
    Cancelled,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastState {
    /// Media came where none was.
    Began,
    /// None came for the linger time, or it was ended.
    Ended,
}

/// What became of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Manifests answer 200 and parts advance.
    Playable,
    /// Parts no longer advance.
    Stalled,
    /// It died and is replaced.
    Died,
    /// It keeps dying and is tried slowly.
    Degraded,
}

/// What became of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It was let in.
    Admitted,
    /// It was told to go.
    Ordered,
    /// It is gone.
    Closed,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// It has lasted long enough to be told.
    Raised,
    /// It has been gone long enough.
    Cleared,
}

/// What became of a preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreflightState {
    /// It was begun.
    Opened,
    /// The operator ended it before its time.
    Ended,
}

/// What became of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    /// It is asked, the first after one that delivered.
    Trying,
    /// It delivers.
    On,
    /// It does not, or no longer; told once for each reason.
    Failed,
    /// None has for too long.
    GaveUp,
}
