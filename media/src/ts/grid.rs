//! The 188-byte grid (2.4.3.2): packets out of bytes of any chunking, and found again after what is none.

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
/// First byte of each.
const SYNC: u8 = 0x47;

/// Finds packets.
///
/// A grid is taken for one when three sync bytes stand on it, and is left at the first that does not. Where it is depends on the bytes
/// alone, not on how they were cut.
#[derive(Default)]
pub(super) struct Grid {
    /// Bytes from where the next packet is, or is searched: less than three packets.
    held: Vec<u8>,
    locked: bool,
    /// Times the grid was left.
    pub losses: u64,
    /// Bytes beside it, in all.
    pub garbage: u64,
    /// The same since the last packet.
    pub astray: usize,
}

impl Grid {
    /// Hands each packet that `bytes` complete to `take`, and stops at its first error.
    pub fn push<E>(&mut self, bytes: &[u8], take: impl FnMut(&[u8; PACKET]) -> Result<(), E>) -> Result<(), E> {
        if self.held.is_empty() {
            let used = self.walk(bytes, take)?;
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let used = self.walk(&held, take)?;
            held.drain(..used);
            self.held = held;
        }
        Ok(())
    }

    /// Returns how many bytes are done with.
    fn walk<E>(&mut self, data: &[u8], mut take: impl FnMut(&[u8; PACKET]) -> Result<(), E>) -> Result<usize, E> {
        let mut at = 0;
        loop {
            if !self.locked {
                let (beside, found) = search(&data[at..]);
                at += beside;
                self.garbage += beside as u64;
                self.astray = self.astray.saturating_add(beside);
                if !found {
                    return Ok(at);
                }
                self.locked = true;
            }
            let Some(packet) = data[at..].first_chunk::<PACKET>() else { return Ok(at) };
            if packet[0] != SYNC {
                self.locked = false;
                self.losses += 1;
                continue;
            }
            self.astray = 0;
            take(packet)?;
            at += PACKET;
        }
    }
}

/// Bytes up to a grid, or up to the first place where one may still turn out to be.
fn search(data: &[u8]) -> (usize, bool) {
    for at in (0..data.len()).filter(|&at| data[at] == SYNC) {
        match (data.get(at + PACKET), data.get(at + 2 * PACKET)) {
            (Some(&SYNC), Some(&SYNC)) => return (at, true),
            (None, _) | (Some(&SYNC), None) => return (at, false),
            _ => {}
        }
    }
    (data.len(), false)
}
