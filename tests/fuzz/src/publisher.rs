//! The encoder's side of a session, as far as the targets need it.

use bytes::Bytes;
use weir_media::rtmp::chunk::{Message, kind};

use crate::chunks::ChunkWriter;

/// Length of C0, C1 and C2, and of S0, S1 and S2.
pub const HANDSHAKE: usize = 3073;

/// C0, C1 and C2 of the plain handshake. The third part needs no answer to be known.
pub fn handshake() -> Vec<u8> {
    let mut wire = vec![3];
    wire.extend([0; 8]);
    wire.extend((0..1528u32).map(|i| (i * 7 + 3) as u8));
    wire.extend([0; 1536]);
    wire
}

/// The `connect` command, in chunks.
pub fn connect(application: &str) -> Vec<u8> {
    let mut payload = [string("connect"), vec![0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 3]].concat();
    payload.extend(&string("app")[1..]);
    payload.extend(string(application));
    payload.extend([0, 0, 9]);
    command(payload)
}

/// A command of these AMF0 values, in chunks.
pub fn command(values: Vec<u8>) -> Vec<u8> {
    let mut writer = ChunkWriter::default();
    writer.message(3, Message { timestamp: 0, kind: kind::COMMAND, stream: 0, payload: Bytes::from(values) }, 0);
    writer.wire
}

/// AMF0 string.
pub fn string(text: &str) -> Vec<u8> {
    [&[2][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
