//! Calling a listener. What comes of it is a connection like one that a listener has accepted.
//!
//! All callers of the process share one poller, which a thread of its own turns. Both are there as long as there is a caller, or a connection
//! that one became; then the thread lets go of libsrt, because that waits for libsrt's end, which a task must not. libsrt itself has
//! three threads for each connection that was called for.

use std::ffi::{CStr, c_int};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;

use super::address::to_c;
use super::c;
use super::connection::Connection;
use super::library::check;
use super::poller::Poller;
use super::socket::{Options, Socket, millis};

/// From a call to the listener's answer; it is asked four times a second.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long the thread waits before it looks whether it is still needed.
const TURN: Duration = Duration::from_millis(100);

/// A listener, and what it is told. Holds secrets.
pub struct Call {
    /// Where it listens.
    pub address: SocketAddr,
    /// How the connection is treated.
    pub options: Options,
    /// At most 512 bytes.
    pub stream_id: Option<SecretString>,
    /// 10 to 79 bytes. With one, a listener without it or with another rejects the call; without one, so does a listener that has one.
    pub passphrase: Option<SecretString>,
    /// Bytes of the key: 16, 24 or 32. The listener's wish, or else 16, without it.
    pub key_length: Option<u8>,
}

/// Why a call leads to no connection.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The listener says no, or its answer makes no sense.
    #[error("rejected: {0}")]
    Rejected(String),
    /// Nobody answers.
    #[error("no answer within {ANSWER_WITHIN:?}")]
    Unanswered,
    /// There is no socket to call by.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// Calls. Something may have come with the answer already: receive before waiting. Dropping the future hangs up.
pub async fn call(call: Call) -> Result<Connection, CallError> {
    let peer = call.address;
    // Opening a socket starts threads, and libsrt itself if need be, even waits for its end if that is just under way.
    let socket = spawn_blocking(move || dial(&call)).await.map_err(io::Error::other)??;
    loop {
        socket.woken().await;
        match socket.state() {
            c::CONNECTED => return Ok(Connection::new(socket, peer)),
            c::CONNECTING => {}
            _ => return Err(rejection(&socket)),
        }
    }
}

/// A socket that is connecting.
fn dial(call: &Call) -> io::Result<Socket> {
    let socket = Socket::new(shared_poller()?)?;
    socket.configure(call.options)?;
    socket.set(c::CONNTIMEO, &millis(ANSWER_WITHIN))?;
    if let Some(stream_id) = &call.stream_id {
        socket.set_text(c::STREAMID, stream_id.expose_secret())?;
    }
    if let Some(passphrase) = &call.passphrase {
        socket.set_text(c::PASSPHRASE, passphrase.expose_secret())?;
    }
    if let Some(bytes) = call.key_length {
        socket.set(c::PBKEYLEN, &c_int::from(bytes))?;
    }
    // Connected is told as writable. By edge, so that it is told once: nothing is ever written.
    socket.watch(c::EPOLL_IN | c::EPOLL_OUT | c::EPOLL_ERR | c::EPOLL_EDGE)?;
    let (address, length) = to_c(call.address);
    // SAFETY: `address` is one, of `length` bytes.
    check(unsafe { c::srt_connect(socket.id(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// Why a socket did not become connected.
fn rejection(socket: &Socket) -> CallError {
    // SAFETY: plain numbers.
    let code = unsafe { c::srt_getrejectreason(socket.id()) };
    if code == c::REJECT_TIMEOUT { CallError::Unanswered } else { CallError::Rejected(words(code)) }
}

/// What a reject code says. From 1000 on they are those of libsrt's `access_control.h`, from 2000 on the listener's own.
fn words(code: c_int) -> String {
    let words = match code {
        1400 => "bad request",
        1401 => "not authorized",
        1402 => "overloaded, or called too often",
        1403 => "forbidden",
        1404 => "not found",
        1405 => "mode not supported",
        1406 => "request cannot be satisfied",
        1409 => "already in use",
        1415 => "media type not supported",
        1423 => "locked",
        1500 => "internal error of the server",
        1501 => "not implemented",
        1502 => "the server's own source rejected it",
        1503 => "out of service",
        1505 => "version of SRT not supported",
        1000.. => "for a reason of the server's own",
        _ => {
            // SAFETY: takes any number, and returns a constant text.
            let text = unsafe { CStr::from_ptr(c::srt_rejectreason_str(code)) };
            return format!("{} ({code})", text.to_string_lossy().to_lowercase());
        }
    };
    format!("{words} ({code})")
}

/// The poller of all callers, while there are any.
static SHARED: Mutex<Option<Arc<Poller>>> = Mutex::new(None);

fn shared() -> MutexGuard<'static, Option<Arc<Poller>>> {
    // Nothing panics under the lock.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The poller that is there, or a new one with its thread.
fn shared_poller() -> io::Result<Arc<Poller>> {
    let mut shared = shared();
    if let Some(poller) = &*shared {
        return Ok(Arc::clone(poller));
    }
    let poller = Arc::new(Poller::new()?);
    let turned = Arc::clone(&poller);
    std::thread::Builder::new().name("srt-callers".to_owned()).spawn(move || turn(turned))?;
    *shared = Some(Arc::clone(&poller));
    Ok(poller)
}

/// Turns the shared poller until nobody needs it.
fn turn(poller: Arc<Poller>) {
    loop {
        let turned = poller.turn(TURN);
        let mut shared = shared();
        // Held by `SHARED` and here; others get it from there alone.
        let needed = Arc::strong_count(&poller) > 2;
        if let Err(error) = &turned {
            tracing::error!(%error, "thread of SRT callers ends; whoever comes next starts another");
        }
        if !needed || turned.is_err() {
            *shared = None;
            break;
        }
    }
    // libsrt's threads may have a socket in their hands for a moment after it is closed, and its end frees them all.
    let _ = poller.turn(TURN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_codes_are_told_in_words() {
        assert_eq!(words(10), "incorrect passphrase (10)");
        assert_eq!(words(1404), "not found (1404)");
        assert_eq!(words(2042), "for a reason of the server's own (2042)");
    }
}
