"""Lines about failing over without a trace: every picture once, no silence, sound that goes on; and the freeze that a locked standby covers."""

import dataclasses
import os
import signal
import time

from failover_reading import Sound, between, holds, longest_hold, places, silences, sound_faults, step_faults, switches
from failover_rig import Rig, gaps, hold_setting, newest
from failover_sources import other_backup, primary, same_rate_backup, unrelated_backup
from report import Failed, Figure, at_most, empty, equal, pressure

HOLD = 8.0
PATIENCE = 20.0  # seconds that a return waits longer where there is no lock
LOCK_LIMIT = 20.0  # seconds from the backup's first picture
SETTLED = 3.0  # seconds from the lock to the fault
AWAY, AFTER = 6.0, 5.0
AROUND = 4.0  # seconds before and after the switches that are looked at
LOOK_EVERY, LOOK_AROUND = 0.25, 1.5  # the sound's place
OFFSET_LIMIT = 50.0  # ms
COVER_GOAL = 0.4  # seconds held before a locked standby covers
FPS = 30


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to fail over."""

    how: signal.Signals
    standby: str = "hot"
    late: float = 0.0
    backup: str = "30"  # the same programme at 30 fps, at 25 fps, or another programme
    delay_ms: int = 1000
    mode: str = "hitless"

    def __str__(self):
        setting = f"delay {self.delay_ms / 1000:g} s" if self.mode == "hitless" else "freeze"
        late = f"{1000 * self.late:+.0f} ms" if self.late else "0"
        return f"{setting}, 30/{self.backup}, {self.standby}, backup {late}, {self.how.name}"

    @property
    def same(self):
        return self.backup != "other"

    def source(self):
        return {"30": same_rate_backup, "25": other_backup, "other": unrelated_backup}[self.backup]()


KILL, STOP = signal.SIGKILL, signal.SIGSTOP
CASES = [Case(how, standby, late) for late in (0.0, 0.7, -0.5) for how in (KILL, STOP) for standby in ("hot", "warm")]
CASES += [Case(how, standby, backup="25") for how, standby in ((KILL, "hot"), (STOP, "warm"))]
CASES += [Case(how, standby, backup="other", delay_ms=3500) for how, standby in ((KILL, "hot"), (STOP, "warm"), (KILL, "warm"), (STOP, "hot"))]
CASES += [Case(how, mode="freeze") for how in (KILL, STOP)]


def failover_hitless(short):
    """Killed and stopped encoders, early and late backups, hot and warm: pictures, sound and the journal's gaps, case by case. `FAILOVER_CASES=3,17` takes some."""
    chosen = [int(number) for number in os.environ.get("FAILOVER_CASES", "").split(",") if number]
    figures = []
    for number, case in enumerate(CASES, 1):
        if not chosen or number in chosen:
            print(f"   case {number}: {case}", flush=True)
            figures += judged(case, number)
    return figures + [pressure()]


def judged(case, number):
    """Figures of one case; one that cannot be measured does not hide the others."""
    try:
        return tried(case, number)
    except Failed as why:
        return [Figure(f"{case}: ran to its end", str(why), "yes", False)]


def tried(case, number):
    failover = {"mode": case.mode, "standby": case.standby} | ({"delay_ms": case.delay_ms} if case.mode == "hitless" else {})
    with Rig(f"failover_hitless_{number}", primary(), case.source(), hold_setting(HOLD), failover) as rig:
        rig.begin(case.late)
        figures = []
        if case.same:
            rig.wait_locked(LOCK_LIMIT)
        rig.sleep_until(time.monotonic() + SETTLED + (0 if case.same else HOLD))
        if case.same:
            figures.append(offset_figure(rig, case))
        elif rig.watch.alignment.get("state") == "locked":
            raise Failed(f"another programme is locked: {rig.watch.alignment}")
        known = newest(rig.journal())
        ended = rig.pushers["primary"].send(case.how)
        rig.watch.wait("shown", "backup", 10, ended)
        rig.sleep_until(ended + AWAY)
        back = rig.start("primary")
        rig.watch.wait("on_air", "primary", HOLD + PATIENCE + 10, back)
        rig.watch.wait("shown", "primary", 10, back)
        time.sleep(AFTER + (case.delay_ms / 1000 if case.mode == "hitless" else 0))  # is recorded
        polled = rig.finish()
        polled.what = f"{case}: {polled.what}"
        told = gaps(rig.journal(), known)
        return [polled, *figures, *recording_figures(rig, case, told)]


def offset_figure(rig, case):
    """The measured offset beside that of the pictures that passed the relays."""
    really = 1000 * (rig.tap("backup").lateness() - rig.tap("primary").lateness())
    told = rig.watch.alignment.get("offset_ms")
    known = told is not None
    return Figure(f"{case}: backup's offset by the operator's view", f"{told:+.0f} ms, of {really:+.0f} ms on the wire" if known else "none",
                  f"within {OFFSET_LIMIT:g} ms", known and abs(told - really) <= OFFSET_LIMIT)


def recording_figures(rig, case, told):
    shown, sound = rig.recording()
    at = [shown[index].at for index in switches(shown)]
    figures = [equal(f"{case}: switches in the recording", len(at), 2)]
    if len(at) != 2:
        return figures
    watched = between(shown, at[0] - AROUND, at[1] + AROUND)
    quiet = [f"{1000 * seconds:.0f} ms at {begin:.2f} s" for begin, seconds in silences(sound.samples, sound.rate, sound.origin)
             if at[0] - AROUND <= begin <= at[1] + AROUND]
    if case.mode == "freeze":
        held = max(holds(watched), key=lambda held: held.times, default=None)
        return [*figures, at_most(f"{case}: longest held picture", held.times / FPS if held else 0.0, COVER_GOAL, "s")]
    figures += [
        empty(f"{case}: journal entries with filled pictures or silence", [gap["text"] for gap in told if gap["filled_ms"] or gap["silence_ms"]]),
        Figure(f"{case}: journal entries about a change of input", str(len(told)), "≥ 2", len(told) >= 2),
        empty(f"{case}: silence", quiet),
        at_most(f"{case}: the same picture in a row", longest_hold(watched), 2 if case.backup == "25" else 1, "times", 0),
    ]
    if case.same:
        figures.append(empty(f"{case}: sound round both switches", [fault for found in sound_places(rig, shown, at) for fault in sound_faults(found)]))
    if case.backup == "30":
        figures.append(empty(f"{case}: steps of the counter that are not one", step_faults(watched)))
    return figures


def sound_places(rig, shown, at):
    """Where the sound is in the programme, in small steps round both switches."""
    files = rig.files[1], rig.sources["primary"].path()
    heard, programme = (Sound(path, rate=8000) for path in files)
    fps = {slot: source.fps for slot, source in rig.sources.items()}
    steps = round(2 * LOOK_AROUND / LOOK_EVERY)
    return [places(heard, programme, shown, fps, [switch - LOOK_AROUND + LOOK_EVERY * step for step in range(steps)]) for switch in at]
