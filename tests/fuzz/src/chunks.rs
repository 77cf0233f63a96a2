//! A writer of RTMP chunks (RTMP 1.0, 5.3) that shares no code with the reader under test.
//!
//! Messages may be interleaved chunk by chunk, with any header form that the standard allows for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_media::rtmp::chunk::{Message, kind};

use crate::script::Script;

/// From here on a 24-bit time field takes 32 bits behind the header.
const EXTENDED: u32 = 0xff_ffff;

/// What one end of a connection has written.
pub struct ChunkWriter {
    pub wire: Vec<u8>,
    repeat_extended: bool,
    size: usize,
    last: BTreeMap<u32, Last>,
    open: BTreeMap<u32, Open>,
}

/// What compressed headers of a chunk stream refer to.
struct Last {
    timestamp: u32,
    delta: u32,
    extended: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

struct Open {
    message: Message,
    written: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self::new(vec![], true)
    }
}

impl ChunkWriter {
    /// Goes on behind `wire`. Some encoders leave the extended time out of the chunks that continue a message.
    pub fn new(wire: Vec<u8>, repeat_extended: bool) -> Self {
        Self { wire, repeat_extended, size: 128, last: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Chunk streams with a message under way.
    pub fn open(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// Writes a message's first chunk with the shortest header that is possible and not shorter than format `wish`.
    /// Returns the message when that was all of it.
    pub fn begin(&mut self, id: u32, message: Message, wish: u8) -> Option<Message> {
        assert!(!self.open.contains_key(&id));
        let delta = self.last.get(&id).map_or(0, |last| message.timestamp.wrapping_sub(last.timestamp));
        let possible = match self.last.get(&id) {
            Some(last) if last.stream == message.stream => {
                let same = last.length == message.payload.len() && last.kind == message.kind;
                if same && last.delta == delta {
                    3
                } else if same {
                    2
                } else {
                    1
                }
            }
            _ => 0,
        };
        let mut format = wish.min(possible);
        if !self.repeat_extended
            && (delta >= EXTENDED || self.last.get(&id).is_some_and(|last| last.extended.is_some()))
        {
            format = 0;
        }
        let time = if format == 0 { message.timestamp } else { delta };
        let extended = match format {
            3 => self.last.get(&id).and_then(|last| last.extended),
            _ => (time >= EXTENDED).then_some(time),
        };
        self.basic_header(format, id);
        if format < 3 {
            self.wire.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
        }
        if format < 2 {
            self.wire.extend(&(message.payload.len() as u32).to_be_bytes()[1..]);
            self.wire.push(message.kind);
        }
        if format < 1 {
            self.wire.extend(message.stream.to_le_bytes());
        }
        if let Some(value) = extended {
            self.wire.extend(value.to_be_bytes());
        }
        let last = Last {
            timestamp: message.timestamp,
            // A message behind a full header has no distance to its predecessor yet.
            delta: if format == 0 { 0 } else { delta },
            extended,
            length: message.payload.len(),
            kind: message.kind,
            stream: message.stream,
        };
        self.last.insert(id, last);
        self.open.insert(id, Open { message, written: 0 });
        self.payload(id)
    }

    /// Writes the next chunk of the message that is under way on `id`; returns the message when it is whole.
    pub fn go_on(&mut self, id: u32) -> Option<Message> {
        self.basic_header(3, id);
        if let Some(value) = self.last[&id].extended.filter(|_| self.repeat_extended) {
            self.wire.extend(value.to_be_bytes());
        }
        self.payload(id)
    }

    /// A whole message.
    pub fn message(&mut self, id: u32, message: Message, wish: u8) {
        let mut written = self.begin(id, message, wish);
        while written.is_none() {
            written = self.go_on(id);
        }
    }

    /// Sets the length of all chunks that follow.
    pub fn set_chunk_size(&mut self, size: u32) {
        self.message(2, control(1, size), 0);
        self.size = size as usize;
    }

    /// Gives the message up that is under way on `id`.
    pub fn abort(&mut self, id: u32) {
        self.message(2, control(2, id), 0);
        self.open.remove(&id);
    }

    fn basic_header(&mut self, format: u8, id: u32) {
        let format = format << 6;
        match id {
            2..64 => self.wire.push(format | id as u8),
            64..320 => self.wire.extend([format, (id - 64) as u8]),
            _ => self.wire.extend([format | 1, (id - 64) as u8, (id - 64 >> 8) as u8]),
        }
    }

    fn payload(&mut self, id: u32) -> Option<Message> {
        let open = self.open.get_mut(&id)?;
        let until = open.message.payload.len().min(open.written + self.size);
        self.wire.extend(&open.message.payload[open.written..until]);
        open.written = until;
        if until < open.message.payload.len() {
            return None;
        }
        self.open.remove(&id).map(|open| open.message)
    }
}

fn control(kind: u8, value: u32) -> Message {
    Message { timestamp: 0, kind, stream: 0, payload: Bytes::copy_from_slice(&value.to_be_bytes()) }
}

/// Messages of the script's kinds and bodies, behind `before`.
pub fn messages(script: &mut Script, before: Vec<u8>) -> Vec<u8> {
    const KINDS: [u8; 12] = [
        kind::COMMAND,
        kind::COMMAND_AMF3,
        kind::DATA,
        kind::DATA_AMF3,
        kind::VIDEO,
        kind::AUDIO,
        kind::AGGREGATE,
        kind::USER_CONTROL,
        kind::WINDOW_ACK_SIZE,
        3,
        6,
        99,
    ];
    let mut writer = ChunkWriter::new(before, true);
    while !script.is_empty() {
        let what = script.byte();
        let timestamp = if what & 0x80 == 0 { script.byte().into() } else { script.u32() };
        let length = script.byte();
        let payload = Bytes::copy_from_slice(script.bytes(length.into()));
        let message = Message {
            timestamp,
            kind: KINDS[usize::from(what & 15) % KINDS.len()],
            stream: u32::from(what >> 4 & 3),
            payload,
        };
        writer.message(4 + u32::from(what & 1), message, 3);
    }
    writer.wire
}
