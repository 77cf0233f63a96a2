//! Names of everything a stream's folder serves, written and strictly read.
//!
//! Numbers are plain decimals without leading zeros, so one thing has one name and a cache holds it once.

use std::fmt;

/// Longest name that is looked at, bytes: the longest real one has 20 + 3 + 10 digits.
const MAX_NAME: usize = 64;

/// One file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `master.m3u8`
    Master,
    /// `index.mpd`
    Mpd,
    /// `media_{track}.m3u8`
    Playlist {
        /// Track number.
        track: u8,
    },
    /// `init-{first_sequence}-{track}.mp4`: named after its broadcast, so it never changes.
    Init {
        /// First sequence number of the broadcast.
        first_sequence: u64,
        /// Track number.
        track: u8,
    },
    /// `seg-{track}-{number}.m4s`
    Segment {
        /// Track number.
        track: u8,
        /// Sequence number.
        number: u64,
    },
    /// `part-{track}-{number}.{part}.m4s`
    Part {
        /// Track number.
        track: u8,
        /// Sequence number of the segment.
        number: u64,
        /// Part of it, from 0.
        part: u32,
    },
}

impl Name {
    /// Reads a file name; `None` for all that [`Name`] does not write.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > MAX_NAME {
            return None;
        }
        match name {
            "master.m3u8" => return Some(Self::Master),
            "index.mpd" => return Some(Self::Mpd),
            _ => {}
        }
        if let Some(track) = name.strip_prefix("media_").and_then(|rest| rest.strip_suffix(".m3u8")) {
            return Some(Self::Playlist { track: number(track)? });
        }
        if let Some(rest) = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            let (first_sequence, track) = rest.split_once('-')?;
            return Some(Self::Init { first_sequence: number(first_sequence)?, track: number(track)? });
        }
        let rest = name.strip_suffix(".m4s")?;
        if let Some(rest) = rest.strip_prefix("seg-") {
            let (track, segment) = rest.split_once('-')?;
            return Some(Self::Segment { track: number(track)?, number: number(segment)? });
        }
        let (track, rest) = rest.strip_prefix("part-")?.split_once('-')?;
        let (segment, part) = rest.split_once('.')?;
        Some(Self::Part { track: number(track)?, number: number(segment)?, part: number(part)? })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master.m3u8"),
            Self::Mpd => f.write_str("index.mpd"),
            Self::Playlist { track } => write!(f, "media_{track}.m3u8"),
            Self::Init { first_sequence, track } => write!(f, "init-{first_sequence}-{track}.mp4"),
            Self::Segment { track, number } => write!(f, "seg-{track}-{number}.m4s"),
            Self::Part { track, number, part } => write!(f, "part-{track}-{number}.{part}.m4s"),
        }
    }
}

/// Digits only, no leading zero, in range.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_exact_names_are_read() {
        for wrong in [
            "",
            "master.m3u8/",
            "../master.m3u8",
            "media_.m3u8",
            "media_256.m3u8",
            "media_+1.m3u8",
            "media_01.m3u8",
            "media_-1.m3u8",
            "seg-0-.m4s",
            "seg-0-1.mp4",
            "seg-0-18446744073709551616.m4s",
            "seg-0--1.m4s",
            "part-0-1.m4s",
            "part-0-1.0.0.m4s",
            "init-1.mp4",
            "init-1-0-0.mp4",
            "seg-0-\u{0661}.m4s",
        ] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Name::parse(&format!("seg-0-{}.m4s", "1".repeat(10_000))), None);
    }

    proptest! {
        #[test]
        fn a_written_name_reads_back(track: u8, sequence: u64, part: u32) {
            for name in [
                Name::Master,
                Name::Mpd,
                Name::Playlist { track },
                Name::Init { first_sequence: sequence, track },
                Name::Segment { track, number: sequence },
                Name::Part { track, number: sequence, part },
            ] {
                prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn whatever_is_read_is_written_the_same(text in "(seg|part|init|media)[-_.0-9]{0,12}(m4s|mp4|.m3u8|.m4s|.mp4)") {
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
