"""Lines about strangers on the RTMP port who mean harm, beside a stream on air that must not notice them."""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading
import time

import hls
import rtmp_push
from continuity import ManifestWatch
from control import PART_GAP_LIMIT
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Encoder, Weir, stop
from sources import Source

HERE = pathlib.Path(__file__).parent
HALF_OPEN, SHORT_HALF_OPEN = 5000, 500
FLOOD_SECONDS, SHORT_FLOOD_SECONDS = 12, 3
PROBES, SHORT_PROBES = 10, 3
MUTATED_SECONDS, SHORT_MUTATED_SECONDS = 60, 5
SEED = 20261122
SOFT_DESCRIPTORS = 1024  # what most systems start a service with
FIRST_TAGS = 10  # of a publish, the first picture among them
ADMISSION_GOAL, GROWTH_GOAL = 1.0, 64  # seconds, MB
LOG_GOAL = 20  # lines a second
LINES_ADMITTED = 4  # of the log about one publisher that was let in: twice its admission, twice its end
LINES_WORKER = 60  # of the log about one worker that is fed garbage: what decoders say of it before they are cut short
# Publishing again and again from one address is what these lines do.
OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n[failover]\nlinger = "1s"\n'
SPARE_DESCRIPTORS = 8  # that viewers' kept connections and the database may hold or not hold


@contextlib.contextmanager
def soft_descriptors(count):
    """Processes started meanwhile may open so many files unless they ask for more."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def rss_mb(pid):
    """Resident memory; 0 once the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), 0) / 1024
    except FileNotFoundError:
        return 0.0


def descriptors(pid):
    """Open descriptors; 0 once the process has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return 0


class Usage(threading.Thread):
    """The most memory and descriptors of a process while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.rss, self.descriptors = rss_mb(pid), descriptors(pid)
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(0.1):
            self.rss = max(self.rss, rss_mb(self.pid))
            self.descriptors = max(self.descriptors, descriptors(self.pid))

    def finish(self):
        self.ending.set()
        self.join()


class OnAir:
    """A light stream on air, watched in every way that a viewer could notice something."""

    def __init__(self, weir):
        self.weir = weir
        self.stream = weir.create_stream("360p")
        self.encoder = Encoder.copy(Source("running", 640, 360, "30", 180, kbps=600).make(), self.stream["push_url"], loops=-1)

    def __enter__(self):
        try:
            self.weir.wait_playable(self.stream)
        except Failed:
            self.encoder.end()
            raise
        presentation = hls.Presentation(self.weir.http, self.stream["hls_cmaf_url"])
        self.before = self.identity()
        self.parts = hls.PartWatch(presentation, presentation.variants[0].url)
        self.manifests = ManifestWatch(self.weir.http, self.stream)
        self.parts.start()
        self.manifests.start()
        return self

    def identity(self):
        """What changes when a worker or a session is replaced; holds a None where there is none."""
        detail = self.weir.detail(self.stream)
        pipeline, session = detail["pipeline"] or {}, detail["slots"][0]["session"] or {}
        return pipeline.get("pid"), pipeline.get("restarts"), session.get("id")

    def figures(self):
        longest = self.parts.finish()
        manifests = self.manifests.finish()
        return [
            equal("stream on air keeps worker and session", self.identity() == self.before, True),
            at_most("stream on air: longest wait for a new part", longest, PART_GAP_LIMIT, "s"),
            manifests,
        ]

    def __exit__(self, *_):
        self.parts.ending.set()
        self.manifests.ending.set()
        self.encoder.end()


def log(weir):
    """Lines of the server's log so far."""
    with open(weir.log.name, errors="replace") as lines:
        return lines.readlines()


@contextlib.contextmanager
def log_lines(weir, what, figures, most=LOG_GOAL):
    """Adds a figure: lines of the server's log a second meanwhile."""
    before, began = len(log(weir)), time.monotonic()
    yield
    figures.append(at_most(f"{what}: lines of the log", (len(log(weir)) - before) / (time.monotonic() - began), most, "per s", 1))


class Flood:
    """The half-open connections of `flood.py`."""

    def __init__(self, port, count, addresses):
        self.count = count
        self.process = subprocess.Popen(
            [sys.executable, HERE / "flood.py", str(port), str(count), *addresses],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        if self.process.stdout.readline() != "full\n":
            raise Failed("the flood did not come about")
        return self

    def end(self):
        """Its counts."""
        counts, _ = self.process.communicate("end\n", timeout=20)
        return json.loads(counts)

    def __exit__(self, *_):
        stop(self.process)


def session_of(weir, stream):
    primary = next(slot for slot in weir.detail(stream)["slots"] if slot["slot"] == "primary")
    return primary["session"]


def own_encoder(weir, stream, flv):
    """Seconds from the TCP connect to Publish.Start, and to the first picture that the server counts."""
    began = time.monotonic()
    connection = rtmp_push.Connection(stream["push_url"])
    try:
        connection.publish()
        started = time.monotonic() - began
        rtmp_push.send_headers(connection, flv)
        for when, kind, body in flv.tags[:FIRST_TAGS]:
            connection.send(rtmp_push.plain(connection, when, kind, body))
        wait_until("first picture", 5, lambda: (session_of(weir, stream) or {}).get("video_units"), every=0.01)
        return started, time.monotonic() - began
    finally:
        connection.close()
        wait_until("end of the session", 5, lambda: not session_of(weir, stream))


def ffmpeg_encoder(weir, path):
    """Seconds from the start of an ffmpeg to its first picture that the server counts, and to a playable stream."""
    stream = weir.create_stream("360p")
    began = time.monotonic()
    with Encoder.copy(path, stream["push_url"]):
        wait_until("first picture of ffmpeg", 15, lambda: (session_of(weir, stream) or {}).get("video_units"), every=0.01)
        received = time.monotonic() - began
        weir.wait_playable(stream)
        playable = time.monotonic() - began
    weir.delete(stream)
    return received, playable


def flooded(weir, guest, flv, path, name, count, addresses, short):
    """Figures of one flood, during and after."""
    figures, pid = [], weir.process.pid
    usage = Usage(pid)
    base_rss, base_descriptors = usage.rss, usage.descriptors
    usage.start()
    began, tries = time.monotonic(), []
    with log_lines(weir, name, figures), Flood(weir.rtmp_port, count, addresses) as flood:
        for _ in range(SHORT_PROBES if short else PROBES):
            try:
                tries.append(own_encoder(weir, guest, flv))
            except (rtmp_push.Refused, OSError, Failed) as fault:
                tries.append(fault)
        received, playable = ffmpeg_encoder(weir, path)
        left = (SHORT_FLOOD_SECONDS if short else FLOOD_SECONDS) - (time.monotonic() - began)
        time.sleep(max(0.0, left))  # the measured thing is a flood of that length
        counts = flood.end()
    usage.finish()
    weir.alive()
    failed = [entry for entry in tries if isinstance(entry, Exception)]
    times = [entry for entry in tries if entry not in failed] or [(float("inf"),) * 2]
    wait_until("return of all descriptors", 20, lambda: descriptors(pid) <= base_descriptors + SPARE_DESCRIPTORS, every=0.2)
    return figures + [
        Figure(f"{name}: connections", f"{counts['connects']} opened, {counts['per_second']} per s, {counts['shed']} shed, {counts['most']} held at most"),
        # A short flood fits under the cap, and the cap cannot be lowered to it: places must outlast a handshake at any rate of connects.
        *([] if short else [equal(f"{name}: some were shed", counts["shed"] > 0, True)]),
        empty(f"{name}: encoder not let in, of {len(tries)} tries", failed),
        at_most(f"{name}: TCP connect to Publish.Start, worst", max(start for start, _ in times), ADMISSION_GOAL, "s", 3),
        at_most(f"{name}: TCP connect to first picture, worst", max(media for _, media in times), ADMISSION_GOAL, "s", 3),
        at_most(f"{name}: start of ffmpeg to its first picture", received, ADMISSION_GOAL, "s"),
        Figure(f"{name}: start of ffmpeg to playable", f"{playable:.2f} s"),
        at_most(f"{name}: memory over base, at most", usage.rss - base_rss, GROWTH_GOAL, "MB", 1),
        at_most(f"{name}: descriptors over base, at most", usage.descriptors - base_descriptors, min(count, 4096) + 300, "", 0),
        at_most(f"{name}: memory over base once the flood is over", rss_mb(pid) - base_rss, GROWTH_GOAL, "MB", 1),
    ]


def half_open(short):
    """Thousands of half-open RTMP connections: encoders get in, the stream on air goes on, memory stays."""
    count = SHORT_HALF_OPEN if short else HALF_OPEN
    many = [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(count // 50)]
    floods = {"flood from another address": ["127.0.0.2"], "flood from the encoder's address": ["127.0.0.1"],
              f"flood from {len(many)} addresses": many}
    path = Source("victim", 320, 180, "25", 30, kbps=300).make()
    flv = rtmp_push.Flv.load(path)
    with contextlib.ExitStack() as stack:
        with soft_descriptors(SOFT_DESCRIPTORS):
            weir = stack.enter_context(Weir("half_open", OFTEN))
        on_air = stack.enter_context(OnAir(weir))
        guest = weir.create_stream("360p")
        calm, _ = own_encoder(weir, guest, flv)
        received, playable = ffmpeg_encoder(weir, path)
        figures = [Figure("without a flood: Publish.Start, first picture of ffmpeg, playable", f"{calm:.3f}, {received:.2f}, {playable:.2f} s")]
        for name, addresses in floods.items():
            figures += flooded(weir, guest, flv, path, name, count, addresses, short)
        figures += on_air.figures()
    return figures + [pressure()]


def mutated(short):
    """Mutated bytes on the RTMP port as fast as it goes: the process and the stream on air do not notice."""
    seconds = SHORT_MUTATED_SECONDS if short else MUTATED_SECONDS
    path = Source("victim", 320, 180, "25", 30, kbps=300).make()
    with Weir("mutated", OFTEN) as weir, OnAir(weir) as on_air:
        victim = weir.create_stream("360p")
        wrong = victim["push_url"].replace(victim["token"], "0" * 32)
        pid = weir.process.pid
        base_descriptors = descriptors(pid)
        usage = Usage(pid)
        base_rss = usage.rss
        usage.start()
        command = [sys.executable, HERE / "mutate.py", str(seconds), str(SEED), path, *[victim["push_url"]] * 3, wrong]
        before, began = log(weir), time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 60)
        lines, took = log(weir)[len(before):], time.monotonic() - began
        usage.finish()
        weir.alive()
        if done.returncode != 0:
            raise Failed(f"mutate.py ended with code {done.returncode}")
        counts = json.loads(done.stdout)
        pipeline = weir.detail(victim)["pipeline"]
        admitted = sum("RTMP publisher admitted" in line for line in lines)
        workers = 1 + (pipeline["restarts"] if pipeline else 0)
        figures = on_air.figures()
        weir.delete(victim)
        wait_until("return of all descriptors", 20, lambda: descriptors(pid) <= base_descriptors + SPARE_DESCRIPTORS, every=0.2)
    return [
        Figure(f"mutated publishes within {seconds} s", f"{counts['connections']} connections, {counts['bytes'] / 1e6:.0f} MB, {admitted} admitted"),
        equal("some were let in", admitted > 0, True),
        Figure("the mutated stream's worker, replaced", str(pipeline and pipeline["restarts"])),
        at_most("memory over base, at most", usage.rss - base_rss, GROWTH_GOAL, "MB", 1),
        at_most(f"lines of the log beside {LINES_ADMITTED} for each publisher let in and {LINES_WORKER} for each worker",
                (len(lines) - LINES_ADMITTED * admitted - LINES_WORKER * workers) / took, LOG_GOAL, "per s", 1),
        *figures,
        pressure(),
    ]
