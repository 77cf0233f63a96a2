//! A writer of bit fields and Exp-Golomb codes (ITU-T H.264, 9.1).

/// Bits, most significant first.
#[derive(Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    pub fn bits(&mut self, count: u32, value: u32) -> &mut Self {
        for shift in (0..count).rev() {
            if self.used % 8 == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> shift & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
        self
    }

    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.bits(1, value.into())
    }

    /// `ue(v)`; `value` is below 2^31.
    pub fn ue(&mut self, value: u32) -> &mut Self {
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.bits(length - 1, 0).bits(length, code)
    }

    /// `se(v)`.
    pub fn se(&mut self, value: i32) -> &mut Self {
        self.ue(if value > 0 { 2 * value as u32 - 1 } else { 2 * value.unsigned_abs() })
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
