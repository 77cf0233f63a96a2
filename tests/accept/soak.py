"""The line about time: thousands of short publishes beside one long stream, and nothing of the server grows."""

import json
import math
import os
import statistics
import threading
import time

import rtmp_push
from continuity import ManifestWatch, source
from hostile import descriptors, rss_mb
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Encoder, Weir
from sources import Source

CYCLES, SECONDS = 2000, 1800
STREAMS, ENCODERS = 8, 4  # that are published to in turn, and at once
EVERY_NEW = 20  # of so many cycles one is on a stream made for it and deleted after it
SAMPLE = 10.0  # seconds
WARM_UP = 600.0  # seconds, half of a shorter run: playlists, caches and journals fill, ended broadcasts come to lie on the shelf
BLOCK = 6  # samples whose mean is one point of the regression, because neighbours are alike
GROWTH_MB = 4.0  # by the slope over the run: what the allocator's moods come to
LIMITS = '[limits]\nconnect_every = "1s"\nconnect_burst = 3\n[failover]\nlinger = "1s"\n'


def length():
    """Seconds and cycles of the run; `$SOAK_SECONDS` makes it shorter, to rehearse."""
    seconds = float(os.environ.get("SOAK_SECONDS", SECONDS))
    return seconds, round(CYCLES * seconds / SECONDS)


class Playing:
    """An "event" for `send_media`: set once the stream has a first part; asks every few tags."""

    def __init__(self, weir, stream):
        self.weir, self.stream = weir, stream
        self.asked = 0

    def on_air(self):
        return self.weir.stream(self.stream)["transcoded_qualities"] is not None

    def is_set(self):
        self.asked += 1
        return self.asked % 4 == 0 and self.on_air()


class Cycler(threading.Thread):
    """An encoder that publishes to its streams in turn, each time until there is a first part, at the pace of the run."""

    def __init__(self, weir, flv, streams, share, seconds):
        super().__init__(daemon=True)
        self.weir, self.flv, self.streams = weir, flv, streams
        self.share, self.every = share, seconds / share if share else 0
        self.done = self.played = 0
        self.faults = []

    def run(self):
        due = time.monotonic()
        for number in range(self.share):
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self.every, time.monotonic())
            try:
                if number % EVERY_NEW == EVERY_NEW - 1:
                    stream = self.weir.create_stream("360p")
                    self.cycle(stream, number)
                    self.weir.delete(stream)
                else:
                    self.cycle(self.streams[number % len(self.streams)], number)
            except (Failed, OSError, rtmp_push.Refused) as fault:
                self.faults.append(f"cycle {number}: {fault}")
            self.done += 1

    def cycle(self, stream, number):
        playing = Playing(self.weir, stream)
        wait_until("end of the last broadcast", 20, lambda: not playing.on_air())
        connection = rtmp_push.Connection(stream["push_url"])
        try:
            connection.publish()
            rtmp_push.send_headers(connection, self.flv)
            rtmp_push.send_media(connection, self.flv, 6, ending=playing)
            self.played += playing.on_air()
            if number % 3:  # one in three breaks off, as cables do
                connection.socket.sendall(rtmp_push.command("deleteStream", 6, None, 1))
        finally:
            connection.close()


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def count(node):
    return 1 + sum(map(count, node["children"]))


def workers(node):
    return (node["pid"] is not None) + sum(map(workers, node["children"]))


def level(weir):
    """What has to be back at the same level whenever nothing goes on."""
    tree, pid = weir.api("GET", "/ops/tree"), weir.process.pid
    counts = {"descriptors": descriptors(pid), "threads": threads(pid), "actors": count(tree), "workers": workers(tree)}
    return counts | weir.api("GET", "/ops/process")


def idle(weir, floor=None, seconds=20, look=level):
    """The level at rest: the lowest of a while, or at most `floor` as soon as that is reached."""
    lowest, began = look(weir), time.monotonic()
    while time.monotonic() - began < (seconds if floor is None else 120):
        if floor and all(lowest[what] <= floor[what] for what in floor):
            break
        time.sleep(0.5)  # nothing happens now but the ends of timers
        now = look(weir)
        lowest = {what: min(lowest[what], now[what]) for what in now}
    return lowest


class Samples(threading.Thread):
    """The server's and the long stream's worker's figures every few seconds."""

    def __init__(self, weir, worker):
        super().__init__(daemon=True)
        self.weir, self.worker = weir, worker
        self.rows, self.fault = [], None
        self.ending = threading.Event()

    def run(self):
        began = time.monotonic()
        try:
            while not self.ending.wait(max(0.0, began + SAMPLE * len(self.rows) - time.monotonic())):
                self.rows.append({"at": time.monotonic() - began, "server": rss_mb(self.weir.process.pid),
                                  "worker": rss_mb(self.worker), **level(self.weir)})
        except (Failed, OSError) as fault:
            self.fault = fault

    def finish(self):
        self.ending.set()
        self.join()
        (self.weir.dir / "samples.json").write_text(json.dumps(self.rows))
        if self.fault:
            raise Failed(f"sampling: {self.fault}")

    def steady(self):
        return [row for row in self.rows if row["at"] > min(WARM_UP, self.rows[-1]["at"] / 2)]


def trend(rows, what):
    """Slope per second of a figure by least squares over means of blocks, and half its 95 % confidence interval."""
    size = max(1, min(BLOCK, len(rows) // 10))
    blocks = [rows[at:at + size] for at in range(0, len(rows) - size + 1, size)]
    if len(blocks) < 4:
        raise Failed(f"{len(rows)} samples are too few for a slope")
    times = [statistics.mean(row["at"] for row in block) for block in blocks]
    values = [statistics.mean(row[what] for row in block) for block in blocks]
    slope, intercept = statistics.linear_regression(times, values)
    residual = sum((value - intercept - slope * at) ** 2 for at, value in zip(times, values)) / (len(blocks) - 2)
    spread = sum((at - statistics.mean(times)) ** 2 for at in times)
    return slope, 1.96 * (1 + 2.4 / (len(blocks) - 2)) * math.sqrt(residual / spread)  # Student's t, near enough


def flat(rows, what, name, seconds, most, unit):
    """A figure: what the slope comes to over the run."""
    slope, half = trend(rows, what)
    per_hour = f"slope {slope * 3600:+.2f} ± {half * 3600:.2f} {unit}/h, {rows[0][what]:.1f} to {rows[-1][what]:.1f} {unit}"
    figure = at_most(f"{name}: growth over {seconds / 60:.0f} min by the slope", slope * seconds, most, unit)
    figure.measured += f" ({per_hour})"
    return figure


def level_stays(rows, what, seconds):
    """A figure of a count that goes up and down with each cycle: it fails on a growth that is more than its confidence interval."""
    slope, half = trend(rows, what)
    grown, unsure = slope * seconds, half * seconds
    return Figure(f"{what}: growth over {seconds / 60:.0f} min by the slope", f"{grown:+.1f} ± {unsure:.1f}", "≤ 2 within ±, ± ≤ 10", grown - unsure <= 2 and unsure <= 10)


def soak(short):
    """2 000 publishes beside one long stream: memory, descriptors, threads and tasks stay."""
    seconds, cycles = length()
    flv = rtmp_push.Flv.load(Source("victim", 320, 180, "25", 30, kbps=300).make())
    with Weir("soak", LIMITS) as weir:
        streams = [weir.create_stream("360p") for _ in range(STREAMS)]

        def cyclers(share, over):
            return [Cycler(weir, flv, streams[n::ENCODERS], share // ENCODERS + (n < share % ENCODERS), over) for n in range(ENCODERS)]
        first = cyclers(2 * STREAMS, 10)  # before the level at rest: all that is made once is made
        run_all(first)
        before = idle(weir)
        long = weir.create_stream("360p")
        with Encoder.copy(source(1), long["push_url"], loops=-1):
            weir.wait_playable(long)
            worker = weir.worker(long)
            watch, samples, began = ManifestWatch(weir.http, long), Samples(weir, worker), time.monotonic()
            watch.start()
            samples.start()
            running = cyclers(cycles, seconds)
            run_all(running)
            time.sleep(max(0.0, began + seconds - time.monotonic()))  # the measured thing is time
            samples.finish()
            polled = watch.finish()
            took = time.monotonic() - began
            pipeline = weir.detail(long)["pipeline"] or {}
            same = (pipeline.get("pid"), pipeline.get("restarts")) == (worker, 0)
        weir.delete(long)
        after = idle(weir, floor=before)
    rows = samples.steady()
    faults = [fault for cycler in first + running for fault in cycler.faults]
    done, played = (sum(getattr(cycler, what) for cycler in running) for what in ("done", "played"))
    return [
        Figure("publish/unpublish cycles", f"{done} in {took / 60:.1f} min"),
        Figure("cycles that reached a first part", str(played), f"≥ {0.95 * cycles:.0f}", played >= 0.95 * cycles),
        empty("cycles that went wrong", faults),
        flat(rows, "server", "server memory", seconds, GROWTH_MB, "MB"),
        flat(rows, "worker", "memory of the long stream's worker", seconds, GROWTH_MB, "MB"),
        *[level_stays(rows, what, seconds) for what in ("descriptors", "threads", "tasks", "actors")],
        Figure("at rest, before and after", f"{before} and {after}", "not more", all(after[what] <= before[what] for what in before)),
        equal("the long stream keeps its worker", same, True),
        polled,
        pressure(),
    ]


def run_all(cyclers):
    for cycler in cyclers:
        cycler.start()
    for cycler in cyclers:
        cycler.join()
