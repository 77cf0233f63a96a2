use super::*;
use proptest::prelude::*;

const RECORD: &[u8] = &[
    0x01, 0x4d, 0x40, 0x1f, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88,
    0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xc1, 0x8c, 0xb0, 0x01, 0x00, 0x05, 0x68, 0xeb,
    0xe3, 0xcb, 0x20,
];

fn tag(head: &[u8], rest: &[u8]) -> Bytes {
    Bytes::from([head, rest].concat())
}

fn configured() -> Demuxer {
    let mut demuxer = Demuxer::default();
    assert!(matches!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], RECORD)), Ok(Some(FeedItem::Config(_)))));
    assert!(matches!(demuxer.audio(0, tag(&[0xaf, 0], &[0x12, 0x10])), Ok(Some(FeedItem::Config(_)))));
    demuxer
}

fn unit(item: Result<Option<FeedItem>, FlvError>) -> AccessUnit {
    match item {
        Ok(Some(FeedItem::Unit(unit))) => unit,
        other => panic!("no unit: {other:?}"),
    }
}

const IDR: &[u8] = &[0, 0, 0, 2, 0x65, 1];
const SLICE: &[u8] = &[0, 0, 0, 2, 0x41, 1];

#[test]
fn frames_have_signed_composition_times() {
    let mut demuxer = configured();
    let key = unit(demuxer.video(40, tag(&[0x17, 1, 0, 0, 80], IDR)));
    assert_eq!((key.pts, key.dts), (Timestamp::from_millis(120), Timestamp::from_millis(40)));
    assert!(key.keyframe);
    assert_eq!(key.data, IDR);
    let other = unit(demuxer.video(80, tag(&[0x27, 1, 0xff, 0xff, 0xd8], SLICE)));
    assert_eq!((other.pts, other.keyframe), (Timestamp::from_millis(40), false));
}

#[test]
fn an_unchanged_configuration_is_not_repeated_and_a_changed_one_is() {
    let mut demuxer = configured();
    assert_eq!(demuxer.video(9, tag(&[0x17, 0, 0, 0, 0], RECORD)), Ok(None));
    assert_eq!(demuxer.audio(9, tag(&[0xaf, 0], &[0x12, 0x10])), Ok(None));
    assert!(matches!(demuxer.audio(9, tag(&[0xaf, 0], &[0x11, 0x90])), Ok(Some(FeedItem::Config(_)))));
}

#[test]
fn what_holds_no_picture_gives_nothing() {
    let mut demuxer = configured();
    for body in [
        tag(&[], &[]),
        tag(&[0x17, 2, 0, 0, 0], &[]),
        tag(&[0x27, 1, 0, 0, 0], &[]),
        tag(&[0x27, 1, 0, 0, 0], &[0, 0, 0, 0]),
        tag(&[0x27, 1, 0, 0, 0], &[0, 0, 0, 2, 6, 1]),
        tag(&[0x57, 0], &[0, 0, 0]),
    ] {
        assert_eq!(demuxer.video(1, body.clone()), Ok(None), "{body:?}");
    }
    assert_eq!(demuxer.audio(1, tag(&[0xaf, 1], &[])), Ok(None));
    assert_eq!(Demuxer::default().video(1, tag(&[0x17, 1, 0, 0, 0], IDR)), Ok(None), "not configured");
}

#[test]
fn a_damaged_frame_costs_only_itself() {
    let mut demuxer = configured();
    for rest in [&[0, 0, 0, 9, 0x65][..], &[0, 0, 1], &[0xff, 0xff, 0xff, 0xff, 0x65]] {
        let error = demuxer.video(1, tag(&[0x17, 1, 0, 0, 0], rest)).unwrap_err();
        assert!(error == FlvError::NalLength && !error.is_fatal());
    }
    assert!(demuxer.video(2, tag(&[0x17, 1, 0, 0, 0], IDR)).is_ok_and(|item| item.is_some()));
}

#[test]
fn other_codecs_are_refused_by_name() {
    let mut demuxer = Demuxer::default();
    for (body, name) in [
        (&[0x12u8, 0][..], "Sorenson H.263"),
        (&[0x14, 0], "VP6"),
        (&[0x1c, 0], "HEVC"),
        (&[0x1d, 0], "AV1"),
        (&[0x90, b'h', b'v', b'c', b'1'], "HEVC"),
        (&[0x90, b'a', b'v', b'0', b'1'], "AV1"),
        (&[0x90, b'v', b'p', b'0', b'9'], "VP9"),
        (&[0x90, 1, 2, b'?', b'"'], r#"codec \x01\x02?\""#),
        (&[0x1f, 0], "video codec 15"),
    ] {
        let error = demuxer.video(0, Bytes::copy_from_slice(body)).unwrap_err();
        assert!(error.is_fatal() && error.to_string().starts_with(name), "{error}");
    }
    for (body, name) in [
        (&[0x2fu8][..], "MP3"),
        (&[0x3f], "PCM"),
        (&[0x6f], "Nellymoser"),
        (&[0x7f], "G.711 A-law"),
        (&[0xbf], "Speex"),
        (&[0xdf], "Opus"),
        (&[0x90, b'O', b'p', b'u', b's'], "Opus"),
    ] {
        let error = demuxer.audio(0, Bytes::copy_from_slice(body)).unwrap_err();
        assert!(error.is_fatal() && error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn enhanced_rtmp_carries_the_same_codecs() {
    let mut demuxer = Demuxer::default();
    assert!(matches!(demuxer.video(0, tag(b"\x90avc1", RECORD)), Ok(Some(FeedItem::Config(_)))));
    assert_eq!(unit(demuxer.video(5, tag(b"\x91avc1\x00\x00\x07", IDR))).pts, Timestamp::from_millis(12));
    assert_eq!(unit(demuxer.video(6, tag(b"\xa3avc1", SLICE))).pts, Timestamp::from_millis(6));
    assert!(matches!(demuxer.audio(0, tag(b"\x90mp4a", &[0x12, 0x10])), Ok(Some(FeedItem::Config(_)))));
    assert_eq!(&unit(demuxer.audio(5, tag(b"\x91mp4a", b"frame"))).data[..], b"frame");
}

#[test]
fn both_tracks_cross_the_wrap_on_one_timeline() {
    let mut demuxer = configured();
    let before = unit(demuxer.video(u32::MAX - 9, tag(&[0x17, 1, 0, 0, 0], IDR)));
    let after = unit(demuxer.audio(10, tag(&[0xaf, 1], b"frame")));
    let back = unit(demuxer.video(u32::MAX, tag(&[0x27, 1, 0, 0, 0], SLICE)));
    assert_eq!(after.pts.since(before.pts), 20_000_000);
    assert_eq!(back.dts.since(before.dts), 9_000_000);
}

#[test]
fn runaway_timestamps_end_before_they_overflow() {
    let mut demuxer = configured();
    let outcome = (0..10_000u32).map(|step| demuxer.audio(step.wrapping_mul(0x7fff_ffff), tag(&[0xaf, 1], b"x")));
    assert!(outcome.into_iter().any(|item| item == Err(FlvError::Timestamp)));
}

#[test]
fn the_metadatas_frame_rate_serves_only_a_bitstream_without_one() {
    let mut demuxer = Demuxer::default();
    demuxer.hint_frame_rate(f64::NAN);
    demuxer.hint_frame_rate(29.97);
    assert!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], RECORD)).is_ok());
    assert_eq!(demuxer.video_config().unwrap().frame_rate, FrameRate::new(30, 1));
    // The same set with `vui_parameters_present_flag` cleared and all behind it cut off.
    let mut bare = RECORD[..6].to_vec();
    bare.extend([0, 9, 0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdc]);
    bare.extend([1, 0, 5, 0x68, 0xeb, 0xe3, 0xcb, 0x20]);
    assert!(demuxer.video(0, tag(&[0x17, 0, 0, 0, 0], &bare)).is_ok());
    let config = demuxer.video_config().unwrap();
    assert_eq!((config.width, config.height), (1280, 720));
    assert_eq!(config.frame_rate, FrameRate::new(29970, 1000));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        tags in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
    ) {
        let mut demuxer = configured();
        for (video, time, body) in tags {
            let body = Bytes::from(body);
            let _ = if video { demuxer.video(time, body) } else { demuxer.audio(time, body) };
        }
    }
}
