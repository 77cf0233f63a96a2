//! Pulling by RTSP (RFC 2326), RTP over the same connection, by the crate `retina` 0.4.
//!
//! ```text
//! source ◀─address checked─ gate ◀─loopback─ retina ─packets, reports─▶ opening ─▶ tracks ─▶ Outlet
//! ```
//!
//! retina speaks RTSP: descriptions, authentication, keepalives. What the packets hold is read by [`weir_media::rtp`], as for WHIP:
//! retina's own depacketizers keep one parameter set of a kind, end the session with a damaged picture, hold a picture of any length, and
//! their counters of losses overflow.
//!
//! What of the source of retina 0.4.21 matters here:
//! - It connects in two places: to the host of the URL that it is given, whose name it resolves itself, and, to say TEARDOWN after a
//!   session, to the one that the *server* named in `Content-Base`. So it is given the [`gate`] to connect to, and
//!   [`TeardownPolicy::Never`]: a session of one connection ends with it. All else goes over that one connection, whatever URLs the
//!   server names; a redirect is an error. The requests' URLs name the gate: servers go by the path, as behind any address translation.
//! - It bounds no message but packets (64 KiB): lines, headers and bodies are read into a buffer that doubles until they end. So the gate
//!   lets [`gate::WINDOW`] bytes through at most that retina makes nothing of.
//! - It panics on some descriptions. That is caught and an end like any other.
//! - It logs what the server says, and so is silent in the log.

mod gate;
mod offer;
mod opening;
mod target;
mod tracks;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use retina::client::{
    Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PacketItem, PlayOptions, Playing, Session,
    SessionIdPolicy, SessionOptions, SetupOptions, TeardownPolicy, UnassignedChannelDataPolicy, UnknownRtcpSsrcPolicy,
};
use tokio::time::timeout_at;
use weir_media::access_unit::Track;
use weir_media::pull::PullUri;
use weir_media::rtp::Packet;

use self::gate::{Gate, Passage};
use self::offer::Offer;
use self::opening::Arrival;
use self::tracks::Tracks;
use super::{CONNECT_WITHIN, Fetched, Outlet, PullError};
use crate::clock;
use crate::ingest::TransportStats;
use crate::network::Network;

/// Between two states of the connection, at least.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Bytes of media that are told of although nothing came of them yet.
const HEARD_AT_LEAST: usize = 64 << 10;
/// Of what retina says to a packet, characters.
const LONGEST_REASON: usize = 160;
/// RTCP's farewell (RFC 3550, 6.6).
const BYE: u8 = 203;

/// Fetches a source.
pub async fn fetch(source: &PullUri, network: &Network, outlet: &Outlet) -> Result<Infallible, PullError> {
    let deadline = (clock::now() + CONNECT_WITHIN).into();
    let late = |_| PullError::Timeout(CONNECT_WITHIN);
    let gate = timeout_at(deadline, Gate::open(network, source)).await.map_err(late)??;
    let (address, passage) = (gate.address(), Passage::default());
    let retina = async {
        let started = timeout_at(deadline, start(source, address, &passage)).await.map_err(late)?;
        let (session, offer) = started?;
        follow(session, offer, &passage, outlet).await
    };
    tokio::select! {
        error = gate.carry(&passage) => Err(error),
        ended = AssertUnwindSafe(retina).catch_unwind() => match ended {
            Ok(ended) => ended,
            Err(_) => Err(PullError::Unacceptable("what it sends cannot be read as RTSP".to_owned())),
        },
    }
}

/// Asks for the streams that are wanted of the source.
async fn start(
    source: &PullUri,
    address: SocketAddr,
    passage: &Passage,
) -> Result<(Session<Playing>, Offer), PullError> {
    let (url, credentials) = target::of(source.url(), address)?;
    let options = SessionOptions::default()
        .creds(credentials)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")).to_owned())
        .teardown(TeardownPolicy::Never)
        .unassigned_channel_data(UnassignedChannelDataPolicy::Ignore)
        .session_id(SessionIdPolicy::UseFirst);
    let mut session: Session<Described> =
        Session::describe(url, options).await.map_err(|error| failed("DESCRIBE", &error, passage))?;
    passage.renew();
    let offer = Offer::choose(session.streams())?;
    if let Some(codec) = &offer.unheard {
        tracing::info!(%source, codec, "source has no sound that can be taken");
    }
    for stream in offer.streams() {
        // TCP, unless something else is asked for.
        session.setup(stream, SetupOptions::default()).await.map_err(|error| failed("SETUP", &error, passage))?;
        passage.renew();
    }
    // Servers are often wrong about the first numbers and sources of packets; what comes is right.
    let options = PlayOptions::default()
        .initial_timestamp(InitialTimestampPolicy::Permissive)
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets);
    let session = session.play(options).await.map_err(|error| failed("PLAY", &error, passage))?;
    passage.renew();
    Ok((session, offer))
}

/// Hands on what comes until it ends.
async fn follow(
    mut session: Session<Playing>,
    offer: Offer,
    passage: &Passage,
    outlet: &Outlet,
) -> Result<Infallible, PullError> {
    let (video, audio) = (offer.video, offer.audio.as_ref().map(|audio| audio.stream));
    let track_of = |stream| match stream {
        stream if stream == video.stream => Some(Track::Video),
        stream if Some(stream) == audio => Some(Track::Audio),
        _ => None,
    };
    let mut tracks = Tracks::new(video.codec, &video.sets, offer.audio.map(|audio| audio.sound));
    let mut count = Count::default();
    while let Some(item) = session.next().await {
        passage.renew();
        match item.map_err(|error| unfollowable(&error, passage))? {
            PacketItem::Rtp(packet) => {
                let Some(track) = track_of(packet.stream_id()) else { continue };
                let came = clock::now();
                let (heard, transport) = count.packet(packet.payload().len(), packet.loss(), came);
                if let Some(stats) = transport {
                    outlet.put(Fetched::Transport(stats)).await?;
                }
                tracks.push(arrival(packet, track, came))?;
                if tracks.is_ready() || heard >= HEARD_AT_LEAST {
                    outlet.put(Fetched::Heard(std::mem::take(&mut count.heard))).await?;
                }
            }
            PacketItem::Rtcp(report) => {
                let Some(track) = track_of(report.stream_id()) else { continue };
                for packet in report.pkts() {
                    if track == Track::Video && packet.payload_type() == BYE {
                        return Err(PullError::Ended);
                    }
                    if let Ok(Some(report)) = packet.as_sender_report() {
                        tracks.report(track, report.ntp_timestamp().0, report.rtp_timestamp());
                    }
                }
            }
            _ => {}
        }
        while let Some(item) = tracks.next() {
            outlet.put(Fetched::Item(item)).await?;
        }
    }
    Err(PullError::Lost(passage.end().unwrap_or("closed by the source").to_owned()))
}

fn arrival(packet: retina::rtp::ReceivedPacket, track: Track, came: Instant) -> Arrival {
    let (header, origin, lost) = (packet.header(), packet.timestamp().start(), packet.loss() > 0);
    let packet = Packet {
        sequence: header.sequence_number(),
        timestamp: header.timestamp(),
        marker: header.mark(),
        payload: packet.into_payload_bytes(),
    };
    Arrival { track, packet, origin, lost, came }
}

/// What came so far.
#[derive(Default)]
struct Count {
    /// Bytes that were not told of yet.
    heard: usize,
    received: u64,
    lost: u64,
    told: Option<Instant>,
}

impl Count {
    /// Counts a packet. Bytes that were not told of yet, and the state of the connection when it is to be told.
    fn packet(&mut self, bytes: usize, lost: u16, now: Instant) -> (usize, Option<TransportStats>) {
        self.heard += bytes;
        self.received += 1;
        self.lost += u64::from(lost);
        if self.told.is_some_and(|told| now < told + TELL_EVERY) {
            return (self.heard, None);
        }
        self.told = Some(now);
        let (packets_received, packets_lost) = (Some(self.received), Some(self.lost));
        (self.heard, Some(TransportStats { packets_received, packets_lost, ..TransportStats::default() }))
    }
}

/// Why a request failed. retina's words hold URLs and whatever the server says, so none of them is passed on.
fn failed(request: &str, error: &retina::Error, passage: &Passage) -> PullError {
    let Some(status) = error.status_code() else {
        return match passage.end() {
            Some(end) => PullError::Lost(end.to_owned()),
            None => PullError::Refused(format!("no RTSP in answer to {request}")),
        };
    };
    match status {
        200..300 => PullError::Unacceptable(format!("the answer to RTSP {request} cannot be used")),
        401 | 403 => PullError::Refused(format!("RTSP {request} needs other credentials ({status})")),
        404 => PullError::Refused("no such stream (404)".to_owned()),
        461 => PullError::Refused("RTP over TCP is not offered (461)".to_owned()),
        status => PullError::Refused(format!("RTSP {request} is answered with {status}")),
    }
}

/// Why nothing more can be taken of a session that runs. What retina says begins with what is wrong; contexts follow.
fn unfollowable(error: &retina::Error, passage: &Passage) -> PullError {
    let words = error.to_string();
    let reason: String = words.chars().take_while(|c| !c.is_control()).take(LONGEST_REASON).collect();
    tracing::debug!(reason, "RTSP session cannot be followed");
    PullError::Lost(passage.end().unwrap_or("packets out of order, or no RTSP any more").to_owned())
}
