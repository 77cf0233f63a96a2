"""The line about API writes across kills of the server: what was accepted is there, what was in flight is whole or absent."""

import contextlib
import dataclasses
import http.client
import json
import random
import sqlite3
import threading
import time
from urllib.parse import urlsplit

from report import Failed, Figure, empty, equal
from server import API_KEY, Weir

KILLS, SHORT_KILLS = 100, 10
WRITERS = 4
UNTIL_KILL = 0.005, 0.25  # seconds from the first write to the kill
STREAMS = 3, 8  # fewest and most streams of a writer
SEED = 20261122
SETS = '[[quality_sets]]\n' + '\n[[quality_sets]]\n'.join(
    f'id = {n}\nname = "set {n}"\ndefault = {"true" if n == 1 else "false"}\n'
    f'qualities = [{{ id = 1, name = "360p", width = 640, height = 360, bitrate_kbps = {400 + n} }}]' for n in (1, 2, 3)) + "\n"


def fields(writer, serial):
    """What a stream is written with. Every field tells the serial number, so a write that is half there shows."""
    return {"name": f"{writer}-{serial}", "active": serial % 2 == 0, "client_user_id": serial, "client_entity_data": f"{serial} " * 300,
            "broadcast_ids": [serial, serial], "dvr_duration": 30 + serial % 14000, "quality_set_id": 1 + serial % 3}


@dataclasses.dataclass
class Write:
    """One write: the stream's id (None: not known yet, or the settings), and how it is before and after. None: no stream."""

    id: int | None
    before: dict | None
    after: dict | None


def matches(found, wanted):
    if wanted is None or found is None:
        return found is wanted
    return all(found[field] == value for field, value in wanted.items())


@dataclasses.dataclass
class Ledger:
    """What a writer knows of its streams: how they have to be, and the one write whose answer it did not get."""

    streams: dict = dataclasses.field(default_factory=dict)
    flight: Write | None = None

    def check(self, found):
        """Faults of what was found, and the ids that this writer accounts for."""
        faults, known = [], set(self.streams)
        flying = self.flight.id if self.flight else None
        for id, wanted in self.streams.items():
            if id != flying and not matches(found.get(id), wanted):
                faults.append(f"stream {id} {differs(found.get(id), wanted)}")
        if self.flight and flying is None:
            made = [id for id, stream in found.items() if stream["name"] == self.flight.after["name"]]
            known.update(made)
            if len(made) > 1 or not all(matches(found[id], self.flight.after) for id in made):
                faults.append(f"create in flight left {[found[id] for id in made]}")
        elif self.flight and not any(matches(found.get(flying), state) for state in (self.flight.before, self.flight.after)):
            faults.append(f"write in flight: stream {flying} {differs(found.get(flying), self.flight.after)}")
        return faults, known

    def settle(self, found, known):
        """Takes over what was found. Returns whether the write in flight is there; None when there was none."""
        flight, self.flight = self.flight, None
        self.streams = {id: found[id] for id in known if id in found}
        if flight is None:
            return None
        if flight.id is None:
            return any(stream["name"] == flight.after["name"] for stream in self.streams.values())
        return matches(found.get(flight.id), flight.after)


def differs(found, wanted):
    if found is None or wanted is None:
        return f"is {'gone' if found is None else 'there'}"
    return "has " + ", ".join(f"{key} {found[key]!r:.40}, not {value!r:.40}" for key, value in wanted.items() if found[key] != value)


class Writer(threading.Thread):
    """Writes as fast as answers come until one does not come."""

    def __init__(self, weir, name, ledger, rng):
        super().__init__(daemon=True)
        parts = urlsplit(weir.base)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        self.writer, self.ledger, self.rng = name, ledger, rng
        self.accepted = 0
        self.wrong = None

    def run(self):
        try:
            while self.wrong is None:
                write, method, path, body = self.choose()
                self.ledger.flight = write
                self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                        {"Authorization": f"APIKey {API_KEY}", "Content-Type": "application/json"})
                answer = self.connection.getresponse()
                text = answer.read()
                if answer.status not in (200, 204):
                    self.wrong = f"{method} {path} answered {answer.status}: {text[:200]!r}"
                    return
                self.note(write, json.loads(text) if text else None)
        except (OSError, http.client.HTTPException):
            pass  # the kill; what was asked for last is in flight
        finally:
            self.connection.close()

    def choose(self):
        """A random next write: what it is to the ledger, and its request."""
        streams = self.ledger.streams
        new = fields(self.writer, self.rng.randrange(1_000_000))
        dice = self.rng.random()
        if len(streams) < STREAMS[0] or len(streams) < STREAMS[1] and dice < 0.25:
            return Write(None, None, new), "POST", "/streaming/streams", new
        id = self.rng.choice(sorted(streams))
        path, before = f"/streaming/streams/{id}", streams[id]
        if dice < 0.45:
            return Write(id, before, None), "DELETE", path, None
        if dice < 0.55:
            unknown = {field: value for field, value in before.items() if field != "token"}
            return Write(id, before, unknown), "POST", path + "/reset_push_token", None
        return Write(id, before, before | new), "PATCH", path, new

    def note(self, write, answer):
        self.ledger.flight = None
        self.accepted += 1
        if write.after is None:
            del self.ledger.streams[write.id]
        else:
            self.ledger.streams[answer["id"]] = write.after | {"token": answer["token"]}


class DefaultSetWriter(Writer):
    """Chooses the default quality set again and again; kept in the ledger as if it were stream 0."""

    def choose(self):
        chosen = self.rng.choice((1, 2, 3))
        before = self.ledger.streams.get(0)
        return Write(0, before, {"name": chosen}), "PUT", "/streaming/quality_sets/default", {"live": {"id": chosen}}

    def note(self, write, answer):
        self.ledger.flight = None
        self.accepted += 1
        self.ledger.streams[0] = write.after


def read_back(weir):
    """Every stream as the API answers it, by id; the default quality set as stream 0."""
    wanted = [*fields("", 0), "token"]
    found, page = {}, 1
    while streams := weir.api("GET", f"/streaming/streams?page={page}"):
        found |= {stream["id"]: {field: stream[field] for field in wanted} for stream in streams}
        page += 1
    sets = weir.api("GET", "/streaming/quality_sets")["live"]
    found[0] = {"name": next(entry["id"] for entry in sets if entry["default"])}
    return found


def check(ledgers, found):
    """Faults of all writers, and of streams that nobody wrote; settles the ledgers. Second: writes in flight that are there, or not."""
    faults, known, flights = [], set(), []
    for ledger in ledgers:
        wrong, own = ledger.check(found)
        faults += wrong
        known |= own
        flights.append(ledger.settle(found, own))
    faults += [f"stream {id} was written by nobody" for id in found.keys() - known - {0}]
    return faults, flights


def integrity(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def harm(database, ledgers):
    """Loses one accepted write and halves another, behind the server's back: the check has to notice both."""
    lost, halved = [id for ledger in ledgers for id in ledger.streams if id][:2]
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM streams WHERE id = ?", (lost,))
        connection.execute("UPDATE streams SET name = 'half' WHERE id = ?", (halved,))


def api_writes(short):
    """The server killed at random moments during API writes: nothing accepted is lost, nothing in flight is half there."""
    kills, rng = SHORT_KILLS if short else KILLS, random.Random(SEED)
    ledgers = [Ledger() for _ in range(WRITERS + 1)]
    faults, flights, accepted = [], [], 0
    with Weir("api_writes", SETS) as weir:
        database = weir.dir / "store" / "weir.db"
        ledgers[-1].streams[0] = read_back(weir)[0]
        for kill in range(1, kills + 1):
            writers = [Writer(weir, f"{kill}-{n}", ledger, random.Random(rng.random())) for n, ledger in enumerate(ledgers[:-1])]
            writers.append(DefaultSetWriter(weir, "", ledgers[-1], random.Random(rng.random())))
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(*UNTIL_KILL))  # the random moment
            weir.alive()
            weir.process.kill()
            weir.process.wait()
            for writer in writers:
                writer.join()
                accepted += writer.accepted
                if writer.wrong:
                    raise Failed(writer.wrong)
            weir.start()
            wrong, flown = check(ledgers, read_back(weir))
            faults += [f"kill {kill}: {fault}" for fault in wrong]
            flights += flown
        weir.process.kill()
        weir.process.wait()
        sound = integrity(database)
        harm(database, ledgers)
        weir.start()
        noticed, _ = check(ledgers, read_back(weir))
    return [
        empty(f"accepted writes lost or halved, of {accepted} over {kills} kills", faults),
        Figure("writes in flight at a kill", f"{flights.count(True)} wholly there, {flights.count(False)} wholly absent"),
        equal("database after the last kill, integrity_check", sound, "ok"),
        equal("control: faults noticed when one write is lost and one halved on purpose", len(noticed), 2),
    ]
