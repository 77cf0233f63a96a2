//! What the C headers (`srt.h` 1.5.1) declare. Names and layouts are theirs.

use std::ffi::{c_char, c_int, c_void};

/// `SRTSOCKET`.
pub type Socket = c_int;

pub const ERROR: c_int = -1;
pub const RCVSYN: c_int = 2;
pub const FC: c_int = 4;
pub const RCVBUF: c_int = 6;
pub const SNDSYN: c_int = 1;
pub const PASSPHRASE: c_int = 26;
pub const PBKEYLEN: c_int = 27;
pub const TLPKTDROP: c_int = 31;
pub const PEERVERSION: c_int = 35;
pub const CONNTIMEO: c_int = 36;
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
/// `SRTS_CONNECTING`.
pub const CONNECTING: c_int = 4;
/// `SRTS_CONNECTED`.
pub const CONNECTED: c_int = 5;
/// `SRT_REJ_TIMEOUT`.
pub const REJECT_TIMEOUT: c_int = 16;
pub const EPOLL_IN: c_int = 1;
pub const EPOLL_OUT: c_int = 4;
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
    pub fn srt_connect(socket: Socket, address: *const libc::sockaddr, length: c_int) -> c_int;
    pub fn srt_getsockstate(socket: Socket) -> c_int;
    pub fn srt_getrejectreason(socket: Socket) -> c_int;
    pub fn srt_rejectreason_str(reason: c_int) -> *const c_char;
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
