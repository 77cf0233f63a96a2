//! Transport streams: any bytes, and packets of a program whose tables are right.
//!
//! What comes out does not depend on how the bytes were cut, is bounded by them, and so is what is held meanwhile. A unit comes only behind a
//! configuration of its track, and video from a keyframe on; its data are whole NAL units with a picture among them. An error is the last
//! word, and has some for the operator.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_fuzz::script::{Script, pieces};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{TrackConfig, VideoCodec};
use weir_media::feed::FeedItem;
use weir_media::ts::{Demuxer, TsError, TsStats};

const PACKET: usize = 188;
/// Tables of programs, map, video, audio, nothing, another.
const PIDS: [u16; 6] = [0, 0x1000, 0x100, 0x101, 0x1fff, 0x1001];

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (way, cut) = (script.byte(), script.byte());
    let stream = if way == 0 { script.rest().to_vec() } else { written(&mut script) };
    let ((whole, error, stats), peak) = peak_of(|| read(std::iter::once(&stream[..])));
    // Frames of sound have eight bytes at least, and each may come with a configuration.
    assert!(peak <= 100 * stream.len() + (64 << 10), "{peak} bytes for {}", stream.len());
    check(&whole, &stream);
    assert!(stats.packets as usize * PACKET + stats.garbage_bytes as usize <= stream.len());
    if let Some(error) = &error {
        assert!(!error.to_string().is_empty() && error.to_string().len() < 200);
    }
    let again = read(pieces(&stream, cut));
    // Behind an error nothing counts, and what one push had completed before it is out in both.
    assert!(again.0 == whole && again.1 == error && (error.is_some() || again.2 == stats));
});

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<FeedItem>, Option<TsError>, TsStats) {
    let (mut demuxer, mut items) = (Demuxer::default(), vec![]);
    let mut error = None;
    for chunk in chunks {
        error = demuxer.push(chunk).err();
        items.extend(std::iter::from_fn(|| demuxer.poll()));
        if error.is_some() {
            break;
        }
    }
    let error = error.or_else(|| demuxer.finish().err());
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    (items, error, demuxer.stats())
}

fn check(items: &[FeedItem], stream: &[u8]) {
    let (mut codec, mut sound, mut began, mut bytes) = (None, false, false, 0);
    for item in items {
        match item {
            FeedItem::Config(TrackConfig::Video(config)) => codec = Some(config.codec),
            FeedItem::Config(TrackConfig::Audio(_)) => sound = true,
            FeedItem::Unit(unit) => {
                bytes += unit.data.len();
                match unit.track {
                    Track::Audio => assert!(sound && unit.keyframe && unit.pts == unit.dts && !unit.data.is_empty()),
                    Track::Video => {
                        picture(unit, codec.expect("a unit without a configuration"));
                        began |= unit.keyframe;
                        assert!(began);
                        assert!(unit.pts.since(unit.dts).abs() <= 10_000_000_001);
                    }
                }
            }
        }
    }
    // A start code of three bytes becomes a length of four.
    assert!(bytes <= stream.len() / 4 * 5 && items.len() <= stream.len() / 4, "{bytes} bytes, {} items", items.len());
}

fn picture(unit: &AccessUnit, codec: VideoCodec) {
    let (mut rest, mut pictures) = (&unit.data[..], 0);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (nal, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        assert!(!nal.windows(3).any(|bytes| bytes == [0, 0, 1]) && !nal.ends_with(&[0]));
        pictures += usize::from(match codec {
            VideoCodec::H264 => matches!(nal[0] & 31, 1..=5),
            VideoCodec::Hevc => nal[0] >> 1 & 63 < 32,
        });
        rest = behind;
    }
    assert!(rest.is_empty() && pictures > 0);
}

/// Packets with counters that mostly count, and tables with checksums that are right.
fn written(script: &mut Script) -> Vec<u8> {
    let (mut stream, mut counters) = (vec![], [0u8; PIDS.len()]);
    let video = script.of(&[0x1b, 0x24]);
    section(&mut stream, &mut counters, 0, vec![0, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0]);
    let streams = [video, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0];
    section(&mut stream, &mut counters, 1, [&[2, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0][..], &streams].concat());
    while !script.is_empty() && stream.len() < 60 * PACKET {
        let what = script.byte();
        let which = usize::from(what >> 3) % PIDS.len();
        match what & 7 {
            0 => stream.extend(script.bytes(usize::from(what >> 3))),
            1 => {
                let length = usize::from(script.byte() % 160);
                let table = which % 2;
                let kind = [0, 2][table];
                let body = [&[kind, 0xb0, 0, 0, 1, 0xc1, 0, 0][..], script.bytes(length)].concat();
                section(&mut stream, &mut counters, table, body);
            }
            2 => counters[which] = script.byte() & 15,
            // A PES packet begins with a time that is near.
            3 | 4 => {
                let length = usize::from(script.byte()).min(170);
                let time = script.byte();
                let head = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, time | 1, 1];
                packet(
                    &mut stream,
                    &mut counters,
                    2 + which % 2,
                    true,
                    &[&head[..], script.bytes(length)].concat(),
                    script.byte(),
                );
            }
            5 => {
                let length = usize::from(script.byte()).min(184);
                packet(&mut stream, &mut counters, which, true, script.bytes(length), script.byte());
            }
            _ => {
                let length = usize::from(script.byte()).min(184);
                packet(&mut stream, &mut counters, 2 + which % 2, false, script.bytes(length), 0);
            }
        }
    }
    stream
}

fn section(stream: &mut Vec<u8>, counters: &mut [u8], which: usize, mut section: Vec<u8>) {
    section[2] = (section.len() + 1) as u8;
    let mut crc = u32::MAX;
    for &byte in &section {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    section.extend(crc.to_be_bytes());
    section.insert(0, 0);
    section.resize(184, 0xff);
    packet(stream, counters, which, true, &section, 0);
}

fn packet(stream: &mut Vec<u8>, counters: &mut [u8], which: usize, start: bool, payload: &[u8], adaptation: u8) {
    let [high, low] = PIDS[which].to_be_bytes();
    let room = 184 - payload.len();
    let control = if room > 0 { 0x30 } else { 0x10 };
    stream.extend([0x47, if start { 0x40 } else { 0 } | high, low, control | counters[which]]);
    counters[which] = (counters[which] + 1) & 15;
    if room > 0 {
        stream.push(room as u8 - 1);
        if room > 1 {
            stream.push(adaptation);
            stream.resize(stream.len() + room - 2, 0xff);
        }
    }
    stream.extend(payload);
}
