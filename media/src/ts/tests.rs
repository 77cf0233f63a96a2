//! Streams written by hand, for what no encoder writes on purpose.

use super::*;
use crate::access_unit::{AccessUnit, Track as Kind};
use crate::codec::VideoCodec;
use crate::time::Timestamp;
use bytes::Bytes;
use proptest::prelude::*;

const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xc1,
    0x8c, 0xb0,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
const IDR: &[u8] = &[0x65, 0x88, 0x80];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const MAP: u16 = 0x1000;

/// A multiplexer that writes what it is told.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    counters: std::collections::HashMap<u16, u8>,
}

impl Writer {
    /// A packet; its payload may be shorter than there is room.
    fn packet(&mut self, pid: u16, start: bool, payload: &[u8], adaptation: Option<u8>) -> &mut Self {
        let counter = self.counters.entry(pid).or_default();
        let room = 188 - 4 - payload.len();
        let flags = if start { 0x40 } else { 0 } | (pid >> 8) as u8;
        let stuffed = room > 0 || adaptation.is_some();
        self.bytes.extend([0x47, flags, pid as u8, if stuffed { 0x30 } else { 0x10 } | *counter]);
        *counter = (*counter + 1) & 15;
        if stuffed {
            self.bytes.push(room as u8 - 1);
            if room > 1 {
                self.bytes.push(adaptation.unwrap_or(0));
                self.bytes.resize(self.bytes.len() + room - 2, 0xff);
            }
        }
        self.bytes.extend(payload);
        self
    }

    fn section(&mut self, pid: u16, mut section: Vec<u8>) -> &mut Self {
        section[2] = (section.len() + 4 - 3) as u8;
        section.extend(psi::checksum(&section).to_be_bytes());
        section.insert(0, 0);
        section.resize(184, 0xff);
        self.packet(pid, true, &section, None)
    }

    fn table(&mut self, programs: &[(u16, u16)]) -> &mut Self {
        let mut section = vec![0, 0xb0, 0, 0, 1, 0xc1, 0, 0];
        section.extend(
            programs.iter().flat_map(|(number, pid)| [number.to_be_bytes(), (0xe000 | pid).to_be_bytes()].concat()),
        );
        self.section(0, section)
    }

    fn map(&mut self, pid: u16, number: u16, streams: &[(u8, u16)]) -> &mut Self {
        let [high, low] = number.to_be_bytes();
        let mut section = vec![2, 0xb0, 0, high, low, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0];
        section.extend(
            streams.iter().flat_map(|(kind, pid)| [&[*kind][..], &(0xe000 | pid).to_be_bytes(), &[0xf0, 0]].concat()),
        );
        self.section(pid, section)
    }

    fn tables(&mut self) -> &mut Self {
        self.table(&[(1, MAP)]).map(MAP, 1, &[(0x1b, VIDEO), (0x0f, AUDIO)])
    }

    /// A PES packet over as many packets as it needs; `length` is announced.
    fn pes(&mut self, pid: u16, time: Option<u64>, length: u16, body: &[u8]) -> &mut Self {
        let mut pes = vec![0, 0, 1, if pid == VIDEO { 0xe0 } else { 0xc0 }];
        pes.extend(length.to_be_bytes());
        match time {
            Some(pts) => {
                pes.extend([0x80, 0x80, 5, 0x21 | (pts >> 29) as u8 & 14, (pts >> 22) as u8]);
                pes.extend([(pts >> 14) as u8 | 1, (pts >> 7) as u8, (pts << 1) as u8 | 1]);
            }
            None => pes.extend([0x80, 0, 0]),
        }
        pes.extend(body);
        for (n, payload) in pes.chunks(184).enumerate() {
            self.packet(pid, n == 0, payload, None);
        }
        self
    }

    fn picture(&mut self, time: u64, units: &[&[u8]]) -> &mut Self {
        self.pes(VIDEO, Some(time), 0, &annex_b(units))
    }

    fn key(&mut self, time: u64) -> &mut Self {
        self.picture(time, &[SPS, PPS, IDR])
    }

    fn sound(&mut self, time: Option<u64>, body: &[u8]) -> &mut Self {
        let head = if time.is_some() { 8 } else { 3 };
        self.pes(AUDIO, time, body.len() as u16 + head, body)
    }
}

fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect()
}

/// An ADTS frame of AAC LC, 48 kHz, stereo.
fn adts(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() + 7;
    let head = [0xff, 0xf1, 0x4c, 0x80 | (length >> 11) as u8, (length >> 3) as u8, (length << 5) as u8 | 0x1f, 0xfc];
    [&head[..], payload].concat()
}

/// Units and counters of a stream.
fn read(writer: &Writer) -> (Vec<AccessUnit>, TsStats) {
    try_read(writer).unwrap()
}

fn try_read(writer: &Writer) -> Result<(Vec<AccessUnit>, TsStats), TsError> {
    let mut demuxer = Demuxer::default();
    demuxer.push(&writer.bytes)?;
    demuxer.finish()?;
    let items = std::iter::from_fn(|| demuxer.poll());
    let units = items.filter_map(|item| if let FeedItem::Unit(unit) = item { Some(unit) } else { None }).collect();
    Ok((units, demuxer.stats()))
}

fn times(units: &[AccessUnit], track: Kind) -> Vec<i64> {
    let of_track = units.iter().filter(|unit| unit.track == track);
    of_track.map(|unit| (unit.pts.as_nanos() * 9 + 50_000) / 100_000).collect()
}

#[test]
fn a_unit_in_several_pes_packets_is_one() {
    let mut writer = Writer::default();
    writer.tables().key(9000);
    // Each slice in a packet of its own: with the same time, and without one.
    writer
        .pes(VIDEO, Some(9000), 0, &annex_b(&[SLICE]))
        .pes(VIDEO, None, 0, &annex_b(&[SLICE]))
        .picture(12600, &[SLICE]);
    let (units, stats) = read(&writer);
    assert_eq!(times(&units, Kind::Video), [9000, 12600]);
    assert_eq!(units[0].data.len(), 5 * 4 + SPS.len() + PPS.len() + IDR.len() + 2 * SLICE.len());
    assert_eq!((stats.damaged_units, stats.skipped_units), (0, 0));
}

#[test]
fn a_head_may_stretch_over_packets() {
    let mut writer = Writer::default();
    writer.tables();
    let mut other = Writer::default();
    other.pes(VIDEO, Some(9000), 0, &annex_b(&[SPS, PPS, IDR]));
    let pes = other.bytes[188 - 14 - annex_b(&[SPS, PPS, IDR]).len()..].to_vec();
    for (n, piece) in pes.chunks(4).enumerate() {
        writer.packet(VIDEO, n == 0, piece, None);
    }
    writer.picture(12600, &[SLICE]);
    let (units, stats) = read(&writer);
    assert_eq!(times(&units, Kind::Video), [9000, 12600]);
    assert_eq!((stats.damaged_units, stats.continuity_errors), (0, 0));
}

#[test]
fn many_pictures_in_a_packet_are_refused() {
    const DELIMITER: &[u8] = &[9, 0xf0];
    let mut writer = Writer::default();
    // Two fields are one picture's.
    writer.tables().picture(9000, &[DELIMITER, SPS, PPS, IDR, DELIMITER, SLICE]).picture(12600, &[SLICE]);
    assert_eq!(read(&writer).0.len(), 2);
    writer.picture(16200, &[DELIMITER, SLICE, DELIMITER, SLICE, DELIMITER, SLICE]);
    assert_eq!(try_read(&writer), Err(TsError::Crowded));
}

#[test]
fn frames_of_sound_need_not_keep_to_packets() {
    let frames: Vec<u8> = (0..6u8).flat_map(|n| adts(&[n; 40])).collect();
    let mut writer = Writer::default();
    writer
        .tables()
        .sound(Some(90_000), &frames[..100])
        .sound(Some(96_000), &frames[100..150])
        .sound(None, &frames[150..]);
    let (units, stats) = read(&writer);
    // The fourth frame is the first that begins behind the second time.
    assert_eq!(times(&units, Kind::Audio), [90_000, 91_920, 93_840, 96_000, 97_920, 99_840]);
    assert_eq!(units.iter().map(|unit| unit.data[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(stats.damaged_units, 0);
}

#[test]
fn sound_joined_within_a_frame_waits_for_the_next() {
    let frames: Vec<u8> = (0..6u8).flat_map(|n| adts(&[n; 40])).collect();
    let mut writer = Writer::default();
    writer.tables().sound(Some(90_000), &frames[20..]);
    let (units, stats) = read(&writer);
    assert_eq!(units.iter().map(|unit| unit.data[0]).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(times(&units, Kind::Audio)[0], 90_000);
    assert_eq!(stats.damaged_units, 0);
}

#[test]
fn a_hole_in_sound_costs_what_is_behind_it_in_its_packet() {
    let frames: Vec<u8> = (0..20u8).flat_map(|n| adts(&[n; 40])).collect();
    let mut writer = Writer::default();
    writer.tables().sound(Some(90_000), &frames).sound(Some(128_400), &frames);
    // The third packet of the first.
    writer.bytes.drain(188 * 4..188 * 5);
    let (units, stats) = read(&writer);
    // 170 and 184 bytes are there: seven frames of 47.
    assert_eq!(units.len(), 7 + 20);
    assert_eq!(times(&units, Kind::Audio)[6..8], [101_520, 128_400]);
    assert_eq!((stats.damaged_units, stats.continuity_errors), (1, 1));
}

#[test]
fn sound_in_several_blocks_is_refused() {
    let mut writer = Writer::default();
    let mut frame = adts(&[1; 40]);
    frame[6] |= 1;
    writer.tables().sound(Some(0), &frame);
    assert_eq!(try_read(&writer), Err(TsError::Codec("AAC with several blocks in a frame".to_owned())));
}

#[test]
fn a_packet_shorter_than_announced_is_damaged() {
    let mut writer = Writer::default();
    writer.tables().key(9000).pes(VIDEO, Some(12600), 500, &annex_b(&[SLICE])).picture(16200, &[SLICE]).key(19800);
    let (units, stats) = read(&writer);
    assert_eq!(times(&units, Kind::Video), [9000, 19800]);
    assert_eq!((stats.damaged_units, stats.skipped_units), (1, 1));
}

#[test]
fn an_announced_jump_at_a_start_costs_nothing() {
    let mut writer = Writer::default();
    writer.tables().key(9000).picture(12600, &[SLICE]);
    writer.counters.insert(VIDEO, 9);
    let body = annex_b(&[SPS, PPS, IDR]);
    let mut other = Writer::default();
    other.pes(VIDEO, Some(5_000_000), 0, &body);
    let pes = other.bytes[188 - 14 - body.len()..].to_vec();
    writer.packet(VIDEO, true, &pes, Some(0x80));
    let (units, stats) = read(&writer);
    assert_eq!(times(&units, Kind::Video), [9000, 12600, 5_000_000]);
    assert_eq!((stats.discontinuities, stats.continuity_errors, stats.damaged_units), (1, 0, 0));
}

#[test]
fn an_encoder_that_marks_no_refresh_is_believed_its_random_access() {
    const INTRA: &[u8] = &[0x41, 0xb0, 0x02];
    for (slice, indicator, keys) in [(INTRA, 0x40, 1), (SLICE, 0x40, 0), (INTRA, 0, 0)] {
        let body = annex_b(&[SPS, PPS, slice]);
        let mut other = Writer::default();
        other.pes(VIDEO, Some(9000), 0, &body);
        let pes = other.bytes[188 - 14 - body.len()..].to_vec();
        let mut writer = Writer::default();
        writer.tables().packet(VIDEO, true, &pes, Some(indicator));
        let (units, _) = read(&writer);
        assert_eq!(units.iter().filter(|unit| unit.keyframe).count(), keys, "{slice:x?} {indicator:x}");
    }
}

#[test]
fn a_damaged_table_is_not_the_last_word() {
    let mut writer = Writer::default();
    writer.tables();
    writer.bytes[188 + 20] ^= 1;
    writer.tables().key(9000);
    assert_eq!(read(&writer).0.len(), 1);
}

#[test]
fn a_map_that_takes_the_tables_pids_takes_nothing() {
    let mut writer = Writer::default();
    writer.table(&[(1, MAP)]).map(MAP, 1, &[(0x1b, 0), (0x0f, 0x1fff), (0x1b, VIDEO)]).key(9000);
    assert_eq!(read(&writer).0.len(), 1);
}

#[test]
fn programs_are_chosen_by_their_pictures() {
    let mut writer = Writer::default();
    // The second map comes first; the first has MPEG-2 only.
    writer.table(&[(1, MAP), (2, MAP + 1)]).map(MAP, 1, &[(0x02, 0x200)]).map(MAP + 1, 2, &[(0x1b, VIDEO)]).key(9000);
    assert_eq!(read(&writer).0.len(), 1);
    // Where none can be decoded, the operator hears of it once all are known.
    let mut writer = Writer::default();
    writer.table(&[(1, MAP), (2, MAP + 1)]).map(MAP, 1, &[(0x02, 0x200)]);
    assert!(try_read(&writer).is_ok());
    writer.map(MAP + 1, 2, &[(0x0f, AUDIO)]);
    assert_eq!(try_read(&writer), Err(TsError::Codec("MPEG-2 video".to_owned())));
}

#[test]
fn a_unit_over_the_bound_is_dropped_and_counted() {
    let mut writer = Writer::default();
    writer.tables().key(9000).picture(12600, &[SLICE, &vec![0xaa; video::LONGEST]]).picture(16200, &[SLICE]).key(19800);
    let (units, stats) = read(&writer);
    assert_eq!(times(&units, Kind::Video), [9000, 19800]);
    assert_eq!((stats.damaged_units, stats.skipped_units), (1, 1));
}

#[test]
fn runaway_timestamps_end_before_they_overflow() {
    let mut writer = Writer::default();
    writer.tables();
    for step in 0..30_000u64 {
        writer.pes(VIDEO, Some(step.wrapping_mul(0xffff_fff0) & 0x1_ffff_ffff), 0, &annex_b(&[SLICE]));
    }
    assert_eq!(try_read(&writer), Err(TsError::Timestamp));
}

#[test]
fn times_that_no_picture_has_are_left_out() {
    let mut clock = Clock::default();
    assert_eq!(clock.unroll(1 << 32, Some(0)), Ok(None));
    let wrapped = clock.unroll(10, Some((1 << 33) - 10)).unwrap().unwrap();
    assert_eq!(wrapped.pts.since(wrapped.dts) / 10, 22_222);
    assert_eq!(clock.unroll(0, None).unwrap().unwrap().pts, Timestamp::from_nanos(95_443_717_688_888));
}

#[test]
fn unusable_sets_are_an_error_only_before_the_first_configuration() {
    let cut = &SPS[..6];
    let mut writer = Writer::default();
    writer.tables().picture(9000, &[cut, PPS, IDR]);
    assert_eq!(try_read(&writer), Err(TsError::Avc(avc::AvcError::Sps)));
    let mut writer = Writer::default();
    writer.tables().key(9000).picture(12600, &[cut, PPS, IDR]).key(16200);
    let (units, stats) = read(&writer);
    assert_eq!(units.len(), 3);
    assert_eq!(stats.damaged_units, 1);
}

proptest! {
    #[test]
    fn no_packets_make_it_panic(
        packets in prop::collection::vec((0usize..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..184), any::<Option<u8>>()), 0..60),
    ) {
        let mut writer = Writer::default();
        writer.tables().key(9000);
        for (which, start, payload, adaptation) in packets {
            writer.packet([0, MAP, VIDEO, AUDIO][which], start, &payload[..payload.len().min(182)], adaptation);
        }
        let _ = try_read(&writer);
    }
}

#[test]
fn another_codec_begins_without_the_configuration_of_the_one_before() {
    let config = avc::parse(&avc::record(&[Bytes::from_static(SPS)], &[Bytes::from_static(PPS)])).unwrap();
    assert_eq!(video::Video::new(VideoCodec::H264, Some(config.clone())).config(), Some(&config));
    assert_eq!(video::Video::new(VideoCodec::Hevc, Some(config)).config(), None);
}
