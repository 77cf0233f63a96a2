//! AAC in RTP (RFC 3640), mode AAC-hbr: sizes of 13 bits and indices of 3 before the frames of a packet.
//!
//! Frames that overtake each other (interleaving) are not taken. A frame that is longer than a packet comes in several ones.

use bytes::{Bytes, BytesMut};

use super::Packet;

/// Bits of a frame's header.
const HEADER: usize = 16;
/// Most frames of a packet: several seconds of sound, which nobody sends at once.
const MOST: usize = 256;

/// Puts one track's packets together.
#[derive(Default)]
pub struct Depacketizer {
    /// A frame that is longer than its packets so far.
    open: Option<Open>,
}

struct Open {
    timestamp: u32,
    size: usize,
    data: BytesMut,
}

impl Depacketizer {
    /// Packets are missing before the next one.
    pub fn hole(&mut self) {
        self.open = None;
    }

    /// Takes the next packet. What it completes, in order: the first frame's time is the packet's. `None` when it cannot be read.
    pub fn push(&mut self, packet: &Packet) -> Option<Vec<Bytes>> {
        let open = self.open.take().filter(|open| open.timestamp == packet.timestamp);
        let (bits, rest) = packet.payload.split_first_chunk::<2>()?;
        let bits = usize::from(u16::from_be_bytes(*bits));
        let count = bits / HEADER;
        if bits % HEADER != 0 || !(1..=MOST).contains(&count) {
            return None;
        }
        let (headers, data) = rest.split_at_checked(count * 2)?;
        let mut data = packet.payload.slice_ref(data);
        if let Some(mut open) = open {
            open.data.extend_from_slice(&data);
            return self.go_on(open);
        }
        let mut frames = Vec::with_capacity(count);
        for header in headers.chunks_exact(2) {
            let header = u16::from_be_bytes([header[0], header[1]]);
            let (size, index) = (usize::from(header >> 3), header & 7);
            if index != 0 || size == 0 {
                return None;
            }
            if size > data.len() && count == 1 {
                return self.go_on(Open { timestamp: packet.timestamp, size, data: BytesMut::from(&data[..]) });
            }
            if size > data.len() {
                return None;
            }
            frames.push(data.split_to(size));
        }
        Some(frames)
    }

    fn go_on(&mut self, open: Open) -> Option<Vec<Bytes>> {
        match open.data.len().cmp(&open.size) {
            std::cmp::Ordering::Less => {
                self.open = Some(open);
                Some(vec![])
            }
            std::cmp::Ordering::Equal => Some(vec![open.data.freeze()]),
            std::cmp::Ordering::Greater => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(depacketizer: &mut Depacketizer, timestamp: u32, payload: &[u8]) -> Option<Vec<Bytes>> {
        let payload = Bytes::copy_from_slice(payload);
        depacketizer.push(&Packet { sequence: 0, timestamp, marker: true, payload })
    }

    fn frames(frames: &[&'static [u8]]) -> Option<Vec<Bytes>> {
        Some(frames.iter().map(|frame| Bytes::from_static(frame)).collect())
    }

    #[test]
    fn the_frames_of_a_packet_come_out_in_order() {
        let mut depacketizer = Depacketizer::default();
        let payload = [0, 32, 0, 2 << 3, 0, 1 << 3, 1, 2, 3];
        assert_eq!(push(&mut depacketizer, 0, &payload), frames(&[&[1, 2], &[3]]));
    }

    #[test]
    fn a_frame_in_fragments_is_put_together() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(push(&mut depacketizer, 5, &[0, 16, 0, 4 << 3, 1, 2]), frames(&[]));
        assert_eq!(push(&mut depacketizer, 5, &[0, 16, 0, 4 << 3, 3]), frames(&[]));
        assert_eq!(push(&mut depacketizer, 5, &[0, 16, 0, 4 << 3, 4]), frames(&[&[1, 2, 3, 4]]));
    }

    #[test]
    fn a_frame_with_a_hole_or_without_its_end_does_not_come_out() {
        let mut depacketizer = Depacketizer::default();
        push(&mut depacketizer, 5, &[0, 16, 0, 4 << 3, 1, 2]);
        depacketizer.hole();
        assert_eq!(push(&mut depacketizer, 5, &[0, 16, 0, 4 << 3, 3]), frames(&[]));
        assert_eq!(push(&mut depacketizer, 6, &[0, 16, 0, 1 << 3, 9]), frames(&[&[9]]));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let damaged: [&[u8]; 7] = [
            &[],
            &[0, 16],
            &[0, 8, 8, 1],
            &[0, 0],
            &[0, 16, 0, 0],
            &[0, 16, 0, 1 << 3 | 1, 1],
            &[0, 32, 0, 8, 0, 16, 1, 2],
        ];
        for payload in damaged {
            assert_eq!(push(&mut Depacketizer::default(), 0, payload), None, "{payload:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_packets_make_it_panic_or_hold_more_than_a_packet_and_a_frame(
            packets in prop::collection::vec((0u32..3, prop::collection::vec(any::<u8>(), 0..60)), 0..100)
        ) {
            let mut depacketizer = Depacketizer::default();
            for (timestamp, mut payload) in packets {
                if let [high, low, size, ..] = &mut payload[..] {
                    (*high, *low, *size) = (0, 16 << (*low % 2), *size % 2);
                }
                push(&mut depacketizer, timestamp, &payload);
                prop_assert!(depacketizer.open.as_ref().is_none_or(|open| open.data.len() < open.size && open.size < 1 << 13));
            }
        }
    }
}
