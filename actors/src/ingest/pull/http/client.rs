//! Requests of one pull: each address is checked before it is connected to, and everything that is answered is bounded.
//!
//! A playlist names further addresses and a server redirects, so that whoever runs a source could make this one ask for what only this
//! machine reaches. Therefore each address that is asked for, redirects among them, has the scheme `http` or `https`, and its host is
//! resolved by [`Network`]: reqwest connects to exactly the addresses that its resolver returns. A literal address, which no resolver is
//! asked about, is checked before the request. There are no proxies, no cookies, and no redirects but those that are followed here.
//!
//! Credentials of the source's URL go to its own origin only. Errors name hosts and statuses, never paths or queries.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{StatusCode, redirect, retry};
use tokio::time::timeout;
use url::{Host, Origin, Url};
use weir_media::hls::playlist::Range;
use weir_media::pull::PullUri;

use super::super::network::{Network, NetworkError};
use super::super::{CONNECT_WITHIN, Fetched, Outlet, PullError};

/// Redirects that are followed for one request.
const MOST_REDIRECTS: usize = 3;
/// For one host to take a connection.
const ONE_CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Of a name's addresses so many are tried.
const TRIES: usize = 4;
/// Longest that a body pauses.
const IDLE: Duration = Duration::from_secs(10);
/// Connections to a host that are kept for the next request: one for each playlist and its segments.
const KEPT: usize = 2;

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It cannot be connected to, or must not be.
    #[error(transparent)]
    Network(NetworkError),
    /// Another scheme than `http` and `https`, or from the latter to the former.
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

impl From<HttpError> for PullError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Network(error) => Self::Network(error),
            HttpError::Timeout { within, .. } => Self::Timeout(within),
            HttpError::Lost { .. } => Self::Lost(error.to_string()),
            HttpError::TooLarge { .. } => Self::Unacceptable(error.to_string()),
            HttpError::Address(_) | HttpError::Connect { .. } | HttpError::Status { .. } | HttpError::Redirect(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// Asks for what belongs to one source. Connections are kept for the next request.
pub struct Client {
    http: reqwest::Client,
    network: Network,
    /// The source, which may hold credentials.
    source: Url,
    origin: Origin,
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

impl Client {
    /// A client for a source.
    pub fn new(source: &PullUri, network: &Network) -> Result<Self, PullError> {
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
        let http = http.map_err(|error| PullError::Unacceptable(format!("no HTTP client: {}", cause(&error))))?;
        Ok(Self { http, network: network.clone(), source: source.url().clone(), origin: source.url().origin() })
    }

    /// Asks for a resource or a part of it, following redirects. The head of the answer has to be there within [`CONNECT_WITHIN`].
    pub async fn get(&self, url: &Url, range: Option<Range>) -> Result<Response, HttpError> {
        match timeout(CONNECT_WITHIN, self.follow(bare(url), range)).await {
            Ok(answered) => answered,
            Err(_) => Err(HttpError::Timeout { host: host(url), within: CONNECT_WITHIN }),
        }
    }

    async fn follow(&self, mut url: Url, range: Option<Range>) -> Result<Response, HttpError> {
        permitted(url.scheme())?;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&url, range).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(Response { answer: response, url, range, ahead: None });
            }
            let Some(location) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) else {
                return Err(HttpError::Status { host: host(&url), status });
            };
            url = redirected(&url, location.as_bytes())?;
        }
        Err(HttpError::Redirect(host(&url)))
    }

    /// One request.
    async fn ask(&self, url: &Url, range: Option<Range>) -> Result<reqwest::Response, HttpError> {
        if let Some(Host::Ipv4(_) | Host::Ipv6(_)) = url.host() {
            let port = url.port_or_known_default().unwrap_or(0);
            self.network.resolve(&host(url), port).await.map_err(HttpError::Network)?;
        }
        let mut request = self.http.get(self.with_credentials(url)).header(ACCEPT_ENCODING, "identity");
        if let Some(range) = range {
            request = request.header(RANGE, format!("bytes={}-{}", range.offset, range.end() - 1));
        }
        request.send().await.map_err(|error| failed(host(url), &error))
    }

    /// A URL as reqwest is given it, which makes a header of credentials.
    fn with_credentials(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if url.origin() == self.origin {
            // An address with a host takes both.
            let _ = url.set_username(self.source.username());
            let _ = url.set_password(self.source.password());
        }
        url
    }
}

/// An answer whose body is to come.
pub struct Response {
    answer: reqwest::Response,
    /// What was asked for in the end, without credentials.
    url: Url,
    range: Option<Range>,
    /// Bytes of the body that were looked at and not taken.
    ahead: Option<Bytes>,
}

impl Response {
    /// Where it came from in the end; holds no credentials, but perhaps other secrets.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The media type it is said to have, in lower case and without parameters.
    pub fn content_type(&self) -> Option<String> {
        let text = self.answer.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        Some(text.split(';').next()?.trim().to_ascii_lowercase())
    }

    /// Looks at the first bytes of the body, fewer where it is shorter. They have to be there within [`CONNECT_WITHIN`].
    pub async fn first(&mut self, count: usize) -> Result<Bytes, HttpError> {
        let mut first = Vec::new();
        let read = async {
            while first.len() < count
                && let Some(chunk) = self.chunk().await?
            {
                first.extend_from_slice(&chunk);
            }
            Ok(())
        };
        match timeout(CONNECT_WITHIN, read).await {
            Ok(read) => read?,
            Err(_) => return Err(HttpError::Timeout { host: host(&self.url), within: CONNECT_WITHIN }),
        }
        let first = Bytes::from(first);
        self.ahead = Some(first.clone()).filter(|first| !first.is_empty());
        Ok(first)
    }

    /// The next bytes of the body; `None` at its end. Cancel safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        match timeout(IDLE, self.answer.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| failed(host(&self.url), &error)),
            Err(_) => Err(HttpError::Timeout { host: host(&self.url), within: IDLE }),
        }
    }

    /// The whole body, of `most` bytes at most and within that time. What comes is told to an outlet, if there is one.
    pub async fn body(mut self, most: usize, within: Duration, heard: Option<&Outlet>) -> Result<Vec<u8>, HttpError> {
        match timeout(within, self.collect(most, heard)).await {
            Ok(body) => body.map(|body| self.part(body)),
            Err(_) => Err(HttpError::Timeout { host: host(&self.url), within }),
        }
    }

    async fn collect(&mut self, most: usize, heard: Option<&Outlet>) -> Result<Vec<u8>, HttpError> {
        let most = most as u64;
        let too_large = |url: &Url| HttpError::TooLarge { host: host(url), most };
        if self.answer.content_length().is_some_and(|length| length > most) {
            return Err(too_large(&self.url));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > most {
                return Err(too_large(&self.url));
            }
            if let Some(outlet) = heard {
                // That nobody takes it any more shows where units are put.
                let _ = outlet.put(Fetched::Heard(chunk.len())).await;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What was asked for, of a body that may be all of the resource.
    fn part(&self, mut body: Vec<u8>) -> Vec<u8> {
        let Some(range) = self.range else { return body };
        let fits = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(body.len());
        let (begin, end) = match self.answer.status() {
            StatusCode::PARTIAL_CONTENT => (0, fits(range.length)),
            _ => (fits(range.offset), fits(range.end())),
        };
        body.truncate(end);
        body.drain(..begin);
        body
    }
}

/// Where a redirect leads.
fn redirected(from: &Url, location: &[u8]) -> Result<Url, HttpError> {
    let nowhere = || HttpError::Redirect(host(from));
    let to = from.join(std::str::from_utf8(location).map_err(|_| nowhere())?).map_err(|_| nowhere())?;
    permitted(to.scheme())?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(HttpError::Address(format!("{} redirects from https to http", host(from))));
    }
    Ok(bare(&to))
}

fn permitted(scheme: &str) -> Result<(), HttpError> {
    if matches!(scheme, "http" | "https") {
        return Ok(());
    }
    Err(HttpError::Address(format!("source names an address of scheme {scheme}, only http and https are pulled")))
}

/// A URL without credentials.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // Fails where there is no host, and so nothing to remove.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// What a failed request comes to. What reqwest itself says of it has the URL.
fn failed(host: String, error: &reqwest::Error) -> HttpError {
    let mut source = error.source();
    while let Some(inner) = source {
        match inner.downcast_ref::<NetworkError>() {
            Some(NetworkError::Forbidden { host }) => {
                return HttpError::Network(NetworkError::Forbidden { host: host.clone() });
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

#[cfg(test)]
mod tests;
