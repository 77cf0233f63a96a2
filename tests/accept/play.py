"""Lines about playing: the documented quick start, and smoothness with sound in step."""

import statistics
from concurrent.futures import ThreadPoolExecutor

import browser
import hls
import probe
from report import Failed, Figure, empty, equal
from server import Encoder, Weir
from sources import Source

SYNC_LIMIT_MS = 40
RUNS = 3  # void runs that fail the line


def quickstart(short):
    """The documented ffmpeg command, to the player page in Chromium and to ffmpeg as a player."""
    watch, decode = (15, 5) if short else (60, 20)
    with Weir("quickstart") as weir:
        stream = weir.create_stream("720p" if short else None)
        with Encoder.quick_start(stream["push_url"]):
            weir.wait_playable(stream)
            seen = browser.measure(stream["iframe_url"], watch, "quickstart")
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            rungs = [f"{variant.width}x{variant.height}" for variant in presentation.variants]
            jobs = [("HLS " + rung, ["-i", stream["hls_cmaf_url"], "-map", f"0:v:{i}", "-map", "0:a:0"])
                    for i, rung in enumerate(rungs)]
            jobs.append(("DASH, all rungs", ["-i", stream["dash_url"], "-map", "0"]))
            with ThreadPoolExecutor(len(jobs)) as pool:
                faults = list(pool.map(
                    lambda job: probe.decode_faults([*job[1], "-t", decode], decode * 2 + 20), jobs))
    expected = ["1280x720"] if short else ["1280x720", "832x468", "640x360"]
    return [
        *browser.played_figures(seen, "quickstart"),
        equal("rungs of the master", rungs, expected),
        *(empty(f"ffmpeg error lines, {name}, {decode} s", lines) for (name, _), lines in zip(jobs, faults)),
    ]


def smooth(short):
    """A ready-made source with flash and beep, one rung: no stalls, sound in step."""
    watch = 15 if short else 60
    source = Source("smooth", 640, 360, "30", 120, kbps=800).make()
    notes = []
    for attempt in range(1, RUNS + 1):
        seen, offsets = smooth_run(source, watch)
        if not seen["void"]:
            break
        notes.append(Figure(f"run {attempt} is void", f"CPU pressure {seen['psi']['max']:.0f} %, {len(seen['stalls'])} stalls"))
        # The short form says what it saw: pressure on a test machine is no fault of the change under test.
        if short:
            break
    else:
        raise Failed(f"{RUNS} void runs: " + "; ".join(note.measured for note in notes))
    worst = max(offsets, key=abs)
    stalls = empty(f"stalls over 400 ms in {watch} s", [f"{stall['ms']} ms at {stall['at']} s" for stall in seen["stalls"]])
    if seen["void"]:
        stalls.ok = None
    return [
        *notes,
        *browser.played_figures(seen, "smooth"),
        stalls,
        Figure("sound minus picture, worst of all marks", f"{worst:+.0f} ms of {len(offsets)} marks",
               f"within ±{SYNC_LIMIT_MS} ms", len(offsets) >= 3 and abs(worst) <= SYNC_LIMIT_MS),
        Figure("sound minus picture, median", f"{statistics.median(offsets):+.0f} ms"),
    ]


def smooth_run(source, watch):
    """What the browser measured, and the offsets of sound and picture in what was delivered meanwhile, in ms, less the
    source's own."""
    with Weir("smooth") as weir:
        stream = weir.create_stream("360p")
        with Encoder.copy(source, stream["push_url"]):
            weir.wait_playable(stream)
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            files = [weir.dir / "video.mp4", weir.dir / "audio.mp4"]
            recorder = hls.Recorder(presentation, dict(zip((presentation.variants[0].url, presentation.audio), files)))
            recorder.start()
            seen = browser.measure(stream["iframe_url"], watch, "smooth")
            recorder.finish()
    own = statistics.median(probe.sync_offsets(source, source))
    offsets = [1000 * (offset - own) for offset in probe.sync_offsets(*files)]
    if not offsets:
        raise Failed("no flash and beep found in what was delivered")
    return seen, offsets
