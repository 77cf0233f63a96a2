"""The faults of a chaos run, drawn from a seed: the same seed and length give the same schedule."""

import dataclasses
import random

STREAMS = ("a", "b")
LINGER = 30  # seconds; `failover.linger` of the run
STOPPED = (0.5, 8.0)  # seconds a process is stopped
SYNC_MS = (50, 2000)  # how much longer a sync of the slow disk takes
LONG_FULL = 150.0  # seconds of the one long full disk
FIRST = 20.0  # undisturbed at the start
LAST = 30.0  # and at the end
DISKS = ("disk_slow", "disk_full", "disk_refuse")


@dataclasses.dataclass
class Fault:
    """One disturbance. `stream` is None where it is not aimed at one of the streams."""

    id: int
    at: float  # seconds from the start of the run
    kind: str
    stream: str | None
    seconds: float = 0.0  # how long it lasts; 0 for what happens at once
    sync_ms: int = 0

    @property
    def end(self):
        return self.at + self.seconds


def deck(draw):
    """One of each kind, in random order."""
    cards = [(kind, stream) for stream in STREAMS for kind in ("worker_kill", "worker_stop", "encoder_kill", "encoder_stop")]
    cards += [(kind, None) for kind in ("server_kill", "server_term", "server_stop", *DISKS)]
    draw.shuffle(cards)
    return cards


def lasts(draw, kind):
    if kind.endswith("_stop"):
        return draw.uniform(*STOPPED)
    if kind == "disk_slow":
        return draw.uniform(4, 15)
    if kind in DISKS:
        return draw.uniform(4, 20)
    return 0.0


def gap(draw, kind):
    """Undisturbed seconds after a fault. Encoders that reconnect meet the rate limit of admissions, so they get more."""
    return draw.uniform(13, 17) if kind.startswith(("server", "encoder_kill")) else draw.uniform(6, 13)


def schedule(seed, seconds):
    """Faults in order of their begin. A long run has the long full disk and one encoder that stays away longer than the linger."""
    draw = random.Random(seed)
    faults, cards, at = [], [], FIRST

    def add(kind, stream, at, seconds, sync_ms=0):
        faults.append(Fault(len(faults) + 1, round(at, 3), kind, stream, round(seconds, 3), sync_ms))
        return faults[-1].end

    long_full = draw.uniform(0.15, 0.45) * seconds if seconds >= 600 else None
    away = draw.uniform(0.7, 0.85) * seconds if seconds >= 280 else None
    full_until = 0.0
    while at < seconds - LAST:
        if long_full and at >= long_full and at + LONG_FULL < seconds - LAST:
            full_until, long_full = add(draw.choice(DISKS[1:]), None, at, LONG_FULL), None
            at += draw.uniform(6, 12)
            continue
        if away and at >= away and at > full_until and at + LINGER + 30 < seconds - LAST:
            at = add("encoder_away", draw.choice(STREAMS), at, LINGER + draw.uniform(5, 10)) + gap(draw, "encoder_kill")
            away = None
            continue
        cards = cards or deck(draw)
        kind, stream = cards.pop()
        if at < full_until and not kind.startswith(("worker", "encoder")):
            continue  # a server that dies there comes back when there is space again; that is tried with a shorter one
        length = lasts(draw, kind)
        if at + length > seconds - LAST:
            break
        end = add(kind, stream, at, length, draw.randint(*SYNC_MS) if kind == "disk_slow" else 0)
        if kind in DISKS and length > 5 and draw.random() < 0.6:
            # Something else happens while the disk is bad.
            inner, whose = draw.choice(deck(draw)[:6])
            if inner not in DISKS:
                end = max(end, add(inner, whose, at + draw.uniform(1, 3), lasts(draw, inner)))
                kind = "server_kill" if inner.startswith("server") else kind
        at = end + gap(draw, kind)
    return faults
