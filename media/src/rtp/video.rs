//! One H.264 track: packets to access units, and to the wish for a keyframe.

use std::time::{Duration, Instant};

use super::Packet;
use super::depacketize::{Depacketizer, Unit};
use super::order::{Next, Order, OrderStats};
use crate::codec::VideoCodec;
use crate::codec::in_band::{Found, InBandError, Picture, PictureReader};

/// How long a missing packet is waited for. What is sent again comes after a round trip or two; without a bound one packet that never
/// comes would hold up everything behind it.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Counters of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoStats {
    /// Of its packets.
    pub packets: OrderStats,
    /// Pictures with something missing or wrong, dropped; at least, because a hole may swallow whole ones.
    pub damaged: u64,
    /// Pictures without fault that cannot be decoded, dropped: no keyframe since the start or since a damaged one.
    pub skipped: u64,
}

/// Reads one track.
pub struct VideoReader {
    order: Order,
    units: Depacketizer,
    pictures: PictureReader,
    damaged: u64,
    skipped: u64,
}

impl Default for VideoReader {
    fn default() -> Self {
        Self {
            order: Order::new(PATIENCE),
            units: Depacketizer::new(VideoCodec::H264),
            pictures: PictureReader::new(VideoCodec::H264, None),
            damaged: 0,
            skipped: 0,
        }
    }
}

impl VideoReader {
    /// Takes a packet that came now. What it completes is to be fetched by [`Self::poll`].
    pub fn push(&mut self, packet: Packet, now: Instant) {
        self.order.push(packet, now);
    }

    /// What is complete, in decoding order, with its RTP timestamp. Behind what is missing nothing comes before a keyframe.
    pub fn poll(&mut self, now: Instant) -> Result<Option<(u32, Picture)>, InBandError> {
        loop {
            match self.units.poll() {
                Some(Unit::Picture { timestamp, stream }) => match self.pictures.read(&stream, false)? {
                    Found::Picture(picture) => return Ok(Some((timestamp, picture))),
                    Found::Skipped => self.skipped += 1,
                    Found::Damaged => self.damaged += 1,
                    Found::Nothing => {}
                },
                Some(Unit::Damage) => {
                    self.damaged += 1;
                    self.pictures.hole();
                }
                None => match self.order.pop(now) {
                    Some(Next::Packet(packet)) => self.units.push(&packet),
                    Some(Next::Hole) => self.units.hole(),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Sequence numbers that the sender is to be asked for now; each call is a request.
    pub fn requests(&mut self, now: Instant) -> Vec<u16> {
        self.order.requests(now)
    }

    /// When there is something to be asked for.
    pub fn requests_due(&self) -> Option<Instant> {
        self.order.requests_due()
    }

    /// Nothing comes out before a keyframe does: the sender has to be asked for one.
    pub fn waits_for_keyframe(&self) -> bool {
        self.pictures.waits_for_keyframe()
    }

    /// Counters so far.
    pub fn stats(&self) -> VideoStats {
        VideoStats { packets: self.order.stats(), damaged: self.damaged, skipped: self.skipped }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rtp::now;

    const SPS: &[u8] = &[
        0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xc1,
        0x8c, 0xb0,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
    const IDR: &[u8] = &[0x65, 0x88, 0x80];

    #[test]
    fn a_lost_packet_costs_its_picture_and_what_refers_to_it_until_the_next_keyframe() {
        let (mut reader, start) = (VideoReader::default(), now());
        let mut key = vec![24];
        for unit in [SPS, PPS, IDR] {
            key.extend((unit.len() as u16).to_be_bytes());
            key.extend_from_slice(unit);
        }
        let delta = [0x41, 0x9a, 0x80];
        let mut out = vec![];
        assert!(reader.waits_for_keyframe());
        for (sequence, is_key) in [(0u16, true), (1, false), (3, false), (4, false), (5, true), (6, false)] {
            let payload = Bytes::copy_from_slice(if is_key { &key } else { &delta });
            let packet = Packet { sequence, timestamp: u32::from(sequence) * 3000, marker: true, payload };
            let now = start + Duration::from_millis(u64::from(sequence) * 300);
            reader.push(packet, now);
            while let Some((timestamp, picture)) = reader.poll(now).unwrap() {
                out.push((timestamp / 3000, picture.keyframe, picture.config.is_some()));
            }
        }
        assert_eq!(out, [(0, true, true), (1, false, false), (5, true, false), (6, false, false)]);
        let stats = reader.stats();
        assert_eq!((stats.packets.received, stats.packets.lost, stats.damaged, stats.skipped), (6, 1, 1, 1));
    }
}
