//! Where others reach the server, and how it tells them its addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Listen, Network, Secret, value};
use crate::tls::files::Files;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: Listen,
    /// How viewers and API clients reach it, e.g. `https://live.example.org`; derived from each request when not set.
    #[serde(with = "value::optional_text")]
    pub public_url: Option<String>,
    /// Serve API, panel, WHIP and operations over plain HTTP to other machines too.
    pub allow_plain: bool,
    /// Proxies in front of it: they may set `X-Forwarded-*` and use the API over plain HTTP.
    pub trusted_proxies: Vec<Network>,
}

/// A door with TLS: `[https]` and `[rtmps]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Address and port.
    pub listen: Listen,
    /// How others reach it; derived when not set.
    #[serde(with = "value::optional_text")]
    pub public_url: Option<String>,
    /// PEM file with the certificate chain.
    #[serde(with = "value::optional_path")]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key.
    #[serde(with = "value::optional_path")]
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Its files, when the door is open.
    pub fn files(&self) -> Option<Files> {
        self.listen.address()?;
        Some(Files { cert: self.cert.clone()?, key: self.key.clone()? })
    }
}

/// `[rtmp]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtmp {
    /// Address and port.
    pub listen: Listen,
    /// How encoders reach it, e.g. `rtmp://push.example.org`; derived when not set.
    #[serde(with = "value::optional_text")]
    pub public_url: Option<String>,
}

/// `[srt]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Srt {
    /// Address and UDP port.
    pub listen: Listen,
    /// How encoders reach it, e.g. `srt://push.example.org:5001`; derived when not set.
    #[serde(with = "value::optional_text")]
    pub public_url: Option<String>,
}

/// `[whip]`. Signalling goes through HTTP(S); these are for the media.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Whip {
    /// First and last UDP port for media.
    pub udp_ports: (u16, u16),
    /// Address that browsers can send media to, when it is not the machine's own.
    #[serde(with = "value::optional_text")]
    pub public_ip: Option<String>,
    /// How browsers reach the signalling; `http.public_url` when not set.
    #[serde(with = "value::optional_text")]
    pub public_url: Option<String>,
    /// STUN and TURN servers that clients are told to use.
    pub ice_servers: Vec<IceServer>,
}

/// A STUN or TURN server, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port` or `turns:host:port`.
    pub url: String,
    /// Of a TURN server.
    #[serde(default)]
    pub username: String,
    /// What every client gets to see with it.
    #[serde(default, with = "value::optional_secret")]
    pub credential: Option<Secret>,
}

impl IceServer {
    /// Whether it can be told in a header: a URL of the right kind, and no character that would end a quoted text.
    pub fn is_tellable(&self) -> bool {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\<>".contains(&b));
        let credential = self.credential.as_ref().map(Secret::expose).unwrap_or_default();
        let known = ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| self.url.starts_with(scheme));
        known && plain(&self.url) && plain(&self.username) && plain(credential)
    }

    /// The `Link` header of RFC 9725, 4.6.
    pub fn link(&self) -> String {
        let mut link = format!("<{}>; rel=\"ice-server\"", self.url);
        if let Some(credential) = &self.credential {
            link += &format!(
                "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
                self.username,
                credential.expose()
            );
        }
        link
    }
}

const fn at(address: Ipv4Addr, port: u16) -> Listen {
    Listen::At(SocketAddr::new(IpAddr::V4(address), port))
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: at(Ipv4Addr::LOCALHOST, 8080),
            public_url: None,
            allow_plain: false,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self { listen: at(Ipv4Addr::UNSPECIFIED, 1935), public_url: None }
    }
}

impl Default for Srt {
    fn default() -> Self {
        Self { listen: at(Ipv4Addr::UNSPECIFIED, 5001), public_url: None }
    }
}

impl Default for Whip {
    fn default() -> Self {
        Self { udp_ports: (50_000, 50_100), public_ip: None, public_url: None, ice_servers: Vec::new() }
    }
}
