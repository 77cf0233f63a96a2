use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use srt_tokio::SrtSocket;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::ingest::TransportStats;
use crate::ingest::srt::libsrt::{Listener, MAX_PAYLOAD, Verdict};
use crate::network::Resolve;
use crate::network::tests::local;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSPHRASE: &str = "correct-horse-battery";

/// A listener like the door's: `plain` comes in without passphrase, `locked` with it, nobody else.
struct Door {
    listener: Arc<Listener>,
    over: Arc<AtomicBool>,
}

impl Door {
    fn open(address: &str) -> Self {
        let options = SrtLimits::default().options;
        let gatekeeper = |caller: crate::ingest::srt::libsrt::Caller<'_>| match caller.stream_id {
            b"plain" => Verdict::Accept(None),
            b"locked" => Verdict::Accept(Some(PASSPHRASE.into())),
            _ => Verdict::Reject(Some(1404)),
        };
        let listener = Listener::bind(address.parse().unwrap(), options, 8, Box::new(gatekeeper)).unwrap();
        let (listener, over) = (Arc::new(listener), Arc::<AtomicBool>::default());
        let (turned, ends) = (Arc::clone(&listener), Arc::clone(&over));
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                turned.turn(Duration::from_millis(100)).unwrap();
            }
        });
        Self { listener, over }
    }

    fn uri(&self, query: &str) -> PullUri {
        PullUri::parse(&format!("srt://{}?{query}", self.listener.address())).unwrap()
    }

    async fn accept(&self) -> Connection {
        timeout(PATIENCE, async {
            loop {
                match self.listener.accept().unwrap() {
                    Some(connection) => return connection,
                    None => self.listener.acceptable().await,
                }
            }
        })
        .await
        .expect("a caller")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// A fetch that runs, and what comes out of it.
struct Fetch {
    task: JoinHandle<PullError>,
    fetched: mpsc::Receiver<Fetched>,
}

impl Fetch {
    fn start(source: PullUri) -> Self {
        let (outlet, fetched) = Outlet::new();
        let task = tokio::spawn(async move { crate::ingest::pull::fetch(&source, &local(), &outlet).await });
        Self { task, fetched }
    }

    async fn next(&mut self) -> Fetched {
        timeout(PATIENCE, self.fetched.recv()).await.expect("in time").expect("before the end")
    }

    async fn statistics(&mut self) -> TransportStats {
        loop {
            if let Fetched::Transport(stats) = self.next().await {
                return stats;
            }
        }
    }

    async fn end(self) -> PullError {
        timeout(PATIENCE, self.task).await.expect("an end in time").unwrap()
    }
}

/// Sends a datagram. With a pause, because srt-tokio keeps no more than 32 of them.
async fn send(socket: &mut SrtSocket, datagram: &[u8]) -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(2)).await;
    socket.send((Instant::now(), Bytes::copy_from_slice(datagram))).await
}

/// srt-tokio as a source, which has nothing of libsrt.
async fn independent(key: Option<(u16, &'static str)>) -> (PullUri, JoinHandle<SrtSocket>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut builder = SrtSocket::builder().local(address).socket(socket);
    let mut query = "mode=caller".to_owned();
    if let Some((bytes, passphrase)) = key {
        builder = builder.encryption(bytes, passphrase);
        query = format!("{query}&passphrase={passphrase}&pbkeylen={bytes}");
    }
    let listening = tokio::spawn(async move { builder.listen().await.unwrap() });
    (PullUri::parse(&format!("srt://{address}?{query}")).unwrap(), listening)
}

#[tokio::test]
async fn a_listener_is_connected_to_with_what_the_address_says() {
    let door = Door::open("127.0.0.1:0");
    let locked = |bytes| format!("streamid=locked&passphrase={PASSPHRASE}&pbkeylen={bytes}&latency=300000");
    for (query, stream_id, latency) in [
        ("streamid=plain".to_owned(), "plain", 120),
        (format!("streamid=locked&passphrase={PASSPHRASE}"), "locked", 120),
        (locked(16), "locked", 300),
        (locked(24), "locked", 300),
        (locked(32), "locked", 300),
    ] {
        let mut fetch = Fetch::start(door.uri(&query));
        let connection = door.accept().await;
        assert_eq!(connection.stream_id(), stream_id.as_bytes());
        let stats = fetch.statistics().await;
        assert_eq!((stats.latency_ms, stats.packets_undecrypted), (Some(latency), Some(0)), "{query}");

        // Whoever stops fetching hangs up.
        fetch.task.abort();
        let mut buffer = [0; MAX_PAYLOAD];
        while connection.receive(&mut buffer).is_ok() {
            timeout(PATIENCE, connection.readable()).await.expect("a good-bye");
        }
    }
}

#[tokio::test]
async fn a_listener_s_no_is_told_in_words_without_secrets() {
    let door = Door::open("127.0.0.1:0");
    for (query, words) in [
        ("streamid=locked&passphrase=wrong-horse-battery", "rejected: incorrect passphrase (10)"),
        ("streamid=locked", "rejected: password required or unexpected (11)"),
        ("streamid=plain&passphrase=wrong-horse-battery", "rejected: password required or unexpected (11)"),
        ("streamid=unknown", "rejected: not found (1404)"),
    ] {
        let error = Fetch::start(door.uri(query)).end().await;
        assert!(matches!(error, PullError::Refused(_)), "{query}: {error:?}");
        assert_eq!(error.to_string(), words, "{query}");
    }
}

#[tokio::test]
async fn the_next_address_is_called_when_one_says_no() {
    struct Both;
    impl Resolve for Both {
        fn resolve(
            &self,
            _: String,
            port: u16,
        ) -> futures_util::future::BoxFuture<'static, std::io::Result<Vec<std::net::SocketAddr>>> {
            Box::pin(async move { Ok(vec![([127, 0, 0, 2], port).into(), ([127, 0, 0, 1], port).into()]) })
        }
    }
    let door = Door::open("127.0.0.1:0");
    let port = door.listener.address().port();
    let options = SrtLimits::default().options;
    let other = Listener::bind(([127, 0, 0, 2], port).into(), options, 8, Box::new(|_| Verdict::Reject(None))).unwrap();
    let network = Network::with_resolver(vec!["127.0.0.0/8".parse().unwrap()], Arc::new(Both)).unwrap();
    let source = PullUri::parse(&format!("srt://two.example:{port}?streamid=plain")).unwrap();
    let (outlet, mut fetched) = Outlet::new();
    let task = tokio::spawn(async move { fetch(&source, &network, &outlet).await });
    assert!(matches!(timeout(PATIENCE, fetched.recv()).await.unwrap(), Some(Fetched::Transport(_))));
    task.abort();
    drop(other);
}

#[tokio::test]
async fn nobody_there_is_a_timeout_within_the_deadline() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source = PullUri::parse(&format!("srt://{}", silent.local_addr().unwrap())).unwrap();
    let began = Instant::now();
    let error = Fetch::start(source).end().await;
    assert!(matches!(error, PullError::Timeout(within) if within <= CONNECT_WITHIN), "{error:?}");
    assert!(began.elapsed() < CONNECT_WITHIN, "{:?}", began.elapsed());
    silent.try_recv(&mut [0; 64]).expect("it was called");
}

#[tokio::test]
async fn an_address_that_is_not_permitted_is_not_called() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source = PullUri::parse(&format!("srt://{}", silent.local_addr().unwrap())).unwrap();
    let error = fetch(&source, &Network::new(vec![]).unwrap(), &Outlet::new().0).await.unwrap_err();
    assert!(matches!(error, PullError::Network(NetworkError::Forbidden { .. })), "{error:?}");
    assert!(silent.try_recv(&mut [0; 64]).is_err());
}

#[tokio::test]
async fn a_listener_that_closes_has_ended_and_one_that_was_silent_is_lost() {
    let door = Door::open("127.0.0.1:0");
    for silent in [false, true] {
        let mut fetch = Fetch::start(door.uri("streamid=plain"));
        let connection = door.accept().await;
        fetch.statistics().await;
        if silent {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(4)).await;
            tokio::time::resume();
        }
        drop(connection);
        let error = fetch.end().await;
        match silent {
            false => assert!(matches!(error, PullError::Ended), "{error:?}"),
            true => assert!(matches!(&error, PullError::Lost(why) if why.contains("s without data")), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn media_of_an_independent_source_is_heard_until_it_closes() {
    for key in [None, Some((32, PASSPHRASE))] {
        let (source, listening) = independent(key).await;
        let mut fetch = Fetch::start(source);
        let mut socket = timeout(PATIENCE, listening).await.unwrap().unwrap();
        // Packets that only fill, as a transport stream has them.
        let packets = [&[0x47, 0x1f, 0xff, 0x10][..], &[0; 184]].concat().repeat(7);
        for _ in 0..100 {
            send(&mut socket, &packets).await.unwrap();
        }
        let (mut heard, mut received) = (0, None);
        let all = async {
            while heard < 100 * packets.len() || received < Some(100) {
                match fetch.next().await {
                    Fetched::Heard(bytes) => heard += bytes,
                    Fetched::Transport(stats) => received = stats.packets_received,
                    Fetched::Item(item) => panic!("{item:?}"),
                }
            }
        };
        timeout(PATIENCE, all).await.expect("all that was sent");
        assert_eq!(heard, 100 * packets.len());
        socket.close_and_finish().await.unwrap();
        let error = fetch.end().await;
        assert!(matches!(error, PullError::Ended), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_transport_stream_is_not_taken() {
    let (source, listening) = independent(None).await;
    let fetch = Fetch::start(source);
    let mut socket = timeout(PATIENCE, listening).await.unwrap().unwrap();
    let sender = tokio::spawn(async move {
        // More than is looked at in search of a packet; the receiver may hang up before the last of it.
        for _ in 0..2_000 {
            if send(&mut socket, &[0; 1316]).await.is_err() {
                break;
            }
        }
    });
    let mut fetched = fetch.fetched;
    let drained = tokio::spawn(async move { while fetched.recv().await.is_some() {} });
    let error = timeout(PATIENCE, fetch.task).await.expect("an end in time").unwrap();
    assert!(matches!(&error, PullError::Unacceptable(why) if why.contains("no MPEG transport stream")), "{error:?}");
    drained.await.unwrap();
    sender.abort();
}
