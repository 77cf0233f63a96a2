//! Attribute lists (RFC 8216, 4.2): `NAME=value,NAME="a value, with a comma"`.

use std::iter;

/// Names and values in order, values without their quotes. What follows a missing `=` or quote is left out.
pub(super) fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    iter::from_fn(move || {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, behind) = quoted.split_once('"')?;
                (value, behind.split_once(',').map_or("", |(_, next)| next))
            }
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        rest = behind;
        Some((name.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Vec<(&str, &str)> {
        attributes(list).collect()
    }

    #[test]
    fn quotes_keep_commas_and_equal_signs() {
        let list = "BANDWIDTH=1280000,CODECS=\"avc1.4d401f,mp4a.40.2\", URI=\"a.m3u8?x=1,2\",RESOLUTION=1280x720";
        let wanted = [
            ("BANDWIDTH", "1280000"),
            ("CODECS", "avc1.4d401f,mp4a.40.2"),
            ("URI", "a.m3u8?x=1,2"),
            ("RESOLUTION", "1280x720"),
        ];
        assert_eq!(read(list), wanted);
    }

    #[test]
    fn what_is_damaged_ends_the_list() {
        assert_eq!(read("A=1,URI=\"never closed,B=2"), [("A", "1")]);
        assert_eq!(read("A=1,B"), [("A", "1")]);
        assert_eq!(read("A=\"1\"junk,B=2"), [("A", "1"), ("B", "2")]);
        assert_eq!(read(""), []);
    }
}
