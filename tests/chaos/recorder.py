"""Records what players, clients and operators see of a chaos run: every answer with its time, as lines of JSON.

Nothing is judged here. Bodies are kept as they came, unless they are those of the poll before; media is kept as its chunks' times and hashes.
Times are seconds of the monotonic clock from the start of the run; `t` is when a request was sent, `t1` when its answer was there.
"""

import json
import os
import re
import threading
import time

import boxes
from hls import parse_master
from server import API_KEY, Http

POLL = 0.25  # seconds between two polls of every manifest
AGAIN = 12.0  # seconds after which a segment that is still listed is downloaded a second time
API_EVERY, WRITE_EVERY, PROCESS_EVERY = 0.5, 0.5, 0.5
KEYED = {"Authorization": f"APIKey {API_KEY}", "Content-Type": "application/json"}


class History:
    """The file; threads share it."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "w")
        self.lock = threading.Lock()
        self.began = time.monotonic()

    def now(self):
        return round(time.monotonic() - self.began, 4)

    def write(self, what, /, **fields):
        line = json.dumps({"k": what, **({} if "t" in fields else {"t": self.now()}), **fields}, separators=(",", ":"))
        with self.lock:
            self.file.write(line + "\n")

    def close(self):
        with self.lock:
            self.file.close()


class Watch(threading.Thread):
    """Does `step` again and again, at least `every` seconds apart, until it is told to end."""

    def __init__(self, history, every):
        super().__init__(daemon=True)
        self.history, self.every = history, every
        self.http = Http(timeout=20)
        self.ending = threading.Event()
        self.fault = None

    def run(self):
        due = time.monotonic()
        try:
            while not self.ending.wait(max(0.0, due - time.monotonic())):
                due = max(due + self.every, time.monotonic() - 1)
                self.step()
        except Exception as bug:  # a record that just ends looks like one in which nothing happened
            self.fault = bug

    def get(self, url, headers=()):
        began = self.history.now()
        status, body, answered = self.http.request("GET", url, headers=headers)
        return began, status, body, answered


class Manifests(Watch):
    """Plain polls of the master, every media playlist and the MPD of one stream."""

    def __init__(self, history, name, stream):
        super().__init__(history, POLL)
        self.name = name
        self.base = stream["hls_cmaf_url"].rsplit("/", 1)[0] + "/"
        self.files = [stream["hls_cmaf_url"].rsplit("/", 1)[1], stream["dash_url"].rsplit("/", 1)[1]]
        variants, audio = parse_master(self.http.get(stream["hls_cmaf_url"])[1].decode(), stream["hls_cmaf_url"])
        self.playlists = [url.rsplit("/", 1)[1] for url in [variant.url for variant in variants] + [audio]]
        self.last = {}
        self.by = "poll"

    def step(self):
        for file in self.files + self.playlists:
            self.poll(file)

    def poll(self, file, query=""):
        began, status, body, headers = self.get(self.base + file + query)
        text = body.decode(errors="replace")
        fields = {} if text == self.last.get(file) and status == 200 else {"body": text}
        if status == 200:
            self.last[file] = text
        else:
            fields |= {"cache": headers.get("Cache-Control"), "code": headers.get("X-Err-Code")}
        self.history.write("poll", t=began, t1=self.history.now(), s=self.name, by=self.by, f=file, q=query, st=status, **fields)
        return text if status == 200 else None


class Player(Manifests):
    """Follows one media playlist by blocking reloads and downloads all that it lists."""

    def __init__(self, history, name, stream, playlist):
        super().__init__(history, name, stream)
        self.every = 0.05
        self.playlist, self.by = playlist, "player"
        self.query = ""
        self.taken = {}  # file -> when, None once it was taken a second time
        self.defaults = {}  # initialization file -> default sample duration
        self.map = None

    def step(self):
        text = self.poll(self.playlist, self.query)
        if text is None:
            self.query = ""
            time.sleep(0.1)
            return
        segments = re.findall(r"^[^#\s].*$", text, re.M)
        maps = re.findall(r'#EXT-X-MAP:URI="([^"]+)"', text)
        for line in text.splitlines():
            if line.startswith("#EXT-X-MAP:"):
                self.take_init(re.search(r'URI="([^"]+)"', line)[1])
            elif line.startswith("#EXT-X-PART:"):
                self.take(re.search(r'URI="([^"]+)"', line)[1])
            elif line and not line.startswith("#"):
                self.take(line)
        self.take_again(segments)
        self.ended = "#EXT-X-ENDLIST" in text
        hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="part-\d+-(\d+)\.(\d+)\.m4s"', text)
        self.query = f"?_HLS_msn={hint[1]}&_HLS_part={hint[2]}" if hint and maps and not self.ended else ""
        if self.ended:
            time.sleep(POLL)

    def take_init(self, file):
        self.map = file
        if file in self.defaults:
            return
        began, status, body, _ = self.get(self.base + file)
        found = {}
        if status == 200:
            try:
                timescale, self.defaults[file] = boxes.init(body)
                found = {"timescale": timescale}
            except boxes.Damaged as why:
                found = {"damaged": str(why)}
        self.history.write("init", t=began, t1=self.history.now(), s=self.name, f=file, st=status, n=len(body), **found)

    def take(self, file, again=False):
        if self.map not in self.defaults or (file in self.taken and not again):
            return
        began, status, body, _ = self.get(self.base + file)
        fields = {}
        if status == 200:
            self.taken[file] = None if again else time.monotonic()
            try:
                fields["chunks"] = boxes.chunks(body, self.defaults[self.map])
            except boxes.Damaged as why:
                fields["damaged"] = str(why)
        self.history.write("media", t=began, t1=self.history.now(), s=self.name, f=file, map=self.map, st=status, n=len(body), **fields)

    def take_again(self, listed):
        """The oldest listed segments a second time: what is published never changes."""
        for file in listed:
            at = self.taken.get(file)
            if at is not None and file.startswith("seg-") and time.monotonic() - at > AGAIN:
                self.take(file, again=True)


class Api(Watch):
    """What the API and the operator's view say of a stream."""

    def __init__(self, history, base, streams):
        super().__init__(history, API_EVERY)
        self.base, self.streams = base, streams
        self.journal = {}

    def step(self):
        for name, stream in self.streams.items():
            for what, path in (("live", f"/streaming/streams/{stream['id']}"), ("ops", f"/ops/streams/{stream['id']}")):
                began, status, body, _ = self.get(self.base + path, KEYED)
                seen = self.shorten(name, what, json.loads(body)) if status == 200 else {"error": body[:200].decode(errors="replace")}
                self.history.write("api", t=began, t1=self.history.now(), s=name, what=what, st=status, seen=seen)

    def shorten(self, name, what, seen):
        if what == "live":
            return {key: seen[key] for key in ("live", "backup_live", "transcoding_speed", "started_at_primary", "finished_at_primary") if key in seen}
        newest = max((entry["seq"] for entry in seen["journal"]), default=0)
        known = self.journal.get(name, 0)
        seen["journal"] = [entry for entry in seen["journal"] if entry["seq"] > known or newest < known]
        self.journal[name] = newest
        return seen


class Writer(Watch):
    """Changes two fields of a stream that nobody watches, always both to the same text, and reads them back."""

    def __init__(self, history, base, stream):
        super().__init__(history, WRITE_EVERY)
        self.url = f"{base}/streaming/streams/{stream['id']}"
        self.count = 0

    def step(self):
        self.count += 1
        text = f"write-{self.count}"
        began = self.history.now()
        status, body, _ = self.http.request("PATCH", self.url, json.dumps({"name": text, "client_entity_data": text}), KEYED)
        said = {} if status == 200 else {"error": body[:200].decode(errors="replace")}
        self.history.write("write", t=began, t1=self.history.now(), n=self.count, st=status, **said)
        began, status, body, _ = self.get(self.url, KEYED)
        if status == 200:
            seen = json.loads(body)
            said = {"seen": [seen["name"], seen["client_entity_data"]]}
        else:
            said = {"error": body[:200].decode(errors="replace")}
        self.history.write("read", t=began, t1=self.history.now(), st=status, **said)


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def workers(program):
    """(process id, parent, stream id) of every worker of this program on the machine."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words[1:2] == [b"worker"] and words[0] == str(program).encode() and words[2].isdigit():
                status = status_of(pid)
                if not status["State"].startswith("Z"):
                    found.append((int(pid), int(status["PPid"]), int(words[2])))
        except (OSError, IndexError, KeyError):
            continue  # it ended meanwhile
    return found


class Processes(Watch):
    """Memory, files and threads of the server, and its workers; also how many lines it has logged."""

    def __init__(self, history, weir, program):
        super().__init__(history, PROCESS_EVERY)
        self.weir, self.program = weir, program

    def step(self):
        began, pid = self.history.now(), self.weir.process.pid
        seen = {"workers": workers(self.program)}
        try:
            status = status_of(pid)
            seen |= {"rss_kb": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
                     "fds": len(os.listdir(f"/proc/{pid}/fd"))}
        except (OSError, KeyError):
            pass  # it has just ended
        with open(self.weir.log.name, "rb") as log:
            lines = sum(1 for _ in log)
        with open("/proc/pressure/cpu") as psi:
            pressure = float(psi.readline().split("avg10=")[1].split()[0])
        self.history.write("process", t=began, server=pid, log=lines, psi=pressure, **seen)
