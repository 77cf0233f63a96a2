//! One publisher's compressed side: its configurations, its decoders, and what happens when they fail or are too slow.
//!
//! A decoder starts at a keyframe. A full one is skipped to the next keyframe, a failed one is built anew there; one that fails again and
//! again makes the input rejected (video) or silent (audio). While the canvas is unknown or the video is not wanted (warm standby), units
//! are kept from the last keyframe that is due on; they are what decoding begins with. Sound is always decoded: it is cheap, and
//! alignment listens to it.
//!
//! A configuration of the same codec changes a decoder as it runs, a new size too. One of another codec needs another decoder: the old
//! one delivers what it has, as its pictures become due, while the units behind are kept for the new one.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, MAX_FRAME_RATE, TrackConfig, VideoConfig};
use weir_media::id::SessionId;

use super::decode::Decoder;
use super::rate::{RateCap, RateWatch};
use super::stage::Stage;

/// Failures in a row that a decoder is forgiven.
const FORGIVEN: u32 = 4;
/// Pictures after which earlier failures are forgotten.
const RECOVERED: u64 = 100;
/// Units kept while they are not decoded: the longest delay and a 4 s GOP at 60 fps.
const KEPT: usize = 1_500;
/// Bytes of them.
const KEPT_BYTES: usize = 64 << 20;

/// One open publisher.
pub struct Input {
    session: SessionId,
    stage: Arc<Stage>,
    video_config: Option<VideoConfig>,
    audio_config: Option<AudioConfig>,
    canvas: Option<(u32, u32)>,
    rate: Option<RateWatch>,
    rate_cap: RateCap,
    first_arrival: Option<i64>,
    kept: VecDeque<AccessUnit>,
    kept_bytes: usize,
    /// Its video is to be decoded.
    wanted: bool,
    /// Its video is being decoded: the decoder has had a keyframe.
    pub decoding: bool,
    /// DTS of the latest keyframe, and its distance from the one before.
    last_key: Option<i64>,
    /// Distance of its keyframes, nanoseconds.
    pub gop: Option<i64>,
    video: Option<Decoder>,
    audio: Option<Decoder>,
    /// A video decoder of another codec that has still to deliver what came before.
    outgoing: Option<Decoder>,
    awaiting_keyframe: bool,
    video_failures: u32,
    audio_failures: u32,
    /// Pictures that were decoded when the last failure happened.
    failed_at: u64,
    closed: bool,
    /// It was to fix the output and gave no picture: another one shall.
    pub doubtful: bool,
    /// Failures and overflows so far.
    pub errors: u64,
    /// Why nothing more is read from it.
    pub rejected: Option<String>,
    /// That was told.
    rejection_told: bool,
}

impl Input {
    /// An input that has sent nothing, and whether its video is decoded from the start.
    pub fn new(session: SessionId, stage: Arc<Stage>, wanted: bool) -> Self {
        Self {
            session,
            stage,
            video_config: None,
            audio_config: None,
            canvas: None,
            rate: None,
            rate_cap: RateCap::default(),
            first_arrival: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            wanted,
            decoding: false,
            last_key: None,
            gop: None,
            video: None,
            audio: None,
            outgoing: None,
            awaiting_keyframe: true,
            video_failures: 0,
            audio_failures: 0,
            failed_at: 0,
            closed: false,
            doubtful: false,
            errors: 0,
            rejected: None,
            rejection_told: false,
        }
    }

    /// A configuration; one that repeats the last is ignored.
    pub fn configure(&mut self, config: TrackConfig) {
        match config {
            TrackConfig::Video(config) => {
                if self.video_config.as_ref() == Some(&config) {
                    return;
                }
                if self.video_config.as_ref().is_some_and(|before| before.codec != config.codec) {
                    self.change_video_codec();
                } else if let Some(decoder) = &self.video {
                    decoder.reconfigure_video(&config);
                }
                self.rate = Some(RateWatch::new(config.frame_rate));
                self.forget_kept();
                self.video_config = Some(config);
            }
            TrackConfig::Audio(config) => {
                if self.audio_config.as_ref() == Some(&config) {
                    return;
                }
                if self.audio_config.as_ref().is_some_and(|before| before.codec != config.codec) {
                    // Sound is decoded as it arrives: nothing of it waits inside.
                    self.audio = None;
                    self.audio_failures = 0;
                } else if let Some(decoder) = &self.audio {
                    decoder.reconfigure_audio(&config);
                }
                self.audio_config = Some(config);
            }
        }
    }

    /// Lets the decoder deliver what it has. The next begins with the next keyframe.
    fn change_video_codec(&mut self) {
        if let Some(decoder) = self.video.take() {
            decoder.finish();
            // Of two changes at once the first one's rest is let go.
            self.outgoing = Some(decoder);
        }
        self.awaiting_keyframe = true;
        self.video_failures = 0;
    }

    /// Fixes the size that pictures are decoded to, and decodes what was kept.
    pub fn set_canvas(&mut self, width: u32, height: u32) {
        self.canvas = Some((width, height));
        self.decode_kept();
    }

    /// Whether its video is to be decoded: then from the units kept on, else not any more.
    pub fn want(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.wanted, wanted) == wanted {
            return;
        }
        if wanted {
            return self.decode_kept();
        }
        (self.video, self.outgoing) = (None, None);
        self.decoding = false;
        self.awaiting_keyframe = true;
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.video_reset();
        }
    }

    fn decode_kept(&mut self) {
        if !self.decodes() {
            return;
        }
        self.kept_bytes = 0;
        for unit in std::mem::take(&mut self.kept) {
            self.decode_video(&unit);
        }
        if self.closed {
            self.video.iter().for_each(Decoder::finish);
        }
    }

    /// A video unit goes to a decoder now.
    fn decodes(&self) -> bool {
        self.canvas.is_some() && self.wanted && self.outgoing.is_none()
    }

    fn forget_kept(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// Keeps a unit for a decoder to come, and of the units before it those from the last keyframe that is due.
    fn keep(&mut self, unit: AccessUnit, now: i64) {
        if !unit.keyframe && self.kept.is_empty() {
            return;
        }
        self.kept_bytes += unit.data.len();
        self.kept.push_back(unit);
        let key = if self.kept.len() > KEPT || self.kept_bytes > KEPT_BYTES {
            // The oldest keyframe is given up; a lone one with all that follows it.
            Some((1..self.kept.len()).find(|&n| self.kept[n].keyframe).unwrap_or(self.kept.len()))
        } else {
            let inputs = self.stage.lock();
            let Some(session) = inputs.sessions.get(&self.session) else { return };
            let is_due = |unit: &AccessUnit| session.due(unit.pts.as_nanos()).is_some_and(|due| due <= now);
            (1..self.kept.len()).rev().find(|&n| self.kept[n].keyframe && is_due(&self.kept[n]))
        };
        let dropped = self.kept.drain(..key.unwrap_or(0)).map(|unit| unit.data.len()).sum::<usize>();
        self.kept_bytes -= dropped;
    }

    /// Forgets the canvas, which was another input's that turned out undecodable.
    pub fn unset_canvas(&mut self) {
        self.canvas = None;
        // Their callbacks have ended when this returns, so nothing of the wrong size can follow.
        (self.video, self.outgoing) = (None, None);
        self.decoding = false;
        self.awaiting_keyframe = true;
        // Its next keyframe is the first one as far as the output is concerned.
        self.first_arrival = None;
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.forget_pictures();
        }
    }

    /// A frame that `arrived` then, wall clock.
    pub fn unit(&mut self, arrived: i64, unit: AccessUnit) {
        if self.rejected.is_some() {
            return;
        }
        match unit.track {
            Track::Video => self.video_unit(arrived, unit),
            Track::Audio => self.audio_unit(arrived, &unit),
        }
    }

    /// Reads nothing more from it.
    fn reject(&mut self, reason: String) {
        self.rejected = Some(reason);
        (self.video, self.outgoing, self.decoding) = (None, None, false);
        self.forget_kept();
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.video_reset();
        }
    }

    /// Why nothing more is read from it; once.
    pub fn rejection(&mut self) -> Option<String> {
        let told = std::mem::replace(&mut self.rejection_told, self.rejected.is_some());
        self.rejected.clone().filter(|_| !told)
    }

    fn video_unit(&mut self, arrived: i64, unit: AccessUnit) {
        if self.video_config.is_none() || (self.first_arrival.is_none() && !unit.keyframe) {
            return;
        }
        let dts = unit.dts.as_nanos();
        self.first_arrival.get_or_insert(arrived);
        if !self.rate_cap.admits(dts) {
            return self.reject(format!("more than {MAX_FRAME_RATE} pictures a second"));
        }
        let jumped = self.stage.lock().sessions.get_mut(&self.session).is_some_and(|s| s.video_arrived(arrived, dts));
        if jumped {
            // What another codec's decoder still has is from before the jump.
            self.outgoing = None;
            self.video.iter_mut().chain(&mut self.audio).for_each(|decoder| decoder.jump(dts));
        }
        if let Some(rate) = &mut self.rate {
            rate.frame(dts, arrived);
        }
        if unit.keyframe {
            let last = self.last_key.replace(dts);
            self.gop = last.map(|last| dts - last).filter(|gop| *gop > 0).or(self.gop);
        }
        self.succeed_outgoing();
        if self.decodes() {
            self.decode_video(&unit);
        } else {
            self.keep(unit, arrived);
        }
    }

    /// The new codec's decoder begins once the old one's has delivered.
    fn succeed_outgoing(&mut self) {
        if self.outgoing.as_ref().is_some_and(Decoder::has_ended) {
            self.outgoing = None;
            self.decode_kept();
        }
    }

    fn decode_video(&mut self, unit: &AccessUnit) {
        let (Some((width, height)), Some(config), None) = (self.canvas, &self.video_config, &self.rejected) else {
            return;
        };
        if self.awaiting_keyframe {
            if !unit.keyframe {
                return;
            }
            if self.video.is_none() {
                match Decoder::video(&self.stage, self.session, config, width, height) {
                    Ok(decoder) => self.video = Some(decoder),
                    Err(error) => return self.reject(error.to_string()),
                }
            }
            self.awaiting_keyframe = false;
            self.decoding = true;
        }
        let Some(decoder) = &mut self.video else { return };
        let fits = decoder.push(unit).is_ok();
        if !fits {
            self.awaiting_keyframe = true;
            self.errors += 1;
        }
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            if fits {
                session.video_fed(unit.dts.as_nanos());
            } else {
                session.video_reset();
            }
        }
    }

    fn audio_unit(&mut self, arrived: i64, unit: &AccessUnit) {
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.audio_arrived(arrived, unit.pts.as_nanos());
        }
        let Some(config) = &self.audio_config else { return };
        if self.audio_failures > FORGIVEN {
            return;
        }
        if self.audio.is_none() {
            match Decoder::audio(&self.stage, self.session, config) {
                Ok(decoder) => self.audio = Some(decoder),
                Err(_) => return self.audio_failures = u32::MAX,
            }
        }
        let Some(decoder) = &mut self.audio else { return };
        let fits = decoder.push(unit).is_ok();
        self.errors += u64::from(!fits);
        if let (true, Some(session)) = (fits, self.stage.lock().sessions.get_mut(&self.session)) {
            session.audio_fed(unit.pts.as_nanos());
        }
    }

    /// The publisher is gone: what is inside the decoders comes out.
    pub fn close(&mut self) {
        self.closed = true;
        self.video.iter().chain(&self.audio).for_each(Decoder::finish);
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.closed = true;
        }
    }

    /// Replaces what has failed. Called a few times a second.
    pub fn look_after(&mut self) {
        self.succeed_outgoing();
        if let Some(reason) = self.video.as_ref().and_then(Decoder::failure) {
            tracing::warn!(session = %self.session, %reason, "video decoder failed");
            self.video = None;
            self.awaiting_keyframe = true;
            self.errors += 1;
            let mut inputs = self.stage.lock();
            let decoded = inputs.sessions.get_mut(&self.session).map_or(0, |session| {
                session.video_reset();
                session.decoded_pictures
            });
            drop(inputs);
            self.video_failures = if decoded - self.failed_at > RECOVERED { 1 } else { self.video_failures + 1 };
            self.failed_at = decoded;
            if self.video_failures > FORGIVEN {
                self.reject(format!("video cannot be decoded: {reason}"));
            }
        }
        if let Some(reason) = self.audio.as_ref().and_then(Decoder::failure) {
            tracing::warn!(session = %self.session, %reason, "audio decoder failed");
            self.audio = None;
            self.errors += 1;
            self.audio_failures += 1;
            if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
                session.audio_reset();
            }
        }
    }

    /// What its video is shown as, in square pixels, with its frame rate, once both are known: what can fix the canvas.
    pub fn shape(&self, now: i64) -> Option<Shape> {
        let (config, first_arrival) = (self.video_config.as_ref()?, self.first_arrival?);
        let fps = self.rate.as_ref()?.decide(now)?;
        let (num, den) = config.pixel_aspect;
        let width = if num == 0 || den == 0 {
            config.width
        } else {
            ((u64::from(config.width) * u64::from(num) + u64::from(den) / 2) / u64::from(den)) as u32
        };
        Some(Shape { width, height: config.height, fps, first_arrival })
    }
}

/// What an input can fix a broadcast's output with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Pixels, square.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second; `None` when variable.
    pub fps: Option<f64>,
    /// Wall clock of the arrival of its first keyframe, nanoseconds since 1970.
    pub first_arrival: i64,
}
