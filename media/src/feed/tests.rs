use super::*;
use crate::codec::VideoCodec;
use crate::time::Timestamp;
use bytes::Bytes;

fn unit(track: Track, keyframe: bool, ms: i64) -> AccessUnit {
    let at = Timestamp::from_millis(ms);
    AccessUnit { track, pts: at, dts: at, keyframe, data: Bytes::from_static(&[0; 10]) }
}

fn drain(reader: &mut FeedReader) -> Vec<i64> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = vec![];
    while let Poll::Ready(Some(item)) = reader.poll_next(&mut cx) {
        if let FeedItem::Unit(unit) = item {
            seen.push(unit.pts.as_nanos() / 1_000_000);
        }
    }
    seen
}

#[test]
fn a_new_reader_starts_at_the_last_keyframe() {
    let (feed, mut writer) = Feed::new(Limits::default());
    let mut first = feed.reader();
    for ms in 0..10 {
        assert!(writer.push(unit(Track::Video, ms % 4 == 0, ms)));
    }
    assert_eq!(drain(&mut first), (0..10).collect::<Vec<_>>());
    let mut second = feed.reader();
    assert_eq!(drain(&mut second), [8, 9]);
    assert_eq!(first.poll_next(&mut Context::from_waker(Waker::noop())), Poll::Ready(None), "superseded");
}

#[test]
fn a_new_reader_of_a_delayed_output_starts_as_far_back_as_it_runs_behind() {
    let limits = Limits { history: Duration::from_millis(10), ..Limits::default() };
    let (feed, mut writer) = Feed::new(limits);
    let mut first = feed.reader();
    for ms in 0..40 {
        assert!(writer.push(unit(Track::Video, ms % 4 == 0, ms)));
        drain(&mut first);
        let from = drain(&mut feed.reader())[0];
        assert!(from % 4 == 0 && (from == 0 || (ms - 13..=ms - 10).contains(&from)), "{from} of {ms}");
    }
    assert!(feed.lock().items.len() <= 14);
}

#[test]
fn a_new_reader_begins_with_the_configuration_of_the_keyframe_it_starts_at() {
    let limits = Limits { history: Duration::from_millis(10), ..Limits::default() };
    let (feed, mut writer) = Feed::new(limits);
    let config = |codec| VideoConfig {
        codec,
        decoder_config: Bytes::new(),
        width: 320,
        height: 180,
        pixel_aspect: (1, 1),
        frame_rate: None,
    };
    let read = || {
        let (mut reader, mut seen) = (feed.reader(), vec![]);
        while let Poll::Ready(Some(item)) = reader.poll_next(&mut Context::from_waker(Waker::noop())) {
            seen.push(match item {
                FeedItem::Config(TrackConfig::Video(config)) => format!("{:?}", config.codec),
                FeedItem::Config(TrackConfig::Audio(_)) => unreachable!(),
                FeedItem::Unit(unit) => (unit.pts.as_nanos() / 1_000_000).to_string(),
            });
        }
        seen.join(" ")
    };
    writer.config(TrackConfig::Video(config(VideoCodec::H264)));
    for ms in 0..4 {
        writer.push(unit(Track::Video, ms == 0, ms));
    }
    writer.config(TrackConfig::Video(config(VideoCodec::Hevc)));
    assert_eq!(read(), "H264 0 1 2 3 Hevc");
    writer.push(unit(Track::Video, true, 4));
    assert_eq!(read(), "H264 0 1 2 3 Hevc 4");
    for ms in 5..20 {
        writer.push(unit(Track::Video, ms % 4 == 0, ms));
    }
    assert_eq!(read(), "Hevc 8 9 10 11 12 13 14 15 16 17 18 19");
}

#[test]
fn a_new_reader_gets_no_more_history_than_leaves_room() {
    let (feed, mut writer) = Feed::new(Limits { bytes: 100, history: Duration::from_secs(1), ..Limits::default() });
    let mut first = feed.reader();
    for ms in 0..10 {
        assert!(writer.push(unit(Track::Video, ms % 2 == 0, ms)));
        drain(&mut first);
    }
    let mut second = feed.reader();
    assert!(writer.push(unit(Track::Video, false, 10)));
    assert_eq!(drain(&mut second), [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(feed.stats().overflows, 0);
}

#[test]
fn a_clock_that_goes_back_is_no_history() {
    let (feed, mut writer) = Feed::new(Limits { history: Duration::from_secs(1), ..Limits::default() });
    for ms in [1_000, 1_100, 1_200, 500, 600] {
        writer.push(unit(Track::Video, true, ms));
    }
    assert_eq!(drain(&mut feed.reader()), [500, 600]);
}

#[test]
fn full_drops_to_the_next_keyframe_and_counts() {
    let (feed, mut writer) = Feed::new(Limits { units: 4, bytes: 1_000, ..Limits::default() });
    let mut reader = feed.reader();
    for ms in 0..6 {
        writer.push(unit(Track::Video, ms == 0, ms));
    }
    writer.push(unit(Track::Audio, true, 6));
    assert!(writer.push(unit(Track::Video, true, 7)));
    writer.push(unit(Track::Video, false, 8));
    assert_eq!(drain(&mut reader), [7, 8]);
    let stats = feed.stats();
    assert_eq!((stats.pushed_units, stats.dropped_units, stats.overflows), (9, 7, 1));
}

#[test]
fn configurations_are_bounded_too_and_the_latest_arrives() {
    let (feed, mut writer) = Feed::new(Limits { units: 4, bytes: 1_000, ..Limits::default() });
    let mut reader = feed.reader();
    let config = |sample_rate| AudioConfig {
        codec: crate::codec::AudioCodec::Aac,
        decoder_config: Bytes::new(),
        sample_rate,
        channels: 2,
    };
    for rate in 1..=1_000 {
        writer.config(TrackConfig::Audio(config(rate)));
        assert!(feed.lock().items.len() <= 4);
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut latest = None;
    while let Poll::Ready(Some(FeedItem::Config(TrackConfig::Audio(audio)))) = reader.poll_next(&mut cx) {
        latest = Some(audio.sample_rate);
    }
    assert_eq!(latest, Some(1_000));
    assert!(!writer.push(unit(Track::Video, false, 1)), "units may be missing before it");
    assert!(writer.push(unit(Track::Video, true, 2)));
    assert_eq!(drain(&mut reader), [2]);
}

#[test]
fn read_units_give_way_before_anything_is_dropped() {
    let (feed, mut writer) = Feed::new(Limits { units: 4, bytes: 1_000, ..Limits::default() });
    let mut reader = feed.reader();
    for ms in 0..40 {
        assert!(writer.push(unit(Track::Video, ms == 0, ms)));
        assert_eq!(drain(&mut reader), [ms]);
    }
    assert_eq!(feed.stats().dropped_units, 0);
}

#[test]
fn the_end_comes_after_what_was_pushed() {
    let (feed, mut writer) = Feed::new(Limits::default());
    let mut reader = feed.reader();
    writer.push(unit(Track::Video, true, 1));
    drop(writer);
    assert_eq!(drain(&mut reader), [1]);
    assert_eq!(reader.poll_next(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
}
