//! The state of inputs and output, as the control process hears it 4 times a second. Pure but for the lock.

use std::collections::{BTreeMap, VecDeque};

use weir_media::failover::InputEdge;
use weir_media::id::SessionId;
use weir_media::protocol::{InputReport, Report};
use weir_media::time::FrameRate;

use super::input::Input;
use super::stage::Inputs;

/// Shortest time between two underruns of one input that are told, nanoseconds.
const EDGES: i64 = 250_000_000;
/// Time over which the encoders' speed is measured, nanoseconds.
const SPEED_WINDOW: i64 = 2_000_000_000;

/// Measures how fast the encoders advance.
#[derive(Debug, Default)]
pub struct Speedometer(VecDeque<(i64, u64)>);

impl Speedometer {
    /// Takes the frames encoded until `now`; returns thousandths of real time over the last 2 s.
    pub fn read(&mut self, now: i64, encoded: u64, rate: FrameRate) -> u32 {
        self.0.push_back((now, encoded));
        while self.0.get(1).is_some_and(|(at, _)| now - at >= SPEED_WINDOW) {
            self.0.pop_front();
        }
        let Some(&(since, before)) = self.0.front() else { return 0 };
        let wall = now - since;
        if wall <= 0 {
            return 0;
        }
        let media = rate.frame_start_ns(encoded.saturating_sub(before));
        (u128::from(media) * 1_000 / wall as u128) as u32
    }
}

/// What was told of each input: whether it is decoded, whether it has content.
#[derive(Debug, Default)]
pub struct Edges(BTreeMap<SessionId, Told>);

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    decoding: bool,
    content: bool,
    underruns: u64,
    /// When an underrun was last told.
    at: i64,
}

impl Edges {
    /// What has changed since the last look. Underruns that come faster than [`EDGES`] are told as one.
    pub fn look(
        &mut self,
        now: i64,
        compressed: &BTreeMap<SessionId, Input>,
        inputs: &Inputs,
    ) -> Vec<(SessionId, InputEdge)> {
        self.0.retain(|id, _| inputs.sessions.contains_key(id));
        let mut edges = vec![];
        for (id, session) in &inputs.sessions {
            let told = self.0.entry(*id).or_default();
            let decoding = compressed.get(id).is_some_and(|input| input.decoding);
            if std::mem::replace(&mut told.decoding, decoding) != decoding {
                edges.push((*id, InputEdge::Decoding(decoding)));
            }
            let ran_out = session.underruns > told.underruns && told.content;
            if ran_out && now - told.at >= EDGES {
                (told.content, told.at) = (false, now);
                edges.push((*id, InputEdge::Content(false)));
            }
            if session.content && !told.content {
                (told.content, told.underruns) = (true, session.underruns);
                edges.push((*id, InputEdge::Content(true)));
            }
        }
        edges
    }
}

/// A report of `inputs` as they are `now`.
pub fn report(now: i64, inputs: &Inputs, compressed: &BTreeMap<SessionId, Input>, speed_milli: u32) -> Report {
    Report {
        inputs: inputs
            .sessions
            .iter()
            .map(|(id, session)| InputReport {
                session: *id,
                decoded_frames: session.decoded_pictures,
                decoded_until_ns: session.decoded_until,
                // A decoder that is held because pictures enough are waiting decodes.
                since_decoded_ms: match session.picture_room() {
                    true => session.decoded_at.map(|at| ((now - at).max(0) / 1_000_000) as u32),
                    false => Some(0),
                },
                errors: compressed.get(id).map_or(0, |input| input.errors),
                gop_ms: compressed.get(id).and_then(|input| input.gop).map(|gop| (gop / 1_000_000) as u32),
                buffered_ms: session.arrived_until().map(|until| ((until - now).max(0) / 1_000_000) as u32),
            })
            .collect(),
        frames: inputs.frames,
        repeated: inputs.repeated,
        dropped: inputs.dropped,
        silence_samples: inputs.silence,
        speed_milli,
        alignment: inputs.alignment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_media_time_over_wall_time_of_the_last_two_seconds() {
        let mut meter = Speedometer::default();
        let mut speed = 0;
        for tick in 0..40i64 {
            // Twice real time at first, then real time.
            let encoded = if tick < 20 { tick * 15 } else { 19 * 15 + (tick - 19) * 15 / 2 };
            speed = meter.read(tick * 250_000_000, encoded as u64, FrameRate::whole(30));
            if tick == 19 {
                assert!((1_950..=2_050).contains(&speed), "{speed}");
            }
        }
        assert!((950..=1_050).contains(&speed), "{speed}");
    }
}
