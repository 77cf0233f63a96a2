//! Push tokens: the secret part of an ingest URL.
//!
//! The tree holds no token, only keyed digests of them. What an encoder offers is digested with the same key and compared in constant
//! time, so neither content nor length leaks through timing, and who reads the tree's memory or the store learns no token.

use std::fmt;

use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use weir_media::id::StreamId;

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

    /// Whether both are the same, compared by their digests in constant time: for a door that asks again for the token of its own session.
    pub fn matches(&self, offered: &Self) -> bool {
        let digest = |token: &Self| digest::digest(&digest::SHA256, token.expose().as_bytes());
        digest(self).as_ref().ct_eq(digest(offered).as_ref()).into()
    }
}

/// The key of digests.
#[derive(Clone)]
pub struct DigestKey(hmac::Key);

impl DigestKey {
    /// From 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC-SHA256 of the stream's number, 8 bytes with the highest first, and the token: one token has another digest on each stream.
    pub fn digest(&self, stream: StreamId, token: &Token) -> TokenDigest {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&stream.0.to_be_bytes());
        context.update(token.expose().as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        TokenDigest(digest)
    }
}

/// A token's digest. Two are compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// No token has this digest.
    pub const NONE: Self = Self([0; 32]);

    /// A digest that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To keep it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_key_stream_and_token() {
        let (key, other) = (DigestKey::new(&[1; 32]), DigestKey::new(&[2; 32]));
        let digest = |key: &DigestKey, stream, token: &str| key.digest(StreamId(stream), &Token::new(token));
        assert_eq!(digest(&key, 7, "a"), digest(&key, 7, "a"));
        for different in [digest(&other, 7, "a"), digest(&key, 8, "a"), digest(&key, 7, "b"), digest(&key, 7, "")] {
            assert_ne!(digest(&key, 7, "a"), different);
            assert_ne!(different, TokenDigest::NONE);
        }
    }

    #[test]
    fn neither_token_nor_digest_is_printed() {
        let token = Token::new("canary");
        let digest = DigestKey::new(b"canary-canary-canary-canary-cana").digest(StreamId(7), &token);
        assert!(!format!("{token:?} {digest:?}").contains("canary"));
        assert_eq!(format!("{digest:?}"), "TokenDigest");
    }
}
