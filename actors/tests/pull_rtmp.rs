//! Fetching by RTMP from scripted servers on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../tests/support/rtmp_wire.rs"]
mod rtmp_wire;

use std::future::pending;
use std::time::Duration;

use rtmp_wire::{AUDIO, VIDEO, connected, created, handshake, keyframe, message, start, status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_actors::ingest::pull::{CONNECT_WITHIN, Fetched, Outlet, PullError, fetch};
use weir_actors::network::{Network, NetworkError};
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;
use weir_media::pull::PullUri;

/// For what takes milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// C0 and C1.
const GREETING: usize = 1 + 1536;

fn local() -> Network {
    Network::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap()
}

/// A server of one connection.
struct Server(TcpListener);

/// Its connection.
struct Peer {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Server {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Where its stream is; the query is the secret.
    fn uri(&self) -> PullUri {
        PullUri::parse(&format!("rtmp://{}/live/name?secret", self.0.local_addr().unwrap())).unwrap()
    }

    async fn accept(self) -> Peer {
        Peer { socket: self.0.accept().await.unwrap().0, heard: vec![] }
    }

    /// Answers what it is asked for, up to and with `play`.
    async fn asked(self) -> Peer {
        let mut peer = self.accept().await;
        peer.hear(|heard| heard.len() >= GREETING).await;
        peer.say(&handshake()).await;
        for (command, answer) in [("connect", connected()), ("createStream", created(2.0)), ("play", vec![])] {
            let name = rtmp_wire::string(command);
            peer.hear(|heard| heard.windows(name.len()).any(|part| part == name)).await;
            peer.say(&answer).await;
        }
        peer
    }
}

impl Peer {
    async fn hear(&mut self, enough: impl Fn(&[u8]) -> bool) {
        while !enough(&self.heard) {
            assert!(self.socket.read_buf(&mut self.heard).await.unwrap() > 0, "the player left");
        }
    }

    async fn say(&mut self, wire: &[u8]) {
        self.socket.write_all(wire).await.unwrap();
    }
}

/// Fetches until the end; what came out, and why no more does.
async fn fetched(uri: &PullUri, network: &Network) -> (Vec<Fetched>, PullError) {
    let (outlet, mut queue) = Outlet::new();
    let mut out = vec![];
    let error = {
        let gather = async {
            while let Some(item) = queue.recv().await {
                out.push(item);
            }
            pending().await
        };
        tokio::select! {
            error = timeout(SOON, fetch(uri, network, &outlet)) => error.expect("an end"),
            () = gather => unreachable!(),
        }
    };
    while let Ok(item) = queue.try_recv() {
        out.push(item);
    }
    (out, error)
}

/// The same of a server that goes on with `wire` when it is asked to play, and then closes.
async fn play(wire: Vec<u8>) -> (Vec<Fetched>, PullError) {
    let server = Server::new().await;
    let uri = server.uri();
    let serve = async {
        let mut peer = server.asked().await;
        peer.say(&wire).await;
        peer.socket.shutdown().await.unwrap();
        peer.hear(|_| false).await;
    };
    let network = local();
    tokio::select! {
        out = fetched(&uri, &network) => out,
        () = serve => unreachable!(),
    }
}

fn configurations() -> Vec<u8> {
    let video = [&[0x17, 0, 0, 0, 0][..], &rtmp_wire::AVC_RECORD].concat();
    [message(6, 0, VIDEO, 7, &video), message(4, 0, AUDIO, 7, &[0xaf, 0, 0x12, 0x10])].concat()
}

/// A tag body of a picture that refers to others.
fn between() -> Vec<u8> {
    [&[0x27, 1, 0, 0, 0, 0, 0, 0, 2][..], &[0x41, 0x88]].concat()
}

fn items(out: &[Fetched]) -> Vec<String> {
    let item = |fetched: &Fetched| match fetched {
        Fetched::Item(FeedItem::Config(TrackConfig::Video(_))) => Some("video configuration".to_owned()),
        Fetched::Item(FeedItem::Config(TrackConfig::Audio(_))) => Some("audio configuration".to_owned()),
        Fetched::Item(FeedItem::Unit(unit)) => {
            let what = match (unit.track, unit.keyframe) {
                (Track::Audio, _) => "audio",
                (Track::Video, true) => "keyframe",
                (Track::Video, false) => "picture",
            };
            Some(format!("{what} {}", unit.dts.as_nanos() / 1_000_000))
        }
        Fetched::Heard(_) | Fetched::Transport(_) => None,
    };
    out.iter().filter_map(item).collect()
}

#[tokio::test]
async fn what_a_server_plays_comes_out_decodable_from_the_first_keyframe_on() {
    let sound = [&[0xaf, 1][..], &[7; 30]].concat();
    let wire = [
        start(),
        configurations(),
        message(6, 0, VIDEO, 7, &between()),
        message(4, 5, AUDIO, 7, &sound),
        message(6, 40, VIDEO, 7, &keyframe(3000)),
        message(6, 80, VIDEO, 7, &between()),
        status("status", "NetStream.Play.UnpublishNotify", ""),
        message(6, 120, VIDEO, 7, &between()),
    ];
    let (out, error) = play(wire.concat()).await;
    assert!(matches!(error, PullError::Ended), "{error:?}");
    let expected = ["video configuration", "audio configuration", "audio 5", "keyframe 40", "picture 80"];
    assert_eq!(items(&out), expected);
}

#[tokio::test]
async fn bytes_of_media_are_told_as_they_come() {
    let server = Server::new().await;
    let uri = server.uri();
    let (outlet, mut queue) = Outlet::new();
    let network = local();
    let serve = async {
        let mut peer = server.asked().await;
        peer.say(&[start(), message(6, 0, VIDEO, 7, &keyframe(3000))].concat()).await;
        let first = queue.recv().await;
        peer.say(&message(6, 40, VIDEO, 7, &between())).await;
        (first, queue.recv().await)
    };
    let heard = tokio::select! {
        heard = timeout(SOON, serve) => heard.expect("both"),
        error = fetch(&uri, &network, &outlet) => panic!("{error}"),
    };
    let (first, second) = (keyframe(3000).len(), between().len());
    assert!(
        matches!(heard, (Some(Fetched::Heard(a)), Some(Fetched::Heard(b))) if (a, b) == (first, second)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_server_that_says_no_is_quoted_without_the_secret() {
    let (out, error) = play(status("error", "NetStream.Play.StreamNotFound", "No such stream")).await;
    assert!(out.is_empty());
    assert!(matches!(error, PullError::Refused(_)), "{error:?}");
    assert_eq!(error.to_string(), "NetStream.Play.StreamNotFound: No such stream");
    let (_, error) = play(status("error", "NetStream.Play.Failed", "no live/name?secret")).await;
    assert_eq!(error.to_string(), "NetStream.Play.Failed");
}

#[tokio::test]
async fn a_server_that_is_no_rtmp_server_refuses() {
    let server = Server::new().await;
    let uri = server.uri();
    let serve = async {
        let mut peer = server.accept().await;
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.hear(|_| false).await;
    };
    let network = local();
    let (_, error) = tokio::select! {
        out = fetched(&uri, &network) => out,
        () = serve => unreachable!(),
    };
    assert!(matches!(error, PullError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost() {
    let (_, error) = play(vec![]).await;
    assert_eq!(error.to_string(), "connection lost: closed before the stream was played");
    let (out, error) = play([start(), configurations(), message(6, 40, VIDEO, 7, &keyframe(30))].concat()).await;
    assert_eq!(items(&out).len(), 3);
    assert_eq!(error.to_string(), "connection lost: closed without an end of the stream");
}

#[tokio::test]
async fn damaged_frames_are_borne_and_what_cannot_be_decoded_is_not() {
    let damaged = message(6, 40, VIDEO, 7, &[0x17, 1, 0, 0, 0, 0, 0, 0, 99, 0x65]);
    let good = message(6, 80, VIDEO, 7, &keyframe(30));
    let (out, _) = play([start(), configurations(), damaged.clone(), good].concat()).await;
    assert_eq!(items(&out).last().map(String::as_str), Some("keyframe 80"));
    let (_, error) = play([start(), configurations(), damaged.repeat(61)].concat()).await;
    assert!(matches!(error, PullError::Unacceptable(_)), "{error:?}");
    let (_, error) = play([start(), message(6, 0, VIDEO, 7, b"\x90hvc1")].concat()).await;
    assert_eq!(error.to_string(), "HEVC video is not supported, send H.264 video and AAC audio");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::new().await;
    let uri = server.uri();
    let serve = async {
        let mut peer = server.accept().await;
        peer.hear(|heard| heard.len() >= GREETING).await;
        // From here on nothing but the deadline can wake anybody.
        tokio::time::pause();
        pending::<()>().await;
    };
    let network = local();
    let (outlet, _queue) = Outlet::new();
    let error = tokio::select! {
        error = timeout(2 * CONNECT_WITHIN, fetch(&uri, &network, &outlet)) => error.expect("given up"),
        () = serve => unreachable!(),
    };
    assert!(matches!(error, PullError::Timeout(CONNECT_WITHIN)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_plays_an_idle_stream_is_not_given_up() {
    let server = Server::new().await;
    let uri = server.uri();
    let (outlet, mut queue) = Outlet::new();
    let network = local();
    let serve = async {
        let mut peer = server.asked().await;
        // In one write, so that the answer to the ping says that the start was read.
        peer.say(&[start(), message(2, 0, 4, 0, &[0, 6, 0, 0, 0, 1])].concat()).await;
        let pong = message(2, 0, 4, 0, &[0, 7, 0, 0, 0, 1]);
        peer.hear(|heard| heard.ends_with(&pong)).await;
        tokio::time::pause();
        tokio::time::sleep(10 * CONNECT_WITHIN).await;
        tokio::time::resume();
        peer.say(&configurations()).await;
        queue.recv().await
    };
    let first = tokio::select! {
        first = serve => first,
        error = fetch(&uri, &network, &outlet) => panic!("{error}"),
    };
    assert!(matches!(first, Some(Fetched::Item(FeedItem::Config(TrackConfig::Video(_))))), "{first:?}");
}

#[tokio::test]
async fn a_fetch_that_nobody_wants_ends() {
    let server = Server::new().await;
    let uri = server.uri();
    let (outlet, queue) = Outlet::new();
    let network = local();
    let serve = async {
        let mut peer = server.asked().await;
        drop::<mpsc::Receiver<_>>(queue);
        peer.say(&[start(), configurations()].concat()).await;
        pending::<()>().await;
    };
    let error = tokio::select! {
        error = timeout(SOON, fetch(&uri, &network, &outlet)) => error.expect("an end"),
        () = serve => unreachable!(),
    };
    assert!(matches!(error, PullError::Unwanted), "{error:?}");
}

#[tokio::test]
async fn an_address_that_must_not_be_connected_to_is_not() {
    let server = Server::new().await;
    let (_, error) = fetched(&server.uri(), &Network::new(vec![]).unwrap()).await;
    assert!(matches!(error, PullError::Network(NetworkError::Forbidden { .. })), "{error:?}");
}

/// By hand: `PULL_URI=rtmp://127.0.0.1/live/name cargo test -p weir-actors --test pull_rtmp -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "PULL_URI has to name a stream on a real server"]
async fn a_real_server_is_fetched_from() {
    let uri = PullUri::parse(&std::env::var("PULL_URI").expect("PULL_URI")).unwrap();
    let (outlet, mut queue) = Outlet::new();
    let network = local();
    let (mut units, mut bytes, mut configurations) = (0, 0, 0);
    let gather = async {
        while let Some(fetched) = queue.recv().await {
            match fetched {
                Fetched::Heard(count) => bytes += count,
                Fetched::Item(FeedItem::Config(config)) => {
                    configurations += 1;
                    println!("{config:?}");
                }
                Fetched::Item(FeedItem::Unit(unit)) => {
                    assert!(units > 0 || unit.track == Track::Audio || unit.keyframe);
                    units += u64::from(unit.track == Track::Video);
                }
                Fetched::Transport(_) => {}
            }
        }
    };
    let error = tokio::select! {
        error = timeout(SOON, fetch(&uri, &network, &outlet)) => error,
        () = gather => unreachable!(),
    };
    println!("{configurations} configurations, {units} pictures, {bytes} bytes, then {error:?}");
    assert!(configurations >= 1 && units > 0 && bytes > 0);
}
