//! `AudioSpecificConfig`: any bytes, and configurations written by other code.
//!
//! Accepted means usable: rate and channels within the documented range, the bytes kept as they came. A configuration that is
//! written by the standard reads back as what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::bits::BitWriter;
use weir_fuzz::memory::peak_of;
use weir_fuzz::script::Script;
use weir_media::codec::aac;

const RATES: [u32; 13] = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    if script.flag() { written(&mut script) } else { any(script.rest()) }
});

fn any(config: &[u8]) {
    let (read, peak) = peak_of(|| aac::parse(config));
    assert!(peak <= config.len() + 256, "{peak} bytes for {}", config.len());
    if let Ok(read) = read {
        assert!((7350..=96000).contains(&read.sample_rate), "{} Hz", read.sample_rate);
        assert!((1..=8).contains(&read.channels), "{} channels", read.channels);
        assert_eq!(read.decoder_config, config);
    }
}

fn written(script: &mut Script) {
    let object_type = script.of(&[1, 2, 4, 17, 23, 39]);
    let extension = script.of(&[0, 0, 5, 29]);
    let (rate_index, explicit_rate) = (script.byte() % 13, script.flag());
    let mut bits = BitWriter::default();
    let rate = |bits: &mut BitWriter| {
        if explicit_rate {
            bits.bits(4, 15).bits(24, RATES[usize::from(rate_index)]);
        } else {
            bits.bits(4, rate_index.into());
        }
    };
    write_type(&mut bits, if extension > 0 { extension } else { object_type });
    rate(&mut bits);
    let (layout, mut channels) =
        script.of(&[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8), (11, 7), (12, 8), (14, 8)]);
    bits.bits(4, layout);
    if extension > 0 {
        rate(&mut bits);
        write_type(&mut bits, object_type);
    }
    bits.flag(script.flag());
    let depends = script.flag();
    bits.flag(depends);
    if depends {
        bits.bits(14, script.u16().into());
    }
    bits.flag(script.flag());
    if layout == 0 {
        bits.bits(4, 0).bits(2, 1).bits(4, 3);
        let elements = [script.byte() % 16, script.byte() % 16, script.byte() % 16];
        let low_frequency = script.byte() % 4;
        for count in elements {
            bits.bits(4, count.into());
        }
        bits.bits(2, low_frequency.into()).bits(3, script.byte().into()).bits(4, script.byte().into());
        for length in [4, 4, 3] {
            let mixdown = script.flag();
            bits.flag(mixdown);
            if mixdown {
                bits.bits(length, script.byte().into());
            }
        }
        channels = low_frequency;
        for _ in 0..elements.iter().sum() {
            let pair = script.flag();
            bits.flag(pair).bits(4, script.byte().into());
            channels += 1 + u8::from(pair);
        }
    }
    let config = bits.into_bytes();
    match aac::parse(&config) {
        Ok(read) => {
            assert_eq!((read.sample_rate, read.channels), (RATES[usize::from(rate_index)], channels), "{config:02x?}");
            assert_eq!(read.decoder_config, config);
        }
        Err(error) => {
            assert!(error == aac::AacError::Channels && !(1..=8).contains(&channels), "{error}: {config:02x?}")
        }
    }
}

fn write_type(bits: &mut BitWriter, object_type: u32) {
    if object_type < 31 {
        bits.bits(5, object_type);
    } else {
        bits.bits(5, 31).bits(6, object_type - 32);
    }
}
