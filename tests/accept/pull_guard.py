"""The line about addresses that must not be pulled from: nothing connects to them, whatever they are written like and whoever leads there."""

import collections
import contextlib
import ctypes
import json
import os
import re
import socket
import struct
import threading
import time

import pull_origins as origins
import pull_spellings as spellings
import pull_stream
import pull_traps as traps
import socket_table
from door_programme import programme
from hostile import Usage
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import API_KEY, Http, Weir, free_ports

ALLOWED = "127.0.0.2"
OURS = "127.0.0.4"  # from where this line asks the API, so that its connections are told from others
TOLD = 45.0  # seconds until every source has failed: a drop at a time has to run into a limit
AFTER = 2.0  # seconds of more tries once every source has failed
GROWTH_GOAL = 64  # MB
GOOD = 188 * 2000  # bytes of a segment that is really there
LEAST = 60  # spellings
IN_OPEN = 0x20
# What is said when somebody was asked.
ASKED = re.compile(r"does not take|refused|reset|no answer|connection lost|ended the stream", re.I)


class Sentinel:
    """Listens on every address of this machine, on one port of TCP and UDP, and keeps whatever comes."""

    def __init__(self):
        self.port, = free_ports(1)
        self.seen = []
        both = socket.has_dualstack_ipv6()
        self.tcp = socket.create_server(("", self.port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
        self.udp = socket.socket(socket.AF_INET6 if both else socket.AF_INET, socket.SOCK_DGRAM)
        if both:
            self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.bind(("", self.port))
        self.addresses = ["127.0.0.1", *(["::1"] if both else [])]
        for task in (self.accept, self.receive):
            threading.Thread(target=task, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.tcp.accept()
                self.seen.append(("TCP", peer[0], self.first(connection)))

    def first(self, connection):
        """What it begins with, to know which it was."""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0.5)
            return connection.recv(80)

    def receive(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.udp.recvfrom(2048)
                if data:
                    self.seen.append(("UDP", peer[0], data[:20]))

    def proven(self):
        """Sees a connection and a datagram by each address of loopback, and forgets them."""
        for address in self.addresses:
            socket.create_connection((address, self.port)).close()
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"here", (address, self.port))
        wait_until("the sentinel to see what it has to", 5, lambda: len(self.seen) >= 2 * len(self.addresses))
        self.seen.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.tcp, self.udp):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Canary:
    """A playlist in a file, and how often it was opened, by inotify."""

    def __init__(self, folder):
        self.path = folder / "canary.m3u8"
        self.path.write_text(traps.media())
        libc = ctypes.CDLL(None, use_errno=True)
        self.watch = libc.inotify_init1(os.O_NONBLOCK)
        if self.watch < 0 or libc.inotify_add_watch(self.watch, os.fsencode(self.path), IN_OPEN) < 0:
            raise Failed(f"no inotify: {os.strerror(ctypes.get_errno())}")

    def opened(self):
        """Since it was asked last."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while events := os.read(self.watch, 4096):
                count += len(events) // struct.calcsize("iIII")
        return count

    def proven(self):
        self.path.read_text()
        if self.opened() != 1:
            raise Failed("the canary does not notice that it is read")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.watch)


class Connections(threading.Thread):
    """Connections from 127.0.0.1 to a port of it, by the kernel's table, since it began."""

    HOST = "0100007F"

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.ending = port, threading.Event()
        self.before, self.seen = self.look(), set()

    def look(self):
        pairs = [(local, remote) for local, remote, _ in socket_table.rows() if local[0] == remote[0] == self.HOST]
        return {frozenset(pair) for pair in pairs if self.port in (pair[0][1], pair[1][1])}

    def run(self):
        while not self.ending.wait(0.02):
            self.seen |= self.look() - self.before

    def proven(self):
        with socket.create_connection(("127.0.0.1", self.port)):
            wait_until("the own connection in the kernel's table", 5, lambda: self.seen)
        self.before |= self.seen
        self.seen = set()

    def finish(self):
        self.ending.set()
        self.join()
        return self.seen


def pull_guard(short):
    """Addresses of this machine and of private networks, written in every way, redirected to and named in playlists: nothing connects to them."""
    sent = programme(60)
    good = sent.ts.read_bytes()[:GOOD]
    settings = pull_stream.settings("1s", allow=[f"{ALLOWED}/32"])
    with contextlib.ExitStack() as running:
        weir = running.enter_context(Weir("pull_guard", settings))
        weir.http = Http(source=OURS)
        sentinel = running.enter_context(Sentinel())
        canary = running.enter_context(Canary(weir.dir))
        connections = Connections(weir.http_port)
        connections.start()
        running.callback(connections.ending.set)
        for proof in (sentinel, canary, connections):
            proof.proven()
        port, rtsp_port = free_ports(2)
        places = {"port": sentinel.port, "origin": f"{ALLOWED}:{port}", "api": weir.http_port, "canary": canary.path}
        http = running.enter_context(origins.serving(traps.Traps, (ALLOWED, port)))
        http.asked, http.answers = set(), traps.answers(good, **places)
        rtsp = running.enter_context(rtsp_server(rtsp_port, sentinel.port))

        usage = Usage(weir.process.pid)
        base = usage.rss
        usage.start()
        running.callback(usage.ending.set)
        spelled = [asked(weir, uri, either) for uri, either in spellings.spelled(not short, **places)]
        wrong = [asked(weir, uri) for uri in spellings.wrong(**places)]
        led = [asked(weir, f"http://{ALLOWED}:{port}{path}") for path in traps.entrances()]
        led += [asked(weir, f"rtsp://{ALLOWED}:{rtsp_port}/{path}") for path in traps.RTSP_ENTRANCES]
        every = [*spelled, *wrong, *led]
        with contextlib.suppress(Failed):  # those that have none are told
            wait_until("an error of every source", TOLD, lambda: told_all(weir, every), every=0.5)
        time.sleep(AFTER)  # they are tried again
        for one in every:
            if one.stream:
                weir.delete(one.stream)
        figures = spelled_figures(spelled, led, wrong)
        unsprung = sorted({*traps.entrances(), *traps.RTSP_ENTRANCES} - http.asked - rtsp.asked)
        usage.finish()
        seen, opened, inside = list(sentinel.seen), canary.opened(), connections.finish()
        figures += [
            empty("connections and datagrams where nothing may connect", seen),
            equal("openings of a file that playlists and redirects name", opened, 0),
            empty("connections to the API's own port", [sorted(pair) for pair in inside]),
            empty("traps that were not sprung", unsprung),
            at_most("memory over base, at most", usage.rss - base, GROWTH_GOAL, "MB", 1),
            allowed(weir, sent),
        ]
    return figures + [pressure()]


@contextlib.contextmanager
def rtsp_server(port, elsewhere):
    with traps.RtspServer((ALLOWED, port), elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class Asked:
    """An address that was given to the API, and what was said of it."""

    def __init__(self, uri, either, status, answer):
        self.uri, self.either, self.status = uri, either, status
        self.stream = json.loads(answer) if status == 200 else None
        self.error = "" if status == 200 else answer.decode(errors="replace")
        self.on = False

    def __str__(self):
        return f"{self.uri}: {self.status} {self.error}"


def asked(weir, uri, either=False):
    headers = {"Authorization": f"APIKey {API_KEY}", "Content-Type": "application/json"}
    body = json.dumps({"name": "guard", "active": True, "pull": True, "uri": uri})
    status, answer, _ = weir.http.request("POST", weir.base + "/streaming/streams", body, headers)
    return Asked(uri, either, status, answer)


def told_all(weir, every):
    """Looks at all that were taken; whether each has its error."""
    for one in every:
        if one.stream:
            pull = pull_stream.told(weir, one.stream)
            one.on |= pull.get("state") == "on"
            one.error = pull.get("last_error") or one.error
    weir.alive()
    return all(one.error for one in every)


def spelled_figures(spelled, led, wrong):
    kinds = collections.Counter(kind(one) for one in spelled)
    refused = [one for one in [*spelled, *led] if one.status not in (200, 400, 422)]
    unclear = [one for one in [*spelled, *wrong, *led] if one.status != 200 and not ("uri" in one.error and len(one.error) > 20)]
    return [
        Figure("spellings", f"{len(spelled)}, {len(led)} ways of leading there, {len(wrong)} of other kinds", f"≥ {LEAST} spellings", len(spelled) >= LEAST),
        Figure("errors of the spellings", "; ".join(f"{count} × {text}" for text, count in kinds.most_common())),
        empty("addresses without an error", [one for one in [*spelled, *led] if not one.error]),
        empty("spellings whose error says that somebody was asked", [one for one in spelled if not one.either and "resolve" not in one.error and ASKED.search(one.error)]),
        empty("spellings that deliver", [one for one in spelled if one.on]),
        empty("answers of the API that are neither yes nor what is wrong", refused),
        empty("other kinds that the API takes", [one for one in wrong if one.status not in (400, 422)]),
        empty("errors of the API that do not name the field", unclear),
        Figure("errors of what leads there", "; ".join(sorted({kind(one) for one in led}))),
    ]


def kind(one):
    """Its error without what is its own: names, addresses, ports."""
    text = re.sub(r'\\?"[^"\\]*\\?"|\S*[0-9:%@.]\S*', "…", one.error)
    return ("" if one.status == 200 else f"{one.status}: ") + re.sub(r"(… ?)+", "… ", text)[:80].strip()


def allowed(weir, sent):
    """The one address that may be pulled from delivers: so it is not that nothing is pulled at all."""
    with origins.HttpTs(sent, ALLOWED) as origin:
        stream = pull_stream.create(weir, origin.uri)
        with contextlib.suppress(Failed):
            weir.wait_playable(stream, 30)
        told = pull_stream.told(weir, stream)
    return Figure("the address that is allowed is pulled from", f"{told.get('state')}, {told.get('last_error')}", "on", told.get("state") == "on")
