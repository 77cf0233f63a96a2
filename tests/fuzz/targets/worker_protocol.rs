//! The worker's socket, both directions: any bytes, and any message that the types can hold.
//!
//! A message survives being written and read, however it is cut. Bytes that are no message end the connection and make nobody
//! reserve more than they announced. What was read keeps the promises of its types.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use weir_fuzz::memory::peak_of;
use weir_fuzz::script::{Script, pieces};
use weir_media::protocol::{FromWorker, MAX_MESSAGE, Output, ToWorker, decode, encode};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (kind, seed) = (script.byte(), script.byte());
    match kind % 4 {
        0 => stream::<ToWorker>(script.rest(), seed, promises_to),
        1 => stream::<FromWorker>(script.rest(), seed, promises_from),
        2 => message::<ToWorker>(script.rest(), seed, promises_to),
        _ => message::<FromWorker>(script.rest(), seed, promises_from),
    }
});

/// Any bytes as they might come off the socket.
fn stream<M: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(wire: &[u8], seed: u8, promises: fn(&M)) {
    let whole = read::<M>(wire, 0);
    assert_eq!(whole, read::<M>(wire, seed));
    whole.0.iter().for_each(promises);
}

/// A message whose body is these bytes, if they are one.
fn message<M: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(body: &[u8], seed: u8, promises: fn(&M)) {
    let mut wire = (body.len() as u32).to_le_bytes().to_vec();
    wire.extend(body);
    let (messages, failed) = read::<M>(&wire, 0);
    let [message] = &messages[..] else { return assert!(failed) };
    promises(message);
    let mut twice = vec![];
    encode(message, &mut twice).expect("cannot be written");
    // Numbers have a longest form that is not their shortest; ours is the shortest.
    assert!(twice.len() <= wire.len());
    encode(message, &mut twice).expect("cannot be written");
    let (again, failed) = read::<M>(&twice, seed);
    assert!(!failed && again.len() == 2 && again.iter().all(|again| again == message), "{message:?} {again:?}");
}

/// All messages of `wire` when it arrives in the pieces of `seed`, and whether that ended in an error.
fn read<M: DeserializeOwned>(wire: &[u8], seed: u8) -> (Vec<M>, bool) {
    let mut buffer = BytesMut::new();
    let mut messages = vec![];
    for piece in pieces(wire, seed) {
        buffer.extend_from_slice(piece);
        loop {
            let announced = buffer.first_chunk::<4>().map_or(0, |head| u32::from_le_bytes(*head) as usize);
            let (outcome, peak) = peak_of(|| decode::<M>(&mut buffer));
            // The announced body twice, for a buffer grows by doubling, and what postcard makes of its bytes.
            let most = 2 * announced.min(MAX_MESSAGE) + 128 * wire.len() + (1 << 21);
            assert!(peak <= most, "{peak} bytes for {announced} announced");
            match outcome {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fn promises_to(message: &ToWorker) {
    if let ToWorker::Start(spec) = message
        && let Some(resume) = &spec.resume
    {
        promises_output(&resume.output);
    }
}

fn promises_from(message: &FromWorker) {
    if let FromWorker::Output(output) = message {
        promises_output(output);
    }
}

/// What divides by them relies on it.
fn promises_output(output: &Output) {
    let grid = output.grid;
    assert!(grid.frame_rate.num() > 0 && grid.frame_rate.den() > 0, "{grid:?}");
    assert!(grid.segment_frames > 0 && grid.part_frames > 0, "{grid:?}");
    let _ = (grid.place(1 << 20), grid.parts_per_segment(), grid.place_sample(1 << 20), grid.segment_seconds());
}
