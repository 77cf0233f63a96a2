//! A bound port: who may come in, and who has come.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::IntoRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::address::from_c;
use super::c;
use super::connection::Connection;
use super::library::{check, last_error};
use super::poller::Poller;
use super::socket::{Options, Socket, set_text};

/// Who asks to be let in, on libsrt's receiving thread.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Its stream id, at most 512 bytes. Holds a token: not to be logged.
    pub stream_id: &'a [u8],
}

/// What a caller gets to hear.
pub enum Verdict {
    /// Let in, if it brings this passphrase; one without passphrase has to come without.
    Accept(Option<SecretString>),
    /// Refused with this code, `SRT_REJX_…` of libsrt's `access_control.h`, 1000 to 1999; without one the caller hears no reason.
    Reject(Option<i32>),
}

/// Decides on callers. Called on the thread that receives all the port's datagrams: it must not wait for anything.
pub type Gatekeeper = Box<dyn Fn(Caller<'_>) -> Verdict + Send + Sync>;

/// A caller whose verdict panicked is told `SRT_REJX_ISE`, internal error.
const REJECT_INTERNAL: c_int = 1500;

/// A bound port, and the wakers of its connections.
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
}

impl Listener {
    /// Binds a port and answers callers from now on. So many connections, which inherit the options, may wait to be accepted.
    pub fn bind(address: SocketAddr, options: Options, backlog: u32, gatekeeper: Gatekeeper) -> io::Result<Self> {
        // Bound by the system's own call, so that a busy port is told as for any socket, and is never shared.
        let udp = UdpSocket::bind(address)?;
        let address = udp.local_addr()?;
        let socket = Socket::new(Arc::new(Poller::new()?))?;
        socket.configure(options)?;
        // SAFETY: `udp` is an open socket that nobody else uses; libsrt owns and closes it from here on, also when it fails.
        check(unsafe { c::srt_bind_acquire(socket.id(), udp.into_raw_fd()) })?;
        // Never freed: libsrt does not tell when its thread has called it for the last time, and a process has one listener.
        let gatekeeper: &'static Gatekeeper = Box::leak(Box::new(gatekeeper));
        // SAFETY: the closure is there for ever, and is only called through a shared reference.
        check(unsafe { c::srt_listen_callback(socket.id(), on_caller, (&raw const *gatekeeper).cast_mut().cast()) })?;
        // SAFETY: plain numbers.
        check(unsafe { c::srt_listen(socket.id(), backlog as c_int) })?;
        // By level, not by edge, which could be lost between two accepts.
        socket.watch(c::EPOLL_IN | c::EPOLL_ERR)?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits at most `timeout` for anything to happen on the port, and wakes whoever has to look.
    pub fn turn(&self, timeout: Duration) -> io::Result<()> {
        self.socket.poller().turn(timeout)
    }

    /// Waits until a connection may have come. Cancel safe.
    pub async fn acceptable(&self) {
        self.socket.woken().await;
    }

    /// Takes the next connection, if one has come. An error costs that connection alone.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut length = size_of_val(&address) as c_int;
        // SAFETY: `address` has room for `length` bytes.
        let id = unsafe { c::srt_accept(self.socket.id(), address.as_mut_ptr().cast(), &mut length) };
        if id == c::ERROR {
            return match last_error() {
                (c::NOTHING_TO_READ, _) => Ok(None),
                (_, error) => Err(error),
            };
        }
        let socket = Socket::own(id, Arc::clone(self.socket.poller()));
        // SAFETY: libsrt wrote an address of its family's size into it.
        let peer = unsafe { from_c(address.as_ptr().cast()) };
        // By edge: whoever reads reads until there is nothing more.
        socket.watch(c::EPOLL_IN | c::EPOLL_ERR | c::EPOLL_EDGE)?;
        Ok(Some(Connection::new(socket, peer)))
    }
}

/// libsrt's receiving thread asks what to do with a caller.
///
/// # Safety
/// `opaque` is the listener's gatekeeper, `peer` an address of its family's size, `stream_id` ends with a zero.
unsafe extern "C" fn on_caller(
    opaque: *mut c_void,
    socket: c::Socket,
    _version: c_int,
    peer: *const libc::sockaddr,
    stream_id: *const c_char,
) -> c_int {
    // SAFETY: promised by the caller of `srt_listen_callback`.
    let gatekeeper = unsafe { &*opaque.cast::<Gatekeeper>() };
    // No unwinding through C. A panic's words are in the log by the panic hook.
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: libsrt hands over its own buffers.
        let (peer, stream_id) = unsafe { (from_c(peer), CStr::from_ptr(stream_id)) };
        gatekeeper(Caller { peer, stream_id: stream_id.to_bytes() })
    }));
    let reason = match verdict {
        Ok(Verdict::Accept(passphrase)) => {
            // An empty one is set explicitly: a stream without passphrase is for callers without.
            let passphrase = passphrase.as_ref().map_or("", |passphrase| passphrase.expose_secret());
            if set_text(socket, c::PASSPHRASE, passphrase).is_ok() {
                return 0;
            }
            Some(REJECT_INTERNAL)
        }
        Ok(Verdict::Reject(reason)) => reason,
        Err(_) => Some(REJECT_INTERNAL),
    };
    if let Some(reason) = reason {
        // SAFETY: plain numbers.
        unsafe { c::srt_setrejectreason(socket, reason) };
    }
    c::ERROR
}
