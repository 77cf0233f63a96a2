//! Boxes (4.2) in a slice, and fields in a box.

use super::Mp4Error;

/// A box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mp4Box<'a> {
    pub kind: [u8; 4],
    /// Where it begins in what was read.
    pub at: usize,
    pub body: &'a [u8],
}

/// The boxes of a slice, one after the other. `name` is what is damaged when they do not fill it.
pub(super) fn boxes<'a>(all: &'a [u8], name: &'static str) -> impl Iterator<Item = Result<Mp4Box<'a>, Mp4Error>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = all.get(at..).filter(|rest| !rest.is_empty())?;
        let read = first(rest, at).ok_or(Mp4Error::Damaged(name));
        at = match &read {
            Ok((_, length)) => at + length,
            // Where the next begins is not known.
            Err(_) => all.len(),
        };
        Some(read.map(|(found, _)| found))
    })
}

/// The first box of its kind in a slice; `None` also when the slice is damaged before it.
pub(super) fn find<'a>(all: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(all, "").map_while(Result::ok).find(|found| found.kind == *kind).map(|found| found.body)
}

/// A box and its length.
fn first(rest: &[u8], at: usize) -> Option<(Mp4Box<'_>, usize)> {
    let mut fields = Fields(rest);
    let (size, kind) = (fields.u32()?, fields.array()?);
    let length = match size {
        // To the end.
        0 => rest.len(),
        1 => usize::try_from(fields.u64()?).ok()?,
        size => usize::try_from(size).ok()?,
    };
    let head = rest.len() - fields.0.len();
    Some((Mp4Box { kind, at, body: rest.get(head..length)? }, length))
}

/// Reads fields one after the other; `None` behind the end.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Version and flags of a full box.
    pub fn version(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0xff_ffff))
    }

    /// A number of 64 bits in later versions, of 32 in the first.
    pub fn wide(&mut self, version: u8) -> Option<u64> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(all: &[u8]) -> Vec<Result<(String, usize), Mp4Error>> {
        let name = |found: Mp4Box| (String::from_utf8_lossy(&found.kind).into_owned(), found.body.len());
        boxes(all, "test").map(|found| found.map(name)).collect()
    }

    #[test]
    fn sizes_of_32_and_64_bits_and_to_the_end_are_read() {
        let all = [
            &[0, 0, 0, 9][..],
            b"free1",
            &[0, 0, 0, 1],
            b"mdat",
            &18u64.to_be_bytes(),
            b"22",
            &[0, 0, 0, 0],
            b"last333",
        ];
        let read = [("free".to_owned(), 1), ("mdat".to_owned(), 2), ("last".to_owned(), 3)];
        assert_eq!(kinds(&all.concat()), read.map(Ok));
    }

    #[test]
    fn a_size_that_leaves_its_slice_ends_the_boxes() {
        let damaged = || vec![Err(Mp4Error::Damaged("test"))];
        assert_eq!(kinds(&[&[0, 0, 0, 9][..], b"free"].concat()), damaged());
        assert_eq!(kinds(&[&[0, 0, 0, 7][..], b"free"].concat()), damaged(), "shorter than its head");
        assert_eq!(kinds(&[&[0, 0, 0, 1][..], b"free", &[0xff; 8]].concat()), damaged());
        assert_eq!(kinds(&[&[0, 0, 0, 1][..], b"free", &[0; 8]].concat()), damaged());
        assert_eq!(kinds(b"abc"), damaged());
        assert_eq!(kinds(b""), []);
    }
}
