//! `AVCDecoderConfigurationRecord` with its sequence parameter set: any bytes, and records written by other code.
//!
//! Accepted means usable: size, aspect and rate within the documented range, the bytes kept as they came. A set that is written
//! by the standard reads back as what was written, however it was cropped, scaled or escaped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::bits::BitWriter;
use weir_fuzz::memory::peak_of;
use weir_fuzz::script::Script;
use weir_media::codec::avc::{self, AvcError};
use weir_media::codec::{MAX_EDGE, MAX_PIXELS, MIN_EDGE};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    if script.flag() { written(&mut script) } else { any(script.rest()) }
});

fn any(record: &[u8]) {
    let (read, peak) = peak_of(|| avc::parse(record));
    // A copy of the record and one of a parameter set.
    assert!(peak <= 2 * record.len() + 256, "{peak} bytes for {}", record.len());
    let Ok(read) = read else { return };
    assert!((MIN_EDGE..=MAX_EDGE).contains(&read.width) && (MIN_EDGE..=MAX_EDGE).contains(&read.height));
    assert!(read.pixel_aspect.0 > 0 && read.pixel_aspect.1 > 0);
    assert!(read.frame_rate.is_none_or(|rate| (1.0..=240.0).contains(&rate.as_f64())));
    assert_eq!(read.decoder_config, record);
    assert!(matches!(avc::length_size(record), 1 | 2 | 4));
}

/// Picture, aspect and rate that were written.
struct Written {
    coded: (i64, i64),
    width: i64,
    height: i64,
    aspect: (u32, u32),
    rate: Option<(u64, u64)>,
}

fn written(script: &mut Script) {
    let (sps, wished) = sequence_parameter_set(script);
    let length_size = script.of(&[1u8, 2, 4]);
    let mut record = vec![1, sps[1], sps[2], sps[3], 0xfc | (length_size - 1), 0xe1];
    record.extend((sps.len() as u16).to_be_bytes());
    record.extend(&sps);
    record.extend([1, 0, 2, 0x68, script.byte()]);
    record.extend(script.rest());

    let edges = i64::from(MIN_EDGE)..=i64::from(MAX_EDGE);
    match avc::parse(&record) {
        Ok(read) => {
            assert_eq!((i64::from(read.width), i64::from(read.height)), (wished.width, wished.height), "{record:02x?}");
            assert_eq!(read.pixel_aspect, wished.aspect, "{record:02x?}");
            match (read.frame_rate, wished.rate) {
                (Some(read), Some((num, den))) => {
                    assert_eq!(u128::from(read.num()) * u128::from(den), u128::from(read.den()) * u128::from(num))
                }
                (None, Some((num, den))) => assert!(den == 0 || num < den || num > 240 * den, "{num}/{den} is a rate"),
                (rate, None) => assert_eq!(rate, None),
            }
            assert_eq!(avc::length_size(&record), usize::from(length_size));
            assert_eq!(read.decoder_config, record);
        }
        Err(AvcError::Size { width, height }) => {
            let told = (i64::from(width), i64::from(height));
            if wished.coded.0 * wished.coded.1 > i64::from(MAX_PIXELS) {
                assert_eq!(told, wished.coded);
            } else {
                assert_eq!(told, (wished.width, wished.height));
                assert!(!edges.contains(&wished.width) || !edges.contains(&wished.height));
            }
        }
        Err(AvcError::Sps) => assert!(wished.width < 0 || wished.height < 0, "{}x{}", wished.width, wished.height),
        Err(error) => panic!("{error}: {record:02x?}"),
    }
}

/// `seq_parameter_set_rbsp` (7.3.2.1.1) in its NAL unit.
fn sequence_parameter_set(script: &mut Script) -> (Vec<u8>, Written) {
    let mut bits = BitWriter::default();
    let profile = script.of(&[66u32, 77, 88, 100, 110, 122, 244, 44]);
    bits.bits(8, profile).bits(8, script.byte().into()).bits(8, script.byte().into());
    bits.ue(u32::from(script.byte() % 32));
    let mut chroma = 1;
    if matches!(profile, 44 | 100 | 110 | 122 | 244) {
        chroma = script.byte() % 4;
        bits.ue(chroma.into());
        if chroma == 3 {
            bits.flag(script.flag());
        }
        bits.ue(u32::from(script.byte() % 7)).ue(u32::from(script.byte() % 7)).flag(script.flag());
        let matrix = script.flag();
        bits.flag(matrix);
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if !matrix {
                break;
            }
            let present = script.flag();
            bits.flag(present);
            if present {
                scaling_list(script, &mut bits, if list < 6 { 16 } else { 64 });
            }
        }
    }
    bits.ue(u32::from(script.byte() % 13));
    let order_type = script.byte() % 3;
    bits.ue(order_type.into());
    match order_type {
        0 => {
            bits.ue(u32::from(script.byte() % 13));
        }
        1 => {
            bits.flag(script.flag()).se(script.u32() as i32 >> 1).se(script.u16() as i16 as i32);
            let count = script.byte();
            bits.ue(count.into());
            for _ in 0..count {
                bits.se(i32::from(script.byte() as i8));
            }
        }
        _ => {}
    }
    bits.ue(u32::from(script.byte() % 17)).flag(script.flag());
    let (columns, rows) = (i64::from(script.u16() % 600), i64::from(script.u16() % 600));
    bits.ue(columns as u32).ue(rows as u32);
    let progressive = script.flag();
    bits.flag(progressive);
    if !progressive {
        bits.flag(script.flag());
    }
    bits.flag(script.flag());
    let fields = if progressive { 1 } else { 2 };
    let coded = ((columns + 1) * 16, (rows + 1) * 16 * fields);
    let (mut width, mut height) = coded;
    let cropped = script.flag();
    bits.flag(cropped);
    if cropped {
        let (unit_x, unit_y) = [(1, 1), (2, 2), (2, 1), (1, 1)][usize::from(chroma)];
        let crop: [u16; 4] = std::array::from_fn(|_| if script.flag() { script.u16() } else { script.byte().into() });
        for edge in crop {
            bits.ue(edge.into());
        }
        width -= (i64::from(crop[0]) + i64::from(crop[1])) * unit_x;
        height -= (i64::from(crop[2]) + i64::from(crop[3])) * unit_y * fields;
    }
    let mut wished = Written { coded, width, height, aspect: (1, 1), rate: None };
    let usability = script.flag();
    bits.flag(usability);
    if usability {
        usability_information(script, &mut bits, &mut wished);
    }
    bits.bits(1, 1);
    let mut unit = vec![0x67];
    unit.extend(escaped(&bits.into_bytes()));
    (unit, wished)
}

/// `vui_parameters` (E.1.1) up to the timing.
fn usability_information(script: &mut Script, bits: &mut BitWriter, wished: &mut Written) {
    const ASPECTS: [(u32, (u32, u32)); 6] =
        [(0, (1, 1)), (1, (1, 1)), (2, (12, 11)), (4, (16, 11)), (13, (160, 99)), (16, (2, 1))];
    let aspect = script.flag();
    bits.flag(aspect);
    if aspect {
        if script.flag() {
            let (x, y) = (u32::from(script.u16()), u32::from(script.u16()));
            bits.bits(8, 255).bits(16, x).bits(16, y);
            wished.aspect = if x == 0 || y == 0 { (1, 1) } else { (x, y) };
        } else {
            let (index, aspect) = script.of(&ASPECTS);
            bits.bits(8, index);
            wished.aspect = aspect;
        }
    }
    let overscan = script.flag();
    bits.flag(overscan);
    if overscan {
        bits.flag(script.flag());
    }
    let signal = script.flag();
    bits.flag(signal);
    if signal {
        let colours = script.flag();
        bits.bits(3, 5).flag(script.flag()).flag(colours);
        if colours {
            bits.bits(8, script.byte().into()).bits(8, script.byte().into()).bits(8, script.byte().into());
        }
    }
    let chroma_place = script.flag();
    bits.flag(chroma_place);
    if chroma_place {
        bits.ue(u32::from(script.byte() % 6)).ue(u32::from(script.byte() % 6));
    }
    let timing = script.flag();
    bits.flag(timing);
    if timing {
        let scale = |script: &mut Script| if script.flag() { script.u32() } else { script.byte().into() };
        let (tick, scale) = (scale(script), scale(script));
        bits.bits(32, tick).bits(32, scale).flag(script.flag());
        wished.rate = Some((scale.into(), 2 * u64::from(tick)));
    }
}

/// `scaling_list` (7.3.2.1.1.1): deltas until the list ends or a scale of 0 says that the rest repeats.
fn scaling_list(script: &mut Script, bits: &mut BitWriter, size: usize) {
    let mut scale = 8u8;
    for _ in 0..size {
        let delta = script.byte() as i8;
        bits.se(delta.into());
        scale = scale.wrapping_add(delta as u8);
        if scale == 0 {
            break;
        }
    }
}

/// With the emulation prevention byte wherever three bytes would look like a start code (7.4.1).
fn escaped(plain: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = vec![];
    for &byte in plain {
        if byte <= 3 && out.ends_with(&[0, 0]) {
            out.push(3);
        }
        out.push(byte);
    }
    out
}
