"""A viewer that polls a playlist, downloads whatever it newly lists, and keeps when; what the pictures say is read after."""

import dataclasses
import threading
import time

import hls
import picture
from report import Failed, wait_until
from server import Http

EVERY = 0.01  # seconds between polls
SEGMENT, PART = "segment", "part"


@dataclasses.dataclass
class Item:
    """A segment or part as it was delivered."""

    kind: str
    url: str
    listed: float  # when a playlist first had it, monotonic seconds
    got: float  # when it was downloaded
    init: bytes
    body: bytes
    numbers: list = dataclasses.field(default_factory=list)  # of its pictures


@dataclasses.dataclass
class Poll:
    at: float
    status: int
    end: int  # one more than the newest segment's sequence number
    ended: bool  # the playlist says that nothing will follow


class Viewer(threading.Thread):
    """Follows the first, largest rendition; ended on leaving the `with`."""

    def __init__(self, url, kinds=(SEGMENT, PART)):
        super().__init__(daemon=True)
        self.url, self.kinds = url, kinds
        self.http = Http(timeout=3)
        self.media_url = None
        self.items, self.polls = [], []
        self.reused = 0  # URLs that came again with other content
        self.inits, self.listed, self.bodies = {}, set(), {}
        self.fault = None
        self.ending = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        self.join()
        if self.fault and kind is None:
            raise self.fault

    def run(self):
        try:
            while not self.ending.wait(EVERY):
                self.poll()
        except Exception as fault:  # shown by the thread that waits for results
            self.fault = fault

    def poll(self):
        url = self.media_url or self.url
        status, body, _ = self.http.get(url)
        text = body.decode(errors="replace") if status == 200 else ""
        if "#EXT-X-STREAM-INF" in text:
            self.media_url = hls.parse_master(text, url)[0][0].url
            return
        now = time.monotonic()
        playlist = hls.parse_media(text, url)
        end = playlist.sequence + len(playlist.segments)
        if self.polls and status == 200 and end < max((poll.end for poll in self.polls[-200:]), default=0):
            self.listed.clear()  # it began again, so an old URL may be something new
        self.polls.append(Poll(now, status, end if status == 200 else 0, "#EXT-X-ENDLIST" in text))
        if status == 200:
            listed = [(PART, part) for part in playlist.parts] + [(SEGMENT, segment) for segment, _ in playlist.segments]
            for kind, item in listed:
                if kind in self.kinds and (kind, item) not in self.listed:
                    self.take(kind, item, now, playlist.init)

    def take(self, kind, url, now, init):
        if init and init not in self.inits:
            status, body, _ = self.http.get(init)
            if status != 200:
                return
            self.inits[init] = body
        status, body, _ = self.http.get(url)
        if status != 200 or not body:
            return
        self.listed.add((kind, url))
        if self.bodies.get(url, body) == body and url in self.bodies:
            return
        self.reused += url in self.bodies
        self.bodies[url] = body
        self.items.append(Item(kind, url, now, time.monotonic(), self.inits.get(init, b""), body))

    def wait_for(self, kind, count=1, limit=15):
        """The first `count` items of that kind."""
        def enough():
            if self.fault:
                raise self.fault
            found = [item for item in list(self.items) if item.kind == kind]
            return found if len(found) >= count else None
        return wait_until(f"{count} {kind}s of {self.url.rpartition('/')[2]}", limit, enough, every=0.005)[:count]

    def read_numbers(self):
        """Reads the numbers in all pictures. Segments begin with a keyframe; parts need those before them."""
        for item in self.items:
            if item.kind == SEGMENT:
                item.numbers = picture.numbers(item.init + item.body)
        parts = [item for item in self.items if item.kind == PART]
        if not parts:
            return
        counts = [picture.samples(item.body) for item in parts]
        numbers = picture.numbers(parts[0].init + b"".join(item.body for item in parts))
        if len(numbers) != sum(counts):
            raise Failed(f"{sum(counts)} pictures in {len(parts)} parts, but {len(numbers)} were decoded")
        for item, count in zip(parts, counts):
            item.numbers, numbers = numbers[:count], numbers[count:]
