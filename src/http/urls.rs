//! The URLs of a stream, from the configuration or, where it names none, from how the request reached this server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use weir_actors::token::Token;
use weir_media::id::{Protocol, Slot, StreamId};

use super::arrival::{Arrival, split};
use super::delivery::SCREENSHOT;
use crate::config::{Config, Listen};

/// RTMP's own port, which URLs leave out.
const RTMP_PORT: u16 = 1935;
/// The port that clients take for RTMPS where a URL names none.
const RTMPS_PORT: u16 = 443;
/// Clients take no port for SRT where a URL names none.
const NO_PORT: u16 = 0;

/// Bases of a stream's URLs, as one client sees them. None ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    http: String,
    rtmp: Option<String>,
    rtmps: Option<String>,
    srt: Option<String>,
    whip: String,
    client_id: u64,
}

impl Urls {
    /// For the client that sent this request.
    pub fn for_request(config: &Config, request: &HttpRequest) -> Self {
        let arrival = Arrival::of(config, request);
        Self::new(config, arrival.authority.as_deref(), arrival.secure, request.app_config().local_addr())
    }

    /// For those who did not ask: by the configuration, else by the address that the server is bound to.
    pub fn for_nobody(config: &Config) -> Self {
        let (secure, listen) = match config.http.listen.address() {
            Some(address) => (false, address),
            None => (true, config.https.listen.address().unwrap_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))),
        };
        Self::new(config, None, secure, listen)
    }

    /// Where a slot's encoder pushes by a protocol, with a mask in place of the token; `None` of protocols that nobody pushes by.
    pub fn push_shown(&self, id: StreamId, slot: Slot, protocol: Protocol) -> Option<String> {
        let masked = Token::new("***");
        match protocol {
            Protocol::Rtmp => self.push(id, slot, &masked),
            Protocol::Rtmps => self.push_secured(id, slot, &masked),
            Protocol::Srt => self.push_srt(id, slot, &masked),
            Protocol::Whip => Some(self.push_whip(id, &masked)),
            Protocol::Hls | Protocol::Http | Protocol::Rtsp => None,
        }
    }

    /// `host` is what the client calls this server, with its port; `local` is where it is bound.
    fn new(config: &Config, host: Option<&str>, secure: bool, local: SocketAddr) -> Self {
        let local_host = SocketAddr::new(reachable(local.ip()), local.port()).to_string();
        let authority = host.unwrap_or(&local_host);
        let own = if secure { &config.https.public_url } else { &config.http.public_url };
        let named = own.as_ref().or(config.http.public_url.as_ref()).or(config.https.public_url.as_ref());
        let http =
            named.map_or_else(|| format!("{}://{authority}", if secure { "https" } else { "http" }), |url| base(url));
        let Config { rtmp, rtmps, srt, .. } = config;
        let whip = config.whip.public_url.as_deref().map_or_else(|| http.clone(), base);
        Self {
            http,
            whip,
            rtmp: door("rtmp", RTMP_PORT, rtmp.listen, rtmp.public_url.as_deref(), authority),
            rtmps: door("rtmps", RTMPS_PORT, rtmps.listen, rtmps.public_url.as_deref(), authority),
            srt: door("srt", NO_PORT, srt.listen, srt.public_url.as_deref(), authority),
            client_id: config.api.client_id,
        }
    }

    /// Where a slot's encoder pushes by RTMP, or by RTMPS where that door alone is open; `None` when both are shut. Both slots have
    /// one token.
    pub fn push(&self, id: StreamId, slot: Slot, token: &Token) -> Option<String> {
        self.rtmp.as_ref().or(self.rtmps.as_ref()).map(|base| publish(base, id, slot, token))
    }

    /// Where a slot's encoder pushes by RTMPS; `None` when that door is shut.
    pub fn push_secured(&self, id: StreamId, slot: Slot, token: &Token) -> Option<String> {
        self.rtmps.as_ref().map(|base| publish(base, id, slot, token))
    }

    /// Where a slot's encoder pushes by SRT; `None` when that door is shut. Clients that take a bare `#` for a fragment, as GStreamer does,
    /// want it escaped: `%23` is understood as well. A passphrase is the encoder's own affair and never part of it.
    pub fn push_srt(&self, id: StreamId, slot: Slot, token: &Token) -> Option<String> {
        self.srt.as_ref().map(|srt| {
            // A public URL may bring options of its own, such as a latency.
            let separator = if srt.contains('?') { '&' } else { '?' };
            format!("{srt}{separator}streamid={}#{}", point(id, slot), token.expose())
        })
    }

    /// Where an encoder pushes by WHIP; there is no backup ingest.
    pub fn push_whip(&self, id: StreamId, token: &Token) -> String {
        format!("{}/{id}_{}/whip", self.whip, token.expose())
    }

    /// The player page.
    pub fn iframe(&self, id: StreamId) -> String {
        format!("{}/streams/{}_{id}", self.http, self.client_id)
    }

    /// The DASH manifest.
    pub fn dash(&self, id: StreamId) -> String {
        format!("{}/cmaf/{}_{id}/index.mpd", self.http, self.client_id)
    }

    /// The latest picture.
    pub fn screenshot(&self, id: StreamId) -> String {
        format!("{}/cmaf/{}_{id}/{SCREENSHOT}", self.http, self.client_id)
    }

    /// The HLS multivariant playlist.
    pub fn hls(&self, id: StreamId) -> String {
        format!("{}/cmaf/{}_{id}/master.m3u8", self.http, self.client_id)
    }
}

/// Base of a door's URLs: its own public one, else the address that it is bound to, else the name that the client has for this server.
fn door(scheme: &str, usual: u16, listen: Listen, public_url: Option<&str>, authority: &str) -> Option<String> {
    let address = listen.address()?;
    if let Some(url) = public_url {
        return Some(base(url));
    }
    let host = if address.ip().is_unspecified() { split(authority).0.to_owned() } else { bracketed(address.ip()) };
    let port = if address.port() == usual { String::new() } else { format!(":{}", address.port()) };
    Some(format!("{scheme}://{host}{port}"))
}

fn publish(base: &str, id: StreamId, slot: Slot, token: &Token) -> String {
    format!("{base}/in/{}?{}", point(id, slot), token.expose())
}

/// The name of an ingest point: the backup's is the id with a `b`.
fn point(id: StreamId, slot: Slot) -> String {
    let mark = match slot {
        Slot::Primary => "",
        Slot::Backup => "b",
    };
    format!("{id}{mark}")
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

#[cfg(test)]
mod tests {
    use weir_media::rtmp::name::{APPLICATION, PublishName};

    use super::*;

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
    fn an_srt_url_names_its_port_and_what_it_says_is_read() {
        let mut config = Config::default();
        let push = |config: &Config, slot| {
            let urls = Urls::new(config, Some("a.example:8080"), false, ([0, 0, 0, 0], 8080).into());
            urls.push_srt(ID, slot, &Token::new("abc"))
        };
        assert_eq!(push(&config, Slot::Primary).unwrap(), "srt://a.example:5001?streamid=7#abc");
        let backup = push(&config, Slot::Backup).unwrap();
        assert_eq!(backup, "srt://a.example:5001?streamid=7b#abc");
        // The door reads what the API writes.
        let (_, stream_id) = backup.split_once("streamid=").unwrap();
        let name = weir_media::srt::PublishName::parse(stream_id.as_bytes()).unwrap();
        assert_eq!((name.stream, name.slot, &*name.token), (Some(ID), Slot::Backup, "abc"));

        config.srt.public_url = Some("srt://push.example.org:5001?latency=2000".into());
        assert_eq!(push(&config, Slot::Primary).unwrap(), "srt://push.example.org:5001?latency=2000&streamid=7#abc");
        config.srt.listen = Listen::Off;
        assert_eq!(push(&config, Slot::Primary), None);
    }

    #[test]
    fn who_did_not_ask_is_told_addresses_by_protocol_without_a_token() {
        let mut config = Config::default();
        config.rtmp.public_url = Some("rtmp://push.example.org".into());
        let shown = |config: &Config, slot, protocol| Urls::for_nobody(config).push_shown(ID, slot, protocol).unwrap();
        assert_eq!(shown(&config, Slot::Backup, Protocol::Rtmp), "rtmp://push.example.org/in/7b?***");
        assert_eq!(shown(&config, Slot::Primary, Protocol::Srt), "srt://127.0.0.1:5001?streamid=7#***");
        assert_eq!(shown(&config, Slot::Primary, Protocol::Whip), "http://127.0.0.1:8080/7_***/whip");
        assert_eq!(Urls::for_nobody(&config).push_shown(ID, Slot::Primary, Protocol::Rtsp), None);
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
    fn push_urls_name_rtmp_while_it_is_open_and_rtmps_when_it_alone_is() {
        let mut config = Config::default();
        config.rtmps.listen = Listen::At(([0, 0, 0, 0], 1936).into());
        let push = |config: &Config| {
            let urls = Urls::new(config, Some("a.example:8080"), false, ([0, 0, 0, 0], 8080).into());
            let token = Token::new("abc");
            (urls.push(ID, Slot::Backup, &token), urls.push_secured(ID, Slot::Backup, &token))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(push(&config), (some("rtmp://a.example/in/7b?abc"), some("rtmps://a.example:1936/in/7b?abc")));
        config.rtmp.listen = Listen::Off;
        config.rtmps.listen = Listen::At(([0, 0, 0, 0], 443).into());
        assert_eq!(push(&config), (some("rtmps://a.example/in/7b?abc"), some("rtmps://a.example/in/7b?abc")));
        config.rtmps.public_url = Some("rtmps://push.example.org:443/".into());
        assert_eq!(push(&config).0, some("rtmps://push.example.org:443/in/7b?abc"));
        config.rtmps.listen = Listen::Off;
        assert_eq!(push(&config), (None, None));
    }

    #[test]
    fn each_http_door_has_its_own_public_url_and_else_the_others() {
        let mut config = Config::default();
        let iframe =
            |config: &Config, secure| Urls::new(config, Some("c.example"), secure, ([0, 0, 0, 0], 1).into()).iframe(ID);
        assert_eq!(iframe(&config, true), "https://c.example/streams/1_7");
        config.https.public_url = Some("https://b.example".into());
        assert_eq!(iframe(&config, true), "https://b.example/streams/1_7");
        assert_eq!(iframe(&config, false), "https://b.example/streams/1_7");
        config.http.public_url = Some("http://a.example".into());
        assert_eq!(iframe(&config, true), "https://b.example/streams/1_7");
        assert_eq!(iframe(&config, false), "http://a.example/streams/1_7");
    }
}
