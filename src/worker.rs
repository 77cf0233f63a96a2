//! Entry point of the media worker process, `weir worker {stream}`: its socket is standard input.
//!
//! `weir worker --registry` only builds the GStreamer plugin registry and exits.

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Runs a worker until its parent says stop or goes away. `registry` only scans the plugins.
pub fn main(registry: bool) -> ExitCode {
    let result = if registry {
        weir_pipelines::worker::scan_plugins()
    } else {
        // SAFETY: the parent starts a worker with a socket as descriptor 0, and nothing else in this process uses it.
        let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
        weir_pipelines::worker::run(socket)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the log of the parent, which keeps the last line as the reason of the exit.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
