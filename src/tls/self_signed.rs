//! `weir self-signed`: a certificate that nobody vouches for, for trials of RTMPS and HTTPS.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::files::Files;

/// How long it holds: long enough for any trial, short enough that nobody takes it for more.
pub const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How far it holds into the past, for clients whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no pair.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// A name is neither a host name nor an address.
    #[error("\"{0}\" is no host name and no IP address")]
    Name(String),
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A file cannot be written, or is there already.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes `cert.pem` and, for its owner's eyes only, `key.pem` in `dir`, which is made where it is missing. Overwrites nothing.
pub fn write(dir: &Path, hosts: &[String], now: SystemTime) -> Result<Files, SelfSignedError> {
    let (cert, key) = make(hosts, now)?;
    let files = Files { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SelfSignedError::Write { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    create(&files.cert, 0o644, &cert).map_err(failed(&files.cert))?;
    create(&files.key, 0o600, &key).map_err(|source| {
        // Without its key it is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(&files.cert);
        failed(&files.key)(source)
    })?;
    Ok(files)
}

/// Certificate and key as PEM.
fn make(hosts: &[String], now: SystemTime) -> Result<(String, String), SelfSignedError> {
    for host in hosts {
        if !is_name(host) {
            return Err(SelfSignedError::Name(host.clone()));
        }
    }
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    let first = hosts.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, format!("{first} (self-signed by weir)"));
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFETIME).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A host name, which may begin with `*.`, or an address without brackets.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    host.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && name.split('.').all(label))
}

fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::tls::files::Validity;

    #[test]
    fn the_pair_can_be_used_holds_for_a_trial_and_is_never_overwritten() {
        let dir = crate::store::testing::dir();
        let now = SystemTime::now();
        let names = ["live.example.org", "*.example.org", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let files = write(&dir, &names, now).unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().mode() & 0o777, 0o600);
        let pair = files.read().unwrap();
        assert!(!pair.exposed);
        assert_eq!(pair.validity(now), Validity::Fine);
        assert_eq!(pair.validity(now - Duration::from_secs(3600)), Validity::Fine);
        assert_eq!(pair.validity(now + LIFETIME + Duration::from_secs(1)), Validity::Expired);

        let before = std::fs::read(&files.key).unwrap();
        assert!(matches!(write(&dir, &names, now), Err(SelfSignedError::Write { .. })));
        std::fs::remove_file(&files.cert).unwrap();
        assert!(matches!(write(&dir, &names, now), Err(SelfSignedError::Write { .. })));
        assert_eq!(std::fs::read(&files.key).unwrap(), before);
        assert!(!files.cert.exists(), "no certificate without its key");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", "a b", "http://a", "a:1", "-a", "a..b", "*", "[::1]", "a/b"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
