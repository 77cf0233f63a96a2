//! Streams without a fault: everything comes out, once, with the times and marks that ffprobe reports.

use weir_media::codec::VideoCodec;
use weir_media::flv;

use super::files::{File, ffmpeg, nal_units, probe, stream};
use super::*;

const X264: &str = "-c:v libx264 -preset veryfast -g 25 -c:a aac";
const WRAP: i64 = 1 << 33;

/// Checks a stream's video and audio against ffprobe and its elementary stream.
fn check(name: &str, ts: &[u8]) -> Demuxed {
    let demuxed = demux_all(ts);
    let file = File::new(ts, "ts");
    video(name, &demuxed, &file);
    audio(name, &demuxed, &file);
    assert!(same_whatever_the_chunks(ts, &demuxed), "{name}");
    let TsStats { packets, .. } = demuxed.stats;
    assert_eq!(demuxed.stats, TsStats { packets: (ts.len() / 188) as u64, ..TsStats::default() }, "{name}");
    assert_eq!(packets * 188, ts.len() as u64);
    demuxed
}

fn video(name: &str, demuxed: &Demuxed, file: &File) {
    let (units, probed) = (demuxed.units(Track::Video), probe(file, "v:0"));
    assert_eq!(units.len(), probed.len(), "{name}: pictures");
    for (unit, probed) in units.iter().zip(&probed) {
        let found = (ticks(unit.pts.as_nanos()) % WRAP, ticks(unit.dts.as_nanos()) % WRAP, unit.keyframe);
        assert_eq!(found, (probed.pts.rem_euclid(WRAP), probed.dts.rem_euclid(WRAP), probed.key), "{name}");
        // Length fields of 4 bytes stand for start codes of 3 or 4; which NAL units there are is checked below.
        assert!(unit.data.len() <= probed.size + 64, "{name}: {} of {}", unit.data.len(), probed.size);
    }
    assert!(units.is_sorted_by(|a, b| a.dts < b.dts), "{name}");
    let Some(config) = demuxed.videos().last().copied() else { return };
    let format = if config.codec == VideoCodec::H264 { "h264" } else { "hevc" };
    let mut expected = nal_units(&ffmpeg(&format!("-i {} -map 0:v:0 -c copy", file.path()), format));
    // Delimiters and filler.
    expected.retain(|unit| match config.codec {
        VideoCodec::H264 => !matches!(unit[0] & 31, 9 | 12),
        VideoCodec::Hevc => !matches!(unit[0] >> 1 & 63, 35 | 38),
    });
    let found: Vec<Vec<u8>> = units.iter().flat_map(|unit| split(&unit.data)).collect();
    assert!(found == expected, "{name}: {} NAL units of {}", found.len(), expected.len());
}

/// NAL units behind lengths of 4 bytes.
fn split(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut units = vec![];
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        units.push(unit.to_vec());
        data = rest;
    }
    assert!(data.is_empty());
    units
}

fn audio(name: &str, demuxed: &Demuxed, file: &File) {
    let (units, probed) = (demuxed.units(Track::Audio), probe(file, "a:0"));
    assert_eq!(units.len(), probed.len(), "{name}: frames");
    for (unit, probed) in units.iter().zip(&probed) {
        let found = ticks(unit.pts.as_nanos()) % WRAP;
        // ffprobe rounds each frame's time to ticks and goes on from there.
        assert!(found.abs_diff(probed.pts.rem_euclid(WRAP)) <= 2, "{name}: {found} of {}", probed.pts);
        assert_eq!((unit.data.len() + 7, unit.pts, unit.keyframe), (probed.size, unit.dts, true), "{name}");
    }
    assert!(units.is_sorted_by(|a, b| a.pts < b.pts), "{name}");
}

fn same_whatever_the_chunks(ts: &[u8], expected: &Demuxed) -> bool {
    [3, 188, 1000, 5000].iter().all(|&longest| {
        let mut random = Random(longest);
        let mut rest = ts;
        let chunks = std::iter::from_fn(|| {
            let length = (1 + random.below(longest) as usize).min(rest.len());
            let (chunk, behind) = rest.split_at(length);
            rest = behind;
            (!chunk.is_empty()).then_some(chunk)
        });
        let found = demux(chunks).unwrap();
        found.items == expected.items && found.stats == expected.stats
    })
}

/// What the same stream is configured to when ffmpeg writes it as FLV.
fn configs_by_flv(ts: &[u8]) -> (Option<VideoConfig>, Option<AudioConfig>) {
    let file = File::new(ts, "ts");
    let written = ffmpeg(&format!("-i {} -c copy", file.path()), "flv");
    let (mut demuxer, mut rest) = (flv::Demuxer::default(), &written[13..]);
    while let [kind, a, b, c, _, _, _, _, _, _, _, body @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (tag, behind) = body.split_at(length);
        let tag = bytes::Bytes::copy_from_slice(tag);
        match kind {
            8 => drop(demuxer.audio(0, tag).unwrap()),
            9 => drop(demuxer.video(0, tag).unwrap()),
            _ => {}
        }
        rest = &behind[4..];
    }
    (demuxer.video_config().cloned(), demuxer.audio_config().cloned())
}

#[test]
fn h264_of_every_make_comes_through() {
    for (name, picture, sound, encoders) in [
        ("no B frames, 48 kHz mono", "320x180:rate=25", "sample_rate=48000", format!("{X264} -bf 0")),
        (
            "B frames, 44.1 kHz stereo",
            "320x180:rate=30000/1001",
            "sample_rate=44100",
            format!("{X264} -bf 3 -x264-params b-pyramid=normal -ac 2"),
        ),
        (
            "four slices",
            "320x180:rate=50",
            "sample_rate=48000",
            format!("{X264} -x264-params slices=4:sliced-threads=1"),
        ),
        (
            "open GOPs",
            "320x180:rate=25",
            "sample_rate=48000",
            format!("{X264} -x264-params open-gop=1:bframes=2:scenecut=0"),
        ),
        (
            "refreshed column by column",
            "320x180:rate=25",
            "sample_rate=48000",
            format!("{X264} -x264-params intra-refresh=1"),
        ),
        ("interlaced", "720x576:rate=25", "sample_rate=48000", format!("{X264} -flags +ilme+ildct -x264-params tff=1")),
        (
            "constant rate with filler",
            "320x180:rate=25",
            "sample_rate=32000",
            format!("{X264} -b:v 900k -x264-params nal-hrd=cbr:vbv-maxrate=900:vbv-bufsize=900 -ac 1"),
        ),
        (
            "one frame in a PES packet",
            "64x48:rate=10",
            "sample_rate=48000",
            format!("{X264} -pes_payload_size 0 -ac 6"),
        ),
    ] {
        let ts = stream(picture, sound, &encoders);
        let demuxed = check(name, &ts);
        let (video, audio) = configs_by_flv(&ts);
        let mut own = demuxed.videos();
        assert_eq!(own.len(), 1, "{name}");
        // The FLV's metadata has a rate for streams that say none.
        let own = VideoConfig {
            frame_rate: own[0].frame_rate.or(video.as_ref().unwrap().frame_rate),
            ..own.remove(0).clone()
        };
        assert_eq!(Some(own), video, "{name}");
        assert_eq!(demuxed.audios(), [&audio.unwrap()], "{name}");
    }
}

#[test]
fn hevc_comes_through() {
    for (name, encoders) in [
        (
            "closed GOPs",
            "-c:v libx265 -preset ultrafast -g 20 -x265-params log-level=none:open-gop=0:keyint=20 -c:a aac",
        ),
        (
            "open GOPs, B frames",
            "-c:v libx265 -preset medium -x265-params log-level=none:bframes=4:keyint=20:slices=2 -c:a aac",
        ),
    ] {
        let demuxed = check(name, &stream("416x240:rate=25", "sample_rate=48000", encoders));
        let [config] = demuxed.videos()[..] else { panic!("{name}") };
        assert_eq!((config.codec, config.width, config.height), (VideoCodec::Hevc, 416, 240));
        assert_eq!(config.frame_rate, weir_media::time::FrameRate::new(25, 1));
        assert!(demuxed.units(Track::Video).iter().filter(|unit| unit.keyframe).count() >= 3);
    }
}

#[test]
fn one_track_alone_comes_through() {
    let demuxed = check("video", &stream("64x48:rate=25", "sample_rate=48000", "-c:v libx264 -preset veryfast -an"));
    assert!(demuxed.units(Track::Audio).is_empty() && demuxed.units(Track::Video).len() == 60);
    let demuxed = check("audio", &stream("64x48:rate=25", "sample_rate=48000", "-c:a aac -vn"));
    assert!(demuxed.units(Track::Video).is_empty() && demuxed.units(Track::Audio).len() > 100);
}

#[test]
fn the_wrap_at_33_bits_is_crossed() {
    let ts = stream("64x48:rate=25", "sample_rate=48000", &format!("{X264} -output_ts_offset 95441"));
    let demuxed = check("wrap", &ts);
    for track in [Track::Video, Track::Audio] {
        let units = demuxed.units(track);
        let [first, last] = [units[0], units[units.len() - 1]].map(|unit| unit.dts.as_nanos());
        assert!(ticks(first) < WRAP && ticks(last) > WRAP, "{track:?}: {first} to {last}");
        assert!((2_200_000_000..2_600_000_000).contains(&(last - first)));
    }
}

#[test]
fn of_several_programs_the_first_with_video_is_taken() {
    let inputs = "-f lavfi -i sine=sample_rate=48000 -f lavfi -i testsrc2=size=64x48:rate=25 -f lavfi -i testsrc2=size=96x64:rate=25";
    let programs = "-program title=sound:st=0 -program title=small:st=1 -program title=large:st=2";
    let ts = ffmpeg(&format!("{inputs} -t 2 -map 0 -map 1 -map 2 {X264} {programs}"), "mpegts");
    let demuxed = demux_all(&ts);
    assert_eq!(demuxed.videos().iter().map(|config| config.width).collect::<Vec<_>>(), [64]);
    assert!(demuxed.units(Track::Audio).is_empty(), "of another program");
    video("program", &demuxed, &File::new(&ts, "ts"));
}

/// Raw H.264 pictures of a size.
fn raw(size: &str) -> Vec<u8> {
    ffmpeg(&format!("-f lavfi -i testsrc2=size={size}:rate=25 -t 1 -c:v libx264 -preset veryfast -bf 0"), "h264")
}

#[test]
fn a_change_of_size_is_a_configuration_before_its_keyframe() {
    let file = File::new(&[raw("64x48"), raw("128x96"), raw("64x48")].concat(), "h264");
    let ts = ffmpeg(&format!("-f h264 -framerate 25 -i {} -c copy", file.path()), "mpegts");
    let demuxed = demux_all(&ts);
    assert_eq!(demuxed.videos().iter().map(|config| config.width).collect::<Vec<_>>(), [64, 128, 64]);
    for (config, unit) in demuxed.items.iter().zip(&demuxed.items[1..]) {
        if matches!(config, FeedItem::Config(_)) {
            assert!(matches!(unit, FeedItem::Unit(unit) if unit.keyframe));
        }
    }
    assert_eq!(demuxed.units(Track::Video).len(), 75);
}

#[test]
fn a_changed_map_is_followed() {
    // The same encoder on other PIDs, then without sound, then as HEVC; its tables keep their version.
    let h264 = |more: &str| stream("64x48:rate=25", "sample_rate=48000", &format!("{X264} {more}"));
    let hevc = stream(
        "64x48:rate=25",
        "sample_rate=48000",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a aac -output_ts_offset 9",
    );
    let parts = [
        h264(""),
        h264("-mpegts_start_pid 0x200 -output_ts_offset 3"),
        h264("-mpegts_start_pid 0x300 -an -output_ts_offset 6"),
        hevc,
    ];
    let demuxed = demux_all(&parts.concat());
    let alone: Vec<_> = parts.iter().map(|part| demux_all(part)).collect();
    let units = |track| alone.iter().flat_map(|part| part.units(track)).cloned().collect::<Vec<_>>();
    let found = |track| demuxed.units(track).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(found(Track::Video), units(Track::Video));
    assert_eq!(found(Track::Audio), units(Track::Audio));
    assert_eq!(
        demuxed.videos().iter().map(|config| config.codec).collect::<Vec<_>>(),
        [VideoCodec::H264, VideoCodec::Hevc]
    );
    assert_eq!(demuxed.stats.damaged_units, 0);
}

#[test]
fn a_late_join_begins_at_a_keyframe() {
    let ts = stream("320x180:rate=25", "sample_rate=48000", &format!("{X264} -bf 2 -x264-params scenecut=0"));
    let whole = demux_all(&ts);
    let keys = whole.units(Track::Video).iter().filter(|unit| unit.keyframe).count();
    assert!(keys >= 3);
    for packets in [1, 7, 20, 50, 90] {
        let late = demux(ts[packets * 188 + 11..].chunks(PAYLOAD)).unwrap();
        let (units, all) = (late.units(Track::Video), whole.units(Track::Video));
        assert!(units[0].keyframe && all.ends_with(&units), "{packets}");
        assert!(whole.units(Track::Audio).ends_with(&late.units(Track::Audio)), "{packets}");
        assert!(late.stats.damaged_units == 0 && late.stats.continuity_errors == 0);
    }
}

#[test]
#[ignore = "measures; quiet machine"]
#[allow(clippy::disallowed_methods)]
fn megabytes_per_second() {
    let ts = ffmpeg(
        "-f lavfi -i testsrc2=size=1920x1080:rate=50 -f lavfi -i sine=sample_rate=48000 -t 10 -c:v libx264 -preset ultrafast -b:v 12M -maxrate 12M -bufsize 6M -c:a aac",
        "mpegts",
    );
    for chunk in [PAYLOAD, 64 << 10] {
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            let begin = std::time::Instant::now();
            let mut demuxer = Demuxer::default();
            for chunk in ts.chunks(chunk) {
                demuxer.push(chunk).unwrap();
                while let Some(item) = demuxer.poll() {
                    std::hint::black_box(item);
                }
            }
            best = best.min(begin.elapsed().as_secs_f64());
        }
        let rate = ts.len() as f64 / best;
        println!("{chunk} bytes at once: {:.0} MB/s, {:.2} µs per Mbit", rate / 1e6, 1e6 * 125_000.0 / rate);
    }
}
