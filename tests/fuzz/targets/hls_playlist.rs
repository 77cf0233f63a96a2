//! Playlists of HLS: any bytes, and lines of one; several loads of a live one, and what a client does with them.
//!
//! What is read takes memory in proportion to the text. Segments are numbered without a hole, ranges do not overflow, and a client that
//! follows the loads asks for segments of growing numbers, but for a list that begins anew, and never waits for ever.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_media::hls::follow::{Follow, Step};
use weir_media::hls::playlist::{Media, Playlist};

fuzz_target!(|input: &[u8]| {
    let (mut follow, mut now, mut listed) = (Follow::default(), Instant::now(), 0);
    // Loads are separated by a byte that no playlist has; the mark is understood.
    for (number, load) in input.split(|&byte| byte == 0).take(8).enumerate() {
        let text =
            if number == 0 && load.starts_with(b"#EXTM3U") { load.to_vec() } else { [b"#EXTM3U\n", load].concat() };
        let (read, peak) = peak_of(|| Playlist::parse(&text));
        assert!(peak <= 200 * text.len() + (16 << 10), "{peak} bytes for {}", text.len());
        match read {
            Ok(Playlist::Media(media)) => {
                check(&media);
                listed += media.segments.len();
                follow.loaded(media, now, now);
                now = fetch(&mut follow, listed, now);
            }
            Ok(Playlist::Master(master)) => assert!(master.choose().is_some()),
            Err(error) => assert!(error.to_string().len() < 100),
        }
    }
});

fn check(media: &Media) {
    for (segment, ahead) in media.segments.iter().zip(0..) {
        assert_eq!(segment.sequence, media.sequence + ahead);
        if let Some(range) = segment.range {
            assert!(range.length > 0 && range.end() > range.offset);
        }
    }
    assert!(media.target_duration >= Duration::from_secs(1));
}

/// Fetches of what was listed in all, failing at every fifth, until the next load.
fn fetch(follow: &mut Follow, listed: usize, mut now: Instant) -> Instant {
    let most = 10 * listed + 4;
    let mut last = None;
    for turn in 0..=most {
        assert!(turn < most, "it does not come to an end");
        match follow.step(now) {
            Step::Load | Step::Ended => break,
            Step::Wait(until) => {
                assert!(until > now && until <= now + Duration::from_secs(60));
                now = until;
            }
            Step::Fetch(next) => {
                assert!(!next.segment.gap && last.is_none_or(|last| next.segment.sequence >= last));
                last = Some(next.segment.sequence);
                if next.segment.sequence % 5 == 4 {
                    follow.failed(now);
                } else {
                    follow.done();
                }
            }
        }
    }
    now
}
