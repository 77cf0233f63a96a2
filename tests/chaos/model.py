"""A recorded history, read: playlists parsed, faults paired with their ends, and the windows in which a server or its media may be away."""

import calendar
import dataclasses
import functools
import json
import re
import time


@dataclasses.dataclass(frozen=True)
class Part:
    file: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment of a playlist; `file` is None while it still grows."""

    number: int
    file: str | None
    seconds: float | None
    date: float | None  # seconds since 1970
    run: int  # first number of its broadcast, as its map says
    discontinuity: int  # its discontinuity sequence number
    parts: tuple


@dataclasses.dataclass(frozen=True)
class Playlist:
    sequence: int
    discontinuity_sequence: int
    target: int
    segments: tuple
    ended: bool
    faults: tuple  # what cannot be read as it should

    @property
    def newest(self):
        """(number of the first incomplete segment, parts of it)."""
        if not self.segments:
            return (self.sequence, 0)
        last = self.segments[-1]
        return (last.number + 1, 0) if last.file else (last.number, len(last.parts))


def date(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


def number(file):
    """Sequence number in the name of a segment or part."""
    found = re.fullmatch(r"(?:seg|part)-\d+-(\d+)(?:\.\d+)?\.m4s", file)
    return int(found[1]) if found else None


def run_of(file):
    found = re.fullmatch(r"init-(\d+)-\d+\.mp4", file)
    return int(found[1]) if found else -1


@functools.lru_cache(maxsize=8192)
def playlist(text):
    head = {"MEDIA-SEQUENCE": 0, "DISCONTINUITY-SEQUENCE": 0, "TARGETDURATION": 0}
    segments, faults, parts = [], [], []
    run, tags, day, seconds = -1, 0, None, None
    for line in text.splitlines():
        tag, _, value = line.removeprefix("#EXT-X-").partition(":")
        if tag in head and line.startswith("#"):
            head[tag] = int(value)
        elif tag == "MAP":
            run = run_of(re.search(r'URI="([^"]+)"', value)[1])
        elif tag == "DISCONTINUITY":
            tags += 1
        elif tag == "PROGRAM-DATE-TIME":
            day = date(value)
        elif tag == "PART":
            parts.append(Part(re.search(r'URI="([^"]+)"', value)[1], float(re.search(r"DURATION=([\d.]+)", value)[1])))
        elif line.startswith("#EXTINF:"):
            seconds = float(line[8:].split(",")[0])
        elif line and not line.startswith("#"):
            of = number(line)
            if of is None:
                faults.append(f"{line} has no number")
                of = head["MEDIA-SEQUENCE"] + len(segments)
            segments.append(Segment(of, line, seconds, day, run, head["DISCONTINUITY-SEQUENCE"] + tags, tuple(parts)))
            parts, day, seconds = [], None, None
    if parts:
        segments.append(Segment(
            number(parts[0].file), None, None, day, run, head["DISCONTINUITY-SEQUENCE"] + tags, tuple(parts)))
    return Playlist(head["MEDIA-SEQUENCE"], head["DISCONTINUITY-SEQUENCE"], head["TARGETDURATION"], tuple(segments),
                    "#EXT-X-ENDLIST" in text, tuple(faults))


@dataclasses.dataclass
class Poll:
    t: float
    t1: float
    status: int
    text: str
    cache: str | None
    blocking: bool

    @property
    def playlist(self):
        return playlist(self.text)


@dataclasses.dataclass
class Fault:
    id: int
    kind: str
    stream: str | None
    begin: float
    end: float
    effect: object

    @property
    def on_server(self):
        return self.kind in ("server_kill", "server_term")

    @property
    def on_disk(self):
        return self.kind.startswith("disk")

    def __str__(self):
        return f"{self.kind}{f' of {self.stream}' if self.stream else ''} at {self.begin:.1f} s"


class History:
    """`records` are the parsed lines, in any order."""

    def __init__(self, records):
        self.by = {}
        for record in sorted(records, key=lambda record: record["t"]):
            self.by.setdefault(record["k"], []).append(record)
        self.meta = self.of("meta")[0]
        self.streams = list(self.meta["streams"])
        self.end = max(record["t"] for records in self.by.values() for record in records)
        self.polls = {}  # (stream, file) -> polls in the order of their answers
        last = {}
        for record in self.of("poll"):
            key = (record["s"], record["f"])
            text = record.get("body", last.get((key, record["by"]), ""))
            if record["st"] == 200:
                last[key, record["by"]] = text
            self.polls.setdefault(key, []).append(
                Poll(record["t"], record["t1"], record["st"], text, record.get("cache"), bool(record["q"])))
        for polls in self.polls.values():
            polls.sort(key=lambda poll: poll.t1)
        self.faults = self._faults()

    @classmethod
    def load(cls, path):
        with open(path) as file:
            return cls([json.loads(line) for line in file])

    def of(self, kind):
        return self.by.get(kind, [])

    def _faults(self):
        ends = {record["id"]: record for record in self.of("fault") if record["phase"] == "end"}
        faults = []
        for record in self.of("fault"):
            if record["phase"] == "begin":
                end = ends.get(record["id"])
                faults.append(Fault(record["id"], record["kind"], record["s"], record["t"], end["t"] if end else self.end,
                                    end and end["effect"]))
        return faults

    def playlists(self, stream):
        """Files of a stream's media playlists."""
        return sorted(file for of, file in self.polls if of == stream and re.fullmatch(r"media_\d+\.m3u8", file))

    def answered(self, stream, file):
        """Polls of a file that were answered 200, in the order of the answers."""
        return [poll for poll in self.polls.get((stream, file), []) if poll.status == 200]

    @functools.cached_property
    def seen(self):
        """(stream, file, poll) of every media playlist that was got."""
        return [(stream, file, poll) for stream in self.streams for file in self.playlists(stream)
                for poll in self.answered(stream, file)]

    @functools.cached_property
    def media(self):
        """Successful downloads: (stream, file) -> the chunks of each time."""
        found = {}
        for record in self.of("media"):
            if record["st"] == 200 and "chunks" in record:
                found.setdefault((record["s"], record["f"]), []).append(record)
        return found

    @functools.cached_property
    def timescales(self):
        return {(record["s"], record["f"]): record["timescale"] for record in self.of("init") if record["st"] == 200}

    @functools.cached_property
    def lives(self):
        """(start, end) of each server process; the last one lives to the end of the record."""
        starts = [(record["t"], record["pid"]) for record in self.of("server") if record["event"] == "start"]
        exits = {record["pid"]: record["t"] for record in self.of("server") if record["event"] == "exit"}
        return [(at, exits.get(pid, float("inf"))) for at, pid in starts]

    @functools.cached_property
    def gone(self):
        """Stream -> windows from the order to end the server to the first manifest with new media of the next one."""
        found = {}
        for stream in self.streams:
            windows = []
            for (_, died), (born, _) in zip(self.lives, self.lives[1:]):
                begin = min([fault.begin for fault in self.faults if fault.on_server and died - 15 < fault.begin <= died], default=died)
                back = min((poll.t1 for of, file, poll in self.seen if of == stream and poll.t >= born), default=float("inf"))
                windows.append((begin, back))
            found[stream] = windows
        return found

    @functools.cached_property
    def away(self):
        """Stream -> (begin, end) of times without an encoder for longer than the linger."""
        return {stream: [(fault.begin, fault.end) for fault in self.faults
                         if fault.kind == "encoder_away" and fault.stream == stream and fault.end - fault.begin > self.meta["linger"]]
                for stream in self.streams}

    def is_gone(self, stream, begin, end):
        return overlaps(self.gone[stream], begin, end)

    @functools.cached_property
    def advances(self):
        """(stream, playlist) -> (when, newest) of each first sight of something newer, by the end of the request."""
        found = {}
        for stream, file, poll in self.seen:
            list_ = found.setdefault((stream, file), [])
            if not list_ or poll.playlist.newest > list_[-1][1]:
                list_.append((poll.t1, poll.playlist.newest))
        return found


def overlaps(windows, begin, end):
    return any(start <= end and begin <= stop for start, stop in windows)
