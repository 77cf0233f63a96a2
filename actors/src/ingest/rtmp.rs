//! The RTMP and RTMPS doors: an accept loop and one task per connection, on a plain tokio runtime apart from the actors.
//!
//! The protocol itself is [`weir_media::rtmp::session`]; here are sockets, TLS, deadlines and caps, and the talk with Root. A
//! connection is a *stranger* until Root grants its publish, and only strangers are counted and capped; doors that share a [`Gate`]
//! share the caps. Application, publish name and `tcUrl` hold the push token, so none of them is ever logged.

mod connection;
mod publication;
mod secured;
pub(in crate::ingest) mod transfer;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix::Recipient;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use weir_media::id::Protocol;

use crate::ingest::intake::Patience;
use crate::ingest::preauth::Gate;
use crate::ingest::refusals::Refusals;
use crate::ingest::{Publish, shut_down};

pub use connection::converse;

/// How long to wait after an accept that failed, e.g. for lack of file descriptors: at once would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Strangers that were pushed out and whose tasks have not run since: over it the accept loop lets them run before it goes on, so that
/// their sockets do not add up.
const LEAVING: usize = 64;

/// Deadlines and caps of the door.
#[derive(Clone, Copy, Debug)]
pub struct RtmpLimits {
    /// Strangers per address (IPv6: per /64).
    pub preauth_per_address: usize,
    /// Strangers in all; over it the address with the most gives up its oldest.
    pub preauth_total: usize,
    /// RTMPS: from accept to the end of the TLS handshake.
    pub tls: Duration,
    /// From accept, or the end of the TLS handshake, to the end of the RTMP handshake.
    pub handshake: Duration,
    /// From the same instant to `publish`.
    pub publish: Duration,
    /// From `publish` to Root's answer.
    pub decision: Duration,
    /// From admission on.
    pub patience: Patience,
    /// For the encoder to take a reply.
    pub write: Duration,
}

impl Default for RtmpLimits {
    fn default() -> Self {
        Self {
            preauth_per_address: 4096,
            preauth_total: 4096,
            tls: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            publish: Duration::from_secs(10),
            decision: Duration::from_secs(5),
            patience: Patience::default(),
            write: Duration::from_secs(5),
        }
    }
}

/// What a door is opened with; an accept loop that is started again gets the same.
#[derive(Clone)]
pub struct RtmpDoor {
    /// Deadlines.
    pub limits: RtmpLimits,
    /// Counts the strangers.
    pub gate: Gate,
    /// Makes it the RTMPS door.
    pub tls: Option<TlsAcceptor>,
}

impl RtmpDoor {
    /// A plain door with a gate of its own.
    pub fn new(limits: RtmpLimits) -> Self {
        Self { limits, gate: Gate::new(limits.preauth_per_address, limits.preauth_total), tls: None }
    }

    /// The same behind TLS, with the same gate. `tls` makes handshakes without any IO of its own.
    pub fn secured(self, tls: TlsAcceptor) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

/// What a connection's task needs to know of its door.
#[derive(Clone)]
pub struct Host {
    /// Decides who may publish.
    pub root: Recipient<Publish>,
    /// Deadlines.
    pub limits: RtmpLimits,
    /// RTMP or RTMPS.
    pub protocol: Protocol,
    /// Turns true when strangers have to go; admitted sessions have their own switch.
    pub shutdown: watch::Receiver<bool>,
    /// What is logged of those it does not let in.
    pub refusals: Refusals,
}

/// Accepts connections until `shutdown` turns true or its sender is gone. Strangers go with it, admitted sessions stay
/// until their own stop switch.
pub async fn serve(listener: TcpListener, door: RtmpDoor, root: Recipient<Publish>, shutdown: watch::Receiver<bool>) {
    let RtmpDoor { limits, gate, tls } = door;
    let protocol = if tls.is_some() { Protocol::Rtmps } else { Protocol::Rtmp };
    let host = Host { root, limits, protocol, shutdown: shutdown.clone(), refusals: Refusals::default() };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shut_down(shutdown.clone()) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                // Replies are single small writes that the encoder waits for. Failure only means that it is gone.
                let _ = socket.set_nodelay(true);
                let ticket = gate.enter(peer.ip());
                match &tls {
                    None => tokio::spawn(contained(peer, converse(socket, peer, host.clone(), ticket))),
                    Some(tls) => tokio::spawn(contained(
                        peer,
                        secured::converse(socket, peer, host.clone(), ticket, tls.clone()),
                    )),
                };
                if gate.leaving() > LEAVING {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, %protocol, "cannot accept connections for the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Logs a connection's panic. What the task held tells the rest: its ticket frees the place, its facts' end is a crash.
// An `async fn` would hold the connection twice: as its argument, and where it is awaited.
fn contained(peer: SocketAddr, connection: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(connection).catch_unwind().map(move |ended| {
        if ended.is_err() {
            tracing::error!(%peer, "RTMP connection task panicked");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::preauth::Ticket;
    use tokio::net::TcpStream;

    /// Bytes of a future that such a function makes.
    fn size<F>(_: impl FnOnce(TcpStream, SocketAddr, Host, Ticket) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_stranger_costs_little_memory() {
        let task = |socket, peer, host, ticket| contained(peer, converse(socket, peer, host, ticket));
        assert!(size(task) <= 4096, "a flood of strangers holds as many tasks of {} bytes", size(task));
        let secured = |socket, peer, host, ticket| {
            let tls = TlsAcceptor::from(std::sync::Arc::new(secured::tests::without_certificate()));
            contained(peer, secured::converse(socket, peer, host, ticket, tls))
        };
        assert!(size(secured) <= size(task), "{} bytes of one that says nothing over TLS", size(secured));
    }
}
