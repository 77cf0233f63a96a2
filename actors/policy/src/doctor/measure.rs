//! What is measured of one publisher's units, in windows of a few seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioCodec, AudioConfig, TrackConfig, VideoConfig};

use super::Measured;

const SECOND: i64 = 1_000_000_000;
/// Looks that rates are counted over.
const WINDOW: usize = 10;
/// Media time that a frame rate is counted over at least …
const RATE_OVER: i64 = 4 * SECOND;
/// … and a bit rate that is judged: an encoder's rate control needs its time.
const STEADY_OVER: i64 = 7 * SECOND;
/// Distances of keyframes that are compared.
const GOPS: usize = 4;
/// Timestamps that run ahead of the clock by so much more than ever before have jumped. A network that stalled never makes them: what it
/// held back comes late.
const AHEAD: i64 = SECOND / 2;
/// Timestamps that go back by more than this have jumped; less is a multiplexer's rounding.
const BACK: i64 = SECOND / 10;
/// Samples of a frame of AAC.
const AAC_FRAME: i64 = 1_024;
/// Looks after which the count of samples and the timestamps are compared anew: clocks of two devices are never quite the same.
const COUNTED_OVER: u32 = 60;

/// Everything that is measured.
#[derive(Debug, Default)]
pub(super) struct Measures {
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    pictures: Line,
    sounds: Line,
    frames: u64,
    bytes: u64,
    marks: Ring<Mark, { WINDOW + 1 }>,
    gops: Gops,
    order: Order,
    apart: Apart,
    samples: Samples,
    /// The latest jump since the last look, and the one that look found.
    jumped: Option<i64>,
    jump: Option<i64>,
    lost: u64,
    losses: Ring<u64, { WINDOW + 1 }>,
    first_picture: Option<Instant>,
    last_sound: Option<Instant>,
}

/// The latest few.
#[derive(Debug)]
struct Ring<T, const N: usize>(VecDeque<T>);

/// How far the video had come at a look.
#[derive(Clone, Copy, Debug)]
struct Mark {
    dts: i64,
    frames: u64,
    bytes: u64,
}

/// One track's timestamps beside the clock.
#[derive(Debug, Default)]
struct Line {
    /// Timestamp and arrival of its first unit since the last jump, and the latest timestamp.
    run: Option<(i64, Instant, i64)>,
    /// How far timestamps were ahead of the clock at most.
    ahead: i64,
}

#[derive(Debug, Default)]
struct Gops {
    /// Timestamp of the last keyframe, and pictures since.
    open: Option<(i64, u32)>,
    latest: i64,
    closed: Ring<(i64, u32), GOPS>,
}

/// In which order pictures are shown.
#[derive(Debug, Default)]
struct Order {
    highest: Option<i64>,
    run: u32,
    /// Longest run since the last look, and the one that look found.
    most: u32,
    found: u32,
}

/// How far the latest sound is from the latest picture as they arrive: of each second the least, because sound comes in bunches.
#[derive(Debug, Default)]
struct Apart {
    least: Option<i64>,
    seconds: Ring<i64, WINDOW>,
}

/// How far the timestamps of the sound are from the count of its samples.
#[derive(Debug, Default)]
struct Samples {
    last: Option<i64>,
    apart: i64,
    /// `apart` a while ago and a shorter while ago.
    base: (i64, i64),
    looks: u32,
}

impl<T, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self(VecDeque::with_capacity(N))
    }
}

impl<T: Copy, const N: usize> Ring<T, N> {
    fn push(&mut self, value: T) {
        if self.0.len() == N {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().copied()
    }

    fn ends(&self) -> Option<(T, T)> {
        Some((*self.0.front()?, *self.0.back()?))
    }
}

impl Line {
    /// Takes the next timestamp; by how much it jumped, if it did.
    fn step(&mut self, at: i64, now: Instant) -> Option<i64> {
        let Some((first, began, last)) = &mut self.run else {
            self.run = Some((at, now, at));
            return None;
        };
        let passed = i64::try_from(now.saturating_duration_since(*began).as_nanos()).unwrap_or(i64::MAX);
        let ahead = at.saturating_sub(*first).saturating_sub(passed);
        let step = at.saturating_sub(*last);
        if step < -BACK || (step > AHEAD && ahead > self.ahead.saturating_add(AHEAD)) {
            (self.run, self.ahead) = (Some((at, now, at)), 0);
            return Some(step);
        }
        *last = at;
        self.ahead = self.ahead.max(ahead);
        None
    }

    fn latest(&self) -> Option<i64> {
        self.run.map(|(_, _, last)| last)
    }
}

impl Gops {
    fn picture(&mut self, dts: i64, keyframe: bool) {
        self.latest = dts;
        match &mut self.open {
            Some((began, frames)) if keyframe => {
                self.closed.push((dts.saturating_sub(*began), *frames));
                self.open = Some((dts, 1));
            }
            Some((_, frames)) => *frames = frames.saturating_add(1),
            None => self.open = keyframe.then_some((dts, 1)),
        }
    }

    /// Length and pictures of the longest one; the one that is open counts as far as it goes.
    fn longest(&self) -> Option<(i64, u32)> {
        let open = self.open.map(|(began, frames)| (self.latest.saturating_sub(began), frames));
        let known = !self.closed.0.is_empty();
        self.closed.iter().chain(open).max().filter(|longest| known || longest.0 > 2 * SECOND)
    }
}

impl Order {
    fn picture(&mut self, pts: i64) {
        if self.highest.is_some_and(|highest| pts < highest) {
            self.run = self.run.saturating_add(1);
            self.most = self.most.max(self.run);
        } else {
            (self.highest, self.run) = (Some(pts), 0);
        }
    }
}

impl Apart {
    fn look(&mut self, apart: i64) {
        self.least = Some(
            self.least
                .map_or(apart, |least| if apart.saturating_abs() < least.saturating_abs() { apart } else { least }),
        );
    }
}

impl Samples {
    /// Takes the next timestamp. Whole frames that are missing are holes, not drift.
    fn sound(&mut self, at: i64, frame: Option<i64>) {
        if let (Some(last), Some(frame)) = (self.last, frame) {
            let step = at.saturating_sub(last);
            let frames = (step.saturating_add(frame / 2) / frame).max(1);
            self.apart = self.apart.saturating_add(step.saturating_sub(frames.saturating_mul(frame)));
        }
        self.last = Some(at);
    }

    fn tick(&mut self) {
        self.looks += 1;
        if self.looks == COUNTED_OVER {
            self.looks = 0;
            self.base = (self.base.1, self.apart);
        }
    }

    fn drift(&self) -> i64 {
        self.apart.saturating_sub(self.base.0)
    }
}

impl Measures {
    pub fn config(&mut self, config: &TrackConfig) {
        match config {
            TrackConfig::Video(video) => self.video = Some(video.clone()),
            TrackConfig::Audio(audio) => {
                self.audio = Some(audio.clone());
                self.samples = Samples::default();
            }
        }
    }

    pub fn unit(&mut self, unit: &AccessUnit, now: Instant) {
        match unit.track {
            Track::Video => self.picture(unit, now),
            Track::Audio => self.sound(unit, now),
        }
        if let (Some(sound), Some(picture)) = (self.sounds.latest(), self.pictures.latest()) {
            self.apart.look(sound.saturating_sub(picture));
        }
    }

    fn picture(&mut self, unit: &AccessUnit, now: Instant) {
        let dts = unit.dts.as_nanos();
        self.first_picture.get_or_insert(now);
        if let Some(jump) = self.pictures.step(dts, now) {
            self.jumped = Some(jump);
            self.marks = Ring::default();
            (self.gops, self.order, self.apart) = (Gops::default(), Order::default(), Apart::default());
        }
        self.frames += 1;
        self.bytes += unit.data.len() as u64;
        self.gops.picture(dts, unit.keyframe);
        self.order.picture(unit.pts.as_nanos());
    }

    fn sound(&mut self, unit: &AccessUnit, now: Instant) {
        let at = unit.pts.as_nanos();
        self.last_sound = Some(now);
        if let Some(jump) = self.sounds.step(at, now) {
            self.jumped = self.jumped.or(Some(jump));
            (self.apart, self.samples) = (Apart::default(), Samples::default());
        }
        self.samples.sound(at, self.audio.as_ref().and_then(frame_ns));
    }

    pub fn lost(&mut self, packets: u64) {
        self.lost = packets;
    }

    /// A look: windows move on by one.
    pub fn tick(&mut self) {
        if let Some(dts) = self.pictures.latest() {
            self.marks.push(Mark { dts, frames: self.frames, bytes: self.bytes });
        }
        self.losses.push(self.lost);
        self.jump = self.jumped.take();
        self.order.found = std::mem::take(&mut self.order.most);
        if let Some(least) = self.apart.least.take() {
            self.apart.seconds.push(least);
        }
        self.samples.tick();
    }

    pub fn measured(&self) -> Measured {
        let longest = self.gops.longest();
        Measured {
            video: self.video.clone(),
            audio: self.audio.clone(),
            frame_rate: self.per_second(RATE_OVER, |mark| mark.frames),
            video_kbps: self.kbps(RATE_OVER),
            gop_s: longest.map(|(length, _)| seconds(length)),
            gop_frames: longest.map(|(_, frames)| frames),
            b_frames: self.order.found,
            av_offset_ms: self.av_offset().map(|apart| apart as f64 / 1e6),
        }
    }

    /// Bit rate of the pictures over a time that is long enough to judge it.
    pub fn steady_kbps(&self) -> Option<f64> {
        self.kbps(STEADY_OVER)
    }

    pub fn longest_gop_s(&self) -> Option<f64> {
        self.gops.longest().map(|(length, _)| seconds(length))
    }

    /// The shortest and the longest of the latest distances of keyframes.
    pub fn gop_range_s(&self) -> Option<(f64, f64)> {
        let lengths = || self.gops.closed.iter().map(|(length, _)| length);
        let full = self.gops.closed.0.len() == GOPS;
        Some((seconds(lengths().min()?), seconds(lengths().max()?))).filter(|_| full)
    }

    /// How long there has been no sound beside pictures, seconds.
    pub fn without_audio(&self, now: Instant) -> Option<f64> {
        let since = self.last_sound.max(self.first_picture)?;
        self.first_picture?;
        Some(now.saturating_duration_since(since).as_secs_f64())
    }

    /// By how much timestamps jumped since the look before.
    pub fn jump_s(&self) -> Option<f64> {
        self.jump.map(seconds)
    }

    /// Packets lost within the window.
    pub fn lost_lately(&self) -> u64 {
        self.losses.ends().map_or(0, |(then, now)| now.saturating_sub(then))
    }

    /// The larger of both ways in which sound and picture can move apart.
    fn av_offset(&self) -> Option<i64> {
        let arrival = self.apart.seconds.iter().min_by_key(|apart| apart.saturating_abs());
        let arrival = arrival.filter(|_| self.apart.seconds.0.len() == WINDOW);
        // Timestamps that outrun the samples put the sound behind.
        let counted = self.samples.last.map(|_| self.samples.drift().saturating_neg());
        arrival.into_iter().chain(counted).max_by_key(|apart| apart.saturating_abs())
    }

    fn kbps(&self, over: i64) -> Option<f64> {
        self.per_second(over, |mark| mark.bytes).map(|bytes| bytes * 8.0 / 1e3)
    }

    /// Of a count, within the window, when that has `over` of media.
    fn per_second(&self, over: i64, count: impl Fn(Mark) -> u64) -> Option<f64> {
        let (then, now) = self.marks.ends()?;
        let passed = now.dts.saturating_sub(then.dts);
        let counted = count(now).saturating_sub(count(then));
        (passed >= over).then(|| counted as f64 / seconds(passed))
    }
}

/// Duration of a frame whose count of samples is known for sure. Low-delay AAC has other frames, Opus has all kinds.
fn frame_ns(audio: &AudioConfig) -> Option<i64> {
    const ER_AAC_LD: u8 = 23;
    const ESCAPE: u8 = 31;
    let object_type = audio.decoder_config.first()? >> 3;
    let usual = audio.codec == AudioCodec::Aac && !matches!(object_type, ER_AAC_LD | ESCAPE);
    (usual && audio.sample_rate > 0).then(|| AAC_FRAME * SECOND / i64::from(audio.sample_rate))
}

fn seconds(nanos: i64) -> f64 {
    if nanos < 0 {
        -Duration::from_nanos(nanos.unsigned_abs()).as_secs_f64()
    } else {
        Duration::from_nanos(nanos as u64).as_secs_f64()
    }
}
