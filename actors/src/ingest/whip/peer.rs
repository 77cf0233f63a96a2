//! The seam to WebRTC: what a session needs of a connection, whatever builds it.

use std::net::IpAddr;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weir_media::access_unit::Track;
use weir_media::rtp::Packet;
use weir_media::sdp::Offer;

/// Packets and news that may wait for a session: some 200 ms at 20 Mbit/s. What comes when it is full is lost and shows as a hole.
const EVENTS: usize = 512;

/// What comes from a connection.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// A media packet, and when it came.
    Packet(Track, Packet, Instant),
    /// A sender report: the sender's wall clock as NTP has it, and the track's timestamp then.
    Report(Track, u64, u32),
    /// ICE and DTLS are through.
    Connected,
    /// Nothing comes any more, and nothing will.
    Lost(&'static str),
}

pub(super) type Events = mpsc::Sender<PeerEvent>;

pub(super) fn channel() -> (Events, mpsc::Receiver<PeerEvent>) {
    mpsc::channel(EVENTS)
}

/// Where a connection receives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its UDP port.
    pub port: u16,
    /// The address to name instead of the machine's own.
    pub public_ip: Option<IpAddr>,
    /// The client is on this machine.
    pub loopback: bool,
}

/// Why an offer leads to no connection.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The offer passed the first look and cannot be used after all.
    #[error("offer cannot be used: {0}")]
    Offer(String),
    /// No codec in common.
    #[error("no codec in common, offer H.264 with packetization-mode=1 and Opus")]
    Codec,
    /// The server's own fault.
    #[error("connection cannot be set up: {0}")]
    Setup(String),
    /// It took too long.
    #[error("connection was not set up in time")]
    TooSlow,
}

/// One connection that receives. Dropping it frees what it has, sooner or later; [`Peer::close`] does so before it returns.
#[async_trait]
pub(super) trait Peer: Send + Sync {
    /// Asks the sender for a keyframe (PLI, RFC 4585 6.3.1).
    async fn ask_for_keyframe(&self);

    /// Asks the sender for these video packets again (generic NACK, RFC 4585 6.2.1).
    async fn ask_again(&self, sequences: &[u16]);

    /// Ends it, telling the client.
    async fn close(&self);
}

/// Makes connections.
#[async_trait]
pub(super) trait Connector: Send + Sync {
    /// A connection for this offer, and its answer. What fails has closed whatever it had opened.
    async fn connect(&self, offer: &Offer, place: Place, events: Events) -> Result<(Box<dyn Peer>, String), PeerError>;
}
