//! What operators send; everything that is wrong is told at once.

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::config::Secret;
use crate::http::error::{ApiError, FieldErrors, unknown_fields};
use crate::webhooks::signature;

/// Longest address, bytes.
const MAX_URL: usize = 2_048;
/// What is wrong with an address.
pub const NO_URL: &str = "must be an address like https://example.org/hook";
/// Longest overlap of two secrets, seconds: 30 days.
const MAX_OVERLAP: u64 = 30 * 24 * 60 * 60;

/// A webhook as operators write it.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Its schema is what counts; the fields are read one by one to tell all faults.
pub struct WebhookInput {
    /// Where to, `https` or `http`; at most 2048 bytes.
    url: Option<String>,
    /// What messages are signed with, at creation only: `whsec_` and the base64 of 24 to 64 bytes.
    secret: Option<String>,
    /// Whether it is delivered to; true if not said.
    enabled: Option<bool>,
}

/// Another secret.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // As above.
pub struct RotateInput {
    /// The new one; made here if not given.
    secret: Option<String>,
    /// How long the present one signs too, seconds, at most 30 days.
    overlap_s: Option<u64>,
}

/// From where on.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // As above.
pub struct ReplayInput {
    /// An `event_id`; what came behind it is delivered again.
    after: i64,
}

/// [`WebhookInput`], checked.
pub struct Wishes {
    pub url: Option<String>,
    pub secret: Option<Secret>,
    pub enabled: Option<bool>,
}

/// [`RotateInput`], checked.
pub struct Rotation {
    pub secret: Option<Secret>,
    pub overlap_s: Option<u64>,
}

/// [`ReplayInput`], checked.
pub struct Replay {
    pub after: i64,
}

impl Wishes {
    pub fn read(given: &Map<String, Value>, known: &[&str]) -> Result<Self, ApiError> {
        let mut reader = Reader::new(given, known);
        let wishes = Self {
            url: reader.field("url", NO_URL, |value| value.as_str().filter(|url| is_url(url)).map(str::to_owned)),
            secret: reader.field("secret", signature::WANTED, secret),
            enabled: reader.field("enabled", "must be true or false", Value::as_bool),
        };
        reader.finish(wishes)
    }
}

impl Rotation {
    pub fn read(given: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut reader = Reader::new(given, &["secret", "overlap_s"]);
        let seconds = format!("must be a whole number of seconds within 0 and {MAX_OVERLAP}");
        let rotation = Self {
            secret: reader.field("secret", signature::WANTED, secret),
            overlap_s: reader.field("overlap_s", &seconds, |value| value.as_u64().filter(|s| *s <= MAX_OVERLAP)),
        };
        reader.finish(rotation)
    }
}

impl Replay {
    pub fn read(given: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut reader = Reader::new(given, &["after"]);
        let wrong = "must be an event_id, or 0 for all that is kept";
        let after = reader.field("after", wrong, |value| value.as_i64().filter(|after| *after >= 0));
        if after.is_none() {
            reader.wrong("after", wrong);
        }
        reader.finish(Self { after: after.unwrap_or_default() })
    }
}

fn secret(value: &Value) -> Option<Secret> {
    value.as_str().filter(|text| signature::is_secret(text)).map(Secret::new)
}

fn is_url(text: &str) -> bool {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL);
    url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    })
}

/// Reads fields, and remembers what is wrong with them.
struct Reader<'a> {
    given: &'a Map<String, Value>,
    errors: FieldErrors,
}

impl<'a> Reader<'a> {
    fn new(given: &'a Map<String, Value>, known: &[&str]) -> Self {
        Self { given, errors: unknown_fields(given, known) }
    }

    /// A field that may be missing, or null for the same.
    fn field<T>(&mut self, field: &str, wrong: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.given.get(field).filter(|value| !value.is_null())?;
        let read = read(value);
        if read.is_none() {
            self.wrong(field, wrong);
        }
        read
    }

    fn wrong(&mut self, field: &str, text: &str) {
        self.errors.entry(field.to_owned()).or_insert_with(|| vec![text.to_owned()]);
    }

    fn finish<T>(self, read: T) -> Result<T, ApiError> {
        if self.errors.is_empty() { Ok(read) } else { Err(ApiError::Invalid(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults<T>(read: Result<T, ApiError>) -> Vec<String> {
        match read {
            Err(ApiError::Invalid(errors)) => errors.into_keys().collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => vec![],
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let known = ["url", "secret", "enabled"];
        let wrong = object(json!({"url": "ftp://h", "secret": "short", "enabled": 1, "key": 2}));
        assert_eq!(faults(Wishes::read(&wrong, &known)), ["enabled", "key", "secret", "url"]);
        for url in ["", "h/hook", "https://", "https:// h", &format!("https://h/{}", "x".repeat(2_048))] {
            assert_eq!(faults(Wishes::read(&object(json!({"url": url})), &known)), ["url"], "{url}");
        }
        let right = object(json!({"url": "https://h/hook", "secret": null}));
        assert_eq!(
            Wishes::read(&right, &known).unwrap_or_else(|error| panic!("{error}")).url.unwrap(),
            "https://h/hook"
        );
        assert_eq!(faults(Wishes::read(&object(json!({"secret": "x"})), &["url"])), ["secret"]);
        assert_eq!(faults(Rotation::read(&object(json!({"overlap_s": 2_592_001})))), ["overlap_s"]);
        for after in [json!({}), json!({"after": -1}), json!({"after": "1"})] {
            assert_eq!(faults(Replay::read(&object(after))), ["after"]);
        }
    }
}
