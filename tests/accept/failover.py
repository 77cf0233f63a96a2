"""Lines about failing over with default settings: what is on air, what manifests say, what the recording shows, what players notice."""

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction

import browser
import probe
from failover_reading import holds, silences, switches, sync
from failover_rig import REFERENCE_BACK, REFERENCE_OUT, Rig, gaps, hold_setting
from failover_sources import LONG_SECONDS, SHORT_SECONDS, other_backup, primary
from output import AAC_FRAME
from report import ROOT, Failed, Figure, at_most, empty, equal, pressure, within
from server import binary

HOLD = 60.0  # seconds, the default
KILL_AT, AWAY, AFTER = 20.0, 12.0, 8.0  # seconds of both encoders, without the primary, and after its return
SHORT_HOLD, SHORT_KILL_AT, SHORT_AWAY, SHORT_AFTER = 5.0, 11.0, 5.0, 6.0
LOST_GOAL = 3.2  # seconds from the last primary picture to backup on air
RETURN_GOAL = 1.0  # seconds that the return may be later than the hold
SYNC_LIMIT = 0.040
FPS = 30
EXPECTED = ["primary", "backup", "primary"]
MODES = ("ll", "hls", "ll-dash", "dash")
PLAYER_HOLD, PLAYER_SECONDS, PLAYER_KILL_AT, PLAYER_AWAY = 10.0, 55, 15.0, 6.0
RUNS = 3  # void runs that fail the line


def failover_checker(short):
    """The reading of recordings, the relay and the judge of journals: each fault made on purpose."""
    return [tested("tests of the failover lines' checks", "test_failover")]


def tested(what, module):
    """A figure of the unit tests in a module of this folder."""
    done = subprocess.run([sys.executable, "-m", "unittest", module], cwd=ROOT / "tests" / "accept", stderr=subprocess.PIPE, text=True)
    failed = [line for line in done.stderr.splitlines() if line.startswith(("FAIL: ", "ERROR: "))]
    return Figure(what, "; ".join([done.stderr.strip().splitlines()[-1], *failed[:3]]), "OK", done.returncode == 0)


def failover_default(short):
    """The primary killed and started again, default times: manifests, the law's instants, the recording, sound and picture."""
    return killed_and_back("failover_default", primary(LONG_SECONDS), other_backup(LONG_SECONDS), "", HOLD, KILL_AT, AWAY, AFTER)


def failover(short):
    """The same in under a minute, with a short hold."""
    return killed_and_back("failover", primary(SHORT_SECONDS), other_backup(SHORT_SECONDS), hold_setting(SHORT_HOLD), SHORT_HOLD,
                           SHORT_KILL_AT, SHORT_AWAY, SHORT_AFTER)


def killed_and_back(name, first, second, settings, hold, kill_at, away, after):
    with Rig(name, first, second, settings) as rig:
        rig.begin()
        tap = rig.tap("primary")
        rig.sleep_until(tap.first[0] + kill_at)
        killed = rig.pushers["primary"].send(signal.SIGKILL)
        lost = rig.watch.wait("on_air", "backup", 10, killed) - tap.last
        rig.sleep_until(killed + away)
        back = rig.start("primary")
        returned = rig.watch.wait("on_air", "primary", hold + 10, back) - back
        time.sleep(after)  # is recorded
        polled = rig.finish()
        entries = rig.journal()
        figures = [
            polled,
            at_most("backup on air after the last primary picture", lost, LOST_GOAL, "s"),
            within("primary on air again after its first picture", returned, hold, hold + RETURN_GOAL),
            equal("on air, each change", ", ".join(map(str, rig.watch.values("on_air", killed))), "backup, primary"),
            Figure("gaps by the journal", "; ".join(told_gap(gap) for gap in gaps(entries)[-2:]) or "none told"),
        ]
        return figures + recording_figures(rig) + [pressure()]


def told_gap(gap):
    return f"{gap['from']} to {gap['to']}: filled {gap['filled_ms']} ms, silence {gap['silence_ms']} ms, {gap['since_good_ms']} ms since a good picture"


def recording_figures(rig):
    """What the recording shows of a switch to the backup and one back."""
    shown, sound = rig.recording()
    video, audio = rig.tracks()
    where = [shown[index].at for index in switches(shown)]
    slots = [picture.slot for picture in shown if picture.slot]
    order = slots[:1] + [shown[index].slot for index in switches(shown)]
    begun = next((index for index, picture in enumerate(shown) if picture.slot), len(shown))
    held = max(holds(shown[begun:]), key=lambda held: held.times, default=None)
    spacing = [f"picture: {fault}" for fault in video.faults_of_order() + video.faults_of_spacing(Fraction(1, FPS))]
    spacing += [f"sound: {fault}" for fault in audio.faults_of_order() + audio.faults_of_spacing(AAC_FRAME)]
    figures = [
        empty("ffmpeg error lines, the whole recording", [line for path in rig.files for line in probe.decode_faults(["-i", path], 120)]),
        empty("packets that are not exactly spaced", spacing),
        Figure("pictures without a code before the first one with it", str(begun)),
        empty("pictures without a code after that", [f"{picture.at:.3f} s" for picture in shown[begun:] if picture.slot is None]),
        equal("slots in the recording, in order", ", ".join(order), ", ".join(EXPECTED)),
        Figure("longest held picture", f"{held.times / FPS:.2f} s" if held else "none"),
        Figure("longest silence", f"{max((seconds for _, seconds in silences(sound.samples)), default=0):.2f} s"),
    ]
    if len(where) != 2:
        return figures
    marks = sync(shown, sound.beeps, rig.sources)
    for phase, begin, end in (("before", 0, where[0]), ("between", *where), ("after", where[1], shown[-1].at)):
        figures.append(sync_figure(phase, [offset for at, offset in marks if begin <= at <= end]))
    return figures


def sync_figure(phase, offsets):
    if not offsets:
        raise Failed(f"no flash with its beep {phase}")
    worst = max(offsets, key=abs)
    return Figure(f"sound minus picture, {phase}, worst of {len(offsets)} marks", f"{1000 * worst:+.0f} ms, median {1000 * statistics.median(offsets):+.0f}",
                  f"within ±{1000 * SYNC_LIMIT:.0f} ms", abs(worst) <= SYNC_LIMIT)


def demo_failover(short):
    """`make demo-failover`'s script: the timing list, and the gaps that its player measured."""
    done = subprocess.run([ROOT / "scripts" / "demo-failover.sh"], env=dict(os.environ, WEIR=str(binary())), text=True, timeout=240,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Failed(done.stderr.strip()[-300:])
    timing = done.stdout.partition("\nTiming\n")[2]
    steps = ["Primary started", "Primary displayed", "Backup started", "Primary stopped", "Backup enabling", "Backup displayed", "Primary started again",
             "Primary enabling", "Primary displayed again"]
    gaps = [float(gap) for gap in re.findall(r"\(([\d.]+) s without a new picture", timing)]
    return [
        empty("steps that the timing list does not have", [step for step in steps if step not in timing]),
        *(Figure(f"seconds without a new picture, {what}", f"{gap:.2f} s", f"< {reference} s", gap < reference)
          for what, gap, reference in zip(("to the backup", "back"), gaps, (REFERENCE_OUT, REFERENCE_BACK))),
        equal("gaps measured", len(gaps), 2),
        Figure("manifest and player", timing.rpartition("polls of the manifest")[2].partition("\n")[0].strip(" ,"), "0 that were not 200; fatal player errors: 0",
               " 0 that were not 200; fatal player errors: 0;" in timing),
    ]


def failover_players(short):
    """Four players across both switches, a hold of 10 s: no fatal error, no stall."""
    return [figure for mode in MODES for figure in played(mode)]


def played(mode):
    for attempt in range(1, RUNS + 1):
        seen, changes = play_once(mode)
        if not seen["void"]:
            break
    else:
        raise Failed(f"{mode}: {RUNS} void runs, CPU pressure {seen['psi']['max']:.0f} %")
    return [
        equal(f"{mode}: on air, each change", ", ".join(map(str, changes)), "backup, primary"),
        empty(f"{mode}: fatal errors across both switches", (seen["errors"] or [seen["fatal"]]) if seen["fatal"] else []),
        empty(f"{mode}: stalls over 400 ms in {PLAYER_SECONDS} s", [f"{stall['ms']} ms at {stall['afterStartMs'] / 1000:.0f} s" for stall in seen["stalls"]]),
        equal(f"{mode}: picture has moved", seen["startupMs"] is not None, True),
        Figure(f"{mode}: CPU pressure, highest avg10", f"{seen['psi']['max']} %"),
    ]


def play_once(mode):
    failures, changes = [], []

    def disturb(rig, began):
        try:
            rig.sleep_until(began + PLAYER_KILL_AT)
            killed = rig.pushers["primary"].send(signal.SIGKILL)
            rig.sleep_until(killed + PLAYER_AWAY)
            back = rig.start("primary")
            rig.watch.wait("on_air", "primary", PLAYER_HOLD + 10, back)
            changes.extend(rig.watch.values("on_air", killed))
        except (Failed, OSError) as why:
            failures.append(why)
    with Rig("failover_players", primary(), other_backup(), hold_setting(PLAYER_HOLD)) as rig:
        rig.begin()
        thread = threading.Thread(target=disturb, args=(rig, time.monotonic()), daemon=True)
        thread.start()
        seen = browser.measure(rig.stream["iframe_url"], PLAYER_SECONDS, f"failover_{mode}", mode)
        thread.join()
    if failures:
        raise failures[0]
    return seen, changes
