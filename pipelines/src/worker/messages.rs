//! The control process's messages, as they come off the socket.

use std::io::Read;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use weir_media::protocol::{ToWorker, decode};

use super::{LOOK, WorkerError};

/// The incoming messages.
pub struct Messages {
    socket: UnixStream,
    buffer: BytesMut,
    chunk: Vec<u8>,
}

impl Messages {
    /// Reads from `socket`, whose reads from now on time out.
    pub fn new(socket: UnixStream) -> Result<Self, WorkerError> {
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Self { socket, buffer: BytesMut::new(), chunk: vec![0; 64 << 10] })
    }

    /// The next message; `None` when none came for a while.
    pub fn next(&mut self) -> Result<Option<ToWorker>, WorkerError> {
        loop {
            if let Some(message) = decode(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match self.socket.read(&mut self.chunk) {
                Ok(0) => return Err(WorkerError::Orphaned),
                Ok(length) => self.buffer.extend_from_slice(&self.chunk[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
