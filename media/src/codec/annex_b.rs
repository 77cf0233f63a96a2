//! NAL units out of a byte stream (annex B of ITU-T H.264 and H.265), and what is in some of them.

use std::iter;

/// The NAL units of `stream`, without start codes and the zeros before them; `None` for a stream that does not begin with one.
pub(super) fn units(stream: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let first = start_code(stream, 0)?;
    if stream[..first].iter().any(|&byte| byte != 0) {
        return None;
    }
    let mut next = Some(first + 3);
    Some(iter::from_fn(move || {
        let begin = next?;
        let end = start_code(stream, begin);
        next = end.map(|at| at + 3);
        let unit = &stream[begin..end.unwrap_or(stream.len())];
        // No unit ends in a zero byte (7.4.1).
        Some(&unit[..unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)])
    }))
}

/// Where the next `00 00 01` at or after `from` is. Looks at every third byte where it can.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut last = from + 2;
    while let Some(&byte) = stream.get(last) {
        last += match byte {
            0 => 1,
            1 if stream[last - 1] == 0 && stream[last - 2] == 0 => return Some(last - 2),
            _ => 3,
        };
    }
    None
}

/// Bytes of a NAL unit without the `03` of each `00 00 03` (7.3.1).
fn plain(unit: &[u8]) -> impl Iterator<Item = u8> {
    let mut zeros = 0;
    unit.iter().copied().filter(move |&byte| {
        let prevention = zeros >= 2 && byte == 3;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        !prevention
    })
}

/// Whether supplemental information (H.264 D.1, without the NAL unit's own head) has a recovery point: pictures are right from
/// here or soon after.
pub(super) fn recovery_point(message: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    let mut bytes = plain(message);
    loop {
        let Some(kind) = number(&mut bytes) else { return false };
        // What ends the unit is read as a message of type 128.
        let Some(size) = number(&mut bytes) else { return false };
        if kind == RECOVERY_POINT {
            return size > 0;
        }
        if size > 0 && bytes.nth(size - 1).is_none() {
            return false;
        }
    }
}

/// A number as `ff` bytes and a last one.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut sum = 0usize;
    loop {
        let byte = bytes.next()?;
        sum = sum.saturating_add(byte.into());
        if byte != 0xff {
            return Some(sum);
        }
    }
}
