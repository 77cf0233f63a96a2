"""A disk that can be made slow or full: a small tmpfs of our own under the server's data, and a shim between the server and it."""

import mmap
import os
import pathlib
import struct
import subprocess

SIZE_MB = 16
FIELDS = ("sync_ms", "write_ms", "refuse", "delayed", "refused")  # as in disk.c
WRITES_PER_SYNC = 40  # a slow disk is slow at syncing; a write goes to the page cache and waits this many times less


class Disk:
    """Mounted at `mount`, which needs a mount namespace of our own (`unshare --mount`)."""

    def __init__(self, mount, scratch):
        self.mount = pathlib.Path(mount).resolve()
        self.mount.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "chaos", self.mount], check=True)
        self.shim = scratch / "disk.so"
        source = pathlib.Path(__file__).with_name("disk.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.shim, source, "-ldl"], check=True)
        self.page_path = scratch / "disk.control"
        self.page_path.write_bytes(bytes(4096))
        with open(self.page_path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.filler = self.mount / "filler"

    @property
    def environment(self):
        return {"LD_PRELOAD": str(self.shim), "WEIR_CHAOS_CONTROL": str(self.page_path), "WEIR_CHAOS_DIR": str(self.mount)}

    def _set(self, field, value):
        struct.pack_into("=I", self.page, 4 * FIELDS.index(field), value)

    def count(self, field):
        return struct.unpack_from("=I", self.page, 4 * FIELDS.index(field))[0]

    def slow(self, sync_ms):
        self._set("write_ms", max(1, sync_ms // WRITES_PER_SYNC) if sync_ms else 0)
        self._set("sync_ms", sync_ms)

    def refuse(self, refuse):
        """Every write fails, also one over what is there already: so do copy-on-write file systems."""
        self._set("refuse", int(refuse))

    def fill(self):
        """Takes every free block; what is allocated already can still be written over."""
        with open(self.filler, "wb", buffering=0) as file:
            for block in (1 << 20, 4096):
                try:
                    while True:
                        file.write(bytes(block))
                except OSError:
                    continue

    def free(self):
        self.filler.unlink(missing_ok=True)

    def free_bytes(self):
        left = os.statvfs(self.mount)
        return left.f_bavail * left.f_frsize
