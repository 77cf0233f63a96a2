//! Packets of a video track to the byte stream of one picture at a time.
//!
//! A picture ends with the packet that bears the marker, or where the timestamp changes. Behind a hole nothing is taken before the next
//! picture begins, because what the hole swallowed may have been the head of this one.

use std::collections::VecDeque;

use super::{Packet, h264, h265};
use crate::codec::VideoCodec;

/// Longest picture, bytes.
const LONGEST: usize = 8 << 20;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What packets come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Unit {
    /// All NAL units of one picture behind start codes.
    Picture {
        /// Its RTP timestamp.
        timestamp: u32,
        /// The byte stream.
        stream: Vec<u8>,
    },
    /// Something is missing or wrong here.
    Damage,
}

/// Puts one track's packets together.
pub struct Depacketizer {
    codec: VideoCodec,
    /// The picture that is open.
    open: Option<Open>,
    /// Timestamp of a picture of which nothing more is taken.
    broken: Option<Broken>,
    ready: VecDeque<Unit>,
}

struct Open {
    timestamp: u32,
    stream: Stream,
}

enum Broken {
    /// The next packet's picture, whichever it is.
    Next,
    /// The one with this timestamp.
    Picture(u32),
}

/// A picture's byte stream as far as it has come.
#[derive(Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// A fragmented unit goes on.
    fragment: bool,
}

impl Depacketizer {
    /// Of a track of this codec.
    pub fn new(codec: VideoCodec) -> Self {
        Self { codec, open: None, broken: None, ready: VecDeque::new() }
    }

    /// What is complete, in order.
    pub fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    /// Packets are missing before the next one.
    pub fn hole(&mut self) {
        self.open = None;
        self.broken = Some(Broken::Next);
        self.ready.push_back(Unit::Damage);
    }

    /// Takes the next packet. Those without payload only probe the network.
    pub fn push(&mut self, packet: &Packet) {
        if packet.payload.is_empty() {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.timestamp != packet.timestamp) {
            self.finish();
        }
        match self.broken {
            Some(Broken::Picture(timestamp)) if timestamp != packet.timestamp => self.broken = None,
            Some(_) => {
                self.broken = (!packet.marker).then_some(Broken::Picture(packet.timestamp));
                return;
            }
            None => {}
        }
        let timestamp = packet.timestamp;
        let open = self.open.get_or_insert_with(|| Open { timestamp, stream: Stream::default() });
        let taken = match self.codec {
            VideoCodec::H264 => h264::take(&packet.payload, &mut open.stream),
            VideoCodec::Hevc => h265::take(&packet.payload, &mut open.stream),
        };
        if taken.is_none() || open.stream.bytes.len() > LONGEST {
            self.open = None;
            self.broken = (!packet.marker).then_some(Broken::Picture(packet.timestamp));
            self.ready.push_back(Unit::Damage);
        } else if packet.marker {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(Open { timestamp, stream }) = self.open.take() {
            let Stream { bytes: stream, fragment } = stream;
            // A fragment without its end is a picture without its end.
            self.ready.push_back(if fragment { Unit::Damage } else { Unit::Picture { timestamp, stream } });
        }
    }
}

/// What a payload turns out to be. `None` is one that cannot be read.
impl Stream {
    /// One whole unit.
    pub fn unit(&mut self, unit: &[u8]) -> Option<()> {
        if unit.is_empty() || self.fragment {
            return None;
        }
        self.bytes.extend_from_slice(&START_CODE);
        self.bytes.extend_from_slice(unit);
        Some(())
    }

    /// Whole units behind lengths of two bytes.
    pub fn aggregate(&mut self, mut rest: &[u8]) -> Option<()> {
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            self.unit(unit)?;
            rest = behind;
        }
        rest.is_empty().then_some(())
    }

    /// A part of a unit that has this head. The fragment's own head says, in its first two bits, whether it is the first and the last one.
    pub fn fragment(&mut self, unit_head: &[u8], fragment_head: u8, part: &[u8]) -> Option<()> {
        let (start, end) = (fragment_head & 0x80 != 0, fragment_head & 0x40 != 0);
        if start == self.fragment {
            return None;
        }
        if start {
            self.bytes.extend_from_slice(&START_CODE);
            self.bytes.extend_from_slice(unit_head);
        }
        self.bytes.extend_from_slice(part);
        self.fragment = !end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
        Packet { sequence: 0, timestamp, marker, payload: Bytes::copy_from_slice(payload) }
    }

    fn drain(packets: &[Packet]) -> Vec<Unit> {
        let mut depacketizer = Depacketizer::new(VideoCodec::H264);
        packets.iter().for_each(|packet| depacketizer.push(packet));
        std::iter::from_fn(|| depacketizer.poll()).collect()
    }

    fn picture(timestamp: u32, units: &[&[u8]]) -> Unit {
        let stream = units.iter().flat_map(|unit| [&START_CODE[..], unit].concat()).collect();
        Unit::Picture { timestamp, stream }
    }

    #[test]
    fn aggregates_fragments_and_single_units_make_one_picture() {
        let units = drain(&[
            packet(9, false, &[24, 0, 2, 0x67, 1, 0, 1, 0x68]),
            packet(9, false, &[0x7c, 0x85, 1, 2]),
            packet(9, false, &[]),
            packet(9, false, &[0x7c, 0x05, 3]),
            packet(9, false, &[0x7c, 0x45, 4]),
            packet(9, true, &[0x41, 5]),
        ]);
        assert_eq!(units, [picture(9, &[&[0x67, 1], &[0x68], &[0x65, 1, 2, 3, 4], &[0x41, 5]])]);
    }

    #[test]
    fn a_new_timestamp_ends_a_picture_without_marker() {
        let units = drain(&[packet(1, false, &[0x41, 1]), packet(2, true, &[0x41, 2])]);
        assert_eq!(units, [picture(1, &[&[0x41, 1]]), picture(2, &[&[0x41, 2]])]);
    }

    #[test]
    fn behind_a_hole_the_rest_of_a_picture_is_dropped() {
        let mut depacketizer = Depacketizer::new(VideoCodec::H264);
        depacketizer.push(&packet(1, false, &[0x41, 1]));
        depacketizer.hole();
        for packet in [packet(1, true, &[0x41, 2]), packet(2, true, &[0x41, 3])] {
            depacketizer.push(&packet);
        }
        let units: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
        assert_eq!(units, [Unit::Damage, picture(2, &[&[0x41, 3]])]);
    }

    #[test]
    fn a_picture_whose_head_is_in_the_hole_does_not_pass_as_whole() {
        let mut depacketizer = Depacketizer::new(VideoCodec::H264);
        depacketizer.hole();
        for packet in [packet(2, false, &[0x41, 1]), packet(2, true, &[0x41, 2]), packet(3, true, &[0x41, 3])] {
            depacketizer.push(&packet);
        }
        let units: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
        assert_eq!(units, [Unit::Damage, picture(3, &[&[0x41, 3]])]);
    }

    #[test]
    fn what_cannot_be_read_is_damage_and_takes_its_picture_with_it() {
        let damaged: [&[u8]; 9] = [
            &[24, 0],
            &[24, 0, 1, 0x41, 0],
            &[24, 0, 9, 0x41],
            &[24, 0, 0],
            &[0x7c],
            &[0x7c, 0x05, 1],
            &[25, 0, 0, 0, 1, 0x41],
            &[0x00, 1],
            &[31, 1],
        ];
        for payload in damaged {
            let units = drain(&[packet(1, false, payload), packet(1, true, &[0x41, 1]), packet(2, true, &[0x41, 2])]);
            assert_eq!(units, [Unit::Damage, picture(2, &[&[0x41, 2]])], "{payload:02x?}");
        }
        let units = drain(&[packet(1, true, &[0x7c, 0x85, 1]), packet(2, true, &[0x41, 2])]);
        assert_eq!(units, [Unit::Damage, picture(2, &[&[0x41, 2]])], "no end");
    }

    proptest! {
        #[test]
        fn no_packets_make_it_panic_or_hold_more_than_a_picture(
            packets in prop::collection::vec((0u32..4, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..200),
            hevc in any::<bool>(),
        ) {
            let codec = if hevc { VideoCodec::Hevc } else { VideoCodec::H264 };
            let mut depacketizer = Depacketizer::new(codec);
            for (timestamp, marker, hole, mut payload) in packets {
                if let Some(head) = payload.first_mut() {
                    let heads = if hevc { [2, 38, 66, 96, 98, 98, 98, *head] } else { [1, 5, 7, 24, 28, 28, 28, *head] };
                    *head = heads[usize::from(*head % 8)];
                }
                if hole && timestamp == 0 {
                    depacketizer.hole();
                }
                depacketizer.push(&packet(timestamp, marker, &payload));
                while depacketizer.poll().is_some() {}
                prop_assert!(depacketizer.open.as_ref().is_none_or(|open| open.stream.bytes.len() <= LONGEST));
            }
        }
    }
}
