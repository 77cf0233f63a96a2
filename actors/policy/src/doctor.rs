//! The ingest doctor: what is wrong with what an encoder sends, and how to mend it.
//!
//! A [`Doctor`] is told every access unit of one publisher as it arrives, and answers once a second with a [`Checkup`]: what it measured, and
//! the [`Finding`]s that hold. It looks at configurations, sizes and times alone, never at pictures, so it costs a wire task nothing worth
//! counting. [`Pair`] compares both slots of a stream.
//!
//! ```text
//! units ─▶ measures (windows of a few seconds) ─▶ verdict per code ─▶ hold (has to last) ─▶ findings
//! ```
//!
//! Contract: told the time, bounded memory whatever comes, no bytes and no times make it panic. Media time (DTS) is what rates and distances
//! are counted in, so that a network that stalls and catches up changes nothing. A finding is raised when its verdict was bad for
//! [`Code::raise_after`] and cleared when it was good for [`Code::clear_after`]; while nothing arrives nothing changes.

mod bitrate;
mod code;
mod hold;
mod measure;
mod pair;

use std::time::{Duration, Instant};

use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};

pub use self::code::{Code, Fix, Severity};
use self::hold::{Hold, Verdict};
use self::measure::Measures;
pub use self::pair::Pair;

/// Time between two checkups.
pub const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Longest distance of keyframes that is wished, seconds (the segment cannot begin anywhere else, and a switch waits for it).
pub const LONGEST_GOP_S: f64 = 2.0;
/// Most frames a second that are wished.
pub const MOST_FPS: f64 = 60.0;
/// Most milliseconds that sound and picture may be apart.
pub const MOST_DRIFT_MS: f64 = 200.0;
/// Silence of the sound beside pictures, seconds.
pub const AUDIO_WITHIN_S: f64 = 3.0;
/// Packets that may be missing for good in ten seconds.
pub const MOST_LOST: f64 = 5.0;
/// What a measured rate or distance may be over its limit: timestamps of RTMP are whole milliseconds.
const TOLERANCE: f64 = 1.02;
/// What GOPs may differ by, a share of the longest.
const UNEVEN: f64 = 0.1;
/// What a bit rate may be out of its range: encoders' rate control swings.
const SWING: f64 = 0.1;

/// Who makes the media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maker {
    /// An encoder that somebody sets up.
    #[default]
    Encoder,
    /// A browser: it makes keyframes when it is asked for one and as many bits as the network takes, and nobody can set either.
    Browser,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which fault.
    pub code: Code,
    /// How bad it is at the latest look, in [`Code::unit`].
    pub value: f64,
    /// What would be right, in the same unit: at most this, or for [`Code::BitrateLow`] at least this.
    pub limit: f64,
    /// In words.
    pub text: String,
    /// When it was raised.
    pub since: Instant,
    /// When it was seen last.
    pub seen: Instant,
}

/// What is known of a publisher's media. `None` is not known yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The video track's configuration.
    pub video: Option<VideoConfig>,
    /// The audio track's configuration.
    pub audio: Option<AudioConfig>,
    /// Pictures a second.
    pub frame_rate: Option<f64>,
    /// Bit rate of the pictures, kbit/s.
    pub video_kbps: Option<f64>,
    /// Longest distance of the latest keyframes, seconds.
    pub gop_s: Option<f64>,
    /// The same in pictures.
    pub gop_frames: Option<u32>,
    /// Most pictures in a row that are shown before an earlier one, within the last second.
    pub b_frames: u32,
    /// How far the sound is from the pictures, milliseconds; positive is ahead.
    pub av_offset_ms: Option<f64>,
}

/// What came since the checkup before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Time between both.
    pub within: Duration,
    /// Pictures.
    pub frames: u32,
    /// Bytes of pictures and sound.
    pub bytes: u64,
}

/// What one second of looking came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkup {
    /// What came.
    pub received: Received,
    /// What is known.
    pub measured: Measured,
    /// What is wrong, in the order of [`Code::ALL`].
    pub findings: Vec<Finding>,
}

/// Looks at one publisher.
#[derive(Debug)]
pub struct Doctor {
    maker: Maker,
    measures: Measures,
    holds: [Hold; Code::ALL.len()],
    /// When it looked last.
    checked: Option<Instant>,
    received: Received,
}

impl Doctor {
    /// Knows nothing yet.
    pub fn new(maker: Maker) -> Self {
        let holds = Code::ALL.map(Hold::new);
        Self { maker, measures: Measures::default(), holds, checked: None, received: Received::default() }
    }

    /// A track's configuration came.
    pub fn config(&mut self, config: &TrackConfig) {
        self.measures.config(config);
    }

    /// A frame came.
    pub fn unit(&mut self, unit: &AccessUnit, now: Instant) {
        self.checked.get_or_insert(now);
        self.received.frames += u32::from(unit.track == Track::Video);
        self.received.bytes += unit.data.len() as u64;
        self.measures.unit(unit, now);
    }

    /// The transport has lost so many packets for good since its begin.
    pub fn lost(&mut self, packets: u64) {
        self.measures.lost(packets);
    }

    /// Looks, once a second while media comes.
    pub fn check(&mut self, now: Instant) -> Option<Checkup> {
        let within = now.saturating_duration_since(self.checked?);
        if within < CHECK_EVERY {
            return None;
        }
        self.checked = Some(now);
        let received = Received { within, ..std::mem::take(&mut self.received) };
        self.measures.tick();
        let measured = self.measures.measured();
        for hold in &mut self.holds {
            let code = hold.code();
            let spared = self.maker == Maker::Browser && code.is_encoders();
            let verdict = if spared { Verdict::Unknown } else { verdict(code, &self.measures, &measured, now) };
            hold.look(verdict, now);
        }
        let findings = self.holds.iter().filter_map(Hold::finding).collect();
        Some(Checkup { received, measured, findings })
    }
}

/// What one look says of one code.
fn verdict(code: Code, measures: &Measures, measured: &Measured, now: Instant) -> Verdict {
    let at_most = |value: Option<f64>, limit: f64, tolerance: f64| match value {
        Some(value) if value > limit * tolerance => Verdict::bad(value, limit),
        Some(_) => Verdict::Good,
        None => Verdict::Unknown,
    };
    match code {
        Code::GopLong => at_most(measures.longest_gop_s(), LONGEST_GOP_S, TOLERANCE),
        Code::GopUneven => match measures.gop_range_s() {
            Some((shortest, longest)) => {
                let frame = measured.frame_rate.map_or(0.0, |rate| 1.0 / rate);
                let allowed = (longest * UNEVEN).max(2.5 * frame);
                at_most(Some(longest - shortest), allowed, 1.0)
            }
            None => Verdict::Unknown,
        },
        Code::BFrames => at_most(measured.video.as_ref().map(|_| f64::from(measured.b_frames)), 0.0, 1.0),
        Code::PtsJump => match measures.jump_s() {
            Some(jump) => Verdict::bad(jump, 0.0),
            None => Verdict::Good,
        },
        Code::AvDrift => match measured.av_offset_ms {
            Some(offset) if offset.abs() > MOST_DRIFT_MS => Verdict::bad(offset, MOST_DRIFT_MS),
            Some(_) => Verdict::Good,
            None => Verdict::Unknown,
        },
        Code::BitrateHigh | Code::BitrateLow => bitrate_verdict(code, measures, measured),
        Code::FpsHigh => at_most(measured.frame_rate, MOST_FPS, TOLERANCE),
        Code::AudioMissing => at_most(measures.without_audio(now), AUDIO_WITHIN_S, 1.0),
        Code::PixelsNotSquare => match measured.video.as_ref().map(|video| video.pixel_aspect) {
            Some((width, height)) if width != height => Verdict::bad(f64::from(width) / f64::from(height.max(1)), 1.0),
            Some(_) => Verdict::Good,
            None => Verdict::Unknown,
        },
        Code::PacketsLost => at_most(Some(measures.lost_lately() as f64), MOST_LOST, 1.0),
        // Told by Pair.
        Code::SlotsDiffer => Verdict::Unknown,
    }
}

fn bitrate_verdict(code: Code, measures: &Measures, measured: &Measured) -> Verdict {
    let (Some(video), Some(rate), Some(kbps)) = (&measured.video, measured.frame_rate, measures.steady_kbps()) else {
        return Verdict::Unknown;
    };
    let range = bitrate::range(video.width.min(video.height), rate);
    match (code, range.low, range.high) {
        (Code::BitrateHigh, _, Some(high)) if kbps > high * (1.0 + SWING) => Verdict::bad(kbps, high),
        (Code::BitrateLow, Some(low), _) if kbps < low * (1.0 - SWING) => Verdict::bad(kbps, low),
        _ => Verdict::Good,
    }
}

#[cfg(test)]
mod tests;
