//! A certificate and its key as PEM files: read, checked against each other, and told apart from what was there before.

use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::InconsistentKeys;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest file that is read, bytes; a chain of four has some 8 KiB.
const MAX_BYTES: u64 = 1 << 20;
/// How long before its end a certificate is complained about.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Permission bits that let others than the owner read.
const READABLE_BY_OTHERS: u32 = 0o044;

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate chain, the server's own first.
    Cert,
    /// The private key.
    Key,
}

impl Part {
    /// Name of its configuration key below `[https]` or `[rtmps]`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Cert => "cert",
            Self::Key => "key",
        }
    }
}

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        part: Part,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path}: {problem}")]
    Unusable {
        /// Which.
        part: Part,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Both can be read, but are not of one another.
    #[error("the first certificate in {cert} is not that of the private key in {key}")]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

impl PairError {
    /// The file to look at.
    pub fn part(&self) -> Part {
        match self {
            Self::Unreadable { part, .. } | Self::Unusable { part, .. } => *part,
            Self::Mismatch { .. } => Part::Cert,
        }
    }
}

/// A door's two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// What tells files apart without reading them: they follow links, so a link that is set anew is a change too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp([Option<FileStamp>; 2]);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileStamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    /// Permissions and names count as well.
    changed: (i64, i64),
}

/// A pair that can be used.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What handshakes need.
    pub certified: Arc<CertifiedKey>,
    /// When it begins to hold.
    pub not_before: SystemTime,
    /// Until when it holds.
    pub not_after: SystemTime,
    /// Whether others than its owner may read the key's file.
    pub exposed: bool,
}

/// How far a pair is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It does not hold yet.
    NotYet,
    /// It holds for longer than [`EXPIRES_SOON`].
    Fine,
    /// It holds for so many whole days.
    Days(u64),
    /// It is over.
    Expired,
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("the certificate is not valid yet"),
            Self::Fine => f.write_str("the certificate is valid"),
            Self::Days(0) => f.write_str("the certificate expires within a day"),
            Self::Days(1) => f.write_str("the certificate expires in 1 day"),
            Self::Days(days) => write!(f, "the certificate expires in {days} days"),
            Self::Expired => f.write_str("the certificate has expired"),
        }
    }
}

impl Files {
    /// What is there now.
    pub fn stamp(&self) -> Stamp {
        Stamp([&self.cert, &self.key].map(|path| {
            std::fs::metadata(path).ok().map(|file| FileStamp {
                file: (file.dev(), file.ino()),
                length: file.len(),
                modified: (file.mtime(), file.mtime_nsec()),
                changed: (file.ctime(), file.ctime_nsec()),
            })
        }))
    }

    /// Reads and checks both. Whether the certificate holds at this time is not asked: [`Pair::validity`].
    pub fn read(&self) -> Result<Pair, PairError> {
        let chain = self.chain()?;
        let key = self.private_key()?;
        let unusable = |part, problem: String| {
            let path = if part == Part::Cert { &self.cert } else { &self.key };
            PairError::Unusable { part, path: path.clone(), problem }
        };
        let (not_before, not_after) = match X509Certificate::from_der(chain.first().map_or(&[], |own| own.as_ref())) {
            Ok((_, own)) => (at(own.validity().not_before.timestamp()), at(own.validity().not_after.timestamp())),
            Err(error) => return Err(unusable(Part::Cert, format!("not an X.509 certificate: {error}"))),
        };
        let provider = default_provider();
        let private =
            provider.key_provider.load_private_key(key).map_err(|error| unusable(Part::Key, error.to_string()))?;
        let certified = CertifiedKey::new(chain, private);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(PairError::Mismatch { cert: self.cert.clone(), key: self.key.clone() });
            }
            Err(error) => return Err(unusable(Part::Cert, error.to_string())),
        }
        let exposed =
            std::fs::metadata(&self.key).is_ok_and(|file| file.permissions().mode() & READABLE_BY_OTHERS != 0);
        Ok(Pair { certified: Arc::new(certified), not_before, not_after, exposed })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, PairError> {
        let unusable = |problem| PairError::Unusable { part: Part::Cert, path: self.cert.clone(), problem };
        let text = read(Part::Cert, &self.cert)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(format!("not a PEM file: {error}")))?;
        if chain.is_empty() { Err(unusable("no certificate in it".into())) } else { Ok(chain) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, PairError> {
        let text = read(Part::Key, &self.key)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
            let problem = match error {
                pem::Error::NoItemsFound if encrypted => {
                    "the private key is encrypted; store it without a passphrase".into()
                }
                pem::Error::NoItemsFound => "no private key in it".into(),
                error => format!("not a PEM file: {error}"),
            };
            PairError::Unusable { part: Part::Key, path: self.key.clone(), problem }
        })
    }
}

impl Pair {
    /// How far it is from its end at `now`.
    pub fn validity(&self, now: SystemTime) -> Validity {
        if now < self.not_before {
            return Validity::NotYet;
        }
        match self.not_after.duration_since(now) {
            Err(_) => Validity::Expired,
            Ok(left) if left < EXPIRES_SOON => Validity::Days(left.as_secs() / (24 * 60 * 60)),
            Ok(_) => Validity::Fine,
        }
    }

    /// What an operator should know of it at `now`, with the key of the configuration. `door` is the section.
    pub fn notes(&self, door: &str, now: SystemTime) -> Vec<String> {
        let validity = self.validity(now);
        let validity = (validity != Validity::Fine).then(|| format!("{door}.cert: {validity}"));
        let exposed = self.exposed.then(|| format!("{door}.key: the file can be read by others than its owner"));
        validity.into_iter().chain(exposed).collect()
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: SystemTime) -> bool {
        matches!(self.validity(now), Validity::Fine | Validity::Days(_))
    }
}

fn read(part: Part, path: &Path) -> Result<Vec<u8>, PairError> {
    let unreadable = |source| PairError::Unreadable { part, path: path.to_owned(), source };
    // A pipe would keep its reader waiting, and a device never end.
    let file = std::fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() {
        return Err(PairError::Unusable { part, path: path.to_owned(), problem: "not a file".into() });
    }
    if file.len() > MAX_BYTES {
        let problem = format!("longer than {MAX_BYTES} bytes");
        return Err(PairError::Unusable { part, path: path.to_owned(), problem });
    }
    std::fs::read(path).map_err(unreadable)
}

fn at(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let there = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    there.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::self_signed;

    fn pair(dir: &Path) -> Files {
        self_signed::write(dir, &["localhost".to_owned()], SystemTime::now()).unwrap()
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_file() {
        let dir = crate::store::testing::dir();
        let (first, second) = (pair(&dir.join("first")), pair(&dir.join("second")));
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let key = std::fs::read_to_string(&first.key).unwrap();
        let with = |cert: &Path, key: &Path| Files { cert: cert.to_owned(), key: key.to_owned() };
        let cases = [
            (with(&first.cert, &second.key), Part::Cert, "is not that of the private key"),
            (with(&dir.join("none"), &first.key), Part::Cert, "cannot read"),
            (with(&first.cert, &dir.join("none")), Part::Key, "cannot read"),
            (with(&dir, &first.key), Part::Cert, "not a file"),
            (with(Path::new("/dev/zero"), &first.key), Part::Cert, "not a file"),
            (with(&first.key, &first.key), Part::Cert, "no certificate in it"),
            (with(&first.cert, &first.cert), Part::Key, "no private key in it"),
            (with(&file("empty", ""), &first.key), Part::Cert, "no certificate in it"),
            (
                with(&first.cert, &file("encrypted", &key.replace("PRIVATE", "ENCRYPTED PRIVATE"))),
                Part::Key,
                "encrypted",
            ),
            (with(&first.cert, &file("cut", &key[..key.len() / 2])), Part::Key, "not a PEM file"),
            (
                with(&file("nonsense", &key.replace("PRIVATE KEY", "CERTIFICATE")), &first.key),
                Part::Cert,
                "not an X.509",
            ),
            (with(&file("long", &"x".repeat(2 << 20)), &first.key), Part::Cert, "longer than"),
        ];
        for (files, part, words) in cases {
            let error = files.read().unwrap_err();
            assert!(error.part() == part && error.to_string().contains(words), "{error} of {:?}", error.part());
            let leak = key.lines().nth(1).unwrap();
            assert!(!error.to_string().contains(leak) && !format!("{error:?}").contains(leak), "{error:?}");
        }
        assert!(first.read().is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_certificate_is_complained_about_a_fortnight_before_its_end() {
        let dir = crate::store::testing::dir();
        let mut pair = pair(&dir).read().unwrap();
        let (day, end) = (Duration::from_secs(24 * 60 * 60), pair.not_after);
        for (now, validity, holds) in [
            (pair.not_before - day, Validity::NotYet, false),
            (end - day * 15, Validity::Fine, true),
            (end - day * 14, Validity::Fine, true),
            (end - day * 14 + Duration::from_secs(1), Validity::Days(13), true),
            (end - Duration::from_secs(1), Validity::Days(0), true),
            (end + Duration::from_secs(1), Validity::Expired, false),
        ] {
            assert_eq!((pair.validity(now), pair.holds(now)), (validity, holds));
        }
        assert_eq!(pair.notes("https", end - day * 3), ["https.cert: the certificate expires in 3 days"]);
        assert!(pair.notes("https", end - day * 30).is_empty());
        pair.exposed = true;
        assert_eq!(pair.notes("https", end - day * 30).len(), 1);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_stamp_changes_with_what_is_there() {
        let dir = crate::store::testing::dir();
        let files = pair(&dir);
        let first = files.stamp();
        assert_eq!(files.stamp(), first);
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let opened = files.stamp();
        assert!(opened != first && files.read().unwrap().exposed);
        std::fs::remove_file(&files.key).unwrap();
        assert_ne!(files.stamp(), opened);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
