//! The control process's messages, each with the time at which it came off the socket.
//!
//! A thread of its own reads them, because the worker may be busy: it starts encoders when the first units are there, and what arrives
//! meanwhile is not late. A full queue is not read into, so back pressure reaches the feeds.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::BytesMut;
use weir_media::protocol::{ToWorker, decode};

use super::stage::Clock;
use super::{LOOK, WorkerError};

/// Messages in the queue: a second of two demanding inputs.
const DEPTH: usize = 300;
/// Bytes of them: a longer message waits alone.
const BYTES: usize = 8 << 20;

/// The incoming messages.
pub struct Messages {
    queue: Arc<Queue>,
    socket: UnixStream,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Arrival, length on the socket, message.
    messages: VecDeque<(i64, usize, ToWorker)>,
    bytes: usize,
    /// Why no more come.
    end: Option<WorkerError>,
    /// Nobody wants any more.
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message once there is room; `false` when nobody wants it.
    fn push(&self, arrived: i64, length: usize, message: ToWorker) -> bool {
        let full = |state: &mut State| !state.closed && (state.messages.len() >= DEPTH || state.bytes > BYTES);
        let mut state = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        state.bytes += length;
        state.messages.push_back((arrived, length, message));
        self.changed.notify_all();
        !state.closed
    }
}

impl Messages {
    /// Reads from `socket` from now on.
    pub fn start(socket: UnixStream, clock: Clock) -> Result<Self, WorkerError> {
        let queue = Arc::<Queue>::default();
        let (from, into) = (socket.try_clone()?, Arc::clone(&queue));
        let read = move || {
            let end = read(from, clock, &into);
            into.lock().end = end.err();
            into.changed.notify_all();
        };
        let reader = std::thread::Builder::new().name("inbox".into()).spawn(read)?;
        Ok(Self { queue, socket, reader: Some(reader) })
    }

    /// The next message and when it arrived, wall clock; `None` when none came for a while.
    pub fn next(&mut self) -> Result<Option<(i64, ToWorker)>, WorkerError> {
        let none = |state: &mut State| state.messages.is_empty() && state.end.is_none();
        let waited = self.queue.changed.wait_timeout_while(self.queue.lock(), LOOK, none);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let Some((arrived, length, message)) = state.messages.pop_front() else {
            return state.end.take().map_or(Ok(None), Err);
        };
        state.bytes -= length;
        self.queue.changed.notify_all();
        Ok(Some((arrived, message)))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        // It fails when the other end is gone, and then the thread has noticed.
        let _ = self.socket.shutdown(Shutdown::Read);
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            tracing::error!("the inbox thread panicked");
        }
    }
}

/// Reads until nobody wants any more, which is no error, or no more can come.
fn read(mut socket: UnixStream, clock: Clock, queue: &Queue) -> Result<(), WorkerError> {
    let (mut buffer, mut chunk) = (BytesMut::new(), vec![0; 64 << 10]);
    loop {
        let before = buffer.len();
        if let Some(message) = decode(&mut buffer)? {
            if !queue.push(clock.now(), before - buffer.len(), message) {
                return Ok(());
            }
            continue;
        }
        match socket.read(&mut chunk) {
            Ok(0) => return Err(WorkerError::Orphaned),
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::{Duration, Instant};

    use weir_media::id::SessionId;
    use weir_media::protocol::encode;

    use super::*;

    fn message(n: u64) -> Vec<u8> {
        let mut wire = vec![];
        encode(&ToWorker::Close { session: SessionId(n) }, &mut wire).unwrap();
        wire
    }

    fn next(messages: &mut Messages) -> (i64, ToWorker) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(next) = messages.next().unwrap() {
                return next;
            }
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn what_comes_while_the_worker_is_busy_has_the_time_at_which_it_came() {
        let (mut control, worker) = UnixStream::pair().unwrap();
        let clock = Clock::start();
        let mut messages = Messages::start(worker, clock).unwrap();
        control.write_all(&message(1)).unwrap();
        // The queue is looked at, not taken from.
        let deadline = Instant::now() + Duration::from_secs(20);
        while messages.queue.lock().messages.is_empty() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        let seen = clock.now();
        control.write_all(&message(2)).unwrap();
        let (first, _) = next(&mut messages);
        let (second, last) = next(&mut messages);
        assert!(first <= seen && first <= second && second <= clock.now());
        assert_eq!(last, ToWorker::Close { session: SessionId(2) });
        drop(control);
        let end = (0..400).find_map(|_| messages.next().err());
        assert!(matches!(end, Some(WorkerError::Orphaned)), "{end:?}");
    }

    #[test]
    fn a_full_queue_holds_the_writer_and_loses_nothing() {
        let (mut control, worker) = UnixStream::pair().unwrap();
        let mut messages = Messages::start(worker, Clock::start()).unwrap();
        let writer = std::thread::spawn(move || (0..5_000).try_for_each(|n| control.write_all(&message(n))));
        for n in 0..5_000 {
            assert!(messages.queue.lock().messages.len() <= DEPTH);
            assert_eq!(next(&mut messages).1, ToWorker::Close { session: SessionId(n) });
        }
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn whoever_wants_no_more_is_not_held_by_a_full_queue() {
        let (mut control, worker) = UnixStream::pair().unwrap();
        let messages = Messages::start(worker, Clock::start()).unwrap();
        let full: Vec<u8> = (0..2 * DEPTH as u64).flat_map(message).collect();
        control.write_all(&full).unwrap();
        drop(messages);
    }
}
