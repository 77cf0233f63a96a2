//! One POST to an address that somebody else chose: no redirect is followed, all of it is over within a time, and of the answer no more is
//! kept than is wanted.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use tokio::time::timeout;
use url::Url;

use super::Network;
use super::http::{Guarded, HttpError, host};

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The begin of the body.
    pub body: Bytes,
    /// Seconds of a `Retry-After`; its form with a date is not read.
    pub retry_after: Option<Duration>,
    /// It is a redirect, to somewhere.
    pub redirects: bool,
}

/// Posts; cloning shares the connections that are kept.
#[derive(Clone)]
pub struct Poster(Guarded);

impl Poster {
    /// Of a network.
    pub fn new(network: &Network) -> Result<Self, HttpError> {
        Ok(Self(Guarded::new(network)?))
    }

    /// Posts JSON with more headers. Of the answer's body the first `most` bytes are read; that it breaks off behind its head is no failure.
    pub async fn post(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        json: String,
        within: Duration,
        most: usize,
    ) -> Result<Answer, HttpError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::Address("only http and https addresses are posted to".into()));
        }
        let mut request = self.0.request(Method::POST, url.clone()).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = async {
            let mut response = self.0.send(request.body(json)).await?;
            let mut body = Vec::new();
            while body.len() < most
                && let Ok(Some(chunk)) = response.chunk().await
            {
                body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
            }
            let header = |name| response.headers().get(name)?.to_str().ok();
            let retry_after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            let status: StatusCode = response.status();
            let redirects = status.is_redirection() && response.headers().contains_key(LOCATION);
            Ok(Answer { status: status.as_u16(), body: body.into(), retry_after, redirects })
        };
        match timeout(within, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { host: host(url), within }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::tests::local;
    use super::*;

    /// Answers one connection, and gives what was asked.
    async fn answered(answer: &'static [u8], hangs: bool) -> (Result<Answer, HttpError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://user:pass@{}/hook?key=1", listener.local_addr().unwrap())).unwrap();
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = vec![];
            while !asked.ends_with(b"{\"a\":1}") {
                assert_ne!(socket.read_buf(&mut asked).await.unwrap(), 0);
            }
            socket.write_all(answer).await.unwrap();
            if hangs {
                let _ = socket.read_buf(&mut asked).await;
            }
            String::from_utf8(asked).unwrap()
        });
        let poster = Poster::new(&local()).unwrap();
        let headers = [("webhook-id", "7".to_owned())];
        let within = if hangs { Duration::from_millis(200) } else { Duration::from_secs(20) };
        let answer = poster.post(&url, &headers, r#"{"a":1}"#.into(), within, 10).await;
        (answer, asked.await.unwrap())
    }

    #[tokio::test]
    async fn headers_and_body_arrive_and_the_begin_of_the_answer_comes_back() {
        let (answer, asked) = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n0123456789abcdef", false).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"0123456789"[..]));
        for part in
            ["POST /hook?key=1 HTTP/1.1", "webhook-id: 7", "content-type: application/json", "authorization: Basic"]
        {
            assert!(asked.contains(part), "{asked}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let (answer, _) =
            answered(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.redirects), (302, true));
    }

    #[tokio::test]
    async fn a_wish_for_more_time_is_read_and_a_broken_body_is_no_failure() {
        let (answer, _) = answered(b"HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\nno", false).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.retry_after, &answer.body[..]),
            (503, Some(Duration::from_secs(7)), &b"no"[..])
        );
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_over_in_time() {
        let (answer, _) = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nno", true).await;
        assert!(matches!(answer, Err(HttpError::Timeout { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn a_forbidden_address_is_told_with_the_setting_that_permits_it() {
        let network = Network::new(vec![]).unwrap().allowed_by("webhooks.allow");
        let url = Url::parse("http://127.0.0.1:9/").unwrap();
        let error = Poster::new(&network).unwrap().post(&url, &[], "{}".into(), Duration::from_secs(5), 10).await;
        let error = error.unwrap_err();
        assert!(error.is_forbidden() && error.to_string().contains("webhooks.allow"), "{error}");
    }
}
