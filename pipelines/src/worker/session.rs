//! One input as the mixer sees it: decoded pictures and sound, mapped to the wall clock. Pure; `P` is a picture.
//!
//! All times that enter are on the source's timeline, all times that are asked for are wall clock; both in nanoseconds.
//! An input is shown some [`Delay`] after its arrival, moved by what the alignment of its sound with another input's asks for. Slot `t` shows
//! the latest picture due at its middle; pictures of an input that is not shown are taken off just the same, so that a switch shows one
//! at once.
//!
//! An input has *content* for a slot when a picture lasts into it and its sound reaches to its end: both end together, so a switch
//! changes picture and sound in the same slot.

use std::collections::VecDeque;
use std::ops::Range;

use weir_media::align::{SearchRange, Tap};
use weir_media::id::Slot;

use super::anchor::Anchor;
use super::audio_ring::{AudioRing, Sample, sample_number};
use super::delay::Delay;
use super::lateness::Lateness;
use super::timeline::Timeline;

/// Most decoded pictures waiting for their slot; a full queue holds the decoder.
const PICTURES: usize = 15;
/// A picture this close to the edge between two slots goes where the rhythm wants it, nanoseconds.
const HYSTERESIS: i64 = 3_000_000;

/// Longest wait for an input's first sound, nanoseconds: by then a transport stream has filled a packet with it.
const FIRST_SOUND: i64 = 400_000_000;
/// A picture that comes later than this after its slot does not count, nanoseconds.
const LONGEST_LATE: i64 = 300_000_000;
/// A picture is presented at most this long after it is decoded, nanoseconds; far more than any encoder reorders.
const FARTHEST: i64 = 5_000_000_000;
/// Pictures further apart than this are a hole, not a slow source, nanoseconds.
const LONGEST_PICTURE: i64 = 500_000_000;
/// An input whose sound stays behind its pictures by this much is one without sound, nanoseconds.
const MUTE: i64 = 1_000_000_000;
/// The phase of an aligned input's pictures is left alone up to this part of a slot.
const PHASE_TOLERANCE: i64 = 4;
/// Seam between two blocks of sound beyond which it is another timeline, samples: 2 s, as the ring has it.
const LONGEST_SEAM: i64 = 2 * weir_media::grid::SAMPLE_RATE as i64;

/// What is waited for, and how far its decoder has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pictures: Option<u64>,
    sound: Option<i64>,
}

/// One open input.
#[derive(Debug)]
pub struct Session<P> {
    /// Its ingest point.
    pub slot: Slot,
    delay: Delay,
    /// By how much alignment shows it later than its delay says.
    shift: i64,
    /// Added to the pictures alone, so that those of an aligned input lie in the middle of slots.
    picture_phase: i64,
    /// By how much its sound is played later than its timestamps say.
    trim: i64,
    anchor: Option<Anchor>,
    pictures: VecDeque<(i64, P)>,
    current: Option<P>,
    /// It came by in [`Self::catch_up`], since the latest slot was made.
    caught_up: bool,
    /// How long a picture lasts, from the latest two.
    picture_lasts: i64,
    /// Wall clock of the latest slot that was made.
    made: Option<i64>,
    /// When a decoder last gave a picture, counted or not.
    given_at: Option<i64>,
    /// Source time up to which pictures were taken off.
    shown_until: Option<i64>,
    audio: AudioRing,
    tap: Tap,
    /// Arrival, wall clock, and DTS of the latest video unit.
    video_seen: Option<(i64, i64)>,
    /// It is known to carry the programme that is on air.
    pub on_programme: bool,
    /// It had content for the latest slot.
    pub content: bool,
    /// Times that it had none any more.
    pub underruns: u64,
    sound_lateness: Lateness,
    fed_video: Option<i64>,
    fed_audio: Option<i64>,
    /// Pictures decoded so far.
    pub decoded_pictures: u64,
    /// PTS of the latest decoded picture, source time.
    pub decoded_until: Option<i64>,
    /// When the latest picture was decoded, wall clock.
    pub decoded_at: Option<i64>,
    /// The publisher is gone; what is queued is played out.
    pub closed: bool,
}

impl<P: Clone> Session<P> {
    /// An input of `slot` that is shown `delay` nanoseconds after its arrival, its sound another `trim`.
    pub fn new(slot: Slot, delay: i64, trim: i64) -> Self {
        Self {
            slot,
            delay: Delay::new(delay),
            shift: 0,
            picture_phase: 0,
            trim,
            picture_lasts: LONGEST_PICTURE,
            tap: Tap::new(SearchRange::default()),
            video_seen: None,
            on_programme: false,
            content: false,
            underruns: 0,
            anchor: None,
            pictures: VecDeque::with_capacity(PICTURES),
            current: None,
            caught_up: false,
            made: None,
            given_at: None,
            shown_until: None,
            audio: AudioRing::default(),
            sound_lateness: Lateness::default(),
            fed_video: None,
            fed_audio: None,
            decoded_pictures: 0,
            decoded_until: None,
            decoded_at: None,
            closed: false,
        }
    }

    /// A video unit arrived. It alone moves the anchor: a source has one clock, and video is what is never missing.
    /// `true` when the source's clock jumped: what is queued is void, and so is what decoders still hold.
    pub fn video_arrived(&mut self, now: i64, dts: i64) -> bool {
        self.video_seen = Some((now, dts));
        let late = self.lead();
        let Some(anchor) = &mut self.anchor else {
            self.anchor = Some(Anchor::new(now, dts));
            return false;
        };
        let jumped = anchor.arrived(now, dts, late);
        self.sound_lateness.picture(now, anchor.taken_at() == now);
        if jumped {
            self.pictures.clear();
            self.audio.clear();
            self.tap.clear();
            self.sound_lateness = Lateness::default();
            self.on_programme = false;
            self.shown_until = None;
            self.fed_audio = None;
        }
        jumped
    }

    /// An audio unit arrived. Some encoders send sound later than the pictures it belongs to, or in bursts; sound that never comes in
    /// time would never be heard, so the input is then shown later by as much.
    pub fn audio_arrived(&mut self, now: i64, pts: i64) {
        if self.anchor.is_none() {
            return;
        }
        if let Some(late) = self.sound_lateness.sound(now, pts) {
            self.hear(late);
        }
    }

    /// Has sound heard whose arrival is `late` nanoseconds behind its timestamp.
    fn hear(&mut self, late: i64) {
        let Some(anchor) = &self.anchor else { return };
        if self.delay.hear(anchor.source(late) - self.shift - self.trim) {
            self.audio.jump();
        }
    }

    /// A video unit went to the decoder.
    pub fn video_fed(&mut self, dts: i64) {
        self.fed_video = Some(dts);
    }

    /// An audio unit went to the decoder.
    pub fn audio_fed(&mut self, pts: i64) {
        self.fed_audio = Some(pts);
    }

    /// No decoder works on this track any more; nobody should wait for it.
    pub fn video_reset(&mut self) {
        self.fed_video = None;
    }

    /// As [`Self::video_reset`], for audio.
    pub fn audio_reset(&mut self) {
        self.fed_audio = None;
    }

    /// Drops every picture: they have a size that is no longer wanted.
    pub fn forget_pictures(&mut self) {
        self.pictures.clear();
        self.current = None;
        self.shown_until = None;
        self.fed_video = None;
    }

    /// The decoder may hand over another picture.
    pub fn picture_room(&self) -> bool {
        self.pictures.len() < PICTURES
    }

    /// The decoder may hand over another second of sound.
    pub fn audio_room(&self) -> bool {
        self.audio.has_room()
    }

    /// A decoded picture. One that comes long after its slot was made is none: a decoder that is fed nothing but noise gives away what it
    /// had kept back, one old picture with every keyframe. A decoder that is merely late gives many.
    pub fn picture(&mut self, now: i64, pts: i64, picture: P) {
        let silent = self.given_at.replace(now).is_none_or(|before| now - before > LONGEST_LATE);
        if silent && self.due(pts).zip(self.made).is_some_and(|(due, made)| due < made - LONGEST_LATE) {
            return;
        }
        // One that claims to be shown in hours would hold up all that come before it.
        if self.video_seen.is_some_and(|(_, dts)| pts > dts + FARTHEST) {
            return;
        }
        let step = self.decoded_until.map_or(0, |before| pts - before);
        if (1..LONGEST_PICTURE).contains(&step) {
            self.picture_lasts = step;
        }
        self.decoded_pictures += 1;
        self.decoded_until = Some(pts);
        self.decoded_at = Some(now);
        self.pictures.push_back((pts, picture));
    }

    /// Decoded sound that starts at `pts`.
    pub fn sound(&mut self, pts: i64, block: &[Sample]) {
        let end = self.audio.end();
        self.audio.write(sample_number(pts), block);
        // The ring's own numbers: it smooths what timestamps round.
        let at = self.audio.end().map_or(0, |end| end - block.len() as i64);
        if end.is_some_and(|end| (at - end).abs() > LONGEST_SEAM) {
            self.tap.clear();
        }
        self.tap.push(at, block);
    }

    /// It had content for the slot that was made, or not. The control process hears of changes.
    pub fn note_content(&mut self, has_content: bool) {
        self.underruns += u64::from(self.content && !has_content);
        self.content = has_content;
    }

    /// What alignment listens to.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// It has sound, which arrives and decodes about as far as the pictures do.
    pub fn sounds(&self) -> bool {
        let Some(end) = self.audio.end() else { return false };
        self.video_seen.is_none_or(|(_, dts)| end > sample_number(dts - MUTE))
    }

    /// Wall clock at which the sound of the source time 0 is heard: what alignment compares. `None` before the first unit.
    pub fn sound_origin(&self) -> Option<i64> {
        Some(self.anchor.as_ref()?.wall(0) + self.lead() + self.trim)
    }

    /// As [`Self::sound_origin`], for its arrival.
    pub fn arrival_origin(&self) -> Option<i64> {
        Some(self.anchor.as_ref()?.wall(0))
    }

    /// Shows it later by `by` nanoseconds more (negative: earlier), so that its sound is heard together with another input's.
    /// Refused, and nothing is changed, when that would leave less than `least` nanoseconds or more than `most` from arrival to show.
    pub fn align(&mut self, by: i64, [least, most]: [i64; 2]) -> bool {
        let lead = self.lead() + by;
        if !(least..=most).contains(&lead) {
            return false;
        }
        self.shift += by;
        // What is moved later has to wait for its content; that is no underrun.
        self.content &= by <= 0;
        true
    }

    /// Where the pictures of an aligned input lie near the edges of slots, moves them, and nothing else, to the middle: at an edge, every
    /// rounding of a timestamp would repeat one and skip another.
    pub fn centre_pictures(&mut self, timeline: &Timeline) {
        let Some(due) = self.pictures.front().and_then(|(pts, _)| self.due(*pts)) else { return };
        let (slot, phase) = (timeline.slot(), timeline.phase(due));
        // Pictures of another rate lie everywhere.
        let same_rate = (self.picture_lasts - slot).abs() <= slot / 8;
        if same_rate && phase.abs() > slot / PHASE_TOLERANCE {
            self.picture_phase = (self.picture_phase - phase + slot / 2).rem_euclid(slot) - slot / 2;
        }
    }

    /// Wall clock at which a picture is due.
    pub fn due(&self, pts: i64) -> Option<i64> {
        Some(self.anchor.as_ref()?.wall(pts) + self.lead() + self.picture_phase)
    }

    /// Source time of the sound that is heard at wall clock `t`.
    fn heard_at(&self, t: i64) -> Option<i64> {
        Some(self.anchor.as_ref()?.source(t - self.lead() - self.trim))
    }

    /// Nanoseconds from arrival to show.
    fn lead(&self) -> i64 {
        self.delay.now() + self.shift
    }

    /// Wall clock until which there is video, decoded or not, to be shown.
    pub fn arrived_until(&self) -> Option<i64> {
        self.due(self.video_seen?.1)
    }

    /// Takes off what is due in the slot that starts at `t`, whether it is `shown` there or not; `true` when there is a new picture.
    pub fn advance(&mut self, now: i64, t: i64, timeline: &Timeline, shown: bool) -> bool {
        self.delay.slot(timeline.slot(), shown);
        let first = self.pictures.front().and_then(|(pts, _)| self.due(*pts));
        // An aligned input is where its sound belongs; only its pictures may move.
        if let (Some(due), Some(anchor), 0) = (first, &mut self.anchor, self.shift) {
            anchor.phase_once(now, || timeline.phase(due));
        }
        self.made = Some(t);
        let hysteresis = HYSTERESIS.min(timeline.slot() / 8);
        let middle = t + timeline.slot() / 2;
        // One that came by a moment ago, because the slot before was a little too early for it, is this slot's.
        let fresh = std::mem::take(&mut self.caught_up) || self.take_until(middle + hysteresis);
        if fresh {
            while self.take_until(middle - hysteresis) {}
        }
        fresh
    }

    /// Takes off what was due before the slot that starts at `t`, so that a decoder that catches up has room for what the slot
    /// needs; `true` when there is a new picture.
    pub fn catch_up(&mut self, t: i64) -> bool {
        let mut fresh = false;
        while self.take_until(t - HYSTERESIS - 1) {
            fresh = true;
        }
        self.caught_up |= fresh;
        fresh
    }

    /// Takes off one picture if it is due at `edge`.
    fn take_until(&mut self, edge: i64) -> bool {
        let due = self.pictures.front().and_then(|(pts, _)| self.due(*pts));
        if due.is_none_or(|due| due > edge) {
            return false;
        }
        if let Some((pts, picture)) = self.pictures.pop_front() {
            self.shown_until = Some(pts);
            self.current = Some(picture);
        }
        true
    }

    /// Wall clock until which the picture lasts that the slot from `t` would show, [`Self::advance`]d or not yet; `None` without one.
    pub fn picture_until(&self, t: i64, timeline: &Timeline) -> Option<i64> {
        let edge = t + timeline.slot() / 2;
        let queued = self.pictures.iter().map(|(pts, _)| *pts);
        let mut known = self.shown_until.filter(|_| self.current.is_some()).into_iter().chain(queued).peekable();
        let mut until = None;
        while let Some(pts) = known.next_if(|pts| self.due(*pts).is_some_and(|due| due <= edge)) {
            let next = known.peek().map(|next| next - pts).filter(|step| (1..LONGEST_PICTURE).contains(step));
            until = self.due(pts).map(|due| due + next.unwrap_or(self.picture_lasts.min(LONGEST_PICTURE)));
        }
        until
    }

    /// It has a picture and sound for the slot from `t`, whose sound ends at `sound_to`; missed by `patience` at most.
    pub fn has_content(&self, t: i64, sound_to: i64, patience: i64, timeline: &Timeline) -> bool {
        let picture = self.picture_until(t, timeline).is_some_and(|until| until + patience > t + timeline.slot() / 4);
        picture && (!self.sounds() || self.sound_until().is_some_and(|until| until + patience >= sound_to))
    }

    /// Wall clock until which there is decoded sound.
    fn sound_until(&self) -> Option<i64> {
        let end = self.audio.end()?;
        let origin = self.sound_origin()?;
        Some(origin + (i128::from(end) * 1_000_000_000 / i128::from(weir_media::grid::SAMPLE_RATE)) as i64)
    }

    /// The latest picture that was due.
    pub fn current(&self) -> Option<P> {
        self.current.clone()
    }

    /// The next picture, not yet due.
    pub fn upcoming(&self) -> Option<P> {
        self.pictures.front().map(|(_, picture)| picture.clone())
    }

    /// Fills `out` with the sound from wall clock `t` on; returns which part of it is there.
    pub fn read_sound(&mut self, t: i64, out: &mut [Sample]) -> Range<usize> {
        let Some(source) = self.heard_at(t) else {
            out.fill([0.0; 2]);
            return 0..0;
        };
        self.audio.read(sample_number(source), out)
    }

    /// The decoders have been fed what the slot from `t` to `end` (of its sound) needs and have not delivered it yet.
    /// Returns how far they have come with it, `None` when there is nothing to wait for.
    pub fn lag(&self, t: i64, end: i64) -> Option<Lag> {
        let heard = self.heard_at(end).filter(|_| !self.closed)?;
        let reached = |pts: Option<i64>, t: i64| pts.and_then(|pts| self.due(pts)).is_some_and(|due| due >= t);
        let slack = HYSTERESIS;
        let picture =
            self.pictures.is_empty() && reached(self.fed_video, t + slack) && !reached(self.shown_until, t - slack);
        let sound = self.fed_audio.is_some_and(|fed| fed >= heard)
            && self.audio.end().is_none_or(|have| have < sample_number(heard));
        (picture || sound).then(|| Lag {
            pictures: picture.then_some(self.decoded_pictures),
            sound: if sound { self.audio.end() } else { None },
        })
    }

    /// A picture is there, the anchor stands, and it is known how late the sound comes, if any does: it can be shown from now on, with
    /// the delay that its sound asks for.
    pub fn ready(&mut self, now: i64) -> bool {
        let Some(anchor) = self.anchor.filter(|anchor| anchor.settled(now)) else { return false };
        let silent = !self.sound_lateness.has_begun(now);
        if silent && now - anchor.taken_at() < FIRST_SOUND || self.current.is_none() && self.pictures.is_empty() {
            return false;
        }
        if let Some(late) = self.sound_lateness.end_first() {
            self.hear(late);
        }
        self.delay.jump();
        true
    }

    /// Nothing was left to show at wall clock `t`.
    pub fn played_out(&self, t: i64) -> bool {
        self.pictures.is_empty() && self.arrived_until().is_none_or(|until| until < t)
    }
}

#[cfg(test)]
mod tests;
