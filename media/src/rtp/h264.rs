//! H.264 in RTP (RFC 6184), packetization mode 1: single units, aggregates (STAP-A) and fragments (FU-A) to a picture's byte stream.
//!
//! A picture ends with the packet that bears the marker, or where the timestamp changes. Behind a hole nothing is taken before the next
//! picture begins, because what the hole swallowed may have been the head of this one.

use std::collections::VecDeque;

use super::Packet;

/// Longest picture, bytes.
const LONGEST: usize = 8 << 20;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const TYPE: u8 = 0x1f;

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
#[derive(Default)]
pub struct Depacketizer {
    /// The picture that is open.
    open: Option<Open>,
    /// Timestamp of a picture of which nothing more is taken.
    broken: Option<Broken>,
    ready: VecDeque<Unit>,
}

struct Open {
    timestamp: u32,
    stream: Vec<u8>,
    /// A fragmented unit goes on.
    fragment: bool,
}

enum Broken {
    /// The next packet's picture, whichever it is.
    Next,
    /// The one with this timestamp.
    Picture(u32),
}

impl Depacketizer {
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
        let open = self.open.get_or_insert_with(|| Open { timestamp, stream: vec![], fragment: false });
        if open.take(&packet.payload).is_none() || open.stream.len() > LONGEST {
            self.open = None;
            self.broken = (!packet.marker).then_some(Broken::Picture(packet.timestamp));
            self.ready.push_back(Unit::Damage);
        } else if packet.marker {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(Open { timestamp, stream, fragment }) = self.open.take() {
            // A fragment without its end is a picture without its end.
            self.ready.push_back(if fragment { Unit::Damage } else { Unit::Picture { timestamp, stream } });
        }
    }
}

impl Open {
    /// Adds a payload; `None` when it cannot be read.
    fn take(&mut self, payload: &[u8]) -> Option<()> {
        let (&head, rest) = payload.split_first()?;
        match head & TYPE {
            FU_A => self.fragment(head, rest),
            _ if self.fragment => None,
            1..=23 => self.unit(payload),
            STAP_A => {
                let mut rest = rest;
                while let Some((length, behind)) = rest.split_first_chunk::<2>() {
                    let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
                    self.unit(unit)?;
                    rest = behind;
                }
                rest.is_empty().then_some(())
            }
            // Mode 2 only, or reserved.
            _ => None,
        }
    }

    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        if unit.is_empty() {
            return None;
        }
        self.stream.extend_from_slice(&START_CODE);
        self.stream.extend_from_slice(unit);
        Some(())
    }

    /// RFC 6184, 5.8: the unit's head is split between the indicator and the fragment's head.
    fn fragment(&mut self, indicator: u8, rest: &[u8]) -> Option<()> {
        let (&head, data) = rest.split_first()?;
        let (start, end) = (head & FU_START != 0, head & FU_END != 0);
        if start == self.fragment {
            return None;
        }
        if start {
            self.stream.extend_from_slice(&START_CODE);
            self.stream.push(indicator & !TYPE | head & TYPE);
        }
        self.stream.extend_from_slice(data);
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
        let mut depacketizer = Depacketizer::default();
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
        let mut depacketizer = Depacketizer::default();
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
        let mut depacketizer = Depacketizer::default();
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
            packets in prop::collection::vec((0u32..4, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..200)
        ) {
            let mut depacketizer = Depacketizer::default();
            for (timestamp, marker, hole, mut payload) in packets {
                if let Some(head) = payload.first_mut() {
                    *head = [1, 5, 7, 24, 28, 28, 28, *head][usize::from(*head % 8)];
                }
                if hole && timestamp == 0 {
                    depacketizer.hole();
                }
                depacketizer.push(&packet(timestamp, marker, &payload));
                while depacketizer.poll().is_some() {}
                prop_assert!(depacketizer.open.as_ref().is_none_or(|open| open.stream.len() <= LONGEST));
            }
        }
    }
}
