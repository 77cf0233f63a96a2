//! As much of system libsrt (1.5, gnutls flavour) as a listener of live streams needs, made safe. All `unsafe` of the door is in this file.
//!
//! libsrt has threads of its own: one receives every datagram of the port and calls the [`Gatekeeper`] for each caller, one per connection
//! decides when a packet is played out. Whoever calls [`Listener::turn`] in a loop learns which sockets have something and wakes those who
//! wait for them; nothing else here waits for anything. What a reader does not fetch in time is dropped by libsrt, of that connection alone.
//!
//! libsrt's own log is off: its lines may hold stream ids, and those hold tokens.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::IntoRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;

type Socket = c_int;

/// What the C headers (`srt.h` 1.5.1) declare. Names and layouts are theirs.
mod c {
    use super::{Socket, c_char, c_int, c_void};

    pub const ERROR: c_int = -1;
    pub const RCVSYN: c_int = 2;
    pub const FC: c_int = 4;
    pub const RCVBUF: c_int = 6;
    pub const SNDSYN: c_int = 1;
    pub const PASSPHRASE: c_int = 26;
    pub const TLPKTDROP: c_int = 31;
    pub const PEERVERSION: c_int = 35;
    pub const LOSSMAXTTL: c_int = 42;
    pub const RCVLATENCY: c_int = 43;
    pub const MINVERSION: c_int = 45;
    pub const STREAMID: c_int = 46;
    pub const MESSAGEAPI: c_int = 48;
    pub const TRANSTYPE: c_int = 50;
    pub const ENFORCEDENCRYPTION: c_int = 53;
    pub const PEERIDLETIMEO: c_int = 55;

    /// `SRTT_LIVE`.
    pub const LIVE: c_int = 0;
    /// `SRT_EASYNCRCV`: nothing to read now.
    pub const NOTHING_TO_READ: c_int = 6002;
    pub const EPOLL_IN: c_int = 1;
    pub const EPOLL_ERR: c_int = 8;
    pub const EPOLL_EDGE: c_int = 1 << 31;
    /// `SRT_EPOLL_ENABLE_EMPTY`: waiting for no socket is no error.
    pub const EPOLL_ENABLE_EMPTY: i32 = 1;
    /// `LOG_CRIT`, what libsrt calls fatal.
    pub const LOG_FATAL: c_int = 2;

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct EpollEvent {
        pub socket: Socket,
        pub events: c_int,
    }

    /// `SRT_MSGCTRL`.
    #[repr(C)]
    pub struct MessageControl {
        pub flags: c_int,
        pub ttl: c_int,
        pub in_order: c_int,
        pub boundary: c_int,
        pub source_time: i64,
        pub packet_sequence: i32,
        pub message_number: i32,
        pub group: *mut c_void,
        pub group_size: usize,
    }

    /// `SRT_TRACEBSTATS`, in the order of the header.
    #[repr(C)]
    pub struct Statistics {
        pub ms_time_stamp: i64,
        pub pkt_sent_total: i64,
        pub pkt_recv_total: i64,
        pub pkt_snd_loss_total: c_int,
        pub pkt_rcv_loss_total: c_int,
        /// `pktRetransTotal` to `pktRecvNAKTotal`.
        pub acknowledgements: [c_int; 5],
        pub us_snd_duration_total: i64,
        pub pkt_snd_drop_total: c_int,
        pub pkt_rcv_drop_total: c_int,
        pub pkt_rcv_undecrypt_total: c_int,
        /// `byteSentTotal` to `byteRcvUndecryptTotal`.
        pub bytes_total: [u64; 7],
        pub pkt_sent: i64,
        pub pkt_recv: i64,
        pub pkt_snd_loss: c_int,
        pub pkt_rcv_loss: c_int,
        pub pkt_retrans: c_int,
        /// Since the statistics were last cleared, which they never are here: in all.
        pub pkt_rcv_retrans: c_int,
        /// `pktSentACK` to `pktRecvNAK`.
        pub acknowledgements_now: [c_int; 4],
        pub mbps_send_rate: f64,
        pub mbps_recv_rate: f64,
        pub us_snd_duration: i64,
        pub pkt_reorder_distance: c_int,
        pub pkt_rcv_avg_belated_time: f64,
        pub pkt_rcv_belated: i64,
        pub pkt_snd_drop: c_int,
        pub pkt_rcv_drop: c_int,
        pub pkt_rcv_undecrypt: c_int,
        /// `byteSent` to `byteRcvUndecrypt`.
        pub bytes_now: [u64; 7],
        pub us_pkt_snd_period: f64,
        pub pkt_flow_window: c_int,
        pub pkt_congestion_window: c_int,
        pub pkt_flight_size: c_int,
        pub ms_rtt: f64,
        /// The rest, and room for what later versions add behind it.
        pub rest: [u64; 64],
    }

    // As the compiler lays out the header's structs.
    const _: () = {
        assert!(std::mem::offset_of!(MessageControl, packet_sequence) == 24 && size_of::<MessageControl>() == 48);
        assert!(std::mem::offset_of!(Statistics, pkt_recv_total) == 16);
        assert!(std::mem::offset_of!(Statistics, pkt_rcv_loss_total) == 28);
        assert!(std::mem::offset_of!(Statistics, pkt_rcv_drop_total) == 68);
        assert!(std::mem::offset_of!(Statistics, pkt_rcv_undecrypt_total) == 72);
        assert!(std::mem::offset_of!(Statistics, pkt_rcv_retrans) == 164);
        assert!(std::mem::offset_of!(Statistics, ms_rtt) == 328);
        assert!(size_of::<Statistics>() > 496);
    };

    pub type ListenCallback =
        unsafe extern "C" fn(*mut c_void, Socket, c_int, *const libc::sockaddr, *const c_char) -> c_int;

    #[link(name = "srt-gnutls")]
    unsafe extern "C" {
        pub fn srt_startup() -> c_int;
        pub fn srt_cleanup() -> c_int;
        pub fn srt_getversion() -> u32;
        pub fn srt_setloglevel(level: c_int);
        pub fn srt_getlasterror(system: *mut c_int) -> c_int;
        pub fn srt_getlasterror_str() -> *const c_char;
        pub fn srt_create_socket() -> Socket;
        pub fn srt_close(socket: Socket) -> c_int;
        pub fn srt_bind_acquire(socket: Socket, udp: c_int) -> c_int;
        pub fn srt_listen(socket: Socket, backlog: c_int) -> c_int;
        pub fn srt_listen_callback(socket: Socket, callback: ListenCallback, opaque: *mut c_void) -> c_int;
        pub fn srt_accept(socket: Socket, address: *mut libc::sockaddr, length: *mut c_int) -> Socket;
        pub fn srt_setrejectreason(socket: Socket, reason: c_int) -> c_int;
        pub fn srt_setsockflag(socket: Socket, option: c_int, value: *const c_void, length: c_int) -> c_int;
        pub fn srt_getsockflag(socket: Socket, option: c_int, value: *mut c_void, length: *mut c_int) -> c_int;
        pub fn srt_recvmsg2(socket: Socket, buffer: *mut c_char, length: c_int, control: *mut MessageControl) -> c_int;
        pub fn srt_bistats(socket: Socket, statistics: *mut Statistics, clear: c_int, instantaneous: c_int) -> c_int;
        pub fn srt_epoll_create() -> c_int;
        pub fn srt_epoll_set(epoll: c_int, flags: i32) -> i32;
        pub fn srt_epoll_add_usock(epoll: c_int, socket: Socket, events: *const c_int) -> c_int;
        pub fn srt_epoll_uwait(epoll: c_int, events: *mut EpollEvent, room: c_int, timeout_ms: i64) -> c_int;
        pub fn srt_epoll_release(epoll: c_int) -> c_int;
    }
}

/// Most bytes of a datagram's payload: what a frame of 1500 bytes has room for.
pub const MAX_PAYLOAD: usize = 1456;

/// Sockets that one [`Listener::turn`] hears of.
const EVENTS: usize = 64;

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

/// How a listener treats its connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Least time from sending to delivery, in which lost packets are asked for again; the caller may ask for more.
    pub latency: Duration,
    /// Most bytes that wait in one connection to be delivered.
    pub receive_buffer: usize,
    /// A connection ends when nothing, not even a sign of life, came for so long.
    pub peer_idle: Duration,
    /// Packets that may overtake one before it is taken for lost.
    pub reorder_tolerance: u32,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

/// How many hold libsrt, and who waits until nobody does.
static HOLDERS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// libsrt runs as long as there is one of these; the last one ends its threads.
struct Library(());

impl Library {
    fn start() -> io::Result<Self> {
        let mut holders = holders();
        // SAFETY: no arguments, and nobody else starts or ends it under the lock.
        check(unsafe { c::srt_startup() })?;
        *holders += 1;
        // SAFETY: sets a number under libsrt's lock.
        unsafe { c::srt_setloglevel(c::LOG_FATAL) };
        Ok(Self(()))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let mut holders = holders();
        // SAFETY: the counterpart of a successful start; those who use sockets keep a `Library` alive.
        unsafe { c::srt_cleanup() };
        *holders -= 1;
        HOLDERS.1.notify_all();
    }
}

fn holders() -> MutexGuard<'static, usize> {
    // Nothing panics under the lock.
    HOLDERS.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits at most so long until libsrt has ended with its last listener and connection; whether it has. Blocks.
///
/// A process must not exit before: libsrt then ends itself a second time, from the C library's exit, and what both free is freed twice.
pub fn wait_ended(within: Duration) -> bool {
    let waited = HOLDERS.1.wait_timeout_while(holders(), within, |holders| *holders > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
}

/// The version of libsrt that is linked at run time.
pub fn version() -> (u32, u32, u32) {
    // SAFETY: returns a constant.
    let version = unsafe { c::srt_getversion() };
    (version >> 16 & 0xff, version >> 8 & 0xff, version & 0xff)
}

/// A bound port, and the wakers of its connections.
pub struct Listener {
    socket: Socket,
    epoll: c_int,
    address: SocketAddr,
    acceptable: Arc<Notify>,
    connections: Mutex<HashMap<Socket, Arc<Notify>>>,
    _library: Library,
}

impl Listener {
    /// Binds a port and answers callers from now on.
    pub fn bind(address: SocketAddr, options: Options, gatekeeper: Gatekeeper) -> io::Result<Self> {
        // Bound by the system's own call, so that a busy port is told as for any socket, and is never shared.
        let udp = UdpSocket::bind(address)?;
        let address = udp.local_addr()?;
        let library = Library::start()?;
        // SAFETY: no arguments.
        let socket = check(unsafe { c::srt_create_socket() })?;
        // SAFETY: no arguments.
        let epoll = check(unsafe { c::srt_epoll_create() })?;
        let listener = Self {
            socket,
            epoll,
            address,
            acceptable: Arc::default(),
            connections: Mutex::default(),
            _library: library,
        };
        listener.configure(options)?;
        // SAFETY: `udp` is an open socket that nobody else uses; libsrt owns and closes it from here on, also when it fails.
        check(unsafe { c::srt_bind_acquire(socket, udp.into_raw_fd()) })?;
        // Never freed: libsrt does not tell when its thread has called it for the last time, and a process has one listener.
        let gatekeeper: &'static Gatekeeper = Box::leak(Box::new(gatekeeper));
        // SAFETY: the closure is there for ever, and is only called through a shared reference.
        check(unsafe { c::srt_listen_callback(socket, on_caller, (&raw const *gatekeeper).cast_mut().cast()) })?;
        // SAFETY: plain numbers.
        check(unsafe { c::srt_listen(socket, options.backlog as c_int) })?;
        // SAFETY: plain numbers.
        check(unsafe { c::srt_epoll_set(epoll, c::EPOLL_ENABLE_EMPTY) })?;
        listener.watch(socket)?;
        Ok(listener)
    }

    fn configure(&self, options: Options) -> io::Result<()> {
        let Options { latency, receive_buffer, peer_idle, reorder_tolerance, .. } = options;
        let millis = |duration: Duration| duration.as_millis() as c_int;
        // The type comes first: it sets defaults of the others. All are inherited by connections.
        set(self.socket, c::TRANSTYPE, &c::LIVE)?;
        for (option, value) in
            [(c::RCVSYN, 0), (c::SNDSYN, 0), (c::TLPKTDROP, 1), (c::MESSAGEAPI, 1), (c::ENFORCEDENCRYPTION, 1)]
        {
            set(self.socket, option, &(value != 0))?;
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
            set(self.socket, option, &value)?;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits at most `timeout` for anything to happen on the port, and wakes whoever has to look.
    pub fn turn(&self, timeout: Duration) -> io::Result<()> {
        let mut events = [c::EpollEvent { socket: 0, events: 0 }; EVENTS];
        let (room, millis) = (EVENTS as c_int, timeout.as_millis() as i64);
        // SAFETY: there is room for as many events as it is told.
        let count = check(unsafe { c::srt_epoll_uwait(self.epoll, events.as_mut_ptr(), room, millis) })?;
        let connections = self.connections();
        for event in events.iter().take(count as usize) {
            match connections.get(&event.socket) {
                Some(ready) => ready.notify_one(),
                None if event.socket == self.socket => self.acceptable.notify_one(),
                // Closed a moment ago.
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until a connection may have come. Cancel safe.
    pub async fn acceptable(&self) {
        self.acceptable.notified().await;
    }

    /// Takes the next connection, if one has come. An error costs that connection alone.
    pub fn accept(self: &Arc<Self>) -> io::Result<Option<Connection>> {
        let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut length = size_of_val(&address) as c_int;
        // SAFETY: `address` has room for `length` bytes.
        let socket = unsafe { c::srt_accept(self.socket, address.as_mut_ptr().cast(), &mut length) };
        if socket == c::ERROR {
            return match last_error() {
                (c::NOTHING_TO_READ, _) => Ok(None),
                (_, error) => Err(error),
            };
        }
        // SAFETY: libsrt wrote an address of its family's size into it.
        let peer = unsafe { socket_address(address.as_ptr().cast()) };
        let ready = Arc::<Notify>::default();
        self.connections().insert(socket, Arc::clone(&ready));
        let connection = Connection { socket, peer, ready, listener: Arc::clone(self) };
        self.watch(socket)?;
        Ok(Some(connection))
    }

    /// Has `turn` tell when a socket turns readable or breaks.
    fn watch(&self, socket: Socket) -> io::Result<()> {
        // A listener's edge could be lost between two accepts; a connection's reader reads until there is nothing more.
        let edge = if socket == self.socket { 0 } else { c::EPOLL_EDGE };
        let events = c::EPOLL_IN | c::EPOLL_ERR | edge;
        // SAFETY: reads one number.
        check(unsafe { c::srt_epoll_add_usock(self.epoll, socket, &events) }).map(drop)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Socket, Arc<Notify>>> {
        // Nothing panics under the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: both are this listener's own; libsrt is ended after them. An error means that they are closed already.
        unsafe {
            c::srt_close(self.socket);
            c::srt_epoll_release(self.epoll);
        }
    }
}

/// A caller that was let in. Dropping it tells the peer good-bye and closes it at once.
pub struct Connection {
    socket: Socket,
    peer: SocketAddr,
    ready: Arc<Notify>,
    listener: Arc<Listener>,
}

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

impl Connection {
    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The stream id it came with; see [`Caller::stream_id`].
    pub fn stream_id(&self) -> Vec<u8> {
        // One byte more than a stream id has, because libsrt ends it with a zero.
        let mut text = vec![0u8; 513];
        let mut length = text.len() as c_int;
        // SAFETY: `text` has room for `length` bytes.
        let found = unsafe { c::srt_getsockflag(self.socket, c::STREAMID, text.as_mut_ptr().cast(), &mut length) };
        text.truncate(if found == c::ERROR { 0 } else { length.max(0) as usize });
        text
    }

    /// The latency both sides agreed on: the longer wish.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(get(self.socket, c::RCVLATENCY).unwrap_or(0).max(0) as u64)
    }

    /// The peer's version of SRT.
    pub fn peer_version(&self) -> (u32, u32, u32) {
        let version = get(self.socket, c::PEERVERSION).unwrap_or(0);
        ((version >> 16 & 0xff) as u32, (version >> 8 & 0xff) as u32, (version & 0xff) as u32)
    }

    /// Waits until there may be something to receive. Cancel safe. Whoever is woken receives until there is nothing more.
    pub async fn readable(&self) {
        self.ready.notified().await;
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
        let length =
            unsafe { c::srt_recvmsg2(self.socket, buffer.as_mut_ptr().cast(), MAX_PAYLOAD as c_int, &mut control) };
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
        let done = unsafe { c::srt_bistats(self.socket, statistics.as_mut_ptr(), 0, 1) };
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

impl Drop for Connection {
    fn drop(&mut self) {
        self.listener.connections().remove(&self.socket);
        // SAFETY: this connection's own socket. An error means that libsrt has done away with it, because it broke long ago.
        unsafe { c::srt_close(self.socket) };
    }
}

/// libsrt's receiving thread asks what to do with a caller.
///
/// # Safety
/// `opaque` is the listener's gatekeeper, `peer` an address of its family's size, `stream_id` ends with a zero.
unsafe extern "C" fn on_caller(
    opaque: *mut c_void,
    socket: Socket,
    _version: c_int,
    peer: *const libc::sockaddr,
    stream_id: *const c_char,
) -> c_int {
    // SAFETY: promised by the caller of `srt_listen_callback`.
    let gatekeeper = unsafe { &*opaque.cast::<Gatekeeper>() };
    // No unwinding through C. A panic's words are in the log by the panic hook.
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: libsrt hands over its own buffers.
        let (peer, stream_id) = unsafe { (socket_address(peer), CStr::from_ptr(stream_id)) };
        gatekeeper(Caller { peer, stream_id: stream_id.to_bytes() })
    }));
    let reason = match verdict {
        Ok(Verdict::Accept(passphrase)) => {
            // An empty one is set explicitly: a stream without passphrase is for callers without.
            let passphrase = passphrase.as_ref().map_or("", |passphrase| passphrase.expose_secret());
            let length = passphrase.len() as c_int;
            // SAFETY: reads `length` bytes.
            if unsafe { c::srt_setsockflag(socket, c::PASSPHRASE, passphrase.as_ptr().cast(), length) } != c::ERROR {
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

/// # Safety
/// `address` points to an address of its family's size.
unsafe fn socket_address(address: *const libc::sockaddr) -> SocketAddr {
    // SAFETY: every address begins with its family, and what follows is as the family says. They may lie anywhere.
    unsafe {
        if c_int::from((*address).sa_family) == libc::AF_INET6 {
            let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
            // A socket for both families shows IPv4 in IPv6's clothes.
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            (ip, u16::from_be(v6.sin6_port)).into()
        } else {
            let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
            (Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into()
        }
    }
}

fn set<T: Copy>(socket: Socket, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: reads as many bytes as `value` has.
    check(unsafe { c::srt_setsockflag(socket, option, (&raw const *value).cast(), size_of::<T>() as c_int) }).map(drop)
}

fn get(socket: Socket, option: c_int) -> Option<c_int> {
    let (mut value, mut length): (c_int, c_int) = (0, size_of::<c_int>() as c_int);
    // SAFETY: `value` has room for `length` bytes.
    let found = unsafe { c::srt_getsockflag(socket, option, (&raw mut value).cast(), &mut length) };
    (found != c::ERROR).then_some(value)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result == c::ERROR { Err(last_error().1) } else { Ok(result) }
}

/// libsrt's code and words for what went wrong last on this thread.
fn last_error() -> (c_int, io::Error) {
    // SAFETY: a null pointer asks for no more than the code; the text is this thread's until its next call.
    let (code, text) =
        unsafe { (c::srt_getlasterror(std::ptr::null_mut()), CStr::from_ptr(c::srt_getlasterror_str())) };
    (code, io::Error::other(text.to_string_lossy().trim_end_matches('.').to_owned()))
}
