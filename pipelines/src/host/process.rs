//! Spawning a worker process: what it inherits (one socket), and what it may use.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use weir_media::id::StreamId;

use super::HostConfig;

/// Address space of a worker: a 4K ladder with its thread stacks needs about a quarter of it.
const ADDRESS_SPACE: u64 = 16 << 30;
/// Open files of a worker: plugins are mapped and closed, so it needs a few dozen.
const OPEN_FILES: u64 = 256;

/// Starts a worker; for the thread of a [`super::forker::Forker`]. Its standard input is the media socket, its standard error comes back as
/// lines.
pub fn spawn(config: &HostConfig, stream: StreamId) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = std::process::Command::new(&config.executable);
    command
        .arg("worker")
        .arg(stream.to_string())
        .env_clear()
        .envs(gst_environment(&config.gst_registry))
        .env("GST_REGISTRY_UPDATE", "no")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    confine(&mut command);
    let mut command = Command::from(command);
    let child = command.kill_on_drop(true).spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// See [`super::build_registry`].
pub fn build_registry(executable: &Path, path: &Path) -> io::Result<()> {
    let mut command = std::process::Command::new(executable);
    command.args(["worker", "--registry"]).env_clear().envs(gst_environment(path)).stdin(Stdio::null());
    confine(&mut command);
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("gstreamer registry: worker {status}"))) }
}

fn gst_environment(registry: &Path) -> Vec<(&'static str, std::ffi::OsString)> {
    // What an operator sets to find plugins or to debug goes on to the worker; nothing else of the environment does.
    const PASSED: [&str; 5] =
        ["GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH", "GST_PLUGIN_SYSTEM_PATH_1_0", "GST_DEBUG", "RUST_BACKTRACE"];
    let mut environment: Vec<_> = PASSED.into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))).collect();
    environment.push(("GST_REGISTRY", registry.into()));
    environment.push(("GST_REGISTRY_FORK", "no".into()));
    environment
}

/// Ties the child's life to the calling thread's and bounds what it can take.
pub fn confine(command: &mut std::process::Command) {
    let parent = std::process::id();
    let limit = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `setrlimit` reads one struct that outlives the call.
        unsafe { libc::setrlimit(resource, &limit) }
    };
    let prepare = move || {
        // SAFETY: plain system calls with integer arguments, all async-signal-safe.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
                || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                // A parent that died before the first call sends no signal any more.
                || libc::getppid() as u32 != parent
        };
        if failed
            || limit(libc::RLIMIT_CORE, 0) != 0
            || limit(libc::RLIMIT_AS, ADDRESS_SPACE) != 0
            || limit(libc::RLIMIT_NOFILE, OPEN_FILES) != 0
        {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` only makes system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}
