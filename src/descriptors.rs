//! How many files and sockets the process may have open at once.
//!
//! Services are started with a soft limit of 1024 as a rule, which is meant for programs that use `select`, not for this one.

use std::io;

/// What a service gets that nobody gave a limit.
const USUAL: u64 = 1024;

/// Raises the process's own soft limit to the hard one, where the kernel lets it; returns the limit that holds.
pub fn raise() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: USUAL, rlim_max: USUAL };
    // SAFETY: `getrlimit` writes one struct that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        tracing::warn!(error = %io::Error::last_os_error(), "the limit of open files cannot be read");
        return limit.rlim_cur;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: `setrlimit` reads one struct that outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } != 0 {
        tracing::warn!(error = %io::Error::last_os_error(), limit = limit.rlim_cur, "the limit of open files cannot be raised");
        return limit.rlim_cur;
    }
    raised.rlim_cur
}

/// How many strangers a door may hold when `wanted` are configured and `limit` descriptors are allowed: at most half of them, so that
/// a flood leaves enough for publishers, viewers, workers and the database.
pub fn strangers(wanted: usize, limit: u64) -> usize {
    let most = usize::try_from(limit / 2).unwrap_or(usize::MAX);
    if wanted > most {
        tracing::warn!(
            limit,
            "limits.preauth_total is {wanted}, but the limit of open files (RLIMIT_NOFILE) allows {most} only"
        );
    }
    wanted.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise();
        assert_eq!(raise(), limit);
        let shown = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = shown.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let limits: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert_eq!(limits, [limit, limit]);
    }

    #[test]
    fn strangers_leave_half_of_the_descriptors() {
        assert_eq!(strangers(4096, 1 << 20), 4096);
        assert_eq!(strangers(4096, 1024), 512);
    }
}
