//! Messages on the unix socket between the control process and a media worker.
//!
//! Each message is a little-endian `u32` length, then that many bytes of `postcard`. The two ends are the same
//! binary, so the encoding needs no versions; a length over [`MAX_MESSAGE`] or an undecodable body ends the connection.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::access_unit::AccessUnit;
use crate::codec::TrackConfig;
use crate::failover::{Alignment, FailoverSpec, Gap, HandOver, InputEdge, Shown};
use crate::grid::Grid;
use crate::id::{SessionId, Slot};
use crate::ladder::{Ladder, Rendition};

/// Longest message body, bytes. One access unit or one part of the highest bit rate fits many times.
pub const MAX_MESSAGE: usize = 32 << 20;

/// Longest screenshot that is passed on, bytes.
pub const MAX_SCREENSHOT: usize = 1 << 20;

/// Which H.264 encoder makes the ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum H264Encoder {
    /// x264 (GPL at run time).
    #[default]
    X264enc,
    /// OpenH264 (BSD).
    Openh264enc,
}

/// What a worker needs before its first input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// Wished rungs.
    pub ladder: Ladder,
    /// The encoder of the rungs.
    pub encoder: H264Encoder,
    /// x264 speed preset, e.g. `veryfast`.
    pub preset: String,
    /// Threads per encoder; 0 lets the encoder choose.
    pub threads: u32,
    /// Audio bit rate, kbit/s.
    pub audio_bitrate_kbps: u32,
    /// How far the output runs behind an input's arrival, milliseconds.
    pub delay_ms: u32,
    /// What is shown while an input fails.
    pub failover: FailoverSpec,
    /// Where an earlier worker of the same broadcast stopped.
    pub resume: Option<Resume>,
}

/// Continues a broadcast: its raster and the first part that was never published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What the first worker fixed.
    pub output: Output,
    /// First output frame to make: what some rendition lacks.
    pub next_frame: u64,
    /// First output frame that every rendition lacks. One that is ahead goes on between the two, at a part's start.
    pub joined_by: u64,
}

/// What the first decodable input fixed for the whole broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Raster of segments and parts.
    pub grid: Grid,
    /// Video renditions, largest first; track `i` is `renditions[i]`, the audio track is `renditions.len()`.
    pub renditions: Vec<Rendition>,
    /// Audio bit rate, kbit/s.
    pub audio_bitrate_kbps: u32,
    /// Wall clock of output frame 0, nanoseconds since 1970.
    pub epoch_ns: u64,
}

/// What the control process tells the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First message.
    Start(WorkerSpec),
    /// A publisher was admitted; its configurations and units follow.
    Open {
        /// The publisher.
        session: SessionId,
        /// Its slot.
        slot: Slot,
    },
    /// Decoder configuration of one of its tracks.
    Config {
        /// The publisher.
        session: SessionId,
        /// The configuration.
        config: TrackConfig,
    },
    /// One frame.
    Unit {
        /// The publisher.
        session: SessionId,
        /// The frame.
        unit: AccessUnit,
    },
    /// The publisher is gone; what it delivered is played out.
    Close {
        /// The publisher.
        session: SessionId,
    },
    /// Which session is on air; `None` holds the last picture with silence once nothing is left to show.
    OnAir {
        /// The publisher.
        session: Option<SessionId>,
        /// How it takes over.
        hand_over: HandOver,
    },
    /// A warm slot's input, a later session's too, is to be decoded although it is not shown, or no longer.
    Prepare {
        /// The slot.
        slot: Slot,
        /// Decode it.
        decode: bool,
    },
    /// Publish what is encoded and exit 0.
    Stop,
}

/// What the worker tells the control process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// GStreamer is up; inputs are welcome.
    Ready,
    /// The broadcast's output is fixed. Comes once, before any `Init`; repeated unchanged by a resumed worker.
    Output(Output),
    /// A track's initialization segment. A resumed worker sends it again; the first one stays in use.
    Init {
        /// Track number.
        track: u8,
        /// `ftyp` + `moov`.
        data: Bytes,
    },
    /// A CMAF chunk: one part.
    Chunk(Chunk),
    /// A picture of the output as JPEG, at most [`MAX_SCREENSHOT`] long.
    Screenshot {
        /// The file.
        data: Bytes,
    },
    /// State of the inputs and of the output, 4 times a second.
    Report(Report),
    /// Something changed with an input.
    Input {
        /// The publisher.
        session: SessionId,
        /// What.
        edge: InputEdge,
    },
    /// Another input is shown.
    Shown(Shown),
    /// A hole or a change of input is over.
    Gap(Gap),
    /// The alignment's state changed.
    Alignment(Alignment),
    /// An input that cannot be decoded; it is not read any more.
    Rejected {
        /// The publisher.
        session: SessionId,
        /// Why, in words for the encoder's operator.
        reason: String,
    },
    /// The worker cannot go on; it exits after this.
    Fault {
        /// Why.
        reason: String,
    },
}

/// One part of one track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Track number.
    pub track: u8,
    /// Segment number counted from the broadcast's start.
    pub segment: u64,
    /// Part number within the segment.
    pub part: u32,
    /// Pictures, or AAC frames of 1024 samples, in it.
    pub frames: u32,
    /// Starts with a keyframe (always for audio).
    pub independent: bool,
    /// `moof` + `mdat`.
    pub data: Bytes,
}

/// How one input is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputReport {
    /// The publisher.
    pub session: SessionId,
    /// Video frames decoded so far.
    pub decoded_frames: u64,
    /// Latest decoded video PTS on the source's timeline, nanoseconds.
    pub decoded_until_ns: Option<i64>,
    /// Milliseconds since the last picture was decoded, at the time of the report; 0 while the decoder is held by pictures that wait.
    pub since_decoded_ms: Option<u32>,
    /// Decode errors so far.
    pub errors: u64,
    /// Distance of its keyframes, milliseconds.
    pub gop_ms: Option<u32>,
    /// Content that waits for its output frame, milliseconds.
    pub buffered_ms: Option<u32>,
}

/// How the output is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Per open session.
    pub inputs: Vec<InputReport>,
    /// Output frames pushed to the encoders so far.
    pub frames: u64,
    /// Of them: repeats because no new picture was due or there.
    pub repeated: u64,
    /// Output frames not encoded because the encoders were behind.
    pub dropped: u64,
    /// Samples of inserted silence so far.
    pub silence_samples: u64,
    /// Encoder speed over the last seconds, in thousandths: 1000 keeps up with real time.
    pub speed_milli: u32,
    /// How far apart both slots' programmes are.
    pub alignment: Alignment,
}

/// Why a message could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE}")]
    TooLong(usize),
    /// Not what the other end of the same binary would send.
    #[error("undecodable message")]
    Malformed(#[from] postcard::Error),
}

/// Appends one message to `out`.
pub fn encode<M: Serialize>(message: &M, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let whole = postcard::to_extend(message, std::mem::take(out));
    *out = whole?;
    let length = out.len() - start - 4;
    if length > MAX_MESSAGE {
        out.truncate(start);
        return Err(ProtocolError::TooLong(length));
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Takes one message off the front of `buffer`; `None` when it is not whole yet.
pub fn decode<M: DeserializeOwned>(buffer: &mut BytesMut) -> Result<Option<M>, ProtocolError> {
    let Some(length) = buffer.first_chunk::<4>().map(|head| u32::from_le_bytes(*head) as usize) else {
        return Ok(None);
    };
    if length > MAX_MESSAGE {
        return Err(ProtocolError::TooLong(length));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    match postcard::take_from_bytes(&buffer.split_to(length))? {
        (message, []) => Ok(Some(message)),
        // The body is longer than its message.
        (_, [_, ..]) => Err(postcard::Error::DeserializeBadEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::FrameRate;

    #[test]
    fn messages_survive_any_split() {
        let messages = [
            ToWorker::OnAir { session: Some(SessionId(7)), hand_over: HandOver::WhenOut },
            ToWorker::Stop,
            ToWorker::Close { session: SessionId(1) },
        ];
        let mut wire = vec![];
        for message in &messages {
            encode(message, &mut wire).unwrap();
        }
        let (mut buffer, mut seen) = (BytesMut::new(), vec![]);
        for byte in wire {
            buffer.extend_from_slice(&[byte]);
            while let Some(message) = decode::<ToWorker>(&mut buffer).unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, messages);
    }

    #[test]
    fn a_raster_that_nothing_can_be_divided_by_is_no_message() {
        let output =
            Output { grid: Grid::new(FrameRate::whole(30)), renditions: vec![], audio_bitrate_kbps: 128, epoch_ns: 0 };
        let mut wire = vec![];
        encode(&FromWorker::Output(output), &mut wire).unwrap();
        assert_eq!(wire[5..9], [30, 1, 48, 12], "frame rate, segment, part");
        for at in 5..9 {
            let mut bad = BytesMut::from(&wire[..]);
            bad[at] = 0;
            assert!(matches!(decode::<FromWorker>(&mut bad), Err(ProtocolError::Malformed(_))), "byte {at}");
        }
    }

    #[test]
    fn a_body_longer_than_its_message_is_no_message() {
        let mut wire = vec![];
        encode(&ToWorker::Stop, &mut wire).unwrap();
        wire[0] += 1;
        wire.push(0);
        assert!(decode::<ToWorker>(&mut BytesMut::from(&wire[..])).is_err());
    }

    #[test]
    fn an_absurd_length_is_refused_before_anything_is_reserved() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(decode::<ToWorker>(&mut buffer), Err(ProtocolError::TooLong(_))));
    }
}
