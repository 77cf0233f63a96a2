//! What seals secrets in the database: push tokens, SRT passphrases and pull URIs of streams, addresses and secrets of webhooks.
//!
//! One random key of 256 bits, kept beside the database in `token.key` or given by the configuration, is the source of two (HKDF-SHA256,
//! RFC 5869): one seals (AES-256-GCM, RFC 5116, with a random nonce each time), one makes the digests that tokens are compared by. What
//! is sealed is bound to its stream or webhook and its column, so that it cannot be moved to another. The database notes the key's id, so that a
//! wrong key is told at the start and not by what cannot be read.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRngCore;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf;
use weir_actors::token::DigestKey;
use weir_media::id::StreamId;

use super::hex;
use crate::config::Secret;

/// Name of the key's file in `data.dir`.
const FILE: &str = "token.key";
/// Bytes of the key.
const KEY: usize = 32;
/// Bytes of the id that the database notes.
const ID: usize = 8;
/// First byte of what is sealed: how it is.
const AES_256_GCM_V1: u8 = 1;

/// What is sealed of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Token,
    SrtPassphrase,
    Uri,
}

/// What is sealed of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebhookColumn {
    Url,
    Secret,
    OldSecret,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Tokens are sealed, and their key is gone.
    #[error(
        "{path} is gone, and with it the key {id} of all push tokens, SRT passphrases and pull URIs: put the file back from a backup, or \
         set WEIR_TOKEN_KEY; if it is lost for good, `weir reset-secrets` makes new tokens and forgets the rest"
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// Of the key.
        id: String,
    },
    /// Tokens are sealed by another key.
    #[error(
        "{source_of_key} holds another key ({found}) than that of the push tokens in the database ({wanted}): put the right one back from a \
         backup; if it is lost for good, `weir reset-secrets` makes new tokens and forgets SRT passphrases and pull URIs"
    )]
    Other {
        /// File or setting.
        source_of_key: String,
        /// The id of its key.
        found: String,
        /// The id that the database notes.
        wanted: String,
    },
    /// It is no key.
    #[error("{0} holds no key: 64 hexadecimal digits")]
    Malformed(String),
    /// The key's file cannot be read or written.
    #[error("cannot keep the key of the push tokens in {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The cryptography failed, which it never does with keys of this length.
    #[error("the cryptography failed")]
    Refused,
    /// A secret of this webhook does not open: the database is damaged.
    #[error("the {1} of webhook {0} cannot be opened: the database is damaged, or was changed by others")]
    DamagedWebhook(i64, &'static str),
    /// A secret of this stream does not open: the database is damaged.
    #[error("the {1} of stream {0} cannot be opened: the database is damaged, or was changed by others")]
    Damaged(StreamId, &'static str),
}

/// The keys. Cloning shares them.
#[derive(Clone)]
pub(super) struct Vault {
    id: String,
    sealing: Arc<LessSafeKey>,
    digests: DigestKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "push token",
            Self::SrtPassphrase => "SRT passphrase",
            Self::Uri => "pull URI",
        }
    }
}

impl WebhookColumn {
    fn name(self) -> &'static str {
        match self {
            Self::Url => "address",
            Self::Secret => "secret",
            Self::OldSecret => "old secret",
        }
    }
}

impl Vault {
    /// The configured key, else that of the file, which is made when there is none and the database, which notes the id of its key,
    /// notes none.
    pub fn open(dir: &Path, configured: Option<&Secret>, noted: Option<&str>) -> Result<Self, VaultError> {
        let path = dir.join(FILE);
        let (text, source_of_key) = match configured {
            Some(key) => (key.clone(), "data.token_key".to_owned()),
            None => match std::fs::read_to_string(&path) {
                Ok(text) => (Secret::new(text.trim()), path.display().to_string()),
                Err(error) if error.kind() == ErrorKind::NotFound => match noted {
                    Some(id) => return Err(VaultError::Lost { path, id: id.to_owned() }),
                    None => (generate(&path)?, path.display().to_string()),
                },
                Err(source) => return Err(VaultError::File { path, source }),
            },
        };
        let key = parse(&text).ok_or_else(|| VaultError::Malformed(source_of_key.clone()))?;
        let vault = Self::derive(&key)?;
        match noted {
            Some(noted) if noted != vault.id => {
                Err(VaultError::Other { source_of_key, found: vault.id, wanted: noted.to_owned() })
            }
            _ => Ok(vault),
        }
    }

    /// The configured key, else a new one instead of that in the file.
    pub fn renew(dir: &Path, configured: Option<&Secret>) -> Result<Self, VaultError> {
        if configured.is_none() {
            generate(&dir.join(FILE))?;
        }
        Self::open(dir, configured, None)
    }

    fn derive(key: &[u8; KEY]) -> Result<Self, VaultError> {
        let source = hkdf::Salt::new(hkdf::HKDF_SHA256, b"weir secrets of streams").extract(key);
        let derived = |purpose: &[u8]| -> Result<[u8; KEY], Unspecified> {
            let mut derived = [0; KEY];
            source.expand(&[purpose], hkdf::HKDF_SHA256)?.fill(&mut derived)?;
            Ok(derived)
        };
        let keys = || -> Result<Self, Unspecified> {
            let sealing = UnboundKey::new(&AES_256_GCM, &derived(b"seal")?)?;
            let (id, digests) = (hex(&derived(b"id")?[..ID]), DigestKey::new(&derived(b"digest")?));
            Ok(Self { id, sealing: Arc::new(LessSafeKey::new(sealing)), digests })
        };
        keys().map_err(|Unspecified| VaultError::Refused)
    }

    /// What the database notes of the key; tells nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key of tokens' digests.
    pub fn digests(&self) -> &DigestKey {
        &self.digests
    }

    pub fn seal(&self, stream: StreamId, column: Column, secret: &str) -> Result<Vec<u8>, VaultError> {
        self.seal_at(&bound_to(stream, column), secret)
    }

    pub fn open_sealed(&self, stream: StreamId, column: Column, sealed: &[u8]) -> Result<String, VaultError> {
        self.open_at(&bound_to(stream, column), sealed).ok_or(VaultError::Damaged(stream, column.name()))
    }

    pub fn seal_webhook(&self, webhook: i64, column: WebhookColumn, secret: &str) -> Result<Vec<u8>, VaultError> {
        self.seal_at(&bound_to_webhook(webhook, column), secret)
    }

    pub fn open_webhook(&self, webhook: i64, column: WebhookColumn, sealed: &[u8]) -> Result<String, VaultError> {
        let opened = self.open_at(&bound_to_webhook(webhook, column), sealed);
        opened.ok_or(VaultError::DamagedWebhook(webhook, column.name()))
    }

    fn seal_at(&self, place: &str, secret: &str) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = secret.as_bytes().to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let refused = |Unspecified| VaultError::Refused;
        self.sealing.seal_in_place_append_tag(nonce_used, Aad::from(place), &mut sealed).map_err(refused)?;
        Ok([&[AES_256_GCM_V1][..], &nonce, &sealed].concat())
    }

    fn open_at(&self, place: &str, sealed: &[u8]) -> Option<String> {
        let (nonce, text) = sealed.strip_prefix(&[AES_256_GCM_V1])?.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.sealing.open_in_place(nonce, Aad::from(place), &mut text).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn bound_to(stream: StreamId, column: Column) -> String {
    format!("stream {stream}, {}", column.name())
}

fn bound_to_webhook(webhook: i64, column: WebhookColumn) -> String {
    format!("webhook {webhook}, {}", column.name())
}

fn parse(text: &Secret) -> Option<[u8; KEY]> {
    let digits = text.expose().as_bytes();
    let mut key = [0; KEY];
    if digits.len() != 2 * KEY {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(key)
}

fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    rand::rngs::OsRng.try_fill_bytes(bytes).map_err(|error| VaultError::Random(error.to_string()))
}

fn generate(path: &Path) -> Result<Secret, VaultError> {
    let mut key = [0; KEY];
    random(&mut key)?;
    let key = Secret::new(hex(&key));
    let write = || {
        // A crash half-way must not leave half a key, so the file appears under its name only when it is whole.
        let fresh = path.with_extension("key.new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        writeln!(file, "{}", key.expose())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        // Nothing may be sealed by a key that a loss of power takes away.
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(|source| VaultError::File { path: path.to_owned(), source })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::store::testing;

    const STREAM: StreamId = StreamId(7);

    fn key(digit: &str) -> Secret {
        Secret::new(digit.repeat(2 * KEY))
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_in_its_place() {
        let dir = testing::dir();
        let vault = Vault::open(&dir, Some(&key("a")), None).unwrap();
        let sealed = vault.seal(STREAM, Column::Token, "canary").unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"canary"));
        assert_ne!(sealed, vault.seal(STREAM, Column::Token, "canary").unwrap(), "another nonce each time");
        assert_eq!(vault.open_sealed(STREAM, Column::Token, &sealed).unwrap(), "canary");
        assert!(vault.open_sealed(StreamId(8), Column::Token, &sealed).is_err());
        assert!(vault.open_sealed(STREAM, Column::Uri, &sealed).is_err());
        assert!(Vault::derive(&[0; KEY]).unwrap().open_sealed(STREAM, Column::Token, &sealed).is_err());
        for damage in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[damage] ^= 1;
            assert!(vault.open_sealed(STREAM, Column::Token, &damaged).is_err(), "byte {damage}");
            assert!(vault.open_sealed(STREAM, Column::Token, &sealed[..damage]).is_err(), "{damage} bytes");
        }
    }

    #[test]
    fn a_generated_key_is_private_and_found_again_and_a_lost_or_wrong_one_is_told() {
        let dir = testing::dir();
        std::fs::create_dir_all(&dir).unwrap();
        let first = Vault::open(&dir, None, None).unwrap();
        let file = dir.join(FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let id = first.id().to_owned();
        assert_eq!(Vault::open(&dir, None, Some(&id)).unwrap().id(), id);
        let other = Vault::open(&dir, Some(&key("b")), Some(&id)).unwrap_err().to_string();
        assert!(other.contains("data.token_key") && other.contains("reset-secrets"), "{other}");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(Vault::open(&dir, None, Some(&id)), Err(VaultError::Malformed(_))));
        std::fs::remove_file(&file).unwrap();
        let lost = Vault::open(&dir, None, Some(&id)).unwrap_err().to_string();
        assert!(lost.contains("token.key is gone") && lost.contains("reset-secrets"), "{lost}");
        assert!(!file.exists(), "no other key is made in its place");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
