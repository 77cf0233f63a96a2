//! The SRT door: libsrt's listener, a thread that hears what happens on its port, and one task per connection.
//!
//! Who may publish is asked twice. First in libsrt's handshake, where the caller can still be told why not: by a code of libsrt's
//! `access_control.h` ([`super::told`]), decided from the admission board without waiting. There the stream's passphrase is set too. Then,
//! connected, by `Publish` to Root, which decides for real; whom it refuses after all, because the slot was taken a moment ago, is closed.
//!
//! A connection never blocks another: each has libsrt's buffer of its own, bounded, that drops what is too late; its task receives until
//! there is nothing more and writes into a feed that never waits. Live mode only, encryption enforced: a stream with a passphrase takes
//! callers with that passphrase, one without takes callers without. Stream ids hold the push token, so they are never logged.

pub mod libsrt;

mod publication;
pub(super) mod reception;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Recipient;
use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_media::srt::{PublishName, StreamIdError};
use weir_policy::admission::Refusal;

use self::libsrt::{Caller, Connection, Listener, Options, Verdict};
use self::publication::Publication;
use crate::admission_board::AdmissionBoard;
use crate::ingest::intake::Patience;
use crate::ingest::refusals::Refusals;
use crate::ingest::{Grant, Publish, told};
use crate::refusals::Applicant;
use crate::token::Token;

/// Deadlines and caps of the door.
#[derive(Clone, Copy, Debug)]
pub struct SrtLimits {
    /// How libsrt treats connections.
    pub options: Options,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Longest latency that a caller may ask for: what it makes us keep.
    pub latency_most: Duration,
    /// From connection to Root's answer.
    pub decision: Duration,
    /// Connections that wait for Root's answer.
    pub undecided: usize,
    /// From admission on; the first video has the connection's latency more.
    pub patience: Patience,
    /// From admission to the first keyframe, once video is there: an encoder that did not begin with us sends one per GOP.
    pub first_keyframe: Duration,
}

impl Default for SrtLimits {
    fn default() -> Self {
        Self {
            options: Options {
                latency: Duration::from_millis(120),
                // 16 Mbit/s for the longest latency.
                receive_buffer: 16 << 20,
                // Longer than the rule's patience, so that an encoder that was stopped for seconds can go on.
                peer_idle: Duration::from_secs(12),
                reorder_tolerance: 20,
            },
            backlog: 64,
            latency_most: Duration::from_secs(8),
            decision: Duration::from_secs(5),
            undecided: 64,
            patience: Patience { first_video: Duration::from_secs(3), idle: Duration::from_secs(10) },
            first_keyframe: Duration::from_secs(10),
        }
    }
}

/// `SRT_REJX_OVERLOAD`.
const BUSY: i32 = 1402;
/// `SRT_REJX_BAD_MODE`.
const BAD_MODE: i32 = 1405;
/// `SRT_REJX_NOTSUP_MEDIA`.
const UNSUPPORTED: i32 = 1415;
/// `SRT_REJX_DOWN`.
const DOWN: i32 = 1503;

/// How long the listening thread waits before it looks whether it is still needed.
const TURN: Duration = Duration::from_millis(100);

/// A bound port. It refuses callers with `SRT_REJX_DOWN` until [`serve`] lets them in; cloning shares it.
#[derive(Clone)]
pub struct Port {
    listener: Arc<Listener>,
    limits: SrtLimits,
    state: Arc<State>,
}

/// What the gatekeeper knows of the door.
#[derive(Default)]
struct State {
    /// Accept loops that run: one, or for a moment two, when one takes over from another that died.
    open: AtomicUsize,
    /// Connections that wait for Root's answer.
    undecided: AtomicUsize,
    /// What is logged of those it does not let in.
    refusals: Refusals,
}

impl Port {
    /// Binds a UDP port.
    pub fn bind(address: SocketAddr, limits: SrtLimits, board: AdmissionBoard) -> std::io::Result<Self> {
        let state = Arc::<State>::default();
        let asked = Arc::clone(&state);
        let gatekeeper = move |caller: Caller<'_>| asked.look_at(caller, &board, limits.undecided);
        let listener = Arc::new(Listener::bind(address, limits.options, limits.backlog, Box::new(gatekeeper))?);
        Ok(Self { listener, limits, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl State {
    /// Runs in libsrt's handshake.
    fn look_at(&self, caller: Caller<'_>, board: &AdmissionBoard, undecided: usize) -> Verdict {
        if self.open.load(Ordering::Relaxed) == 0 {
            return Verdict::Reject(Some(DOWN));
        }
        if self.undecided.load(Ordering::Relaxed) >= undecided {
            return Verdict::Reject(Some(BUSY));
        }
        let name = match PublishName::parse(caller.stream_id) {
            Ok(name) => name,
            Err(error) => return self.reject_stream_id(caller.peer, error),
        };
        let (stream, slot, address) = (name.stream, name.slot, caller.peer.ip().to_canonical());
        match board.ask(stream, slot, &Token::new(name.token), Protocol::Srt, address) {
            Ok(admissible) => Verdict::Accept(admissible.passphrase),
            Err(refusal) => {
                let protocol = Protocol::Srt;
                board.record(&Applicant { stream, slot, protocol, address, agent: None }, &refusal);
                self.log(caller.peer, stream, slot, &refusal);
                Verdict::Reject(told::srt(&refusal))
            }
        }
    }

    fn reject_stream_id(&self, peer: SocketAddr, error: StreamIdError) -> Verdict {
        if let Some(unlogged) = self.refusals.take() {
            tracing::info!(%peer, %error, unlogged, "SRT caller refused");
        }
        Verdict::Reject(Some(match error {
            StreamIdError::Mode => BAD_MODE,
            StreamIdError::Type => UNSUPPORTED,
        }))
    }

    fn log(&self, peer: SocketAddr, stream: Option<StreamId>, slot: Slot, refusal: &Refusal) {
        if let Some(unlogged) = self.refusals.take() {
            tracing::info!(%peer, stream = ?stream.map(|id| id.0), %slot, %refusal, unlogged, "SRT publisher refused");
        }
    }
}

/// Accepts connections until `shutdown` turns true or its sender is gone; an error means that it has to be called again, on the same port.
/// Admitted sessions stay until their own stop switch.
pub async fn serve(port: Port, root: Recipient<Publish>, shutdown: watch::Receiver<bool>) -> Result<(), String> {
    let (turning, mut stopped) = Turning::start(Arc::clone(&port.listener))?;
    let _open = Open::new(&port.state);
    loop {
        tokio::select! {
            () = port.listener.acceptable() => {}
            reason = &mut stopped => return Err(reason.unwrap_or_else(|_| "listening thread panicked".to_owned())),
            () = super::shut_down(shutdown.clone()) => return Ok(()),
        }
        loop {
            let connection = match port.listener.accept() {
                Ok(Some(connection)) => connection,
                Ok(None) => break,
                Err(error) => {
                    // A caller that broke while it waited, nothing that the door could suffer from. If there are more, it hears again.
                    tracing::debug!(%error, "SRT connection lost before it was accepted");
                    break;
                }
            };
            let peer = connection.peer();
            let undecided = Undecided::new(&port.state);
            let limits = port.limits;
            let task = converse(connection, undecided, root.clone(), limits, Arc::clone(&turning));
            tokio::spawn(contained(peer, task));
        }
    }
}

/// Logs a connection's panic. What the task held tells the rest: its facts' end is a crash.
fn contained(peer: SocketAddr, connection: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(connection).catch_unwind().map(move |ended| {
        if ended.is_err() {
            tracing::error!(%peer, "SRT connection task panicked");
        }
    })
}

/// Serves one connection to its end.
async fn converse(
    connection: Connection,
    undecided: Undecided,
    root: Recipient<Publish>,
    limits: SrtLimits,
    _turning: Arc<Turning>,
) {
    let (peer, latency) = (connection.peer(), connection.latency());
    if latency > limits.latency_most {
        return tracing::info!(%peer, ?latency, most = ?limits.latency_most, "SRT caller refused: too long a latency");
    }
    let (major, minor, patch) = connection.peer_version();
    let agent = format!("SRT {major}.{minor}.{patch}");
    match admission(&connection, &root, agent.clone(), limits.decision).await {
        Ok(grant) => {
            drop(undecided);
            tracing::info!(%peer, session = %grant.session, stream = %grant.stream, slot = %grant.slot, agent, ?latency,
                "SRT publisher admitted");
            Publication::new(connection, grant, limits).run().await;
        }
        Err(refusal) => tracing::info!(%peer, refusal, "SRT publisher refused after its handshake"),
    }
}

/// Asks Root. The error is why not.
async fn admission(
    connection: &Connection,
    root: &Recipient<Publish>,
    agent: String,
    decision: Duration,
) -> Result<Grant, String> {
    let stream_id = connection.stream_id();
    let name = PublishName::parse(&stream_id).map_err(|error| error.to_string())?;
    let publish = Publish {
        stream: name.stream,
        slot: name.slot,
        token: Token::new(name.token),
        protocol: Protocol::Srt,
        peer: connection.peer(),
        agent: Some(agent),
    };
    match timeout(decision, root.send(publish)).await {
        Ok(Ok(answer)) => answer.map_err(|refusal| refusal.to_string()),
        Ok(Err(_)) | Err(_) => Err("server is busy".to_owned()),
    }
}

/// The thread that wakes whoever has something to receive. It runs as long as somebody holds this: the accept loop, or a connection that
/// outlives it.
struct Turning(Arc<AtomicBool>);

impl Turning {
    /// The receiver hears why the thread ended; without words it panicked.
    fn start(listener: Arc<Listener>) -> Result<(Arc<Self>, oneshot::Receiver<String>), String> {
        let (told, stopped) = oneshot::channel();
        let over = Arc::new(AtomicBool::new(false));
        let turning = Arc::new(Self(Arc::clone(&over)));
        let turn = move || {
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = listener.turn(TURN) {
                    // Nobody listens once the accept loop has ended.
                    let _ = told.send(format!("listening thread: {error}"));
                    return;
                }
            }
        };
        std::thread::Builder::new().name("srt".to_owned()).spawn(turn).map_err(|error| error.to_string())?;
        Ok((turning, stopped))
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Callers are let in as long as it lives.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's place among those that Root has not decided on.
struct Undecided(Arc<State>);

impl Undecided {
    fn new(state: &Arc<State>) -> Self {
        state.undecided.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.undecided.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler, System};
    use srt_tokio::SrtSocket;
    use tokio::sync::mpsc;
    use weir_media::failover::FailoverSpec;
    use weir_media::feed::{Feed, Limits};
    use weir_media::id::SessionId;
    use weir_media::ladder::Ladder;
    use weir_policy::admission::AdmissionPolicy;

    use super::*;
    use crate::admission_board::Slots;
    use crate::control::StreamSpec;
    use crate::ingest::{CloseReason, FACTS_CAPACITY, IngestFact};
    use crate::journal::Journal;
    use crate::token::DigestKey;

    const PATIENCE: Duration = Duration::from_secs(20);

    type Admitted = (mpsc::Receiver<IngestFact>, watch::Sender<Option<CloseReason>>);

    /// Grants everything.
    struct FakeRoot(mpsc::UnboundedSender<Admitted>);

    impl Actor for FakeRoot {
        type Context = Context<Self>;
    }

    impl Handler<Publish> for FakeRoot {
        type Result = Result<Grant, Refusal>;

        fn handle(&mut self, publish: Publish, _: &mut Self::Context) -> Self::Result {
            let (_, feed) = Feed::new(Limits::default());
            let (facts, received) = mpsc::channel(FACTS_CAPACITY);
            let (order, stop) = watch::channel(None);
            // A test that is over does not care.
            let _ = self.0.send((received, order));
            let (session, stream, slot) = (SessionId(1), StreamId(7), publish.slot);
            Ok(Grant { session, stream, slot, feed, facts, stop })
        }
    }

    fn board() -> AdmissionBoard {
        let key = DigestKey::new(&[7; 32]);
        let board = AdmissionBoard::new(key.clone());
        let spec = StreamSpec {
            id: StreamId(7),
            token: key.digest(StreamId(7), &Token::new("right")),
            srt_passphrase: None,
            active: true,
            pull: false,
            sources: Arc::default(),
            ladder: Ladder::default(),
            failover: FailoverSpec::default(),
        };
        board.put(&spec, &Slots::new(AdmissionPolicy::default()), &Journal::new(spec.id));
        board
    }

    async fn call(port: &Port, stream_id: &str) -> Result<SrtSocket, String> {
        let address = port.address().to_string();
        let call = SrtSocket::builder().call(address.as_str(), Some(stream_id));
        timeout(PATIENCE, call).await.expect("an answer").map_err(|error| format!("{:?}", error.into_inner()))
    }

    #[tokio::test]
    async fn a_door_that_is_served_again_has_the_same_port_and_keeps_its_sessions() {
        let (sender, mut admitted) = mpsc::unbounded_channel();
        let (started, root) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let system = System::new();
            system.block_on(async { started.send(FakeRoot(sender).start().recipient()) }).unwrap();
            system.run()
        });
        let root: Recipient<Publish> = root.recv().unwrap();
        // Nobody sends media here.
        let patience = Patience { first_video: 3 * PATIENCE, idle: 3 * PATIENCE };
        let limits = SrtLimits { patience, ..SrtLimits::default() };
        let port = Port::bind(([127, 0, 0, 1], 0).into(), limits, board()).unwrap();
        let down = call(&port, "7#right").await.map(drop).unwrap_err();
        assert!(down.contains("Down"), "nobody serves it: {down}");

        let (_shutdown, order) = watch::channel(false);
        let first = tokio::spawn(serve(port.clone(), root.clone(), order.clone()));
        let wrong = call(&port, "7#wrong").await.map(drop).unwrap_err();
        assert!(wrong.contains("Unauthorized"), "{wrong}");
        let encoder = call(&port, "7#right").await.unwrap();
        let (mut facts, stop) = timeout(PATIENCE, admitted.recv()).await.unwrap().unwrap();
        assert!(matches!(timeout(PATIENCE, facts.recv()).await.unwrap(), Some(IngestFact::Transport(_))));

        // Its successor starts before the first has noticed its end.
        first.abort();
        let second = tokio::spawn(serve(port.clone(), root, order));
        first.await.unwrap_err();
        let other = call(&port, "7b#right").await.unwrap();
        timeout(PATIENCE, admitted.recv()).await.unwrap().unwrap();
        assert!(!second.is_finished() && !facts.is_closed());
        assert!(matches!(timeout(PATIENCE, facts.recv()).await.unwrap(), Some(IngestFact::Transport(_))), "it goes on");
        stop.send_replace(Some(CloseReason::TokenReset));
        while let Some(fact) = timeout(PATIENCE, facts.recv()).await.unwrap() {
            if let IngestFact::Closed { reason } = fact {
                assert_eq!(reason, CloseReason::TokenReset);
            }
        }
        drop((encoder, other));
    }
}
