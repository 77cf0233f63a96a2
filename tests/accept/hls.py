"""The client side of HLS as far as measuring needs it: playlists, and what they list put together as files."""

import dataclasses
import re
import threading
import time
from urllib.parse import urljoin

from report import Failed, wait_until


@dataclasses.dataclass
class Variant:
    url: str
    width: int
    height: int


@dataclasses.dataclass
class Media:
    """A media playlist."""

    sequence: int
    init: str
    segments: list  # (url, seconds)
    parts: list  # urls of the parts that are listed, oldest first
    open_parts: int  # parts after the last whole segment

    @property
    def newest(self):
        """Position of the newest part: (sequence number of its segment, parts of it so far)."""
        return (self.sequence + len(self.segments), self.open_parts)


def attributes(line):
    return {key: value.strip('"') for key, value in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line)}


def parse_master(text, url):
    """Variants by falling height, and the URL of the audio rendition."""
    variants, audio, pending = [], None, None
    for line in text.splitlines():
        if line.startswith("#EXT-X-MEDIA:") and "TYPE=AUDIO" in line:
            audio = urljoin(url, attributes(line)["URI"])
        elif line.startswith("#EXT-X-STREAM-INF:"):
            pending = attributes(line)
        elif line and not line.startswith("#") and pending is not None:
            width, height = map(int, pending["RESOLUTION"].split("x"))
            variants.append(Variant(urljoin(url, line), width, height))
            pending = None
    return sorted(variants, key=lambda variant: -variant.height), audio


def parse_media(text, url):
    media = Media(sequence=0, init="", segments=[], parts=[], open_parts=0)
    seconds = None
    for line in text.splitlines():
        if line.startswith("#EXT-X-MEDIA-SEQUENCE:"):
            media.sequence = int(line.split(":")[1])
        elif line.startswith("#EXT-X-MAP:"):
            media.init = urljoin(url, attributes(line)["URI"])
        elif line.startswith("#EXT-X-PART:"):
            media.parts.append(urljoin(url, attributes(line)["URI"]))
            media.open_parts += 1
        elif line.startswith("#EXTINF:"):
            seconds = float(line[len("#EXTINF:"):].split(",")[0])
        elif line and not line.startswith("#"):
            media.segments.append((urljoin(url, line), seconds))
            media.open_parts = 0
    return media


class Presentation:
    """A stream's HLS presentation: its renditions, read once, and their playlists, read on demand."""

    def __init__(self, http, master_url):
        self.http = http
        self.variants, self.audio = parse_master(self.text(master_url), master_url)
        if not self.variants or not self.audio:
            raise Failed(f"{master_url} lists {len(self.variants)} variants, audio {self.audio}")

    @property
    def urls(self):
        """Media playlists: the video renditions, largest first, then audio."""
        return [variant.url for variant in self.variants] + [self.audio]

    def bytes(self, url):
        status, body, _ = self.http.get(url)
        if status != 200:
            raise Failed(f"{url} answered {status}")
        return body

    def text(self, url):
        return self.bytes(url).decode()

    def media(self, url):
        return parse_media(self.text(url), url)

    def save(self, directory, segments, limit):
        """Waits until every rendition lists that many whole segments and saves the same ones of each as
        `directory/N.mp4`; returns the paths in the order of `urls`."""
        def enough():
            playlists = [self.media(url) for url in self.urls]
            return playlists if all(len(p.segments) >= segments for p in playlists) else None
        playlists = wait_until(f"{segments} whole segments", limit, enough, every=0.2)
        first = max(p.sequence for p in playlists)
        last = min(p.sequence + len(p.segments) for p in playlists)
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, playlist in enumerate(playlists):
            listed = playlist.segments[first - playlist.sequence : last - playlist.sequence]
            path = directory / f"{number}.mp4"
            path.write_bytes(self.bytes(playlist.init) + b"".join(self.bytes(url) for url, _ in listed))
            paths.append(path)
        return paths


class Recorder(threading.Thread):
    """Saves every whole segment of some media playlists while a stream runs, each into one file."""

    def __init__(self, presentation, urls_to_paths):
        super().__init__(daemon=True)
        self.presentation = presentation
        self.wanted = urls_to_paths
        self.ending = threading.Event()
        self.faults = []

    def run(self):
        following = {}
        with_files = {url: open(path, "wb") for url, path in self.wanted.items()}
        while True:
            last_round = self.ending.is_set()
            for url, file in with_files.items():
                try:
                    following[url] = self.take_new(url, file, following.get(url))
                except Failed as fault:
                    self.faults.append(str(fault))
            if last_round:
                break
            self.ending.wait(1.0)
        for file in with_files.values():
            file.close()

    def take_new(self, url, file, following):
        playlist = self.presentation.media(url)
        if following is None:
            file.write(self.presentation.bytes(playlist.init))
            following = playlist.sequence
        if playlist.sequence > following:
            self.faults.append(f"segments {following} to {playlist.sequence} left the playlist before they were read")
            following = playlist.sequence
        for segment_url, _ in playlist.segments[following - playlist.sequence:]:
            file.write(self.presentation.bytes(segment_url))
            following += 1
        return following

    def finish(self):
        self.ending.set()
        self.join()
        if self.faults:
            raise Failed(f"recording: {self.faults[0]}")


class PartWatch(threading.Thread):
    """Notes when each new part of a media playlist appears, to tell whether a stream is undisturbed."""

    def __init__(self, presentation, url):
        super().__init__(daemon=True)
        self.presentation = presentation
        self.url = url
        self.ending = threading.Event()
        self.seen = []  # (time, position)
        self.faults = []

    def run(self):
        newest = None
        while not self.ending.wait(0.05):
            try:
                position = self.presentation.media(self.url).newest
            except Failed as fault:
                self.faults.append(str(fault))
                continue
            if newest is not None and position < newest:
                self.faults.append(f"playlist went back from {newest} to {position}")
            if position != newest:
                newest = position
                self.seen.append((time.monotonic(), position))

    def finish(self):
        """Longest time between two new parts, seconds."""
        self.ending.set()
        self.join()
        times = [at for at, _ in self.seen]
        if len(times) < 2:
            raise Failed("no new parts while watching")
        return max(later - earlier for earlier, later in zip(times, times[1:]))
