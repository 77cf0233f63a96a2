//! H.264 in RTP (RFC 6184), packetization mode 1: single units, aggregates (STAP-A) and fragments (FU-A).

use super::depacketize::Stream;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const TYPE: u8 = 0x1f;

/// Adds a payload to its picture; `None` when it cannot be read.
pub(super) fn take(payload: &[u8], stream: &mut Stream) -> Option<()> {
    let (&head, rest) = payload.split_first()?;
    match head & TYPE {
        1..=23 => stream.unit(payload),
        STAP_A => stream.aggregate(rest),
        // 5.8: the unit's head is split between the indicator and the fragment's head.
        FU_A => {
            let (&fragment, part) = rest.split_first()?;
            stream.fragment(&[head & !TYPE | fragment & TYPE], fragment, part)
        }
        // Mode 2 only, or reserved.
        _ => None,
    }
}
