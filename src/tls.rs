//! TLS of the doors: certificates from PEM files, presented by rustls with ring, TLS 1.2 and 1.3.
//!
//! [`files`] reads and judges a pair, [`certificate`] is what handshakes present, and [`watch`] replaces it when the files change: connections
//! that are open keep theirs, new ones get the new one. [`self_signed`] makes a pair for trials.

pub mod certificate;
pub mod files;
pub mod self_signed;
pub mod watch;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::NoServerSessionStorage;

use self::certificate::Certificate;

/// For viewers and API clients, who come back: sessions are resumed by tickets, which cost this server no memory.
pub fn for_https(certificate: Arc<Certificate>) -> Result<ServerConfig, rustls::Error> {
    let mut config = server(certificate)?;
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

/// For encoders, who connect once: nothing to resume.
pub fn for_rtmps(certificate: Arc<Certificate>) -> Result<ServerConfig, rustls::Error> {
    let mut config = server(certificate)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn server(certificate: Arc<Certificate>) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    Ok(builder.with_no_client_auth().with_cert_resolver(certificate))
}
