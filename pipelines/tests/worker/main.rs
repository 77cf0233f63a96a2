//! The media worker with real elements: sources made by ffmpeg, played in real time, results read by ffprobe.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod codecs;
mod failover;
mod harness;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{
    Made, Scratch, Timed, Worker, brightness, first_pts, onsets, probe, read_flv, source_file, spec, test_card,
    waveform,
};
use weir_media::access_unit::Track;
use weir_media::failover::{HandOver, Mode, Standby};
use weir_media::feed::FeedItem;
use weir_media::grid::AAC_FRAME;
use weir_media::id::SessionId;
use weir_media::ladder::Ladder;
use weir_media::protocol::{Chunk, FromWorker, H264Encoder, Output, Resume, ToWorker, WorkerSpec};
use weir_pipelines::worker::WorkerError;

/// Plays one source on air and stops.
fn play(spec: WorkerSpec, items: &[Timed]) -> Made {
    let mut worker = Worker::start(spec);
    worker.open(1);
    worker.on_air(1);
    worker.play(1, items);
    worker.stop().0
}

/// What must hold for every output, whatever went in.
fn assert_exact(made: &Made) {
    let scratch = Scratch::new();
    let grid = made.output.grid;
    for (track, rendition) in made.output.renditions.iter().enumerate() {
        let path = scratch.path(&format!("{track}.mp4"));
        made.write(track as u8, &path);
        let (timescale, size, packets) = probe(&path);
        assert_eq!(size, (rendition.width, rendition.height));
        let step = timescale * i64::from(grid.frame_rate.den()) / i64::from(grid.frame_rate.num());
        for (n, packet) in packets.iter().enumerate() {
            assert_eq!((packet.pts, packet.dts), (n as i64 * step, n as i64 * step), "frame {n} of track {track}");
            assert_eq!(packet.keyframe, n % grid.segment_frames as usize == 0, "frame {n} of track {track}");
        }
        assert!(packets.len() > 100, "{} frames", packets.len());
        let mut frames = 0;
        for chunk in made.track(track as u8) {
            assert_eq!((chunk.segment, chunk.part), grid.place(frames));
            assert_eq!(grid.first_frame(chunk.segment, chunk.part), frames);
            assert_eq!(chunk.independent, chunk.part == 0);
            frames += u64::from(chunk.frames);
        }
        assert_eq!(frames, packets.len() as u64);
    }
    let path = scratch.path("audio.mp4");
    made.write(made.audio_track(), &path);
    let (timescale, _, packets) = probe(&path);
    assert_eq!(timescale, 48_000);
    for (k, packet) in packets.iter().enumerate() {
        assert_eq!(packet.pts, k as i64 * i64::from(AAC_FRAME), "AAC frame {k}");
    }
    let mut samples = 0;
    for chunk in made.track(made.audio_track()) {
        assert_eq!((chunk.segment, chunk.part), grid.place_sample(samples));
        assert!(chunk.independent);
        samples += u64::from(chunk.frames * AAC_FRAME);
    }
    let video = made.track(0).map(|chunk| u64::from(chunk.frames)).sum();
    let ahead = samples as i64 - grid.first_sample(video) as i64;
    assert!(ahead.abs() <= 3 * i64::from(AAC_FRAME), "sound is {ahead} samples longer than the pictures");
}

fn assert_clean(made: &Made) {
    let report = made.reports.last().unwrap();
    assert_eq!(report.dropped, 0);
    assert_eq!(report.inputs.iter().map(|input| input.errors).sum::<u64>(), 0);
    // The delay at the start, and the last pictures before the stop.
    assert!(report.repeated <= 12, "{} of {} repeated", report.repeated, report.frames);
}

#[test]
fn a_25_fps_source_becomes_exact_parts() {
    let made = play(spec(), &test_card("320x180", "25", "-c:a aac", 5.0));
    assert_eq!(made.output.grid.frame_rate.to_string(), "25");
    assert_exact(&made);
    assert_clean(&made);
}

#[test]
fn a_screenshot_shows_what_is_on_air_and_costs_no_frame() {
    let made = play(spec(), &test_card("320x180", "25", "-c:a aac", 5.0));
    assert_clean(&made);
    let [picture] = made.screenshots.as_slice() else { panic!("{} screenshots in 5 s", made.screenshots.len()) };
    let scratch = Scratch::new();
    let path = scratch.path("screenshot.jpg");
    std::fs::write(&path, picture).unwrap();
    assert_eq!(probe(&path).1, (320, 180));
    // A test card is neither black nor white.
    assert!((40..200).contains(&brightness(&path)[0]), "{:?}", brightness(&path));
}

#[test]
fn every_standard_rate_has_its_exact_grid() {
    for (rate, named) in [("24", "24"), ("30000/1001", "30000/1001"), ("50", "50")] {
        let made = play(spec(), &test_card("320x180", rate, "-c:a aac", 5.0));
        assert_eq!(made.output.grid.frame_rate.to_string(), named);
        assert_exact(&made);
        assert_clean(&made);
    }
}

#[test]
fn portrait_and_mono_at_44100_are_taken() {
    let made = play(spec(), &test_card("180x320", "30", "-c:a aac -ac 1 -ar 44100", 5.0));
    assert_eq!((made.output.renditions[0].width, made.output.renditions[0].height), (180, 320));
    assert_exact(&made);
    assert_clean(&made);
}

#[test]
fn a_source_without_sound_gets_silence() {
    let made = play(spec(), &test_card("320x180", "30", "-an", 5.0));
    assert_exact(&made);
    assert_clean(&made);
    let report = made.reports.last().unwrap();
    assert!(report.silence_samples > 4 * 48_000, "{}", report.silence_samples);
}

/// Distance of beeps to flashes, seconds, positive when the beep is late.
fn offsets(flashes: &[u8], fps: f64, video_start: f64, sound: &[f32], audio_start: f64) -> Vec<f64> {
    let flashes: Vec<f64> = (1..flashes.len())
        .filter(|&n| flashes[n] > 128 && flashes[n - 1] <= 128)
        .map(|n| video_start + n as f64 / fps)
        .collect();
    let beeps: Vec<f64> = onsets(sound).into_iter().map(|s| audio_start + s as f64 / 48_000.0).collect();
    flashes
        .iter()
        .filter_map(|flash| {
            let near = beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()))?;
            (near.abs() < 0.4).then_some(near)
        })
        .collect()
}

#[test]
fn sound_keeps_its_distance_to_the_picture() {
    for (audio, fps) in [("-c:a aac", 30.0), ("-c:a aac -ar 44100", 25.0)] {
        let scratch = Scratch::new();
        let args = format!(
            "-f lavfi -i color=black:s=320x180:r={fps},drawbox=c=white:t=fill:enable=lt(mod(t\\,1)\\,0.2) \
             -f lavfi -i aevalsrc=lt(mod(t\\,1)\\,0.2)*sin(2*PI*1000*t):s=48000 \
             -c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -g 25 {audio}"
        );
        let whole = source_file(&scratch, &args, 7.0);
        let items = read_flv(&whole);
        let made = play(spec(), &items);
        let (video, audio) = (scratch.path("v.mp4"), scratch.path("a.mp4"));
        made.write(0, &video);
        made.write(made.audio_track(), &audio);
        let (video_start, audio_start) = (first_pts(&items, Track::Video), first_pts(&items, Track::Audio));
        let before = offsets(&brightness(&whole), fps, video_start, &waveform(&whole), audio_start);
        let after = offsets(&brightness(&video), fps, 0.0, &waveform(&audio), 0.0);
        println!("{fps} fps: source {before:.4?}, output {after:.4?}");
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        assert!(before.len() >= 5 && after.len() >= 5);
        assert!((mean(&after) - mean(&before)).abs() < 0.020, "{}", mean(&after) - mean(&before));
        assert!(after.iter().all(|offset| (offset - mean(&after)).abs() < 0.005));
    }
}

#[test]
fn the_first_part_comes_in_time() {
    let items = test_card("320x180", "30", "-c:a aac", 2.0);
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    let start = worker.play(1, &items);
    let (made, stop) = worker.stop();
    let first = |track| made.chunks.iter().find(|(_, c)| c.track == track).unwrap().0 - start;
    let latency: Vec<Duration> = (0..=made.audio_track()).map(first).collect();
    println!("first parts after {latency:?}, stop in {stop:?}");
    assert!(latency.iter().all(|l| *l < Duration::from_millis(700)), "{latency:?}");
    assert!(stop < Duration::from_millis(1_500));
}

/// What of a source a new reader gets at `ms`: configurations and everything since the last keyframe that is `history` old.
fn replay(items: &[Timed], ms: u32, history: u32) -> Vec<Timed> {
    let sent = items.partition_point(|(at, _)| *at <= ms);
    let old = items.partition_point(|(at, _)| *at <= ms.saturating_sub(history));
    let is_key = |item: &FeedItem| matches!(item, FeedItem::Unit(unit) if unit.track == Track::Video && unit.keyframe);
    let key = items[..old].iter().rposition(|(_, item)| is_key(item)).unwrap_or(0);
    let configs = items[..key].iter().filter(|(_, item)| matches!(item, FeedItem::Config(_)));
    configs.chain(&items[key..sent]).map(|(_, item)| (0, item.clone())).collect()
}

/// A broadcast that two workers made, the first of which crashed.
struct Resumed {
    output: Output,
    inits: BTreeMap<u8, Bytes>,
    published: Vec<Chunk>,
    /// Per track, the first frame that the first worker has not published.
    next: Vec<u64>,
    /// What the second worker made.
    made: Made,
    /// Frames that were due when the second worker was stopped.
    due: u64,
}

impl Resumed {
    /// Plays `items` for 3 s to the first worker, the rest to the second. `lost` tells which parts of the first do not arrive.
    fn play(items: &[Timed], lost: impl Fn(&Chunk, &[Chunk]) -> bool) -> Self {
        Self::play_with(&spec(), items, lost)
    }

    fn play_with(spec: &WorkerSpec, items: &[Timed], lost: impl Fn(&Chunk, &[Chunk]) -> bool) -> Self {
        let history = if spec.failover.mode == Mode::Hitless { spec.delay_ms + 3_000 } else { 0 };
        let mut worker = Worker::start(spec.clone());
        worker.open(1);
        worker.on_air(1);
        let first: Vec<Timed> = items.iter().filter(|(ms, _)| *ms < 3_000).cloned().collect();
        let start = worker.play(1, &first);
        let (output, inits, sent) = worker.crash();
        let published: Vec<Chunk> = sent.iter().filter(|chunk| !lost(chunk, &sent)).cloned().collect();
        let next: Vec<u64> = (0..=output.renditions.len() as u8)
            .map(|track| {
                let last = published.iter().rev().find(|chunk| chunk.track == track).unwrap();
                let last = output.grid.first_frame(last.segment, last.part);
                (last + 1..).find(|n| output.grid.place(*n) != output.grid.place(last)).unwrap()
            })
            .collect();

        // The machine needs 0.5 s to notice; then a new worker gets what the feed holds, and the rest in real time.
        let now = start.elapsed().as_millis() as u32 + 500;
        let (next_frame, joined_by) = (*next.iter().min().unwrap(), *next.iter().max().unwrap());
        let resume = Some(Resume { output: output.clone(), next_frame, joined_by });
        let mut worker = Worker::start(WorkerSpec { resume, ..spec.clone() });
        worker.collect_until(start + Duration::from_millis(u64::from(now)));
        worker.open(2);
        worker.on_air(2);
        let mut rest = replay(items, now, history);
        rest.extend(items.iter().filter(|(ms, _)| *ms > now).map(|(ms, item)| (ms - now, item.clone())));
        worker.play(2, &rest);
        let due = (start.elapsed().as_secs_f64() * output.grid.frame_rate.as_f64()) as u64;
        let (made, _) = worker.stop();
        assert_eq!(made.output, output);
        Self { output, inits, published, next, made, due }
    }

    /// Writes a track as it is published: each part once, the first worker's if it has one.
    fn write(&self, track: u8, path: &Path) {
        let frame = |chunk: &Chunk| self.output.grid.first_frame(chunk.segment, chunk.part);
        let old = self.published.iter().filter(|chunk| chunk.track == track);
        let new = self.made.track(track).filter(|chunk| frame(chunk) >= self.next[usize::from(track)]);
        let mut joined = self.inits[&track].to_vec();
        old.chain(new).for_each(|chunk| joined.extend_from_slice(&chunk.data));
        std::fs::write(path, joined).unwrap();
    }
}

#[test]
fn a_resumed_worker_goes_on_at_its_frame_and_catches_up() {
    let resumed = Resumed::play(&test_card("320x180", "30", "-c:a aac", 8.0), |_, _| false);
    let (made, next) = (&resumed.made, *resumed.next.iter().min().unwrap());
    let scratch = Scratch::new();
    for track in 0..=2u8 {
        let first = made.track(track).next().unwrap();
        assert_eq!((first.segment, first.part), resumed.output.grid.place(next), "track {track}");
        let path = scratch.path(&format!("{track}.mp4"));
        resumed.write(track, &path);
        let (_, _, packets) = probe(&path);
        let step = packets[1].pts - packets[0].pts;
        for (n, packet) in packets.iter().enumerate() {
            assert_eq!(packet.pts, n as i64 * step, "packet {n} of track {track}");
        }
    }
    let frames: u64 = made.track(0).map(|chunk| u64::from(chunk.frames)).sum();
    let due = resumed.due;
    assert!((due - 15..=due + 1).contains(&(next + frames)), "{} of {due} frames", next + frames);
    assert_eq!(made.reports.last().unwrap().dropped, 0);
}

#[test]
fn a_rendition_that_was_ahead_goes_on_with_a_keyframe() {
    // The second rendition is two parts behind.
    let resumed = Resumed::play(&test_card("320x180", "30", "-c:a aac", 5.0), |chunk, sent| {
        chunk.track == 1 && sent.iter().rev().filter(|other| other.track == 1).take(2).any(|last| last == chunk)
    });
    assert!(resumed.next[1] < resumed.next[0]);
    let scratch = Scratch::new();
    for track in 0..=1u8 {
        let next = resumed.output.grid.place(resumed.next[usize::from(track)]);
        let first = resumed.made.track(track).find(|chunk| (chunk.segment, chunk.part) == next).unwrap();
        assert!(first.independent, "track {track} goes on in the middle of what was never published");
        let path = scratch.path(&format!("{track}.mp4"));
        resumed.write(track, &path);
        brightness(&path);
    }
}

#[test]
fn a_replaced_worker_of_a_delayed_output_goes_on_with_the_next_picture() {
    let resumed = Resumed::play_with(&failover::hitless(1_500, Standby::Hot), &failover::primary(7.0), |_, _| false);
    let path = Scratch::new();
    let path = path.path("0.mp4");
    resumed.write(0, &path);
    let numbers = failover::numbers_of(&path);
    let first = numbers.iter().position(|n| *n > 0).unwrap();
    let steady = &numbers[first + 10..numbers.len() - 50];
    // The new worker measures anew when what arrives, so one step may be off by a frame.
    let missteps: Vec<_> = steady.windows(2).filter(|w| w[1] != w[0] + 1).map(|w| (w[0], w[1])).collect();
    assert!(missteps.len() <= 1 && missteps.iter().all(|(a, b)| b.abs_diff(a + 1) <= 1), "{missteps:?} in {numbers:?}");
    assert!(steady.len() > 80, "{}", steady.len());
}

#[test]
fn a_replay_of_a_long_gop_shows_nothing_that_was_shown_before() {
    let scratch = Scratch::new();
    let picture = "color=black:s=64x36:r=30,geq=lum='16+0.8*N':cb=128:cr=128,scale=320x180";
    let args =
        format!("-f lavfi -i {picture} -c:v libx264 -preset ultrafast -tune zerolatency -g 240 -pix_fmt yuv420p -an");
    let resumed = Resumed::play(&read_flv(&source_file(&scratch, &args, 6.0)), |_, _| false);
    let path = scratch.path("0.mp4");
    resumed.write(0, &path);
    let shown = brightness(&path);
    let darker: Vec<_> =
        (1..shown.len()).filter(|&n| shown[n] + 2 < shown[n - 1]).map(|n| (n, shown[n - 1], shown[n])).collect();
    assert!(darker.is_empty(), "frame, brightness before, brightness: {darker:?} of {shown:?}");
}

#[test]
fn a_switch_to_a_hot_input_leaves_no_hole() {
    let (primary, backup) =
        (test_card("320x180", "30", "-c:a aac", 3.0), test_card("160x120", "25", "-c:a aac -ar 44100", 6.0));
    let mut both: Vec<(u32, u64, FeedItem)> = primary.into_iter().map(|(ms, item)| (ms, 1, item)).collect();
    both.extend(backup.into_iter().map(|(ms, item)| (ms, 2, item)));
    both.sort_by_key(|(ms, ..)| *ms);
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.open(2);
    worker.on_air(1);
    let start = Instant::now();
    let mut switched = false;
    for (ms, id, item) in &both {
        worker.collect_until(start + Duration::from_millis(u64::from(*ms)));
        worker.item(*id, item);
        if *ms >= 2_950 && !switched {
            worker.on_air(2);
            switched = true;
        }
    }
    let (made, _) = worker.stop();
    assert_eq!((made.output.renditions[0].width, made.output.renditions[0].height), (320, 180));
    assert_exact(&made);
    let report = made.reports.last().unwrap();
    // 25 on 30: one repeat in six frames while the backup is on air.
    assert!(report.repeated < 40, "{} of {} repeated", report.repeated, report.frames);
    assert!(report.silence_samples < 15_000, "{} samples of silence", report.silence_samples);
}

#[test]
fn without_any_input_the_last_picture_is_held_and_time_goes_on() {
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    let start = worker.play(1, &test_card("320x180", "30", "-c:a aac", 2.0));
    worker.send(&ToWorker::Close { session: SessionId(1) });
    worker.send(&ToWorker::OnAir { session: None, hand_over: HandOver::AtOnce });
    worker.collect_until(start + Duration::from_secs(5));
    let (made, _) = worker.stop();
    assert_exact(&made);
    let scratch = Scratch::new();
    made.write(0, &scratch.path("v.mp4"));
    let brightness = brightness(&scratch.path("v.mp4"));
    assert!(brightness.len() > 140);
    assert!(brightness[90..].iter().all(|b| b.abs_diff(brightness[90]) <= 3 && *b > 30), "{brightness:?}");
}

#[test]
fn a_changed_configuration_in_the_middle_goes_on() {
    let mut items = test_card("320x180", "30", "-c:a aac", 2.5);
    let second = test_card("640x480", "30", "-c:a aac -ar 44100", 3.0);
    let shift = items.last().unwrap().0 + 33;
    items.extend(second.into_iter().map(|(ms, item)| (ms + shift, harness::delayed(item, shift))));
    let made = play(spec(), &items);
    assert_exact(&made);
    let input = &made.reports.last().unwrap().inputs[0];
    assert!(input.decoded_frames >= 155, "{input:?}");
    assert!(made.reports.last().unwrap().repeated < 25, "{:?}", made.reports.last());
}

#[test]
fn damaged_frames_cost_pictures_and_nothing_else() {
    let mut items = test_card("320x180", "30", "-c:a aac", 5.0);
    let mut seed = 1u32;
    for (ms, item) in &mut items {
        if let (FeedItem::Unit(unit), 1_500..3_000) = (item, *ms) {
            let mut data = unit.data.to_vec();
            for byte in data.iter_mut().skip(4) {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte ^= if seed >> 28 == 0 { (seed >> 16) as u8 } else { 0 };
            }
            unit.data = data.into();
        }
    }
    let made = play(spec(), &items);
    assert_exact(&made);
    assert!(made.rejected.is_empty());
    let until = made.reports.last().unwrap().inputs[0].decoded_until_ns.unwrap();
    assert!(until > 4_600_000_000, "decoded until {until}");
}

#[test]
fn a_jump_of_the_source_clock_is_followed() {
    let mut items = test_card("320x180", "30", "-c:a aac", 3.0);
    let again: Vec<Timed> = items.iter().map(|(ms, item)| (ms + 3_000, item.clone())).collect();
    items.extend(again);
    let made = play(spec(), &items);
    assert_exact(&made);
    assert!(made.reports.last().unwrap().repeated < 40, "{:?}", made.reports.last());
}

#[test]
fn an_undecodable_input_neither_fixes_nor_stops_the_output() {
    let good = test_card("320x180", "30", "-c:a aac", 8.0);
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    for (_, item) in test_card("180x320", "25", "-an", 1.0) {
        worker.item(1, &harness::scrambled(item));
    }
    worker.open(2);
    worker.on_air(2);
    worker.play(2, &good);
    let (made, _) = worker.stop();
    let frames =
        |id| made.reports.last().unwrap().inputs.iter().find(|i| i.session == SessionId(id)).unwrap().decoded_frames;
    assert_eq!(frames(1), 0);
    // It starts at its second or third keyframe.
    assert!(frames(2) >= 80);
    assert_eq!((made.output.renditions[0].width, made.output.renditions[0].height), (320, 180));
    assert_exact(&made);
}

#[test]
fn parts_leave_soon_after_their_last_frame() {
    let items = test_card("320x180", "30", "-c:a aac", 4.0);
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    let start = worker.play(1, &items);
    let (made, _) = worker.stop();
    let grid = made.output.grid;
    for track in 0..=made.audio_track() {
        let mut frames = 0;
        let mut late: Vec<f64> = vec![];
        for (at, chunk) in made.chunks.iter().filter(|(_, chunk)| chunk.track == track) {
            frames += u64::from(chunk.frames);
            let end = if track == made.audio_track() {
                frames as f64 * 1_024.0 / 48_000.0
            } else {
                grid.frame_rate.seconds(frames)
            };
            late.push((*at - start).as_secs_f64() - end);
        }
        // What the stop flushes is not live.
        late.truncate(late.len() - 1);
        late.sort_by(f64::total_cmp);
        println!("track {track}: parts leave {late:.3?} s after their end");
        assert!(late[late.len() / 2] < 0.1, "{late:?}");
    }
}

#[test]
fn a_worker_whose_parent_is_gone_ends_at_once() {
    let mut worker = Worker::start(spec());
    worker.open(1);
    worker.on_air(1);
    worker.play(1, &test_card("320x180", "30", "-c:a aac", 2.0));
    let (result, took) = worker.abandon();
    assert!(matches!(result, Err(WorkerError::Orphaned)), "{result:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn encoders_that_cannot_start_are_a_fault_and_the_end() {
    let mut worker = Worker::start(WorkerSpec { preset: "nonsense".into(), ..spec() });
    worker.open(1);
    worker.on_air(1);
    for (_, item) in test_card("320x180", "30", "-an", 1.0) {
        worker.item(1, &item);
    }
    worker.wait(|message| matches!(message, FromWorker::Fault { .. }));
    let (result, _) = worker.abandon();
    assert!(matches!(result, Err(WorkerError::Pipeline(_))), "{result:?}");
}

#[test]
fn openh264_makes_the_same_parts() {
    let spec = WorkerSpec { encoder: H264Encoder::Openh264enc, ..spec() };
    assert_exact(&play(spec, &test_card("320x180", "30", "-c:a aac", 5.0)));
}

/// User and system time of this process (`RUSAGE_SELF`) or of its ended children, seconds.
fn cpu_seconds(who: i32) -> f64 {
    // SAFETY: an all-zero `rusage` is valid, and the call only writes into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(who, &mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Run alone and in a quiet minute: `cargo test --release -p weir-pipelines --test worker -- --ignored --nocapture cpu`.
#[test]
#[ignore = "a measurement of 25 s that wants the machine for itself"]
fn cpu_time_is_that_of_one_ffmpeg_with_the_same_rungs() {
    const SECONDS: f64 = 20.0;
    let scratch = Scratch::new();
    let args = "-f lavfi -i testsrc2=s=1280x720:r=30 -f lavfi -i sine=f=440:r=48000 \
                -c:v libx264 -preset veryfast -pix_fmt yuv420p -b:v 3000k -maxrate 3000k -bufsize 3000k -bf 0 -g 60 -c:a aac";
    let file = source_file(&scratch, args, SECONDS);
    let items = read_flv(&file);
    let spec = WorkerSpec { ladder: Ladder::default(), preset: "veryfast".into(), ..spec() };
    let before = cpu_seconds(libc::RUSAGE_SELF);
    let made = play(spec, &items);
    let ours = cpu_seconds(libc::RUSAGE_SELF) - before;
    assert_clean(&made);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();

    let mut command = format!("-v error -y -i {} -filter_complex [0:v]split=3[a][b][c];", file.display());
    command += "[b]scale=832:468[d];[c]scale=640:360[e] ";
    for (pad, rendition) in ["a", "d", "e"].into_iter().zip(&made.output.renditions) {
        let rate = rendition.bitrate_kbps;
        command += &format!(
            "-map [{pad}] -map 0:a -c:v libx264 -preset veryfast -tune zerolatency -profile:v main -threads 1 \
             -b:v {rate}k -maxrate {rate}k -bufsize {rate}k -g 48 -sc_threshold 0 {} \
             -f mp4 -movflags frag_keyframe+empty_moov {} ",
            if pad == "a" { "-c:a aac -b:a 128k" } else { "-an" },
            scratch.path(&format!("{pad}.mp4")).display()
        );
    }
    let before = cpu_seconds(libc::RUSAGE_CHILDREN);
    harness::output_of("ffmpeg", &command.split_whitespace().collect::<Vec<_>>());
    let theirs = cpu_seconds(libc::RUSAGE_CHILDREN) - before;
    println!("worker {ours:.2} s, ffmpeg {theirs:.2} s, ratio {:.3}; {rss}", ours / theirs);
}
