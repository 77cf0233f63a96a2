"""A server with one stream and an encoder for each of its slots, and everything that watches them."""

import collections
import threading
import time

import hls
import probe
from continuity import ManifestWatch
from failover_push import LEAD, Pusher
from failover_reading import Sound, pictures
from report import wait_until
from server import Http, Weir

LOOK = 0.04  # seconds between two looks at the operator's view
PAGE = 200  # journal entries asked for at once
# Seconds without a picture that the reference's own demo shows when its backup takes over, and when its primary comes back.
REFERENCE_OUT, REFERENCE_BACK = 12, 11


class Watch(threading.Thread):
    """Follows `GET /ops/streams/{id}`, and keeps what changed and when it was seen."""

    def __init__(self, weir, stream):
        super().__init__(daemon=True)
        self.weir, self.id = weir, stream["id"]
        self.seen = collections.defaultdict(list)  # by field: (when, value), one for each change
        self.alignment = {}
        self.decoded = {"primary": [], "backup": []}  # (when, pictures decoded by now), one for each growth
        self.ending = threading.Event()
        self.fault = None

    def run(self):
        try:
            while not self.ending.wait(LOOK):
                self.look(self.weir.detail({"id": self.id}), time.monotonic())
        except Exception as fault:  # shown by the thread that waits
            self.fault = fault

    def told(self, detail):
        """The fields that are followed."""
        return {"on_air": detail["on_air"], "shown": detail["shown"], "worker": (detail["pipeline"] or {}).get("pid")}

    def look(self, detail, now):
        for field, value in self.told(detail).items():
            if not self.seen[field] or self.seen[field][-1][1] != value:
                self.seen[field].append((now, value))
        self.alignment = detail["alignment"]
        for slot in detail["slots"]:
            count = (slot["session"] or {}).get("decoded_frames")
            known = self.decoded[slot["slot"]]
            if count and (not known or count > known[-1][1]):
                known.append((now, count))

    def when(self, field, value, after=0.0):
        """When the field first had that value after then; None if it had not."""
        return next((at for at, told in self.seen[field] if told == value and at > after), None)

    def wait(self, field, value, limit, after=0.0):
        def there():
            if self.fault:
                raise self.fault
            return self.when(field, value, after)
        return wait_until(f"{field} = {value} ({self.seen[field][-3:]})", limit, there)

    def values(self, field, after=0.0):
        """The values that it had since then, each change one."""
        return [value for at, value in self.seen[field] if at > after]

    def finish(self):
        self.ending.set()
        self.join()
        if self.fault:
            raise self.fault


def journal(weir, stream):
    """The stream's whole journal, oldest entry first."""
    entries, cursor = [], None
    while True:
        query = f"?limit={PAGE}" + (f"&before={cursor}" if cursor is not None else "")
        page = weir.api("GET", f"/ops/streams/{stream['id']}/journal{query}")
        entries += page["items"]
        cursor = page["next"]
        if cursor is None:
            return entries[::-1]


class Rig:
    """Ended on leaving the `with`. `settings` is TOML; `failover` is what is patched before anything is pushed."""

    def __init__(self, name, primary, backup=None, settings="", failover=None, rung="360p"):
        self.name = name
        sources = {"primary": primary} | ({"backup": backup} if backup else {})
        for source in sources.values():
            source.make()
        self.sources = sources
        self.weir = Weir(name, settings)
        self.stream = self.weir.create_stream(rung)
        if failover:
            self.weir.api("PATCH", f"/ops/streams/{self.stream['id']}/failover", failover)
        urls = {"primary": self.stream["push_url"], "backup": self.stream["backup_push_url"]}
        self.pushers = {slot: Pusher(urls[slot], source) for slot, source in sources.items()}
        self.late = dict.fromkeys(sources, 0.0)
        self.programme = None
        self.watch = self.manifests = self.recorder = None

    def __enter__(self):
        return self

    def __exit__(self, *why):
        for pusher in self.pushers.values():
            pusher.close()
        for thread in (self.watch, self.manifests, self.recorder):
            if thread:
                thread.ending.set()
        for thread in (self.watch, self.manifests, self.recorder):
            if thread:
                thread.join(5)
        self.weir.__exit__(*why)

    def tap(self, slot):
        return self.pushers[slot].tap

    def begin(self, late=0.0):
        """Both encoders push and everything is watched; the backup's programme arrives `late` seconds later."""
        self.programme = time.monotonic() + LEAD + 0.3 + max(0.0, -late)
        self.late["backup"] = late
        self.watch = Watch(self.weir, self.stream)
        self.watch.start()
        self.start("primary")
        if "backup" in self.pushers:
            self.start("backup")
        self.weir.wait_playable(self.stream)
        presentation = hls.Presentation(self.weir.http, self.stream["hls_cmaf_url"])
        self.files = [self.weir.dir / "video.mp4", self.weir.dir / "audio.mp4"]
        self.recorder = hls.Recorder(presentation, dict(zip((presentation.variants[-1].url, presentation.audio), self.files)))
        self.manifests = ManifestWatch(Http(), self.stream)
        self.recorder.start()
        self.manifests.start()

    def start(self, slot):
        """When the first picture of the encoder that was started was sent."""
        return self.pushers[slot].start(self.programme, self.late[slot])

    def sleep_until(self, at):
        time.sleep(max(0.0, at - time.monotonic()))

    def wait_locked(self, limit):
        wait_until("content lock", limit, lambda: self.watch.alignment.get("state") == "locked" or self.watch.fault)
        if self.watch.fault:
            raise self.watch.fault

    def finish(self):
        """Ends all watching; the figure of the manifests."""
        self.recorder.finish()
        figure = self.manifests.finish()
        self.watch.finish()
        self.weir.alive()
        return figure

    def journal(self):
        return journal(self.weir, self.stream)

    def recording(self):
        return pictures(self.files[0]), Sound(self.files[1])

    def tracks(self):
        return [probe.track(path) for path in self.files]


def gaps(entries, after=0):
    """The journal's holes and changes of input."""
    return [entry for entry in entries if entry["event"] == "gap" and entry["seq"] > after]


def newest(entries):
    return max((entry["seq"] for entry in entries), default=0)


def hold_setting(seconds, more=""):
    """Settings of a short hold; encoders that come and go often do not meet the rate limit."""
    return f'[failover]\nhold = "{seconds}s"\n{more}[limits]\nconnect_burst = 1000\n'
