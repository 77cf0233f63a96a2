"""The line about leaks: many streams pulled from one source that dies and comes back, and nothing of the server grows."""

import contextlib
import random
import time

import pull_origins as origins
import pull_stream
from door_programme import Programme
from failover_sources import Encoded
from hostile import rss_mb
from report import Figure, at_most, equal, pressure, wait_until
from server import Weir
from soak import flat, idle, level
from socket_table import established
from token_reset import sockets

STREAMS, SHORT_STREAMS = 20, 5
RESTARTS, SHORT_RESTARTS = 100, 5
WARM_UP, SHORT_WARM_UP = 20, 2  # restarts until all is made that is made once
REST = 5.0  # seconds whose lowest level counts
SEED = 20261130
AWAY = 2.0  # seconds that the source is away at most: shorter and longer than the stall
BACK_GOAL = 10.0  # seconds until all are on air again, on two cores that transcode them too
LIVE_GOAL = 3  # seconds from the last media seen to all being live: pictures have to be decoded, which is told four times a second
GROWTH_MB = 8.0  # by the slope over the run: every stream's journal fills
# As small as a worker's work can be.
SETTINGS = """[failover]
stall = "1s"
[[quality_sets]]
id = 1
name = "Tiny"
default = true
qualities = [{ id = 1, name = "90p", width = 160, height = 90, bitrate_kbps = 50 }]
"""


def pull_many(short):
    """Streams pulled from one source that is restarted again and again: all are on air again, and sockets, tasks, threads and memory stay."""
    streams, warm_up = (SHORT_STREAMS, SHORT_WARM_UP) if short else (STREAMS, WARM_UP)
    restarts = SHORT_RESTARTS if short else RESTARTS
    sent = Programme(Encoded("pull-tiny", False, 160, 90, 10, 1, 48000, 30, kbps=60, audio_kbps=32))
    _ = sent.flv
    draw = random.Random(SEED)
    with contextlib.ExitStack() as running:
        weir = running.enter_context(Weir("pull_many", pull_stream.settings("500ms", more=SETTINGS)))
        source = running.enter_context(origins.Nginx(sent))
        made = [pull_stream.create(weir, source.uri, rung=None) for _ in range(streams)]
        all_on(weir, made, {})
        began, rows, took, before = time.monotonic(), [], [], None
        for number in range(warm_up + restarts):
            if number == warm_up:
                before = at_rest(weir)
            took.append(restart(weir, made, source, draw.uniform(0, AWAY), server=number % 2 == 1))
            rows.append({"at": time.monotonic() - began, "server": rss_mb(weir.process.pid)})
        after = at_rest(weir, before)
        on = wait_until("streams that are all live", LIVE_GOAL, lambda: count_live(weir, made) == streams) and count_live(weir, made)
        replaced = sum(weir.detail(stream)["pipeline"]["restarts"] for stream in made)
        for stream in made:
            weir.delete(stream)
        wait_until("the end of all connections to the source", 10, lambda: established(source.port) == 1)  # its own encoder's
    rows = rows[warm_up:]
    seconds = rows[-1]["at"] - rows[0]["at"]
    memory = flat(rows, "server", "server memory", seconds, GROWTH_MB, "MB")
    if short:
        memory.ok, memory.goal = None, ""  # a slope over five restarts says nothing
    return [
        Figure("streams and restarts of their source", f"{streams} and {restarts} in {seconds / 60:.1f} min"),
        at_most("all on air again after the source is back, worst", max(took), BACK_GOAL, "s"),
        equal("live at the end", on, streams),
        Figure("all on air, before and after", f"{before} and {after}", "not more", all(after[what] <= before[what] for what in before)),
        memory,
        Figure("workers replaced", str(replaced)),
        pressure(),
    ]


def count_live(weir, made):
    return sum(weir.stream(stream)["live"] for stream in made)


def restart(weir, made, source, away, server):
    """The server dies, with all connections to it, or only its encoder; seconds until all are on air again after it is back."""
    kill, again = (source.kill, source.start) if server else (source.kill_encoder, source.publish)
    kill()
    time.sleep(away)  # there is no source
    before = received(weir, made)
    again()
    back = time.monotonic()
    all_on(weir, made, before)
    return time.monotonic() - back


def received(weir, made):
    """Session and pictures received, of each stream that has a session."""
    sessions = {stream["id"]: pull_stream.session(weir, stream) for stream in made}
    return {stream: (session["id"], session["video_units"]) for stream, session in sessions.items() if session}


def all_on(weir, made, before):
    """Waits until each stream has received a picture that it had not `before`."""
    waiting = {stream["id"]: stream for stream in made}

    def on():
        for stream, (session, pictures) in received(weir, waiting.values()).items():
            if pictures and (session, pictures) != before.get(stream):
                del waiting[stream]
        weir.alive()
        return not waiting
    wait_until(f"media of all {len(made)} streams", 60, on, every=0.1)


def at_rest(weir, floor=None):
    """The level while all are on air and nothing else happens."""
    return idle(weir, floor, REST, lambda weir: level(weir) | {"sockets": len(sockets(weir))})
