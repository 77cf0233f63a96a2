//! One publisher's compressed side: its configurations, its decoders, and what happens when they fail or are too slow.
//!
//! A decoder starts at a keyframe. A full one is skipped to the next keyframe, a failed one is built anew there; one that fails again and
//! again makes the input rejected (video) or silent (audio). Until the canvas is known, units since a keyframe are kept.

use std::sync::Arc;

use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::id::SessionId;

use super::decode::Decoder;
use super::rate::RateWatch;
use super::stage::Stage;

/// Failures in a row that a decoder is forgiven.
const FORGIVEN: u32 = 4;
/// Pictures after which earlier failures are forgotten.
const RECOVERED: u64 = 100;
/// Units kept while the canvas is unknown.
const KEPT: usize = 600;

/// One open publisher.
pub struct Input {
    session: SessionId,
    stage: Arc<Stage>,
    video_config: Option<VideoConfig>,
    audio_config: Option<AudioConfig>,
    canvas: Option<(u32, u32)>,
    rate: Option<RateWatch>,
    first_arrival: Option<i64>,
    kept: Vec<AccessUnit>,
    video: Option<Decoder>,
    audio: Option<Decoder>,
    awaiting_keyframe: bool,
    video_failures: u32,
    audio_failures: u32,
    /// Pictures that were decoded when the last failure happened.
    failed_at: u64,
    /// It was to fix the output and gave no picture: another one shall.
    pub doubtful: bool,
    /// Failures and overflows so far.
    pub errors: u64,
    /// Why nothing more is read from it.
    pub rejected: Option<String>,
}

impl Input {
    /// An input that has sent nothing.
    pub fn new(session: SessionId, stage: Arc<Stage>) -> Self {
        Self {
            session,
            stage,
            video_config: None,
            audio_config: None,
            canvas: None,
            rate: None,
            first_arrival: None,
            kept: Vec::new(),
            video: None,
            audio: None,
            awaiting_keyframe: true,
            video_failures: 0,
            audio_failures: 0,
            failed_at: 0,
            doubtful: false,
            errors: 0,
            rejected: None,
        }
    }

    /// A configuration; one that repeats the last is ignored.
    pub fn configure(&mut self, config: TrackConfig) {
        match config {
            TrackConfig::Video(config) => {
                if self.video_config.as_ref() == Some(&config) {
                    return;
                }
                if let Some(decoder) = &self.video {
                    decoder.reconfigure_video(&config);
                }
                self.rate = Some(RateWatch::new(config.frame_rate));
                self.kept.clear();
                self.video_config = Some(config);
            }
            TrackConfig::Audio(config) => {
                if self.audio_config.as_ref() == Some(&config) {
                    return;
                }
                if let Some(decoder) = &self.audio {
                    decoder.reconfigure_audio(&config);
                }
                self.audio_config = Some(config);
            }
        }
    }

    /// Fixes the size that pictures are decoded to, and decodes what was kept.
    pub fn set_canvas(&mut self, width: u32, height: u32) {
        self.canvas = Some((width, height));
        for unit in std::mem::take(&mut self.kept) {
            self.decode_video(&unit);
        }
    }

    /// Forgets the canvas, which was another input's that turned out undecodable.
    pub fn unset_canvas(&mut self) {
        self.canvas = None;
        // Its callback has ended when this returns, so nothing of the wrong size can follow.
        self.video = None;
        self.awaiting_keyframe = true;
        // Its next keyframe is the first one as far as the output is concerned.
        self.first_arrival = None;
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.forget_pictures();
        }
    }

    /// A frame.
    pub fn unit(&mut self, unit: AccessUnit) {
        if self.rejected.is_some() {
            return;
        }
        match unit.track {
            Track::Video => self.video_unit(unit),
            Track::Audio => self.audio_unit(&unit),
        }
    }

    fn video_unit(&mut self, unit: AccessUnit) {
        if self.video_config.is_none() || (self.first_arrival.is_none() && !unit.keyframe) {
            return;
        }
        let (now, dts) = (self.stage.clock.now(), unit.dts.as_nanos());
        self.first_arrival.get_or_insert(now);
        let jumped = self.stage.lock().sessions.get_mut(&self.session).is_some_and(|s| s.video_arrived(now, dts));
        if jumped {
            self.video.iter_mut().chain(&mut self.audio).for_each(|decoder| decoder.jump(dts));
        }
        if let Some(rate) = &mut self.rate {
            rate.frame(dts, now);
        }
        if self.canvas.is_some() {
            self.decode_video(&unit);
        } else {
            if unit.keyframe && self.kept.len() > KEPT / 2 {
                self.kept.clear();
            }
            if self.kept.len() < KEPT && (unit.keyframe || !self.kept.is_empty()) {
                self.kept.push(unit);
            }
        }
    }

    fn decode_video(&mut self, unit: &AccessUnit) {
        let (Some((width, height)), Some(config)) = (self.canvas, &self.video_config) else { return };
        if self.awaiting_keyframe {
            if !unit.keyframe {
                return;
            }
            if self.video.is_none() {
                match Decoder::video(&self.stage, self.session, config, width, height) {
                    Ok(decoder) => self.video = Some(decoder),
                    Err(error) => return self.rejected = Some(error.to_string()),
                }
            }
            self.awaiting_keyframe = false;
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

    fn audio_unit(&mut self, unit: &AccessUnit) {
        let now = self.stage.clock.now();
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.audio_arrived(now, unit.pts.as_nanos());
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
        self.video.iter().chain(&self.audio).for_each(Decoder::finish);
        if let Some(session) = self.stage.lock().sessions.get_mut(&self.session) {
            session.closed = true;
        }
    }

    /// Replaces what has failed. Called a few times a second.
    pub fn look_after(&mut self) {
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
                self.rejected = Some(format!("video cannot be decoded: {reason}"));
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
