"""Lines about encoders that freeze: when another one may have the slot, and what becomes of the frozen one when it wakes up."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import door_encoders as encoders
from door_programme import programme
from report import Failed, Figure, empty, equal, pressure, wait_until, within
from server import Weir

STALL = 3.0  # seconds of silence that free a slot
SECOND_AFTER, AGAIN = 1.0, 0.1  # seconds from the freeze to the second encoder, and between its tries
WAKES_AT = 5.0
STEADY = 2.0  # seconds of media before the freeze
OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n'
# Clients by door, and how much later than free the slot may be taken: what a try takes from its start to its admission, and one that is
# refused just before.
CLIENTS = [(encoders.FFMPEG_RTMP, 1.0), (encoders.FFMPEG_RTMPS, 1.0), (encoders.FFMPEG_SRT, 1.5), (encoders.AIORTC, 2.5)]
EARLY = 0.15  # seconds: media that was under way when the encoder was frozen arrives a little later, never earlier


def frozen(short):
    """An encoder stopped by SIGSTOP, on every door: when a second one gets its slot, and what happens to the first when it goes on."""
    sent = programme()
    _ = sent.flv, sent.ts
    encoders.venv_python()
    with Weir("frozen", OFTEN, doors=encoders.OPEN) as weir, ThreadPoolExecutor(8) as pool:
        jobs = [(client, late, act) for client, late in CLIENTS for act in (displaced, undisplaced) if client.door in encoders.DOORS]
        figures = pool.map(lambda job: checked(weir, sent, *job), jobs)
        return [figure for found in figures for figure in found] + [pressure()]


def checked(weir, sent, client, late, act):
    try:
        return act(weir, sent, client, late)
    except Failed as why:
        return [Figure(f"{client.name}: {act.__name__}", str(why), "ran to its end", False)]


def session(weir, stream):
    return weir.detail(stream)["slots"][0]["session"] or {}


def steady(weir, stream):
    """Waits until the encoder sends; returns its session's name."""
    wait_until("steady media", 20, lambda: session(weir, stream).get("video_units", 0) > 30 * STEADY and weir.stream(stream)["live"])
    return session(weir, stream)["id"]


class Tries:
    """A second encoder that is started again whenever it is refused."""

    def __init__(self, client, to, sent):
        self.start = lambda: client.start(to, sent)
        self.push, self.refused, self.begins = None, [], []

    def go_on(self):
        """Starts it, or starts it again after it has ended."""
        if self.push and self.push.runs():
            return
        if self.push:
            self.refused.append(self.push.words())
            self.push.__exit__()
            time.sleep(AGAIN)  # as encoders wait before they try again
        self.begins.append(time.monotonic())
        self.push = self.start()

    def end(self):
        if self.push:
            self.push.__exit__()


def displaced(weir, sent, client, late):
    stream = weir.create_stream("360p")
    to = encoders.target(weir, stream, client.door)
    with client.start(to, sent) as first:
        held = steady(weir, stream)
        stopped = first.send(signal.SIGSTOP)
        tries = Tries(client, to, sent)
        try:
            time.sleep(SECOND_AFTER)  # is what the rule is about

            def taken():
                tries.go_on()
                return session(weir, stream).get("id") not in (held, None)
            wait_until(f"admission of a second {client.name}", 12, taken, every=0.02)
            admitted = time.monotonic() - stopped
            newcomer = session(weir, stream)["id"]
            wait_until("pictures of the newcomer", 5, lambda: session(weir, stream).get("video_units"))
            first.send(signal.SIGCONT)
            gone = wait_until(f"error of the displaced {client.name}", 15, lambda: fate(first), every=0.05)
            units = session(weir, stream)["video_units"]
            wait_until("more pictures of the newcomer", 5, lambda: session(weir, stream).get("video_units", 0) > units + 15)
            kept = session(weir, stream)["id"] == newcomer
        finally:
            tries.end()
    weir.delete(stream)
    return [
        within(f"{client.name}: second one admitted after the freeze", admitted, STALL - EARLY, STALL + late),
        # None where a busy machine takes the whole stall to start one.
        Figure(f"{client.name}: tries refused before", str(len(tries.refused))),
        Figure(f"{client.name}: displaced and woken up", gone[-120:], "its error", True),
        equal(f"{client.name}: the newcomer goes on", kept, True),
    ]


def fate(push):
    """What an encoder that was cut off said; None while it has not noticed."""
    if not push.runs():
        return f"exit {push.wire.returncode}: {push.words() or 'nothing said'}"
    for event in events(push):
        if event.get("state") in ("disconnected", "failed", "closed"):
            return f"connection {event['state']}"
    return None


def events(push):
    """What a WHIP client printed."""
    return [json.loads(line) for line in push.words().splitlines() if line.startswith("{")]


def undisplaced(weir, sent, client, late):
    stream = weir.create_stream("360p")
    with client.start(encoders.target(weir, stream, client.door), sent) as push:
        held = steady(weir, stream)
        stopped = push.send(signal.SIGSTOP)
        wait_until("`live` = false", 5, lambda: not weir.stream(stream)["live"])
        silent = time.monotonic() - stopped
        time.sleep(max(0.0, stopped + WAKES_AT - time.monotonic()))
        units = session(weir, stream).get("video_units", 0)
        push.send(signal.SIGCONT)
        faults = []
        try:
            wait_until("more pictures", 5, lambda: session(weir, stream).get("video_units", 0) > units + 30)
            wait_until("`live` = true", 2, lambda: weir.stream(stream)["live"])
        except Failed as why:
            faults.append(f"{why}; {push.words()[-120:]}")
        if session(weir, stream).get("id") != held:
            faults.append("another session")
    weir.delete(stream)
    return [
        within(f"{client.name}: not live after the freeze", silent, STALL - EARLY, STALL + 1.0),
        empty(f"{client.name}: woken up after {WAKES_AT:g} s, undisplaced", faults),
    ]
