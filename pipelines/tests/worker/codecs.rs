//! Every codec that a door brings, alone, changing within a session, and switched from one input to another.

use std::time::{Duration, Instant};

use weir_media::failover::{HandOver, Standby};
use weir_media::feed::FeedItem;
use weir_media::id::{SessionId, Slot};
use weir_media::protocol::FromWorker;

use crate::failover::hitless;
use crate::harness::{Made, Scratch, Timed, Worker, brightness, delayed, spec, test_card, waveform};
use crate::sources::{h264_reader, in_band, merged, opus_audio, ts_video};
use crate::{assert_clean, assert_exact, offsets, play};

const FLASH: &str = "-f lavfi -i color=black:s=320x180:r=30,drawbox=c=white:t=fill:enable=lt(mod(t\\,1)\\,0.2)";
const BEEP: &str = "-f lavfi -i aevalsrc=lt(mod(t\\,1)\\,0.2)*sin(2*PI*1000*t):s=48000";
const CARD: &str = "-f lavfi -i testsrc2=s=320x180:r=30";
const HEVC: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=30:bframes=2";
const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -bf 2";

/// Distance of the beeps to the flashes of what was made, seconds.
fn lip_sync(made: &Made) -> Vec<f64> {
    let scratch = Scratch::new();
    let (video, audio) = (scratch.path("v.mp4"), scratch.path("a.mp4"));
    made.write(0, &video);
    made.write(made.audio_track(), &audio);
    offsets(&brightness(&video), 30.0, 0.0, &waveform(&audio), 0.0)
}

#[test]
fn flash_and_beep_keep_together_in_every_pair_of_codecs() {
    for (video, channels) in [(HEVC, 1), (H264, 2)] {
        let sound = opus_audio(&format!("{BEEP} -ac {channels} -b:a 96k"), 6.0);
        let made = play(spec(), &merged(ts_video(&format!("{FLASH} {video}"), 6.0), sound));
        assert_clean(&made);
        let offsets = lip_sync(&made);
        println!("{video}, Opus with {channels} channels: {offsets:.4?}");
        assert!(offsets.len() >= 4, "{offsets:?}");
        assert!(offsets.iter().all(|offset| offset.abs() < 0.010), "{offsets:?}");
    }
}

#[test]
fn hevc_of_every_depth_and_chroma_that_encoders_send_is_decoded() {
    for format in ["yuv420p10le", "yuv422p", "yuv422p10le"] {
        let made = play(spec(), &ts_video(&format!("{CARD} {HEVC} -pix_fmt {format}"), 3.7));
        assert_exact(&made);
        let report = made.reports.last().unwrap();
        assert!(report.inputs[0].decoded_frames >= 100, "{format}: {report:?}");
        assert_eq!(report.inputs[0].errors, 0, "{format}");
    }
}

#[test]
fn ten_bits_are_as_bright_as_eight() {
    let picture = "-f lavfi -i color=0x808080:s=320x180:r=30";
    let shown = [("yuv420p", H264), ("yuv420p", HEVC), ("yuv420p10le", HEVC)].map(|(format, encoder)| {
        let made = play(spec(), &ts_video(&format!("{picture} {encoder} -pix_fmt {format}"), 2.5));
        let scratch = Scratch::new();
        made.write(0, &scratch.path("v.mp4"));
        brightness(&scratch.path("v.mp4"))[30]
    });
    assert!(shown.iter().all(|b| b.abs_diff(shown[0]) <= 2), "{shown:?}");
}

/// `first`, and `second` behind it as if the encoder went on.
fn followed_by(mut first: Vec<Timed>, second: Vec<Timed>, at_ms: u32) -> Vec<Timed> {
    first.retain(|(ms, _)| *ms < at_ms);
    first.extend(second.into_iter().map(|(ms, item)| (ms + at_ms, delayed(item, at_ms))));
    first
}

#[test]
fn another_codec_within_a_session_goes_on_with_its_first_keyframe() {
    for spec in [spec(), hitless(1_000, Standby::Hot)] {
        let h264 = || ts_video(&format!("{CARD} {H264}"), 2.0);
        let hevc = ts_video(&format!("{CARD} {HEVC}"), 2.0);
        let items = followed_by(followed_by(h264(), hevc, 2_000), h264(), 4_000);
        let delay = spec.delay_ms;
        let made = play(spec, &items);
        assert_exact(&made);
        assert!(made.rejected.is_empty());
        let report = made.reports.last().unwrap();
        // What waits for its delay is not decoded yet.
        assert!(report.inputs[0].decoded_frames >= u64::from(165 - delay * 30 / 1_000), "{report:?}");
        assert_eq!(report.inputs[0].errors, 0);
        println!("delay {delay} ms: {} of {} repeated, {:?}", report.repeated, report.frames, made.gaps);
        assert!(made.gaps.iter().all(|gap| gap.filled_ms <= 200), "{:?}", made.gaps);
    }
}

#[test]
fn a_browser_that_changes_its_resolution_is_followed_on_a_canvas_that_stays() {
    let mut reader = h264_reader();
    let mut items = vec![];
    let encoder = "-c:v libx264 -preset ultrafast -profile:v baseline -pix_fmt yuv420p -g 30";
    for (n, size) in ["640x360", "320x180", "180x320", "1280x720", "640x360"].into_iter().enumerate() {
        let picture = format!("-f lavfi -i color=0xc0c0c0:s={size}:r=30");
        items.extend(in_band(&mut reader, &format!("{picture} {encoder}"), 30, 2.0, n as u32 * 2_000));
    }
    let made = play(spec(), &items);
    assert_exact(&made);
    assert!(made.rejected.is_empty());
    assert_eq!((made.output.renditions[0].width, made.output.renditions[0].height), (320, 180));
    let report = made.reports.last().unwrap();
    assert_eq!(report.inputs[0].errors, 0);
    // All but what the stop cuts off: a change that cost a GOP would lose 30.
    assert!(report.inputs[0].decoded_frames >= 285, "{report:?}");
    assert!(report.repeated <= 25, "{report:?}");
    assert!(made.gaps.iter().all(|gap| gap.filled_ms <= 100), "{:?}", made.gaps);
    let scratch = Scratch::new();
    made.write(0, &scratch.path("v.mp4"));
    let shown = brightness(&scratch.path("v.mp4"));
    // Portrait has bars at its sides: a third of the canvas is picture.
    let (wide, tall) = (shown[45], shown[60 * 2 + 45]);
    assert!(shown[60 + 45].abs_diff(wide) <= 2 && shown[60 * 3 + 45].abs_diff(wide) <= 2, "{shown:?}");
    assert!(tall < wide / 2 && tall > wide / 5, "{shown:?}");
}

#[test]
fn inputs_of_different_codecs_fail_over() {
    let hevc = merged(ts_video(&format!("{CARD} {HEVC}"), 9.0), opus_audio(&format!("{BEEP} -b:a 96k"), 9.0));
    let h264 = test_card("320x180", "25", "-c:a aac -ar 44100", 9.0);
    // Each is primary once.
    for (primary, backup) in [(&h264, &hevc), (&hevc, &h264)] {
        let mut worker = Worker::start(spec());
        worker.open_slot(1, Slot::Primary);
        worker.open_slot(2, Slot::Backup);
        worker.on_air(1);
        let of = |id: u64, items: &[Timed], until: u32| -> Vec<(u32, u64, FeedItem)> {
            items.iter().filter(|(ms, _)| *ms < until).map(|(ms, item)| (*ms, id, item.clone())).collect()
        };
        let mut both = [of(1, primary, 4_000), of(2, backup, 8_000)].concat();
        both.sort_by_key(|(ms, ..)| *ms);
        let (start, mut switched) = (Instant::now(), false);
        for (ms, id, item) in &both {
            worker.collect_until(start + Duration::from_millis(u64::from(*ms)));
            worker.item(*id, item);
            if *ms >= 4_000 && !switched {
                worker.close(1);
                worker.hand_over(2, HandOver::WhenOut);
                switched = true;
            }
        }
        let (made, _) = worker.stop();
        assert_exact(&made);
        let report = made.reports.last().unwrap();
        assert!(made.shown.last().unwrap().session == Some(SessionId(2)), "{:?}", made.shown);
        assert!(made.gaps.iter().all(|gap| gap.filled_ms <= 100 && gap.silence_ms <= 100), "{:?}", made.gaps);
        assert!(report.inputs.iter().all(|input| input.errors == 0), "{report:?}");
    }
}

#[test]
fn an_absurd_frame_rate_is_refused_with_its_reason() {
    let mut items = test_card("320x180", "30", "-an", 3.0);
    for (_, item) in &mut items {
        if let FeedItem::Unit(unit) = item {
            let fast = |ns: i64| weir_media::time::Timestamp::from_nanos(ns / 20);
            (unit.pts, unit.dts) = (fast(unit.pts.as_nanos()), fast(unit.dts.as_nanos()));
        }
    }
    assert!(items.len() > 80);
    let again: Vec<Timed> =
        (0..10u32).flat_map(|n| items.iter().map(move |(ms, item)| (*ms, delayed(item.clone(), n * 150)))).collect();
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    for (_, item) in &again {
        worker.item(1, item);
    }
    worker.wait(
        |message| matches!(message, FromWorker::Rejected { session: SessionId(1), reason } if reason.contains("240")),
    );
    worker.abandon().0.unwrap_err();
}
