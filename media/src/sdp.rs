//! What a WHIP client may offer (RFC 9725, 4.2; RFC 8866), checked before anything is built of it, and what it may trickle ([`fragment`]).
//!
//! Taken is one H.264 video that is sent, and at most one Opus audio, bundled on one transport. Candidates are counted and left out: the
//! server is ICE-lite, waits for checks and never sends any, so that nobody can make it knock at addresses of his choice.
//!
//! This is no SDP parser. It looks at the few lines that decide, line by line and without recursion; what it lets through is still read by
//! webrtc's own.

pub mod fragment;

/// Longest offer, bytes.
pub const MAX_OFFER: usize = 64 << 10;
/// Most lines, and the longest one.
const MOST_LINES: usize = 2000;
const LONGEST_LINE: usize = 2048;
/// Most candidates; a machine with many interfaces has some dozen.
pub const MOST_CANDIDATES: usize = 64;

/// Why an offer is not taken. Its words are for whoever set the client up; they repeat nothing of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not an offer at all.
    #[error("no SDP offer: {0}")]
    Malformed(&'static str),
    /// An offer of something that cannot be published here.
    #[error("{0}")]
    Unacceptable(&'static str),
}

/// An offer that may be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    sdp: String,
    ufrags: Vec<String>,
    audio: bool,
}

impl Offer {
    /// The description without candidates.
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    /// Whether an ICE user name fragment is the client's of this offer. Another one means that it restarts ICE.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ufrags.iter().any(|ours| ours == ufrag)
    }

    /// Whether there is sound.
    pub fn has_audio(&self) -> bool {
        self.audio
    }
}

impl std::fmt::Debug for Offer {
    /// Without the credentials that are in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("audio", &self.audio).finish_non_exhaustive()
    }
}

/// A media section so far.
struct Section {
    video: bool,
    codec: bool,
    sent: bool,
}

/// Reads an offer.
pub fn offer(body: &[u8]) -> Result<Offer, SdpError> {
    use SdpError::{Malformed, Unacceptable};
    if body.len() > MAX_OFFER {
        return Err(Malformed("too long"));
    }
    let text = std::str::from_utf8(body).map_err(|_| Malformed("not UTF-8"))?;
    let mut sdp = String::with_capacity(text.len() + 64);
    let mut sections: Vec<Section> = vec![];
    let (mut candidates, mut bundle, mut fingerprint, mut password) = (0, false, false, false);
    let mut ufrags: Vec<String> = vec![];
    for (number, line) in text.lines().enumerate() {
        if number >= MOST_LINES || line.len() > LONGEST_LINE {
            return Err(Malformed("too many lines, or too long ones"));
        }
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Malformed("control characters"));
        }
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(Malformed("a line that is no \"letter=value\""));
        };
        if (number == 0) != (kind == "v") || number == 0 && value != "0" {
            return Err(Malformed("it does not begin with v=0, or does so twice"));
        }
        match kind {
            "m" => {
                let mut words = value.split(' ');
                let (media, protocol) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
                let video = match media {
                    "video" => true,
                    "audio" => false,
                    _ => return Err(Unacceptable("offer video and audio only, no data channel")),
                };
                if sections.iter().any(|section| section.video == video) {
                    return Err(Unacceptable("offer one video and one audio track, not several"));
                }
                if protocol != "UDP/TLS/RTP/SAVPF" {
                    return Err(Unacceptable("offer UDP/TLS/RTP/SAVPF"));
                }
                sections.push(Section { video, codec: false, sent: true });
            }
            "a" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                match name {
                    // Whatever a lenient parser might take for one.
                    name if name.starts_with("candidate") => {
                        candidates += 1;
                        if candidates > MOST_CANDIDATES {
                            return Err(Malformed("too many candidates"));
                        }
                        continue;
                    }
                    "end-of-candidates" | "remote-candidates" => continue,
                    // One of the session, one of each track; mostly they are the same.
                    "ice-ufrag" if (4..=256).contains(&value.len()) && ufrags.len() < 3 => ufrags.push(value.into()),
                    "ice-pwd" => password = (22..=256).contains(&value.len()),
                    "fingerprint" => fingerprint = true,
                    "group" => bundle |= value.split(' ').next() == Some("BUNDLE"),
                    "simulcast" | "rid" => return Err(Unacceptable("offer one picture, no simulcast")),
                    _ => {
                        if let Some(section) = sections.last_mut() {
                            section.attribute(name, value);
                        }
                    }
                }
            }
            _ => {}
        }
        sdp.push_str(line);
        sdp.push_str("\r\n");
    }
    if ufrags.is_empty() || !password {
        return Err(Malformed("no ICE credentials"));
    }
    if !fingerprint {
        return Err(Malformed("no fingerprint"));
    }
    let Some(video) = sections.iter().find(|section| section.video) else {
        return Err(Unacceptable("offer a video track"));
    };
    if !video.codec {
        return Err(Unacceptable("offer H.264 video with packetization-mode=1"));
    }
    let audio = sections.iter().find(|section| !section.video);
    if audio.is_some_and(|audio| !audio.codec) {
        return Err(Unacceptable("offer Opus audio"));
    }
    if !video.sent {
        return Err(Unacceptable("offer video with a=sendonly"));
    }
    if sections.len() > 1 && !bundle {
        return Err(Unacceptable("bundle both tracks on one transport"));
    }
    Ok(Offer { sdp, ufrags, audio: audio.is_some_and(|audio| audio.sent) })
}

impl Section {
    fn attribute(&mut self, name: &str, value: &str) {
        let has = |word: &str| {
            value.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
        };
        match name {
            "recvonly" | "inactive" => self.sent = false,
            "rtpmap" if !self.video => self.codec |= has(" opus/48000"),
            // Only H.264 has it.
            "fmtp" if self.video => self.codec |= has("packetization-mode=1"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In essence what Chromium sends.
    pub(crate) const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2113937151 10.0.0.1 50000 typ host\r\na=ice-ufrag:Rg5A\r\n\
        a=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 00:11\r\na=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:Rg5A\r\n\
        a=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\na=mid:1\r\n\
        a=sendonly\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\n\
        a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";

    fn with(from: &str, to: &str) -> Result<Offer, SdpError> {
        assert!(OFFER.contains(from), "{from}");
        offer(OFFER.replace(from, to).as_bytes())
    }

    #[test]
    fn a_browsers_offer_is_taken_without_its_candidates() {
        let offer = offer(OFFER.as_bytes()).unwrap();
        assert!(offer.has_audio());
        assert!(offer.has_ufrag("Rg5A") && !offer.has_ufrag("rg5a"));
        assert!(!offer.sdp().contains("candidate"));
        assert_eq!(offer.sdp().lines().count(), OFFER.lines().count() - 1);
        assert!(!format!("{offer:?}").contains("0123456789"), "credentials stay out of logs");
    }

    #[test]
    fn what_looks_like_a_candidate_is_left_out_too() {
        for spelling in ["a=candidate ", "a=candidatez", "a=candidate=", "a=candidate::"] {
            let offer = with("a=candidate:", spelling).unwrap();
            assert!(!offer.sdp().contains("candidate"), "{spelling}");
        }
    }

    #[test]
    fn video_alone_is_taken() {
        let (head, rest) = OFFER.split_once("m=audio").unwrap();
        let video = &rest[rest.find("m=video").unwrap()..];
        assert!(!super::offer([head, video].concat().as_bytes()).unwrap().has_audio());
    }

    #[test]
    fn what_cannot_be_published_is_refused_with_what_to_offer() {
        let unacceptable = [
            ("m=video", "m=application", "data channel"),
            ("m=audio", "m=video", "not several"),
            ("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP", "SAVPF"),
            ("packetization-mode=1", "packetization-mode=0", "H.264"),
            ("opus/48000/2", "PCMU/8000", "Opus"),
            ("a=rtcp-mux\r\na=rtpmap:102", "a=recvonly\r\na=rtpmap:102", "sendonly"),
            ("a=group:BUNDLE", "a=group:LS", "bundle"),
            ("a=mid:1", "a=simulcast:send 1;2", "simulcast"),
        ];
        for (from, to, says) in unacceptable {
            let Err(SdpError::Unacceptable(text)) = with(from, to) else { panic!("{to} is taken") };
            assert!(text.contains(says), "{to}: {text}");
        }
    }

    #[test]
    fn what_is_no_offer_is_malformed() {
        let malformed = [
            ("v=0", "v=1"),
            ("s=-", "v=0"),
            ("s=-", "session"),
            ("s=-", "s=\u{7}"),
            ("a=ice-pwd", "a=ice-password"),
            ("a=ice-ufrag:Rg5A", "a=ice-ufrag:R"),
            ("a=fingerprint", "a=finger"),
        ];
        for (from, to) in malformed {
            assert!(matches!(with(from, to), Err(SdpError::Malformed(_))), "{to}");
        }
        assert!(matches!(with("s=-", &"a=candidate:1\r\n".repeat(65)), Err(SdpError::Malformed(_))));
        assert!(matches!(with("s=-", &format!("s={}", "x".repeat(3000))), Err(SdpError::Malformed(_))));
        for body in [&b""[..], b"v=0", b"\xff", &[b'v'; MAX_OFFER + 1]] {
            assert!(matches!(offer(body), Err(SdpError::Malformed(_))));
        }
    }

    proptest! {
        #[test]
        fn damage_makes_nothing_panic_and_lets_no_candidate_through(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20)
        ) {
            let mut body = OFFER.as_bytes().to_vec();
            for (at, byte) in edits {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if let Ok(offer) = offer(&body) {
                prop_assert!(!offer.sdp().contains("\na=candidate"));
            }
        }
    }
}
