//! RTMP peers as bytes: publishers with a well-behaved opening and with every input that is known to have killed other servers, and
//! servers that play.
//!
//! Plain `std`, so that the unit tests of the session and the tests against a real process share it. The handshake's
//! third part needs no answer to be computed, so a whole conversation can be sent in one write.

// Each test uses a part of it, and only `exchange` has a clock: it is never called from a pure crate.
#![allow(dead_code, clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Message types.
pub const SET_CHUNK_SIZE: u8 = 1;
pub const ABORT: u8 = 2;
pub const ACKNOWLEDGEMENT: u8 = 3;
pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;
pub const DATA_AMF3: u8 = 15;
pub const COMMAND_AMF3: u8 = 17;
pub const DATA: u8 = 18;
pub const COMMAND: u8 = 20;

/// Timestamp of the keyframe behind each input that a session has to survive.
pub const MARK: u32 = 7777;

/// An `AVCDecoderConfigurationRecord`: main profile, 1280x720, 30 fps.
pub const AVC_RECORD: [u8; 41] = [
    0x01, 0x4d, 0x40, 0x1f, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88,
    0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xc1, 0x8c, 0xb0, 0x01, 0x00, 0x05, 0x68, 0xeb,
    0xe3, 0xcb, 0x20,
];

/// C0, C1 and C2 of the plain handshake; S0, S1 and S2 are the same.
pub fn handshake() -> Vec<u8> {
    let mut wire = vec![3];
    wire.extend([0; 8]);
    wire.extend((0..1528u32).map(|i| (i * 7 + 3) as u8));
    wire.extend([0; 1536]);
    wire
}

/// A type 0 chunk header.
pub fn header(id: u8, time: u32, length: usize, kind: u8, stream: u32) -> Vec<u8> {
    let mut wire = vec![id];
    wire.extend(&time.min(0xff_ffff).to_be_bytes()[1..]);
    wire.extend(&(length as u32).to_be_bytes()[1..]);
    wire.push(kind);
    wire.extend(stream.to_le_bytes());
    if time >= 0xff_ffff {
        wire.extend(time.to_be_bytes());
    }
    wire
}

/// A message in chunks of 128 bytes, the size that holds until another is set.
pub fn message(id: u8, time: u32, kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut wire = header(id, time, payload.len(), kind, stream);
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            wire.push(0xc0 | id);
            if time >= 0xff_ffff {
                wire.extend(time.to_be_bytes());
            }
        }
        wire.extend(chunk);
    }
    wire
}

pub fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}

pub fn string(text: &str) -> Vec<u8> {
    [&[2][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub fn null() -> Vec<u8> {
    vec![5]
}

pub fn object(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut wire = vec![3];
    for (name, value) in properties {
        wire.extend(&string(name)[1..]);
        wire.extend(value);
    }
    wire.extend([0, 0, 9]);
    wire
}

/// A command on a message stream.
pub fn command(stream: u32, values: &[Vec<u8>]) -> Vec<u8> {
    message(3, 0, COMMAND, stream, &values.concat())
}

/// A data message on message stream 1.
pub fn data(values: &[Vec<u8>]) -> Vec<u8> {
    message(4, 0, DATA, 1, &values.concat())
}

pub fn connect(application: &str) -> Vec<u8> {
    let properties = [
        ("app", string(application)),
        ("flashVer", string("FMLE/3.0 (compatible; test)")),
        ("tcUrl", string("rtmp://127.0.0.1/in")),
    ];
    command(0, &[string("connect"), number(1.0), object(&properties)])
}

pub fn create_stream(transaction: f64) -> Vec<u8> {
    command(0, &[string("createStream"), number(transaction), null()])
}

pub fn publish(key: &str) -> Vec<u8> {
    command(1, &[string("publish"), number(3.0), null(), string(key), string("live")])
}

/// Everything up to and with `publish`, for application `in`.
pub fn opening(key: &str) -> Vec<u8> {
    [handshake(), connect("in"), create_stream(2.0), publish(key)].concat()
}

/// A keyframe's tag body, `filler` bytes long besides its head.
pub fn keyframe(filler: usize) -> Vec<u8> {
    let length = filler as u32 + 1;
    [&[0x17, 1, 0, 0, 0][..], &length.to_be_bytes(), &[0x65], &vec![0x88; filler]].concat()
}

pub fn video_configuration() -> Vec<u8> {
    message(6, 0, VIDEO, 1, &[&[0x17, 0, 0, 0, 0][..], &AVC_RECORD].concat())
}

pub fn audio_configuration() -> Vec<u8> {
    message(4, 0, AUDIO, 1, &[0xaf, 0, 0x12, 0x10])
}

/// The keyframe at [`MARK`] by which a test sees that the session goes on.
pub fn mark() -> Vec<u8> {
    message(6, MARK, VIDEO, 1, &keyframe(300))
}

/// A server's answer to `connect`.
pub fn connected() -> Vec<u8> {
    let success = information("status", "NetConnection.Connect.Success", "");
    command(0, &[string("_result"), number(1.0), object(&[("fmsVer", string("FMS/3,0,1,123"))]), success])
}

/// A server's answer to `createStream`: message stream 7.
pub fn created(transaction: f64) -> Vec<u8> {
    command(0, &[string("_result"), number(transaction), null(), number(7.0)])
}

/// What a server says with its statuses.
pub fn information(level: &str, code: &str, description: &str) -> Vec<u8> {
    object(&[("level", string(level)), ("code", string(code)), ("description", string(description))])
}

/// A server's `onStatus`.
pub fn status(level: &str, code: &str, description: &str) -> Vec<u8> {
    command(7, &[string("onStatus"), number(0.0), null(), information(level, code, description)])
}

/// A server's refusal of a command.
pub fn error(transaction: f64, code: &str, description: &str) -> Vec<u8> {
    command(0, &[string("_error"), number(transaction), null(), information("error", code, description)])
}

/// All that a server says until a player has asked for its stream, from the handshake on.
pub fn asked() -> Vec<u8> {
    [handshake(), connected(), created(2.0)].concat()
}

/// That a server plays.
pub fn start() -> Vec<u8> {
    [status("status", "NetStream.Play.Reset", ""), status("status", "NetStream.Play.Start", "")].concat()
}

/// What has to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server ends it.
    Closed,
    /// It goes on: the keyframe at [`MARK`] arrives.
    GoesOn,
}

/// One input that is fatal to others.
pub struct Defect {
    pub name: &'static str,
    /// From the first byte of the handshake on.
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
}

/// All known fatal inputs. `key` is a publish name that the server accepts, or one that it refuses: then every
/// connection ends closed.
pub fn fatal_defects(key: &str) -> Vec<Defect> {
    let stranger =
        |name, bytes: Vec<u8>| Defect { name, bytes: [handshake(), bytes].concat(), outcome: Outcome::Closed };
    let publisher = |name, bytes: Vec<u8>| Defect {
        name,
        bytes: [opening(key), video_configuration(), bytes, mark()].concat(),
        outcome: Outcome::GoesOn,
    };
    let fatal_publisher = |name, bytes: Vec<u8>| Defect {
        name,
        bytes: [opening(key), video_configuration(), bytes].concat(),
        outcome: Outcome::Closed,
    };
    let set_chunk_size = |size: u32| message(2, 0, SET_CHUNK_SIZE, 0, &size.to_be_bytes());
    let set_data_frame = |more: &[Vec<u8>]| data(&[&[string("@setDataFrame")], more].concat());
    let metadata =
        |value: Vec<u8>| set_data_frame(&[string("onMetaData"), object(&[("width", number(1280.0)), ("odd", value)])]);
    let flat_metadata = [string("onMetaData"), object(&[("framerate", number(30.0))])].concat();

    vec![
        stranger("AMF0 objects 4000 deep before connect", command(0, &[nested_objects(4000)])),
        stranger("AMF0 arrays 4000 deep before connect", command(0, &[[10, 0, 0, 0, 1].repeat(4000)])),
        fatal_publisher("AMF0 objects 4000 deep in a command of a publisher", command(1, &[nested_objects(4000)])),
        publisher("AMF0 objects 4000 deep in metadata", metadata(nested_objects(4000))),
        publisher(
            "audio chunk between two chunks of a video message",
            interleaved(message(4, 20, AUDIO, 1, &[0xaf, 1, 7])),
        ),
        publisher(
            "acknowledgement between two chunks of a video message",
            interleaved(message(2, 0, ACKNOWLEDGEMENT, 0, &[0, 0, 1, 0])),
        ),
        stranger("command of no value", command(0, &[])),
        stranger("command of one value that is no name", command(0, &[number(1.0)])),
        stranger("connect of one value", command(0, &[string("connect")])),
        stranger("connect of two values", command(0, &[string("connect"), number(1.0)])),
        publisher("command of one value from a publisher", command(1, &[string("FCSubscribe")])),
        publisher("command of two values from a publisher", command(1, &[string("FCSubscribe"), number(4.0)])),
        publisher("@setDataFrame alone", set_data_frame(&[])),
        publisher("@setDataFrame without an object", set_data_frame(&[string("onMetaData")])),
        publisher("data message of no value", data(&[])),
        publisher("extended timestamp repeated in each chunk", extended(true)),
        publisher("extended timestamp not repeated", extended(false)),
        publisher("AMF0 date in metadata", metadata([vec![11], vec![0; 10]].concat())),
        publisher("AMF0 long string in metadata", metadata(vec![12, 0, 0, 0, 2, b'h', b'i'])),
        publisher("AMF0 typed object in metadata", metadata(vec![16, 0, 1, b'T', 0, 0, 9])),
        publisher("string in metadata that is not UTF-8", metadata(vec![2, 0, 2, 0xff, 0xfe])),
        publisher("AMF3 data with a leading zero", message(4, 0, DATA_AMF3, 1, &[&[0][..], &flat_metadata].concat())),
        publisher("AMF3 data without a leading zero", message(4, 0, DATA_AMF3, 1, &flat_metadata)),
        publisher(
            "AMF3 command with a leading zero",
            message(3, 0, COMMAND_AMF3, 1, &[vec![0], string("getStreamLength"), number(5.0), null()].concat()),
        ),
        publisher("onMetaData without @setDataFrame", data(&[string("onMetaData"), object(&[("fps", string("25"))])])),
        publisher("onTextData", data(&[string("onTextData"), object(&[("text", string("hello"))])])),
        stranger("createStream without end", [connect("in"), create_stream(2.0).repeat(20_000)].concat()),
        fatal_publisher(
            "message of 16 MB after SetChunkSize 2^31-1",
            [set_chunk_size(0x7fff_ffff), header(6, 0, 0xff_ffff, VIDEO, 1), vec![0; 1 << 20]].concat(),
        ),
        stranger(
            "message of 16 MB before connect",
            [set_chunk_size(0x7fff_ffff), header(3, 0, 0xff_ffff, COMMAND, 0), vec![0; 1 << 20]].concat(),
        ),
        publisher("everything in one write", vec![]),
        publisher("publish without its type", vec![]).with_bytes(
            [
                [handshake(), connect("in"), create_stream(2.0)].concat(),
                command(1, &[string("publish"), number(3.0), null(), string(key)]),
                video_configuration(),
                mark(),
            ]
            .concat(),
        ),
        fatal_publisher("SetChunkSize 0", set_chunk_size(0)),
        publisher(
            "aborted message",
            [header(6, 0, 200, VIDEO, 1), vec![7; 128], message(2, 0, ABORT, 0, &6u32.to_be_bytes())].concat(),
        ),
        fatal_publisher(
            "more chunk streams than anybody needs",
            (0..255).flat_map(|id| [&[0, id], &header(0, 0, 0, DATA, 1)[1..]].concat()).collect(),
        ),
        stranger("compressed header first", vec![0xc3, 1, 2, 3]),
        Defect { name: "not RTMP", bytes: b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n".to_vec(), outcome: Outcome::Closed },
        Defect {
            name: "half a handshake, then nothing",
            bytes: handshake()[..2000].to_vec(),
            outcome: Outcome::Closed,
        },
    ]
}

impl Defect {
    fn with_bytes(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }
}

fn nested_objects(depth: usize) -> Vec<u8> {
    [[3, 0, 1, b'a'].repeat(depth), vec![5], [0, 0, 9].repeat(depth)].concat()
}

/// A video message of two chunks with `other` between them.
fn interleaved(other: Vec<u8>) -> Vec<u8> {
    let body = keyframe(190);
    [header(6, 10, body.len(), VIDEO, 1), body[..128].to_vec(), other, vec![0xc6], body[128..].to_vec()].concat()
}

/// A video message of three chunks, past 4 h 39 min.
fn extended(repeated: bool) -> Vec<u8> {
    let time = 0x0100_0010u32;
    let body = keyframe(300);
    let mut wire = header(6, time, body.len(), VIDEO, 1);
    for (index, chunk) in body.chunks(128).enumerate() {
        if index > 0 {
            wire.push(0xc6);
            if repeated {
                wire.extend(time.to_be_bytes());
            }
        }
        wire.extend(chunk);
    }
    wire
}

/// Sends `bytes` over TCP and reads until the server closes or `patience` is over. What it said, and whether it closed.
pub fn exchange(server: SocketAddr, bytes: &[u8], patience: Duration) -> std::io::Result<(Vec<u8>, bool)> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_nodelay(true)?;
    let mut writer = socket.try_clone()?;
    let bytes = bytes.to_vec();
    // The server may close while we are still writing: that is an answer, not a fault.
    let writing = std::thread::spawn(move || writer.write_all(&bytes).is_ok());
    let deadline = Instant::now() + patience;
    let (mut said, mut block) = (vec![], [0; 4096]);
    let closed = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut block) {
            Ok(0) => break true,
            Ok(count) => said.extend(&block[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                break false;
            }
            Err(_) => break true,
        }
    };
    let _ = socket.shutdown(Shutdown::Both);
    let _ = writing.join();
    Ok((said, closed))
}
