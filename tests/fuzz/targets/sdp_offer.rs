//! WHIP offers and fragments: any bytes, and an offer of a browser with lines cut, doubled and changed.
//!
//! What is let through has no candidate left, is no longer than what came, and is let through again unchanged. An error repeats nothing of what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_media::sdp::fragment::{MAX_FRAGMENT, fragment};
use weir_media::sdp::{MAX_OFFER, MOST_CANDIDATES, offer};

const OFFER: &str = include_str!("../../webrtc/offer.sdp");

fuzz_target!(|input: &[u8]| {
    let Some((&way, rest)) = input.split_first() else { return };
    match way % 4 {
        0 => check_fragment(rest),
        1 => check(rest),
        // Bytes of the input choose what happens to which line; what is behind them is put in.
        _ => check(&changed(rest)),
    }
});

fn check(body: &[u8]) {
    let (read, peak) = peak_of(|| offer(body));
    assert!(peak <= 4 * body.len() + 4096, "{peak} bytes for {}", body.len());
    match read {
        Ok(offer) => {
            assert!(body.len() <= MAX_OFFER);
            assert!(!offer.sdp().lines().any(|line| line.starts_with("a=candidate")));
            let again = weir_media::sdp::offer(offer.sdp().as_bytes());
            assert!(offer.sdp().len() > MAX_OFFER || again.is_ok_and(|again| again == offer));
        }
        Err(error) => assert!(error.to_string().len() < 100),
    }
}

fn check_fragment(body: &[u8]) {
    if let Ok(fragment) = fragment(body) {
        assert!(body.len() <= MAX_FRAGMENT && fragment.candidates <= MOST_CANDIDATES);
    }
}

fn changed(script: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = OFFER.lines().map(|line| line.as_bytes().to_vec()).collect();
    for step in script.chunks(6).take(16) {
        let &[what, at, ref text @ ..] = step else { break };
        let at = usize::from(at) % lines.len();
        match what % 4 {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => lines[at].extend_from_slice(text),
            _ => {
                let end = lines[at].len().min(text.len());
                lines[at][..end].copy_from_slice(&text[..end]);
            }
        }
    }
    lines.join(&b"\r\n"[..])
}
