//! Cuts a track's encoded frames into parts on the broadcast's grid, in front of its CMAF muxer.
//!
//! The muxer's own durations would cut audio at 1.984 s for a 2 s segment and drift away from video. Here a probe on
//! the muxer's upstream pad counts frames and pushes `FMP4MuxSplitNow` before the frame that crosses the grid. It also sets each
//! frame's time to the exact one (see [`super::timeline`]), and it notes what each part holds, because only it knows exactly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use weir_media::grid::{AAC_FRAME, Grid};

use super::timeline::{frame_at, frame_pts, sample_at, sample_pts};

/// Which raster a track is cut on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raster {
    /// Pictures.
    Video,
    /// AAC frames of 1024 samples.
    Audio,
}

/// What one part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Segment number from the broadcast's start.
    pub segment: u64,
    /// Part number within it.
    pub part: u32,
    /// Pictures or AAC frames that it lasts: one that was dropped prolongs the one before, also into the next part.
    pub frames: u32,
    /// Starts with a keyframe.
    pub independent: bool,
}

/// Parts that are complete, in order; taken by whoever gets the muxer's output.
pub type Heads = Arc<Mutex<Cutter>>;

/// The cutting of one track.
#[derive(Debug)]
pub struct Cutter {
    grid: Grid,
    raster: Raster,
    open: Option<Head>,
    /// Index of the first frame of `open`.
    first: u64,
    complete: VecDeque<Head>,
    /// Frames seen so far.
    pub frames: u64,
}

/// What has to go in front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    None,
    /// The end of a part within a segment.
    Part,
    /// The end of a segment.
    Segment,
}

impl Cutter {
    /// A cutter that has seen nothing.
    pub fn new(grid: Grid, raster: Raster) -> Self {
        Self { grid, raster, open: None, first: 0, complete: VecDeque::new(), frames: 0 }
    }

    /// The frame nearest to `pts`: its exact time, its exact end, and the cut in front of it.
    pub fn frame(&mut self, pts: u64, keyframe: bool) -> (u64, u64, Cut) {
        let (index, start, end, (segment, part)) = match self.raster {
            Raster::Video => {
                let (rate, n) = (self.grid.frame_rate, frame_at(self.grid.frame_rate, pts));
                (n, frame_pts(rate, n), frame_pts(rate, n + 1), self.grid.place(n))
            }
            Raster::Audio => {
                let s = sample_at(pts);
                (self.frames, sample_pts(s), sample_pts(s + u64::from(AAC_FRAME)), self.grid.place_sample(s))
            }
        };
        self.frames += 1;
        let cut = match &mut self.open {
            Some(open) if (open.segment, open.part) == (segment, part) => {
                open.frames = lasting(self.first, index + 1);
                return (start, end, Cut::None);
            }
            // A segment can only start with a keyframe; without one the muxer must not be told that it does.
            Some(open) if open.segment != segment && keyframe => Cut::Segment,
            Some(_) => Cut::Part,
            None => Cut::None,
        };
        if let Some(open) = &mut self.open {
            open.frames = lasting(self.first, index);
        }
        self.finish();
        self.first = index;
        self.open = Some(Head { segment, part, frames: 1, independent: keyframe });
        (start, end, cut)
    }

    /// No frame will come any more.
    pub fn finish(&mut self) {
        self.complete.extend(self.open.take());
    }

    /// The next complete part.
    pub fn take(&mut self) -> Option<Head> {
        self.complete.pop_front()
    }
}

/// Frames between two indices. An encoder's output never goes back.
fn lasting(first: u64, end: u64) -> u32 {
    end.saturating_sub(first).try_into().unwrap_or(u32::MAX)
}

/// Cuts what enters `muxer`.
pub fn install(muxer: &gst::Element, grid: Grid, raster: Raster) -> Option<Heads> {
    let pad = muxer.sink_pads().first()?.peer()?;
    let heads: Heads = Arc::new(Mutex::new(Cutter::new(grid, raster)));
    let cutter = heads.clone();
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        let mut cutter = cutter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Segment(new) => {
                    if let Some(new) = new.segment().downcast_ref::<gst::ClockTime>() {
                        *segment = new.clone();
                    }
                }
                gst::EventView::Eos(_) => cutter.finish(),
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let Some((pts, time)) =
                    buffer.pts().and_then(|pts| segment.to_running_time(pts).map(|time| (pts, time)))
                else {
                    return gst::PadProbeReturn::Ok;
                };
                let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                let (start, end, cut) = cutter.frame(time.nseconds(), keyframe);
                let exact = gst::ClockTime::from_nseconds(pts.nseconds() - time.nseconds() + start);
                let buffer = buffer.make_mut();
                buffer.set_pts(exact);
                buffer.set_dts(exact);
                buffer.set_duration(gst::ClockTime::from_nseconds(end - start));
                drop((cutter, segment));
                if cut != Cut::None {
                    let split = gst::Structure::builder("FMP4MuxSplitNow").field("chunk", cut == Cut::Part).build();
                    pad.push_event(gst::event::CustomDownstream::new(split));
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Some(heads)
}

#[cfg(test)]
mod tests {
    use weir_media::time::FrameRate;

    use super::*;

    fn heads(cutter: &mut Cutter) -> Vec<(u64, u32, u32, bool)> {
        std::iter::from_fn(|| cutter.take()).map(|h| (h.segment, h.part, h.frames, h.independent)).collect()
    }

    #[test]
    fn video_is_cut_at_parts_and_segments() {
        let grid = Grid::new(FrameRate::new(30_000, 1_001).unwrap());
        let mut cutter = Cutter::new(grid, Raster::Video);
        let mut cuts = vec![];
        for n in 0..100u64 {
            // As an encoder rounds it down.
            let (start, end, cut) = cutter.frame(grid.frame_rate.frame_start_ns(n), n % 48 == 0);
            assert_eq!((start, end), (frame_pts(grid.frame_rate, n), frame_pts(grid.frame_rate, n + 1)));
            if cut != Cut::None {
                cuts.push((n, cut));
            }
        }
        cutter.finish();
        assert_eq!(cuts[..4], [(12, Cut::Part), (24, Cut::Part), (36, Cut::Part), (48, Cut::Segment)]);
        assert_eq!(heads(&mut cutter)[3..6], [(0, 3, 12, false), (1, 0, 12, true), (1, 1, 12, false)]);
    }

    #[test]
    fn a_part_lasts_until_the_next_ones_first_picture() {
        let grid = Grid::new(FrameRate::whole(30));
        let mut cutter = Cutter::new(grid, Raster::Video);
        // An encoder that is behind is not given every picture.
        for n in (0..36u64).filter(|n| ![3, 4, 5, 11, 13].contains(n)) {
            cutter.frame(grid.frame_rate.frame_start_ns(n), n == 0);
        }
        cutter.finish();
        assert_eq!(heads(&mut cutter), [(0, 0, 12, true), (0, 1, 12, false), (0, 2, 12, false)]);
    }

    #[test]
    fn audio_follows_the_grid_with_whole_aac_frames() {
        let mut cutter = Cutter::new(Grid::new(FrameRate::whole(30)), Raster::Audio);
        for k in 0..160u64 {
            cutter.frame(k * 1_024 * 1_000_000_000 / 48_000, true);
        }
        let heads = heads(&mut cutter);
        assert_eq!(heads.iter().filter(|h| h.0 == 0).map(|h| h.2).sum::<u32>(), 75);
        assert_eq!(heads[..4].iter().map(|h| h.1).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_segment_without_its_keyframe_is_cut_as_a_part() {
        let mut cutter = Cutter::new(Grid::new(FrameRate::whole(25)), Raster::Video);
        cutter.frame(0, true);
        assert_eq!(cutter.frame(1_600_000_000, false).2, Cut::Part);
    }
}
