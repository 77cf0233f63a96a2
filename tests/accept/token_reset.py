"""Lines about a push token that is reset while encoders push: how soon they are cut off, and whose URL works after it."""

import contextlib
import http.client
import json
import os
import threading
import time

import door_encoders as encoders
from door_programme import delivered, programme
from frozen import fate
from report import Failed, Figure, at_most, equal, pressure, wait_until
from server import API_KEY, Weir

CLOSED_GOAL = 0.5  # seconds from the request to the end of a session
NOTICED_GOAL = 3.0  # seconds within which an encoder has seen it: it looks when it next sends, and a browser asks for consent
LOOK = 0.005
OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n'
SEGMENTS = 3
AFTER = 6.0  # seconds
LAST, LEAST_NEW = 40, 30  # pictures; a busy machine may hold some
PAIRS = {
    "RTMP pair": (encoders.FFMPEG_RTMP, encoders.RTMP2SINK),
    "RTMPS pair": (encoders.FFMPEG_RTMPS, encoders.RTMP2SINK_TLS),
    "SRT pair": (encoders.FFMPEG_SRT, encoders.TRANSMIT),
    "WHIP": (encoders.AIORTC,),
}
SHORT_PAIRS = ("RTMP pair", "SRT pair", "WHIP")
WAYS = {"/streaming/streams/{}/reset_push_token": "API", "/ops/streams/{}/reset_push_token": "operator"}
SLOTS = ("primary", "backup")


def token_reset(short):
    """The push token reset with all slots live, on every protocol: sockets closed, old URLs refused, new ones play."""
    sent = {"primary": programme(), "backup": programme(backup=True)}
    for one in sent.values():
        _ = one.flv, one.ts
    encoders.venv_python()
    figures = []
    with Weir("token_reset", OFTEN, doors=encoders.OPEN) as weir:
        for name, clients in PAIRS.items():
            if short and name not in SHORT_PAIRS or not encoders.built(clients):
                continue
            for path, way in WAYS.items():
                if not short or way == "operator":
                    figures += checked(weir, sent, f"{name}, {way}", clients, path, short)
    return figures + [pressure()]


def checked(weir, sent, what, clients, path, short):
    try:
        return reset(weir, sent, what, clients, path, short)
    except Failed as why:
        return [Figure(what, str(why), "ran to its end", False)]


def sockets(weir):
    """Names of the sockets that the server holds."""
    found = set()
    for descriptor in os.listdir(f"/proc/{weir.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{weir.process.pid}/fd/{descriptor}"))
    return {name for name in found if name.startswith("socket:")}


class Seen(threading.Thread):
    """Notes when the server's sockets of the sessions are gone, and when each encoder has noticed."""

    def __init__(self, weir, own, pushes):
        super().__init__(daemon=True)
        self.weir, self.own, self.pushes = weir, own, pushes
        self.closed, self.noticed = None, {}
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set() and not (self.closed and len(self.noticed) == len(self.pushes)):
            if not self.closed and not (self.own & sockets(self.weir)):
                self.closed = time.monotonic()
            for push in self.pushes:
                if push not in self.noticed and (words := fate(push)):
                    self.noticed[push] = (time.monotonic(), words)
            self.ending.wait(LOOK)

    def finish(self, limit):
        self.join(limit)
        self.ending.set()
        self.join()


def reset(weir, sent, what, clients, path, short):
    stream = weir.create_stream("360p")
    slots = SLOTS[:len(clients)]
    before = sockets(weir)
    with contextlib.ExitStack() as running:
        old = [encoders.target(weir, stream, client.door, slot) for client, slot in zip(clients, slots)]
        pushes = [running.enter_context(client.start(to, sent[slot])) for client, to, slot in zip(clients, old, slots)]
        wait_until("both slots live", 20, lambda: weir.stream(stream)["live"] and (len(slots) == 1 or weir.stream(stream)["backup_live"]))
        weir.wait_playable(stream, 20)
        own = sessions_of(weir, stream, sockets(weir) - before, clients)
        seen = Seen(weir, own, pushes)
        seen.start()
        asked = time.monotonic()
        status, answer = post(weir, path.format(stream["id"]))
        answered = time.monotonic()
        seen.finish(NOTICED_GOAL + 3)
        left = [slot["slot"] for slot in weir.detail(stream)["slots"] if slot["session"]]
    figures = [
        equal(f"{what}: status", status, 200),
        at_most(f"{what}: answered after", answered - asked, CLOSED_GOAL, "s", 3),
        equal(f"{what}: sessions left at the answer", left, []),
    ]
    if own:
        figures.append(at_most(f"{what}: the server's {len(own)} sockets of the sessions closed after", (seen.closed or float("inf")) - asked, CLOSED_GOAL, "s", 3))
    for push in pushes:
        at, words = seen.noticed.get(push, (float("inf"), "nothing"))
        figures.append(Figure(f"{what}: {push.client.name} has ended after", f"{at - asked:.3f} s: {words[-60:]}", f"≤ {NOTICED_GOAL:g} s", at - asked <= NOTICED_GOAL))
    if path.startswith("/ops"):
        figures.append(receipt_figure(what, answer, slots))
    refused = []
    for client, to, slot in zip(clients, old, slots):
        with client.start(to, sent[slot]) as again:
            try:
                again.ended(5)
                refused.append(again.refused())
            except Failed:
                refused.append(False)
    figures.append(equal(f"{what}: old URLs refused", refused, [True] * len(slots)))
    fresh = weir.stream(stream)
    with contextlib.ExitStack() as running:
        for client, slot in zip(clients, slots):
            running.enter_context(client.start(encoders.target(weir, fresh, client.door, slot), sent[slot]))
        wait_until("all slots live again", 20, lambda: weir.stream(stream)["live"] and (len(slots) == 1 or weir.stream(stream)["backup_live"]))
        figures.append(equal(f"{what}: another token, and its URLs play", fresh["token"] != stream["token"], True))
        if not short:
            time.sleep(AFTER)  # is delivered
            shown = delivered(weir, fresh, SEGMENTS, 30).shown[-LAST:]
            new = sum(b.number not in (None, a.number) for a, b in zip(shown, shown[1:]))
            figures.append(Figure(f"{what}: new ones of the last {LAST} pictures delivered from the new URLs", str(new), f"≥ {LEAST_NEW}", new >= LEAST_NEW))
    weir.delete(stream)
    return figures


def sessions_of(weir, stream, new, clients):
    """The sockets that came with the sessions: those of TCP, and of WHIP's media. SRT sessions share one of UDP that stays."""
    return set() if clients[0].door == "srt" else tcp_peers(weir, new) if clients[0].door != "whip" else udp(new)


def table(name):
    """inode -> (local port, remote port) of the sockets in a table of /proc/net."""
    with open(f"/proc/net/{name}") as lines:
        rows = [line.split() for line in lines.readlines()[1:]]
    return {row[9]: tuple(int(address.split(":")[1], 16) for address in row[1:3]) for row in rows}


def tcp_peers(weir, new):
    ports = {weir.rtmp_port, weir.rtmps_port}
    return {f"socket:[{inode}]" for inode, (local, remote) in table("tcp").items() if local in ports and remote} & new


def udp(new):
    return {f"socket:[{inode}]" for inode in table("udp")} & new


def post(weir, path):
    """On a connection of its own: kept ones must not wait for each other."""
    connection = http.client.HTTPConnection("127.0.0.1", weir.http_port, timeout=10)
    connection.request("POST", path, headers={"Authorization": f"APIKey {API_KEY}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def receipt_figure(what, answer, slots):
    """What the operator's form of the answer says of each session."""
    closed = json.loads(answer).get("closed", [])
    named = sorted(session["slot"] for session in closed)
    took = [session["took_ms"] for session in closed]
    return Figure(f"{what}: receipt", f"{named}, closed after {took} ms", f"{sorted(slots)}, each within {1000 * CLOSED_GOAL:g} ms",
                  named == sorted(slots) and all(ms is not None and ms <= 1000 * CLOSED_GOAL for ms in took))
