//! The audio track: AAC frames out of ADTS (ISO/IEC 14496-3, 1.A.2.2), which need not keep to PES packets.

use std::collections::VecDeque;

use bytes::Bytes;

use super::TsStats;
use super::clock::Times;
use crate::access_unit::{AccessUnit, Track};
use crate::codec::aac::AacError;
use crate::codec::{AudioConfig, aac};
use crate::time::Timestamp;

/// Bytes of a header that has no checksum.
const HEADER: usize = 7;
/// Samples of a frame.
const SAMPLES: u64 = 1024;

/// What is read of the stream, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Config(AudioConfig),
    Unit(AccessUnit),
}

/// Why the stream cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Config(AacError),
    /// A frame of several blocks, which nothing separates without decoding.
    Blocks,
}

/// Reads one audio stream.
#[derive(Default)]
pub(super) struct Audio {
    /// From the begin of a frame, or from where one is searched: less than two frames.
    stream: Vec<u8>,
    /// Times of the first frames that begin at or behind these places in the stream.
    marks: VecDeque<(usize, Timestamp)>,
    /// The last of those times, and the samples since.
    time: Option<(Timestamp, u64)>,
    /// The stream begins with a frame.
    synced: bool,
    /// What the header said that `config` was made from.
    signature: Option<[u8; 2]>,
    config: Option<AudioConfig>,
}

/// A frame's header.
struct Frame {
    /// Bytes, of the header and in all.
    header: usize,
    length: usize,
    /// `AudioSpecificConfig` of the same.
    signature: [u8; 2],
    blocks: u8,
}

impl Frame {
    /// `None` when it is no header of AAC.
    fn read(&[a, b, c, d, e, f, g]: &[u8; HEADER]) -> Option<Self> {
        let header = if b & 1 == 1 { HEADER } else { HEADER + 2 };
        let length = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        if a != 0xff || b & 0xf6 != 0xf0 || length <= header {
            return None;
        }
        let (object_type, rate, channels) = ((c >> 6) + 1, c >> 2 & 15, (c & 1) << 2 | d >> 6);
        let signature = [object_type << 3 | rate >> 1, rate << 7 | channels << 3];
        Some(Self { header, length, signature, blocks: g & 3 })
    }
}

impl Audio {
    /// As [`super::video::Video::new`].
    pub fn new(config: Option<AudioConfig>) -> Self {
        Self { config, ..Self::default() }
    }

    pub fn config(&self) -> Option<&AudioConfig> {
        self.config.as_ref()
    }

    /// A PES packet begins. Without a time its frames are counted on.
    pub fn head(&mut self, times: Option<Times>) {
        let Some(Times { pts, .. }) = times else { return };
        let at = self.stream.len();
        self.marks.pop_back_if(|(place, _)| *place == at);
        self.marks.push_back((at, pts));
    }

    /// Something is missing here: what is begun stays incomplete, and what follows has no time before the next head.
    pub fn damage(&mut self, stats: &mut TsStats) {
        stats.damaged_units += u64::from(self.synced);
        self.stream.clear();
        self.marks.clear();
        (self.time, self.synced) = (None, false);
    }

    /// Takes bytes in and hands on what they complete.
    pub fn body(&mut self, bytes: &[u8], stats: &mut TsStats, mut take: impl FnMut(Sound)) -> Result<(), Fault> {
        self.stream.extend_from_slice(bytes);
        let mut at = 0;
        let outcome = loop {
            match self.next(at, stats) {
                Ok(Some(Step::Skip)) => at += 1,
                Ok(Some(Step::Frame(frame))) => {
                    let end = at + frame.length;
                    match self.frame(at, &frame, stats, &mut take) {
                        Ok(()) => at = end,
                        Err(fault) => break Err(fault),
                    }
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        self.stream.drain(..at);
        for (place, _) in &mut self.marks {
            *place = place.saturating_sub(at);
        }
        outcome
    }

    /// What stands at `at`; `None` when more bytes have to tell.
    fn next(&mut self, at: usize, stats: &mut TsStats) -> Result<Option<Step>, Fault> {
        let Some(header) = self.stream[at..].first_chunk::<HEADER>() else { return Ok(None) };
        let Some(frame) = Frame::read(header) else {
            stats.damaged_units += u64::from(self.synced);
            self.synced = false;
            self.time = None;
            return Ok(Some(Step::Skip));
        };
        // At the begin of a PES packet a header is one; elsewhere in a strange place the next has to prove it.
        if !self.synced && self.marks.front().is_none_or(|(place, _)| *place != at) {
            match self.stream.get(at + frame.length..at + frame.length + 2) {
                None => return Ok(None),
                Some(&[0xff, next]) if next & 0xf6 == 0xf0 => {}
                Some(_) => return Ok(Some(Step::Skip)),
            }
        }
        if self.stream.len() < at + frame.length {
            return Ok(None);
        }
        if frame.blocks > 0 {
            return Err(Fault::Blocks);
        }
        Ok(Some(Step::Frame(frame)))
    }

    fn frame(
        &mut self,
        at: usize,
        frame: &Frame,
        stats: &mut TsStats,
        take: &mut impl FnMut(Sound),
    ) -> Result<(), Fault> {
        self.synced = true;
        while let Some((_, time)) = self.marks.pop_front_if(|(place, _)| *place <= at) {
            self.time = Some((time, 0));
        }
        if self.signature != Some(frame.signature) || self.config.is_none() {
            let config = match aac::parse(&frame.signature) {
                Ok(config) => config,
                Err(error) if self.config.is_none() => return Err(Fault::Config(error)),
                Err(_) => {
                    self.damage_frame(stats);
                    return Ok(());
                }
            };
            self.signature = Some(frame.signature);
            // The new rate counts from here.
            self.time = self.now().map(|now| (now, 0));
            if self.config.as_ref() != Some(&config) {
                self.config = Some(config.clone());
                take(Sound::Config(config));
            }
        }
        let Some(pts) = self.now() else {
            stats.skipped_units += 1;
            return Ok(());
        };
        if let Some((_, samples)) = &mut self.time {
            *samples += SAMPLES;
        }
        let data = Bytes::copy_from_slice(&self.stream[at + frame.header..at + frame.length]);
        take(Sound::Unit(AccessUnit { track: Track::Audio, pts, dts: pts, keyframe: true, data }));
        Ok(())
    }

    /// A frame is lost whose length is known.
    fn damage_frame(&mut self, stats: &mut TsStats) {
        stats.damaged_units += 1;
        if let Some((_, samples)) = &mut self.time {
            *samples += SAMPLES;
        }
    }

    /// When the next frame is heard.
    fn now(&self) -> Option<Timestamp> {
        let (time, samples) = self.time?;
        let rate = self.config.as_ref().map_or(48_000, |config| config.sample_rate);
        let since = u128::from(samples) * 1_000_000_000 / u128::from(rate.max(1));
        // A rate has four digits at least, so that centuries fit.
        Some(Timestamp::from_nanos(time.as_nanos().saturating_add(since.min(i64::MAX as u128) as i64)))
    }
}

enum Step {
    Skip,
    Frame(Frame),
}
