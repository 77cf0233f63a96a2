//! Addresses that streams are pulled from, as the API's `uri` lists them: one, or several separated by spaces.
//!
//! | scheme | what is there |
//! |---|---|
//! | `rtmp`, `rtmps` | a server that plays the stream: `rtmp://HOST[:1935]/APP/NAME` |
//! | `srt` | a listener with MPEG-TS: `srt://HOST:PORT?streamid=…&passphrase=…&latency=…`, latency in microseconds as ffmpeg has it |
//! | `http`, `https` | an HLS playlist, or MPEG-TS that does not end |
//! | `rtsp` | a server of RFC 2326, RTP over the same connection |
//!
//! An address may hold secrets: credentials, a passphrase, a stream id. [`PullUri`]'s `Display` and `Debug` leave them out.

use std::fmt;
use std::time::Duration;

use url::{Host, Url};

use crate::id::Protocol;

/// Longest list, characters.
pub const MAX_LIST: usize = 4096;
/// Most addresses of one stream.
pub const MAX_SOURCES: usize = 16;
/// Longest latency that an SRT source is asked for.
pub const MAX_LATENCY: Duration = Duration::from_secs(8);
/// What libsrt takes, bytes.
const PASSPHRASE_LENGTH: std::ops::RangeInclusive<usize> = 10..=79;
/// Longest SRT stream id, bytes.
const MAX_STREAM_ID: usize = 512;
/// Parameters of a query whose values are no secrets.
const HARMLESS: [&str; 6] = ["mode", "latency", "rcvlatency", "peerlatency", "transtype", "pbkeylen"];

/// How a source is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RTMP over TCP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// SRT, as caller.
    Srt,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// RTSP over TCP.
    Rtsp,
}

impl Scheme {
    const ALL: [Self; 6] = [Self::Rtmp, Self::Rtmps, Self::Srt, Self::Http, Self::Https, Self::Rtsp];

    /// As URLs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Srt => "srt",
            Self::Http => "http",
            Self::Https => "https",
            Self::Rtsp => "rtsp",
        }
    }

    /// The port of an address that names none; SRT has none.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Rtmp => Some(1935),
            Self::Rtmps | Self::Https => Some(443),
            Self::Srt => None,
            Self::Http => Some(80),
            Self::Rtsp => Some(554),
        }
    }
}

/// Why an address cannot be pulled from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullUriError {
    /// Not a URL.
    #[error("is no URL")]
    Syntax,
    /// A scheme that is not pulled.
    #[error("has an unsupported protocol, supported are {}", Scheme::ALL.map(Scheme::as_str).join(", "))]
    Scheme,
    /// No host.
    #[error("names no host")]
    Host,
    /// SRT without a port, or port 0.
    #[error("names no port")]
    Port,
    /// No application and stream name.
    #[error("names no application and stream, as in rtmp://HOST/APP/NAME")]
    Name,
    /// An SRT parameter.
    #[error("{0}")]
    Parameter(String),
}

/// Which address of a list is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullListError {
    /// One of them.
    #[error("\"{shown}\" {error}")]
    Source {
        /// The address without what may be secret.
        shown: String,
        /// Why.
        error: PullUriError,
    },
    /// Too long a list.
    #[error("is too long (maximum is {MAX_LIST} characters)")]
    TooLong,
    /// Too many addresses.
    #[error("has too many addresses (maximum is {MAX_SOURCES})")]
    TooMany,
}

/// One source.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PullUri {
    scheme: Scheme,
    url: Url,
}

/// What an SRT source is called with.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SrtParameters {
    /// Told to the listener.
    pub stream_id: Option<String>,
    /// 10 to 79 bytes.
    pub passphrase: Option<String>,
    /// Bytes of the key: 16, 24 or 32.
    pub key_length: Option<u8>,
    /// Least time from sending to delivery.
    pub latency: Option<Duration>,
}

impl PullUri {
    /// Reads one address.
    pub fn parse(text: &str) -> Result<Self, PullUriError> {
        let (name, rest) = text.split_once("://").ok_or(PullUriError::Syntax)?;
        let known = |scheme: &Scheme| scheme.as_str().eq_ignore_ascii_case(name);
        let scheme = Scheme::ALL.into_iter().find(known).ok_or(PullUriError::Scheme)?;
        if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
            return Err(PullUriError::Host);
        }
        // Stream ids are written with a bare `#`; nothing that is pulled has a fragment.
        let url =
            Url::parse(&format!("{}://{}", scheme.as_str(), rest.replace('#', "%23"))).map_err(
                |error| match error {
                    url::ParseError::EmptyHost => PullUriError::Host,
                    url::ParseError::InvalidPort => PullUriError::Port,
                    _ => PullUriError::Syntax,
                },
            )?;
        let uri = Self { scheme, url };
        if uri.url.host_str().is_none_or(str::is_empty) {
            return Err(PullUriError::Host);
        }
        if uri.url.port_or_known_default().or(scheme.default_port()).is_none_or(|port| port == 0) {
            return Err(PullUriError::Port);
        }
        match scheme {
            Scheme::Srt => drop(uri.srt()?),
            Scheme::Rtmp | Scheme::Rtmps => drop(uri.rtmp_name().ok_or(PullUriError::Name)?),
            Scheme::Http | Scheme::Https | Scheme::Rtsp => {}
        }
        Ok(uri)
    }

    /// Reads a list separated by white space; each address is checked. An empty text is an empty list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, PullListError> {
        if text.chars().count() > MAX_LIST {
            return Err(PullListError::TooLong);
        }
        let sources: Vec<_> = text
            .split_whitespace()
            .map(|text| Self::parse(text).map_err(|error| PullListError::Source { shown: shown(text), error }))
            .collect::<Result<_, _>>()?;
        if sources.len() > MAX_SOURCES { Err(PullListError::TooMany) } else { Ok(sources) }
    }

    /// How it is fetched.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What it speaks; of HTTP, playlists are told by their names.
    pub fn protocol(&self) -> Protocol {
        match self.scheme {
            Scheme::Rtmp => Protocol::Rtmp,
            Scheme::Rtmps => Protocol::Rtmps,
            Scheme::Srt => Protocol::Srt,
            Scheme::Rtsp => Protocol::Rtsp,
            Scheme::Http | Scheme::Https => {
                let path = self.url.path().to_ascii_lowercase();
                if path.ends_with(".m3u8") || path.ends_with(".m3u") { Protocol::Hls } else { Protocol::Http }
            }
        }
    }

    /// All of it. Holds secrets: not to be logged.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Name or address of its host, an IPv6 address without brackets.
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(name)) => name.to_owned(),
            None => String::new(),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().or(self.scheme.default_port()).unwrap_or(0)
    }

    /// Application and stream name of an RTMP source, the query with the latter: what stands behind the last slash is the name. Percent
    /// signs stay as they are, as encoders and players have it.
    pub fn rtmp_name(&self) -> Option<(&str, String)> {
        let (application, name) = self.url.path().strip_prefix('/')?.rsplit_once('/')?;
        if application.is_empty() || name.is_empty() {
            return None;
        }
        Some((application, self.url.query().map_or(name.to_owned(), |query| format!("{name}?{query}"))))
    }

    /// What an SRT source is called with. Parameters that say nothing to a receiver are ignored.
    pub fn srt(&self) -> Result<SrtParameters, PullUriError> {
        let wrong = |text: &str| Err(PullUriError::Parameter(text.to_owned()));
        let mut found = SrtParameters::default();
        for (name, value) in self.url.query_pairs() {
            match &*name {
                "mode" if value != "caller" => return wrong("has a mode other than caller"),
                "streamid" if value.len() > MAX_STREAM_ID => return wrong("has a streamid of over 512 bytes"),
                "streamid" => found.stream_id = Some(value.into_owned()),
                "passphrase" if value.is_empty() => {}
                "passphrase" if !PASSPHRASE_LENGTH.contains(&value.len()) => {
                    return wrong("has a passphrase of other than 10 to 79 characters");
                }
                "passphrase" => found.passphrase = Some(value.into_owned()),
                "pbkeylen" => {
                    found.key_length = match &*value {
                        "0" => None,
                        "16" => Some(16),
                        "24" => Some(24),
                        "32" => Some(32),
                        _ => return wrong("has a pbkeylen other than 16, 24 or 32"),
                    }
                }
                "latency" | "rcvlatency" => {
                    let latency = value.parse().ok().map(Duration::from_micros);
                    match latency.filter(|latency| *latency <= MAX_LATENCY) {
                        Some(latency) => found.latency = Some(found.latency.unwrap_or_default().max(latency)),
                        None => return wrong("has a latency other than 0 to 8000000 microseconds"),
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

impl fmt::Display for PullUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, url } = self;
        write!(f, "{}://", scheme.as_str())?;
        if !url.username().is_empty() || url.password().is_some() {
            f.write_str("***@")?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())?;
        let mut separator = '?';
        for (name, value) in url.query_pairs() {
            let value = if HARMLESS.contains(&&*name) { &value } else { "***" };
            // A key of RTMP is written as a query without a name.
            let name = if matches!(scheme, Scheme::Rtmp | Scheme::Rtmps) && value == "***" { "***" } else { &*name };
            if name == value {
                write!(f, "{separator}{name}")?
            } else {
                write!(f, "{separator}{name}={value}")?
            }
            separator = '&';
        }
        Ok(())
    }
}

impl fmt::Debug for PullUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PullUri({self})")
    }
}

/// What of a wrong address may be shown: what stands before its secrets.
fn shown(text: &str) -> String {
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            match rest.split_once(['/', '?', '#']).map_or(rest, |(authority, _)| authority).rsplit_once('@') {
                Some((_, host)) => return format!("{scheme}://***@{host}"),
                None => text,
            }
        }
        None => text,
    };
    let end = text.find(['?', '#']).unwrap_or(text.len());
    text[..end].chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PullUri, PullUriError> {
        PullUri::parse(text)
    }

    #[test]
    fn the_brief_s_examples_are_read() {
        let text = "rtmp://encoder1.example.com/live/stream123 rtmp://encoder2.example.com/live/stream123_backup \
                    srt://encoder3.example.com:9000?mode=caller&latency=1000000&streamid=stream123";
        let sources = PullUri::parse_list(text).unwrap();
        let places: Vec<_> = sources.iter().map(|uri| (uri.scheme(), uri.host(), uri.port())).collect();
        let host = |number: u8| format!("encoder{number}.example.com");
        assert_eq!(
            places,
            [(Scheme::Rtmp, host(1), 1935), (Scheme::Rtmp, host(2), 1935), (Scheme::Srt, host(3), 9000)]
        );
        assert_eq!(sources[1].rtmp_name(), Some(("live", "stream123_backup".to_owned())));
        let srt = sources[2].srt().unwrap();
        assert_eq!((srt.stream_id.as_deref(), srt.latency), (Some("stream123"), Some(Duration::from_secs(1))));
    }

    #[test]
    fn addresses_are_told_apart_from_their_secrets() {
        for (text, shown) in [
            ("rtsp://admin:secret@cam.example.com/1?token=secret", "rtsp://***@cam.example.com/1?token=***"),
            ("rtmp://h.example.com/live/name?secret", "rtmp://h.example.com/live/name?***"),
            (
                "srt://h.example.com:9000?streamid=7#secret&latency=200",
                "srt://h.example.com:9000?streamid=***&latency=200",
            ),
            ("https://h.example.com/live/index.m3u8?key=secret", "https://h.example.com/live/index.m3u8?key=***"),
            ("http://[2606:4700::1]:8080/a.ts", "http://[2606:4700::1]:8080/a.ts"),
        ] {
            let uri = parse(text).unwrap();
            assert_eq!(uri.to_string(), shown);
            assert!(!format!("{uri:?}").contains("secret"));
        }
    }

    #[test]
    fn an_srt_stream_id_may_have_a_bare_number_sign() {
        let id = |text| parse(text).unwrap().srt().unwrap().stream_id.unwrap();
        assert_eq!(id("srt://h:9000?streamid=7#abc"), "7#abc");
        assert_eq!(id("srt://h:9000?streamid=7%23abc&mode=caller"), "7#abc");
        assert_eq!(id("srt://h:9000?streamid=#!::r=7,m=request"), "#!::r=7,m=request");
    }

    #[test]
    fn what_cannot_be_pulled_says_why() {
        use PullUriError::*;
        for (text, error) in [
            ("encoder.example.com/live", Syntax),
            ("file:///etc/passwd", Scheme),
            ("udp://h:1234", Scheme),
            ("rtmp:///live/name", Host),
            ("http://", Host),
            ("srt://h", Port),
            ("srt://h:0", Port),
            ("http://h:99999/", Port),
            ("rtmp://h/live", Name),
            ("rtmp://h//name", Name),
            ("srt://h:9000?mode=listener", Parameter("has a mode other than caller".into())),
            ("srt://h:9000?passphrase=short", Parameter("has a passphrase of other than 10 to 79 characters".into())),
            ("srt://h:9000?pbkeylen=20", Parameter("has a pbkeylen other than 16, 24 or 32".into())),
            ("srt://h:9000?latency=9000000", Parameter("has a latency other than 0 to 8000000 microseconds".into())),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn the_wrong_address_of_a_list_is_named_without_its_secrets() {
        let told = |text: &str| PullUri::parse_list(text).unwrap_err().to_string();
        assert_eq!(
            told("rtmp://h/live/a ftp://user:secret@files.example.com/x?secret"),
            "\"ftp://***@files.example.com\" has an unsupported protocol, supported are rtmp, rtmps, srt, http, https, rtsp"
        );
        assert_eq!(told("srt://h?streamid=secret"), "\"srt://h\" names no port");
        assert!(told(&"rtmp://h/live/a ".repeat(17)).contains("too many"));
        assert!(told(&"x".repeat(5000)).contains("too long"));
        assert_eq!(PullUri::parse_list("  ").unwrap(), []);
    }
}
