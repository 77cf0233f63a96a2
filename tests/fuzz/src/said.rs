//! What an end of an RTMP connection says, read as the other end would, and what holds for all media that it hands on.

use weir_media::rtmp::amf;
use weir_media::rtmp::chunk::{Dechunker, Limits, kind};
use weir_media::rtmp::media::Media;

use crate::publisher::HANDSHAKE;

/// Everything that one end said.
#[derive(Default)]
pub struct Said {
    /// Bytes.
    pub length: usize,
    /// Names of its commands.
    pub commands: Vec<String>,
    handshake: usize,
    chunks: Dechunker,
}

impl Said {
    pub fn take(&mut self, output: &[u8]) {
        self.length += output.len();
        let part = output.len().min(HANDSHAKE - self.handshake);
        self.handshake += part;
        self.chunks.set_limits(Limits::PUBLISHER);
        self.chunks.buffer().extend_from_slice(&output[part..]);
        while let Some(message) = self.chunks.next_message().expect("what is said is chunks") {
            if message.kind == kind::COMMAND {
                let values = amf::decode(&message.payload).expect("commands are AMF0");
                assert!(values.len() >= 3);
                self.commands.push(values[0].clone().get_string().expect("a name"));
            }
        }
        assert!(self.chunks.buffer().is_empty(), "half a message");
    }
}

/// Media are within their bounds.
pub fn check(media: &Media) {
    match media {
        Media::Metadata(metadata) => assert!(metadata.frame_rate.is_none_or(|rate| rate.is_finite() && rate > 0.0)),
        Media::UndecodableData(why) => assert!(why.len() < 200),
        Media::Video { body, .. } | Media::Audio { body, .. } => assert!(body.len() <= Limits::PUBLISHER.media),
    }
}
