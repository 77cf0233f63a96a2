//! FLV tag bodies of one publication, any bytes at any times.
//!
//! A unit comes only behind a configuration of its track; its data are the end of the tag's body, not copied, and in whole NAL
//! units; its time is the tag's, unwrapped to what is nearest to the tag before it. A fault that is not fatal costs its tag alone.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_fuzz::script::Script;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{MAX_EDGE, TrackConfig, avc};
use weir_media::feed::FeedItem;
use weir_media::flv::{Demuxer, FlvError};

/// Milliseconds; further from zero a timeline is refused.
const FARTHEST_MS: i64 = 1_000_000_000_000;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let mut demuxer = Demuxer::default();
    let mut clock: Option<i64> = None;
    let mut time = 0u32;
    while !script.is_empty() {
        let what = script.byte();
        if what >= 0xf0 {
            demuxer.hint_frame_rate(f64::from_bits(u64::from(script.u32()) << 32));
            continue;
        }
        time = if what & 2 == 0 { time.wrapping_add(u32::from(script.byte())) } else { script.u32() };
        let length = script.u16();
        let body = Bytes::copy_from_slice(script.bytes(length.into()));
        tag(&mut demuxer, &mut clock, what & 1 == 1, time, body);
    }
});

fn tag(demuxer: &mut Demuxer, clock: &mut Option<i64>, video: bool, time: u32, body: Bytes) {
    let before = (demuxer.video_config().cloned(), demuxer.audio_config().cloned());
    let outcome = if video { demuxer.video(time, body.clone()) } else { demuxer.audio(time, body.clone()) };
    let after = (demuxer.video_config().cloned(), demuxer.audio_config().cloned());
    match outcome {
        Ok(Some(FeedItem::Config(TrackConfig::Video(config)))) => {
            assert!(video && before.0.as_ref() != Some(&config) && before.1 == after.1);
            assert!((16..=MAX_EDGE).contains(&config.width) && (16..=MAX_EDGE).contains(&config.height));
            assert!(config.frame_rate.is_none_or(|rate| (1.0..=240.0).contains(&rate.as_f64())));
            assert!(body.ends_with(&config.decoder_config));
            assert_eq!(after.0, Some(config));
        }
        Ok(Some(FeedItem::Config(TrackConfig::Audio(config)))) => {
            assert!(!video && before.1.as_ref() != Some(&config) && before.0 == after.0);
            assert!(body.ends_with(&config.decoder_config));
            assert_eq!(after.1, Some(config));
        }
        Ok(Some(FeedItem::Unit(unit))) => {
            assert_eq!(before, after);
            let record = after.0.as_ref().map(|config| &config.decoder_config[..]);
            check(&unit, video, &body, if video { record } else { None });
            let dts = unit.dts.as_nanos() / 1_000_000;
            assert!(dts.abs() <= FARTHEST_MS && dts as u32 == time, "{dts} ms of {time}");
            let composition = unit.pts.since(unit.dts);
            assert!(composition % 1_000_000 == 0 && (-(1 << 23)..1 << 23).contains(&(composition / 1_000_000)));
            if let Some(last) = *clock {
                assert!((dts - last).abs() <= 1 << 31, "{last} to {dts} ms");
            }
            *clock = Some(dts);
        }
        Ok(None) => {
            assert_eq!(before, after);
            // A frame that is not passed on has moved the timeline too, so its distance says nothing here.
            *clock = None;
        }
        Err(error) => {
            assert_eq!(before, after, "{error}");
            assert_eq!(error.is_fatal(), !matches!(error, FlvError::Truncated | FlvError::NalLength));
            assert!(error.to_string().len() < 200);
            *clock = None;
        }
    }
}

fn check(unit: &AccessUnit, video: bool, body: &Bytes, record: Option<&[u8]>) {
    assert_eq!(unit.track, if video { Track::Video } else { Track::Audio });
    let at = body.len() - unit.data.len();
    assert!(!unit.data.is_empty() && at >= 2);
    assert_eq!(unit.data.as_ptr(), body[at..].as_ptr(), "copied");
    if !video {
        assert!(unit.keyframe && unit.pts == unit.dts);
        return;
    }
    let length_size = record.map(avc::length_size).expect("a unit without a configuration");
    let (mut rest, mut pictures, mut refreshes) = (&unit.data[..], 0, 0);
    while !rest.is_empty() {
        let length = rest[..length_size].iter().fold(0, |sum, &byte| sum * 256 + usize::from(byte));
        let nal = &rest[length_size..][..length];
        pictures += usize::from(nal.first().is_some_and(|head| matches!(head & 31, 1..=5)));
        refreshes += usize::from(nal.first().is_some_and(|head| head & 31 == 5));
        rest = &rest[length_size + length..];
    }
    assert!(pictures > 0 && (refreshes == 0 || unit.keyframe));
}
