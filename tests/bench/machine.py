"""The machine: a network of its own, what processes cost, and how much the CPU was wanted by others."""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
TICK = 1 / os.sysconf("SC_CLK_TCK")


def private_network():
    """Moves this process, and what it starts from now on, into a network of its own where only loopback is up. False
    where the kernel or the user's rights do not allow it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
    return True


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(roots):
    """Process ids of these processes and all that descend from them."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
            except OSError:
                pass  # it ended meanwhile
    found, ahead = [], list(roots)
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, [])
    return found


def cpu_seconds(roots):
    """User and system time of these trees, with that of children that have ended."""
    total = 0
    for pid in tree(roots):
        try:
            total += sum(int(field) for field in stat_fields(pid)[11:15])
        except OSError:
            pass
    return total * TICK


def memory_mb(roots):
    """Proportional set size of these trees, MiB: pages that processes share are counted once."""
    total = 0
    for pid in tree(roots):
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def stalled_seconds():
    """Time so far in which some task waited for a CPU (PSI, some)."""
    return int(pathlib.Path("/proc/pressure/cpu").read_text().splitlines()[0].rpartition("total=")[2]) / 1e6


def cpu_model():
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else 'unknown CPU'}"


def memory_gib():
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
