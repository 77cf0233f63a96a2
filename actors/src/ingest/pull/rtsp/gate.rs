//! Stands between the source and retina, which bounds no message and connects to whatever host it is given.
//!
//! The gate connects to the source, by the address that was checked, and waits on this machine for retina to connect to it: once. Then it
//! carries bytes both ways, to retina no more than [`WINDOW`] without a sign ([`Passage::renew`]) that it made something of them. So a
//! message that does not end costs a few windows of memory, and not what there is. (Who else on this machine is faster than retina
//! gets what the source tells everybody, and the fetch fails.)
//!
//! When the source ends, retina still reads what came before.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use weir_media::pull::PullUri;

use super::{Network, PullError};

/// Most bytes that retina is given without making anything of them: the longest description, and several of the largest packets.
pub(super) const WINDOW: usize = 512 << 10;
/// For retina to make something of a full window that it has.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes carried at a time.
const CHUNK: usize = 16 << 10;

/// A connection to a source, and the way to it.
pub(super) struct Gate {
    source: TcpStream,
    listener: TcpListener,
    address: SocketAddr,
}

/// What the gate and who is behind it tell each other.
#[derive(Default)]
pub(super) struct Passage {
    /// Bytes since the last sign.
    passed: AtomicUsize,
    renewed: Notify,
    /// Why the source's side ended.
    end: OnceLock<String>,
}

impl Passage {
    /// Something was made of what passed.
    pub fn renew(&self) {
        self.passed.store(0, Ordering::Relaxed);
        self.renewed.notify_one();
    }

    /// Why the source's side has ended.
    pub fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }
}

impl Gate {
    /// Connects to a source.
    pub async fn open(network: &Network, source: &PullUri) -> Result<Self, PullError> {
        let source = network.connect(&source.host(), source.port()).await?;
        Self::before(source).await.map_err(|error| PullError::Lost(error.to_string()))
    }

    async fn before(source: TcpStream) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { source, listener, address })
    }

    /// Where retina is to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries bytes. Returns when too many came that nothing was made of, and never when the source ends: that is seen behind the gate.
    pub async fn carry(self, passage: &Passage) -> PullError {
        let Self { mut source, listener, .. } = self;
        let mut client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => return PullError::Lost(error.to_string()),
        };
        drop(listener);
        // Failure only means that it is gone.
        let _ = client.set_nodelay(true);
        let (from_source, mut to_source) = source.split();
        let (mut from_client, to_client) = client.split();
        let requests = async {
            // A side that is gone shows in the answers.
            let _ = tokio::io::copy(&mut from_client, &mut to_source).await;
            pending().await
        };
        tokio::select! {
            error = answers(from_source, to_client, passage) => error,
            error = requests => error,
        }
    }
}

async fn answers(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, passage: &Passage) -> PullError {
    let mut buffer = vec![0; CHUNK];
    let end = loop {
        let room = WINDOW.saturating_sub(passage.passed.load(Ordering::Relaxed));
        if room == 0 {
            if timeout(PATIENCE, passage.renewed.notified()).await.is_err() {
                return PullError::Unacceptable(format!("RTSP message of over {} KiB", WINDOW >> 10));
            }
            continue;
        }
        match from.read(&mut buffer[..room.min(CHUNK)]).await {
            Ok(0) => break "closed by the source".to_owned(),
            Ok(length) => {
                passage.passed.fetch_add(length, Ordering::Relaxed);
                if to.write_all(&buffer[..length]).await.is_err() {
                    // Nobody is behind the gate any more, and says why.
                    return pending().await;
                }
            }
            Err(error) => break error.kind().to_string(),
        }
    };
    let _ = passage.end.set(end);
    let _ = to.shutdown().await;
    pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate before a source that sends so many bytes, and who is behind it.
    async fn open(bytes: usize) -> (Gate, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let gate = Gate::before(source).await.unwrap();
        let client = TcpStream::connect(gate.address()).await.unwrap();
        let (reader, mut writer) = server.into_split();
        let sent = tokio::spawn(async move {
            // What does not pass fails here.
            let _ = writer.write_all(&vec![7; bytes]).await;
            writer
        });
        server = reader.reunite(sent.await.unwrap()).unwrap();
        (gate, client, server)
    }

    #[tokio::test]
    async fn no_more_than_a_window_passes_until_something_is_made_of_it() {
        let (gate, mut client, _server) = open(WINDOW + 1000).await;
        let passage = Passage::default();
        let behind = async {
            let mut window = vec![0; WINDOW];
            client.read_exact(&mut window).await.unwrap();
            assert!(timeout(Duration::from_millis(100), client.read_u8()).await.is_err());
            passage.renew();
            client.read_exact(&mut window[..1000]).await.unwrap();
        };
        tokio::select! {
            error = gate.carry(&passage) => panic!("{error}"),
            () = behind => {}
        }
    }

    #[tokio::test]
    async fn a_message_without_end_is_an_end() {
        let (gate, mut client, _server) = open(WINDOW + 1).await;
        let passage = Passage::default();
        let behind = async {
            client.read_exact(&mut vec![0; WINDOW]).await.unwrap();
            tokio::time::pause();
            pending::<PullError>().await
        };
        let error = tokio::select! {
            error = gate.carry(&passage) => error,
            error = behind => error,
        };
        assert_eq!(error.to_string(), "RTSP message of over 512 KiB");
    }

    #[tokio::test]
    async fn what_came_before_the_end_of_the_source_is_still_read_and_who_comes_second_is_not_heard() {
        let (gate, mut client, server) = open(1000).await;
        drop(server);
        let (address, passage) = (gate.address(), Passage::default());
        let behind = async {
            let mut all = vec![];
            client.read_to_end(&mut all).await.unwrap();
            (all.len(), TcpStream::connect(address).await.is_err())
        };
        let found = tokio::select! {
            error = gate.carry(&passage) => panic!("{error}"),
            found = behind => found,
        };
        assert_eq!(found, (1000, true));
        assert_eq!(passage.end(), Some("closed by the source"));
    }
}
