//! A server of HTTP for tests: on loopback, answers as it is told and remembers what it was asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::feed::FeedItem;
use weir_media::pull::PullUri;

use super::super::{Fetched, Outlet, PullError, fetch};
use crate::network::Network;

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// With the query.
    pub path: String,
    head: String,
}

impl Asked {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What it answers.
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Answer {
    /// A body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: vec![], body: Some(body.into()) }
    }

    /// A status alone.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }

    /// A part of a body.
    pub fn part(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 206, ..Self::ok(body) }
    }

    /// A body whose length is not told before.
    pub fn chunked(body: &[u8]) -> Self {
        let chunks =
            body.chunks(10).map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        Self::ok([chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat())
            .with("transfer-encoding", "chunked")
    }

    /// To another place.
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status(302).with("location", to)
    }

    /// Nothing, the connection stays open.
    pub fn silence() -> Self {
        Self { status: 0, headers: vec![], body: None }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The server. It ends with this value.
pub struct Origin {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Origin {
    /// A server on 127.0.0.1.
    pub async fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, answer).await
    }

    /// A server on another address of loopback.
    pub async fn on(address: Ipv4Addr, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((IpAddr::from(address), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(0)));
        let (answer, log, count) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move { serve(socket, &*answer, &log).await });
            }
        });
        Self { address, asked, connections, task }
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was connected to.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, answer: &impl Fn(&Asked) -> Answer, log: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut held = vec![];
    loop {
        let end = loop {
            match held.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => {
                    let count = socket.read_buf(&mut held).await.ok()?;
                    Some(count).filter(|&count| count > 0)?;
                }
            }
        };
        let head = String::from_utf8(held.drain(..end).collect()).ok()?;
        let asked = Asked { path: head.split(' ').nth(1)?.to_owned(), head };
        log.lock().unwrap().push(asked.clone());
        let Answer { status, headers, body } = answer(&asked);
        let Some(body) = body else { continue };
        let mut text = format!("HTTP/1.1 {status} words\r\n");
        if headers.iter().all(|(name, _)| *name != "transfer-encoding") {
            text += &format!("content-length: {}\r\n", body.len());
        }
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        socket.write_all(&[text.as_bytes(), b"\r\n", &body].concat()).await.ok()?;
    }
}

/// A network that may reach 127.0.0.1 alone.
pub fn local() -> Network {
    Network::new(vec!["127.0.0.1".parse().unwrap()]).unwrap()
}

/// All that comes of a source, and why it ended.
pub async fn all(url: &str, network: &Network) -> (Vec<FeedItem>, PullError) {
    let source = PullUri::parse(url).unwrap();
    let (outlet, mut fetched) = Outlet::new();
    let taking = async {
        let mut items = vec![];
        while let Some(fetched) = fetched.recv().await {
            if let Fetched::Item(item) = fetched {
                items.push(item);
            }
        }
        items
    };
    let fetching = async move {
        let outlet = outlet;
        fetch(&source, network, &outlet).await
    };
    timeout(PATIENCE, async { tokio::join!(taking, fetching) }).await.unwrap()
}

/// Why a source cannot be fetched.
pub async fn error(url: &str, network: &Network) -> PullError {
    let (items, error) = all(url, network).await;
    assert!(items.is_empty(), "{error}");
    error
}

/// The units of a track.
pub fn units(items: &[FeedItem], track: Track) -> Vec<&AccessUnit> {
    let units = items.iter().filter_map(|item| match item {
        FeedItem::Unit(unit) if unit.track == track => Some(unit),
        _ => None,
    });
    units.collect()
}
