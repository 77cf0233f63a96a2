//! libsrt as a whole: its begin, its end, its version, its errors.

use std::ffi::{CStr, c_int};
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use super::c;

/// How many hold libsrt, and who waits until nobody does.
static HOLDERS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Longest wait of a process that exits.
const EXIT_WITHIN: Duration = Duration::from_secs(3);

/// libsrt runs as long as there is one of these; the last one ends its threads.
pub(super) struct Library(());

impl Library {
    pub fn start() -> io::Result<Self> {
        let mut holders = holders();
        // SAFETY: no arguments, and nobody else starts or ends it under the lock.
        check(unsafe { c::srt_startup() })?;
        *holders += 1;
        EXIT.call_once(|| {
            // SAFETY: the function unwinds into nothing and takes no argument. What is registered last is called first, so before libsrt's own end.
            unsafe { libc::atexit(at_exit) };
        });
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

/// Registers [`at_exit`].
static EXIT: Once = Once::new();

/// Whoever exits, however, waits for libsrt: the server does so itself and says when it was in vain, all others need not know.
extern "C" fn at_exit() {
    wait_ended(EXIT_WITHIN);
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

pub(super) fn check(result: c_int) -> io::Result<c_int> {
    if result == c::ERROR { Err(last_error().1) } else { Ok(result) }
}

/// libsrt's code and words for what went wrong last on this thread.
pub(super) fn last_error() -> (c_int, io::Error) {
    // SAFETY: a null pointer asks for no more than the code; the text is this thread's until its next call.
    let (code, text) =
        unsafe { (c::srt_getlasterror(std::ptr::null_mut()), CStr::from_ptr(c::srt_getlasterror_str())) };
    (code, io::Error::other(text.to_string_lossy().trim_end_matches('.').to_owned()))
}
