//! Stream health: what the input on air brought, in samples of ten seconds.
//!
//! A [`Tally`] adds checkups up by the wall clock; a sample is handed on when its ten seconds are over, or when the input is. Nothing is
//! handed on for a time without media, so a hole in the samples is a stream that was off.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_media::id::StreamId;
use weir_policy::doctor::Checkup;

/// Length of a sample. Samples begin at multiples of it since 1970.
pub const SAMPLE: Duration = Duration::from_secs(10);

/// Takes samples. Must not block; an implementation writes them to the store behind a bounded queue.
pub trait HealthSink: Send + Sync {
    /// Records one sample.
    fn record(&self, sample: HealthSample);
}

/// What a stream received in ten seconds, or in the part of them in which it was on.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSample {
    /// The stream.
    pub stream: StreamId,
    /// Begin of the ten seconds.
    pub at: SystemTime,
    /// Time of it that was looked at.
    pub covered: Duration,
    /// Bytes of pictures and sound.
    pub bytes: u64,
    /// Pictures.
    pub frames: u64,
    /// Highest picture, pixels.
    pub height: u32,
    /// Most pictures a second that were measured.
    pub frame_rate: f64,
    /// Longest distance of keyframes, pictures.
    pub gop_frames: u32,
}

/// The sample that grows.
#[derive(Debug, Default)]
pub(crate) struct Tally(Option<HealthSample>);

impl Tally {
    /// Adds a checkup of `now`; returns the sample before, when that is over.
    pub fn add(&mut self, stream: StreamId, checkup: &Checkup, now: SystemTime) -> Option<HealthSample> {
        let at = begin(now);
        let over = self.0.take_if(|sample| sample.at != at);
        let sample = self.0.get_or_insert(HealthSample {
            stream,
            at,
            covered: Duration::ZERO,
            bytes: 0,
            frames: 0,
            height: 0,
            frame_rate: 0.0,
            gop_frames: 0,
        });
        let Checkup { received, measured, .. } = checkup;
        sample.covered += received.within;
        sample.bytes += received.bytes;
        sample.frames += u64::from(received.frames);
        sample.height = sample.height.max(measured.video.as_ref().map_or(0, |video| video.height));
        sample.frame_rate = sample.frame_rate.max(measured.frame_rate.unwrap_or(0.0));
        sample.gop_frames = sample.gop_frames.max(measured.gop_frames.unwrap_or(0));
        over
    }

    /// The sample so far: nothing more comes.
    pub fn end(&mut self) -> Option<HealthSample> {
        self.0.take()
    }
}

/// Begin of the ten seconds that hold this moment.
fn begin(at: SystemTime) -> SystemTime {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(since - since % SAMPLE.as_secs())
}

#[cfg(test)]
mod tests {
    use weir_policy::doctor::{Measured, Received};

    use super::*;

    fn checkup(bytes: u64, frame_rate: f64, gop_frames: u32) -> Checkup {
        let received = Received { within: Duration::from_secs(1), frames: 30, bytes };
        let measured = Measured { frame_rate: Some(frame_rate), gop_frames: Some(gop_frames), ..Measured::default() };
        Checkup { received, measured, findings: vec![] }
    }

    #[test]
    fn ten_seconds_are_one_sample_and_a_hole_has_none() {
        let at = |second: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + second);
        let (stream, mut tally) = (StreamId(7), Tally::default());
        for second in 3..10 {
            assert_eq!(tally.add(stream, &checkup(second, second as f64, 60), at(second)), None);
        }
        let first = tally.add(stream, &checkup(100, 1.0, 90), at(45)).expect("the ten seconds are over");
        let expected = HealthSample {
            stream,
            at: at(0),
            covered: Duration::from_secs(7),
            bytes: 42,
            frames: 210,
            height: 0,
            frame_rate: 9.0,
            gop_frames: 60,
        };
        assert_eq!(first, expected);
        let second = tally.end().expect("what is there");
        assert_eq!((second.at, second.bytes, second.gop_frames), (at(40), 100, 90));
        assert_eq!(tally.end(), None);
    }
}
