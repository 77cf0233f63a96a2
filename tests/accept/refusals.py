"""Lines about publishers that are not let in: every reason, on every protocol and in both slots, as real clients see it."""

import contextlib
import dataclasses
import itertools
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import compiled
import door_encoders as encoders
import hls
import rtmp_push
import whip_http
from control import PART_GAP_LIMIT
from door_programme import programme
from failover_reading import pictures
from failover_rig import gaps, journal, newest
from report import VOID_ABOVE, Failed, Figure, at_most, empty, equal, pressure, starved, unless_starved, wait_until
from server import Weir

DEADLINE = 3.0  # seconds from the start of a client to its end, of one that takes long to start from its offer to the answer
GIVEN_UP = 30.0
BURST = 3
# So that no client is let in because it came late, and nothing else is limited.
SETTINGS = f'[limits]\nconnect_every = "10m"\nconnect_burst = {BURST}\n'
AT_ONCE = 3
PROGRAMME_SECONDS, SHORT_PROGRAMME_SECONDS = 150, 40
LEAST_WATCHED = 6  # seconds of the running streams, however soon all clients are refused: a rate of pictures needs some
SLOTS = ("primary", "backup")
TYPE = {"rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt", "whip": "whip"}
UNKNOWN_ID = 999999
PAGE = 100


@dataclasses.dataclass(frozen=True)
class Case:
    """A reason, and how each protocol tells it."""

    name: str
    rule: str  # in the ledger
    words: str  # of an RTMP status
    srt: int
    whip: tuple  # status, X-Reason-Code


CASES = [
    Case("unknown id", "not_authorized", "unknown stream or wrong token", 1401, (401, "2001")),
    Case("wrong token", "not_authorized", "unknown stream or wrong token", 1401, (403, "2002")),
    Case("stream off", "stream_off", "stream is switched off", 1403, (403, "2004")),
    Case("slot taken", "slot_taken", "another encoder is already publishing here", 1409, (403, "2003")),
    Case("other protocol on air", "other_protocol", "stream is already fed over another protocol", 1409, (403, "2003")),
    Case("rate limited", "rate_limited", "too many connections", 1402, (429, None)),
]
# Streams that run meanwhile.
ON_AIR = {
    "rtmp": (encoders.FFMPEG_RTMP, SLOTS),
    "rtmp_backup": (encoders.FFMPEG_RTMP, SLOTS[1:]),
    "srt": (encoders.FFMPEG_SRT, SLOTS[:1]),
    "srt_backup": (encoders.FFMPEG_SRT, SLOTS[1:]),
    "whip": (encoders.AIORTC, SLOTS[:1]),
}
# By protocol and slot: where the slot is taken, and where another protocol is on air and the slot itself is free.
TAKEN = {("rtmp", "primary"): "rtmp", ("rtmp", "backup"): "rtmp", ("srt", "primary"): "srt", ("srt", "backup"): "srt_backup", ("whip", "primary"): "whip"}
OTHER = {("rtmp", "primary"): "srt_backup", ("rtmp", "backup"): "srt", ("srt", "primary"): "rtmp_backup", ("srt", "backup"): "whip",
         ("whip", "primary"): "srt_backup", ("whip", "backup"): "srt"}
WHIP_HTTP = encoders.Client("HTTP, WHIP", "whip", None)
CLIENTS = [encoders.FFMPEG_RTMP, encoders.RTMP2SINK, encoders.LIBRTMP, encoders.FFMPEG_RTMPS, encoders.RTMP2SINK_TLS,
           encoders.FFMPEG_SRT, encoders.TRANSMIT, encoders.LIBSRT, WHIP_HTTP, encoders.AIORTC]
SHORT_CLIENTS = [encoders.FFMPEG_RTMP, encoders.RTMP2SINK_TLS, encoders.LIBSRT, WHIP_HTTP]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One client at one closed door."""

    case: Case
    slot: str
    client: encoders.Client
    address: str  # where it comes from, an own one for each, so that no limit is met by accident

    def __str__(self):
        return f"{self.client.name}, {self.case.name}, {self.slot}"


class OnAir:
    """The streams that are running meanwhile, by protocol, and what must not happen to them."""

    def __init__(self, weir, sent):
        self.weir, self.sent = weir, sent
        self.streams, self.slots, self.pushes = {}, {}, contextlib.ExitStack()

    def start(self, kind, slots, client):
        self.slots[kind] = slots
        stream = self.streams[kind] = self.weir.create_stream("360p")
        for slot in slots:
            to = encoders.target(self.weir, stream, client.door, slot)
            self.pushes.enter_context(client.start(to, self.sent[slot]))
        return stream

    def watch(self):
        for stream in self.streams.values():
            self.weir.wait_playable(stream, 30)
        for kind, slots in self.slots.items():
            wait_until(f"pictures in each slot by {kind}", 20, lambda: len(self.received(kind)) == len(slots))
        self.before = {kind: self.sessions(stream) for kind, stream in self.streams.items()}
        self.counted = {kind: self.units(stream) for kind, stream in self.streams.items()}
        self.newest = {kind: newest(journal(self.weir, stream)) for kind, stream in self.streams.items()}
        self.parts = {}
        for kind, stream in self.streams.items():
            presentation = hls.Presentation(self.weir.http, stream["hls_cmaf_url"])
            self.parts[kind] = hls.PartWatch(presentation, presentation.variants[0].url)
            self.parts[kind].start()
        stream = self.streams["rtmp"]
        presentation = hls.Presentation(self.weir.http, stream["hls_cmaf_url"])
        self.file = self.weir.dir / "running.mp4"
        self.recorder = hls.Recorder(presentation, {presentation.variants[0].url: self.file})
        self.recorder.start()
        self.watched = time.monotonic()

    def received(self, kind):
        """Slots that pictures have come to."""
        return [slot["slot"] for slot in self.weir.detail(self.streams[kind])["slots"] if (slot["session"] or {}).get("video_units")]

    def sessions(self, stream):
        return [(slot["session"] or {}).get("id") for slot in self.weir.detail(stream)["slots"]]

    def units(self, stream):
        """For each slot that has an encoder: when its counter last moved, and to how many pictures. It moves four times a second, so that a
        count read in between is up to seven pictures old."""
        def counts():
            return {slot["slot"]: slot["session"]["video_units"] for slot in self.weir.detail(stream)["slots"] if slot["session"]}
        old, moved = counts(), {}

        def all_moved():
            for slot, count in counts().items():
                if slot not in moved and count != old.get(slot):
                    moved[slot] = time.monotonic(), count
            return len(moved) == len(old)
        wait_until("pictures in each slot", 5, all_moved, every=0.01)
        return [moved[slot] for slot in old]

    def figures(self):
        long_enough = self.watched + LEAST_WATCHED
        wait_until("end of the watch", LEAST_WATCHED + 1, lambda: time.monotonic() >= long_enough)
        self.recorder.finish()
        found = []
        for kind, stream in self.streams.items():
            detail = self.weir.detail(stream)
            dropped = [slot["session"]["dropped_units"] for slot in detail["slots"] if slot["session"]]
            what = f"{kind} on air"
            # A live encoder loses what it cannot send.
            rates = [(after - before) / (now - began) for (began, before), (now, after) in zip(self.counted[kind], self.units(stream))]
            found += [
                equal(f"{what}: sessions kept", self.sessions(stream) == self.before[kind], True),
                equal(f"{what}: units dropped, each slot", dropped, [0] * len(dropped)),
                unless_starved(Figure(f"{what}: pictures received a second, each slot", ", ".join(f"{rate:.1f}" for rate in rates), "29 to 31",
                                      all(29 <= rate <= 31 for rate in rates))),
                unless_starved(empty(f"{what}: gaps by the journal", [gap["text"] for gap in gaps(journal(self.weir, stream), self.newest[kind])])),
                unless_starved(at_most(f"{what}: longest wait for a new part", self.parts[kind].finish(), PART_GAP_LIMIT, "s")),
            ]
        numbers = [picture.number for picture in pictures(self.file) if picture.number is not None][self.sent["primary"].source.fps:]
        jumps = [f"{a} to {b}" for a, b in zip(numbers, numbers[1:]) if b not in (a, a + 1)]
        return [*found, unless_starved(empty(f"rtmp on air: jumps of the counter in {len(numbers)} pictures recorded", jumps))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watch in getattr(self, "parts", {}).values():
            watch.ending.set()
        self.pushes.close()


def refusals(short):
    """Every reason to refuse, on every protocol, in both slots: each client ends at once with its error, and it is in the ledger."""
    encoders.venv_python()
    seconds = SHORT_PROGRAMME_SECONDS if short else PROGRAMME_SECONDS
    sent = {"primary": programme(seconds), "backup": programme(seconds, backup=True)}
    for one in sent.values():
        _ = one.flv, one.ts
    with Weir("refusals", SETTINGS, doors=encoders.OPEN) as weir, OnAir(weir, sent) as on_air:
        for kind, (client, slots) in ON_AIR.items():
            if client.door in encoders.DOORS:
                on_air.start(kind, slots, client)
        on_air.watch()
        idle, off = weir.create_stream("360p"), weir.create_stream("360p", active=False)
        table = Table(weir, on_air.streams, idle, off, sent["primary"])
        clients = encoders.built(SHORT_CLIENTS if short else CLIENTS)
        cells = [Cell(case, slot, client, f"127.1.{number // 200}.{1 + number % 200}")
                 for number, (case, slot, client) in enumerate(itertools.product(CASES, SLOTS, clients)) if table.is_there(case, slot, client)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seen = list(pool.map(table.refused, cells))
        figures = [figure for slot in SLOTS for figure in summary(cells, seen, slot)]
        figures += [empty("refusals without their row in the ledger", table.not_in_ledger(cells)), *on_air.figures()]
    return figures + [pressure()]


def summary(cells, seen, slot):
    """One figure for each reason."""
    for case in CASES:
        mine = [(cell, told) for cell, told in zip(cells, seen) if (cell.case, cell.slot) == (case, slot)]
        faults = [f"{cell.client.name}: {told.fault}" for cell, told in mine if told.fault]
        slowest = max((told.seconds for _, told in mine), default=0)
        yield Figure(f"{case.name}, {slot}: {len(mine)} clients", f"slowest {slowest:.1f} s" + "".join(f"; {fault}" for fault in faults),
                     f"each its error within {DEADLINE:g} s", bool(mine) and not faults)


@dataclasses.dataclass(frozen=True)
class Told:
    """What came of a cell."""

    seconds: float
    fault: str | None


class Table:
    """Puts clients before closed doors."""

    def __init__(self, weir, on_air, idle, off, sent):
        self.weir, self.on_air, self.idle, self.off, self.sent = weir, on_air, idle, off, sent
        self.shim = compiled.shared("from_address.c")
        self.limited = {}  # cell -> its own stream

    def is_there(self, case, slot, client):
        """WHIP has no second encoder here to take the backup's slot."""
        where = {"slot taken": TAKEN, "other protocol on air": OTHER}.get(case.name)
        return where is None or where.get((TYPE[client.door], slot)) in self.on_air

    def stream(self, cell):
        case, kind = cell.case.name, (TYPE[cell.client.door], cell.slot)
        if case == "stream off":
            return self.off
        if case == "slot taken":
            return self.on_air[TAKEN[kind]]
        if case == "other protocol on air":
            return self.on_air[OTHER[kind]]
        if case == "rate limited":
            return self.limited.setdefault(cell, self.weir.create_stream("360p"))
        return self.idle

    def target(self, cell, stream):
        to = encoders.target(self.weir, stream, cell.client.door, cell.slot)
        name = f"{stream['id']}{'b' if cell.slot == 'backup' else ''}"
        if cell.case.name == "wrong token":
            to = dataclasses.replace(to, url=to.url.replace(stream["token"], "0" * len(stream["token"])))
        if cell.case.name == "unknown id":
            other = name.replace(str(stream["id"]), str(UNKNOWN_ID))
            for around in ("/{}?", "={}#", "={}%23", "/{}_"):
                to = dataclasses.replace(to, url=to.url.replace(around.format(name), around.format(other)))
        return to

    def use_up(self, cell, stream):
        """As many admissions as the limit allows, from where the client will come."""
        url = encoders.target(self.weir, stream, "rtmp", cell.slot).url
        for _ in range(BURST):
            connection = rtmp_push.Connection(url, source=cell.address)
            connection.publish()
            connection.close()
            wait_until("end of a session", 5, lambda: not any(slot["session"] for slot in self.weir.detail(stream)["slots"]), every=0.02)

    def refused(self, cell):
        try:
            stream = self.stream(cell)
            to = self.target(cell, stream)
            if cell.case.name == "rate limited":
                self.use_up(cell, stream)
            if cell.client is WHIP_HTTP:
                return self.by_http(cell, to)
            environment = dict(os.environ, LD_PRELOAD=str(self.shim), FROM_ADDRESS=cell.address)
            with cell.client.start(to, self.sent, environment) as push:
                code, seconds = push.ended(GIVEN_UP)
                words = push.words()
        except (Failed, OSError, rtmp_push.Refused) as why:
            return Told(float("inf"), str(why))
        return Told(seconds, self.fault(cell, code, seconds, words))

    def by_http(self, cell, to):
        began = time.monotonic()
        answer = whip_http.post(to.url, whip_http.OFFER, source=cell.address)
        seconds = time.monotonic() - began
        return Told(seconds, self.whip_fault(cell, answer.status, answer.headers.get("X-Reason-Code"), answer.headers.get("Retry-After"), seconds))

    def whip_fault(self, cell, status, reason, retry_after, seconds):
        if (status, reason) != cell.case.whip:
            return f"status {status}, reason {reason}, not {cell.case.whip}"
        if cell.case.name == "rate limited" and not (retry_after or "").isdigit():
            return f"Retry-After {retry_after}"
        return None if seconds <= DEADLINE else f"after {seconds:.1f} s"

    def fault(self, cell, code, seconds, words):
        """What is wrong with a client's end."""
        # srt-live-transmit has one exit code only.
        if code in (0, None) and cell.client is not encoders.TRANSMIT:
            return f"ended with {code}: {words[-100:]}"
        if cell.client is encoders.AIORTC:
            told = next((event for event in map(json.loads, filter(lambda line: line.startswith("{"), words.splitlines())) if event["event"] == "answered"), None)
            return self.whip_fault(cell, told["status"], told["reason"], told["retry_after"], told["seconds"]) if told else f"no answer: {words[-200:]}"
        if seconds > DEADLINE and starved() <= VOID_ABOVE or seconds > GIVEN_UP / 3:
            return f"after {seconds:.1f} s"
        expected = {
            encoders.LIBSRT: f"rejected {cell.case.srt}",
            # These do not hand on what they are told.
            encoders.LIBRTMP: "Could not connect to RTMP stream",
            encoders.TRANSMIT: "REJECT",
            encoders.FFMPEG_SRT: "Connection to srt://",
        }.get(cell.client, cell.case.words)
        return None if expected in words else f"said {words[-160:]!r}, not {expected!r}"

    def ledger(self, path):
        """All of a ledger's rows."""
        rows, cursor = [], None
        while True:
            page = self.weir.api("GET", f"{path}?limit={PAGE}" + (f"&before={cursor}" if cursor is not None else ""))
            rows += page["items"]
            cursor = page["next"]
            if cursor is None:
                return rows

    def not_in_ledger(self, cells):
        """Cells that left no row with their rule, protocol, slot and address, and with what the encoder was told."""
        known, missing = {}, []
        for cell in cells:
            path = "/ops/refusals" if cell.case.name == "unknown id" else f"/ops/streams/{self.stream(cell)['id']}/refusals"
            rows = known[path] = known.get(path) or self.ledger(path)
            if not any((row["rule"], row["protocol"], row["slot"]) == (cell.case.rule, cell.client.door, cell.slot)
                       and row["address"].split(":")[0] == cell.address and row["told"] for row in rows):
                missing.append(str(cell))
        return missing
