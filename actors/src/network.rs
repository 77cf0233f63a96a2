//! The way out, of pulling and of webhooks: names to addresses, addresses checked, and connected to by the very address that was checked.

pub mod http;
pub mod post;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use weir_policy::network::{Network as Cidr, permitted};

/// For a name's addresses.
const RESOLVE_WITHIN: Duration = Duration::from_secs(3);
/// For one address to take the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Of a name's addresses so many are tried.
pub(crate) const TRIES: usize = 4;

/// Why nothing is connected.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No such name, or no answer about it.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The name has only addresses that must not be connected to.
    #[error("{host} has no address that may be connected to; private networks have to be in {key}")]
    Forbidden {
        /// The name or address.
        host: String,
        /// The setting that would permit it.
        key: &'static str,
    },
    /// No address takes the connection.
    #[error("{address} does not take the connection: {source}")]
    Connect {
        /// The last one tried.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No TLS with it.
    #[error("no TLS with {host}: {source}")]
    Tls {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
}

/// Turns names into addresses.
pub trait Resolve: Send + Sync {
    /// All addresses of a name; of a literal address, itself.
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
struct System;

impl Resolve for System {
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What may be connected to, and how. Cloning shares it.
#[derive(Clone)]
pub struct Network {
    resolver: Arc<dyn Resolve>,
    allowed: Arc<[Cidr]>,
    key: &'static str,
    tls: Arc<ClientConfig>,
}

impl Network {
    /// Public addresses, and those of the networks that the operator allows by `pull.allow`; certificates are trusted as the system does.
    pub fn new(allowed: Vec<Cidr>) -> Result<Self, rustls::Error> {
        Self::with_resolver(allowed, Arc::new(System))
    }

    /// The same of another setting, which errors name.
    pub fn allowed_by(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The same with another resolver.
    pub fn with_resolver(allowed: Vec<Cidr>, resolver: Arc<dyn Resolve>) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        Ok(Self { resolver, allowed: allowed.into(), key: "pull.allow", tls: Arc::new(tls) })
    }

    /// How TLS is spoken.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// The addresses of a host that may be connected to; never none.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NetworkError> {
        let failed = |source| NetworkError::Resolve { host: host.to_owned(), source };
        // A literal is not asked about, so that no resolver has its own idea of it.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let mut found = match literal {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => match timeout(RESOLVE_WITHIN, self.resolver.resolve(host.to_owned(), port)).await {
                Ok(found) => found.map_err(failed)?,
                Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
            },
        };
        found.retain(|address| permitted(address.ip(), &self.allowed));
        if found.is_empty() { Err(self.forbidden(host)) } else { Ok(found) }
    }

    /// A TCP connection to a host.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NetworkError> {
        let mut last = None;
        for address in self.resolve(host, port).await?.into_iter().take(TRIES) {
            let connected = match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            match connected {
                Ok(socket) => {
                    // Requests are small and answered one by one. Failure only means that it is gone.
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Err(source) => last = Some(NetworkError::Connect { address, source }),
            }
        }
        Err(last.unwrap_or_else(|| self.forbidden(host)))
    }

    fn forbidden(&self, host: &str) -> NetworkError {
        NetworkError::Forbidden { host: host.to_owned(), key: self.key }
    }

    /// The same with TLS on it.
    pub async fn connect_tls(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, NetworkError> {
        let failed = |source| NetworkError::Tls { host: host.to_owned(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        let socket = self.connect(host, port).await?;
        match timeout(CONNECT_WITHIN, TlsConnector::from(Arc::clone(&self.tls)).connect(name, socket)).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::*;

    /// Answers in turn, whatever it is asked, the last answer again and again.
    pub struct Stub(pub Mutex<Vec<Vec<IpAddr>>>);

    impl Resolve for Stub {
        fn resolve(&self, _: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            Box::pin(async move { Ok(answer.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()) })
        }
    }

    /// A network that may reach this machine.
    pub fn local() -> Network {
        Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap()
    }

    fn stub(answers: &[&[&str]]) -> Arc<Stub> {
        let answers = answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Stub(Mutex::new(answers)))
    }

    #[tokio::test]
    async fn what_a_name_must_not_be_connected_to_is_left_out() {
        let network = Network::with_resolver(vec![], stub(&[&["10.0.0.1", "9.9.9.9", "::1"]])).unwrap();
        let public: SocketAddr = "9.9.9.9:80".parse().unwrap();
        assert_eq!(network.resolve("h", 80).await.unwrap(), [public]);
        let network = Network::with_resolver(vec![], stub(&[&["127.0.0.1"]])).unwrap();
        let error = network.resolve("h", 80).await.unwrap_err();
        assert!(matches!(error, NetworkError::Forbidden { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_after_the_check_gains_nothing() {
        let sentinel = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = sentinel.local_addr().unwrap().port();
        // Each connection asks once, and connects to what it asked about: the second answer is checked as the first is.
        let network = Network::with_resolver(vec![], stub(&[&["127.0.0.1"], &["127.0.0.1"]])).unwrap();
        for _ in 0..2 {
            assert!(matches!(network.connect("rebinding.example", port).await, Err(NetworkError::Forbidden { .. })));
        }
        assert!(timeout(Duration::from_millis(100), sentinel.accept()).await.is_err());
    }

    #[tokio::test]
    async fn an_allowed_network_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        local().connect("127.0.0.1", port).await.unwrap();
        local().connect("localhost", port).await.unwrap();
    }
}
