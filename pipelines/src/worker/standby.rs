//! Which inputs' video is decoded. Pure.
//!
//! A hot standby is always decoded. A warm one is when it is on air or shown, when the control process prepares its slot, and in mode
//! `hitless` as soon as what is shown has less left than the decoder needs to catch up from a keyframe: [`PREROLL`]. It rests again
//! once all of that has not been so for [`REST`].

use std::collections::{BTreeMap, BTreeSet};

use weir_media::failover::{FailoverSpec, Mode, Standby};
use weir_media::id::{SessionId, Slot};

use super::stage::Inputs;

/// Longest time that a decoder gets to catch up before it is needed, nanoseconds; never more than six tenths of the delay.
const PREROLL: i64 = 800_000_000;
/// How long a decoder that is not needed any more goes on, nanoseconds.
const REST: i64 = 5_000_000_000;

/// The choice for one broadcast.
#[derive(Debug)]
pub struct Standbys {
    spec: FailoverSpec,
    preroll: i64,
    prepared: [bool; 2],
    /// When each input was last needed.
    needed: BTreeMap<SessionId, i64>,
}

impl Standbys {
    /// For an output that runs `delay` nanoseconds behind arrival.
    pub fn new(spec: FailoverSpec, delay: i64) -> Self {
        let preroll = match spec.mode {
            Mode::Freeze => 0,
            Mode::Hitless => PREROLL.min(delay * 6 / 10),
        };
        Self { spec, preroll, prepared: [false; 2], needed: BTreeMap::new() }
    }

    /// Everything is always decoded.
    pub fn is_hot(&self) -> bool {
        self.spec.standby == Standby::Hot
    }

    /// The control process wants `slot` decoded, or no longer.
    pub fn prepare(&mut self, slot: Slot, decode: bool) {
        self.prepared[slot as usize] = decode;
    }

    /// The inputs to decode.
    pub fn wanted(&mut self, now: i64, inputs: &Inputs) -> BTreeSet<SessionId> {
        let sessions = &inputs.sessions;
        if self.is_hot() {
            return sessions.keys().copied().collect();
        }
        let shown = inputs.shown.and_then(|id| sessions.get(&id));
        let short = shown.and_then(|session| session.arrived_until()).is_some_and(|until| until - now < self.preroll);
        self.needed.retain(|id, _| sessions.contains_key(id));
        for (id, session) in sessions {
            let on_screen = [inputs.shown, inputs.on_air].contains(&Some(*id));
            if on_screen || short || self.prepared[session.slot as usize] {
                self.needed.insert(*id, now);
            }
        }
        self.needed.iter().filter(|(_, at)| now - **at < REST).map(|(id, _)| *id).collect()
    }
}
