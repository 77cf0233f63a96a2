//! The chunk layer: messages written by other code, interleaved and cut at will, and any bytes.
//!
//! Written messages come back byte for byte, in the order in which they were completed. The result does not depend on how the
//! bytes arrive. Memory stays within the documented bounds whatever a peer announces.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_fuzz::chunks::ChunkWriter;
use weir_fuzz::memory::peak_of;
use weir_fuzz::script::{Script, pieces};
use weir_media::rtmp::chunk::{ChunkError, Dechunker, Limits, Message, kind};

/// Tables and allocation sizes that round up, bytes.
const BESIDE: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    if script.flag() { written(&mut script) } else { any(&mut script) }
});

fn any(script: &mut Script) {
    let limits = script.of(&[Limits::STRANGER, Limits::PUBLISHER]);
    let seed = script.byte();
    let wire = script.rest();
    let digest = |seed| {
        let mut seen = Vec::with_capacity(wire.len());
        let error = read(wire, seed, limits, |message| {
            assert!(!matches!(message.kind, kind::SET_CHUNK_SIZE | kind::ABORT));
            assert!(message.payload.len() <= limits.media.max(Limits::COMMAND));
            let sum = message.payload.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            seen.push((message.timestamp, message.kind, message.stream, message.payload.len(), sum));
        });
        (seen, error)
    };
    assert_eq!(digest(0), digest(seed), "split by {seed}");
}

fn written(script: &mut Script) {
    const IDS: [u32; 10] = [3, 4, 5, 6, 63, 64, 319, 320, 1000, 65_599];
    const KINDS: [u8; 8] =
        [kind::AUDIO, kind::VIDEO, kind::DATA, kind::COMMAND, kind::COMMAND_AMF3, kind::USER_CONTROL, 3, 5];
    // Bytes on the wire; one byte a chunk would make a header of each.
    const MOST: usize = 64 << 10;

    let seed = script.byte();
    let repeat_extended = script.flag();
    let mut writer = ChunkWriter::new(vec![], repeat_extended);
    let mut sent = vec![];
    let mut time = 0u32;
    while !script.is_empty() && writer.wire.len() < MOST {
        let open = writer.open();
        match script.byte() % 8 {
            0..3 => {
                let id = script.of(&IDS);
                if open.contains(&id) {
                    continue;
                }
                time = match script.byte() % 4 {
                    0 => time,
                    1 | 2 => time.wrapping_add(script.byte().into()),
                    _ => script.u32(),
                };
                if !repeat_extended && time >= 0xff_ffff {
                    // Told from the payload by its first byte, which is below 0x80 there.
                    time |= 0x8000_0000;
                }
                let length = script.u16() >> (script.byte() % 16);
                let fill = script.byte();
                let payload = (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(fill) & 0x7f).collect();
                let (kind, stream) = (script.of(&KINDS), u32::from(script.flag()));
                let message = Message { timestamp: time, kind, stream, payload };
                sent.extend(writer.begin(id, message, script.byte() & 3));
            }
            3..6 if !open.is_empty() => sent.extend(writer.go_on(script.of(&open))),
            6 => writer.set_chunk_size(1 + if script.flag() { script.u32() >> 2 } else { script.byte().into() }),
            7 if !open.is_empty() => writer.abort(script.of(&open)),
            _ => {}
        }
    }
    if !writer.open().is_empty() {
        writer.set_chunk_size(700);
    }
    for id in writer.open() {
        while writer.open().contains(&id) {
            sent.extend(writer.go_on(id));
        }
    }
    // Without the repetition, a chunk shorter than it waits for what follows.
    let last = Message { timestamp: 1, kind: kind::USER_CONTROL, stream: 0, payload: Bytes::from_static(&[0; 6]) };
    writer.message(2, last.clone(), 0);
    sent.push(last);

    for seed in [0, seed] {
        let mut expected = sent.iter();
        let error = read(&writer.wire, seed, Limits::PUBLISHER, |message| {
            let expected = expected.next().expect("a message too many");
            assert_eq!(head(&message), head(expected), "split by {seed}");
            assert!(message.payload == expected.payload, "payload, split by {seed}");
        });
        assert_eq!((error, expected.next().map(head)), (None, None), "split by {seed}");
    }
}

fn head(message: &Message) -> (u32, u8, u32, usize) {
    (message.timestamp, message.kind, message.stream, message.payload.len())
}

/// Hands over all messages of `wire` when it arrives in the pieces of `seed`; returns what ended it.
fn read(wire: &[u8], seed: u8, limits: Limits, mut take: impl FnMut(Message)) -> Option<ChunkError> {
    let longest = pieces(wire, seed).map(<[u8]>::len).max().unwrap_or(0);
    let (error, peak) = peak_of(|| {
        let mut dechunker = Dechunker::default();
        dechunker.set_limits(limits);
        for piece in pieces(wire, seed) {
            dechunker.buffer().extend_from_slice(piece);
            loop {
                match dechunker.next_message() {
                    Ok(Some(message)) => take(message),
                    Ok(None) => break,
                    Err(error) => return Some(error),
                }
            }
        }
        None
    });
    // A buffer grows by doubling.
    let most = 2 * (limits.media.max(Limits::COMMAND) + longest) + limits.partial + BESIDE;
    assert!(peak <= most, "{peak} bytes of {most}");
    error
}
