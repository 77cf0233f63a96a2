use bytes::Bytes;
use proptest::prelude::*;
use weir_media::codec::{AudioCodec, VideoCodec};
use weir_media::time::Timestamp;

use super::*;
use crate::test_clock::start;

const MS: i64 = 1_000_000;

/// An encoder in virtual time: 1280x720 at 30 fps with a keyframe every 60 pictures, 2500 kbit/s, AAC at 48 kHz.
#[derive(Clone)]
struct Encoder {
    fps: f64,
    gop: u64,
    keyframe_at: fn(u64, u64) -> bool,
    kbps: f64,
    size: (u32, u32),
    aspect: (u32, u32),
    b_frames: bool,
    sound: bool,
    /// Timestamps of the sound run by so much faster than its samples.
    stretch: f64,
    /// Sound of this many milliseconds earlier arrives with a picture.
    late_ms: i64,
    /// How far timestamps are moved at a picture.
    moved: fn(u64) -> i64,
    /// When what is made at a time arrives, milliseconds.
    arrival: fn(i64) -> i64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            fps: 30.0,
            gop: 60,
            keyframe_at: |n, gop| n % gop == 0,
            kbps: 2_500.0,
            size: (1280, 720),
            aspect: (1, 1),
            b_frames: false,
            sound: true,
            stretch: 0.0,
            late_ms: 0,
            moved: |_| 0,
            arrival: |at| at,
        }
    }
}

fn video(size: (u32, u32), aspect: (u32, u32)) -> VideoConfig {
    VideoConfig {
        codec: VideoCodec::H264,
        decoder_config: Bytes::new(),
        width: size.0,
        height: size.1,
        pixel_aspect: aspect,
        frame_rate: None,
    }
}

fn audio(sample_rate: u32) -> AudioConfig {
    AudioConfig { codec: AudioCodec::Aac, decoder_config: Bytes::from_static(&[0x11, 0x90]), sample_rate, channels: 2 }
}

impl Encoder {
    /// What the doctor says after so many seconds.
    fn seen(&self, seconds: u64) -> Vec<Checkup> {
        self.seen_by(Doctor::new(Maker::Encoder), seconds)
    }

    fn seen_by(&self, mut doctor: Doctor, seconds: u64) -> Vec<Checkup> {
        let t = start();
        doctor.config(&TrackConfig::Video(video(self.size, self.aspect)));
        if self.sound {
            doctor.config(&TrackConfig::Audio(audio(48_000)));
        }
        let frame_bytes = (self.kbps * 1000.0 / 8.0 / self.fps) as usize;
        let (mut found, mut sounds) = (vec![], 0i64);
        for n in 0..(seconds as f64 * self.fps) as u64 {
            let made = (n as f64 * 1000.0 / self.fps) as i64;
            let now = t + Duration::from_millis((self.arrival)(made) as u64);
            while self.sound && sounds * 1_024 * 1_000 / 48_000 <= made - self.late_ms {
                let at = (sounds as f64 * 1_024.0 / 48.0 * (1.0 + self.stretch)) as i64;
                let time = Timestamp::from_millis(at + (self.moved)(n));
                doctor.unit(&unit(Track::Audio, time, time, true, 300), now);
                sounds += 1;
            }
            let dts = Timestamp::from_millis(made + (self.moved)(n));
            // Shown as I B B P: a reference comes two pictures early.
            let shift = match (self.b_frames, n % 3) {
                (false, _) => 0,
                (true, 0) => (3_000.0 / self.fps) as i64,
                (true, _) => 0,
            };
            let pts = Timestamp::from_nanos(dts.as_nanos() + shift * MS);
            doctor.unit(&unit(Track::Video, pts, dts, (self.keyframe_at)(n, self.gop), frame_bytes), now);
            found.extend(doctor.check(now));
        }
        found
    }
}

fn unit(track: Track, pts: Timestamp, dts: Timestamp, keyframe: bool, bytes: usize) -> AccessUnit {
    AccessUnit { track, pts, dts, keyframe, data: Bytes::from(vec![0; bytes]) }
}

/// Every code that was ever told.
fn codes(checkups: &[Checkup]) -> Vec<Code> {
    let mut codes: Vec<_> = checkups.iter().flat_map(|checkup| &checkup.findings).map(|finding| finding.code).collect();
    codes.sort();
    codes.dedup();
    codes
}

fn last(checkups: &[Checkup]) -> &Measured {
    &checkups.last().expect("a checkup").measured
}

#[test]
fn a_clean_encoder_is_found_clean_and_measured_right() {
    let seen = Encoder::default().seen(60);
    assert_eq!(codes(&seen), []);
    assert!((55..=60).contains(&seen.len()), "one look a second: {}", seen.len());
    let measured = last(&seen);
    let near = |value: Option<f64>, wanted: f64| value.is_some_and(|value| (value - wanted).abs() < wanted * 0.02);
    assert!(near(measured.frame_rate, 30.0) && near(measured.video_kbps, 2_500.0) && near(measured.gop_s, 2.0));
    assert_eq!((measured.gop_frames, measured.b_frames), (Some(60), 0));
    assert!(measured.av_offset_ms.is_some_and(|offset| offset.abs() < 50.0));
    let frames: u32 = seen.iter().map(|checkup| checkup.received.frames).sum();
    assert!((1_740..=1_800).contains(&frames), "{frames}");
}

#[test]
fn each_fault_has_its_code_and_no_other() {
    use Code::*;
    let base = Encoder::default;
    let table: [(&str, Encoder, &[Code]); 13] = [
        ("long GOP", Encoder { gop: 150, ..base() }, &[GopLong]),
        ("one keyframe for ever", Encoder { gop: u64::MAX, ..base() }, &[GopLong]),
        ("uneven GOP", Encoder { keyframe_at: |n, _| n % 60 == 0 || n % 120 == 20, ..base() }, &[GopUneven]),
        ("B-frames", Encoder { b_frames: true, ..base() }, &[BFrames]),
        ("jump ahead", Encoder { moved: |n| if n > 300 { 5_000 } else { 0 }, ..base() }, &[PtsJump]),
        ("jump back", Encoder { moved: |n| if n > 300 { -5_000 } else { 0 }, ..base() }, &[PtsJump]),
        ("stretched sound", Encoder { stretch: 0.02, ..base() }, &[AvDrift]),
        ("late sound", Encoder { late_ms: 450, ..base() }, &[AvDrift]),
        ("too many bits", Encoder { kbps: 6_000.0, ..base() }, &[BitrateHigh]),
        ("too few bits", Encoder { kbps: 300.0, ..base() }, &[BitrateLow]),
        ("120 fps", Encoder { fps: 120.0, gop: 240, kbps: 4_000.0, ..base() }, &[FpsHigh]),
        ("no sound", Encoder { sound: false, ..base() }, &[AudioMissing]),
        ("anamorphic", Encoder { aspect: (64, 45), ..base() }, &[PixelsNotSquare]),
    ];
    for (what, encoder, expected) in table {
        assert_eq!(codes(&encoder.seen(40)), expected, "{what}");
    }
}

#[test]
fn a_network_that_stalls_and_catches_up_is_no_fault_of_the_encoder() {
    // From the 10th to the 12th second nothing comes, then all of it at once.
    let stalled =
        Encoder { arrival: |at| if (10_000..12_000).contains(&at) { 12_000 } else { at }, ..Encoder::default() };
    assert_eq!(codes(&stalled.seen(40)), []);
    let burst = Encoder { arrival: |at| (at - 3_000).max(0), ..Encoder::default() };
    assert_eq!(codes(&burst.seen(40)), [], "a source that begins with what it kept");
}

#[test]
fn what_is_mended_is_taken_back_after_a_while() {
    let encoder =
        Encoder { keyframe_at: |n, _| if n < 900 { n % 150 == 0 } else { n % 60 == 0 }, ..Encoder::default() };
    let seen = encoder.seen(90);
    let long = |checkup: &Checkup| checkup.findings.iter().any(|finding| finding.code == Code::GopLong);
    assert!(long(&seen[20]) && !long(seen.last().unwrap()));
    let edges = seen.windows(2).filter(|pair| long(&pair[0]) != long(&pair[1])).count();
    assert_eq!(edges, 2, "raised once, cleared once");
}

#[test]
fn a_browser_is_not_blamed_for_what_nobody_can_set() {
    let encoder = Encoder { gop: u64::MAX, kbps: 300.0, ..Encoder::default() };
    assert_eq!(codes(&encoder.seen_by(Doctor::new(Maker::Browser), 40)), []);
}

#[test]
fn packets_that_are_lost_for_good_are_told_and_forgotten() {
    let (mut doctor, t) = (Doctor::new(Maker::Encoder), start());
    let mut told = vec![];
    for n in 0..90 {
        let now = t + CHECK_EVERY * n;
        let time = Timestamp::from_millis(i64::from(n) * 1_000);
        doctor.unit(&unit(Track::Video, time, time, true, 100_000), now);
        doctor.lost(if n < 10 { 0 } else { 40 });
        let checkup = doctor.check(now);
        told.push(checkup.is_some_and(|checkup| checkup.findings.iter().any(|found| found.code == Code::PacketsLost)));
    }
    assert!(!told[9] && told[11] && told[40] && !told[60], "{told:?}");
}

#[test]
fn unlike_slots_are_told_in_words_once_both_have_been_unlike_for_a_while() {
    let measured = |size, rate, sample_rate: Option<u32>| Measured {
        video: Some(video(size, (1, 1))),
        audio: sample_rate.map(audio),
        frame_rate: Some(rate),
        ..Measured::default()
    };
    let one = measured((1280, 720), 30.0, Some(48_000));
    let told = |other: &Measured| {
        let (mut pair, t) = (Pair::default(), start());
        assert_eq!(pair.look(Some((&one, other)), t), None);
        pair.look(Some((&one, other)), t + Code::SlotsDiffer.raise_after()).map(|finding| finding.text)
    };
    assert_eq!(told(&one), None);
    assert_eq!(told(&measured((1280, 720), 29.97, Some(48_000))), None, "as good as the same");
    let other = measured((1920, 1080), 25.0, Some(44_100));
    let text = "size 1280x720 and 1920x1080, frame rate 30.00 and 25.00, sample rate 48000 and 44100";
    assert_eq!(told(&other).as_deref(), Some(text));
    assert_eq!(told(&measured((1280, 720), 30.0, None)).as_deref(), Some("sound there and missing"));
    let (mut pair, t) = (Pair::default(), start());
    pair.look(Some((&one, &other)), t);
    pair.look(Some((&one, &other)), t + Duration::from_secs(20));
    assert!(pair.finding().is_some());
    assert_eq!(pair.look(None, t + Duration::from_secs(21)), None, "with one slot there is nothing to compare");
}

proptest! {
    #[test]
    fn no_times_make_it_panic(units in proptest::collection::vec((any::<bool>(), any::<i64>(), any::<i64>(), any::<bool>(), 0u64..3_000), 1..200)) {
        let (mut doctor, mut now) = (Doctor::new(Maker::Encoder), start());
        doctor.config(&TrackConfig::Audio(audio(1)));
        for (picture, pts, dts, keyframe, gap) in units {
            now += Duration::from_millis(gap);
            let track = if picture { Track::Video } else { Track::Audio };
            doctor.unit(&unit(track, Timestamp::from_nanos(pts), Timestamp::from_nanos(dts), keyframe, 10), now);
            doctor.check(now);
        }
    }

    #[test]
    fn no_clean_encoder_is_blamed(
        fps in prop_oneof![Just(24.0), Just(25.0), Just(30_000.0 / 1_001.0), Just(30.0), Just(50.0), Just(60.0)],
        gop_s in 1u64..=2,
        jitter in 0i64..150,
    ) {
        // A network that holds back whatever it likes, up to `jitter`: the seed of the disorder is the time itself.
        const fn late(at: i64, most: i64) -> i64 { at + at.wrapping_mul(2_654_435_761).rem_euclid(most + 1) }
        let arrival: fn(i64) -> i64 = if jitter < 50 { |at| late(at, 40) } else { |at| late(at, 149) };
        let encoder = Encoder { fps, gop: (fps.round() as u64) * gop_s, kbps: 3_000.0, arrival, ..Encoder::default() };
        prop_assert_eq!(codes(&encoder.seen(30)), []);
    }
}
