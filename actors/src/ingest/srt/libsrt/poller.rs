//! libsrt's epoll: which sockets have something, and who waits for them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::c;
use super::library::{Library, check};

/// Sockets that one [`Poller::turn`] hears of.
const EVENTS: usize = 64;

/// The wakers of some sockets. libsrt runs as long as there is one.
pub(super) struct Poller {
    epoll: c_int,
    wakers: Mutex<HashMap<c::Socket, Arc<Notify>>>,
    _library: Library,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        let library = Library::start()?;
        // SAFETY: no arguments.
        let epoll = check(unsafe { c::srt_epoll_create() })?;
        let poller = Self { epoll, wakers: Mutex::default(), _library: library };
        // SAFETY: plain numbers.
        check(unsafe { c::srt_epoll_set(epoll, c::EPOLL_ENABLE_EMPTY) })?;
        Ok(poller)
    }

    /// Waits at most `timeout` for anything to happen on the sockets that are watched, and wakes whoever has to look.
    pub fn turn(&self, timeout: Duration) -> io::Result<()> {
        let mut events = [c::EpollEvent { socket: 0, events: 0 }; EVENTS];
        let (room, millis) = (EVENTS as c_int, timeout.as_millis() as i64);
        // SAFETY: there is room for as many events as it is told.
        let count = check(unsafe { c::srt_epoll_uwait(self.epoll, events.as_mut_ptr(), room, millis) })?;
        let wakers = self.wakers();
        for event in events.iter().take(count as usize) {
            // One without was closed a moment ago.
            if let Some(waker) = wakers.get(&event.socket) {
                waker.notify_one();
            }
        }
        Ok(())
    }

    /// What is notified when something happens on a socket.
    pub fn waker(&self, socket: c::Socket) -> Arc<Notify> {
        Arc::clone(self.wakers().entry(socket).or_default())
    }

    /// Has `turn` tell of these events.
    pub fn watch(&self, socket: c::Socket, events: c_int) -> io::Result<()> {
        // SAFETY: reads one number.
        check(unsafe { c::srt_epoll_add_usock(self.epoll, socket, &events) }).map(drop)
    }

    /// Forgets the waker of a socket. libsrt forgets by itself to watch what is closed.
    pub fn forget(&self, socket: c::Socket) {
        self.wakers().remove(&socket);
    }

    fn wakers(&self) -> MutexGuard<'_, HashMap<c::Socket, Arc<Notify>>> {
        // Nothing panics under the lock.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // SAFETY: this poller's own; libsrt is ended after it.
        unsafe { c::srt_epoll_release(self.epoll) };
    }
}
