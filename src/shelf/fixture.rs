//! A worker and a store for tests of the shelf and of what serves it.

use std::sync::Mutex;

use weir_media::grid::Grid;
use weir_media::ladder::Rendition;
use weir_media::time::FrameRate;

use super::*;

/// Stream that tests feed.
pub const STREAM: StreamId = StreamId(5);

/// Keeps what it is asked for, and confirms at once or when told to.
#[derive(Default)]
pub struct Memory {
    hold: bool,
    /// Every question.
    pub asked: Mutex<Vec<(StreamId, Numbers)>>,
    held: Mutex<Vec<Reservation>>,
}

impl Memory {
    /// Confirms only on [`Memory::answer`].
    pub fn holding() -> Self {
        Self { hold: true, ..Self::default() }
    }

    /// Confirms or fails what is held back.
    pub fn answer(&self, stored: bool) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        held.into_iter().filter(|_| stored).for_each(Reservation::confirm);
    }
}

impl NumberStore for Memory {
    fn reserve(&self, stream: StreamId, numbers: Numbers, reservation: Reservation) {
        self.asked.lock().unwrap().push((stream, numbers));
        match self.hold {
            true => self.held.lock().unwrap().push(reservation),
            false => reservation.confirm(),
        }
    }
}

/// A shelf with a store that answers at once; the stream begins at number 100.
pub fn shelf() -> Shelf {
    let shelf = Shelf::new(Arc::new(Memory::default()), Duration::from_secs(600));
    shelf.restore(STREAM, Numbers { next_sequence: 100, discontinuity_sequence: 0 });
    shelf
}

/// One 360p rendition at 30 fps and the audio.
pub fn output() -> Output {
    Output {
        grid: Grid::new(FrameRate::whole(30)),
        renditions: vec![Rendition { name: "360p".into(), width: 640, height: 360, bitrate_kbps: 450 }],
        audio_bitrate_kbps: 128,
        epoch_ns: 1_800_000_000_000_000_000,
    }
}

/// A broadcast that has begun and published nothing.
pub fn begin(shelf: &Shelf) -> Arc<BroadcastSink> {
    let sink = shelf.open(STREAM);
    start(&sink);
    sink
}

/// What a worker says first.
pub fn start(sink: &BroadcastSink) {
    sink.output(&output());
    for track in 0..2 {
        sink.init(track, Bytes::from_static(b"....avcC\x01\x4d\x40\x1f"));
    }
}

/// One part of one track; its bytes say which it is.
pub fn part(sink: &BroadcastSink, track: u8, segment: u64, part: u32) -> Placed {
    let data = Bytes::from(format!("<{track}.{segment}.{part}>"));
    sink.chunk(Chunk { track, segment, part, frames: [12, 19][usize::from(track)], independent: part == 0, data })
}

/// Whole segments, both tracks.
pub fn segments(sink: &BroadcastSink, segments: std::ops::Range<u64>) {
    for segment in segments {
        for number in 0..4 {
            part(sink, 0, segment, number);
            part(sink, 1, segment, number);
        }
    }
}
