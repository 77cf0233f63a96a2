//! A worker's sandbox tried in a real process, `weir worker --sandbox-test`: each banned call is made before and after the filter.
//!
//! The arguments are such that the kernel refuses them by itself without doing anything, with another error than the filter's; where it
//! looks at privileges first, only root sees the difference. `fork` and `vfork` have no arguments, so they are not called before.

use std::io::{self, Write};
use std::sync::mpsc;

use libc::{c_int, c_long};

use super::{Ban, X32};
use crate::worker::{WorkerError, elements};

/// Arguments that no call takes: a wrong descriptor, wrong flags, a wrong address, nobody's number.
const WRONG: [c_long; 6] = [-1; 6];

/// Installs the sandbox as a worker does, tries every ban from a thread that was there before, and what a worker still has to be able to
/// do; one line each goes to `out`. Fails when a banned call is let through or a needed one is not.
pub fn run(mut out: impl Write) -> Result<(), WorkerError> {
    let mut bans = super::bans(std::process::id());
    if cfg!(target_arch = "x86_64") {
        let getpid = X32 as c_long | libc::SYS_getpid;
        bans.push(Ban::new("x32 getpid", getpid, super::When::Always));
    }
    elements::start()?;
    let before: Vec<Option<c_int>> = bans.iter().map(control).collect();
    let (install, installed) = mpsc::channel::<()>();
    let tried = bans.clone();
    let thread = std::thread::spawn(move || {
        installed.recv().ok();
        tried.iter().map(attempt).collect::<Vec<c_int>>()
    });
    super::install().map_err(WorkerError::Sandbox)?;
    install.send(()).ok();
    let after = thread.join().unwrap_or_default();

    let mut faults = 0;
    for ((ban, before), after) in bans.iter().zip(before).zip(after.iter().map(Some).chain(std::iter::repeat(None))) {
        let denied = after == Some(&ban.answer);
        faults += usize::from(!denied);
        let word = if denied { "denied" } else { "OPEN" };
        let name = ban.name.trim_start_matches("SYS_");
        let after = after.map_or("not tried".into(), |errno| outcome(*errno));
        let before = before.map_or("not tried".into(), outcome);
        writeln!(out, "{word:<7} {name:<18} {after}; without the filter: {before}")?;
    }
    for (what, works) in needs() {
        faults += usize::from(!works);
        writeln!(out, "{:<7} {what}", if works { "ok" } else { "FAILS" })?;
    }
    if faults == 0 { Ok(()) } else { Err(WorkerError::Leaks(faults)) }
}

/// What the call answers without the filter, where that can be asked.
fn control(ban: &Ban) -> Option<c_int> {
    #[cfg(target_arch = "x86_64")]
    if matches!(ban.call, libc::SYS_fork | libc::SYS_vfork) {
        return None;
    }
    Some(attempt(ban))
}

/// Makes the call; its error number, 0 when it went through.
fn attempt(ban: &Ban) -> c_int {
    let [a, b, c, d, e, f] = match ban.call {
        // Refused by the kernel without `CLONE_VM`.
        libc::SYS_clone => [c_long::from(libc::CLONE_SIGHAND), 0, 0, 0, 0, 0],
        libc::SYS_socketpair => [c_long::from(libc::AF_UNIX), c_long::from(libc::SOCK_DGRAM), 0, 0, 0, 0],
        libc::SYS_kill => [c_long::from(c_int::MAX), 0, 0, 0, 0, 0],
        libc::SYS_prctl => [c_long::from(libc::PR_SET_PDEATHSIG), -1, 0, 0, 0, 0],
        libc::SYS_ioctl => [-1, libc::TIOCSTI as c_long, 0, 0, 0, 0],
        _ => WRONG,
    };
    // SAFETY: no call takes these arguments, so none reads or writes memory. `fork` and `vfork`, should they go through, leave at once.
    unsafe {
        let result = libc::syscall(ban.call, a, b, c, d, e, f);
        #[cfg(target_arch = "x86_64")]
        if result == 0 && matches!(ban.call, libc::SYS_fork | libc::SYS_vfork) {
            libc::_exit(0);
        }
        if result == -1 { io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
    }
}

fn outcome(errno: c_int) -> String {
    if errno == 0 { "done".into() } else { io::Error::from_raw_os_error(errno).to_string() }
}

/// What a worker does after the filter: threads, plugins that are mapped late, pipelines with their buses.
fn needs() -> Vec<(String, bool)> {
    let mut needs = vec![
        ("a thread starts".into(), std::thread::Builder::new().spawn(|| ()).is_ok_and(|thread| thread.join().is_ok())),
        ("no program starts".into(), std::process::Command::new("/bin/true").status().is_err()),
    ];
    for (element, _) in crate::elements::NEEDED {
        needs.push((format!("element {element}"), gst::ElementFactory::make(element).build().is_ok()));
    }
    let pipeline = elements::Pipeline::new("appsrc ! queue ! appsink");
    needs.push(("a pipeline plays".into(), pipeline.is_ok_and(|pipeline| pipeline.play().is_ok())));
    needs
}
