//! What a stream does while an input fails: the settings that the rule, the worker and the API share, and what the worker measures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, Slot};

/// Shortest delay of mode `hitless`.
pub const SHORTEST_DELAY: Duration = Duration::from_millis(500);
/// Longest delay of mode `hitless`.
pub const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Largest A/V trim either way, milliseconds.
pub const LARGEST_TRIM_MS: i32 = 500;
/// Steady content of the input on air that ends a cover.
pub const COVER: Duration = Duration::from_secs(2);

/// What the viewer sees while the slot on air has no content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Lowest latency: the last picture, or the other slot if it is content-locked.
    #[default]
    Freeze,
    /// The other slot, frame by frame; the output runs behind by a delay.
    Hitless,
}

/// Whether the slot that is not shown is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standby {
    /// It is: it is media once it shows its first picture.
    #[default]
    Hot,
    /// Only when it is needed, from its last keyframe on; until then its arrival counts as media.
    Warm,
}

/// How one broadcast fails over; fixed until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverSpec {
    /// What is shown without content.
    pub mode: Mode,
    /// Whether the slot that is not shown is decoded.
    pub standby: Standby,
    /// How far a hitless output runs behind arrival: [`SHORTEST_DELAY`] to [`LONGEST_DELAY`]. Mode `freeze` has the worker's own.
    pub delay: Duration,
    /// Milliseconds by which each slot's sound is played later (negative: earlier) than its timestamps say, primary first; at most
    /// [`LARGEST_TRIM_MS`] either way. For encoders whose sound and picture are not in step.
    pub trim_ms: [i32; 2],
}

impl Default for FailoverSpec {
    fn default() -> Self {
        Self { mode: Mode::default(), standby: Standby::default(), delay: Duration::from_secs(1), trim_ms: [0; 2] }
    }
}

impl FailoverSpec {
    /// The slot's trim, milliseconds.
    pub fn trim_ms(&self, slot: Slot) -> i32 {
        self.trim_ms[slot as usize]
    }
}

/// How the input that is put on air takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandOver {
    /// When what is shown has no content left: the other input was lost, and what it delivered is played out.
    #[default]
    WhenOut,
    /// At the first output frame that it has content for.
    AtOnce,
}

/// Something that changed with one input, told in the moment it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputEdge {
    /// Its video is decoded from now on (true), or no longer.
    Decoding(bool),
    /// It has a picture and sound for the output's present frame (true), or an underrun.
    Content(bool),
}

/// Another input is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The input; `None` holds the last picture.
    pub session: Option<SessionId>,
    /// It stands in for the input on air, which has no content.
    pub covers: bool,
    /// First output frame that shows it, counted from the broadcast's start.
    pub frame: u64,
}

/// A hole in what viewers saw or heard, once it is over; also every change of input, with zeros where there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The input before it.
    pub from: Option<SessionId>,
    /// The input after it.
    pub to: Option<SessionId>,
    /// First output frame after it, counted from the broadcast's start.
    pub frame: u64,
    /// *Filled* output: frames for which the input on air had no picture within its own frame duration + 5 ms. Milliseconds.
    pub filled_ms: u32,
    /// Inserted silence, milliseconds.
    pub silence_ms: u32,
    /// From the last output frame with a picture of its own to the first one after the hole, milliseconds; one frame's without a hole.
    pub since_good_ms: u32,
}

/// What is known of how far apart both slots' programmes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alignment {
    /// How sure it is.
    pub state: AlignmentState,
    /// How much later the backup's programme arrives than the primary's (negative: earlier), microseconds.
    pub offset_us: Option<i64>,
    /// Likeness of the sound at that offset, thousandths; 350 to 1000.
    pub confidence_milli: Option<u16>,
    /// Drift of the backup's clock against the primary's, parts per million.
    pub drift_ppm: Option<i32>,
}

/// How sure an [`Alignment`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentState {
    /// There is no pair to compare.
    #[default]
    Idle,
    /// No offset has been found.
    Searching,
    /// One measurement named an offset that no other has confirmed.
    Candidate,
    /// The offset is known.
    Locked,
    /// It was known and is no longer true.
    Lost,
}
