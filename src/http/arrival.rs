//! How a request reached this server: from whom, under which name, and whether through TLS.
//!
//! A peer in `http.trusted_proxies` may speak for others, by `X-Forwarded-For`, `-Host` and `-Proto`; of anybody else these are not read, and
//! `Forwarded` (RFC 7239) of nobody. Proxies add to such lists from the left to the right, so the entry that counts is the one that the
//! outermost trusted proxy wrote: what stands left of it came from the client, who may write there what it likes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::config::Config;

/// How one request arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it, an IPv4-mapped address as IPv4; `None` for a request from within this process.
    pub client: Option<IpAddr>,
    /// What the client calls this server, with its port; `None` when it does not say, or nothing that can be a name.
    pub authority: Option<String>,
    /// The client speaks HTTPS.
    pub secure: bool,
}

impl Arrival {
    /// Reads a request.
    pub fn of(config: &Config, request: &HttpRequest) -> Self {
        let peer = peer(request);
        let (mut client, mut host, mut secure) = (peer, named(request), request.app_config().secure());
        if peer.is_some_and(|peer| trusted(config, peer)) {
            // How many of the chain's last links may be believed: the peer, and those before it that are trusted too.
            let mut links = 1;
            for hop in list(request, "x-forwarded-for").iter().rev().map_while(|entry| address(entry)) {
                client = Some(hop);
                if !trusted(config, hop) {
                    break;
                }
                links += 1;
            }
            let said = |name| {
                let entries = list(request, name);
                entries.get(entries.len().saturating_sub(links)).map(|entry| (*entry).to_owned())
            };
            host = said("x-forwarded-host").or(host);
            secure = said("x-forwarded-proto").map_or(secure, |scheme| scheme.eq_ignore_ascii_case("https"));
        }
        Self { client, authority: host.filter(|host| is_authority(host)), secure }
    }
}

/// The connection's other end, an IPv4-mapped address as IPv4.
pub fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// Whether a peer may say whom it speaks for.
pub fn trusted(config: &Config, peer: IpAddr) -> bool {
    config.http.trusted_proxies.iter().any(|network| network.contains(peer))
}

/// What the request itself calls this server: the target of an absolute form wins over `Host` (RFC 9112 3.2.2).
fn named(request: &HttpRequest) -> Option<String> {
    let target = request.uri().authority().map(|authority| authority.as_str());
    let header = || request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    target.or_else(header).map(str::to_owned)
}

/// The entries of a list, over all headers of that name. What cannot be read ends it towards the client.
fn list<'a>(request: &'a HttpRequest, name: &'static str) -> Vec<&'a str> {
    let headers = request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default());
    headers.flat_map(|value| value.split(',')).map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let bare = || bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    let address = text.parse::<SocketAddr>().ok().map(|address| address.ip()).or_else(bare);
    address.map(|address| address.to_canonical())
}

/// A host that a client may have written, with or without a port: no path, no user, no quote.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = split(text);
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host_is_fine = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.len() <= 255 && host.bytes().all(name),
    };
    let port_is_fine = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host_is_fine && port.is_none_or(port_is_fine)
}

/// Host and port of an authority.
pub(super) fn split(authority: &str) -> (&str, Option<&str>) {
    let end = if authority.starts_with('[') { authority.find(']').map_or(0, |end| end + 1) } else { 0 };
    match authority[end..].split_once(':') {
        Some((host, port)) => (&authority[..end + host.len()], Some(port)),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const PROXIES: [&str; 2] = ["10.0.0.0/8", "2001:db8:1::/48"];

    /// What is made of a request from this peer: the client, the name, whether by HTTPS.
    fn arrived(peer: &str, headers: &[(&str, &str)]) -> (String, String, bool) {
        let mut config = Config::default();
        config.http.trusted_proxies = PROXIES.iter().map(|network| network.parse().unwrap()).collect();
        let mut request = TestRequest::get().uri("/").peer_addr(peer.parse().unwrap());
        for header in headers {
            request = request.append_header(*header);
        }
        let arrival = Arrival::of(&config, &request.to_http_request());
        (arrival.client.unwrap().to_string(), arrival.authority.unwrap_or_default(), arrival.secure)
    }

    fn as_it_is(client: &str, authority: &str, secure: bool) -> (String, String, bool) {
        (client.to_owned(), authority.to_owned(), secure)
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        let claims = [
            ("host", "a.example"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-host", "live.example.org"),
            ("x-forwarded-proto", "https"),
        ];
        let believed = as_it_is("198.51.100.7", "live.example.org", true);
        for proxy in ["10.1.2.3:5", "[::ffff:10.1.2.3]:5", "[2001:db8:1::9]:5"] {
            assert_eq!(arrived(proxy, &claims), believed, "{proxy}");
        }
        for (other, client) in [
            ("192.0.2.1:5", "192.0.2.1"),
            ("127.0.0.1:5", "127.0.0.1"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1"),
            ("[2001:db8:2::9]:5", "2001:db8:2::9"),
        ] {
            assert_eq!(arrived(other, &claims), as_it_is(client, "a.example", false), "{other}");
        }
    }

    #[test]
    fn of_a_list_the_outermost_trusted_proxys_entry_counts() {
        let case = |headers: &[(&str, &str)]| arrived("10.0.0.1:5", headers);
        // One proxy that adds to what the client sent.
        let forged = [
            ("x-forwarded-for", "127.0.0.1, 198.51.100.7"),
            ("x-forwarded-host", "evil.example, live.example.org"),
            ("x-forwarded-proto", "http, https"),
        ];
        assert_eq!(case(&forged), as_it_is("198.51.100.7", "live.example.org", true));
        // The same in headers of their own.
        let forged = [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-host", "live.example.org"),
        ];
        assert_eq!(case(&forged), as_it_is("198.51.100.7", "live.example.org", false));
        // Two proxies that both add, both trusted.
        let chain = [
            ("x-forwarded-for", "127.0.0.1, 198.51.100.7, 10.9.9.9"),
            ("x-forwarded-host", "evil.example, live.example.org, inner"),
            ("x-forwarded-proto", "http, https, http"),
        ];
        assert_eq!(case(&chain), as_it_is("198.51.100.7", "live.example.org", true));
        // Two proxies, of which the inner one only hands on.
        let handed_on = [
            ("x-forwarded-for", "198.51.100.7, 10.9.9.9"),
            ("x-forwarded-host", "live.example.org"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(case(&handed_on), as_it_is("198.51.100.7", "live.example.org", true));
    }

    #[test]
    fn addresses_come_in_many_spellings_and_what_is_none_ends_the_chain() {
        let client = |chain: &str| arrived("10.0.0.1:5", &[("x-forwarded-for", chain)]).0;
        assert_eq!(client("198.51.100.7:1234"), "198.51.100.7");
        assert_eq!(client("[2001:db8::7]:1234"), "2001:db8::7");
        assert_eq!(client("[2001:db8::7]"), "2001:db8::7");
        assert_eq!(client("2001:db8::7"), "2001:db8::7");
        assert_eq!(client("::ffff:198.51.100.7"), "198.51.100.7");
        assert_eq!(client("198.51.100.7, unknown"), "10.0.0.1");
        assert_eq!(client("198.51.100.7, _hidden, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client(" , "), "10.0.0.1");
    }

    #[test]
    fn the_header_of_rfc_7239_is_nobodys_to_set() {
        let headers = [("host", "a.example"), ("forwarded", "for=198.51.100.7;host=evil.example;proto=https")];
        assert_eq!(arrived("10.0.0.1:5", &headers), as_it_is("10.0.0.1", "a.example", false));
    }

    #[test]
    fn an_absolute_target_names_the_server_before_its_host_header() {
        let request = TestRequest::get().uri("http://b.example:8080/x").insert_header(("host", "a.example"));
        let arrival = Arrival::of(&Config::default(), &request.to_http_request());
        assert_eq!(arrival.authority.as_deref(), Some("b.example:8080"));
        assert_eq!(arrival.client, None);
    }

    #[test]
    fn a_host_with_more_than_a_name_and_a_port_is_not_believed() {
        for right in ["a.example", "a.example:80", "a.example.", "[::1]:80", "[2001:db8::1]", "192.0.2.1:8080", "a_b"] {
            assert!(is_authority(right), "{right}");
        }
        let wrong = [
            "",
            ":80",
            "a/b",
            "u@h",
            "a\"b",
            "a b",
            "a:80:90",
            "a:b",
            "a:",
            "a:65536",
            "a:+80",
            "[::1",
            "[::1]x",
            "[a]",
            "::1",
            "a,b",
            "é.example",
        ];
        for wrong in wrong {
            assert!(!is_authority(wrong), "{wrong}");
        }
    }
}
