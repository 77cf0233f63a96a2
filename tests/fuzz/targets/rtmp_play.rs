//! The play state machine behind a handshake: any bytes, and any messages in good chunks, at each step of a play.
//!
//! Events do not depend on how the bytes arrive. Each command is said once; media come only when the stream was asked for, a start once, and
//! nothing behind the end. What is said is RTMP that can be read, and small beside what was received. A refusal is short, printable, and
//! without the secret of the stream's name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::chunks::messages;
use weir_fuzz::memory::peak_of;
use weir_fuzz::publisher::{HANDSHAKE, handshake};
use weir_fuzz::said::{Said, check};
use weir_fuzz::script::{Script, pieces};
use weir_fuzz::server::{connected, created, started};
use weir_media::pull::PullUri;
use weir_media::rtmp::chunk::Limits;
use weir_media::rtmp::player::{Event, PlayRequest, Player};

const SECRET: &str = "hush";

/// What a player says beside the handshake and its answers to pings and windows: three commands and what goes with them.
const COMMANDS: usize = 1 << 10;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (mode, seed) = (script.byte(), script.byte());
    let before = match mode >> 1 & 3 {
        0 => vec![],
        1 => connected(),
        2 => [connected(), created()].concat(),
        _ => [connected(), created(), started()].concat(),
    };
    let wire = match mode & 1 {
        0 => [&before, script.rest()].concat(),
        _ => messages(&mut script, before),
    };
    let wire = [handshake(), wire].concat();
    let once = converse(&wire, 0);
    let cut = converse(&wire, seed);
    assert_eq!(once, cut, "split by {seed}");
});

/// What happened, in order; a failure among it.
fn converse(wire: &[u8], seed: u8) -> Vec<String> {
    let source = PullUri::parse(&format!("rtmp://server/live/name?{SECRET}")).expect("an address");
    let mut player = Player::new(PlayRequest::of(&source).expect("a stream"));
    let mut said = Said::default();
    let mut seen = Vec::with_capacity(wire.len());
    let (mut playing, mut over) = (false, false);
    let longest = pieces(wire, seed).map(<[u8]>::len).max().unwrap_or(0);
    for piece in [&[][..]].into_iter().chain(pieces(wire, seed)) {
        player.handle(piece);
        loop {
            let (outcome, peak) = peak_of(|| player.poll_event());
            let bound =
                2 * Limits::PUBLISHER.media + Limits::PUBLISHER.partial + 70 * wire.len() + 2 * longest + (64 << 10);
            assert!(peak <= bound, "{peak} bytes");
            said.take(&player.take_output());
            let event = match outcome {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    seen.push(format!("{error}"));
                    return seen;
                }
            };
            assert!(!over, "{event:?} behind the end");
            seen.push(format!("{event:?}"));
            let asked = said.commands.iter().any(|name| name == "play");
            match &event {
                Event::Started => {
                    assert!(asked && !playing);
                    playing = true;
                }
                Event::Media(media) => {
                    assert!(asked);
                    check(media);
                }
                Event::Refused(reason) => {
                    assert!(reason.chars().count() <= PlayRequest::LONGEST_REASON && !reason.is_empty());
                    assert!(!reason.contains(char::is_control) && !reason.contains(SECRET));
                    over = true;
                }
                Event::Ended => over = true,
            }
        }
        assert!(said.commands.len() <= 3, "{:?}", said.commands);
        assert!(said.length <= HANDSHAKE + COMMANDS + 4 * wire.len(), "{} bytes for {}", said.length, wire.len());
    }
    seen
}
