//! Messages to the control process: a bounded queue and the one thread that writes it to the socket.
//!
//! A full queue holds whoever has media to send, so back pressure reaches the encoders and ends at the mixer's clock;
//! reports never wait. When the socket breaks the queue closes and every sender hears of it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_media::protocol::{FromWorker, encode};

/// Messages in the queue: some 15 s of parts.
const DEPTH: usize = 128;
/// A control process that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sender; cloning shares the queue.
#[derive(Clone)]
pub struct Outbox(SyncSender<FromWorker>);

impl Outbox {
    /// Starts the writing thread, which ends when all senders are gone and everything is written.
    pub fn start(socket: UnixStream) -> std::io::Result<(Self, JoinHandle<()>)> {
        socket.set_write_timeout(Some(PATIENCE))?;
        let (sender, receiver) = sync_channel(DEPTH);
        let writer = std::thread::Builder::new().name("outbox".into()).spawn(move || write(socket, &receiver))?;
        Ok((Self(sender), writer))
    }

    /// Sends, waiting for room; `false` when the control process is gone.
    pub fn send(&self, message: FromWorker) -> bool {
        self.0.send(message).is_ok()
    }

    /// Sends unless the queue is full; `false` when the control process is gone.
    pub fn offer(&self, message: FromWorker) -> bool {
        !matches!(self.0.try_send(message), Err(TrySendError::Disconnected(_)))
    }
}

fn write(mut socket: UnixStream, receiver: &Receiver<FromWorker>) {
    let mut wire = Vec::new();
    while let Ok(message) = receiver.recv() {
        wire.clear();
        if let Err(error) = encode(&message, &mut wire) {
            tracing::error!(%error, "message left out");
            continue;
        }
        if socket.write_all(&wire).is_err() {
            return;
        }
    }
}
