//! A connected peer, and what comes from it.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use super::library::last_error;
use super::socket::Socket;
use super::{MAX_PAYLOAD, c};

/// One message of the sender, a datagram's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes of the buffer that it filled.
    pub length: usize,
    /// Its number; 31 bits, wraps.
    pub sequence: u32,
}

/// Counters of a connection since its begin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Smoothed round trip, milliseconds.
    pub rtt_ms: f64,
    /// Data packets, those that were sent again included.
    pub received: u64,
    /// Found missing when a later one came; most of them come after all.
    pub lost: u64,
    /// Came again.
    pub retransmitted: u64,
    /// Given up: too late to be delivered.
    pub dropped: u64,
    /// Could not be decrypted.
    pub undecrypted: u64,
}

/// The connection is over: the peer has closed it, or has not been heard for too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// A connected peer. Dropping it tells the peer good-bye and closes it at once.
pub struct Connection {
    socket: Socket,
    peer: SocketAddr,
}

impl Connection {
    /// A socket that is connected, and watched by edge.
    pub(super) fn new(socket: Socket, peer: SocketAddr) -> Self {
        Self { socket, peer }
    }

    /// Where the peer is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The stream id it came with; see [`Caller::stream_id`](super::Caller::stream_id).
    pub fn stream_id(&self) -> Vec<u8> {
        // One byte more than a stream id has, because libsrt ends it with a zero.
        let mut text = vec![0u8; 513];
        let mut length = text.len() as c_int;
        // SAFETY: `text` has room for `length` bytes.
        let found = unsafe { c::srt_getsockflag(self.socket.id(), c::STREAMID, text.as_mut_ptr().cast(), &mut length) };
        text.truncate(if found == c::ERROR { 0 } else { length.max(0) as usize });
        text
    }

    /// The latency both sides agreed on: the longer wish.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.socket.get(c::RCVLATENCY).unwrap_or(0).max(0) as u64)
    }

    /// The peer's version of SRT.
    pub fn peer_version(&self) -> (u32, u32, u32) {
        let version = self.socket.get(c::PEERVERSION).unwrap_or(0);
        ((version >> 16 & 0xff) as u32, (version >> 8 & 0xff) as u32, (version & 0xff) as u32)
    }

    /// Waits until there may be something to receive. Cancel safe. Whoever is woken receives until there is nothing more.
    pub async fn readable(&self) {
        self.socket.woken().await;
    }

    /// The next datagram whose time has come; `None` for now.
    pub fn receive(&self, buffer: &mut [u8; MAX_PAYLOAD]) -> Result<Option<Datagram>, Broken> {
        let mut control = c::MessageControl {
            flags: 0,
            ttl: -1,
            in_order: 0,
            boundary: 0,
            source_time: 0,
            packet_sequence: -1,
            message_number: -1,
            group: std::ptr::null_mut(),
            group_size: 0,
        };
        // SAFETY: `buffer` has room for as many bytes as it is told; without a group, nothing is written there.
        let length = unsafe {
            c::srt_recvmsg2(self.socket.id(), buffer.as_mut_ptr().cast(), MAX_PAYLOAD as c_int, &mut control)
        };
        if length == c::ERROR {
            return match last_error() {
                (c::NOTHING_TO_READ, _) => Ok(None),
                (_, error) => Err(Broken(error.to_string())),
            };
        }
        Ok(Some(Datagram { length: length as usize, sequence: control.packet_sequence as u32 }))
    }

    /// Counters so far; `None` once it is broken.
    pub fn statistics(&self) -> Option<Statistics> {
        let mut statistics = MaybeUninit::<c::Statistics>::zeroed();
        // SAFETY: libsrt writes its struct, which is no longer than ours.
        let done = unsafe { c::srt_bistats(self.socket.id(), statistics.as_mut_ptr(), 0, 1) };
        if done == c::ERROR {
            return None;
        }
        // SAFETY: numbers alone, so that zeros are one and what libsrt wrote is.
        let found = unsafe { statistics.assume_init() };
        let count = |number: c_int| u64::try_from(number).unwrap_or(0);
        Some(Statistics {
            rtt_ms: found.ms_rtt,
            received: u64::try_from(found.pkt_recv_total).unwrap_or(0),
            lost: count(found.pkt_rcv_loss_total),
            retransmitted: count(found.pkt_rcv_retrans),
            dropped: count(found.pkt_rcv_drop_total),
            undecrypted: count(found.pkt_rcv_undecrypt_total),
        })
    }
}
