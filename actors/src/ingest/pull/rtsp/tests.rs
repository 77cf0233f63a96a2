//! Fetching from scripted servers, good and bad.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;

use super::*;
use crate::network::NetworkError;
use crate::network::tests::{Stub, local};

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:video\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z01AH+ygKALdgIgAAAMACAAAAwHgeMGMsA==,aOvjyyA=\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\na=control:audio\r\n\
    a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n";
const IDR: &[u8] = &[0x65, 0x88, 0x80];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
/// Long enough for anything that is not broken.
const SOON: Duration = Duration::from_secs(20);

/// What a server reads.
struct Request {
    method: String,
    text: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }

    /// An answer with these header lines, and a body.
    fn answer(&self, status: &str, headers: &str, body: &str) -> Vec<u8> {
        let (sequence, length) = (self.header("CSeq"), body.len());
        format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into()
    }

    /// What a server answers that has this description, and sends these packets.
    fn play(&self, sdp: &str, play: &str, packets: &[Vec<u8>]) -> Vec<u8> {
        match &*self.method {
            "DESCRIBE" => self.answer("200 OK", "Content-Type: application/sdp\r\n", sdp),
            "SETUP" => {
                let headers = format!("Session: 1\r\nTransport: {}\r\n", self.header("Transport"));
                self.answer("200 OK", &headers, "")
            }
            "PLAY" => [self.answer("200 OK", &format!("Session: 1\r\n{play}"), ""), packets.concat()].concat(),
            _ => self.answer("501 Not Implemented", "", ""),
        }
    }
}

/// A server of one connection. An empty answer closes it.
struct Server {
    port: u16,
    /// What it was asked, and the end of that.
    requests: mpsc::UnboundedReceiver<String>,
}

async fn serve(mut answer: impl FnMut(&Request) -> Vec<u8> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, (heard, requests)) = (listener.local_addr().unwrap().port(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        while let Some(request) = read(&mut socket).await {
            let answer = answer(&request);
            let _ = heard.send(request.text);
            if answer.is_empty() || socket.write_all(&answer).await.is_err() {
                return;
            }
        }
    });
    Server { port, requests }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut text = vec![];
    while !text.ends_with(b"\r\n\r\n") {
        text.push(socket.read_u8().await.ok()?);
    }
    let text = String::from_utf8(text).unwrap();
    Some(Request { method: text.split(' ').next().unwrap().to_owned(), text })
}

fn source(port: u16) -> PullUri {
    PullUri::parse(&format!("rtsp://admin:secret@127.0.0.1:{port}/live")).unwrap()
}

/// How a fetch ends, and what came until then.
async fn fetched(source: &PullUri, network: &Network) -> (PullError, Vec<Fetched>) {
    let (outlet, mut items) = Outlet::new();
    let fetch = async move {
        match fetch(source, network, &outlet).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    };
    let collect = async {
        let mut all = vec![];
        while let Some(item) = items.recv().await {
            all.push(item);
        }
        all
    };
    timeout(SOON, async { tokio::join!(fetch, collect) }).await.unwrap()
}

/// How a fetch from a server ends that answers so.
async fn end(answer: impl FnMut(&Request) -> Vec<u8> + Send + 'static) -> String {
    let server = serve(answer).await;
    fetched(&source(server.port), &local()).await.0.to_string()
}

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel][..], &(packet.len() as u16).to_be_bytes(), packet].concat()
}

fn rtp(channel: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let head = [&[0x80, 0x80 | 96][..], &sequence.to_be_bytes(), &timestamp.to_be_bytes(), &[0, 0, 0, channel]];
    interleaved(channel, &[&head.concat(), payload].concat())
}

fn aac(sequence: u16, timestamp: u32) -> Vec<u8> {
    rtp(2, sequence, timestamp, &[0, 16, 0, 4 << 3, 1, 2, 3, 4])
}

fn report(channel: u8, ntp: u64, timestamp: u32) -> Vec<u8> {
    let parts = [&[0x80, 200, 0, 6, 0, 0, 0, channel - 1][..], &ntp.to_be_bytes(), &timestamp.to_be_bytes(), &[0; 8]];
    interleaved(channel, &parts.concat())
}

/// Tracks, and times in milliseconds after the first picture's, of the units among these.
fn units(items: &[Fetched]) -> Vec<(Track, i64)> {
    let units: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Fetched::Item(FeedItem::Unit(unit)) => Some((unit.track, unit.pts)),
            _ => None,
        })
        .collect();
    let zero = units[0].1;
    units.into_iter().map(|(track, pts)| (track, (pts.since(zero) + 500_000) / 1_000_000)).collect()
}

/// Pictures with their sound 100 ms later, and the end.
fn packets() -> Vec<Vec<u8>> {
    let bye = interleaved(1, &[0x81, 203, 0, 1, 0, 0, 0, 0]);
    vec![rtp(0, 0, 9000, IDR), aac(0, 48_000), rtp(0, 1, 12_000, SLICE), aac(1, 49_024), bye]
}

const IN_STEP: [(Track, i64); 4] = [(Track::Video, 0), (Track::Audio, 100), (Track::Video, 33), (Track::Audio, 121)];

#[tokio::test]
async fn configurations_come_first_and_sender_reports_bring_sound_and_picture_in_step() {
    let second = 1u64 << 32;
    let reports = vec![report(1, 50 * second, 9000), report(3, 50 * second + second / 10, 48_000)];
    let mut server = serve(move |request| request.play(SDP, "", &[reports.clone(), packets()].concat())).await;
    let (error, items) = fetched(&source(server.port), &local()).await;
    assert!(matches!(error, PullError::Ended), "{error}");
    assert_eq!(units(&items), IN_STEP);
    let configs: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Fetched::Item(FeedItem::Config(config)) => Some(config),
            _ => None,
        })
        .collect();
    let [TrackConfig::Video(video), TrackConfig::Audio(audio)] = configs[..] else { panic!("{configs:?}") };
    assert_eq!((video.width, video.height, audio.sample_rate, audio.channels), (1280, 720, 48_000, 2));
    let heard: usize = items.iter().map(|item| if let Fetched::Heard(bytes) = item { *bytes } else { 0 }).sum();
    assert_eq!(heard, 2 * (3 + 8));
    assert!(matches!(items[0], Fetched::Transport(TransportStats { packets_received: Some(1), .. })));
    while let Some(request) = server.requests.recv().await {
        assert!(request.contains(" rtsp://127.0.0.1:") && !request.contains("secret"), "{request}");
    }
}

#[tokio::test]
async fn the_play_response_brings_them_in_step_too() {
    let server = serve(|request| {
        let base = request.text.split(' ').nth(1).unwrap().to_owned();
        // Both name the instant of the first picture.
        let info = format!("RTP-Info: url={base}/video;rtptime=9000,url={base}/audio;rtptime=43200\r\n");
        request.play(SDP, &info, &packets())
    });
    let (_, items) = fetched(&source(server.await.port), &local()).await;
    assert_eq!(units(&items), IN_STEP);
}

#[tokio::test]
async fn sound_of_another_codec_is_silence() {
    let sdp = SDP.replace("MPEG4-GENERIC/48000/2", "PCMU/8000");
    let mut server = serve(move |request| match &*request.method {
        "PLAY" => request.play(&sdp, "", &[rtp(0, 0, 0, IDR), b"no RTSP any more".to_vec()]),
        _ => request.play(&sdp, "", &[]),
    })
    .await;
    let (error, items) = fetched(&source(server.port), &local()).await;
    assert_eq!(units(&items), [(Track::Video, 0)]);
    assert!(matches!(error, PullError::Lost(_)), "{error}");
    let mut asked = vec![];
    while let Some(request) = server.requests.recv().await {
        asked.push(request.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(asked, ["DESCRIBE", "SETUP", "PLAY"]);
}

#[tokio::test]
async fn a_challenge_is_answered_with_the_credentials_of_the_address() {
    for (challenge, answer) in [
        ("Basic realm=\"cam\"", "Basic YWRtaW46c2VjcmV0"),
        ("Digest realm=\"cam\", nonce=\"1\"", "Digest username=\"admin\", realm=\"cam\""),
    ] {
        let end = end(move |request| {
            if request.header("Authorization").starts_with(answer) {
                return request.answer("404 Not Found", "", "");
            }
            request.answer("401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), "")
        });
        assert_eq!(end.await, "no such stream (404)");
    }
}

#[tokio::test]
async fn only_the_address_that_was_checked_is_connected_to_whatever_the_server_names() {
    let sentinel = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("rtsp://127.0.0.1:{}/", sentinel.local_addr().unwrap().port());
    for redirect in [true, false] {
        let elsewhere = elsewhere.clone();
        // Servers of this version get their TEARDOWN over new connections, if retina may.
        let sdp = SDP.replace("t=0 0\r\n", "t=0 0\r\na=tool:LIVE555 Streaming Media v2016.01.01\r\n");
        let sdp = sdp.replace("control:", &format!("control:{elsewhere}"));
        let mut server = serve(move |request| match &*request.method {
            "DESCRIBE" if redirect => request.answer("302 Found", &format!("Location: {elsewhere}\r\n"), ""),
            "DESCRIBE" => {
                let headers = format!("Content-Type: application/sdp\r\nContent-Base: {elsewhere}\r\n");
                request.answer("200 OK", &headers, &sdp)
            }
            "SETUP" => {
                let transport = format!("{};source=127.0.0.1;server_port=9-10", request.header("Transport"));
                request.answer("200 OK", &format!("Session: 1\r\nTransport: {transport}\r\n"), "")
            }
            "PLAY" => {
                let info = format!("RTP-Info: url={elsewhere}video;seq=0;rtptime=0\r\n");
                request.play(&sdp, &info, &packets())
            }
            _ => vec![],
        })
        .await;
        let stub =
            Arc::new(Stub(Mutex::new(vec![vec!["127.0.0.1".parse().unwrap()], vec!["127.0.0.9".parse().unwrap()]])));
        let network = Network::with_resolver(vec!["127.0.0.0/8".parse().unwrap()], stub.clone()).unwrap();
        let source = PullUri::parse(&format!("rtsp://rebinding.example:{}/live", server.port)).unwrap();
        let (error, _) = fetched(&source, &network).await;
        let expected = if redirect { "RTSP DESCRIBE is answered with 302" } else { "source ended" };
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(stub.0.lock().unwrap().len(), 1, "asked once");
        assert!(timeout(Duration::from_millis(300), sentinel.accept()).await.is_err());
        assert!(server.requests.recv().await.unwrap().starts_with("DESCRIBE"));
    }
    let nowhere = Network::new(vec![]).unwrap();
    let (error, _) = fetched(&source(sentinel.local_addr().unwrap().port()), &nowhere).await;
    assert!(matches!(error, PullError::Network(NetworkError::Forbidden { .. })), "{error}");
}

#[tokio::test]
async fn what_cannot_be_taken_says_why() {
    let described = |sdp: String| end(move |request| request.play(&sdp, "", &[]));
    let told = described(SDP.replace("H264", "JPEG").replace("MPEG4-GENERIC", "<script>\u{7}")).await;
    assert_eq!(told, "no H.264 or H.265 video, but jpeg, <script>");
    assert_eq!(described(String::new()).await, "the answer to RTSP DESCRIBE cannot be used");
    let panics = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP  \r\n".to_owned();
    assert_eq!(described(panics).await, "what it sends cannot be read as RTSP");

    let setup = |status: &'static str| {
        end(move |request| match &*request.method {
            "SETUP" => request.answer(status, "Session: 1\r\nTransport: RTP/AVP;unicast;client_port=1-2\r\n", ""),
            _ => request.play(SDP, "", &[]),
        })
    };
    assert_eq!(setup("461 Unsupported Transport").await, "RTP over TCP is not offered (461)");
    assert_eq!(setup("200 OK").await, "the answer to RTSP SETUP cannot be used");

    let raw = |answer: &'static [u8]| end(move |_| answer.to_vec());
    assert_eq!(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, "no RTSP in answer to DESCRIBE");
    assert_eq!(raw(b"\0\xff\x80 garbage \x1b[0m").await, "no RTSP in answer to DESCRIBE");
    assert_eq!(raw(b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n").await, "no RTSP in answer to DESCRIBE");
    assert_eq!(raw(b"").await, "connection lost: closed by the source");
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_as_long_as_a_connection_may_take() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(listener.local_addr().unwrap().port());
    let silent = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(read(&mut socket).await.unwrap().text.starts_with("DESCRIBE"));
        tokio::time::pause();
        assert!(read(&mut socket).await.is_none());
    };
    let network = local();
    let ((error, _), ()) = tokio::join!(fetched(&source, &network), silent);
    assert!(matches!(error, PullError::Timeout(CONNECT_WITHIN)), "{error}");
}

/// How a fetch ends from a server that says this in answer to this request, and then the same bytes without end; and how many.
async fn flooded(method: &'static str, begin: &'static str, more: &'static [u8]) -> (String, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(listener.local_addr().unwrap().port());
    let sent = AtomicUsize::new(0);
    let flood = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        loop {
            let request = read(&mut socket).await.unwrap();
            if request.method != method {
                socket.write_all(&request.play(SDP, "", &[])).await.unwrap();
                continue;
            }
            let begin = begin.replace("CSEQ", request.header("CSeq"));
            socket.write_all(begin.as_bytes()).await.unwrap();
            let more = more.repeat((64 << 10) / more.len());
            while socket.write_all(&more).await.is_ok() {
                sent.fetch_add(more.len(), Ordering::Relaxed);
            }
            return;
        }
    };
    let network = local();
    let ((error, _), ()) = tokio::join!(fetched(&source, &network), flood);
    (error.to_string(), sent.into_inner())
}

#[tokio::test]
async fn a_message_without_end_is_an_end_and_does_not_fill_memory() {
    let body = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nContent-Type: application/sdp\r\nContent-Length: 99999999999\r\n\r\n";
    let head = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n";
    let floods = tokio::join!(
        flooded("DESCRIBE", body, b"v"),
        flooded("DESCRIBE", head, b"a: b\r\n"),
        flooded("DESCRIBE", "", b"x"),
        flooded("SETUP", head, b"a: b\r\n"),
        flooded("PLAY", "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nSession: 1\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
    );
    for (error, sent) in [floods.0, floods.1, floods.2, floods.3, floods.4] {
        assert_eq!(error, "RTSP message of over 512 KiB");
        // Mostly in the kernel's buffers.
        assert!(sent < 32 << 20, "{sent}");
    }
}

#[tokio::test]
async fn whoever_wants_it_no_longer_closes_the_connection() {
    let mut server = serve(|request| request.play(SDP, "", &packets())).await;
    let (outlet, mut items) = Outlet::new();
    let address = source(server.port);
    let task = tokio::spawn(async move { fetch(&address, &local(), &outlet).await.map(|_| ()) });
    for method in ["DESCRIBE", "SETUP", "SETUP", "PLAY"] {
        assert!(server.requests.recv().await.unwrap().starts_with(method));
    }
    assert!(items.recv().await.is_some());
    task.abort();
    assert_eq!(timeout(SOON, server.requests.recv()).await.unwrap(), None, "closed, without TEARDOWN");
}
