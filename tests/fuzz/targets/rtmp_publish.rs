//! The publish state machine behind a handshake: any bytes, and any messages in good chunks, with any decisions.
//!
//! Events do not depend on how the bytes arrive. One publish is asked for, media come only while it is granted and never behind
//! the end. Every reply is RTMP that can be read, and small beside what was received. The agent's name is printable and short, and
//! nothing printed holds the token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::chunks::messages;
use weir_fuzz::memory::peak_of;
use weir_fuzz::publisher::{HANDSHAKE, connect, handshake};
use weir_fuzz::said::{Said, check};
use weir_fuzz::script::{Script, pieces};
use weir_media::rtmp::chunk::Limits;
use weir_media::rtmp::session::{Event, Session};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (mode, decision, seed) = (script.byte(), script.byte(), script.byte());
    let wire = match mode % 3 {
        0 => script.rest().to_vec(),
        1 => messages(&mut script, vec![]),
        _ => messages(&mut script, connect("in")),
    };
    let wire = [handshake(), wire].concat();
    let once = converse(&wire, 0, decision);
    let cut = converse(&wire, seed, decision);
    assert_eq!(once, cut, "split by {seed}");
});

/// What happened, in order; decisions and the end among it.
fn converse(wire: &[u8], seed: u8, decision: u8) -> Vec<String> {
    let mut session = Session::default();
    let mut replies = Said::default();
    let mut seen = Vec::with_capacity(wire.len());
    let (mut asked, mut granted, mut over) = (false, false, false);
    let longest = pieces(wire, seed).map(<[u8]>::len).max().unwrap_or(0);
    for piece in pieces(wire, seed) {
        session.handle(piece);
        loop {
            let (outcome, peak) = peak_of(|| session.poll_event());
            assert!(
                peak <= 2 * Limits::PUBLISHER.media
                    + Limits::PUBLISHER.partial
                    + 70 * wire.len()
                    + 2 * longest
                    + (64 << 10),
                "{peak} bytes"
            );
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
            match &event {
                Event::PublishRequested(request) => {
                    assert!(!asked);
                    asked = true;
                    let agent = request.agent.as_deref().unwrap_or_default();
                    assert!(agent.chars().count() <= 128 && !agent.contains(char::is_control));
                    let token = request.name().token;
                    assert!(token.len() < 8 || agent.contains(token) || !format!("{request:?}").contains(token));
                    match decision % 4 {
                        0 => {
                            session.reject("no such stream").expect("refusal");
                            over = true;
                        }
                        _ => {
                            session.accept().expect("admission");
                            granted = true;
                        }
                    }
                }
                Event::Media(media) => {
                    assert!(granted);
                    check(media);
                }
                Event::Unpublished => {
                    assert!(granted);
                    over = true;
                }
            }
            if granted && !over && decision % 4 == 1 && seen.len() > usize::from(decision >> 2) {
                session.expel("stream was stopped").expect("expulsion");
                over = true;
            }
        }
        replies.take(&session.take_output());
        assert!(
            replies.length <= 2 * HANDSHAKE + 4 * wire.len(),
            "{} bytes of replies to {}",
            replies.length,
            wire.len()
        );
    }
    assert!(session.accept().is_err() || !asked, "a second decision");
    seen
}
