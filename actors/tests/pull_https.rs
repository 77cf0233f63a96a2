//! Pulling by HTTPS: certificates are judged as the system does. One test, because it says to the whole process whom the system trusts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use weir_actors::ingest::pull::{Outlet, PullError, fetch};
use weir_actors::network::Network;
use weir_media::pull::PullUri;

/// Answers every request in the same way, by TLS or without.
async fn serve(tls: Option<TlsAcceptor>, answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 1024];
            match &tls {
                // Whoever does not trust the certificate is gone, and so is the socket.
                Some(tls) => {
                    if let Ok(mut secured) = tls.accept(socket).await {
                        let _ = secured.read(&mut head).await;
                        let _ = secured.write_all(answer.as_bytes()).await;
                        let _ = secured.shutdown().await;
                    }
                }
                None => {
                    let _ = socket.read(&mut head).await;
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            }
        }
    });
    address
}

async fn end(url: &str) -> PullError {
    let network = Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap();
    let (outlet, _fetched) = Outlet::new();
    timeout(Duration::from_secs(30), fetch(&PullUri::parse(url).unwrap(), &network, &outlet)).await.unwrap()
}

#[test]
fn a_certificate_is_judged_and_https_is_not_left() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let trusted = std::env::temp_dir().join(format!("weir-pull-https-{}.pem", std::process::id()));
    std::fs::write(&trusted, key.cert.pem()).unwrap();
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("SSL_CERT_FILE", &trusted) };
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], private).unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let secured = serve(Some(tls.clone()), gone.to_owned()).await.port();
        let told = end(&format!("https://localhost:{secured}/live.m3u8")).await.to_string();
        assert_eq!(told, "localhost answers 404 Not Found", "a trusted certificate");
        let told = end(&format!("https://127.0.0.1:{secured}/live.m3u8")).await.to_string();
        assert!(told.starts_with("no connection to 127.0.0.1: invalid peer certificate"), "another name: {told}");

        let to = |url: String| {
            format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        };
        let up = serve(None, to(format!("https://localhost:{secured}/live.m3u8"))).await;
        assert_eq!(end(&format!("http://{up}/live.m3u8")).await.to_string(), "localhost answers 404 Not Found");
        let down = serve(Some(tls), to(format!("http://{up}/live.m3u8"))).await.port();
        let told = end(&format!("https://localhost:{down}/live.m3u8")).await.to_string();
        assert_eq!(told, "localhost redirects from https to http");
    });
    let _ = std::fs::remove_file(trusted);
}
