"""CPU that the server spends on one playlist and on one segment, under load over kept connections."""

import re
import shutil
import subprocess
import time

import machine
import picture
from publisher import Publisher
from report import Failed
from servers import PEERS, FfmpegLadder, TunedNginx, WeirServer
from viewer import SEGMENT, Viewer

SECONDS, CONNECTIONS, LOADS = 5, 32, 3
IDLE = 2  # seconds, to know what the stream itself costs
# One rung whose 1.6 s segments are about as large as the peers' of 1 s.
SAME_SIZE = """[[quality_sets]]
id = 1
name = "bench"
default = true
qualities = [{ id = 1, name = "720p", width = 1280, height = 720, bitrate_kbps = 1340 }]
"""
SERVERS = [WeirServer, *(peer for peer in PEERS if peer not in (TunedNginx, FfmpegLadder))]


def prepare():
    if not shutil.which("wrk"):
        raise Failed("wrk is not installed: scripts/install-packages.sh bench")
    picture.source("A")


def measure(kind):
    with kind(SAME_SIZE) if kind is WeirServer else kind() as server:
        play = server.play_url("d")
        with Publisher(server.publish_url("d"), picture.source("A")) as publisher:
            with Viewer(play, (SEGMENT,)) as viewer:
                viewer.wait_for(SEGMENT, 3, 30)
            # The answers come from the control process; the worker has no part in it, but its CPU would add noise.
            cpu = own_cpu if kind is WeirServer else machine.cpu_seconds
            before = cpu(server.roots)
            time.sleep(IDLE)  # the measured thing is time itself
            idle = (cpu(server.roots) - before) / IDLE

            def per_request(url):
                before, began = cpu(server.roots), time.monotonic()
                requests = load(url)
                return 1e6 * (cpu(server.roots) - before - idle * (time.monotonic() - began)) / requests

            figures = {"segment_us": [], "playlist_us": [], "segment_kb": []}
            for _ in range(LOADS):
                segment = newest(play)
                figures["segment_kb"].append(len(segment.body) / 1000)
                figures["segment_us"].append(per_request(segment.url))
                figures["playlist_us"].append(per_request(viewer.media_url or viewer.url))
            if publisher.process.poll() is not None:
                raise Failed("the publisher ended under load")
    return figures


def newest(play):
    """The newest segment: older ones may leave the server while they are asked for."""
    with Viewer(play, (SEGMENT,)) as viewer:
        viewer.wait_for(SEGMENT)
    return viewer.items[-1]


def own_cpu(roots):
    """CPU of these processes without their descendants."""
    return sum(sum(int(field) for field in machine.stat_fields(pid)[11:13]) for pid in roots) * machine.TICK


def load(url):
    """Requests that were answered well."""
    told = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url], stdout=subprocess.PIPE, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: \d+", told)
    if bad:
        raise Failed(f"wrk on {url.rpartition('/')[2]}: {bad[0]}")
    return int(re.search(r"(\d+) requests in", told)[1])
