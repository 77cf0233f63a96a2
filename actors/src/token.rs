//! Push tokens: the secret part of an ingest URL.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A push token. Never printed: `Debug` hides it, and there is no `Display`.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

impl Token {
    /// Wraps a token's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, for the API's URLs and the store only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Compares digests in constant time, so that neither content nor length leaks through timing.
    pub fn matches(&self, offered: &Self) -> bool {
        let digest = |token: &Self| Sha256::digest(token.expose().as_bytes());
        digest(self).ct_eq(&digest(offered)).into()
    }
}
