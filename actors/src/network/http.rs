//! HTTP and HTTPS requests to addresses that somebody else chose.
//!
//! Hosts are resolved by [`Network`]: reqwest connects to exactly the addresses that its resolver returns. A literal address, which no
//! resolver is asked about, is checked before the request. There are no proxies, no cookies, no redirects and no second tries.
//!
//! Errors name hosts and statuses, never paths or queries.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, RequestBuilder, StatusCode, redirect, retry};
use url::{Host, Url};

use super::{Network, NetworkError, TRIES};

/// For one host to take a connection.
const ONE_CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Connections to a host that are kept for the next request: of a pull, one for each playlist and its segments.
const KEPT: usize = 2;

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It cannot be connected to, or must not be.
    #[error(transparent)]
    Network(NetworkError),
    /// TLS or the client cannot be set up on this machine.
    #[error("no HTTP client: {0}")]
    Setup(String),
    /// An address that must not be asked for: of another scheme, or by a redirect from `https` to `http`.
    #[error("{0}")]
    Address(String),
    /// No answer in time.
    #[error("{host} does not answer within {within:?}")]
    Timeout {
        /// Who.
        host: String,
        /// How long it had.
        within: Duration,
    },
    /// Another answer than wanted.
    #[error("{host} answers {status}")]
    Status {
        /// Who.
        host: String,
        /// What.
        status: StatusCode,
    },
    /// Redirects without an end or an aim.
    #[error("{0} redirects to nowhere")]
    Redirect(String),
    /// More than is taken.
    #[error("{host} sends more than {most} bytes where less is wanted")]
    TooLarge {
        /// Who.
        host: String,
        /// What would have been taken.
        most: u64,
    },
    /// No address of its takes a connection, or there is no TLS with it.
    #[error("no connection to {host}: {why}")]
    Connect {
        /// Who.
        host: String,
        /// Why.
        why: String,
    },
    /// The connection broke.
    #[error("{host}: {why}")]
    Lost {
        /// With whom.
        host: String,
        /// How.
        why: String,
    },
}

impl HttpError {
    /// Asking again, or for something else of the same source, is not wanted either.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Network(NetworkError::Forbidden { .. }) | Self::Address(_))
    }
}

/// A client that reaches what its network permits. Connections are kept for the next request.
#[derive(Clone)]
pub struct Guarded {
    http: reqwest::Client,
    network: Network,
}

/// Resolves as [`Network`] does.
struct Checked(Network);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.0.clone();
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let addresses = network.resolve(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter().take(TRIES)) as Addrs)
        })
    }
}

impl Guarded {
    /// A client of this network.
    pub fn new(network: &Network) -> Result<Self, HttpError> {
        let http = reqwest::Client::builder()
            .dns_resolver(Checked(network.clone()))
            .tls_backend_preconfigured((**network.tls()).clone())
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(ONE_CONNECT_WITHIN)
            .pool_max_idle_per_host(KEPT)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = http.map_err(|error| HttpError::Setup(cause(&error)))?;
        Ok(Self { http, network: network.clone() })
    }

    /// A request to be filled and sent; credentials in the URL become a header.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request, and gives the head of its answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, HttpError> {
        let (_, request) = request.build_split();
        let request = request.map_err(|error| HttpError::Setup(cause(&error)))?;
        let url = request.url().clone();
        if let Some(Host::Ipv4(_) | Host::Ipv6(_)) = url.host() {
            let port = url.port_or_known_default().unwrap_or(0);
            self.network.resolve(&host(&url), port).await.map_err(HttpError::Network)?;
        }
        self.http.execute(request).await.map_err(|error| failed(host(&url), &error))
    }
}

/// Host of a URL, for errors.
pub(crate) fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// What a failed request comes to. What reqwest itself says of it has the URL.
pub(crate) fn failed(host: String, error: &reqwest::Error) -> HttpError {
    let mut source = error.source();
    while let Some(inner) = source {
        match inner.downcast_ref::<NetworkError>() {
            Some(NetworkError::Forbidden { host, key }) => {
                return HttpError::Network(NetworkError::Forbidden { host: host.clone(), key });
            }
            Some(NetworkError::Resolve { host, source }) => {
                let source = io::Error::new(source.kind(), source.to_string());
                return HttpError::Network(NetworkError::Resolve { host: host.clone(), source });
            }
            _ => source = inner.source(),
        }
    }
    if error.is_timeout() {
        return HttpError::Timeout { host, within: ONE_CONNECT_WITHIN };
    }
    let why = cause(error);
    if error.is_connect() { HttpError::Connect { host, why } } else { HttpError::Lost { host, why } }
}

/// The innermost cause, which knows no URL.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn Error> = error.source();
    while let Some(inner) = innermost.and_then(Error::source) {
        innermost = Some(inner);
    }
    innermost.map_or("no answer".to_owned(), ToString::to_string)
}
