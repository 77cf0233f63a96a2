//! What a door's handshakes present: one certificate at a time, exchanged in one step.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificate in use, with its key.
#[derive(Debug)]
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Presents this from the start.
    pub fn new(pair: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(pair))
    }

    /// What the next handshake presents.
    pub fn current(&self) -> Arc<CertifiedKey> {
        // Nothing panics under the lock.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When what it presents ends, seconds since 1970.
    pub fn not_after(&self) -> Option<i64> {
        let current = self.current();
        let (_, own) = X509Certificate::from_der(current.cert.first()?).ok()?;
        Some(own.validity().not_after.timestamp())
    }

    /// Presents this from now on. Handshakes under way end with what they began with.
    pub fn replace(&self, pair: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
}

impl ResolvesServerCert for Certificate {
    /// The same for every name: a client that asked for another says so itself.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
