//! One admitted publisher as its StreamSupervisor sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use actix::Addr;
use tokio::sync::oneshot;
use weir_media::codec::{AudioConfig, VideoConfig};
use weir_media::feed::Feed;
use weir_media::id::{Protocol, SessionId, Slot};
use weir_media::protocol::Report as WorkerReport;
use weir_policy::doctor::Checkup;

use crate::connection::{EndSession, IngestConnection};
use crate::ingest::{CloseReason, TransportStats};
use crate::status::SessionDetail;
use crate::status::doctor::MeasuredDetail;

/// Where a session's media comes from.
pub(super) enum Origin {
    /// An encoder.
    Peer(SocketAddr),
    /// A source that is pulled from, as it may be shown.
    Source(String),
}

impl Origin {
    /// Of an encoder.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Peer(peer) => Some(peer.ip()),
            Self::Source(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Source(uri) => uri.fmt(f),
        }
    }
}

/// An order to close.
pub(super) struct Closing {
    pub reason: CloseReason,
    pub ordered: Instant,
}

/// A publisher, until its wire task is gone.
pub(super) struct Session {
    pub id: SessionId,
    pub slot: Slot,
    /// It is only looked at: neither rule nor pipeline know of it.
    pub preflight: bool,
    pub protocol: Protocol,
    pub origin: Origin,
    pub agent: Option<String>,
    pub admitted: Instant,
    pub feed: Feed,
    pub connection: Addr<IngestConnection>,
    pub video: Option<VideoConfig>,
    pub audio: Option<AudioConfig>,
    pub last_media: Option<Instant>,
    pub bytes: u64,
    pub video_units: u64,
    pub audio_units: u64,
    /// Told last by the wire task.
    pub transport: Option<TransportStats>,
    /// The latest.
    pub checkup: Option<Box<Checkup>>,
    /// Ordered by the tree.
    pub closing: Option<Closing>,
    /// Told by the wire task.
    pub closed: Option<CloseReason>,
    /// Who wants to know how long closing took.
    pub waiters: Vec<oneshot::Sender<Duration>>,
}

impl Session {
    /// Orders the wire task to end. The first order stays.
    pub fn close(&mut self, reason: CloseReason, now: Instant) {
        if self.closing.is_none() {
            self.closing = Some(Closing { reason: reason.clone(), ordered: now });
            // Rare, and must not be lost: the session would keep its encoder.
            self.connection.do_send(EndSession(reason));
        }
    }

    /// Tells who waited that it is gone.
    pub fn tell_closed(&mut self, now: Instant) {
        let ordered = self.closing.as_ref().map_or(now, |closing| closing.ordered);
        for waiter in self.waiters.drain(..) {
            // Nobody waits any more: the answer went out without it.
            let _ = waiter.send(now.saturating_duration_since(ordered));
        }
    }

    pub fn detail(&self, worker: Option<&WorkerReport>, now: Instant) -> SessionDetail {
        let since = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        let input = worker.and_then(|report| report.inputs.iter().find(|input| input.session == self.id));
        SessionDetail {
            id: self.id,
            preflight: self.preflight,
            protocol: self.protocol,
            peer: self.origin.to_string(),
            agent: self.agent.clone(),
            age_s: since(self.admitted),
            silent_s: self.last_media.map(since),
            bytes: self.bytes,
            video_units: self.video_units,
            audio_units: self.audio_units,
            dropped_units: if self.preflight { 0 } else { self.feed.stats().dropped_units },
            width: self.video.as_ref().map(|video| video.width),
            height: self.video.as_ref().map(|video| video.height),
            sample_rate: self.audio.as_ref().map(|audio| audio.sample_rate),
            decoded_frames: input.map(|input| input.decoded_frames),
            buffered_ms: input.and_then(|input| input.buffered_ms),
            gop_ms: input.and_then(|input| input.gop_ms),
            transport: self.transport,
            measured: self.checkup.as_ref().map(|checkup| MeasuredDetail::from(&checkup.measured)),
        }
    }
}
