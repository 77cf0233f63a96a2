//! A bounds-checked reader of bit fields, most significant bit first, with the Exp-Golomb codes of H.264 (9.1).
//!
//! Every read past the end is `None`; nothing panics on any bytes.

/// A cursor over bits.
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// One bit.
    pub fn flag(&mut self) -> Option<bool> {
        let byte = *self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `count` bits as a number; `count` is at most 32.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(self.flag()?);
        }
        u32::try_from(value).ok()
    }

    /// Skips `count` bits, which have to be there.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count)?;
        (at <= self.data.len() * 8).then(|| self.at = at)
    }

    /// `ue(v)`: unsigned Exp-Golomb.
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        // At most 2^31 - 1 + 2^31 - 1, which fits.
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)`: signed Exp-Golomb.
    pub fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        // 1, 010, 011, 00100, 00101: the first five codes of table 9-2.
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([(); 5].map(|()| reader.ue()), [0, 1, 2, 3, 4].map(Some));
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([(); 5].map(|()| reader.se()), [0, 1, -1, 2, -2].map(Some));
    }

    #[test]
    fn reading_past_the_end_is_none() {
        let mut reader = BitReader::new(&[0xff]);
        assert_eq!((reader.bits(8), reader.flag(), reader.bits(3)), (Some(255), None, None));
        assert_eq!(BitReader::new(&[0; 9]).ue(), None, "no code is that long");
        assert_eq!(BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).ue(), Some(0xffff_fffe));
    }
}
