use proptest::prelude::*;

use super::*;
use crate::codec::{VideoCodec, VideoConfig};

const H264: &[u8] = include_bytes!("../../fixtures/h264-init.mp4");
const H264_SEGMENTS: [&[u8]; 2] =
    [include_bytes!("../../fixtures/h264-0.m4s"), include_bytes!("../../fixtures/h264-1.m4s")];
const HEVC: &[u8] = include_bytes!("../../fixtures/hevc-init.mp4");
const HEVC_SEGMENT: &[u8] = include_bytes!("../../fixtures/hevc-0.m4s");
const AVC3: &[u8] = include_bytes!("../../fixtures/avc3-init.mp4");
const AVC3_SEGMENT: &[u8] = include_bytes!("../../fixtures/avc3-0.m4s");

fn read(reader: &mut Reader, segment: &[u8]) -> Vec<FeedItem> {
    let mut items = vec![];
    reader.read(segment, |item| items.push(item)).unwrap();
    items
}

/// PTS and DTS in milliseconds, and whether decoding can begin there.
fn times(items: &[FeedItem], track: Track) -> Vec<(i64, i64, bool)> {
    let units = items.iter().filter_map(|item| match item {
        FeedItem::Unit(unit) if unit.track == track => Some(unit),
        _ => None,
    });
    units.map(|unit| (unit.pts.as_nanos() / 1_000_000, unit.dts.as_nanos() / 1_000_000, unit.keyframe)).collect()
}

fn video_configs(items: &[FeedItem]) -> Vec<&VideoConfig> {
    let configs = items.iter().filter_map(|item| match item {
        FeedItem::Config(TrackConfig::Video(config)) => Some(config),
        _ => None,
    });
    configs.collect()
}

/// A file with the bytes of its first `from` replaced.
fn patched(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = file.windows(from.len()).position(|window| window == from).unwrap();
    let mut file = file.to_vec();
    file[at..at + to.len()].copy_from_slice(to);
    file
}

#[test]
fn segments_of_ffmpeg_are_read_as_ffprobe_reads_them() {
    let mut reader = Reader::new(H264).unwrap();
    let first = read(&mut reader, H264_SEGMENTS[0]);
    let [video] = video_configs(&first)[..] else { panic!("one configuration") };
    assert_eq!((video.codec, video.width, video.height), (VideoCodec::H264, 64, 48));
    let audio = first.iter().find_map(|item| match item {
        FeedItem::Config(TrackConfig::Audio(config)) => Some((config.sample_rate, config.channels)),
        _ => None,
    });
    assert_eq!(audio, Some((16_000, 1)));
    let pictures = times(&first, Track::Video);
    assert_eq!(pictures[..4], [(80, 0, true), (200, 40, false), (120, 80, false), (160, 120, false)]);
    assert_eq!(pictures.len(), 10);
    let sounds =
        [(16, 16, true), (80, 80, true), (144, 144, true), (208, 208, true), (272, 272, true), (336, 336, true)];
    assert_eq!(times(&first, Track::Audio), sounds);
    let second = read(&mut reader, H264_SEGMENTS[1]);
    assert_eq!(times(&second, Track::Video)[0], (480, 400, true));
    assert_eq!(times(&second, Track::Audio)[0], (400, 400, true));
    assert!(second.iter().all(|item| matches!(item, FeedItem::Unit(_))), "nothing is announced twice");
    assert_eq!(reader.damaged_units(), 0);
}

#[test]
fn samples_keep_their_bytes() {
    let mut reader = Reader::new(H264).unwrap();
    let items = read(&mut reader, H264_SEGMENTS[0]);
    let sizes = items.iter().filter_map(|item| match item {
        FeedItem::Unit(unit) => Some(unit.data.len()),
        FeedItem::Config(_) => None,
    });
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes, [211, 15, 12, 12, 22, 13, 12, 27, 14, 12, 191, 176, 164, 127, 130, 125]);
}

#[test]
fn several_fragments_make_a_segment_too() {
    let mut reader = Reader::new(H264).unwrap();
    let items = read(&mut reader, &H264_SEGMENTS.concat());
    assert_eq!((times(&items, Track::Video).len(), times(&items, Track::Audio).len()), (20, 14));
}

#[test]
fn hevc_is_read_by_either_name() {
    for init in [HEVC.to_vec(), patched(HEVC, b"hvc1", b"hev1")] {
        let mut reader = Reader::new(&init).unwrap();
        let items = read(&mut reader, HEVC_SEGMENT);
        assert_eq!(video_configs(&items)[0].codec, VideoCodec::Hevc);
        let pictures = times(&items, Track::Video);
        assert_eq!((pictures.len(), pictures[0].2, pictures[1].2), (10, true, false));
    }
}

#[test]
fn sets_may_stand_in_the_pictures_alone() {
    // No sequence parameter set in the record, but in front of each keyframe.
    let record = AVC3.windows(4).position(|window| window == b"avcC").unwrap() + 4;
    let mut init = AVC3.to_vec();
    init[record + 5] = 0xe0;
    let mut reader = Reader::new(&init).unwrap();
    let items = read(&mut reader, AVC3_SEGMENT);
    let [config] = video_configs(&items)[..] else { panic!("one configuration") };
    assert_eq!((config.width, config.height), (64, 48));
    let keyframes: Vec<_> = times(&items, Track::Video).into_iter().map(|(.., keyframe)| keyframe).collect();
    assert_eq!(keyframes, [true, false, false, false, false, true, false, false, false, false]);
    let init = patched(&init, b"avc3", b"avc1");
    assert!(matches!(Reader::new(&init), Err(Mp4Error::Avc(avc::AvcError::NoSps))));
}

#[test]
fn behind_a_hole_video_begins_at_a_keyframe_whatever_the_samples_say() {
    let mut reader = Reader::new(H264).unwrap();
    read(&mut reader, H264_SEGMENTS[0]);
    reader.hole();
    // All samples are said to be sync samples; and the keyframe has become something that only fills.
    let marked = patched(H264_SEGMENTS[1], &[0x01, 0x01, 0, 0], &[0x02, 0, 0, 0]);
    let filler = patched(&marked, &[0, 0, 0xe6, 0x65], &[0, 0, 0xe6, 0x0c]);
    assert_eq!(times(&read(&mut reader, &filler), Track::Video), []);
    let keyframes = times(&read(&mut reader, &marked), Track::Video).into_iter().filter(|(.., keyframe)| *keyframe);
    assert_eq!(keyframes.collect::<Vec<_>>(), [(480, 400, true)]);
}

#[test]
fn a_picture_whose_lengths_do_not_fit_is_dropped_and_what_refers_to_it() {
    let mut reader = Reader::new(H264).unwrap();
    let damaged = patched(H264_SEGMENTS[0], &[0, 0, 0, 0xcf, 0x65], &[0, 0, 1, 0xcf, 0x65]);
    let items = read(&mut reader, &damaged);
    assert_eq!((times(&items, Track::Video).len(), times(&items, Track::Audio).len()), (0, 6));
    assert_eq!(reader.damaged_units(), 1);
}

#[test]
fn what_is_not_decoded_here_is_named() {
    for (from, to, name) in [
        (b"avc1", b"vp09", "codec vp09 is not supported"),
        (b"avc1", b"encv", "encrypted media is not supported"),
        (b"mp4a", b"ac-3", "codec ac-3 is not supported"),
    ] {
        let Err(error) = Reader::new(&patched(H264, from, to)) else { panic!("{name}") };
        assert!(error.to_string().starts_with(name), "{error}");
        assert!(!error.is_damage());
    }
    let Err(error) = Reader::new(&patched(H264, &[0x40, 0x15], &[0x6b, 0x15])) else { panic!("MP3") };
    assert_eq!(error, Mp4Error::Codec("MPEG audio (MP2 or MP3)".to_owned()));
}

#[test]
fn a_section_without_tracks_or_a_movie_is_an_error() {
    assert!(matches!(Reader::new(b""), Err(Mp4Error::Damaged("moov"))));
    assert!(matches!(Reader::new(H264_SEGMENTS[0]), Err(Mp4Error::Damaged("moov"))));
    assert!(matches!(Reader::new(b"\0\0\0\x08moov"), Err(Mp4Error::NoTrack)));
}

#[test]
fn a_segment_that_is_cut_off_is_damage() {
    for end in [200, 420, H264_SEGMENTS[0].len() - 1] {
        let mut reader = Reader::new(H264).unwrap();
        let error = reader.read(&H264_SEGMENTS[0][..end], |_| {}).unwrap_err();
        assert!(error.is_damage(), "{end}: {error}");
    }
}

#[test]
fn samples_that_overlap_make_no_more_than_there_is() {
    // A run of 60 000 samples of the segment's first 100 bytes each.
    let defaults = [0u32, 1, 0, 0, 100, 0].map(u32::to_be_bytes).concat();
    let head = [&[0, 0, 0, 16][..], b"tfhd", &0x2_0000u32.to_be_bytes(), &1u32.to_be_bytes()].concat();
    let run = [&[0, 0, 0, 20][..], b"trun", &1u32.to_be_bytes(), &60_000u32.to_be_bytes(), &[0; 4]].concat();
    let traf = [&[0, 0, 0, 44][..], b"traf", &head, &run].concat();
    let moof = [&[0, 0, 0, 52][..], b"moof", &traf].concat();
    let mut init = H264.to_vec();
    let trex = init.windows(4).position(|window| window == b"trex").unwrap() + 4;
    init[trex..trex + 24].copy_from_slice(&defaults);
    let mut reader = Reader::new(&init).unwrap();
    let error = reader.read(&[&moof[..], &[0; 200]].concat(), |_| {}).unwrap_err();
    assert_eq!(error, Mp4Error::Damaged("trun"));
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(
        init in prop::collection::vec((0..H264.len(), any::<u8>()), 0..4),
        segment in prop::collection::vec((0..H264_SEGMENTS[0].len(), any::<u8>()), 0..8),
    ) {
        let damaged = |file: &[u8], damage: Vec<(usize, u8)>| {
            let mut file = file.to_vec();
            damage.into_iter().for_each(|(at, byte)| file[at] = byte);
            file
        };
        if let Ok(mut reader) = Reader::new(&damaged(H264, init)) {
            let (segment, mut bytes) = (damaged(H264_SEGMENTS[0], segment), 0);
            let _ = reader.read(&segment, |item| if let FeedItem::Unit(unit) = item { bytes += unit.data.len() });
            prop_assert!(bytes <= segment.len() * 2);
        }
    }
}
