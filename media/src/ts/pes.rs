//! Heads of PES packets (2.4.3.6) and the bytes behind them, out of payloads.

/// Bytes of a head before its optional fields.
const FIXED: usize = 9;

/// What a payload turned out to be, in order.
pub(super) enum Piece<'a> {
    /// A PES packet begins.
    Head(Head),
    /// Bytes of the elementary stream.
    Body(&'a [u8]),
    /// The packet before was shorter than it had announced, or what begins here is not a packet of media.
    Damage,
}

/// The times in a head, 33 bits of 90 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub pts: Option<u64>,
    pub dts: Option<u64>,
}

/// Reads the PES packets of one PID.
pub(super) struct Pes {
    state: State,
    /// The length that a head announces ends its packet; else only the next head does. Of video some muxers write what is left of a
    /// length that has no room there.
    measured: bool,
}

enum State {
    /// Up to the next start.
    Idle,
    /// Within a head.
    Head(Vec<u8>),
    /// Behind one; what its length still promises, if it has one.
    Body(Option<usize>),
}

impl Pes {
    pub fn new(measured: bool) -> Self {
        Self { state: State::Idle, measured }
    }

    /// A payload is missing: nothing more before the next start.
    pub fn hole(&mut self) {
        self.state = State::Idle;
    }

    /// Takes a payload in.
    pub fn push<E>(
        &mut self,
        start: bool,
        payload: &[u8],
        mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if start {
            // In a head, nothing of the packet is passed on yet; but it is missing.
            if matches!(self.state, State::Body(Some(1..)) | State::Head(_)) {
                take(Piece::Damage)?;
            }
            self.state = State::Head(vec![]);
        }
        match &mut self.state {
            State::Idle => Ok(()),
            State::Body(None) => take(Piece::Body(payload)),
            State::Body(Some(left)) => {
                let promised = payload.len().min(*left);
                *left -= promised;
                take(Piece::Body(if self.measured { &payload[..promised] } else { payload }))
            }
            State::Head(held) => {
                held.extend_from_slice(payload);
                let held = std::mem::take(held);
                self.head(held, take)
            }
        }
    }

    /// Reads the head once it is whole; it may stretch over payloads.
    fn head<E>(&mut self, held: Vec<u8>, mut take: impl FnMut(Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        self.state = State::Idle;
        if !held.iter().zip([0, 0, 1]).all(|(&byte, wanted)| byte == wanted) {
            return take(Piece::Damage);
        }
        let Some(&[_, _, _, _, high, low, marks, flags, length]) = held.first_chunk::<FIXED>() else {
            self.state = State::Head(held);
            return Ok(());
        };
        // Packets without these bits, and scrambled ones, have no elementary stream in them.
        if marks & 0xf0 != 0x80 {
            return take(Piece::Damage);
        }
        let end = FIXED + usize::from(length);
        if held.len() < end {
            self.state = State::Head(held);
            return Ok(());
        }
        let (fields, body) = held[FIXED..].split_at(length.into());
        let pts = (flags & 0x80 != 0).then(|| time(fields)).flatten();
        let dts = (flags & 0xc0 == 0xc0).then(|| fields.get(5..).and_then(time)).flatten();
        take(Piece::Head(Head { pts, dts }))?;
        let announced = usize::from(u16::from_be_bytes([high, low]));
        let left = announced.checked_sub(end - 6).filter(|_| announced > 0);
        let promised = left.map_or(body.len(), |left| left.min(body.len()));
        self.state = State::Body(left.map(|left| left - promised));
        take(Piece::Body(if self.measured { &body[..promised] } else { body }))
    }
}

/// Five bytes with marker bits between, which are not looked at: decoders do not either.
fn time(field: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = field.first_chunk::<5>()?;
    let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
    Some((a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1)
}
