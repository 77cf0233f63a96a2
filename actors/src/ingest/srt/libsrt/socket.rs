//! One socket of libsrt, owned, and how those of live streams are set up.

use std::ffi::c_int;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::library::check;
use super::poller::Poller;
use super::{MAX_PAYLOAD, c};

/// How a connection is treated; a listener's connections inherit it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Least time from sending to delivery, in which lost packets are asked for again; the peer may ask for more.
    pub latency: Duration,
    /// Most bytes that wait in one connection to be delivered.
    pub receive_buffer: usize,
    /// A connection ends when nothing, not even a sign of life, came for so long.
    pub peer_idle: Duration,
    /// Packets that may overtake one before it is taken for lost.
    pub reorder_tolerance: u32,
}

/// A socket and the poller that wakes who waits for it. Dropping it closes it at once.
pub(super) struct Socket {
    id: c::Socket,
    waker: Arc<Notify>,
    poller: Arc<Poller>,
}

impl Socket {
    /// A socket that neither listens nor is connected.
    pub fn new(poller: Arc<Poller>) -> io::Result<Self> {
        // SAFETY: no arguments; a poller keeps libsrt alive.
        let id = check(unsafe { c::srt_create_socket() })?;
        Ok(Self::own(id, poller))
    }

    /// A socket that is there already, and nobody else's.
    pub fn own(id: c::Socket, poller: Arc<Poller>) -> Self {
        Self { id, waker: poller.waker(id), poller }
    }

    /// Its name, for calls into libsrt.
    pub fn id(&self) -> c::Socket {
        self.id
    }

    pub fn poller(&self) -> &Arc<Poller> {
        &self.poller
    }

    /// Has the poller tell of these events.
    pub fn watch(&self, events: c_int) -> io::Result<()> {
        self.poller.watch(self.id, events)
    }

    /// Waits until what is watched may have happened. Cancel safe.
    pub async fn woken(&self) {
        self.waker.notified().await;
    }

    /// Sets it up for live streams that nobody blocks.
    pub fn configure(&self, options: Options) -> io::Result<()> {
        let Options { latency, receive_buffer, peer_idle, reorder_tolerance } = options;
        // The type comes first: it sets defaults of the others.
        self.set(c::TRANSTYPE, &c::LIVE)?;
        for (option, value) in
            [(c::RCVSYN, 0), (c::SNDSYN, 0), (c::TLPKTDROP, 1), (c::MESSAGEAPI, 1), (c::ENFORCEDENCRYPTION, 1)]
        {
            self.set(option, &(value != 0))?;
        }
        let packets = receive_buffer / MAX_PAYLOAD;
        for (option, value) in [
            (c::RCVLATENCY, millis(latency)),
            // The flow window bounds the buffer, so it has to be set first.
            (c::FC, packets as c_int),
            (c::RCVBUF, receive_buffer as c_int),
            (c::PEERIDLETIMEO, millis(peer_idle)),
            (c::LOSSMAXTTL, reorder_tolerance as c_int),
            // 1.3.0, the first with stream ids.
            (c::MINVERSION, 0x0001_0300),
        ] {
            self.set(option, &value)?;
        }
        Ok(())
    }

    /// Where it stands, `SRTS_…`.
    pub fn state(&self) -> c_int {
        // SAFETY: plain numbers.
        unsafe { c::srt_getsockstate(self.id) }
    }

    pub fn set_text(&self, option: c_int, text: &str) -> io::Result<()> {
        set_text(self.id, option, text)
    }

    pub fn set<T: Copy>(&self, option: c_int, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as c_int;
        // SAFETY: reads as many bytes as `value` has.
        check(unsafe { c::srt_setsockflag(self.id, option, (&raw const *value).cast(), length) }).map(drop)
    }

    pub fn get(&self, option: c_int) -> Option<c_int> {
        let (mut value, mut length): (c_int, c_int) = (0, size_of::<c_int>() as c_int);
        // SAFETY: `value` has room for `length` bytes.
        let found = unsafe { c::srt_getsockflag(self.id, option, (&raw mut value).cast(), &mut length) };
        (found != c::ERROR).then_some(value)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.poller.forget(self.id);
        // SAFETY: this socket is nobody else's. An error means that libsrt has done away with it, because it broke long ago.
        unsafe { c::srt_close(self.id) };
    }
}

pub(super) fn set_text(socket: c::Socket, option: c_int, text: &str) -> io::Result<()> {
    let length = text.len() as c_int;
    // SAFETY: reads `length` bytes.
    check(unsafe { c::srt_setsockflag(socket, option, text.as_ptr().cast(), length) }).map(drop)
}

pub(super) fn millis(duration: Duration) -> c_int {
    duration.as_millis() as c_int
}
