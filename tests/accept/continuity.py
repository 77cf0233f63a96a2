"""Lines about an output that never stops: workers killed and stopped, the server killed, and what players notice of it."""

import os
import signal
import threading
import time

import browser
import hls
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Encoder, Weir
from sources import Source

POLL = 0.25  # seconds between two polls of all manifests
KILLS, APART = 10, 12.0  # kills of a worker, seconds between them
STOPS = 3
SERVER_KILLS = 3
PLAYER_KILLS, PLAYER_SECONDS = 3, 50
KILLED_GOAL, STOPPED_GOAL = 2.0, 4.0  # seconds to the next part
DRAINED = 0.15  # what a dead worker has sent is shelved after this; a new one has made nothing yet
MODES = ("ll", "hls", "ll-dash", "dash")


def source(gop):
    return Source(f"continuity-gop{gop}", 640, 360, "30", 24, kbps=800, gop=gop).make()


class ManifestWatch(threading.Thread):
    """Polls the master, every media playlist and the MPD, and notes what a player must never see."""

    def __init__(self, http, stream):
        super().__init__(daemon=True)
        self.http = http
        self.plain = [stream["hls_cmaf_url"], stream["dash_url"]]
        self.media = hls.Presentation(http, stream["hls_cmaf_url"]).urls
        self.newest = dict.fromkeys(self.media, (0, 0))
        self.sequence = dict.fromkeys(self.media, 0)
        self.polls = 0
        self.faults = []
        self.ending = threading.Event()

    def run(self):
        due = time.monotonic()
        while not self.ending.wait(max(0.0, due - time.monotonic())):
            due += POLL
            for url in self.plain + self.media:
                self.polls += 1
                status, body, _ = self.http.get(url)
                if status != 200:
                    self.faults.append(f"{url.rsplit('/', 1)[1]} answered {status}")
                elif url in self.newest:
                    self.look(url, hls.parse_media(body.decode(), url))

    def look(self, url, playlist):
        if playlist.sequence < self.sequence[url] or playlist.newest < self.newest[url]:
            self.faults.append(f"{url.rsplit('/', 1)[1]} went back from {self.newest[url]} to {playlist.newest}")
        self.sequence[url], self.newest[url] = playlist.sequence, playlist.newest
        numbers = [int(name.rsplit("-", 1)[1].removesuffix(".m4s")) for name, _ in playlist.segments]
        if numbers != list(range(playlist.sequence, playlist.sequence + len(numbers))):
            self.faults.append(f"{url.rsplit('/', 1)[1]} lists {numbers} from {playlist.sequence}")

    def finish(self):
        self.ending.set()
        self.join()
        return empty(f"faults in {self.polls} polls of manifests, one each {POLL * 1000:.0f} ms", self.faults)


def next_part(presentation, since):
    """Seconds from `since` to a part of each rendition that another worker has made."""
    time.sleep(max(0.0, since + DRAINED - time.monotonic()))
    before = [presentation.media(url).newest for url in presentation.urls]
    wait_until("next part", 20, lambda: all(
        presentation.media(url).newest > old for url, old in zip(presentation.urls, before)), every=0.02)
    return time.monotonic() - since


def disturbed(name, gop, signum, times, goal):
    """Figures of one stream whose worker gets a signal again and again."""
    what = f"{signum.name}, GOP {gop} s"
    with Weir(name) as weir:
        stream = weir.create_stream("360p")
        with Encoder.copy(source(gop), stream["push_url"], loops=-1):
            weir.wait_playable(stream)
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            watch = ManifestWatch(weir.http, stream)
            watch.start()
            took, due = [], time.monotonic()
            for _ in range(times):
                due += APART
                time.sleep(max(0.0, due - time.monotonic()))
                os.kill(weir.worker(stream), signum)
                took.append(next_part(presentation, time.monotonic()))
            restarts = weir.detail(stream)["pipeline"]["restarts"]
            polled = watch.finish()
    polled.what += f", {what}"
    return [
        at_most(f"next part after {what}, worst of {times}", max(took), goal, "s"),
        Figure(f"next part after {what}, each", ", ".join(f"{seconds:.2f}" for seconds in took) + " s"),
        equal(f"workers replaced, {what}", restarts, times),
        polled,
    ]


def worker_kill(short):
    """A worker killed again and again: the next part, and every manifest meanwhile."""
    return [figure for gop in (1, 4) for figure in disturbed("worker_kill", gop, signal.SIGKILL, KILLS, KILLED_GOAL)] + [pressure()]


def worker_stop(short):
    """A worker that hangs: it is replaced, and every manifest answers meanwhile."""
    return disturbed("worker_stop", 1, signal.SIGSTOP, STOPS, STOPPED_GOAL) + [pressure()]


class Reconnecting(threading.Thread):
    """An encoder that starts again whenever it ends, as encoders do."""

    def __init__(self, path, push_url):
        super().__init__(daemon=True)
        self.path, self.push_url = path, push_url
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            encoder = Encoder.copy(self.path, self.push_url, loops=-1)
            while encoder.process.poll() is None and not self.ending.wait(0.1):
                pass
            encoder.end()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()


def server_kill(short):
    """The server killed while an encoder reconnects: 404 until there is new media, then numbers that go on."""
    took, faults = [], []
    with Weir("server_kill") as weir:
        stream = weir.create_stream("360p")
        with Reconnecting(source(1), stream["push_url"]):
            weir.wait_playable(stream)
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            video = presentation.urls[0]
            for kill in range(1, SERVER_KILLS + 1):
                wait_until("two whole segments", 15, lambda: len(presentation.media(video).segments) > 1)
                highest = max(presentation.media(url).newest[0] for url in presentation.urls)
                killed = time.monotonic()
                weir.kill_and_restart()

                def back():
                    status, body, headers = weir.http.get(video)
                    if status == 404 and headers.get("Cache-Control") != "public, max-age=1":
                        faults.append(f"kill {kill}: 404 with {headers.get('Cache-Control')}")
                    elif status not in (0, 200, 404):
                        faults.append(f"kill {kill}: {status}")
                    return status == 200 and body.decode()
                text = wait_until("new media", 30, back)
                took.append(time.monotonic() - killed)
                first = hls.parse_media(text, video).sequence
                if first <= highest:
                    faults.append(f"kill {kill}: number {first} after {highest}")
                if "#EXT-X-DISCONTINUITY\n" not in text or f"#EXT-X-DISCONTINUITY-SEQUENCE:{kill - 1}\n" not in text:
                    faults.append(f"kill {kill}: no discontinuity number {kill}")
    return [
        empty(f"faults over {SERVER_KILLS} kills", faults),
        Figure("from the kill to new media", ", ".join(f"{seconds:.1f}" for seconds in took) + " s"),
        pressure(),
    ]


def played_through(name, mode, seconds, at, disturb):
    """Figures of a player while `disturb(weir, stream)` is called at those seconds; it has to go on without a reload."""
    failures = []

    def disturber(weir, stream, began):
        for when in at:
            time.sleep(max(0.0, began + when - time.monotonic()))
            try:
                disturb(weir, stream)
            except (Failed, OSError) as why:
                failures.append(str(why))
    with Weir(name) as weir:
        stream = weir.create_stream("360p")
        with Reconnecting(source(1), stream["push_url"]):
            weir.wait_playable(stream)
            thread = threading.Thread(target=disturber, args=(weir, stream, time.monotonic()), daemon=True)
            thread.start()
            seen = browser.measure(stream["iframe_url"], seconds, f"{name}_{mode}", mode)
            thread.join()
    if failures:
        raise Failed(failures[0])
    ended = 1000 * seconds - (seen["startupMs"] or 0)
    still = [stall for stall in seen["stalls"] if stall["afterStartMs"] + stall["ms"] > ended - 1000]
    moving = seen["startupMs"] is not None and not still
    stalls = ", ".join(f"{stall['ms']} ms at {stall['afterStartMs'] / 1000:.0f} s" for stall in seen["stalls"]) or "none"
    return [
        Figure(f"{mode}: picture moves at the end of {seconds} s", "yes" if moving else f"no, {seen['state']}", "yes", moving),
        Figure(f"{mode}: stalls over 400 ms", stalls),
        Figure(f"{mode}: CPU pressure, highest avg10", f"{seen['psi']['max']} %"),
    ], seen


def worker_kill_players(short):
    """Players across kills of the worker: no fatal error."""
    figures = []
    for mode in MODES:
        at = [APART * (kill + 1) for kill in range(PLAYER_KILLS)]
        kill = lambda weir, stream: os.kill(weir.worker(stream), signal.SIGKILL)
        played, seen = played_through("worker_kill_players", mode, PLAYER_SECONDS, at, kill)
        figures.append(empty(f"{mode}: fatal errors across {PLAYER_KILLS} kills", seen["errors"] if seen["fatal"] else []))
        figures += played
    return figures


def server_kill_players(short):
    """Players across a kill of the server: they go on without a reload."""
    figures = []
    for mode in MODES:
        played, seen = played_through("server_kill_players", mode, 40, [12.0], lambda weir, _: weir.kill_and_restart())
        figures += played
        figures.append(Figure(f"{mode}: fatal errors that the page recovered from", str(seen["fatal"])))
    return figures
