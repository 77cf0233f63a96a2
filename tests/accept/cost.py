"""What the ladder costs, beside one ffmpeg process that makes the same rungs from the same file in the same run."""

import os
import shutil
import statistics
import subprocess
import time

from report import Failed, Figure, at_most, pressure
from server import Encoder, Weir, stop
from sources import Source

PAIRS = 3
SETTLE, WINDOW = 8, 30  # seconds: until both run steadily, and measured
RATIO_GOAL, WORKER_MB_GOAL = 1.10, 250

RUNGS = [(1280, 720, 1800), (832, 468, 800), (640, 360, 450)]  # the default set of a 720p source
SEGMENT_FRAMES = 48


def cpu_seconds(pid):
    """User and system time of a process and all its threads so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def cpu_over_window(pids):
    """CPU seconds per second that these processes took together, once they run steadily."""
    time.sleep(SETTLE)  # the measured thing is time itself
    before, began = [cpu_seconds(pid) for pid in pids], time.monotonic()
    time.sleep(WINDOW)
    after, ended = [cpu_seconds(pid) for pid in pids], time.monotonic()
    return (sum(after) - sum(before)) / (ended - began)


def weir_cost(source):
    """CPU of control process and worker, peak memory of the worker, frames the encoders could not take."""
    # A worker a stream, one thread an encoder, as the reference below.
    with Weir("cpu", '[worker]\nthreads = 1\npreset = "veryfast"\n') as weir:
        stream = weir.create_stream()
        with Encoder.copy(source, stream["push_url"]):
            weir.wait_playable(stream)
            worker = weir.worker(stream)
            cost = cpu_over_window([weir.process.pid, worker])
            if weir.worker(stream) != worker:
                raise Failed("the worker was replaced while it was measured")
            detail = weir.detail(stream)["pipeline"]
            qualities = weir.stream(stream)["transcoded_qualities"]
            if len(qualities) != len(RUNGS):
                raise Failed(f"weir made {qualities}, the reference makes {len(RUNGS)} rungs")
            return cost, peak_mb(worker), detail["dropped"]


def reference_command(origin, manifest, more=()):
    """One ffmpeg process that decodes once and makes the same rungs as segments. `origin` are its input's arguments, `more`
    those of the muxer."""
    split = "".join(f"[s{i}]" for i in range(len(RUNGS)))
    scales = [f"[s{i}]scale={w}:{h}:flags=bilinear[v{i}]" if i else f"[s{i}]null[v{i}]" for i, (w, h, _) in enumerate(RUNGS)]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", 1, *origin, "-filter_threads", 1,
               "-filter_complex_threads", 1, "-filter_complex", ";".join([f"[0:v]split={len(RUNGS)}{split}", *scales])]
    for i, (_, _, kbps) in enumerate(RUNGS):
        command += ["-map", f"[v{i}]", f"-b:v:{i}", f"{kbps}k", f"-maxrate:v:{i}", f"{kbps}k", f"-bufsize:v:{i}", f"{kbps}k"]
    command += ["-map", "0:a", "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "main",
                "-threads:v", 1, "-g", SEGMENT_FRAMES, "-keyint_min", SEGMENT_FRAMES, "-sc_threshold", 0, "-bf", 0,
                "-c:a", "aac", "-b:a", "128k", "-ac", 2, "-ar", 48000,
                "-f", "dash", "-seg_duration", 1.6, "-window_size", 10, *more, manifest]
    return [*map(str, command)]


def ffmpeg_cost(source, directory):
    """CPU of the reference process."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    command = reference_command(["-re", "-i", source], directory / "index.mpd")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        cost = cpu_over_window([process.pid])
        if process.poll() is not None:
            raise Failed(f"the reference ffmpeg ended: {process.stderr.read()[-300:]}")
        return cost
    finally:
        stop(process)
        shutil.rmtree(directory, ignore_errors=True)


def cpu(short):
    """Control process and worker against ffmpeg, alternating, so that the machine's moods hit both."""
    source = Source("cpu", 1280, 720, "30", SETTLE + WINDOW + 20, kbps=3000).make()
    ours, theirs, peaks, dropped = [], [], [], 0
    for pair in range(PAIRS):
        cost, peak, lost = weir_cost(source)
        ours.append(cost)
        peaks.append(peak)
        dropped += lost
        theirs.append(ffmpeg_cost(source, source.parent.parent / "run" / "reference"))
    ratio = statistics.mean(a / b for a, b in zip(ours, theirs))
    return [
        at_most(f"ladder CPU against ffmpeg, mean of {PAIRS} pairs", ratio, RATIO_GOAL, "x", 3),
        Figure("pairs, Weir / ffmpeg", ", ".join(f"{a:.3f} / {b:.3f}" for a, b in zip(ours, theirs)) + " CPU-s per s"),
        at_most("worker memory, peak", max(peaks), WORKER_MB_GOAL, "MB", 0),
        Figure("frames the encoders could not take", str(dropped), "0", dropped == 0),
        pressure(),
    ]
