//! What a worker may no longer ask of the kernel once GStreamer runs: a seccomp filter over all its threads.
//!
//! Decoders read strangers' bytes, so a worker has to be worth little to whoever takes it over: no network, no other program, no
//! other process, no mounts, no privileges, none of the kernel's doors that exploits knock at first. Banned calls answer `EPERM`
//! instead of killing, because libraries probe and go on; `clone3` answers `ENOSYS`, because its flags are behind a pointer that a filter
//! cannot follow, and libc then takes `clone`, whose flags can be checked. What is not banned is allowed: GStreamer maps plugins
//! whenever an input needs another element, so files, memory and threads stay, and a list of all that GStreamer, libav, x264 and libc of
//! every distribution call would break streams with each update. Files are landlock's affair, which is not used yet.
//!
//! Format of the program: `Documentation/userspace-api/seccomp_filter.rst` of the Linux kernel. [`trial`] proves each ban.

pub mod trial;

use std::io;

use libc::{c_int, c_long, c_uint};

/// Calls of the other width (`int 0x80`) have other numbers, so the filter knows its architecture. From `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
/// See above.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// From this number on the x86-64 table repeats itself for the x32 ABI; no kernel has as many calls.
const X32: u32 = 0x4000_0000;

/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const LANDLOCK_VERSION: c_uint = 1;

/// The flags of `clone` that make a namespace.
const NAMESPACES: c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

macro_rules! calls {
    ($($call:ident),* $(,)?) => { &[$((stringify!($call), libc::$call)),*] };
}

/// Banned whatever the arguments.
const ALWAYS: &[(&str, c_long)] = calls![
    // Network. The media socket is there already, and stays.
    SYS_socket,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    // Other programs.
    SYS_execve,
    SYS_execveat,
    // Other processes: the server runs under the same user.
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_process_mrelease,
    SYS_kcmp,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    // Namespaces, mounts and what leads round them.
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_chroot,
    SYS_pivot_root,
    SYS_open_by_handle_at,
    SYS_mknodat,
    // Users and capabilities.
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_setgroups,
    SYS_capset,
    // Parts of the kernel that no codec needs and many exploits do. Work given to io_uring passes no filter.
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_userfaultfd,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    // The machine, should a worker run as root.
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
];

/// The same, for what only x86-64 has.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[(&str, c_long)] = calls![SYS_fork, SYS_vfork, SYS_mknod, SYS_iopl, SYS_ioperm];
/// See above.
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[(&str, c_long)] = &[];

/// Which arguments of a call are banned. Only the lower half of an argument is looked at: all that are named here are 32 bits wide.
#[derive(Clone, Copy, Debug)]
enum When {
    /// All.
    Always,
    /// Argument number `.0`, masked by `.1`, is `.2`.
    Is(u32, u32, u32),
    /// It is anything else.
    IsNot(u32, u32, u32),
}

/// A banned call and its answer. A call has one ban at most.
#[derive(Clone, Copy, Debug)]
struct Ban {
    name: &'static str,
    call: c_long,
    when: When,
    answer: c_int,
}

impl Ban {
    const fn new(name: &'static str, call: c_long, when: When) -> Self {
        Self { name, call, when, answer: libc::EPERM }
    }
}

/// Every ban, for a process with this number.
fn bans(pid: u32) -> Vec<Ban> {
    const ALL: u32 = u32::MAX;
    // Threads only, in the namespaces of the process.
    let threads = When::IsNot(0, (libc::CLONE_THREAD | NAMESPACES) as u32, libc::CLONE_THREAD as u32);
    let own = When::IsNot(0, ALL, pid);
    let special = [
        Ban::new("SYS_clone", libc::SYS_clone, threads),
        Ban { answer: libc::ENOSYS, ..Ban::new("SYS_clone3", libc::SYS_clone3, When::Always) },
        // GStreamer's buses wake their readers through stream pairs. A datagram pair could send to any socket that has a name.
        Ban::new("SYS_socketpair", libc::SYS_socketpair, When::IsNot(1, 0xf, libc::SOCK_STREAM as u32)),
        Ban::new("SYS_kill", libc::SYS_kill, own),
        Ban::new("SYS_tgkill", libc::SYS_tgkill, own),
        Ban::new("SYS_prlimit64", libc::SYS_prlimit64, When::IsNot(0, ALL, 0)),
        // It dies with its parent.
        Ban::new("SYS_prctl", libc::SYS_prctl, When::Is(0, ALL, libc::PR_SET_PDEATHSIG as u32)),
        // Typing into the terminal that the server was started from.
        Ban::new("SYS_ioctl", libc::SYS_ioctl, When::Is(1, ALL, libc::TIOCSTI as u32)),
    ];
    let always = ALWAYS.iter().chain(ALWAYS_HERE).map(|(name, call)| Ban::new(name, *call, When::Always));
    always.chain(special).collect()
}

/// The filter: the architecture, then one block per ban that ends in its answer or falls through to the next.
fn program(bans: &[Ban]) -> Vec<libc::sock_filter> {
    let one = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |offset: usize| one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32);
    let answer = |action: u32| one(libc::BPF_RET | libc::BPF_K, action);
    let deny = |errno: c_int| answer(libc::SECCOMP_RET_ERRNO | errno as u32);
    // Goes on behind the next `jt` instructions when the comparison holds, behind the next `jf` when not.
    let jump =
        |test: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { jt, jf, ..one(libc::BPF_JMP | test | libc::BPF_K, k) };
    // Both architectures are little-endian: the lower half comes first.
    let argument = |index: u32| load(std::mem::offset_of!(libc::seccomp_data, args) + 8 * index as usize);

    let mut program = vec![
        load(std::mem::offset_of!(libc::seccomp_data, arch)),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(std::mem::offset_of!(libc::seccomp_data, nr)),
        jump(libc::BPF_JGE, X32, 0, 1),
        deny(libc::EPERM),
    ];
    for ban in bans {
        let number = ban.call as u32;
        let (index, mask, value, banned_when_equal) = match ban.when {
            When::Always => {
                program.extend([jump(libc::BPF_JEQ, number, 0, 1), deny(ban.answer)]);
                continue;
            }
            When::Is(index, mask, value) => (index, mask, value, true),
            When::IsNot(index, mask, value) => (index, mask, value, false),
        };
        let (equal, other) = if banned_when_equal { (0, 1) } else { (1, 0) };
        program.extend([
            jump(libc::BPF_JEQ, number, 0, 5),
            argument(index),
            one(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask),
            jump(libc::BPF_JEQ, value, equal, other),
            deny(ban.answer),
            answer(libc::SECCOMP_RET_ALLOW),
        ]);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

/// Bans for all threads of this process, those to come included, for ever. Fails when the kernel knows no seccomp filters.
pub fn install() -> io::Result<()> {
    // SAFETY: integer arguments only. Without privileges a filter needs this first.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut program = program(&bans(std::process::id()));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which outlives the call, and `len` is its length.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const filter,
        )
    };
    match done {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}

/// What this kernel can confine a worker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Programs that a worker starts get no privileges that it has not.
    pub no_new_privs: bool,
    /// Filters of system calls that answer with an error; without them no worker starts.
    pub seccomp: bool,
    /// Version of landlock's interface, when the kernel has it and it is switched on.
    pub landlock: Option<u32>,
}

/// Asks the kernel.
pub fn support() -> Support {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: questions that change nothing; `action` outlives its call.
    unsafe {
        let landlock =
            libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, LANDLOCK_VERSION);
        Support {
            no_new_privs: libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0,
            seccomp: libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0_u32, &raw const action) == 0,
            landlock: u32::try_from(landlock).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_banned_twice() {
        let mut calls: Vec<c_long> = bans(7).iter().map(|ban| ban.call).collect();
        calls.sort_unstable();
        assert!(calls.windows(2).all(|pair| pair[0] != pair[1]), "the second block would never be reached: {calls:?}");
    }
}
