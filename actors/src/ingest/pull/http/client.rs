//! Requests of one pull: each address is checked before it is connected to, and everything that is answered is bounded.
//!
//! A playlist names further addresses and a server redirects, so that whoever runs a source could make this one ask for what only this
//! machine reaches. Therefore each address that is asked for, redirects among them, has the scheme `http` or `https` and goes through
//! [`Guarded`]. There are no redirects but those that are followed here.
//!
//! Credentials of the source's URL go to its own origin only. Errors name hosts and statuses, never paths or queries.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use tokio::time::timeout;
use url::{Origin, Url};
use weir_media::hls::playlist::Range;
use weir_media::pull::PullUri;

use super::super::{CONNECT_WITHIN, Fetched, Outlet, PullError};
use crate::network::Network;
pub use crate::network::http::HttpError;
use crate::network::http::{Guarded, failed, host};

/// Redirects that are followed for one request.
const MOST_REDIRECTS: usize = 3;
/// Longest that a body pauses.
const IDLE: Duration = Duration::from_secs(10);

impl From<HttpError> for PullError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Network(error) => Self::Network(error),
            HttpError::Timeout { within, .. } => Self::Timeout(within),
            HttpError::Lost { .. } => Self::Lost(error.to_string()),
            HttpError::TooLarge { .. } | HttpError::Setup(_) => Self::Unacceptable(error.to_string()),
            HttpError::Address(_) | HttpError::Connect { .. } | HttpError::Status { .. } | HttpError::Redirect(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// Asks for what belongs to one source. Connections are kept for the next request.
pub struct Client {
    http: Guarded,
    /// The source, which may hold credentials.
    source: Url,
    origin: Origin,
}

impl Client {
    /// A client for a source.
    pub fn new(source: &PullUri, network: &Network) -> Result<Self, PullError> {
        Ok(Self { http: Guarded::new(network)?, source: source.url().clone(), origin: source.url().origin() })
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
        let mut request =
            self.http.request(Method::GET, self.with_credentials(url)).header(ACCEPT_ENCODING, "identity");
        if let Some(range) = range {
            request = request.header(RANGE, format!("bytes={}-{}", range.offset, range.end() - 1));
        }
        self.http.send(request).await
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

#[cfg(test)]
mod tests;
