//! What a client sends after its offer: `application/trickle-ice-sdpfrag` (RFC 8840, RFC 9725 4.3).
//!
//! An ICE-lite server has no use for candidates, so they are only counted. What matters is whether the client means to restart ICE,
//! which shows as credentials that are not those of its offer.

use super::{MOST_CANDIDATES, SdpError};

/// Longest fragment, bytes.
pub const MAX_FRAGMENT: usize = 16 << 10;

/// What a fragment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The ICE user name fragment that its candidates belong to.
    pub ufrag: Option<String>,
    /// How many candidates it has.
    pub candidates: usize,
}

/// Reads a fragment.
pub fn fragment(body: &[u8]) -> Result<Fragment, SdpError> {
    if body.len() > MAX_FRAGMENT {
        return Err(SdpError::Malformed("fragment too long"));
    }
    let text = std::str::from_utf8(body).map_err(|_| SdpError::Malformed("not UTF-8"))?;
    let mut fragment = Fragment { ufrag: None, candidates: 0 };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some((kind, value)) =
            line.split_once('=').filter(|(kind, _)| matches!(*kind, "a" | "m" | "s" | "o" | "v" | "t"))
        else {
            return Err(SdpError::Malformed("a line that is no attribute"));
        };
        match value.split_once(':').filter(|_| kind == "a") {
            Some(("candidate", _)) => fragment.candidates += 1,
            Some(("ice-ufrag", ufrag)) => {
                let before = fragment.ufrag.replace(ufrag.to_owned());
                if before.is_some_and(|before| before != ufrag) {
                    return Err(SdpError::Malformed("two ICE user names"));
                }
            }
            _ => {}
        }
    }
    if fragment.candidates > MOST_CANDIDATES {
        return Err(SdpError::Malformed("too many candidates"));
    }
    Ok(fragment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAGMENT: &str = "a=ice-ufrag:Rg5A\r\na=ice-pwd:0123456789abcdef01234567\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
        a=candidate:1 1 udp 2113937151 10.0.0.1 50000 typ host\r\na=candidate:2 1 udp 1 192.0.2.1 50000 typ srflx\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn candidates_are_counted_and_the_user_name_told() {
        assert_eq!(fragment(FRAGMENT.as_bytes()), Ok(Fragment { ufrag: Some("Rg5A".into()), candidates: 2 }));
        assert_eq!(fragment(b""), Ok(Fragment { ufrag: None, candidates: 0 }));
        assert_eq!(fragment(b"a=end-of-candidates\n").unwrap().candidates, 0);
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        let many = "a=candidate:1\r\n".repeat(65);
        for body in [&b"{}"[..], b"\xff", b"a=ice-ufrag:a\na=ice-ufrag:b", many.as_bytes(), &[b'a'; MAX_FRAGMENT + 1]] {
            assert!(fragment(body).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = fragment(&body);
        }
    }
}
