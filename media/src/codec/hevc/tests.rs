use super::*;
use proptest::prelude::*;

// Records that x265 wrote, without its supplemental information, and what it was told to encode.
const MAIN_ANAMORPHIC: &str = "0101600000009000000000003cf000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003003c959409210001\
    002942010101600000030090000003000003003ca00a080c1f3e595952930bc39a02000007d20000ea601022000100064401c073c189";
const PORTRAIT_422_10: &str = "0104080000009d08000000005df002fffefafa00001303200001001b40010c02ffff0408000003009d0800000300005d00009598acc048\
    21000100404201020408000003009d0800000300005d0000b004c200439d6d965662b349272bc05a0200000300020000030064c01930dc\
    003d08000f425c003d08000f424422000100074401c172b46240";
const FIELDS_1080: &str = "01016000000040000000000078f000fcfdf8f800000f03200001001840010c01ffff016000000300400000030000030078959409210001\
    002b420101016000000300400000030000030078a003c0801107cb965654a4c2f0168680000003008000000c8422000100064401c073c1\
    89";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The three kinds of sets in a record that holds one of each.
fn sets(record: &[u8]) -> [Vec<u8>; 3] {
    let mut at = FIXED;
    std::array::from_fn(|_| {
        let length = usize::from(u16::from_be_bytes([record[at + 3], record[at + 4]]));
        at += 5 + length;
        record[at - length..at].to_vec()
    })
}

#[test]
fn size_aspect_and_rate_are_what_the_encoder_was_told() {
    for (hex, size, aspect, rate) in [
        (MAIN_ANAMORPHIC, (320, 180), (4, 3), (30000, 1001)),
        (PORTRAIT_422_10, (606, 1080), (1, 1), (50, 1)),
        (FIELDS_1080, (1920, 1080), (1, 1), (25, 1)),
    ] {
        let config = parse(&bytes(hex)).unwrap();
        assert_eq!((config.width, config.height), size);
        assert_eq!(config.pixel_aspect, aspect);
        assert_eq!(config.frame_rate, FrameRate::new(rate.0, rate.1));
        assert_eq!(config.decoder_config, bytes(hex));
        assert_eq!(length_size(&config.decoder_config), 4);
    }
}

#[test]
fn a_record_out_of_sets_is_the_encoders_own() {
    for hex in [MAIN_ANAMORPHIC, PORTRAIT_422_10, FIELDS_1080] {
        let [video, sequence, picture] = sets(&bytes(hex));
        let mut written = record(&[&video], &[&sequence], &[&picture]).unwrap();
        assert_eq!(parse(&written).map(|config| config.codec), Ok(VideoCodec::Hevc));
        // But for segmentation and parallelism, which serve a decoder of many threads.
        written[13..16].copy_from_slice(&bytes(hex)[13..16]);
        assert_eq!(written, bytes(hex));
    }
}

#[test]
fn each_defect_has_its_error() {
    let good = bytes(MAIN_ANAMORPHIC);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        parse(&bad).unwrap_err()
    };
    assert_eq!(parse(&[]).unwrap_err(), HevcError::Truncated);
    assert_eq!(parse(&good[..60]).unwrap_err(), HevcError::Truncated);
    assert_eq!(with(0, 0), HevcError::Version(0));
    assert_eq!(with(21, 0xfe), HevcError::LengthSize);
    assert_eq!(with(22, 2), HevcError::MissingSet);
    assert_eq!(record(&[&good], &[] as &[Vec<u8>], &[&good]).unwrap_err(), HevcError::MissingSet);
    assert_eq!(record(&[&good], &[&good], &[&good]).unwrap_err(), HevcError::Sps);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(record in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&record);
        let _ = super::record(&[&record], &[&record], &[&record]);
    }

    #[test]
    fn no_damage_makes_it_panic_or_exceed_the_cap(
        which in 0usize..3,
        damage in prop::collection::vec((0usize..120, any::<u8>()), 1..6),
    ) {
        let mut record = bytes([MAIN_ANAMORPHIC, PORTRAIT_422_10, FIELDS_1080][which]);
        for (at, byte) in damage {
            if let Some(target) = record.get_mut(at) {
                *target = byte;
            }
        }
        if let Ok(config) = parse(&record) {
            prop_assert!(config.width <= MAX_EDGE && config.height <= MAX_EDGE);
            prop_assert!(config.pixel_aspect.0 > 0 && config.pixel_aspect.1 > 0);
        }
    }
}
