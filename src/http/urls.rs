//! The URLs of a stream, from the configuration or, where it names none, from how the request reached this server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header;
use weir_actors::token::Token;
use weir_media::id::{Slot, StreamId};

use super::auth::{peer, trusted};
use crate::config::Config;

/// RTMP's own port, which URLs leave out.
const RTMP_PORT: u16 = 1935;

/// Bases of a stream's URLs, as one client sees them. None ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    http: String,
    rtmp: Option<String>,
    client_id: u64,
}

impl Urls {
    /// For the client that sent this request.
    pub fn for_request(config: &Config, request: &HttpRequest) -> Self {
        let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let forwarded = peer(request).is_some_and(|peer| trusted(config, peer));
        let forwarded = |name: &'static str| {
            // Of a chain of proxies, the first entry is what the client saw.
            let value = request.headers().get(name).filter(|_| forwarded)?.to_str().ok()?;
            value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
        };
        let host = forwarded("x-forwarded-host").or_else(|| text(header::HOST));
        let secure = match forwarded("x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => request.app_config().secure(),
        };
        Self::new(config, host.filter(|host| is_authority(host)), secure, request.app_config().local_addr())
    }

    /// `host` is what the client calls this server, with its port; `local` is where it is bound.
    fn new(config: &Config, host: Option<&str>, secure: bool, local: SocketAddr) -> Self {
        let local_host = SocketAddr::new(reachable(local.ip()), local.port()).to_string();
        let authority = host.unwrap_or(&local_host);
        let http = match (&config.http.public_url, &config.https.public_url) {
            (Some(url), _) | (None, Some(url)) => base(url),
            (None, None) => format!("{}://{authority}", if secure { "https" } else { "http" }),
        };
        let rtmp = config.rtmp.listen.address().map(|listen| match &config.rtmp.public_url {
            Some(url) => base(url),
            None => {
                let named = if listen.ip().is_unspecified() { None } else { Some(bracketed(listen.ip())) };
                let host = named.unwrap_or_else(|| without_port(authority).to_owned());
                if listen.port() == RTMP_PORT {
                    format!("rtmp://{host}")
                } else {
                    format!("rtmp://{host}:{}", listen.port())
                }
            }
        });
        Self { http, rtmp, client_id: config.api.client_id }
    }

    /// Where a slot's encoder pushes by RTMP; `None` when that door is shut. Both slots have one token.
    pub fn push(&self, id: StreamId, slot: Slot, token: &Token) -> Option<String> {
        let mark = match slot {
            Slot::Primary => "",
            Slot::Backup => "b",
        };
        self.rtmp.as_ref().map(|rtmp| format!("{rtmp}/in/{id}{mark}?{}", token.expose()))
    }

    /// The player page.
    pub fn iframe(&self, id: StreamId) -> String {
        format!("{}/streams/{}_{id}", self.http, self.client_id)
    }

    /// The DASH manifest.
    pub fn dash(&self, id: StreamId) -> String {
        format!("{}/cmaf/{}_{id}/index.mpd", self.http, self.client_id)
    }

    /// The HLS multivariant playlist.
    pub fn hls(&self, id: StreamId) -> String {
        format!("{}/cmaf/{}_{id}/master.m3u8", self.http, self.client_id)
    }
}

fn base(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

/// An address that a client can connect to, of one that a server binds.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }
}

fn bracketed(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

/// A host that a client may have written: no path, no user, no quote.
fn is_authority(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !without_port(host).is_empty() && host.len() <= 255 && host.bytes().all(plain)
}

fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').map_or(authority, |end| &authority[..=end]);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use weir_media::rtmp::name::{APPLICATION, PublishName};

    use super::*;
    use crate::config::Listen;

    const ID: StreamId = StreamId(7);

    fn urls(config: &Config, host: Option<&str>) -> (String, Option<String>) {
        let urls = Urls::new(config, host, false, ([0, 0, 0, 0], 8080).into());
        (urls.iframe(ID), urls.push(ID, Slot::Primary, &Token::new("abc")))
    }

    #[test]
    fn urls_follow_the_clients_own_name_for_the_server() {
        let (iframe, push) = urls(&Config::default(), Some("live.example.org:8080"));
        assert_eq!(iframe, "http://live.example.org:8080/streams/1_7");
        assert_eq!(push.unwrap(), "rtmp://live.example.org/in/7?abc");
        let (iframe, push) = urls(&Config::default(), Some("[2001:db8::1]:8080"));
        assert_eq!(iframe, "http://[2001:db8::1]:8080/streams/1_7");
        assert_eq!(push.unwrap(), "rtmp://[2001:db8::1]/in/7?abc");
    }

    #[test]
    fn the_backups_name_is_the_id_with_a_b_and_its_token_the_same() {
        let urls = Urls::new(&Config::default(), Some("a.example"), false, ([0, 0, 0, 0], 8080).into());
        let push = |slot| urls.push(ID, slot, &Token::new("abc")).unwrap();
        assert_eq!(push(Slot::Backup), "rtmp://a.example/in/7b?abc");
        // The door reads what the API writes.
        for slot in [Slot::Primary, Slot::Backup] {
            let url = push(slot);
            let name = PublishName::parse(APPLICATION, url.rsplit('/').next().unwrap());
            assert_eq!((name.stream, name.slot, name.token), (Some(ID), slot, "abc"));
        }
    }

    #[test]
    fn without_a_name_urls_have_an_address_that_can_be_reached() {
        let (iframe, push) = urls(&Config::default(), None);
        assert_eq!(iframe, "http://127.0.0.1:8080/streams/1_7");
        assert_eq!(push.unwrap(), "rtmp://127.0.0.1/in/7?abc");
    }

    #[test]
    fn a_door_bound_to_one_address_is_named_by_it_with_its_port() {
        let mut config = Config::default();
        config.rtmp.listen = Listen::At(([127, 0, 0, 1], 1936).into());
        assert_eq!(urls(&config, Some("a.example")).1.unwrap(), "rtmp://127.0.0.1:1936/in/7?abc");
        config.rtmp.listen = Listen::Off;
        assert_eq!(urls(&config, Some("a.example")).1, None);
    }

    #[test]
    fn the_configured_urls_win() {
        let mut config = Config::default();
        config.http.public_url = Some("https://live.example.org/".into());
        config.rtmp.public_url = Some("rtmp://push.example.org:1936".into());
        config.api.client_id = 42;
        let (iframe, push) = urls(&config, Some("other"));
        assert_eq!(iframe, "https://live.example.org/streams/42_7");
        assert_eq!(push.unwrap(), "rtmp://push.example.org:1936/in/7?abc");
    }

    #[test]
    fn a_host_header_with_more_than_a_name_is_not_believed() {
        assert!(is_authority("a.example:80") && is_authority("[::1]:80"));
        for wrong in ["", ":80", "a/b", "u@h", "a\"b", "a b"] {
            assert!(!is_authority(wrong), "{wrong}");
        }
    }
}
