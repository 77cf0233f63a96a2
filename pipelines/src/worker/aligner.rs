//! The thread that keeps both slots' inputs in step: it listens to their sound and moves the one that is not shown.
//!
//! The input that is shown is never moved: it is what the other one is aligned to, so that a switch between them goes on in the very
//! frame. Where alignment would show the other input sooner after its arrival than it can be decoded, or later than its queue holds,
//! nothing is moved; in mode `freeze`, which has no reserve, it still counts as the same programme and may cover.

use std::sync::Arc;
use std::thread::JoinHandle;

use weir_media::align::{Aligner, SearchRange, State};
use weir_media::failover::{Alignment, AlignmentState, Mode};
use weir_media::id::{SessionId, Slot};
use weir_media::protocol::FromWorker;

use super::stage::{Inputs, Stage};
use super::timeline::Timeline;

/// Time between two looks whether a measurement is due, nanoseconds.
const LOOK: i64 = 100_000_000;
/// Shortest time from arrival to show that an alignment may leave, nanoseconds.
const LEAST_LEAD: i64 = 150_000_000;
/// How much more than the output's delay an alignment may add, nanoseconds.
const MOST_EXTRA: i64 = 6_000_000_000;
/// An input that is off by less is left where it is, nanoseconds.
const IN_STEP: i64 = 500_000;

/// Starts the thread. It runs until [`Inputs::stopping`].
pub fn spawn(stage: Arc<Stage>, timeline: Timeline, mode: Mode, delay: i64) -> std::io::Result<JoinHandle<()>> {
    let listener = Listener { stage, timeline, mode, delay, pair: None, told: Alignment::default() };
    std::thread::Builder::new().name("aligner".into()).spawn(move || listener.run())
}

struct Listener {
    stage: Arc<Stage>,
    timeline: Timeline,
    mode: Mode,
    delay: i64,
    /// The pair that is compared, primary first.
    pair: Option<[SessionId; 2]>,
    told: Alignment,
}

impl Listener {
    fn run(mut self) {
        // Made with the first pair: most streams have one input.
        let mut aligner = None;
        let stage = self.stage.clone();
        let mut inputs = stage.lock();
        while !inputs.stopping {
            let pair = pair(&inputs);
            if pair != self.pair {
                self.pair = pair;
                aligner.iter_mut().for_each(Aligner::restart);
                self.tell(&mut inputs, State::Searching);
            }
            let new = || Aligner::new(SearchRange::default());
            if let Some(windows) = pair.and_then(|pair| take(aligner.get_or_insert_with(new), &inputs, pair)) {
                drop(inputs);
                let state = windows.measure().state;
                inputs = stage.lock();
                if self.pair == self::pair(&inputs) {
                    self.apply(&mut inputs, state);
                    self.tell(&mut inputs, state);
                }
            }
            inputs = stage.wait(&stage.ending, inputs, LOOK);
        }
    }

    /// Brings the input that is not shown in step with the other one, if it is known where that is.
    fn apply(&self, inputs: &mut Inputs, state: State) {
        let Some([primary, backup]) = self.pair else { return };
        // While an earlier session is played out none of the pair is shown: what was in step with that stays.
        let on_programme = |id| inputs.sessions.get(&id).is_some_and(|session| session.on_programme);
        let backup_leads = match inputs.shown {
            Some(shown) if shown == primary || shown == backup => shown == backup,
            _ => on_programme(backup),
        };
        let (moved, reference) = if backup_leads { (primary, backup) } else { (backup, primary) };
        let on_programme = on_programme(reference);
        let late = match state {
            State::Locked(_) => self.late(inputs, state),
            // A doubt does not move anything, a broken lock is no lock.
            State::Lost => None,
            State::Searching | State::Candidate => return,
        };
        let Some(session) = inputs.sessions.get_mut(&moved) else { return };
        let Some(late) = late else { return session.on_programme = false };
        let late = if moved == backup { late } else { -late };
        let aligned = late.abs() <= IN_STEP || session.align(-late, [LEAST_LEAD, self.delay + MOST_EXTRA]);
        session.centre_pictures(&self.timeline);
        session.on_programme = on_programme && (aligned || self.mode == Mode::Freeze);
    }

    /// How much later the backup's sound is heard than the primary's, nanoseconds.
    fn late(&self, inputs: &Inputs, state: State) -> Option<i64> {
        self.lag(inputs, state, |session| session.sound_origin())
    }

    /// The backup's lag behind the primary, where `origin` is the wall clock of a session's source time 0.
    fn lag(
        &self,
        inputs: &Inputs,
        state: State,
        origin: impl Fn(&super::session::Session<gst::Buffer>) -> Option<i64>,
    ) -> Option<i64> {
        let State::Locked(alignment) = state else { return None };
        let [primary, backup] = self.pair?.map(|id| inputs.sessions.get(&id));
        let (primary, backup) = (origin(primary?)?, origin(backup?)?);
        let source = self.stage.clock.now() - primary;
        Some(alignment.offset_at(source) + backup - primary)
    }

    fn tell(&mut self, inputs: &mut Inputs, state: State) {
        let named = match (self.pair, state) {
            (None, _) => AlignmentState::Idle,
            (_, State::Searching) => AlignmentState::Searching,
            (_, State::Candidate) => AlignmentState::Candidate,
            (_, State::Locked(_)) => AlignmentState::Locked,
            (_, State::Lost) => AlignmentState::Lost,
        };
        let offset = self.lag(inputs, state, |session| session.arrival_origin());
        let mut alignment = Alignment { state: named, offset_us: offset.map(|ns| ns / 1_000), ..Alignment::default() };
        if let State::Locked(locked) = state {
            alignment.confidence_milli = Some((locked.confidence * 1_000.0) as u16);
            alignment.drift_ppm = Some(locked.drift_ppm().round() as i32);
        }
        inputs.alignment = alignment;
        if std::mem::replace(&mut self.told, alignment).state != named {
            inputs.tell(FromWorker::Alignment(alignment));
        }
    }
}

/// The newest input of each slot, once both have sound.
fn pair(inputs: &Inputs) -> Option<[SessionId; 2]> {
    let newest = |slot: Slot| {
        let mut sounding = inputs.sessions.iter().filter(|(_, s)| s.slot == slot && !s.closed && s.sounds());
        sounding.next_back().map(|(id, _)| *id)
    };
    Some([newest(Slot::Primary)?, newest(Slot::Backup)?])
}

fn take<'a>(
    aligner: &'a mut Aligner,
    inputs: &Inputs,
    [primary, backup]: [SessionId; 2],
) -> Option<weir_media::align::Windows<'a>> {
    aligner.take(inputs.sessions.get(&primary)?.tap(), inputs.sessions.get(&backup)?.tap())
}
