//! Request bodies as the API's clients send them: JSON whatever the content type says, flat or wrapped, often empty.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::{FromRequest, HttpRequest, web};
use serde_json::{Map, Value};

use super::error::ApiError;

/// Longest body that is read, bytes.
pub const MAX_BODY: usize = 256 << 10;

/// A JSON object; an empty body, and null, is an empty object. May hold secrets: no `Debug`.
pub struct Body(pub Map<String, Value>);

impl Body {
    /// The fields, whether they come flat or as `{wrapper: {…}}`.
    pub fn unwrap_from(mut self, wrapper: &str) -> Map<String, Value> {
        match self.0.get_mut(wrapper) {
            Some(Value::Object(fields)) => std::mem::take(fields),
            _ => self.0,
        }
    }
}

impl FromRequest for Body {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            let bytes = bytes.await.map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => ApiError::TooLarge(MAX_BODY),
                _ => ApiError::BadRequest(format!("The body cannot be read: {error}")),
            })?;
            if bytes.trim_ascii().is_empty() {
                return Ok(Self(Map::new()));
            }
            match serde_json::from_slice(&bytes) {
                Ok(Value::Object(fields)) => Ok(Self(fields)),
                Ok(Value::Null) => Ok(Self(Map::new())),
                Ok(_) => Err(ApiError::BadRequest("The body is not a JSON object".into())),
                Err(error) => Err(ApiError::BadRequest(format!("The body is not JSON: {error}"))),
            }
        })
    }
}
