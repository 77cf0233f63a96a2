use bytes::Bytes;

use super::*;
use crate::codec::{AudioCodec, AudioConfig};
use crate::time::some_instant;

const TARGET: u64 = 4;

struct Source {
    buffer: Buffer,
    start: Instant,
}

impl Source {
    fn new() -> Self {
        Self { buffer: Buffer::new(Duration::from_secs(3 * TARGET)), start: some_instant() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    /// A segment of 25 pictures a second, the first a keyframe, and sound every 20 ms; whether there was room.
    fn segment(&mut self, millis: u64, number: i64, last: bool) -> bool {
        let now = self.at(millis);
        if !self.buffer.has_room(Track::Video, now) {
            return false;
        }
        let begin = number * TARGET as i64 * 1000;
        for at in (0..TARGET as i64 * 1000).step_by(20) {
            self.buffer.push(unit(Track::Audio, begin + at, true));
            if at % 40 == 0 {
                self.buffer.push(unit(Track::Video, begin + at, at == 0));
            }
        }
        if !self.buffer.skip(now) && last {
            self.buffer.steer(now);
        }
        true
    }

    /// Decoding times of the pictures that come out at this time, milliseconds.
    fn pictures(&mut self, millis: u64) -> Vec<i64> {
        let now = self.at(millis);
        let items: Vec<_> = std::iter::from_fn(|| self.buffer.poll(now)).collect();
        items.iter().filter_map(|item| time(item, Track::Video)).collect()
    }

    /// Takes what comes out until then.
    fn play(&mut self, from: u64, until: u64) {
        (from..=until).step_by(20).for_each(|millis| drop(self.pictures(millis)));
    }
}

fn unit(track: Track, millis: i64, keyframe: bool) -> FeedItem {
    let time = Timestamp::from_millis(millis);
    FeedItem::Unit(AccessUnit { track, pts: time, dts: time, keyframe, data: Bytes::from_static(b"unit") })
}

fn config(sample_rate: u32) -> FeedItem {
    let codec = AudioCodec::Aac;
    FeedItem::Config(TrackConfig::Audio(AudioConfig { codec, decoder_config: Bytes::new(), sample_rate, channels: 2 }))
}

fn time(item: &FeedItem, track: Track) -> Option<i64> {
    match item {
        FeedItem::Unit(unit) if unit.track == track => Some(unit.dts.as_nanos() / 1_000_000),
        _ => None,
    }
}

#[test]
fn a_burst_comes_out_in_real_time_and_in_order() {
    let mut source = Source::new();
    source.segment(0, 0, false);
    assert_eq!(source.pictures(0), [0]);
    assert_eq!(source.buffer.due(source.at(0)), Some(source.at(20)), "sound");
    assert_eq!(source.pictures(39), []);
    assert_eq!(source.pictures(40), [40]);
    assert_eq!(source.pictures(200), [80, 120, 160, 200]);
    source.play(200, 3980);
    assert!(source.buffer.is_empty());
    assert_eq!(source.buffer.due(source.at(3980)), None);
}

#[test]
fn both_tracks_come_out_by_their_times_whatever_came_first() {
    let mut buffer = Buffer::new(Duration::from_secs(12));
    let now = some_instant();
    for item in [unit(Track::Video, 0, true), unit(Track::Video, 40, false), unit(Track::Audio, 20, true)] {
        buffer.push(item);
    }
    let out: Vec<_> = std::iter::from_fn(|| buffer.poll(now + Duration::from_secs(1))).collect();
    // The first picture is the anchor: the others are due behind it.
    assert_eq!(out, [unit(Track::Video, 0, true)]);
    let out: Vec<_> = std::iter::from_fn(|| buffer.poll(now + Duration::from_millis(1040))).collect();
    assert_eq!(out, [unit(Track::Audio, 20, true), unit(Track::Video, 40, false)]);
}

#[test]
fn sound_waits_for_the_first_picture() {
    let mut buffer = Buffer::new(Duration::from_secs(12));
    let now = some_instant();
    buffer.push(unit(Track::Audio, 20, true));
    assert_eq!((buffer.poll(now), buffer.due(now)), (None, None));
    buffer.push(unit(Track::Video, 0, true));
    assert_eq!(buffer.poll(now), Some(unit(Track::Video, 0, true)));
    assert_eq!(buffer.due(now), Some(now + Duration::from_millis(20)));
}

#[test]
fn a_configuration_comes_right_before_its_unit() {
    let mut buffer = Buffer::new(Duration::from_secs(12));
    let now = some_instant();
    for item in [config(1), unit(Track::Audio, 0, true), config(2), config(3), unit(Track::Audio, 20, true)] {
        buffer.push(item);
    }
    buffer.push(unit(Track::Video, 0, true));
    let mut take = |millis| buffer.poll(now + Duration::from_millis(millis));
    assert_eq!(
        [take(0), take(0), take(0)],
        [Some(config(1)), Some(unit(Track::Audio, 0, true)), Some(unit(Track::Video, 0, true))]
    );
    assert_eq!([take(19), take(20), take(20)], [None, Some(config(3)), Some(unit(Track::Audio, 20, true))]);
}

#[test]
fn room_ends_twice_the_excess_beyond_the_usual_and_comes_back_in_time() {
    let mut source = Source::new();
    // What is usual is not known: segments are put in while at most 24 s wait.
    let put = (0..20).take_while(|&number| source.segment(0, number, false)).count();
    assert_eq!(put, 7);
    source.pictures(0);
    assert!(!source.segment(3900, 7, false));
    assert!(source.segment(3960, 7, false), "24 s wait again");
}

#[test]
fn room_ends_with_the_bytes_of_either_track() {
    let mut buffer = Buffer::new(Duration::from_secs(12));
    let (time, now) = (Timestamp::from_millis(0), some_instant());
    let data = Bytes::from(vec![0; MOST_BYTES]);
    buffer.push(FeedItem::Unit(AccessUnit { track: Track::Audio, pts: time, dts: time, keyframe: true, data }));
    assert!(!buffer.has_room(Track::Audio, now) && !buffer.has_room(Track::Video, now));
}

#[test]
fn a_source_that_stalled_goes_on_from_where_it_was() {
    let mut source = Source::new();
    source.segment(0, 0, true);
    source.play(0, 4000);
    source.segment(9000, 1, true);
    assert_eq!(source.pictures(9000), [4000]);
    assert_eq!(source.pictures(9040), [4040], "no burst");
}

#[test]
fn a_source_that_is_a_little_late_catches_up() {
    let mut source = Source::new();
    source.segment(0, 0, true);
    source.play(0, 4000);
    source.segment(4400, 1, true);
    assert_eq!(source.pictures(4400), (4000..=4400).step_by(40).collect::<Vec<_>>());
}

#[test]
fn far_too_much_is_skipped_up_to_a_keyframe() {
    let mut source = Source::new();
    source.segment(0, 0, false);
    source.pictures(0);
    // Usual: 3 segments, the last picture 11.96 s behind the first.
    source.segment(0, 1, false);
    source.segment(0, 2, true);
    source.buffer.push(config(7));
    for number in 3..6 {
        source.segment(0, number, false);
    }
    assert_eq!((source.pictures(40), source.buffer.skipped_units()), (vec![40], 0), "23.96 s wait");
    // The seventh makes it 27.92 s: all but the last 11.96 s, from the keyframe before them, are skipped.
    source.segment(40, 6, false);
    let (now, mut out) = (source.at(40), vec![]);
    while let Some(item) = source.buffer.poll(now) {
        out.push(item);
    }
    assert_eq!(out, [config(7), unit(Track::Audio, 16_000, true), unit(Track::Video, 16_000, true)]);
    assert!(source.buffer.skipped_units() > 500);
    assert_eq!(source.pictures(80), [16_040], "and time goes on from there");
}
