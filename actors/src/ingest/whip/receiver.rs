//! WebRTC by the crate `webrtc` 0.21.1, with what it needs to be safe here ([ADR 0005](../../../../docs/adr/0005-webrtc-behind-a-trait.md)):
//!
//! - A pool of reactors of its own: without one a connection that is dropped without `close` leaks for ever. And `close` on every way out.
//! - Each track is polled by a task of its own that never waits: the driver holds 256 packets and then drops.
//! - A bound to the wait for lost packets, in [`weir_media::rtp::order`], which takes the place of its sample builder and of its requests
//!   for them.
//!
//! Its settings for loopback candidates and for a public address have no effect in this version. So the addresses are listed here, and the
//! answer's candidates are written here.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{Attribute, Interceptor, Packet as Interception, Registry, Slot, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MediaEngine};
use rtc::rtcp::Packet as Feedback;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::ifaces::ifaces;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};
use weir_media::access_unit::Track;
use weir_media::rtp::Packet;
use weir_media::sdp::Offer;

use super::peer::{Connector, Events, Peer, PeerError, PeerEvent, Place};
use crate::clock;

/// Threads that receive for all connections.
const REACTORS: usize = 2;
/// H.264 profiles that are taken (profile and constraints of `profile-level-id`; the level is the sender's affair): baseline, both ways of
/// writing constrained baseline, main, and high.
const PROFILES: [&str; 7] = ["42001f", "42c01f", "42e01f", "4d001f", "4d401f", "64001f", "640c1f"];
const FIRST_H264: u8 = 96;
const OPUS: u8 = 111;
/// Silence on the wire after which a connection counts as interrupted, and as gone.
const INTERRUPTED: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(2);
/// How many packets behind the newest one a packet may come: what is sent again is not told from what is replayed, and the crate's 64 are
/// less than one keyframe. As many as [`weir_media::rtp::order`] waits for.
const REPLAY_WINDOW: usize = 1024;
/// Where to stand in the chain of interceptors: behind whatever counts arrivals.
const BEHIND_REPORTS: usize = 12_500;
/// For a request to a connection's driver.
const TELL: Duration = Duration::from_millis(200);

/// Makes connections by webrtc.
pub(super) struct WebRtc {
    /// Where tracks are polled.
    pub runtime: Handle,
}

/// A connection.
struct Receiver {
    connection: Arc<dyn PeerConnection>,
    video: VideoTrack,
}

/// The video track, once there is one, and its latest source.
type VideoTrack = Arc<(Mutex<Option<Arc<dyn TrackRemote>>>, AtomicU32)>;

#[async_trait]
impl Connector for WebRtc {
    async fn connect(&self, offer: &Offer, place: Place, events: Events) -> Result<(Box<dyn Peer>, String), PeerError> {
        let setup = |error: Error| PeerError::Setup(error.to_string());
        let unusable = |error: Error| PeerError::Offer(error.to_string());
        let description = RTCSessionDescription::offer(offer.sdp().to_owned()).map_err(unusable)?;
        let mut engine = codecs().map_err(setup)?;
        let interceptors = interceptors(&mut engine).map_err(setup)?;
        let settings = SettingEngineBuilder::default()
            .with_lite(true)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_timeouts(Some(INTERRUPTED), Some(GONE), Some(KEEPALIVE))
            .with_srtp_replay_protection_window(REPLAY_WINDOW)
            .build();
        let (gathered, gathering) = oneshot::channel();
        let video = VideoTrack::default();
        let handler = Handler {
            events,
            video: Arc::clone(&video),
            gathered: Mutex::new(Some(gathered)),
            runtime: self.runtime.clone(),
        };
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(addresses(place))
            .with_dedicated_reactor_pool_size(REACTORS)
            .build()
            .await
            .map_err(setup)?;
        let receiver = Receiver { connection: Arc::new(connection), video };
        let answered = async {
            receiver.connection.set_remote_description(description).await.map_err(unusable)?;
            let answer = receiver.connection.create_answer(None).await.map_err(unusable)?;
            receiver.connection.set_local_description(answer).await.map_err(setup)?;
            // Its end is known by what has been gathered.
            let _ = timeout(Duration::from_secs(2), gathering).await;
            let local = receiver.connection.local_description().await;
            written(&local.map(|local| local.sdp).unwrap_or_default(), place)
        };
        match answered.await {
            Ok(answer) => Ok((Box::new(receiver), answer)),
            Err(error) => {
                receiver.close().await;
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Peer for Receiver {
    async fn ask_for_keyframe(&self) {
        self.tell(|media_ssrc| Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })).await;
    }

    async fn ask_again(&self, sequences: &[u16]) {
        let nacks = nack_pairs_from_sequence_numbers(sequences);
        self.tell(|media_ssrc| Box::new(TransportLayerNack { sender_ssrc: 0, media_ssrc, nacks })).await;
    }

    async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "WebRTC connection did not close well");
        }
    }
}

impl Receiver {
    /// Tells the sender something about its video.
    async fn tell(&self, feedback: impl FnOnce(u32) -> Box<dyn Feedback>) {
        let (track, source) = &*self.video;
        let track = track.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(track) = track {
            let feedback = feedback(source.load(Ordering::Relaxed));
            // Where it does not arrive, it is told again.
            let _ = timeout(TELL, track.write_rtcp(vec![feedback])).await;
        }
    }
}

/// What is taken: H.264 and Opus, each with the feedback that is given.
fn codecs() -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let opus = RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: vec![],
    };
    let opus = RTCRtpCodecParameters { rtp_codec: opus, payload_type: OPUS };
    engine.register_codec(opus, RtpCodecKind::Audio)?;
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    for (payload_type, profile) in (FIRST_H264..).zip(PROFILES) {
        let h264 = RTCRtpCodec {
            mime_type: MIME_TYPE_H264.into(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"),
            rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
        };
        let h264 = RTCRtpCodecParameters { rtp_codec: h264, payload_type };
        engine.register_codec(h264, RtpCodecKind::Video)?;
    }
    Ok(engine)
}

/// What acts on packets on their way. Nothing that asks for lost ones: the crate's own asks for all of them every 100 ms, which is too
/// seldom for a picture to be shown in time, and goes on when nobody waits any more.
fn interceptors(engine: &mut MediaEngine) -> Result<Registry, Error> {
    configure_simulcast_extension_headers(engine)?;
    let registry = configure_twcc_receiver_only(Registry::new(), engine)?;
    Ok(configure_rtcp_reports(registry).with(Slot::from(BEHIND_REPORTS), SenderReports::default()))
}

/// The machine's own addresses, without those that nobody elsewhere can reach; loopback for who is here, and where there is nothing else.
fn addresses(place: Place) -> Vec<SocketAddr> {
    let own = ifaces().unwrap_or_default().into_iter().filter_map(|interface| interface.addr).map(|addr| addr.ip());
    let reachable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    };
    let mut addresses: Vec<IpAddr> = own.filter(reachable).collect();
    if place.loopback || addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(|ip| SocketAddr::new(ip, place.port)).collect()
}

/// The answer as the client gets it: with the public address in the candidates, when there is one.
fn written(answer: &str, place: Place) -> Result<String, PeerError> {
    let mut lines: Vec<String> = vec![];
    for line in answer.lines() {
        if line.starts_with("m=") && line.split(' ').nth(1) == Some("0") {
            return Err(PeerError::Codec);
        }
        let line = match place.public_ip.filter(|_| line.starts_with("a=candidate:")) {
            Some(public) => {
                let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
                let Some(address) = words.get_mut(4) else { continue };
                let local: Option<IpAddr> = address.parse().ok();
                if local.is_some_and(|local| local.is_ipv4() == public.is_ipv4() && !local.is_loopback()) {
                    *address = public.to_string();
                }
                words.join(" ")
            }
            None => line.to_owned(),
        };
        // Several of the machine's own addresses become the same.
        if !line.starts_with("a=candidate:") || !lines.contains(&line) {
            lines.push(line);
        }
    }
    if !lines.iter().any(|line| line.starts_with("a=candidate:")) {
        return Err(PeerError::Setup("no address to receive at".to_owned()));
    }
    lines.push(String::new());
    Ok(lines.join("\r\n"))
}

/// What webrtc reports. It runs on a reactor, so it never waits.
struct Handler {
    events: Events,
    video: VideoTrack,
    gathered: Mutex<Option<oneshot::Sender<()>>>,
    runtime: Handle,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete
            && let Some(gathered) = self.gathered.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Who does not wait any more has what it needs.
            let _ = gathered.send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let event = match state {
            RTCPeerConnectionState::Connected => PeerEvent::Connected,
            RTCPeerConnectionState::Failed => PeerEvent::Lost("connection failed"),
            RTCPeerConnectionState::Closed => PeerEvent::Lost("closed by the client"),
            _ => return,
        };
        // A session whose queue is full of media has deadlines of its own.
        let _ = self.events.try_send(event);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = match track.kind().await {
            RtpCodecKind::Video => Track::Video,
            RtpCodecKind::Audio => Track::Audio,
            _ => return,
        };
        if kind == Track::Video {
            *self.video.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&track));
        }
        self.runtime.spawn(drain(kind, track, self.events.clone(), Arc::clone(&self.video)));
    }
}

/// Hands on what comes over a track until it ends. What a session has no room for is lost, which it sees by the hole.
async fn drain(kind: Track, track: Arc<dyn TrackRemote>, events: Events, video: VideoTrack) {
    while let Some(event) = track.poll().await {
        match event {
            TrackRemoteEvent::OnRtpPacket(packet) => {
                if kind == Track::Video {
                    video.1.store(packet.header.ssrc, Ordering::Relaxed);
                }
                let packet = Packet {
                    sequence: packet.header.sequence_number,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    payload: packet.payload,
                };
                let _ = events.try_send(PeerEvent::Packet(kind, packet, clock::now()));
            }
            TrackRemoteEvent::OnRtcpPacket(packets) => {
                for report in packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>()) {
                    let _ = events.try_send(PeerEvent::Report(kind, report.ntp_time, report.rtp_time));
                }
            }
            _ => {}
        }
    }
}

/// Passes sender reports on to the track's reader, in place of all other control packets, which the interceptors before have acted on.
#[derive(Default)]
struct SenderReports {
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for SenderReports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Interception::Rtcp(packets) = &message.message.packet {
            // Without its reports on others, which would name their sources as the ones it is about.
            let report = packets.iter().find_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
            let Some(report) = report.map(|report| SenderReport { reports: vec![], ..report.clone() }) else {
                return Ok(());
            };
            message.message.packet = Interception::Rtcp(vec![Box::new(report)]);
            message.message.add(Attribute::DeliverToApplication);
        }
        self.incoming.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.outgoing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for SenderReports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests;
