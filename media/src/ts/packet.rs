//! One packet's head (2.4.3.2 to 2.4.3.5), and whether packets of a PID follow each other.

use super::grid::PACKET;

/// PID of packets that only fill.
pub(super) const NULL_PID: u16 = 0x1fff;

/// What is read of a packet.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub pid: u16,
    /// A PES packet begins, or a section does somewhere.
    pub start: bool,
    pub scrambled: bool,
    counter: u8,
    /// `discontinuity_indicator`: the sender knows that counter or clock jump here.
    pub discontinuity: bool,
    /// `random_access_indicator`.
    pub random_access: bool,
    pub payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// `None` for a packet that its sender marked as damaged, or that contradicts itself.
    pub fn read(packet: &'a [u8; PACKET]) -> Option<Self> {
        let [_, flags, low, control, body @ ..] = packet;
        if flags & 0x80 != 0 {
            return None;
        }
        let (mut adaptation, mut payload): (&[u8], &[u8]) = (&[], body);
        if control & 0x20 != 0 {
            let (&length, rest) = body.split_first()?;
            (adaptation, payload) = rest.split_at_checked(length.into())?;
        }
        let has_payload = control & 0x10 != 0;
        // Neither is reserved; and a payload that is announced has a byte at least.
        if has_payload == payload.is_empty() && (has_payload || control & 0x20 == 0) {
            return None;
        }
        let said = adaptation.first().copied().unwrap_or(0);
        Some(Self {
            pid: u16::from(flags & 0x1f) << 8 | u16::from(*low),
            start: flags & 0x40 != 0,
            scrambled: control & 0xc0 != 0,
            counter: control & 15,
            discontinuity: said & 0x80 != 0,
            random_access: said & 0x40 != 0,
            payload: has_payload.then_some(payload),
        })
    }
}

/// How a packet follows the one before it of its PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Right behind it.
    Next,
    /// It is the same once more, which is allowed once.
    Repeated,
    /// Something is missing between them.
    Hole,
}

/// The counter of one PID. It has four bits: a multiple of 16 packets can be missing unseen.
#[derive(Default)]
pub(super) struct Continuity {
    last: Option<u8>,
    repeated: bool,
    /// Payload of the last packet.
    kept: Vec<u8>,
}

impl Continuity {
    pub fn step(&mut self, packet: &Packet<'_>) -> Step {
        // It counts payloads only.
        let Some(payload) = packet.payload else { return Step::Next };
        let step = match self.last {
            None => Step::Next,
            Some(last) if packet.counter == (last + 1) & 15 => Step::Next,
            Some(last) if packet.counter == last && !self.repeated && self.kept == payload => Step::Repeated,
            Some(_) => Step::Hole,
        };
        self.last = Some(packet.counter);
        self.repeated = step == Step::Repeated;
        if step != Step::Repeated {
            self.kept.clear();
            self.kept.extend_from_slice(payload);
        }
        step
    }
}
