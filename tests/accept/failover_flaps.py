"""Lines about encoders that come and go at random: every change of what is on air is explained by the journal, and players see no fault.

`FAILOVER_SEED=n` repeats the schedules.
"""

import bisect
import datetime
import os
import random
import signal
import time

from failover_rig import Rig
from failover_sources import other_backup, primary
from report import Failed, Figure, empty, pressure

SCHEDULES = 20
SECONDS = 20.0  # of each schedule
# Stall, hold and linger are far apart, so that each rule shows by its time.
STALL, HOLD = 1.0, 3.0
SETTINGS = f'[failover]\nstall = "{STALL:g}s"\nhold = "{HOLD:g}s"\nlinger = "60s"\n[limits]\nconnect_burst = 1000\n'
PAUSES = (0.4, 4.5)  # seconds between two events of one slot
ACTIONS = ("kill", "stop", "cut")
EARLY, LATE = 0.3, 0.6  # tolerance of the moment in which a slot stops being live, seconds
SHOWS = 1.5  # seconds from an encoder's first picture until it surely shows some


def schedule(seed):
    """(seconds, slot, action) in order: an encoder that runs is killed, stopped or cut off, one that does not comes back."""
    draw, events = random.Random(seed), []
    for slot in ("primary", "backup"):
        at, runs = draw.uniform(*PAUSES), True
        while at < SECONDS:
            events.append((round(at, 3), slot, draw.choice(ACTIONS) if runs else "start"))
            runs = not runs
            at += draw.uniform(*PAUSES)
    return sorted(events)


def unexplained(entries):
    """Changes of what is on air that the entries before them do not justify, and states that the rule does not allow."""
    faults, on_air, hold = [], None, False
    opening = False  # the broadcast has begun, and primary has not been on air in it
    live = {"primary": False, "backup": False}
    open_fault = None  # (seq, slot, text): has to be mended by the next change of what is on air, before that slot changes again
    for entry in entries:
        if entry["event"] == "broadcast":
            opening = entry["state"] == "began"
        elif entry["event"] == "timer" and entry["timer"] == "hold":
            hold = entry["state"] == "fired"
        elif entry["event"] == "live":
            if open_fault and open_fault[1] == entry["slot"]:
                faults.append(f"entry {open_fault[0]}: {open_fault[2]}")
            live[entry["slot"]] = entry["live"]
            text = state_fault(on_air, live)
            open_fault = (entry["seq"], entry["slot"], text) if text else None
        elif entry["event"] == "on_air":
            slot, rule = entry["slot"], entry["rule"]
            first = next((slot for slot in ("primary", "backup") if live[slot]), None)
            reasons = {
                "rule 1": slot is not None and slot == first and (on_air is None or opening and on_air == "backup"),
                "rule 2": on_air == "primary" and not live["primary"] and slot == ("backup" if live["backup"] else None),
                "rule 3": on_air == "backup" and slot == "primary" and live["primary"] and hold,
                "rule 4": on_air == "backup" and not live["backup"] and slot == ("primary" if live["primary"] else None),
            }
            if not reasons.get(rule.partition(":")[0], False):
                state = f"live {[slot for slot in live if live[slot]]}, hold {'' if hold else 'not '}over"
                faults.append(f"entry {entry['seq']}: {on_air} to {slot} by {rule}, {state}")
            on_air, hold, open_fault = slot, False, None
            opening &= slot != "primary"
            text = state_fault(on_air, live)
            if text:
                faults.append(f"entry {entry['seq']}: {text}")
    if open_fault:
        faults.append(f"entry {open_fault[0]}: {open_fault[2]}")
    return faults


def state_fault(on_air, live):
    """What the rule does not allow to last."""
    if on_air is None:
        return f"nothing is on air though {[slot for slot in live if live[slot]]} is live" if any(live.values()) else None
    return None if live[on_air] else f"{on_air} is on air and is not live"


def late_or_early(entries, sent, first, slot):
    """Where the slot stopped being live at another time than the stall after its last picture. `sent` and `first` are those of its relay,
    `entries` have monotonic times."""
    faults = []
    for entry in entries:
        if entry["event"] != "live" or entry["slot"] != slot or entry["live"]:
            continue
        now = entry["at"]
        before = [at for at, *_ in sent if at <= now]
        steady = [at for at in before if any(begun + SHOWS <= at for begun in first[max(0, bisect.bisect(first, at) - 1):bisect.bisect(first, at)])]
        if before and now - before[-1] > STALL + LATE:
            faults.append(f"{slot} not live {now - before[-1]:.2f} s after its last picture")
        if steady and now - steady[-1] < STALL - EARLY:
            faults.append(f"{slot} not live {now - steady[-1]:.2f} s after a picture of a steady encoder")
    return faults


def untold(seen, entries):
    """What was seen on air and is not, in this order, among what the journal tells."""
    told = iter(entry["slot"] for entry in entries if entry["event"] == "on_air")
    return [f"{value} was seen on air and is not told" for value in seen if not any(value == slot for slot in told)]


def failover_flaps(short):
    """20 random schedules of encoders that are killed, stopped and cut off: the journal explains every change, manifests answer, numbers never go back."""
    seed = int(os.environ.get("FAILOVER_SEED") or random.SystemRandom().randrange(10**6))
    print(f"   FAILOVER_SEED={seed}", flush=True)
    faults, polls, changes, events = [], [], 0, 0
    for number in range(SCHEDULES):
        came = flapped(seed + number)
        faults += [f"seed {seed + number}: {fault}" for fault in came["faults"]]
        polls += [f"seed {seed + number}: {came['polled'].measured}"] if not came["polled"].ok else []
        changes += came["changes"]
        events += came["events"]
    return [
        Figure("seeds; events; changes of what is on air", f"{seed} to {seed + SCHEDULES - 1}; {events}; {changes}", "changes > 0", changes > 0),
        empty("changes that the journal does not explain, or states against the rule", faults),
        empty("schedules with faults of manifests: not 200, or numbers going back", polls),
        pressure(),
    ]


def flapped(seed):
    plan = schedule(seed)
    with Rig("failover_flaps", primary(), other_backup(), SETTINGS) as rig:
        rig.begin()
        began = time.monotonic()
        for at, slot, action in plan:
            rig.sleep_until(began + at)
            act(rig, slot, action)
        rig.sleep_until(began + SECONDS + STALL + LATE)
        polled = rig.finish()
        entries = rig.journal()
        seen = rig.watch.values("on_air")
        seen = seen[1:] if seen[:1] == [None] else seen
        faults = unexplained(entries) + untold(seen, entries)
        apart = time.time() - time.monotonic()
        timed = [entry | {"at": datetime.datetime.fromisoformat(entry["at"].replace("Z", "+00:00")).timestamp() - apart} for entry in entries]
        for slot, pusher in rig.pushers.items():
            faults += late_or_early(timed, pusher.tap.sent, pusher.tap.first, slot)
        last = next((entry["slot"] for entry in reversed(entries) if entry["event"] == "on_air"), None)
        if seen and last != seen[-1]:
            faults.append(f"the journal ends with {last} on air, {seen[-1]} was seen")
    return {"faults": faults, "polled": polled, "changes": sum(entry["event"] == "on_air" for entry in entries), "events": len(plan)}


def act(rig, slot, action):
    pusher = rig.pushers[slot]
    if action == "kill":
        pusher.end()
    elif action == "stop":
        pusher.send(signal.SIGSTOP)
    elif action == "cut":
        pusher.tap.block()
    else:
        # One that was cut off keeps its connection and has to be let go first, as an encoder's own watch would do.
        pusher.end()
        pusher.tap.let_go()
        try:
            rig.start(slot)
        except Failed:
            pass  # refused while its stopped predecessor still has the place: it comes with the next start
