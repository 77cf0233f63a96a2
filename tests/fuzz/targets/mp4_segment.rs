//! Fragmented MP4: any initialization section and segments by it.
//!
//! What comes out is bounded by what went in, and so is what is allocated meanwhile, but for a table of samples. A picture comes only behind a
//! configuration and from a keyframe on; its data are whole NAL units. Two times of a unit are at most 10 s apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;
use weir_media::mp4::{Mp4Error, Reader};

/// What a run of samples without bytes may take.
const TABLE: usize = 4 << 20;

fuzz_target!(|input: &[u8]| {
    // Two bytes say how long the initialization section is; behind it are segments, each as long as two bytes say.
    let (init, mut rest) = piece(input);
    let (reader, peak) = peak_of(|| Reader::new(init));
    assert!(peak <= 64 * init.len() + (16 << 10), "{peak} bytes for {}", init.len());
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return told(&error),
    };
    let (mut configured, mut begun) = ([false; 2], false);
    while !rest.is_empty() {
        let (segment, behind) = piece(rest);
        rest = behind;
        let mut items = vec![];
        let (read, peak) = peak_of(|| reader.read(segment, |item| items.push(item)));
        assert!(peak <= 100 * segment.len() + TABLE, "{peak} bytes for {}", segment.len());
        let mut bytes = 0;
        for item in &items {
            match item {
                FeedItem::Config(TrackConfig::Video(_)) => configured[0] = true,
                FeedItem::Config(TrackConfig::Audio(_)) => configured[1] = true,
                FeedItem::Unit(unit) => {
                    bytes += unit.data.len();
                    assert!(!unit.data.is_empty() && unit.pts.since(unit.dts).abs() <= 10_000_000_001);
                    match unit.track {
                        Track::Audio => assert!(configured[1] && unit.keyframe),
                        Track::Video => {
                            begun |= unit.keyframe;
                            assert!(configured[0] && begun);
                            whole(&unit.data);
                        }
                    }
                }
            }
        }
        // A length of one byte, or a start code of three within a unit, becomes one of four.
        assert!(bytes <= 4 * segment.len(), "{bytes} bytes of {}", segment.len());
        if let Err(error) = read {
            told(&error);
            reader.hole();
            begun = false;
        }
    }
});

fn piece(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = input.split_first_chunk() else { return (input, &[]) };
    rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()))
}

fn told(error: &Mp4Error) {
    assert!(!error.to_string().is_empty() && error.to_string().len() < 200);
}

/// Length fields lead exactly to the end.
fn whole(mut data: &[u8]) {
    while let Some((length, rest)) = data.split_first_chunk() {
        data = &rest[u32::from_be_bytes(*length) as usize..];
    }
    assert!(data.is_empty());
}
