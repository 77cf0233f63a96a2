//! The media worker with real elements: sources made by ffmpeg, played in real time, results read by ffprobe.

mod harness;

use std::time::Duration;

use harness::{Made, Scratch, Timed, Worker, probe, spec, test_card};
use weir_media::grid::AAC_FRAME;
use weir_media::protocol::WorkerSpec;

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
            assert_eq!(packet.duration, step);
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
