//! What goes wrong in a request, and how the API tells it: the one place of HTTP status codes and error bodies.
//!
//! The shapes are those of the documented API: `{"errors": {field: [texts]}}` for wrong fields, `{"status", "error"}` otherwise.
//! 409 is used under `/ops` only, because clients of the documented API repeat a request that answers it.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

use crate::metrics::MetricsError;
use crate::store::StoreError;
use crate::tree::TreeGone;

/// Wrong fields, each with what is wrong with it.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// No API key, or a wrong one.
    #[error("send the API key as \"Authorization: APIKey <key>\"")]
    Unauthorized,
    /// Not the key that the panel is opened with.
    #[error("this is not the API key")]
    WrongKey,
    /// As many wrong keys as may be tried; how long until the next one.
    #[error("too many wrong keys; try again in {} s", seconds(*.0))]
    TooManyTries(Duration),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// Not so: over this connection, or from that page.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No such thing; the text names it.
    #[error("{0}")]
    NotFound(String),
    /// Not possible as things are now; the text says why. Operators only.
    #[error("{0}")]
    Conflict(String),
    /// The resource has other methods.
    #[error("this resource takes {0}")]
    MethodNotAllowed(&'static str),
    /// The body is too long.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// Fields are wrong.
    #[error("wrong fields")]
    Invalid(FieldErrors),
    /// A feature that this server does not have.
    #[error("Feature is disabled. Contact support to enable.")]
    FeatureDisabled,
    /// The store failed.
    #[error("the store failed")]
    Store(StoreError),
    /// The store has no room.
    #[error("the disk of data.dir is full or takes no writes; nothing was changed")]
    DiskFull(StoreError),
    /// As many follow as may.
    #[error("{0} connections follow what happens already")]
    TooManyFollowers(usize),
    /// The tree does not answer.
    #[error("{0}")]
    Tree(#[from] TreeGone),
    /// Measurements cannot be written.
    #[error("{0}")]
    Metrics(#[from] MetricsError),
}

/// What is wrong with fields that nobody knows here.
pub fn unknown_fields(given: &Map<String, Value>, known: &[&str]) -> FieldErrors {
    let unknown = given.keys().filter(|field| !known.contains(&field.as_str()));
    let text = format!("is unknown; known here: {}", known.join(", "));
    unknown.map(|field| (field.clone(), vec![text.clone()])).collect()
}

impl ApiError {
    /// One wrong field.
    pub fn field(field: &str, text: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::from([(field.to_owned(), vec![text.into()])]))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::MaxActive(_) => Self::field("active", error.to_string()),
            error if error.is_disk_full() => Self::DiskFull(error),
            error => Self::Store(error),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::WrongKey => StatusCode::UNAUTHORIZED,
            Self::TooManyTries(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) | Self::FeatureDisabled => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(_) | Self::Metrics(_) | Self::NoRandomness => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DiskFull(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::TooManyFollowers(_) | Self::Tree(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        match self {
            Self::Invalid(errors) => response.json(json!({ "errors": errors })),
            Self::FeatureDisabled => response.json(json!({ "error": self.to_string() })),
            _ => {
                if let Self::Store(error) | Self::DiskFull(error) = self {
                    tracing::error!(%error, "request failed");
                }
                match self {
                    Self::Unauthorized | Self::WrongKey => {
                        _ = response.insert_header((header::WWW_AUTHENTICATE, "APIKey"))
                    }
                    Self::TooManyTries(wait) => _ = response.insert_header((header::RETRY_AFTER, seconds(*wait))),
                    Self::MethodNotAllowed(methods) => _ = response.insert_header((header::ALLOW, *methods)),
                    _ => {}
                }
                let title = status.canonical_reason().unwrap_or("Error");
                response.json(json!({ "status": status.as_u16(), "error": format!("{title}. {self}") }))
            }
        }
    }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).max(1) as u64
}
