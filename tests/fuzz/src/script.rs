//! A fuzzer's bytes read as a list of choices.

/// Reads choices from the front; behind the end every choice is 0, so each input is a whole script.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// One of the list.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }

    /// `count` bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}

/// `wire` in the pieces that a network might deliver it in: whole for 0, its first 2000 bytes one by one for 1, else of lengths
/// that differ.
pub fn pieces(mut wire: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut singles = 2000;
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        if wire.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = match seed {
            0 => usize::MAX,
            1 if singles > 0 => {
                singles -= 1;
                1
            }
            2..128 => 1 + (state >> 16) as usize % 40,
            _ => 1 + (state >> 16) as usize % 3000,
        };
        let (piece, rest) = wire.split_at(most.min(wire.len()));
        wire = rest;
        Some(piece)
    })
}
