use super::*;

const INIT: &[u8] = include_bytes!("../../../fixtures/h264-init.mp4");
const MP4: [&[u8]; 2] =
    [include_bytes!("../../../fixtures/h264-0.m4s"), include_bytes!("../../../fixtures/h264-1.m4s")];
const TS: [&[u8]; 2] = [include_bytes!("../../../fixtures/ts-0.ts"), include_bytes!("../../../fixtures/ts-1.ts")];

/// Video and audio units, keyframes among the former, and configurations.
fn counted(items: &[FeedItem]) -> (usize, usize, usize, usize) {
    let mut found = (0, 0, 0, 0);
    for item in items {
        match item {
            FeedItem::Config(_) => found.3 += 1,
            FeedItem::Unit(unit) if unit.track == Track::Video => {
                found.0 += 1;
                found.2 += usize::from(unit.keyframe);
            }
            FeedItem::Unit(_) => found.1 += 1,
        }
    }
    found
}

fn decoding_times(items: &[FeedItem]) -> Vec<i64> {
    let units = items.iter().filter_map(|item| match item {
        FeedItem::Unit(unit) => Some(unit.dts.as_nanos() / 1_000_000),
        FeedItem::Config(_) => None,
    });
    units.collect()
}

#[test]
fn segments_of_a_transport_stream_are_whole_one_by_one() {
    let mut reader = SegmentReader::default();
    let first = reader.read(TS[0], false).unwrap();
    assert_eq!(counted(&first), (10, 6, 1, 2), "the last picture too");
    let second = reader.read(TS[1], false).unwrap();
    assert_eq!(counted(&second), (10, 8, 1, 0), "and nothing is announced twice");
}

#[test]
fn segments_of_mp4_are_read_by_their_initialization_section() {
    let mut reader = SegmentReader::default();
    reader.init(INIT).unwrap();
    assert_eq!(counted(&reader.read(MP4[0], true).unwrap()), (10, 6, 1, 2));
    reader.init(INIT).unwrap();
    assert_eq!(counted(&reader.read(MP4[1], true).unwrap()), (10, 8, 1, 0), "the same configuration again is no news");
}

#[test]
fn both_tracks_come_by_their_decoding_times_and_configurations_first() {
    let mut mp4 = SegmentReader::default();
    mp4.init(INIT).unwrap();
    for items in [mp4.read(MP4[0], true).unwrap(), SegmentReader::default().read(TS[0], false).unwrap()] {
        assert!(decoding_times(&items).is_sorted());
        assert!(items[..2].iter().all(|item| matches!(item, FeedItem::Config(_))));
    }
}

#[test]
fn behind_a_hole_a_transport_stream_begins_at_a_keyframe() {
    let mut reader = SegmentReader::default();
    reader.read(TS[0], false).unwrap();
    reader.hole();
    let packets = TS[1].len() / 188;
    // Without the first picture nothing of the video is left.
    let rest = [&TS[1][..2 * 188], &TS[1][10 * 188..]].concat();
    assert!(packets > 12);
    assert_eq!(counted(&reader.read(&rest, false).unwrap()).0, 0);
    assert_eq!(counted(&reader.read(TS[1], false).unwrap()).0, 10);
}

#[test]
fn a_damaged_segment_harms_no_other() {
    let mut reader = SegmentReader::default();
    reader.init(INIT).unwrap();
    let error = reader.read(&MP4[0][..900], true).unwrap_err();
    assert!(error.is_damage());
    assert_eq!(counted(&reader.read(MP4[1], true).unwrap()).0, 10);
}

#[test]
fn sound_without_a_container_is_refused() {
    for begin in [&b"ID3\x04"[..], &[0xff, 0xf1, 0x50]] {
        let error = SegmentReader::default().read(begin, false).unwrap_err();
        assert!(matches!(error, SegmentError::Packed) && !error.is_damage());
    }
}
