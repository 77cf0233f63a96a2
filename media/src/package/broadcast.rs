//! What one broadcast has published: tracks of segments of parts.
//!
//! Two marks per track matter. `next` is the place of the first part that has not come: parts are taken in order, each once.
//! What of that is *shown* is limited by `horizon`, the first sequence number that is not stored as reserved yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::grid::{AAC_FRAME, SAMPLE_RATE};
use crate::protocol::{Chunk, Output};

/// A place in a track: segments before it, and parts of the next segment before it.
pub(super) type Place = (u64, u32);

/// Allowance over the nominal bit rate for what a one-second VBV and the container add to a segment, until a busier segment is
/// measured.
const PEAK_PERCENT: u64 = 120;

/// One part.
pub(super) struct Part {
    pub data: Bytes,
    pub frames: u32,
    pub independent: bool,
}

/// One segment; incomplete while it is a track's last.
#[derive(Default)]
pub(super) struct Segment {
    pub parts: Vec<Part>,
}

impl Segment {
    pub fn frames(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.frames)).sum()
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.data.len() as u64).sum()
    }
}

/// One rendition, video or the audio.
pub(super) struct Track {
    pub audio: bool,
    pub init: Option<Bytes>,
    /// RFC 6381, from the initialization segment.
    pub codecs: String,
    /// Place of the first part that has not come.
    pub next: Place,
    /// Segment number of `segments[0]`.
    first: u64,
    segments: VecDeque<Segment>,
    /// Bit/s wished for, container not included.
    nominal: u64,
    /// Bit/s of the busiest whole segment so far.
    measured: u64,
    /// Seconds per frame, as a fraction.
    frame: (u64, u64),
}

impl Track {
    pub fn segment(&self, index: u64) -> Option<&Segment> {
        self.segments.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Seconds that `frames` pictures or AAC frames last.
    pub fn seconds(&self, frames: u64) -> f64 {
        (frames * self.frame.0) as f64 / self.frame.1 as f64
    }

    /// Bit/s that no segment exceeds, as far as is known.
    pub fn peak_bandwidth(&self) -> u64 {
        (self.nominal * PEAK_PERCENT / 100).max(self.measured)
    }

    /// Bit/s wished for.
    pub fn average_bandwidth(&self) -> u64 {
        self.nominal
    }

    /// Oldest segment that is still there.
    pub fn oldest(&self) -> u64 {
        self.first
    }

    fn close_segment(&mut self) {
        if let Some(segment) = self.segments.back() {
            let seconds = self.seconds(segment.frames());
            if seconds > 0.5 {
                self.measured = self.measured.max((segment.bytes() as f64 * 8.0 / seconds).ceil() as u64);
            }
        }
        self.next = (self.next.0 + 1, 0);
    }
}

/// One broadcast.
pub(super) struct Broadcast {
    pub output: Output,
    /// Sequence number of its segment 0.
    pub first_sequence: u64,
    /// Discontinuities before it, ever; at 0 it is the stream's first.
    pub discontinuity_sequence: u64,
    /// First sequence number that must not be shown yet.
    pub horizon: u64,
    pub tracks: Vec<Track>,
    pub ended: bool,
    /// What was told in a [`Placed`](crate::pipeline::Placed): playable, whole segments.
    pub told: (bool, u64),
}

impl Broadcast {
    pub fn new(output: &Output, first_sequence: u64, discontinuity_sequence: u64) -> Self {
        let rate = output.grid.frame_rate;
        let track = |audio, kbps: u32, frame| Track {
            audio,
            init: None,
            codecs: String::new(),
            next: (0, 0),
            first: 0,
            segments: VecDeque::new(),
            nominal: u64::from(kbps) * 1_000,
            measured: 0,
            frame,
        };
        let picture = (u64::from(rate.den()), u64::from(rate.num()));
        let mut tracks: Vec<Track> =
            output.renditions.iter().map(|rendition| track(false, rendition.bitrate_kbps, picture)).collect();
        tracks.push(track(true, output.audio_bitrate_kbps, (u64::from(AAC_FRAME), u64::from(SAMPLE_RATE))));
        Self {
            output: output.clone(),
            first_sequence,
            discontinuity_sequence,
            horizon: first_sequence,
            tracks,
            ended: false,
            told: (false, 0),
        }
    }

    /// Takes a track's initialization segment; `false` when there is one already, no such track, or no `avcC` in a video's.
    pub fn init(&mut self, track: u8, data: Bytes) -> bool {
        let Some(track) = self.tracks.get_mut(usize::from(track)).filter(|track| track.init.is_none()) else {
            return false;
        };
        let codecs = if track.audio { Some("mp4a.40.2".to_owned()) } else { avc_codecs(&data) };
        let Some(codecs) = codecs else { return false };
        track.codecs = codecs;
        track.init = Some(data);
        true
    }

    /// Takes a part when it is the next of its track; `false` otherwise.
    pub fn chunk(&mut self, chunk: Chunk) -> bool {
        let parts = self.output.grid.parts_per_segment();
        let Some(track) = self.tracks.get_mut(usize::from(chunk.track)).filter(|track| track.init.is_some()) else {
            return false;
        };
        if self.ended || (chunk.segment, chunk.part) != track.next {
            return false;
        }
        if chunk.part == 0 {
            track.segments.push_back(Segment::default());
        }
        let Some(segment) = track.segments.back_mut() else { return false };
        segment.parts.push(Part { data: chunk.data, frames: chunk.frames, independent: chunk.independent });
        track.next.1 += 1;
        if track.next.1 == parts {
            track.close_segment();
        }
        true
    }

    /// A part comes before its predecessor.
    pub fn leaves_hole(&self, chunk: &Chunk) -> bool {
        let track = self.tracks.get(usize::from(chunk.track)).filter(|track| track.init.is_some());
        !self.ended && track.is_some_and(|track| (chunk.segment, chunk.part) > track.next)
    }

    /// No more parts: what each track has of its last segment is that segment.
    pub fn end(&mut self) {
        self.ended = true;
        for track in &mut self.tracks {
            if track.next.1 > 0 {
                track.close_segment();
            }
        }
    }

    /// How much of a track may be seen.
    pub fn shown(&self, track: &Track) -> Place {
        track.next.min((self.horizon.saturating_sub(self.first_sequence), 0))
    }

    /// Every rendition has a part that may be seen.
    pub fn playable(&self) -> bool {
        self.tracks.iter().all(|track| self.shown(track) > (0, 0))
    }

    /// Whole segments that may be seen in every rendition.
    pub fn whole_segments(&self) -> u64 {
        self.tracks.iter().map(|track| self.shown(track).0).min().unwrap_or(0)
    }

    /// Whole segments that may be seen in the rendition that is furthest.
    pub fn longest(&self) -> u64 {
        self.tracks.iter().map(|track| self.shown(track).0).max().unwrap_or(0)
    }

    /// Seconds of segment `index` in the rendition that has most of it; the grid's length when none has any left.
    pub fn longest_seconds(&self, index: u64) -> f64 {
        let seconds = self.tracks.iter().filter_map(|track| Some(track.seconds(track.segment(index)?.frames())));
        seconds.reduce(f64::max).unwrap_or_else(|| self.output.grid.segment_seconds())
    }

    /// Whole segments of the rendition that is furthest.
    pub fn newest_segment(&self) -> u64 {
        self.tracks.iter().map(|track| track.next.0).max().unwrap_or(0)
    }

    /// First output frame that at least one track has not published, and the first one that no track has.
    pub fn next_frames(&self) -> [u64; 2] {
        let places = || self.tracks.iter().map(|track| track.next);
        [places().min(), places().max()].map(|place| {
            let (segment, part) = place.unwrap_or_default();
            self.output.grid.first_frame(segment, part)
        })
    }

    /// Drops segments whose sequence number is below `oldest`; `true` when nothing is left.
    pub fn drop_before(&mut self, oldest: u64) -> bool {
        for track in &mut self.tracks {
            while self.first_sequence + track.first < oldest && track.first < track.next.0 {
                track.segments.pop_front();
                track.first += 1;
            }
        }
        self.tracks.iter().all(|track| track.segments.is_empty())
    }

    /// The same renditions on the same raster, so that one playlist can go on from one to the other.
    pub fn same_layout(&self, other: &Self) -> bool {
        self.output.renditions == other.output.renditions && self.output.grid == other.output.grid
    }

    /// Nanoseconds from the broadcast's start to the start of segment `index`.
    pub fn slot_start_ns(&self, index: u64) -> u64 {
        self.output.grid.frame_rate.frame_start_ns(self.output.grid.first_frame(index, 0))
    }
}

/// `avc1.PPCCLL` (RFC 6381) from the `avcC` box (ISO/IEC 14496-15) of an initialization segment.
fn avc_codecs(init: &[u8]) -> Option<String> {
    let at = init.windows(4).position(|window| window == b"avcC")?;
    match init.get(at + 4..at + 8)? {
        [1, profile, compatibility, level] => Some(format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_string_comes_from_the_avcc_box() {
        assert_eq!(avc_codecs(b"....avcC\x01\x4d\x40\x1f\xff").as_deref(), Some("avc1.4d401f"));
        assert_eq!(avc_codecs(b"....avcC\x01\x4d"), None);
        assert_eq!(avc_codecs(b"....hvcC\x01\x4d\x40\x1f"), None);
    }
}
