//! Entry point of the media worker process, `weir worker {stream}`: its socket is standard input.
//!
//! `weir worker --registry` only builds the GStreamer plugin registry and exits; `weir worker --sandbox-test` proves the sandbox' bans.

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// What a worker process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A live stream, until the parent says stop or goes away.
    Stream,
    /// Scan GStreamer's plugins.
    Registry,
    /// Try everything that the sandbox bans; one line each on standard output.
    SandboxTest,
}

/// Runs a worker to its end.
pub fn main(task: Task) -> ExitCode {
    let result = match task {
        Task::Stream => {
            // SAFETY: the parent starts a worker with a socket as descriptor 0, and nothing else in this process uses it.
            let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
            weir_pipelines::worker::run(socket)
        }
        Task::Registry => weir_pipelines::worker::scan_plugins(),
        Task::SandboxTest => weir_pipelines::worker::sandbox::trial::run(std::io::stdout().lock()),
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
