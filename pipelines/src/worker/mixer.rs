//! The thread that owns the output clock: in each slot it takes a picture and the slot's sound from the input that the director picks, and
//! pushes both to the encoders.
//!
//! It never waits for an input that has nothing: the last picture is repeated, silence is written. It does wait, shortly,
//! for a decoder that has been fed and has not delivered yet, and for encoders that are full; it then runs behind and catches up,
//! because the encoders can run faster than real time. Only beyond [`SLACK`] are pictures left out, never the first of a part: each part
//! exists, and lasts as long as it should.

use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_media::failover::{Mode, Shown};
use weir_media::grid::{AAC_FRAME, SAMPLE_RATE};
use weir_media::id::SessionId;
use weir_media::protocol::{FromWorker, Output};

use super::WorkerError;
use super::director::{Candidate, Director, Shot};
use super::encode::Encoder;
use super::fade::{Fader, RAMP};
use super::gap::{Frame, GapMeter};
use super::outbox::Outbox;
use super::screenshot::Screenshots;
use super::stage::{Inputs, Stage};
use super::timeline::Timeline;

/// avenc_aac gives its first packet the time of the first sample although that packet holds the priming: sound comes this many
/// samples late, so it is read that much ahead. Flash and beep of a source keep their distance to 0.1 ms with it.
pub const AAC_DELAY: u64 = 1_024;
/// How far the output may fall behind its clock before pictures are left out, nanoseconds.
const SLACK: i64 = 2_000_000_000;
/// Longest wait for a decoder that has been fed but delivers nothing, nanoseconds.
const DECODER_PATIENCE: i64 = 100_000_000;
/// Pause between two looks at full encoders, nanoseconds.
const ENCODER_PAUSE: i64 = 4_000_000;
/// A worker that continues a broadcast goes on without a picture after this, nanoseconds.
const RESUME_PATIENCE: i64 = 1_000_000_000;
/// A picture that is missed by less than this is not missed, nanoseconds.
const LATE_PICTURE: i64 = 5_000_000;
/// Time that the encoders get to finish.
const DRAIN: Duration = Duration::from_millis(1_300);

/// What a mixer starts with.
pub struct Start {
    /// What it makes.
    pub output: Output,
    /// First output frame; 0, or where an earlier worker stopped.
    pub first_frame: u64,
    /// Until this frame each part starts with a keyframe: some renditions go on from an earlier worker's part only there.
    pub joined_by: u64,
    /// The input whose first picture is waited for; `None` continues a broadcast, which does not wait long for anything.
    pub chosen: Option<SessionId>,
    /// What is shown while an input fails.
    pub mode: Mode,
}

/// Starts the mixer thread. It sends [`FromWorker::Output`] when the first picture is there, runs until
/// [`Inputs::stopping`], then drains the encoders.
pub fn spawn(
    stage: Arc<Stage>,
    encoder: Arc<Encoder>,
    start: Start,
    outbox: Outbox,
) -> Result<JoinHandle<()>, WorkerError> {
    let timeline = Timeline { grid: start.output.grid, epoch: start.output.epoch_ns as i64 };
    let mixer = Mixer {
        next_sample: timeline.grid.first_sample(start.first_frame).next_multiple_of(u64::from(AAC_FRAME)),
        stage,
        encoder,
        timeline,
        fader: Fader::default(),
        director: Director::new(start.mode),
        gaps: GapMeter::new(start.output.grid.frame_rate),
        shot: None,
        sounds: false,
        shown: None,
        starved: false,
        allowance: SLACK,
        screenshots: screenshots(&start.output, &outbox),
    };
    Ok(std::thread::Builder::new().name("mixer".into()).spawn(move || mixer.run(start, outbox))?)
}

struct Mixer {
    stage: Arc<Stage>,
    encoder: Arc<Encoder>,
    timeline: Timeline,
    fader: Fader,
    director: Director,
    gaps: GapMeter,
    /// What the last slot showed.
    shot: Option<Shot>,
    /// The input that is shown, or was last, has sound.
    sounds: bool,
    /// The picture of the last slot.
    shown: Option<gst::Buffer>,
    next_sample: u64,
    /// The input on air has been waited for in vain and has not recovered.
    starved: bool,
    /// How far behind its clock the output may be now, nanoseconds.
    allowance: i64,
    /// `None` when they cannot be made.
    screenshots: Option<Screenshots>,
}

fn screenshots(output: &Output, outbox: &Outbox) -> Option<Screenshots> {
    let made = Screenshots::start(output, outbox.clone());
    made.inspect_err(|error| tracing::warn!(%error, "there are no screenshots")).ok()
}

impl Mixer {
    fn run(mut self, start: Start, outbox: Outbox) {
        if !self.first_picture(start.chosen) {
            return;
        }
        outbox.send(FromWorker::Output(start.output));
        drop(outbox);
        let first = start.first_frame;
        self.allowance = self.behind(first) + SLACK;
        let mut keyframe_due = false;
        for n in first.. {
            let within = n % u64::from(self.timeline.grid.segment_frames);
            let starts_segment = within == 0;
            let starts_part = within % u64::from(self.timeline.grid.part_frames) == 0;
            let joins = n <= start.joined_by && starts_part;
            keyframe_due |= (starts_segment || joins) && n != first;
            if !self.wait_for_slot(n) {
                break;
            }
            let Some(picture_fits) = self.wait_for_encoders(n, starts_part || n == first) else { break };
            let (picture, first_sample, block) = self.mix(n, picture_fits);
            if picture_fits {
                if keyframe_due {
                    self.encoder.force_keyframe(n);
                    keyframe_due = false;
                }
                let picture = picture.unwrap_or_else(|| self.encoder.black());
                if !self.encoder.push_picture(n, &picture) {
                    break;
                }
                if let Some(screenshots) = &mut self.screenshots {
                    screenshots.offer(n, &picture);
                }
                self.shown = Some(picture);
            }
            if !block.is_empty() && !self.encoder.push_sound(first_sample, &block) {
                break;
            }
        }
        self.encoder.drain(Instant::now() + DRAIN);
    }

    /// Waits until there is something to show; `false` when the mixer has to end.
    fn first_picture(&self, chosen: Option<SessionId>) -> bool {
        let started = self.stage.clock.now();
        let mut inputs = self.stage.lock();
        loop {
            if inputs.stopping {
                return false;
            }
            let seen = inputs.seen_until;
            let late = || self.stage.clock.now() - started > RESUME_PATIENCE;
            let ready = match chosen {
                Some(chosen) => inputs.sessions.get_mut(&chosen).is_some_and(|session| session.ready(seen)),
                None => late() || inputs.sessions.values_mut().any(|session| session.ready(seen)),
            };
            if ready {
                return true;
            }
            inputs = self.stage.wait(&self.stage.delivered, inputs, 10_000_000);
        }
    }

    /// Nanoseconds that slot `n` is late.
    fn behind(&self, n: u64) -> i64 {
        self.stage.clock.now() - self.timeline.slot_start(n)
    }

    fn wait_for_slot(&self, n: u64) -> bool {
        let mut inputs = self.stage.lock();
        loop {
            if inputs.stopping {
                return false;
            }
            let early = -self.behind(n);
            if early <= 0 {
                return true;
            }
            inputs = self.stage.wait(&self.stage.delivered, inputs, early);
        }
    }

    /// Waits for room; `Some(false)` when the picture must be left out, `None` when the mixer has to end.
    fn wait_for_encoders(&mut self, n: u64, needed: bool) -> Option<bool> {
        // What a resumed worker is behind at its start is its work, not a fault; the allowance shrinks as it catches up.
        self.allowance = self.allowance.min(self.behind(n) + SLACK).max(SLACK);
        let mut inputs = self.stage.lock();
        loop {
            if inputs.stopping || self.encoder.failure().is_some() {
                return None;
            }
            let late = self.behind(n) > self.allowance;
            if !self.encoder.audio_full() {
                if !self.encoder.video_full() {
                    return Some(true);
                }
                if late && !needed {
                    return Some(false);
                }
            }
            inputs = self.stage.wait(&self.stage.delivered, inputs, ENCODER_PAUSE);
        }
    }

    /// Picks what slot `n` shows and what is heard: the picture, the number of the first sample, the samples.
    fn mix(&mut self, n: u64, picture_fits: bool) -> (Option<gst::Buffer>, u64, Vec<[f32; 2]>) {
        let stage = self.stage.clone();
        let t = self.timeline.slot_start(n);
        let end_sample = self.timeline.grid.first_sample(n + 1);
        let mut block = vec![[0.0; 2]; end_sample.saturating_sub(self.next_sample) as usize];
        let sound_from = self.timeline.sample_start(self.next_sample + AAC_DELAY);
        let sound_to = self.timeline.sample_start(end_sample + AAC_DELAY);

        let (mut inputs, mut fresh) = wait_for_decoder(&stage, &mut self.starved, t, sound_to);
        let now = stage.clock.now();
        let before = inputs.shown;
        let shot = self.direct(&mut inputs, n, t, sound_to);
        let (mut present, mut tail, mut filled) = (0..0, None, true);
        for (id, session) in &mut inputs.sessions {
            let is_shown = shot.session == Some(*id);
            if is_shown {
                let until = session.picture_until(t, &self.timeline);
                filled = until.is_none_or(|until| until + LATE_PICTURE <= t + self.timeline.slot() / 4);
                self.sounds = session.sounds();
            }
            let advanced = session.advance(now, t, &self.timeline, is_shown);
            if is_shown {
                fresh |= advanced;
                present = session.read_sound(sound_from, &mut block);
                session.on_programme = true;
                continue;
            }
            if before == Some(*id) {
                let mut last = vec![[0.0; 2]; RAMP as usize];
                tail = (session.read_sound(sound_from, &mut last).len() == last.len()).then_some(last);
            }
            session.read_sound(sound_to, &mut []);
        }
        let session = shot.session.and_then(|id| inputs.sessions.get(&id));
        let shown = session.and_then(|session| session.current()).or_else(|| self.shown.clone());
        let picture = shown.or_else(|| session.and_then(|session| session.upcoming()));
        let silence = (block.len() - present.len()) as u64;
        inputs.frames += 1;
        inputs.repeated += u64::from(!fresh);
        inputs.dropped += u64::from(!picture_fits);
        inputs.silence += silence;
        let frame = Frame { number: n, session: shot.session, filled, silence: if self.sounds { silence } else { 0 } };
        if let Some(gap) = self.gaps.frame(&frame) {
            inputs.tell(FromWorker::Gap(gap));
        }
        stage.taken.notify_all();
        drop(inputs);

        self.fader.shape(shot.session, present, &mut block, tail.as_deref());
        let first_sample = self.next_sample;
        self.next_sample = self.next_sample.max(end_sample);
        (picture, first_sample, block)
    }
}

impl Mixer {
    /// Has the director decide slot `n`, from `t` on, and tells what changed.
    fn direct(&mut self, inputs: &mut Inputs, n: u64, t: i64, sound_to: i64) -> Shot {
        self.director.on_air(inputs.on_air, inputs.hand_over);
        let patience = self.director.patience();
        let mut candidates = Vec::with_capacity(inputs.sessions.len());
        for (id, session) in &mut inputs.sessions {
            let has_content = session.has_content(t, sound_to, 0, &self.timeline);
            // Who is gone is not late.
            let patience = if session.closed { 0 } else { patience };
            let lasts = has_content || session.has_content(t, sound_to, patience, &self.timeline);
            session.note_content(lasts);
            let (slot, on_programme) = (session.slot, session.on_programme);
            candidates.push(Candidate { session: *id, slot, has_content, lasts, on_programme });
        }
        let shot = self.director.pick(t, &candidates);
        let strange = candidates.iter().any(|c| Some(c.session) == shot.session && !c.on_programme);
        if strange {
            // Another programme is on air now; who carried the one before does not carry this one.
            inputs.sessions.values_mut().for_each(|session| session.on_programme = false);
        }
        if self.shot.replace(shot) != Some(shot) {
            inputs.shown = shot.session;
            inputs.tell(FromWorker::Shown(Shown { session: shot.session, covers: shot.covers, frame: n }));
        }
        shot
    }
}

/// Waits while the decoders of the input that is shown hold what the slot needs, as long as they deliver any of it: what else comes does
/// not count. An input that was waited for in vain is `starved`, and not waited for again until it has recovered. Also tells whether a
/// new picture came by.
fn wait_for_decoder<'a>(stage: &'a Stage, starved: &mut bool, t: i64, sound_to: i64) -> (MutexGuard<'a, Inputs>, bool) {
    let mut fresh = false;
    let mut lag = |inputs: &mut Inputs| {
        let shown = inputs.shown.or(inputs.on_air);
        let session = shown.and_then(|id| inputs.sessions.get_mut(&id))?;
        if session.catch_up(t) {
            fresh = true;
            stage.taken.notify_all();
        }
        session.lag(t, sound_to)
    };
    let mut inputs = stage.lock();
    let (mut last, mut deadline) = (None, 0);
    while let Some(lag) = lag(&mut inputs) {
        let now = stage.clock.now();
        if last != Some(lag) {
            (last, deadline) = (Some(lag), now + DECODER_PATIENCE);
        }
        *starved |= now >= deadline;
        if *starved || inputs.stopping {
            return (inputs, fresh);
        }
        inputs = stage.wait(&stage.delivered, inputs, deadline - now);
    }
    *starved = false;
    (inputs, fresh)
}

const _: () = assert!(AAC_DELAY < SAMPLE_RATE as u64 / 10, "the sound read ahead must fit into any delay");
