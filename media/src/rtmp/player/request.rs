//! What a server is asked for, and what of its answer may be shown.

use url::form_urlencoded;

use crate::pull::PullUri;

/// Names a stream. Application and name may hold a secret, so there is no `Debug`.
#[derive(Clone)]
pub struct PlayRequest {
    pub(super) application: String,
    /// Where the application is: the address without credentials and without the stream's name.
    pub(super) tc_url: String,
    /// The stream's name, query included.
    pub(super) name: String,
}

impl PlayRequest {
    /// Longest reason of a refusal, characters.
    pub const LONGEST_REASON: usize = 200;

    /// What an address asks for; `None` when it names no application or stream.
    pub fn of(source: &PullUri) -> Option<Self> {
        let (application, name) = source.rtmp_name()?;
        let (scheme, host) = (source.scheme().as_str(), source.url().host_str()?);
        let port = source.url().port().map_or(String::new(), |port| format!(":{port}"));
        let tc_url = format!("{scheme}://{host}{port}/{application}");
        Some(Self { application: application.to_owned(), tc_url, name })
    }

    /// Puts a server's words together. Some repeat the name that they were asked for, its secret included: such a part is left out.
    pub(super) fn reason(&self, parts: [&str; 2]) -> String {
        let secrets = self.secrets();
        let printable = parts.map(|part| part.chars().filter(|c| !c.is_control()).collect::<String>());
        let fit: Vec<_> = printable
            .into_iter()
            .filter(|part| !part.is_empty() && !secrets.iter().any(|secret| part.contains(secret)))
            .collect();
        if fit.is_empty() {
            return "server refuses without a reason".to_owned();
        }
        fit.join(": ").chars().take(Self::LONGEST_REASON).collect()
    }

    /// The values of the name's query, as they are and decoded.
    fn secrets(&self) -> Vec<String> {
        let query = self.name.split_once('?').map_or("", |(_, query)| query);
        let raw = query.split('&').map(|part| part.split_once('=').map_or(part, |(_, value)| value).to_owned());
        let decoded = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| if value.is_empty() { name.into_owned() } else { value.into_owned() });
        raw.chain(decoded).filter(|secret| !secret.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> PlayRequest {
        PlayRequest::of(&PullUri::parse(uri).unwrap()).unwrap()
    }

    #[test]
    fn the_application_s_address_has_neither_the_name_nor_credentials() {
        for (uri, tc_url, application, name) in [
            ("rtmp://h.example.com/live/name?secret", "rtmp://h.example.com/live", "live", "name?secret"),
            ("rtmps://u:p@h:1936/live/a/name", "rtmps://h:1936/live/a", "live/a", "name"),
            ("rtmp://[2606:4700::1]/live/name", "rtmp://[2606:4700::1]/live", "live", "name"),
        ] {
            let request = request(uri);
            assert_eq!(
                (request.tc_url.as_str(), request.application.as_str(), request.name.as_str()),
                (tc_url, application, name)
            );
        }
        assert!(PlayRequest::of(&PullUri::parse("srt://h:9000").unwrap()).is_none());
    }

    #[test]
    fn a_reason_is_short_printable_and_without_secrets() {
        let request = request("rtmp://h/live/name?token=se%2Fcret&user=bob");
        let code = "NetStream.Play.StreamNotFound";
        assert_eq!(request.reason([code, "No such\r\n stream"]), format!("{code}: No such stream"));
        for told in ["name?token=se%2Fcret", "no se/cret", "user bob", "b\u{7}ob"] {
            assert_eq!(request.reason([code, told]), code);
        }
        assert_eq!(request.reason(["", ""]), "server refuses without a reason");
        assert_eq!(request.reason([&"é".repeat(3000), ""]).chars().count(), PlayRequest::LONGEST_REASON);
    }
}
