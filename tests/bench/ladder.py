"""What transcoding the ladder costs: CPU and memory of the whole server, beside one ffmpeg that does the same work."""

import subprocess
import time

import cost
import machine
from report import Failed
from server import Encoder
from servers import FfmpegLadder, Peer, WeirServer
from sources import Source

SETTLE, WINDOW = 6, 15  # seconds: until it runs steadily, and measured
KEY = "s"


class FfmpegFile(Peer):
    """The reference: one ffmpeg that reads the file itself, at its pace."""

    name = "ffmpeg, from a file"
    version = FfmpegLadder.version

    @staticmethod
    def missing():
        return None

    def start(self):
        command = cost.reference_command(["-re", "-i", source()], self.www / "index.mpd")
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


SERVERS = [WeirServer, FfmpegFile]


def prepare():
    source()


def source():
    return Source("cpu", 1280, 720, "30", SETTLE + WINDOW + 15, kbps=3000).make()


def measure(kind):
    if kind is WeirServer:
        server = WeirServer('[worker]\nthreads = 1\npreset = "veryfast"\n')
    else:
        server = kind()
    with server:
        if kind is FfmpegFile:
            return steady(server)
        with Encoder.copy(source(), server.publish_url(KEY)):
            if kind is WeirServer:
                server.weir.wait_playable(server.stream(KEY))
            before = pipeline(server) if kind is WeirServer else None
            figures = steady(server)
            if before:
                check(server, before)
            return figures


def pipeline(server):
    return server.weir.detail(server.stream(KEY))["pipeline"]


def check(server, before):
    """Weir must not be cheap by doing less: each rung, each frame, and none of them repeated."""
    after = pipeline(server)
    frames, repeated = (after[what] - before[what] for what in ("frames", "repeated"))
    if frames < 0.95 * 30 * WINDOW or repeated > 0.01 * frames:
        raise Failed(f"weir made {frames} frames in {WINDOW} s, {repeated} of them repeats")
    made = server.weir.stream(server.stream(KEY))["transcoded_qualities"]
    dropped = after["dropped"]
    if len(made) != len(cost.RUNGS) or dropped:
        raise Failed(f"weir made {made} and dropped {dropped} frames, the reference makes {len(cost.RUNGS)} rungs")


def steady(server):
    time.sleep(SETTLE)  # the measured thing is time itself
    before, began = machine.cpu_seconds(server.roots), time.monotonic()
    time.sleep(WINDOW)
    after, ended = machine.cpu_seconds(server.roots), time.monotonic()
    if after == before:
        raise Failed(f"{server.name} did nothing")
    return {"cpu": (after - before) / (ended - began), "memory_mb": machine.memory_mb(server.roots)}
