//! Program tables: sections out of packets, the program association table (2.4.4.3) and the program map table (2.4.4.8).
//!
//! A table counts when its checksum is right, whatever its version says: encoders that are restarted begin again with version 0.

/// Longest section of both tables, bytes.
const LONGEST: usize = 1024;
/// PIDs below are reserved, and so is the last.
const PIDS: std::ops::Range<u16> = 0x10..super::packet::NULL_PID;
/// Programs that are looked at, of at most 253.
const PROGRAMS: usize = 64;

const PROGRAM_ASSOCIATION: u8 = 0;
const PROGRAM_MAP: u8 = 2;

/// Sections of one PID, out of payloads.
#[derive(Default)]
pub(super) struct Sections {
    buffer: Vec<u8>,
    /// The buffer begins with a section.
    open: bool,
}

impl Sections {
    /// A payload is missing: what is begun stays incomplete.
    pub fn hole(&mut self) {
        self.buffer.clear();
        self.open = false;
    }

    /// Takes a payload in and hands each section that it completes to `take`.
    pub fn push(&mut self, start: bool, payload: &[u8], mut take: impl FnMut(&[u8])) {
        if !start {
            return self.append(payload, &mut take);
        }
        let Some((&pointer, rest)) = payload.split_first() else { return };
        let Some((before, fresh)) = rest.split_at_checked(pointer.into()) else { return self.hole() };
        self.append(before, &mut take);
        self.hole();
        self.open = true;
        self.append(fresh, &mut take);
    }

    fn append(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        const STUFFING: u8 = 0xff;
        if !self.open {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(&[table, high, low]) = self.buffer.first_chunk::<3>() {
            let length = 3 + (usize::from(high & 15) << 8 | usize::from(low));
            if table == STUFFING || length > LONGEST {
                return self.hole();
            }
            let Some(section) = self.buffer.get(..length) else { return };
            take(section);
            self.buffer.drain(..length);
        }
    }
}

/// A program by number, and the PID of its map.
pub(super) type Program = (u16, u16);

/// The programs of the stream in the table's order, or `None` when this is not (the first section of) that table in force.
pub(super) fn programs(section: &[u8]) -> Option<Vec<Program>> {
    let (_, body) = table(section, PROGRAM_ASSOCIATION)?;
    let (entries, _) = body.as_chunks::<4>();
    let programs = entries.iter().map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c & 0x1f, d])));
    // Number 0 is the network's.
    Some(programs.filter(|(number, pid)| *number != 0 && PIDS.contains(pid)).take(PROGRAMS).collect())
}

/// An elementary stream of a program.
pub(super) struct Stream<'a> {
    pub stream_type: u8,
    pub pid: u16,
    pub descriptors: &'a [u8],
}

/// The streams of program `number`, or `None` when this is not its map in force.
pub(super) fn streams(section: &[u8], number: u16) -> Option<Vec<Stream<'_>>> {
    let (_, body) = table(section, PROGRAM_MAP).filter(|(of, _)| *of == number)?;
    let (&[_, _, high, low], rest) = body.split_first_chunk::<4>()?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes([high & 15, low]))..)?;
    let mut streams = vec![];
    while let Some((&[stream_type, a, b, c, d], behind)) = rest.split_first_chunk::<5>() {
        let (descriptors, behind) = behind.split_at_checked(u16::from_be_bytes([c & 15, d]).into())?;
        let pid = u16::from_be_bytes([a & 0x1f, b]);
        if PIDS.contains(&pid) {
            streams.push(Stream { stream_type, pid, descriptors });
        }
        rest = behind;
    }
    Some(streams)
}

/// Descriptors as tag and content (2.6.1), as far as they are whole.
pub(super) fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
        let (content, rest) = rest.split_at_checked(length.into())?;
        bytes = rest;
        Some((tag, content))
    })
}

/// `table_id_extension` and content of a long-form section that is whole, in force, and the first of its table.
fn table(section: &[u8], id: u8) -> Option<(u16, &[u8])> {
    let (&[table, syntax, _, high, low, version, number, _], rest) = section.split_first_chunk::<8>()?;
    let in_force = version & 1 == 1 && number == 0;
    if table != id || syntax & 0x80 == 0 || !in_force || checksum(section) != 0 {
        return None;
    }
    Some((u16::from_be_bytes([high, low]), rest.get(..rest.len().checked_sub(4)?)?))
}

/// CRC_32 of annex A: 0 over a section with its own.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let (mut crc, mut bit) = ((at as u32) << 24, 0);
            while bit < 8 {
                crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
                bit += 1;
            }
            table[at] = crc;
            at += 1;
        }
        table
    };
    bytes.iter().fold(u32::MAX, |crc, &byte| crc << 8 ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}
