//! One request to a webhook's receiver: signed, guarded, and what is made of its answer.

use std::time::{Duration, UNIX_EPOCH};

use url::Url;
use weir_actors::clock;
use weir_actors::network::http::HttpError;
use weir_actors::network::post::{Answer, Poster};

use super::signature;
use crate::config::Secret;
use crate::store::{Store, Webhook};

/// For all of a request, from the resolution of the name to the end of what is read of the answer.
pub const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const READ: usize = 4 << 10;
/// Characters of an answer that are logged.
const SHOWN: usize = 1_000;

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The kept address is none.
    #[error("the address cannot be read")]
    Address,
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// The name of a message: the same in each try and each replay, and no other database's.
pub fn message_id(store: &Store, event: i64) -> String {
    format!("msg_{}_{event}", store.name())
}

/// Sends a body under this name.
pub async fn send(poster: &Poster, webhook: &Webhook, id: &str, body: &str) -> Result<Answer, Failure> {
    let url = Url::parse(webhook.url.expose()).map_err(|_| Failure::Address)?;
    let now = clock::wall();
    let timestamp = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let old = webhook.old_secret.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
    let secrets: Vec<&Secret> = [Some(&webhook.secret), old].into_iter().flatten().collect();
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature::sign(secrets, id, timestamp, body)),
    ];
    Ok(poster.post(&url, &headers, body.to_owned(), WITHIN, READ).await?)
}

/// Whether the receiver has it.
pub fn is_taken(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// What an answer that is no success means.
pub fn refusal(answer: &Answer) -> String {
    let status = answer.status;
    if answer.redirects {
        return format!("answered {status}, a redirect, which is not followed: set the address that it leads to");
    }
    format!("answered {status}")
}

/// The begin of an answer as it may be kept: text, without the webhook's own secrets.
pub fn shown_answer(webhook: &Webhook, body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let url = webhook.url.expose();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let old = webhook.old_secret.as_ref().map_or("", |(secret, _)| secret.expose());
    for secret in [webhook.secret.expose(), old, url, query].into_iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

/// An address as operators see it: without credentials, and without the values of its query.
pub fn shown_url(url: &Secret) -> String {
    let Ok(mut url) = Url::parse(url.expose()) else { return "***".into() };
    if !url.username().is_empty() || url.password().is_some() {
        // Fails where there is no host, and so nothing to mask.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> Webhook {
        Webhook {
            id: 1,
            url: Secret::new(url),
            secret: Secret::new("whsec_new"),
            old_secret: Some((Secret::new("whsec_old"), UNIX_EPOCH)),
            configured: false,
            enabled: true,
            disabled_reason: None,
            created_at: UNIX_EPOCH,
            since: 0,
            settled: 0,
            given_up: 0,
            purged: 0,
        }
    }

    #[test]
    fn an_answer_is_kept_without_the_webhook_s_own_secrets_and_in_one_line() {
        let webhook = webhook("https://h/hook?key=canary");
        let answer = "got whsec_new whsec_old\r\nat https://h/hook?key=canary, key=canary \u{1b}[31m";
        assert_eq!(shown_answer(&webhook, answer.as_bytes()), "got *** ***  at ***, ***  [31m");
        assert_eq!(shown_answer(&webhook, &[0xff; 4096]).chars().count(), SHOWN);
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        let shown = |url: &str| shown_url(&Secret::new(url));
        assert_eq!(shown("https://user:canary@h:8443/a/b?key=canary"), "https://***@h:8443/a/b?***");
        assert_eq!(shown("http://h/a"), "http://h/a");
    }

    #[test]
    fn a_redirect_is_told_as_such() {
        let answer = |status, redirects| Answer { status, redirects, body: Default::default(), retry_after: None };
        assert!(is_taken(&answer(204, false)) && !is_taken(&answer(199, false)) && !is_taken(&answer(302, true)));
        assert!(refusal(&answer(302, true)).contains("not followed"));
        assert_eq!(refusal(&answer(500, false)), "answered 500");
    }
}
