"""Lines about what can happen to encoders: each way to fail, encoders that stay away, and everything dying at once."""

import os
import re
import signal
import sys
import threading
import time

import browser
from continuity import source
from failover_rig import Rig, hold_setting
from failover_sources import other_backup, primary, same_rate_backup, unrelated_backup
from report import KEPT, ROOT, Failed, Figure, at_most, empty, equal, pressure, wait_until, within
from server import Encoder, Weir

sys.path.append(str(ROOT / "tests" / "chaos"))

import recorder  # noqa: E402
import timeline  # noqa: E402
from model import History  # noqa: E402

STALL, TOLERANCE = 3.0, 0.3
HOLD, SETTLED, LOCK_LIMIT = 10.0, 4.0, 20.0
DELAY = 1.0
SHOWN_LATE = 0.5  # seconds from the moment in which another slot has to be shown to the operator's view of it
AWAY = 20.0
LINGER, ENDED_EARLY, ENDED_LATE = 8.0, 0.5, 6.0  # the last picture left a little before its encoder has ended
DIED, RETURNS = 5.0, 12.0  # seconds until all die, and between the encoders' ends and their return


FAULTS = {
    "killed": lambda rig: rig.pushers["primary"].send(signal.SIGKILL),
    "frozen": lambda rig: rig.pushers["primary"].send(signal.SIGSTOP),
    "cut off": lambda rig: rig.tap("primary").block(),
    "only sound": lambda rig: rig.tap("primary").only_sound(),
    "corrupted slices": lambda rig: rig.tap("primary").spoil_slices(),
}


def failover_faults(short):
    """An encoder killed, frozen, cut off, sending only sound and sending corrupted slices: when backup is on air, and what is shown."""
    figures = []
    for mode in ("freeze", "hitless"):
        for name, fault in FAULTS.items():
            figures += faulted(name, fault, mode)
    return figures + [pressure()]


def faulted(name, fault, mode):
    what = f"{mode}, {name}"
    # Another programme cannot cover, so that `freeze` shows what the law alone does.
    backup = unrelated_backup() if mode == "freeze" else same_rate_backup()
    try:
        with Rig("failover_faults", primary(), backup, hold_setting(HOLD), {"mode": mode, "delay_ms": round(1000 * DELAY)}) as rig:
            rig.begin()
            if mode == "hitless":
                rig.wait_locked(LOCK_LIMIT)
            time.sleep(SETTLED)  # steady
            began = time.monotonic()
            fault(rig)
            on_air = rig.watch.wait("on_air", "backup", 12, began)
            shown = rig.watch.wait("shown", "backup", 5, began)
            last, decoded = rig.tap("primary").last, rig.watch.decoded["primary"]
            polled = rig.finish()
    except Failed as why:
        return [Figure(f"{what}: ran to its end", str(why), "yes", False)]
    polled.what = f"{what}: {polled.what}"
    if name == "corrupted slices" and mode == "hitless" and decoded:
        # Pictures go on arriving, so the last one that was decoded counts; a delayed output decodes late, and the view tells of it up to 0.3 s later.
        took = within(f"{what}: backup on air after the last decoded picture", on_air - max(last, decoded[-1][0]), STALL - 2 * TOLERANCE, STALL + TOLERANCE)
    else:
        took = within(f"{what}: backup on air after the last good picture", on_air - last, STALL - TOLERANCE, STALL + TOLERANCE)
    figures = [
        took,
        Figure(f"{what}: last growth of the decoded pictures, after the last good one", f"{decoded[-1][0] - last:+.2f} s" if decoded else "none was decoded"),
    ]
    if mode == "freeze":
        figures.append(within(f"{what}: backup shown after it is on air", shown - on_air, -SHOWN_LATE, SHOWN_LATE))
    else:
        figures.append(at_most(f"{what}: backup shown after the last good picture", shown - last, DELAY + SHOWN_LATE, "s"))
    return [*figures, polled]


def failover_linger(short):
    """No backup: an encoder gone 20 s is the same broadcast; gone longer than the linger it is the end, and an open page goes on with the next one."""
    return [figure for mode in ("ll", "ll-dash") for figure in same_broadcast(mode)] + next_broadcast()


class Page(threading.Thread):
    """The player page in Chromium, opened once and never reloaded."""

    def __init__(self, stream, seconds, name, mode="ll"):
        super().__init__(daemon=True)
        self.url, self.seconds, self.name_, self.mode = stream["iframe_url"], seconds, name, mode
        self.seen = self.fault = None

    def run(self):
        try:
            self.seen = browser.measure(self.url, self.seconds, self.name_, self.mode)
        except Exception as fault:  # raised where it is waited for
            self.fault = fault

    def measured(self):
        self.join()
        if self.fault:
            raise self.fault
        return self.seen

    def moves_at_the_end(self):
        seen = self.measured()
        ended = 1000 * seen["seconds"] - (seen["startupMs"] or 0)
        still = [stall for stall in seen["stalls"] if stall["afterStartMs"] + stall["ms"] > ended - 1000]
        return seen["startupMs"] is not None and not still and seen["state"] in ("live", "behind")


def master_body(weir, url):
    status, body, _ = weir.http.get(url)
    return body.decode() if status == 200 else ""


def media_text(weir, stream):
    """The first video playlist."""
    master = stream["hls_cmaf_url"]
    names = re.findall(r"^[^#\s].*$", master_body(weir, master), re.M)
    return master_body(weir, master.rsplit("/", 1)[0] + "/" + names[0]) if names else ""


def broadcast_of(text):
    """(first number of each broadcast that is listed, discontinuity sequence number)."""
    found = re.search(r"#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)", text)
    return re.findall(r"init-(\d+)-", text), int(found[1]) if found else 0


def same_broadcast(mode):
    with Weir("failover_linger") as weir:
        stream = weir.create_stream("360p")
        with Encoder.copy(source(1), stream["push_url"], loops=-1):
            weir.wait_playable(stream)
            page = Page(stream, 55, f"failover_linger_{mode}", mode)
            page.start()
            time.sleep(12)  # is played
            before = broadcast_of(media_text(weir, stream))
        worker = weir.worker(stream)
        time.sleep(AWAY)  # there is no encoder
        during = weir.http.get(stream["hls_cmaf_url"])[0]
        with Encoder.copy(source(1), stream["push_url"], loops=-1):
            moves = page.moves_at_the_end()
            after = broadcast_of(media_text(weir, stream))
            same = worker == weir.worker(stream)
    return [
        equal(f"gone {AWAY:g} s: broadcast and discontinuity number", after, before),
        equal(f"gone {AWAY:g} s: same worker", same, True),
        equal(f"gone {AWAY:g} s: manifest meanwhile", during, 200),
        equal(f"gone {AWAY:g} s: the page goes on without a reload, {mode}", moves, True),
        Figure(f"gone {AWAY:g} s: fatal errors that the page recovered from, {mode}", str(page.seen["fatal"])),
    ]


def next_broadcast():
    with Weir("failover_linger", f'[failover]\nlinger = "{LINGER:g}s"\n') as weir:
        stream = weir.create_stream("360p")
        with Encoder.copy(source(1), stream["push_url"], loops=-1):
            weir.wait_playable(stream)
            page = Page(stream, 60, "failover_linger_ended")
            page.start()
            time.sleep(12)  # is played
            before, worker = broadcast_of(media_text(weir, stream)), weir.worker(stream)
        gone = time.monotonic()
        wait_until("ENDLIST", LINGER + ENDED_LATE + 5, lambda: "#EXT-X-ENDLIST" in media_text(weir, stream))
        ended = time.monotonic() - gone
        wait_until("end of the worker", 5, lambda: not os.path.exists(f"/proc/{worker}"))
        time.sleep(5)  # the page says that it is over
        with Encoder.copy(source(1), stream["push_url"], loops=-1):
            def another():
                text = media_text(weir, stream)
                return text if broadcast_of(text) != before and "#EXT-X-ENDLIST" not in text else None
            text = wait_until("new broadcast", 20, another)
            after = broadcast_of(text)
            moves = page.moves_at_the_end()
    states = [state["state"] for state in page.seen["states"]]
    return [
        within("gone longer than the linger: ENDLIST after", ended, LINGER - ENDED_EARLY, LINGER + ENDED_LATE),
        equal("gone longer: worker process is gone", not os.path.exists(f"/proc/{worker}"), True),
        Figure("gone longer: next broadcast is another one, behind a discontinuity", f"{before} to {after}", "another, discontinuity",
               after[0][-1:] != before[0][-1:] and ("#EXT-X-DISCONTINUITY\n" in text or after[1] > before[1])),
        Figure("gone longer: the open page shows the end, then the next broadcast by itself", ", ".join(states), "ended, … live",
               "ended" in states and "live" in states[states.index("ended"):] and moves),
    ]


def failover_worker(short):
    """Both encoders and the worker killed in one moment: every law of the timeline holds, and what comes back goes on."""
    out = KEPT / "run" / "failover_worker" / "history.jsonl"
    with Rig("failover_worker", primary(), other_backup(), hold_setting(HOLD)) as rig:
        history = recorder.History(out)
        rig.begin()
        history.write("meta", seed=0, seconds=0, linger=60, wall=time.time() - history.now(), streams={"a": rig.stream["id"]})
        history.write("server", event="start", pid=rig.weir.process.pid)
        manifests = recorder.Manifests(history, "a", rig.stream)
        watches = [manifests, *(recorder.Player(history, "a", rig.stream, playlist) for playlist in manifests.playlists)]
        for watch in watches:
            watch.start()
        time.sleep(DIED)  # steady
        worker = rig.weir.worker(rig.stream)
        for slot in ("primary", "backup"):
            rig.pushers[slot].send(signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        died = time.monotonic()
        rig.watch.wait("on_air", None, 10, died)
        held = rig.weir.http.get(rig.stream["hls_cmaf_url"])[0]
        live = rig.weir.stream(rig.stream)
        rig.sleep_until(died + RETURNS)
        back = rig.start("backup")
        on_air = rig.watch.wait("on_air", "backup", 10, back) - back
        back = rig.start("primary")
        rig.watch.wait("on_air", "primary", HOLD + 10, back)
        time.sleep(5)  # is recorded
        polled = rig.finish()
        history.write("end")
        for watch in watches:
            watch.ending.set()
        for watch in watches:
            watch.join(25)
        history.close()
        for watch in watches:
            if watch.fault:
                raise Failed(f"{type(watch).__name__} did not record to the end: {watch.fault}")
        another = rig.weir.worker(rig.stream) != worker
    return [
        polled,
        *judged(History.load(out)),
        equal("both gone: live, backup_live", (live["live"], live["backup_live"]), (False, False)),
        equal("both gone: manifest", held, 200),
        equal("another worker", another, True),
        at_most("first to return is on air after its first picture", on_air, 2.0, "s"),
        pressure(),
    ]


# Nothing to look at without an end or a second broadcast.
UNTRIED = ("ends_only_after_the_linger", "broadcasts_go_on")


def judged(history):
    """A figure for each law of the timeline."""
    figures = []
    for law in timeline.LAWS:
        checked = []
        broken = list(law(history, lambda *_: checked.append(1)))
        figure = empty(f"{law.__name__.replace('_', ' ')}, violations in {len(checked)} checks", [f"{at:.1f} s {text}" for at, text in broken])
        figure.ok = figure.ok and (bool(checked) or law.__name__ in UNTRIED)
        figures.append(figure)
    return figures
