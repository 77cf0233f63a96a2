//! What an encoder that is not let in is told, by protocol.
//!
//! | refusal | RTMP, RTMPS | SRT | WHIP |
//! |---|---|---|---|
//! | unknown stream | `NetStream.Publish.BadName` | 1401 | 401, reason 2001 |
//! | wrong token | `NetStream.Publish.BadName` | 1401 | 403, reason 2002 |
//! | either, too often | closed | rejected without a code of ours | 429 without a body |
//! | stream off | `NetStream.Publish.BadName` | 1403 | 403, reason 2004 |
//! | pull stream | `NetStream.Publish.BadName` | 1405 | 403, reason 2004 |
//! | slot taken, other protocol | `NetStream.Publish.BadName` | 1409 | 403, reason 2003 |
//! | too many connections | `NetStream.Publish.BadName` | 1402 | 429 with `Retry-After` |
//! | shutting down, restarting | `NetStream.Publish.BadName` | 1503 | 503 with `Retry-After` |
//!
//! RTMP tells the difference in its description, which encoders show to people. SRT's codes are those of libsrt's `access_control.h`,
//! WHIP's reasons those of the API that Weir speaks.

use serde::Serialize;
use weir_media::id::Protocol;
use weir_policy::admission::Refusal;

/// The code of every RTMP refusal: the one at which all encoders stop and show the description.
pub const RTMP_REFUSED: &str = "NetStream.Publish.BadName";

/// What an encoder was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// In words. SRT has no room for them.
    pub text: String,
    /// In the protocol's own code; WHIP's status and reason are joined by a slash.
    pub code: String,
}

/// What a refused encoder is told; `None` when it is closed without an answer.
pub fn told(protocol: Protocol, refusal: &Refusal) -> Option<Told> {
    let code = match protocol {
        Protocol::Rtmp | Protocol::Rtmps => RTMP_REFUSED.to_owned(),
        Protocol::Srt => srt(refusal)?.to_string(),
        // Nobody publishes by what is only pulled.
        Protocol::Hls | Protocol::Http | Protocol::Rtsp => return None,
        Protocol::Whip => match whip(refusal) {
            (status, Some(reason)) => format!("{status}/{reason}"),
            (status, None) => status.to_string(),
        },
    };
    let answered = !matches!(refusal, Refusal::Unanswered { .. });
    answered.then(|| Told { text: refusal.to_string(), code })
}

/// SRT's reject code, as a caller sees it; `None` leaves it to libsrt.
pub fn srt(refusal: &Refusal) -> Option<i32> {
    Some(match refusal {
        Refusal::NotAuthorized { .. } => 1401,
        Refusal::Unanswered { .. } => return None,
        // "You have exceeded credits for accessing the service"; there is no 1429.
        Refusal::RateLimited { .. } => 1402,
        Refusal::StreamOff => 1403,
        // The mode `publish` is not supported here.
        Refusal::PullStream => 1405,
        Refusal::SlotTaken | Refusal::OtherProtocol => 1409,
        Refusal::Draining | Refusal::Restarting => 1503,
    })
}

/// WHIP's status and `X-Reason-Code`.
pub fn whip(refusal: &Refusal) -> (u16, Option<u16>) {
    match refusal {
        Refusal::NotAuthorized { known: false } => (401, Some(2001)),
        Refusal::NotAuthorized { known: true } => (403, Some(2002)),
        Refusal::SlotTaken | Refusal::OtherProtocol => (403, Some(2003)),
        Refusal::StreamOff | Refusal::PullStream => (403, Some(2004)),
        Refusal::Unanswered { .. } | Refusal::RateLimited { .. } => (429, None),
        Refusal::Draining | Refusal::Restarting => (503, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtmp_and_srt_give_unknown_streams_and_wrong_tokens_the_same_answer() {
        for protocol in [Protocol::Rtmp, Protocol::Rtmps, Protocol::Srt] {
            let [unknown, wrong] = [false, true].map(|known| told(protocol, &Refusal::NotAuthorized { known }));
            assert!(unknown.is_some() && unknown == wrong, "{protocol:?}");
        }
    }

    #[test]
    fn who_is_not_answered_is_told_nothing() {
        for protocol in [Protocol::Rtmp, Protocol::Rtmps, Protocol::Srt, Protocol::Whip] {
            assert_eq!(told(protocol, &Refusal::Unanswered { known: true }), None);
            assert!(told(protocol, &Refusal::SlotTaken).is_some());
        }
    }
}
