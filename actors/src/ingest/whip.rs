//! The WHIP door (RFC 9725): an offer that came by HTTP to an admitted publisher that sends over WebRTC.
//!
//! The HTTP side of it is in the server; it calls [`Whip`]. Admission comes first: nothing of WebRTC exists before Root has let the publisher in. From
//! then on a task of its own holds the session, however the request ends, so that a client that goes away half way leaves nothing behind.
//!
//! ```text
//! POST ─▶ Whip::publish ─Publish─▶ Root
//!              │ Grant
//!              ▼
//!         port ─▶ receiver (webrtc, ICE-lite) ─packets─▶ session ─units─▶ feed
//! ```
//!
//! The server is ICE-lite: it names its addresses, waits for checks and never sends any. So candidates of clients are of no use, nobody
//! can make it knock at addresses of his choice, and what trickles in is counted and thrown away. It is also why a client must reach the
//! server directly: at one of its own addresses, or at `public_ip`.

mod peer;
mod ports;
mod receiver;
mod session;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Recipient;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_media::sdp::fragment::Fragment;
use weir_media::sdp::{MOST_CANDIDATES, Offer};
use weir_policy::admission::Refusal;

use self::peer::{Connector, Place};
use self::ports::{Port, Ports};
use self::receiver::WebRtc;
use self::session::Session;
use crate::admission_board::AdmissionBoard;
use crate::clock;
use crate::ingest::intake::{Intake, Patience};
use crate::ingest::refusals::Refusals;
use crate::ingest::{CloseReason, Grant, Publish};
use crate::refusals::Applicant;
use crate::token::Token;

pub use self::peer::PeerError;

/// From the request to Root's answer.
const DECISION: Duration = Duration::from_secs(5);
/// From admission to the answer.
const ANSWER: Duration = Duration::from_secs(5);
/// From admission to the first picture: ICE and DTLS are slow on bad networks.
const CONNECT: Duration = Duration::from_secs(10);
/// From the connection to the first picture.
const FIRST_VIDEO: Duration = Duration::from_secs(3);
/// Without a packet.
const IDLE: Duration = Duration::from_secs(15);
/// For a session to end when its client wants it to.
const END: Duration = Duration::from_secs(2);

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct WhipSettings {
    /// First and last UDP port for media; each session takes one.
    pub udp_ports: (u16, u16),
    /// The address that clients send media to, when it is not the machine's own.
    pub public_ip: Option<IpAddr>,
}

/// Who wants to publish where.
#[derive(Debug)]
pub struct Publisher {
    /// The stream; `None` when the path names none.
    pub stream: Option<StreamId>,
    /// Its slot.
    pub slot: Slot,
    /// Its token.
    pub token: Token,
    /// The token came in a header: whoever comes back to the resource has to show it again.
    pub bearer: bool,
    /// Where the request comes from.
    pub peer: SocketAddr,
    /// What the client calls itself.
    pub agent: Option<String>,
}

/// One request.
struct Request {
    publisher: Publisher,
    offer: Offer,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Created {
    /// Its unguessable name, the only key to it when its token came in the path.
    pub resource: String,
    /// Of its ICE session, without quotes.
    pub etag: String,
    /// The SDP answer.
    pub answer: String,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum WhipError {
    /// Not admitted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Root does not answer.
    #[error("server is busy, try again")]
    Busy,
    /// All of `whip.udp_ports` are in use.
    #[error("no free UDP port for media; whip.udp_ports has {0}")]
    NoPort(usize),
    /// Admitted, but no connection came of the offer.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Why a session cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// There is no such session, or no more.
    #[error("no such WHIP session")]
    Gone,
    /// The token that it began with has to be shown.
    #[error("send the token that the session began with")]
    Unauthorized,
    /// The entity tag is not that of its ICE session.
    #[error("not the entity tag of this ICE session")]
    Precondition,
    /// Another ICE session is wanted.
    #[error("ICE restarts are not supported, begin a new session")]
    Restart,
    /// More candidates than any client has.
    #[error("too many candidates")]
    TooMany,
}

/// The door; cloning shares it.
#[derive(Clone)]
pub struct Whip(Arc<Inner>);

struct Inner {
    root: Recipient<Publish>,
    board: AdmissionBoard,
    runtime: Handle,
    settings: WhipSettings,
    ports: Ports,
    connector: Arc<dyn Connector>,
    sessions: Mutex<HashMap<String, Entry>>,
    refusals: Refusals,
}

/// What the door keeps of a session.
struct Entry {
    session: SessionId,
    etag: String,
    offer: Offer,
    bearer: Option<Token>,
    candidates: usize,
    /// Turns true when the client wants it to end; closed once it has ended.
    leave: watch::Sender<bool>,
}

/// Takes a session off the list, however its task ends.
struct Listed {
    inner: Arc<Inner>,
    resource: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.inner.sessions().remove(&self.resource);
    }
}

impl Whip {
    /// A door whose sessions run on `runtime`.
    pub fn new(settings: WhipSettings, root: Recipient<Publish>, board: AdmissionBoard, runtime: Handle) -> Self {
        let connector = Arc::new(WebRtc { runtime: runtime.clone() });
        let (first, last) = settings.udp_ports;
        let (ports, sessions, refusals) = (Ports::new(first, last), Mutex::default(), Refusals::default());
        Self(Arc::new(Inner { root, board, runtime, settings, ports, connector, sessions, refusals }))
    }

    /// Why a publisher without a usable offer would not be let in with one either: whoever has no right to publish hears that first.
    pub fn refusal(&self, publisher: &Publisher) -> Option<Refusal> {
        let &Publisher { stream, slot, ref token, peer, ref agent, .. } = publisher;
        let (protocol, address) = (Protocol::Whip, peer.ip());
        let refusal = self.0.board.ask(stream, slot, token, protocol, address).err()?;
        self.0.board.record(&Applicant { stream, slot, protocol, address, agent: agent.clone() }, &refusal);
        Some(refusal)
    }

    /// Lets a publisher in and answers its offer.
    pub async fn publish(&self, publisher: Publisher, offer: Offer) -> Result<Created, WhipError> {
        let request = Request { publisher, offer };
        let (answered, answer) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        // Not in the request's own task: that ends with the client's TCP connection, at any point.
        self.0.runtime.spawn(async move { inner.publish(request, answered).await });
        answer.await.unwrap_or(Err(WhipError::Busy))
    }

    /// Candidates trickle in. `token`: what the client shows of it, `etag`: what it takes the ICE session's to be.
    pub fn trickle(
        &self,
        resource: &str,
        token: Option<&Token>,
        etag: &str,
        fragment: &Fragment,
    ) -> Result<(), ResourceError> {
        let mut sessions = self.0.sessions();
        let entry = Entry::find(&mut sessions, resource, token)?;
        if etag == "*" || fragment.ufrag.as_ref().is_some_and(|ufrag| !entry.offer.has_ufrag(ufrag)) {
            return Err(ResourceError::Restart);
        }
        if etag != entry.etag {
            return Err(ResourceError::Precondition);
        }
        entry.candidates += fragment.candidates;
        if entry.candidates > MOST_CANDIDATES { Err(ResourceError::TooMany) } else { Ok(()) }
    }

    /// The client ends its session; comes back when its slot is free.
    pub async fn end(&self, resource: &str, token: Option<&Token>) -> Result<(), ResourceError> {
        let leave = {
            let mut sessions = self.0.sessions();
            Entry::find(&mut sessions, resource, token)?.leave.clone()
        };
        leave.send_replace(true);
        // Longer than this it only takes when something hangs, and then the client cannot help it.
        let _ = timeout(END, leave.closed()).await;
        Ok(())
    }

    /// Sessions there are.
    pub fn sessions(&self) -> usize {
        self.0.sessions().len()
    }
}

impl Entry {
    fn find<'a>(
        sessions: &'a mut HashMap<String, Self>,
        resource: &str,
        token: Option<&Token>,
    ) -> Result<&'a mut Self, ResourceError> {
        let entry = sessions.get_mut(resource).ok_or(ResourceError::Gone)?;
        match (&entry.bearer, token) {
            (Some(bearer), Some(token)) if bearer.matches(token) => Ok(entry),
            (Some(_), _) => Err(ResourceError::Unauthorized),
            (None, _) => Ok(entry),
        }
    }
}

impl Inner {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Nothing panics under the lock.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(self: Arc<Self>, request: Request, answered: oneshot::Sender<Result<Created, WhipError>>) {
        let Publisher { stream, peer, ref agent, .. } = request.publisher;
        let grant = match self.admission(&request.publisher).await {
            Ok(grant) => grant,
            Err(error) => {
                if let Some(unlogged) = self.refusals.take() {
                    tracing::info!(%peer, stream = ?stream.map(|id| id.0), agent = ?agent, refusal = %error,
                        unlogged, "WHIP publisher refused");
                }
                // A client that has gone does not wait for it.
                let _ = answered.send(Err(error));
                return;
            }
        };
        tracing::info!(%peer, session = %grant.session, stream = %grant.stream, slot = %grant.slot,
            ?agent, "WHIP publisher admitted");
        let patience = Patience { first_video: CONNECT, idle: IDLE };
        let intake = Intake::new(grant, patience, clock::now()).of_browser();
        match self.connect(&request).await {
            Ok((session, answer, port)) => self.run(request, intake, session, answer, port, answered).await,
            Err(error) => {
                let reason = CloseReason::Unacceptable(error.to_string());
                intake.end(reason, clock::now()).say();
                let _ = answered.send(Err(error));
            }
        }
    }

    async fn admission(&self, publisher: &Publisher) -> Result<Grant, WhipError> {
        let publish = Publish {
            stream: publisher.stream,
            slot: publisher.slot,
            token: publisher.token.clone(),
            protocol: Protocol::Whip,
            peer: publisher.peer,
            agent: publisher.agent.clone(),
        };
        match timeout(DECISION, self.root.send(publish)).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) | Err(_) => Err(WhipError::Busy),
        }
    }

    /// Builds the connection. What fails here has left nothing behind when it returns.
    async fn connect(&self, request: &Request) -> Result<(Session, String, Port), WhipError> {
        let port = self.ports.claim().ok_or_else(|| WhipError::NoPort(self.ports.len()))?;
        let place = Place {
            port: port.number(),
            public_ip: self.settings.public_ip,
            loopback: request.publisher.peer.ip().to_canonical().is_loopback(),
        };
        let (events, received) = peer::channel();
        let connecting = timeout(ANSWER, self.connector.connect(&request.offer, place, events));
        let (peer, answer) = connecting.await.map_err(|_| PeerError::TooSlow)??;
        Ok((Session::new(peer, received, FIRST_VIDEO), answer, port))
    }

    async fn run(
        self: Arc<Self>,
        request: Request,
        intake: Intake,
        session: Session,
        answer: String,
        port: Port,
        answered: oneshot::Sender<Result<Created, WhipError>>,
    ) {
        let (resource, etag) = (name(), name());
        let (leave, left) = watch::channel(false);
        let bearer = request.publisher.bearer.then_some(request.publisher.token);
        let entry =
            Entry { session: intake.session(), etag: etag.clone(), offer: request.offer, bearer, candidates: 0, leave };
        self.sessions().insert(resource.clone(), entry);
        let listed = Listed { inner: Arc::clone(&self), resource: resource.clone() };
        let farewell = match answered.send(Ok(Created { resource, etag, answer })) {
            Ok(()) => session.run(intake, left).await,
            Err(_) => session.end(intake, CloseReason::Lost("client went away".to_owned())).await,
        };
        drop((port, listed));
        farewell.say();
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("session", &self.session).finish_non_exhaustive()
    }
}

/// 128 random bits.
fn name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests;
