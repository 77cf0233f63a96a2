//! The same with real codecs, by the `ffmpeg` command: to be run by hand where there is one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::encoders::Encoder;
use super::pair::Pair;
use super::sounds::{RATE, Random, Sound};
use super::{ERROR_MS, LAG, LEAD, LOCK_SECONDS};

/// Codec, bit rate, sample rate, channels. MP4 says how much priming a decoder takes off.
pub const CODECS: [[&str; 4]; 5] = [
    ["aac", "128k", "48000", "2"],
    ["aac", "64k", "44100", "2"],
    ["aac", "32k", "32000", "1"],
    ["libopus", "24k", "48000", "1"],
    ["libopus", "96k", "48000", "2"],
];

fn ffmpeg(args: &[&str]) {
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "ffmpeg {args:?}");
}

/// The sound as it is after this codec, by way of files in `folder`.
pub fn coded(sound: &[[f32; 2]], [codec, rate, samples, channels]: [&str; 4], folder: &Path) -> Vec<[f32; 2]> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let raw: Vec<u8> = sound.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(folder.join("in.f32"), raw).unwrap();
    let (input, file, output) = (path("in.f32"), path("coded.mp4"), path("out.f32"));
    let raw = ["-f", "f32le", "-ar", "48000", "-ac", "2", "-i", &input];
    ffmpeg(&[&raw[..], &["-c:a", codec, "-b:a", rate, "-ar", samples, "-ac", channels, &file]].concat());
    ffmpeg(&["-i", &file, "-f", "f32le", "-ar", "48000", "-ac", "2", &output]);
    let decoded = fs::read(folder.join("out.f32")).unwrap();
    let sample = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    decoded.chunks_exact(8).map(|frame| [sample(&frame[..4]), sample(&frame[4..])]).collect()
}

#[test]
#[ignore = "needs ffmpeg with aac and libopus"]
fn real_codecs_lock_in_time_and_right() {
    let folder = std::env::temp_dir().join(format!("weir-align-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut late = 0;
    for (seed, sound) in
        [Sound::Speech, Sound::Music, Sound::Mix, Sound::Noise, Sound::Applause].into_iter().enumerate()
    {
        for codec in CODECS {
            let mut random = Random::new(800 + seed as u64);
            let programme = Encoder::Clean.pass(&sound.make(32.0, &mut random), &mut random);
            let lag = (random.range(-LAG, LAG) * RATE as f64) as i64;
            let a = coded(&programme[LEAD..LEAD + 20 * RATE], CODECS[0], &folder);
            let b = coded(&programme[(LEAD as i64 - lag) as usize..][..20 * RATE], codec, &folder);
            let outcome = Pair { a: &a, b: &b, b_index: &|index| index + lag as f64 }.run();
            let time = outcome.time_to_lock().unwrap_or(f64::INFINITY);
            let verdicts =
                outcome.steps.iter().map(|step| step.measurement.verdict.map(|found| found.prominence.round()));
            let lag = lag as f64 / RATE as f64;
            println!(
                "{sound:?} {lag:.2} s {codec:?}: {time:.1} s, {:.2} ms {:?}",
                outcome.worst_ms(),
                verdicts.collect::<Vec<_>>()
            );
            assert!(outcome.worst_ms() <= ERROR_MS);
            // Sound is measured when the block that completes the window is there.
            late += u32::from(time > LOCK_SECONDS + 0.1);
        }
    }
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(late, 0);
}
