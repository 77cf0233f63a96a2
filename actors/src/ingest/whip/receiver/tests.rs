//! A connection between two real ends on loopback, on which one packet is lost.

use rtc::interceptor::NackResponderBuilder;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters};
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use weir_media::sdp;

use super::*;
use crate::ingest::whip::peer;
use crate::ingest::whip::ports::Ports;

/// For anything to happen.
const LIMIT: Duration = Duration::from_secs(10);
const PAYLOAD_TYPE: u8 = 102;
const SSRC: u32 = 7;
/// Is lost the first time.
const LOST: u16 = 2;

/// Says when the publisher has its candidates, and when it is connected.
struct Publisher(mpsc::UnboundedSender<&'static str>);

#[async_trait]
impl PeerConnectionEventHandler for Publisher {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.send("gathered").unwrap();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.0.send("connected").unwrap();
        }
    }
}

/// A network that loses a packet.
#[derive(Default)]
struct Lossy {
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
    lost: bool,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Lossy {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.incoming.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        match &message.message.packet {
            Interception::Rtp(packet) if packet.header.sequence_number == LOST && !self.lost => self.lost = true,
            _ => self.outgoing.push_back(message),
        }
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for Lossy {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// Both ends, connected.
struct Pair {
    publisher: Box<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    receiver: Box<dyn Peer>,
    events: mpsc::Receiver<PeerEvent>,
}

impl Pair {
    async fn new() -> Self {
        let codec = RTCRtpCodec {
            mime_type: MIME_TYPE_H264.into(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".into(),
            rtcp_feedback: vec![RTCPFeedback { typ: "nack".into(), parameter: String::new() }],
        };
        let mut engine = MediaEngine::default();
        let offered = RTCRtpCodecParameters { rtp_codec: codec.clone(), payload_type: PAYLOAD_TYPE };
        engine.register_codec(offered, RtpCodecKind::Video).unwrap();
        let coding = RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() };
        let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..Default::default() };
        let [stream, id, label] = ["stream", "track", "label"].map(str::to_owned);
        let media = MediaStreamTrack::new(stream, id, label, RtpCodecKind::Video, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(media));
        let keeps = NackResponderBuilder::new().build();
        let network = Slot::from(Slot::NackResponder.slot() - 1);
        let (say, mut said) = mpsc::unbounded_channel();
        let publisher = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(Registry::new().with(Slot::NackResponder, keeps).with(network, Lossy::default()))
            .with_handler(Arc::new(Publisher(say)))
            .with_udp_addrs(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
            .with_dedicated_reactor_pool_size(1)
            .build()
            .await
            .unwrap();
        publisher.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await.unwrap();
        publisher.set_local_description(publisher.create_offer(None).await.unwrap()).await.unwrap();
        assert_eq!(timeout(LIMIT, said.recv()).await.unwrap(), Some("gathered"));
        let offer = sdp::offer(publisher.local_description().await.unwrap().sdp.as_bytes()).unwrap();

        let port = Ports::new(48_000, 48_999).claim().unwrap();
        let place = Place { port: port.number(), public_ip: None, loopback: true };
        let (told, events) = peer::channel();
        let (receiver, answer) = WebRtc { runtime: Handle::current() }.connect(&offer, place, told).await.unwrap();
        publisher.set_remote_description(RTCSessionDescription::answer(answer).unwrap()).await.unwrap();
        let mut pair = Self { publisher: Box::new(publisher), track, receiver, events };
        assert!(matches!(pair.event().await, PeerEvent::Connected));
        assert_eq!(timeout(LIMIT, said.recv()).await.unwrap(), Some("connected"));
        pair
    }

    async fn event(&mut self) -> PeerEvent {
        timeout(LIMIT, self.events.recv()).await.unwrap().unwrap()
    }

    async fn send(&mut self, sequence_number: u16) {
        let header =
            rtp::Header { version: 2, payload_type: PAYLOAD_TYPE, ssrc: SSRC, sequence_number, ..Default::default() };
        let payload = bytes::Bytes::from_static(&[0x41, 0x9a]);
        self.track.write_rtp(rtp::Packet { header, payload }).await.unwrap();
    }

    /// The number of the next packet that comes.
    async fn came(&mut self) -> u16 {
        loop {
            if let PeerEvent::Packet(_, packet, _) = self.event().await {
                return packet.sequence;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_asked_for_again_is_taken_behind_a_whole_keyframe() {
    let mut pair = Pair::new().await;
    for number in 1..900 {
        pair.send(number).await;
        if number != LOST {
            assert_eq!(pair.came().await, number);
        }
    }
    pair.receiver.ask_again(&[LOST]).await;
    assert_eq!(pair.came().await, LOST);
    pair.publisher.close().await.unwrap();
    pair.receiver.close().await;
}
