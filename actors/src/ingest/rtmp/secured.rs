//! RTMPS: the TLS handshake of a stranger, and then the same conversation as without.
//!
//! A stranger costs about what it does at the plain door. One that says nothing has no TLS state at all, one that talks has a ration of
//! bytes to finish the handshake with, and all of them have a deadline and their place at the gate.

use std::io::{self, Error, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Host, connection, shut_down};
use crate::ingest::preauth::Ticket;

/// Most bytes that a stranger may send to finish its handshake. Clients send 0.3 to 2 KiB; rustls alone would keep 64 KiB of each.
const HANDSHAKE_BYTES: usize = 8 << 10;

/// First byte of an RTMP handshake: the protocol's version.
const PLAIN_RTMP: u8 = 3;

/// Serves one connection to its end.
pub(super) async fn converse(socket: TcpStream, peer: SocketAddr, host: Host, mut ticket: Ticket, tls: TlsAcceptor) {
    let handshake = tokio::select! {
        handshake = timeout(host.limits.tls, shake_hands(socket, tls)) => handshake,
        () = ticket.shed() => return tracing::debug!(%peer, "RTMPS connection shed for a newer one"),
        () = shut_down(host.shutdown.clone()) => return,
    };
    match handshake {
        // Apart from the rest, so that the many who never get here do not hold room for it.
        Ok(Ok(stream)) => Box::pin(connection::converse(stream, peer, host, ticket)).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "RTMPS connection without TLS"),
        Err(_) => tracing::debug!(%peer, "RTMPS connection too slow for its TLS handshake"),
    }
}

async fn shake_hands(socket: TcpStream, tls: TlsAcceptor) -> io::Result<Box<TlsStream<Rationed>>> {
    // Nothing is held ready for those who never say a word: most of a flood.
    let mut first = [0];
    if socket.peek(&mut first).await? == 1 && first[0] == PLAIN_RTMP {
        return Err(Error::new(ErrorKind::InvalidData, "plain RTMP; the encoder's URL must begin with rtmps://"));
    }
    let mut stream = Box::new(Box::pin(tls.accept(Rationed { socket, ration: Some(HANDSHAKE_BYTES) })).await?);
    stream.get_mut().0.ration = None;
    Ok(stream)
}

/// A socket that can be read up to a ration, and a read further.
struct Rationed {
    socket: TcpStream,
    /// Bytes left; `None` is without end.
    ration: Option<usize>,
}

impl AsyncRead for Rationed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        if let Some(ration) = &mut self.ration {
            let left = ration.checked_sub(count);
            *ration = left.ok_or_else(|| Error::new(ErrorKind::InvalidData, "TLS handshake too long"))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rationed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;

    /// Makes no handshake, which is enough to ask for sizes.
    pub fn without_certificate() -> ServerConfig {
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()))
    }
}
