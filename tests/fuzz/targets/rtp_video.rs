//! RTP packets of an H.264 track, in and out of order, and their place in time.
//!
//! Pictures come out in whole length-prefixed units, the first of them a keyframe; times never panic; what is held is bounded.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use weir_media::access_unit::Track;
use weir_media::rtp::Packet;
use weir_media::rtp::clock::Timeline;
use weir_media::rtp::video::VideoReader;

fuzz_target!(|input: &[u8]| {
    let (mut reader, mut timeline) = (VideoReader::default(), Timeline::new(90_000, 48_000));
    let (mut now, mut sequence, mut timestamp, mut rest) = (Instant::now(), 0u16, 0u32, input);
    let mut begun = false;
    // Each packet: flags, how far numbers and clock move on, length, payload.
    while let [flags, step, gap, length, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        sequence = sequence.wrapping_add_signed(i16::from(*step as i8));
        if flags & 2 != 0 {
            timestamp = timestamp.wrapping_add(3000 << (flags >> 4));
        }
        now += Duration::from_millis(u64::from(*gap) * 4);
        if flags & 4 != 0 {
            timeline.report(Track::Video, u64::from(timestamp) << 20, timestamp);
        }
        let payload = payload.to_vec().into();
        reader.push(Packet { sequence, timestamp, marker: flags & 1 != 0, payload }, now);
        loop {
            match reader.poll(now) {
                Ok(Some((at, picture))) => {
                    assert!(begun || picture.keyframe && picture.config.is_some());
                    begun = true;
                    whole(&picture.data);
                    timeline.place(Track::Video, at, now);
                }
                Ok(None) => break,
                Err(error) => return assert!(error.to_string().len() < 200),
            }
        }
    }
    let stats = reader.stats();
    assert!(stats.packets.received as usize <= input.len());
});

/// Length fields lead exactly to the end.
fn whole(mut data: &[u8]) {
    while let Some((length, rest)) = data.split_first_chunk() {
        data = &rest[u32::from_be_bytes(*length) as usize..];
    }
    assert!(data.is_empty());
}
