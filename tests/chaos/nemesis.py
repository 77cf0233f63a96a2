"""Does to a running system what a schedule says: kills and stops processes, spoils the disk. Notes when each fault began and ended."""

import os
import signal
import subprocess
import threading
import time

from recorder import workers
from server import Encoder, Weir, stop

RETRY = 1.0  # seconds an encoder waits before it connects again
RESTART = 0.5  # seconds before the next try when the server did not even live that long


class Publisher(threading.Thread):
    """An encoder that starts again whenever it ends, as encoders do; it can be kept away."""

    def __init__(self, history, name, path, push_url):
        super().__init__(daemon=True)
        self.history, self.name_, self.path, self.push_url = history, name, path, push_url
        self.ending, self.away = threading.Event(), threading.Event()
        self.process = None

    def run(self):
        while not self.ending.is_set():
            if self.away.is_set():
                self.ending.wait(0.05)
                continue
            encoder = Encoder.copy(self.path, self.push_url, loops=-1)
            self.process = encoder.process
            self.history.write("encoder", s=self.name_, event="start", pid=self.process.pid)
            while self.process.poll() is None and not self.ending.is_set() and not self.away.is_set():
                time.sleep(0.05)
            words = encoder.end()
            self.history.write("encoder", s=self.name_, event="end", code=self.process.returncode, words=words[-200:])
            self.ending.wait(RETRY)

    def finish(self):
        self.ending.set()
        self.join()


class Server(Weir):
    """A server under a loop that starts it again at once, as an init system does. Its data is on a disk of ours."""

    def __init__(self, name, more, history, disk, program):
        self.history, self.make_disk, self.program = history, disk, program
        self.disk = self.loop = None
        self.ending = threading.Event()
        self.before_restart = None  # called while no server runs
        super().__init__(name, more)

    def start(self):
        self.disk = self.make_disk(self.dir / "store", self.dir)
        self.spawn()
        self.loop = threading.Thread(target=self.supervise, daemon=True)
        self.loop.start()

    def spawn(self):
        self.process = subprocess.Popen(
            [self.program, "serve", "--config", self.dir / "config.toml"], env=os.environ | self.disk.environment,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.history.write("server", event="start", pid=self.process.pid)

    def supervise(self):
        while True:
            began = time.monotonic()
            code = self.process.wait()
            self.history.write("server", event="exit", pid=self.process.pid, code=code)
            if self.ending.is_set():
                return
            if time.monotonic() - began < RESTART:
                time.sleep(RESTART)
            if self.before_restart:
                self.before_restart()
            self.spawn()

    def alive(self):
        return self.process.poll() is None

    def __exit__(self, *_):
        self.ending.set()
        stop(self.process, 15)
        self.loop.join()
        self.log.close()


class Nemesis:
    """Carries out faults. `publishers` and `streams` are by the stream's name."""

    def __init__(self, history, weir, publishers, streams):
        self.history, self.weir, self.publishers, self.streams = history, weir, publishers, streams
        self.threads, self.failures = [], []

    def run(self, schedule):
        """Carries out a schedule that begins now; comes back when its last fault has ended."""
        began = time.monotonic()
        for fault in schedule:
            time.sleep(max(0.0, began + fault.at - time.monotonic()))
            thread = threading.Thread(target=self.carry_out, args=(fault,), daemon=True)
            thread.start()
            self.threads.append(thread)
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def carry_out(self, fault):
        fields = {"id": fault.id, "kind": fault.kind, "s": fault.stream}
        self.history.write("fault", phase="begin", seconds=fault.seconds, **fields)
        do = {"disk": self.disk, "encoder_away": self.away}
        try:
            effect = do.get(fault.kind, do.get(fault.kind.split("_")[0], self.signal))(fault)
        except Exception as bug:  # of this thread nobody would hear
            self.failures.append(bug)
            raise
        self.history.write("fault", phase="end", effect=effect, **fields)

    def victim(self, fault):
        if fault.kind.startswith("server"):
            return self.weir.process.pid
        if fault.kind.startswith("encoder"):
            process = self.publishers[fault.stream].process
            return process.pid if process.poll() is None else None
        server, stream = self.weir.process.pid, self.streams[fault.stream]["id"]
        return next((pid for pid, parent, of in workers(self.weir.program) if (parent, of) == (server, stream)), None)

    def signal(self, fault):
        """The process that got the signal, None when there was none."""
        pid = self.victim(fault)
        if pid is None:
            return None
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return None
        how = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}[fault.kind.split("_")[1]]
        try:
            signal.pidfd_send_signal(handle, how)
            if how == signal.SIGSTOP:
                time.sleep(fault.seconds)
                signal.pidfd_send_signal(handle, signal.SIGCONT)
        except ProcessLookupError:
            pass  # replaced meanwhile, as it should be
        finally:
            os.close(handle)
        return pid

    def away(self, fault):
        publisher = self.publishers[fault.stream]
        pid = publisher.process.pid
        publisher.away.set()
        time.sleep(fault.seconds)
        publisher.away.clear()
        return pid

    def disk(self, fault):
        """How many calls were delayed or refused; for the full disk the bytes that were left."""
        disk = self.weir.disk
        if fault.kind == "disk_full":
            disk.fill()
            left = disk.free_bytes()
            time.sleep(fault.seconds)
            disk.free()
            return {"left": left}
        field = "delayed" if fault.kind == "disk_slow" else "refused"
        before = disk.count(field)
        switch, off = (disk.slow, 0) if fault.kind == "disk_slow" else (disk.refuse, False)
        switch(fault.sync_ms or True)
        time.sleep(fault.seconds)
        switch(off)
        return {field: disk.count(field) - before}
