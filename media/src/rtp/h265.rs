//! H.265 in RTP (RFC 7798) without decoding order numbers, which a sender has to announce: single units, aggregates and fragments.

use super::depacketize::Stream;

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const TYPE: u8 = 0x3f;

/// Adds a payload to its picture; `None` when it cannot be read.
pub(super) fn take(payload: &[u8], stream: &mut Stream) -> Option<()> {
    let (&[high, low], rest) = payload.split_first_chunk::<2>()?;
    match high >> 1 & TYPE {
        0..AGGREGATION => stream.unit(payload),
        AGGREGATION => stream.aggregate(rest),
        // 4.4.3: the unit's type stands in the fragment's head, the remainder of its head in the payload's.
        FRAGMENTATION => {
            let (&fragment, part) = rest.split_first()?;
            stream.fragment(&[high & !(TYPE << 1) | (fragment & TYPE) << 1, low], fragment, part)
        }
        // Not announced, or not defined.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::codec::VideoCodec;
    use crate::rtp::Packet;
    use crate::rtp::depacketize::{Depacketizer, Unit};

    fn drain(payloads: &[&[u8]]) -> Vec<Unit> {
        let mut depacketizer = Depacketizer::new(VideoCodec::Hevc);
        for (at, payload) in payloads.iter().enumerate() {
            let (payload, marker) = (Bytes::copy_from_slice(payload), at + 1 == payloads.len());
            depacketizer.push(&Packet { sequence: 0, timestamp: 9, marker, payload });
        }
        std::iter::from_fn(|| depacketizer.poll()).collect()
    }

    #[test]
    fn aggregates_fragments_and_single_units_make_one_picture() {
        let units = drain(&[
            &[48 << 1, 1, 0, 3, 32 << 1, 1, 7, 0, 2, 33 << 1, 1],
            &[34 << 1, 1, 8],
            // An IDR picture of type 19 in three parts.
            &[49 << 1, 1, 0x80 | 19, 1],
            &[49 << 1, 1, 19, 2],
            &[49 << 1, 1, 0x40 | 19, 3],
        ]);
        let parts: [&[u8]; 4] = [&[64, 1, 7], &[66, 1], &[68, 1, 8], &[38, 1, 1, 2, 3]];
        let stream = parts.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect();
        assert_eq!(units, [Unit::Picture { timestamp: 9, stream }]);
    }

    #[test]
    fn what_cannot_be_read_is_damage() {
        let damaged: [&[u8]; 6] = [
            &[38],
            &[48 << 1, 1, 0, 9, 38],
            &[48 << 1, 1, 0],
            &[49 << 1, 1],
            &[49 << 1, 1, 19, 1],
            // Carries extensions nobody announced.
            &[50 << 1, 1, 0, 0, 38, 1, 1],
        ];
        for payload in damaged {
            assert_eq!(drain(&[payload, &[38, 1, 1]]), [Unit::Damage], "{payload:02x?}");
        }
    }
}
