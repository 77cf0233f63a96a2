//! What the rule is told, and what it decides.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_media::id::{SessionId, Slot};

use super::{InputState, Law, Loss, Policy};

/// Something that became true. What is told of a session that no slot holds (any more) is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A publisher was admitted to the slot, in place of any earlier one.
    Admitted(Slot, SessionId),
    /// It is gone or was told to go.
    Ended(SessionId),
    /// A video access unit of it arrived.
    Arrived(SessionId),
    /// The worker began (true) or stopped to decode it; it also stops when the worker dies.
    Decoding(SessionId, bool),
    /// A picture of it was decoded, one not told before.
    Decoded(SessionId),
    /// The worker gave it up.
    Undecodable(SessionId),
    /// It has content where the output is now (true), or an underrun. A new session has none.
    Content(SessionId, bool),
    /// The distance of its keyframes.
    Gop(SessionId, Duration),
    /// The programmes of both slots are aligned, or no longer. A new session makes it untrue by itself.
    Locked(bool),
    /// The settings were changed.
    Configured(Policy),
    /// The operator wants this slot on air, or leaves it to the rules again. A slot that is not live cannot be chosen; one that shows no
    /// picture yet goes on air with its first.
    Chosen(Option<Slot>),
}

/// A decision and the instant it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When. May lie before the call that returned it, if that came late.
    pub at: Instant,
    /// What has to be carried out or told.
    pub action: Action,
}

/// What has to be carried out or told. Each edge comes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Media came where no broadcast was: one begins.
    Begin,
    /// The slot has this publisher, and its input is doing so.
    Input(Slot, Option<SessionId>, InputState),
    /// The slot is live.
    Live(Slot),
    /// The slot is not live any more.
    Lost(Slot, Loss),
    /// Put this slot on air, by this rule; `None` holds the last picture once nothing is left to show.
    OnAir(Option<Slot>, Law),
    /// Decode this slot's input from now on, a later session's too.
    Prepare(Slot),
    /// Do not decode this slot's input any longer.
    Rest(Slot),
    /// The timer runs, until then.
    Armed(Timer, Instant),
    /// The timer's time has come.
    Fired(Timer),
    /// What the timer ran for came to nothing, or it starts anew.
    Cancelled(Timer),
    /// The operator's choice is not live and is dropped.
    ChoiceRefused(Slot),
    /// No media for `linger`: the broadcast is over.
    End,
}

/// The timers that are told. A stall is not: its deadline moves with every access unit, and [`Action::Lost`] tells its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Primary's steady media, before its return.
    Hold,
    /// The wait for any media, before the broadcast ends.
    Linger,
}

impl Timer {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Hold, Self::Linger];
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Linger => "linger",
        })
    }
}
