//! One connection as a stranger: from accept to Root's decision, and the socket under it.
//!
//! Generic over the transport, so that RTMPS is the same behind TLS.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Duration, Instant, timeout, timeout_at};
use weir_media::rtmp::RtmpError;
use weir_media::rtmp::session::{Event, PublishRequest, Session};

use super::publication::Publication;
use super::transfer::{read_media, send};
use super::{Host, RtmpLimits};
use crate::ingest::preauth::Ticket;
use crate::ingest::told::told;
use crate::ingest::{Grant, Publish, shut_down};
use crate::token::Token;

/// Most bytes of one read of a stranger.
const STRANGER_READ: usize = 4 << 10;

/// How long to read on after our last word: closing with unread bytes would reset the connection, and the encoder would
/// see that instead of the reason.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes to throw away meanwhile.
const LINGER_BYTES: usize = 16 << 20;

/// Why a stranger left without an answer.
#[derive(Debug, thiserror::Error)]
enum Departure {
    #[error("closed by the encoder")]
    Closed,
    #[error("too slow")]
    TooSlow,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] RtmpError),
}

/// A socket and the protocol on it.
pub(super) struct Wire<S> {
    socket: S,
    pub session: Session,
    pub limits: RtmpLimits,
}

/// Serves one connection to its end.
pub async fn converse<S>(socket: S, peer: SocketAddr, host: Host, mut ticket: Ticket)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut wire = Wire { socket, session: Session::default(), limits: host.limits };
    let introduction = tokio::select! {
        introduction = wire.introduction() => introduction,
        () = ticket.shed() => return tracing::debug!(%peer, protocol = %host.protocol, "connection shed for a newer one"),
        () = shut_down(host.shutdown.clone()) => return,
    };
    let request = match introduction {
        Ok(request) => request,
        Err(departure) => {
            return tracing::debug!(%peer, protocol = %host.protocol, %departure, "connection without publish");
        }
    };
    match admission(&host, &request, peer).await {
        Ok(grant) => {
            drop(ticket);
            tracing::info!(%peer, protocol = %host.protocol, session = %grant.session, stream = %grant.stream,
                slot = %grant.slot, agent = ?request.agent, "RTMP publisher admitted");
            // Apart from the rest, so that the many who never get here do not hold room for it.
            Box::pin(Publication::new(wire, grant).run()).await;
        }
        Err(Turned { why: refusal, told }) => {
            let name = request.name();
            if let Some(unlogged) = host.refusals.take() {
                tracing::info!(%peer, protocol = %host.protocol, stream = ?name.stream.map(|id| id.0), slot = %name.slot,
                    agent = ?request.agent, %refusal, unlogged, "RTMP publisher refused");
            }
            let Some(told) = told else { return };
            if wire.session.reject(&told).is_ok() {
                let farewell = async {
                    // A peer that is gone needs no good-bye.
                    let _ = wire.hang_up().await;
                    wire.linger().await;
                };
                tokio::select! { () = farewell => {}, () = ticket.shed() => {} }
            }
        }
    }
}

/// Why an encoder is not let in.
struct Turned {
    /// For the log.
    why: String,
    /// For the encoder; `None` closes without a word.
    told: Option<String>,
}

/// Asks Root.
async fn admission(host: &Host, request: &PublishRequest, peer: SocketAddr) -> Result<Grant, Turned> {
    let name = request.name();
    let publish = Publish {
        stream: name.stream,
        slot: name.slot,
        token: Token::new(name.token),
        protocol: host.protocol,
        peer,
        agent: request.agent.clone(),
    };
    match timeout(host.limits.decision, host.root.send(publish)).await {
        Ok(Ok(answer)) => answer.map_err(|refusal| {
            let told = told(host.protocol, &refusal).map(|told| told.text);
            Turned { why: refusal.to_string(), told }
        }),
        Ok(Err(_)) | Err(_) => {
            let why = "server is busy, try again".to_owned();
            Err(Turned { told: Some(why.clone()), why })
        }
    }
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Handshake and commands up to the wish to publish.
    async fn introduction(&mut self) -> Result<PublishRequest, Departure> {
        let start = Instant::now();
        loop {
            let allowed = if self.session.is_open() { self.limits.publish } else { self.limits.handshake };
            let read = timeout_at(start + allowed, self.read_commands());
            if read.await.map_err(|_| Departure::TooSlow)?? == 0 {
                return Err(Departure::Closed);
            }
            let event = self.session.poll_event();
            self.flush().await?;
            if let Some(Event::PublishRequested(request)) = event? {
                return Ok(request);
            }
        }
    }

    /// Reads a stranger's bytes; 0 at the end. Holds no room for them before they come: most of a flood is silent.
    async fn read_commands(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut block = [MaybeUninit::uninit(); STRANGER_READ];
            let mut block = ReadBuf::uninit(&mut block);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut block))?;
            self.session.handle(block.filled());
            Poll::Ready(Ok(block.filled().len()))
        })
        .await
    }

    /// Reads a publisher's bytes into the session's buffer; 0 at the end. Cancel safe.
    pub async fn read_media(&mut self) -> io::Result<usize> {
        let count = read_media(&mut self.socket, self.session.buffer()).await?;
        self.session.received(count);
        Ok(count)
    }

    /// Sends all replies in one write.
    pub async fn flush(&mut self) -> io::Result<()> {
        send(&mut self.socket, &self.session.take_output(), self.limits.write).await
    }

    /// Sends the last replies and ends our direction.
    pub async fn hang_up(&mut self) -> io::Result<()> {
        self.flush().await?;
        timeout(self.limits.write, self.socket.shutdown()).await?
    }

    /// Reads on, for nothing, until the encoder has closed too.
    pub async fn linger(&mut self) {
        let drain = async {
            let mut waste = bytes::BytesMut::with_capacity(STRANGER_READ);
            let mut total = 0;
            while total < LINGER_BYTES {
                waste.clear();
                match self.socket.read_buf(&mut waste).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => total += count,
                }
            }
        };
        // Whoever stays longer is cut off, that is the purpose.
        let _ = timeout(LINGER, drain).await;
    }
}
