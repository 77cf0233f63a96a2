//! Aggregate messages (RTMP 1.0, 7.1.6): several FLV tags in one message, each followed by its length.
//!
//! Contract: an [`Aggregate`] gives the messages in it one by one, as slices of its payload. The first tag has the aggregate's timestamp, the
//! others keep their distance to it. What is cut off at the end is dropped.

use bytes::{Buf, Bytes};

use super::chunk::{Message, kind};

/// Of an FLV tag: kind, length, time, its highest byte, stream id (FLV 10.1, E.4.1).
const HEADER: usize = 11;
/// The length that follows each tag.
const TRAILER: usize = 4;

/// The messages of one aggregate that were not taken yet.
#[derive(Default)]
pub(super) struct Aggregate {
    rest: Bytes,
    timestamp: u32,
    stream: u32,
    /// Time of the first tag.
    first: Option<u32>,
}

impl Aggregate {
    /// What an aggregate message holds.
    pub fn new(message: Message) -> Self {
        Self { rest: message.payload, timestamp: message.timestamp, stream: message.stream, first: None }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while let Some((&header, _)) = self.rest.split_first_chunk::<HEADER>() {
            let [kind, l2, l1, l0, t2, t1, t0, t3, ..] = header;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let time = u32::from_be_bytes([t3, t2, t1, t0]);
            self.rest.advance(HEADER);
            if length > self.rest.len() {
                break;
            }
            let payload = self.rest.split_to(length);
            self.rest.advance(TRAILER.min(self.rest.len()));
            let first = *self.first.get_or_insert(time);
            // Commands have no place in it, nor has another aggregate.
            if matches!(kind, kind::AUDIO | kind::VIDEO | kind::DATA) {
                let timestamp = self.timestamp.wrapping_add(time.wrapping_sub(first));
                return Some(Message { timestamp, kind, stream: self.stream, payload });
            }
        }
        self.rest.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let [t3, t2, t1, t0] = time.to_be_bytes();
        let mut wire = vec![kind];
        wire.extend(&(body.len() as u32).to_be_bytes()[1..]);
        wire.extend([t2, t1, t0, t3, 0, 0, 0]);
        wire.extend(body);
        wire.extend((HEADER as u32 + body.len() as u32).to_be_bytes());
        wire
    }

    fn aggregate(timestamp: u32, payload: Vec<u8>) -> Vec<(u32, u8, Vec<u8>)> {
        let message = Message { timestamp, kind: kind::AGGREGATE, stream: 1, payload: payload.into() };
        Aggregate::new(message).map(|message| (message.timestamp, message.kind, message.payload.to_vec())).collect()
    }

    #[test]
    fn tags_keep_their_distance_from_the_first() {
        let payload = [tag(9, 0x0100_0005, b"video"), tag(8, 0x0100_0003, b""), tag(18, 0x0100_0025, b"more")].concat();
        let expected = [(5000, 9, b"video".to_vec()), (4998, 8, vec![]), (5032, 18, b"more".to_vec())];
        assert_eq!(aggregate(5000, payload), expected);
        assert_eq!(aggregate(u32::MAX, [tag(8, 0, b"a"), tag(8, 2, b"b")].concat())[1].0, 1, "times wrap");
    }

    #[test]
    fn a_cut_end_costs_the_last_tag_only() {
        let payload = [tag(9, 0, b"video"), tag(8, 20, b"audio")].concat();
        let whole = aggregate(0, payload.clone());
        for length in 0..payload.len() {
            let some = aggregate(0, payload[..length].to_vec());
            assert_eq!(some, whole[..some.len()], "{length} bytes");
            // The length behind a tag is not needed.
            assert_eq!(some.len(), usize::from(length >= 16) + usize::from(length >= 36));
        }
        assert_eq!(
            aggregate(0, [tag(9, 0, b"video"), vec![8, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]].concat()).len(),
            1
        );
    }

    #[test]
    fn only_media_are_in_it() {
        let nested = tag(22, 0, &tag(9, 0, b"deep"));
        assert_eq!(
            aggregate(0, [nested, tag(20, 0, b"close"), tag(8, 7, b"audio")].concat()),
            [(7, 8, b"audio".to_vec())]
        );
    }
}
