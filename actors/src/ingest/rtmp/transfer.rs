//! A connection's bytes off and onto its socket, for both who publishes and who is pulled from.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Least free space for one read of media, bytes.
const READ_LEAST: usize = 64 << 10;

/// A read block, bytes. Frames are slices of such blocks.
const READ: usize = 256 << 10;

/// Reads media to the end of the buffer; 0 at the end. Cancel safe.
pub async fn read_media<S: AsyncRead + Unpin>(socket: &mut S, buffer: &mut BytesMut) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ_LEAST {
        buffer.reserve(READ);
    }
    match socket.read_buf(buffer).await {
        // TLS that ends without `close_notify`, as encoders do. Whether a stream was cut off, RTMP's own good-bye tells.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

/// Sends all in one write; nothing for nothing.
pub async fn send<S: AsyncWrite + Unpin>(socket: &mut S, bytes: &[u8], within: Duration) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let write = async {
        socket.write_all(bytes).await?;
        socket.flush().await
    };
    timeout(within, write).await?
}
