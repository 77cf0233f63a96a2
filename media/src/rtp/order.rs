//! Packets back in order, what is to be asked for again, and holes that are waited for no longer.
//!
//! A missing packet may be on its way, late or sent again. It is waited for until `patience` has passed since the first packet behind it
//! came, or too much waits behind it; then it is a hole. So one lost packet holds up what follows for that long at most.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Packet;
use super::nack::Missing;

/// Most packets that wait behind a hole: over half a second at 8 Mbit/s.
const MOST_WAITING: usize = 1024;
/// Packets in a row that seem to be late after which the sender must have begun to count anew.
const MOST_LATE: u32 = 128;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next packet.
    Packet(Packet),
    /// Packets that did not come.
    Hole,
}

/// Counters of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderStats {
    /// Packets that came.
    pub received: u64,
    /// Packets that did not come in time.
    pub lost: u64,
    /// Packets that came twice, or after they were given up.
    pub late: u64,
    /// Packets that came once they were asked for.
    pub recovered: u64,
}

/// Orders one track's packets.
pub struct Order {
    patience: Duration,
    /// Number of the packet that comes next, counted without end; `None` before the first.
    next: Option<u64>,
    /// By number, with the time of arrival.
    waiting: BTreeMap<u64, (Instant, Packet)>,
    missing: Missing,
    late_in_a_row: u32,
    stats: OrderStats,
}

impl Order {
    /// Waits for missing packets for so long.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            next: None,
            waiting: BTreeMap::new(),
            missing: Missing::default(),
            late_in_a_row: 0,
            stats: OrderStats::default(),
        }
    }

    /// Counters so far.
    pub fn stats(&self) -> OrderStats {
        self.stats
    }

    /// Takes a packet that came now. What is ready then is to be fetched by [`Self::pop`].
    pub fn push(&mut self, packet: Packet, now: Instant) {
        self.stats.received += 1;
        let next = *self.next.get_or_insert(1 << 32 | u64::from(packet.sequence));
        // Half of the numbers are ahead, half behind.
        let ahead = packet.sequence.wrapping_sub(next as u16) as i16;
        let Some(number) = next.checked_add_signed(ahead.into()).filter(|number| *number >= next) else {
            self.stats.late += 1;
            self.late_in_a_row += 1;
            if self.late_in_a_row > MOST_LATE {
                self.restart(packet, now);
            }
            return;
        };
        self.late_in_a_row = 0;
        let expected = self.waiting.keys().next_back().map_or(next, |last| last + 1);
        if number > expected {
            self.missing.left_out(expected..number, now);
        } else if self.missing.came(number, now) {
            self.stats.recovered += 1;
        }
        if self.waiting.insert(number, (now, packet)).is_some() {
            self.stats.late += 1;
        }
    }

    /// What comes next, if it is there.
    pub fn pop(&mut self, now: Instant) -> Option<Next> {
        let (next, &first) = (self.next?, self.waiting.keys().next()?);
        if first == next {
            self.next = Some(next + 1);
            return self.waiting.remove(&first).map(|(_, packet)| Next::Packet(packet));
        }
        let earliest = self.waiting.values().map(|(came, _)| *came).min()?;
        if now < earliest + self.patience && self.waiting.len() <= MOST_WAITING {
            return None;
        }
        self.stats.lost += first - next;
        self.next = Some(first);
        self.missing.give_up(first);
        Some(Next::Hole)
    }

    /// Sequence numbers that the sender is to be asked for now; each call is a request. Who never calls it does not ask.
    pub fn requests(&mut self, now: Instant) -> Vec<u16> {
        self.missing.requests(now)
    }

    /// When there is something to be asked for.
    pub fn requests_due(&self) -> Option<Instant> {
        self.missing.due()
    }

    /// The sender counts anew: what waits is in the way, and there is a hole before its first packet.
    fn restart(&mut self, packet: Packet, now: Instant) {
        let behind = self.next.unwrap_or_default() + (1 << 17);
        let number = behind & !0xffff | u64::from(packet.sequence);
        self.waiting.clear();
        self.missing.give_up(number);
        self.late_in_a_row = 0;
        self.next = Some(number - 1);
        // Long ago, so that nobody waits for what does not exist.
        self.waiting.insert(number, (now.checked_sub(self.patience).unwrap_or(now), packet));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::now;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn packet(sequence: u16) -> Packet {
        Packet { sequence, timestamp: 0, marker: false, payload: Bytes::new() }
    }

    /// Sequence numbers in the order in which they come out; `None` is a hole.
    fn drain(order: &mut Order, now: Instant) -> Vec<Option<u16>> {
        std::iter::from_fn(|| order.pop(now))
            .map(|next| match next {
                Next::Packet(packet) => Some(packet.sequence),
                Next::Hole => None,
            })
            .collect()
    }

    #[test]
    fn packets_come_out_in_order_across_the_turn_of_their_numbers() {
        let (mut order, now) = (Order::new(PATIENCE), now());
        for sequence in [65_534, 0, 65_535, 2, 1, 1] {
            order.push(packet(sequence), now);
        }
        assert_eq!(drain(&mut order, now), [65_534, 65_535, 0, 1, 2].map(Some));
        assert_eq!(order.stats(), OrderStats { received: 6, late: 1, ..OrderStats::default() });
    }

    #[test]
    fn a_missing_packet_is_waited_for_as_long_as_patience_lasts() {
        let (mut order, start) = (Order::new(PATIENCE), now());
        order.push(packet(1), start);
        order.push(packet(4), start);
        order.push(packet(5), start + PATIENCE / 2);
        assert_eq!(drain(&mut order, start + PATIENCE - Duration::from_millis(1)), [Some(1)]);
        assert_eq!(drain(&mut order, start + PATIENCE), [None, Some(4), Some(5)]);
        order.push(packet(3), start + PATIENCE);
        assert_eq!(drain(&mut order, start + PATIENCE), []);
        assert_eq!(order.stats(), OrderStats { received: 4, lost: 2, late: 1, recovered: 0 });
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_comes_or_is_given_up() {
        let (mut order, start) = (Order::new(PATIENCE), now());
        let after = |ms| start + Duration::from_millis(ms);
        for sequence in [65_534, 1, 3] {
            order.push(packet(sequence), start);
        }
        assert_eq!(order.requests_due(), Some(start));
        assert_eq!(order.requests(start), [65_535, 0, 2]);
        order.push(packet(0), after(40));
        order.push(packet(0), after(41));
        assert_eq!(order.requests(after(200)), [65_535, 2]);
        order.push(packet(4), after(499));
        assert_eq!(drain(&mut order, after(500)), [Some(65_534), None, Some(0), Some(1), None, Some(3), Some(4)]);
        assert_eq!(order.requests_due(), None);
        assert_eq!(order.stats(), OrderStats { received: 6, lost: 2, late: 1, recovered: 1 });
    }

    #[test]
    fn too_much_behind_a_hole_ends_the_wait() {
        let (mut order, now) = (Order::new(PATIENCE), now());
        order.push(packet(0), now);
        drain(&mut order, now);
        for sequence in 2..=1026 {
            assert_eq!(drain(&mut order, now), []);
            order.push(packet(sequence), now);
        }
        assert_eq!(drain(&mut order, now).len(), 1026);
    }

    #[test]
    fn a_sender_that_counts_anew_is_followed() {
        let (mut order, now) = (Order::new(PATIENCE), now());
        order.push(packet(40_000), now);
        drain(&mut order, now);
        let mut out = vec![];
        for sequence in 20_000..20_200 {
            order.push(packet(sequence), now);
            out.extend(drain(&mut order, now));
        }
        assert_eq!(out[0], None);
        assert_eq!(out.last(), Some(&Some(20_199)));
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_comes_out_twice_and_what_waits_is_bounded(
            packets in prop::collection::vec((any::<u16>(), 0u64..100), 1..3000), step in 1u16..3
        ) {
            let (mut order, mut now) = (Order::new(PATIENCE), now());
            let mut sequence = 0u16;
            for (noise, gap) in packets {
                sequence = if noise % 50 == 0 { noise } else { sequence.wrapping_add(step) };
                now += Duration::from_millis(gap);
                order.push(packet(sequence), now);
                let out = drain(&mut order, now);
                prop_assert!(out.windows(2).all(|pair| pair != [None, None]));
                prop_assert!(order.waiting.len() <= MOST_WAITING + 1);
            }
        }
    }
}
