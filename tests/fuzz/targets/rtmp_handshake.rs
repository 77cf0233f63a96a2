//! The handshake: any bytes, and the plain one with damage, behind which a `connect` follows.
//!
//! It is over at 3073 bytes however they arrive, refused for its version alone, answered by S0 to S2 alone, and what the encoder
//! sent behind it is not lost. Memory is a small multiple of what was received.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_fuzz::publisher::{HANDSHAKE, connect, handshake};
use weir_fuzz::script::{Script, pieces};
use weir_media::rtmp::session::Session;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (damaged, seed) = (script.flag(), script.byte());
    if damaged { damaged_handshake(script, seed) } else { any(script.bytes(HANDSHAKE - 1), seed) }
});

/// Anything that is too short to be one.
fn any(wire: &[u8], seed: u8) {
    let ((session, answer, failed), peak) = peak_of(|| shake(wire, seed));
    // The session, S0 to S2 and the digest's copies; what was received at most four times over: buffers that grow by doubling.
    assert!(peak <= (24 << 10) + 4 * wire.len(), "{peak} bytes for {}", wire.len());
    assert!(!session.is_open());
    assert_eq!(failed, wire.first().is_some_and(|&version| version != 3));
    assert!(answer.len() <= HANDSHAKE);
}

fn damaged_handshake(mut script: Script, seed: u8) {
    let mut wire = handshake();
    while !script.is_empty() {
        let at = usize::from(script.u16()) % wire.len();
        wire[at] = script.byte();
    }
    let right = wire[0] == 3;
    wire.extend(connect("in"));
    let (session, answer, failed) = shake(&wire, seed);
    assert_eq!((session.is_open(), failed), (right, !right));
    let success = b"NetConnection.Connect.Success";
    assert_eq!(answer.windows(success.len()).any(|at| at == success), right, "what came behind the handshake");
}

/// What comes of these bytes in the pieces of `seed`: the session, all that it said, and whether it failed.
fn shake(wire: &[u8], seed: u8) -> (Session, Vec<u8>, bool) {
    let (mut session, mut answer, mut received) = (Session::default(), vec![], 0);
    for piece in pieces(wire, seed) {
        session.handle(piece);
        received += piece.len();
        let outcome = session.poll_event();
        answer.extend(session.take_output());
        if outcome.is_err() {
            return (session, answer, true);
        }
        assert_eq!(session.is_open(), received >= HANDSHAKE);
        assert!(received >= HANDSHAKE || answer.len() <= HANDSHAKE);
    }
    (session, answer, false)
}
