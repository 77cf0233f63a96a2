"""What a viewer misses when a real backup takes over from a killed primary, and when the primary comes back: held pictures and silence."""

import signal
import time

from failover_reading import between, holds, silences, switches
from failover_rig import Rig
from failover_sources import primary, same_rate_backup
from report import Failed
from servers import WeirServer

HOLD, LOCK_LIMIT, SETTLED = 8.0, 25.0, 3.0
AWAY, AFTER, AROUND = 6.0, 6.0, 5.0
FPS = 30
SETTINGS = f'[failover]\nhold = "{HOLD:g}s"\n'
# Both encoders send one programme, so its sound tells how far apart they are.
MODES = {"freeze": {"mode": "freeze"}, "hitless": {"mode": "hitless", "delay_ms": 1000}}
SERVERS = [WeirServer]  # none of the peers has a second ingest point for a stream


def prepare():
    for source in (primary(), same_rate_backup()):
        source.make()


def measure(kind):
    return {mode: take_over(mode, failover) for mode, failover in MODES.items()}


def take_over(mode, failover):
    with Rig("backup", primary(), same_rate_backup(), SETTINGS, failover) as rig:
        rig.begin()
        rig.wait_locked(LOCK_LIMIT)
        time.sleep(SETTLED)  # steady
        killed = rig.pushers["primary"].send(signal.SIGKILL)
        rig.watch.wait("shown", "backup", 10, killed)
        rig.sleep_until(killed + AWAY)
        back = rig.start("primary")
        rig.watch.wait("on_air", "primary", HOLD + 30, back)
        rig.watch.wait("shown", "primary", 10, back)
        time.sleep(AFTER)  # is recorded
        rig.finish()
        shown, sound = rig.recording()
    at = [shown[index].at for index in switches(shown)]
    if len(at) != 2:
        raise Failed(f"{len(at)} switches in the recording, 2 were made")
    quiet = silences(sound.samples, sound.rate, sound.origin)
    return {way: {
        "held": max((held.times for held in holds(between(shown, when - AROUND, when + AROUND))), default=1) / FPS,
        "silent": max((seconds for begin, seconds in quiet if abs(begin - when) <= AROUND), default=0.0),
    } for way, when in zip(("out", "back"), at)}
