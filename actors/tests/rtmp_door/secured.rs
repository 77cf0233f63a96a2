//! The door behind TLS: the same encoders, the same refusals, and strangers who misuse the handshake.
//!
//! librtmp is not among them: Debian's ends each TLS connection before it has sent a byte, to `openssl s_server` as well.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion, version,
};
use weir_actors::ingest::CloseReason;
use weir_actors::ingest::rtmp::{RtmpDoor, RtmpLimits};
use weir_media::id::{Protocol, Slot};

use super::rtmp_wire;
use super::support::{Door, H264_AAC, PATIENCE, assert_plausible, closed, ffmpeg, gstreamer, media, run};

/// A TLS record of a handshake message that claims to be `length` long, with what there is of it.
fn client_hello_of(length: usize, sent: usize) -> Vec<u8> {
    let mut message = vec![1];
    message.extend(&(length as u32).to_be_bytes()[1..]);
    message.resize(sent, 0);
    let mut wire = vec![];
    for fragment in message.chunks(16 << 10) {
        wire.extend([22, 3, 1]);
        wire.extend((fragment.len() as u16).to_be_bytes());
        wire.extend(fragment);
    }
    wire
}

struct Secured {
    door: Door,
    certificate: CertificateDer<'static>,
}

impl Secured {
    async fn open(limits: RtmpLimits) -> Self {
        Self::with(RtmpDoor::new(limits)).await
    }

    async fn with(door: RtmpDoor) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let door = Door::with(door.secured(TlsAcceptor::from(Arc::new(config)))).await;
        Self { door, certificate: cert.der().clone() }
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client { config: Arc::new(config), address: self.door.address }
    }
}

/// A TLS client that believes the door's certificate only.
struct Client {
    config: Arc<ClientConfig>,
    address: SocketAddr,
}

impl Client {
    fn hello(&self) -> Vec<u8> {
        let mut session = ClientConnection::new(self.config.clone(), self.address.ip().into()).unwrap();
        let mut wire = vec![];
        session.write_tls(&mut wire).unwrap();
        wire
    }

    /// Sends this and reads to the end; an error when it comes without `close_notify`.
    fn exchange(&self, wire: &[u8]) -> std::io::Result<Vec<u8>> {
        let session = ClientConnection::new(self.config.clone(), self.address.ip().into()).unwrap();
        let mut stream = StreamOwned::new(session, connect(self.address));
        stream.write_all(wire)?;
        let mut said = vec![];
        stream.read_to_end(&mut said)?;
        Ok(said)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// How long a connection lives that sends this and then nothing.
async fn lasting(address: SocketAddr, wire: Vec<u8>) -> Duration {
    let talk = move || {
        let start = Instant::now();
        let mut socket = connect(address);
        // It may be closed before all of it is sent.
        let _ = socket.write_all(&wire);
        loop {
            match socket.read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        start.elapsed()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[test]
fn every_encoder_publishes_over_tls() {
    run(async {
        for client in ["ffmpeg", "rtmp2sink"] {
            let mut secured = Secured::open(RtmpLimits::default()).await;
            let url = secured.door.url("7b?right");
            let mut encoder = if client == "ffmpeg" { ffmpeg(&url, 60, H264_AAC) } else { gstreamer(client, &url) };
            let mut session = secured.door.next().await;
            assert_eq!((session.slot, session.protocol), (Slot::Backup, Protocol::Rtmps), "{client}");
            let (video, audio, units) = media(&mut session.reader, 60).await;
            assert_plausible(&video, &audio, &units);
            encoder.kill().await.unwrap();
            let reason = closed(&mut session.facts).await;
            assert_eq!(reason, CloseReason::Lost("closed without unpublish".to_owned()), "{client}");
        }
    });
}

#[test]
fn a_wrong_token_makes_every_encoder_fail_at_once_over_tls() {
    run(async {
        let secured = Secured::open(RtmpLimits::default()).await;
        let url = secured.door.url("7?wrong");
        let encoders = [("ffmpeg", ffmpeg(&url, 60, H264_AAC)), ("rtmp2sink", gstreamer("rtmp2sink", &url))];
        for (client, encoder) in encoders {
            let end = timeout(Duration::from_secs(10), encoder.wait_with_output()).await;
            let end = end.unwrap_or_else(|_| panic!("{client} hangs")).unwrap();
            assert!(!end.status.success(), "{client} takes it for accepted");
            let words = String::from_utf8_lossy(&end.stderr);
            assert!(client != "ffmpeg" || words.contains("unknown stream or wrong token"), "{words}");
            assert!(client != "rtmp2sink" || words.contains("publish denied"), "{words}");
        }
    });
}

#[test]
fn an_order_to_stop_reaches_the_encoder_with_its_reason_over_tls() {
    run(async {
        let mut secured = Secured::open(RtmpLimits::default()).await;
        let encoder = ffmpeg(&secured.door.url("7?right"), 60, H264_AAC);
        let mut session = secured.door.next().await;
        media(&mut session.reader, 20).await;
        session.stop.send_replace(Some(CloseReason::TokenReset));
        assert_eq!(closed(&mut session.facts).await, CloseReason::TokenReset);
        let end = timeout(PATIENCE, encoder.wait_with_output()).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&end.stderr);
        assert!(!end.status.success() && words.contains("push token was reset"), "{words}");
    });
}

#[test]
fn a_refusal_ends_with_close_notify_in_both_versions_of_tls() {
    run(async {
        let secured = Secured::open(RtmpLimits::default()).await;
        for version in [&version::TLS12, &version::TLS13] {
            let client = secured.client(version);
            let talk = tokio::task::spawn_blocking(move || client.exchange(&rtmp_wire::opening("7?wrong")));
            let said = talk.await.unwrap().unwrap_or_else(|error| panic!("{version:?}: {error}"));
            assert!(String::from_utf8_lossy(&said).contains("unknown stream or wrong token"), "{version:?}");
        }
    });
}

#[test]
fn a_handshake_has_a_deadline_a_ration_and_a_place() {
    run(async {
        let limits = RtmpLimits { tls: Duration::from_millis(300), ..RtmpLimits::default() };
        let secured = Secured::open(limits).await;
        let address = secured.door.address;
        let hello = secured.client(&version::TLS13).hello();
        for (name, wire) in [
            ("nothing", vec![]),
            ("half a record", vec![22, 3, 1]),
            ("half a message", client_hello_of(1000, 500)),
            ("no answer to the server's", hello.clone()),
        ] {
            let lasted = lasting(address, wire).await;
            assert!(lasted >= limits.tls && lasted < PATIENCE, "{name}: {lasted:?}");
        }

        let patient = RtmpLimits { tls: PATIENCE * 2, preauth_per_address: 2, ..RtmpLimits::default() };
        let secured = Secured::open(patient).await;
        let address = secured.door.address;
        for (name, wire) in [
            ("not TLS", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            ("plain RTMP", rtmp_wire::handshake()),
            ("noise", (0..4000_u32).map(|i| (i * i) as u8 | 0x80).collect()),
            ("a message over the ration", client_hello_of(60_000, 60_000)),
            ("a wrong version", [&[22, 2, 0][..], &hello[3..]].concat()),
        ] {
            let lasted = lasting(address, wire).await;
            assert!(lasted < PATIENCE / 2, "{name} is closed at once, not after {lasted:?}");
        }
        let mut half_open: Vec<_> = (0..3)
            .map(|_| {
                let mut socket = connect(address);
                socket.write_all(&hello[..40]).unwrap();
                socket
            })
            .collect();
        let mut oldest = half_open.remove(0);
        assert_eq!(oldest.read(&mut [0]).unwrap_or(0), 0, "the oldest is shed");
        assert!(half_open.iter_mut().all(|socket| socket.write_all(&[0]).is_ok()));
    });
}

#[test]
fn both_doors_share_their_places() {
    run(async {
        let limits = RtmpLimits { handshake: PATIENCE * 2, preauth_per_address: 2, ..RtmpLimits::default() };
        let shared = RtmpDoor::new(limits);
        let gate = shared.gate.clone();
        let plain = Door::with(shared.clone()).await;
        let secured = Secured::with(shared).await;
        let mut first = connect(plain.address);
        let entered = async {
            while gate.strangers() < 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, entered).await.unwrap();
        let _more: Vec<_> = (0..2).map(|_| connect(secured.door.address)).collect();
        let end = tokio::task::spawn_blocking(move || first.read(&mut [0]).unwrap_or(0)).await.unwrap();
        assert_eq!((end, gate.strangers()), (0, 2));
    });
}

#[test]
fn half_open_handshakes_keep_no_encoder_out() {
    run(async {
        let mut secured = Secured::open(RtmpLimits { preauth_total: 256, ..RtmpLimits::default() }).await;
        let mut witness = ffmpeg(&secured.door.url("7?right"), 60, H264_AAC);
        let mut session = secured.door.next().await;
        media(&mut session.reader, 20).await;
        let facts = tokio::spawn(async move { closed(&mut session.facts).await });
        let (address, hello) = (secured.door.address, secured.client(&version::TLS13).hello());
        let flood = tokio::task::spawn_blocking(move || {
            (0..1000)
                .map(|number| {
                    let mut socket = connect(address);
                    // Each asks for a handshake, and never answers.
                    let _ = socket.write_all(&hello[..if number % 2 == 0 { hello.len() } else { 40 }]);
                    socket
                })
                .collect::<Vec<_>>()
        });
        let flood = flood.await.unwrap();
        let start = Instant::now();
        let mut second = ffmpeg(&secured.door.url("7b?right"), 60, H264_AAC);
        let admitted = secured.door.next().await;
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(admitted.slot, Slot::Backup);
        assert!(witness.try_wait().unwrap().is_none() && !facts.is_finished(), "the witness still publishes");
        assert!(timeout(PATIENCE, session.reader.next()).await.unwrap().is_some());
        second.kill().await.unwrap();
        drop(flood);
    });
}
