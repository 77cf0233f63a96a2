"""The failover demo: two encoders with burnt-in names and clocks send one programme; the primary is killed and comes back, while a real
player, headless Chromium with low-latency HLS, tells when each picture comes to its screen. `scripts/demo-failover.sh` runs it.
"""

import dataclasses
import math
import signal
import sys
import threading
import time

import barcode
import browser
from failover_rig import REFERENCE_BACK, REFERENCE_OUT, Watch
from failover_sources import BACKUP_BIT, Encoded
from report import KEPT, Failed
from server import Encoder, Http, Weir
from sources import FONT

HOLD = 15
BACKUP_AT, KILL_AT, AWAY = 8.0, 25.0, 12.0  # seconds from the primary's start, and to its return
PAGE_SECONDS = 75
POLL = 0.25
PROGRAMME = Encoded("failover-demo", False, 854, 480, 30, 1, 48000, 110, kbps=2500, label="Programme")
AHEAD = 0.3  # seconds that an ffmpeg needs before it sends


def clock(at):
    """Wall-clock time, as the encoders burn it in."""
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d} UTC"


def encoder(name, number, url, began, backup):
    """An ffmpeg that encodes the programme from where it is now, with its name and a clock in the picture, and its bit in the code."""
    at = max(0.0, time.time() + AHEAD - began)
    # A seek to the very beginning would lose it: what was read to know the streams is thrown away then.
    seek = ["-ss", f"{math.floor(at * 30) / 30:.6f}"] if at > 1 else []
    words = f"drawtext=fontfile={FONT}:fontcolor=white:box=1:boxcolor=black:fontsize=h/15"
    block = PROGRAMME.width / barcode.BLOCKS
    mark = f",drawbox=x={round(2 * block)}:w={round(block)}:y=ih-ih/{barcode.STRIP}:h=ih/{barcode.STRIP}:t=fill:color=white" if backup else ""
    picture = (f"{words}:text='Stream {number} {name}':x=20:y=h/6,"
               f"{words}:fontcolor=yellow:text='%{{gmtime\\:%T}} UTC  %{{pts\\:hms}}':x=20:y=h/6+h/12{mark}")
    return Encoder([
        "-re", *seek, "-i", PROGRAMME.path(), "-vf", picture,
        "-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-preset", "veryfast", "-x264opts", "bframes=0:scenecut=0:keyint=30",
        "-b:v", "1500k", "-c:a", "aac", "-ar", "44100" if backup else "48000", "-f", "flv", url])


class Polls(threading.Thread):
    """The status of the manifest, again and again, as the reference's demo does."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.http = url, Http()
        self.statuses, self.ending = [], threading.Event()

    def run(self):
        while not self.ending.wait(POLL):
            self.statuses.append(self.http.get(self.url)[0])


@dataclasses.dataclass
class Viewed:
    """What the player showed. `numbers` are (seconds since 1970, number) of each new picture."""

    numbers: list

    @classmethod
    def of(cls, seen):
        return cls([(entry["at"] / 1000, entry["number"]) for entry in seen["numbers"] if entry["number"] is not None])

    def first(self, backup, after):
        """When the first picture of that encoder came to the screen after then."""
        return next((at for at, number in self.numbers if at > after and bool(number & BACKUP_BIT) == backup), None)

    def gap(self, begin, end):
        """The longest time without a new picture, from a picture before `begin` to one after `end`."""
        times = [at for at, _ in self.numbers if begin <= at <= end]
        return max((b - a for a, b in zip(times, times[1:])), default=math.inf)


def demo():
    """Runs it, printing what happens; returns the timing list as (when, what) and figures."""
    print("preparing the programme that both encoders send", flush=True)
    PROGRAMME.make()
    apart = time.time() - time.monotonic()
    told = []

    def tell(at, what):
        told.append((at, what))
        print(f"  {clock(at)}  {what}", flush=True)

    encoders = {}
    with Weir("demo-failover", f'[failover]\nhold = "{HOLD}s"\n[limits]\nconnect_burst = 100\n') as weir:
        stream = weir.create_stream("360p")
        watch, polls = Watch(weir, stream), None
        watch.start()
        print(f"\n  Player  {stream['iframe_url']}\n  HLS     {stream['hls_cmaf_url']}\n  DASH    {stream['dash_url']}\n"
              f"\n  Open one of these now to watch along; it takes {PAGE_SECONDS + 5:.0f} s.\n", flush=True)
        try:
            began = time.time() + AHEAD
            encoders["primary"] = encoder("Primary", 1, stream["push_url"], began, False)
            started = time.time()
            tell(started, "Stream 1 Primary started")
            weir.wait_playable(stream)
            polls = Polls(stream["dash_url"])
            polls.start()
            page = Page(stream["iframe_url"])
            page.start()
            sleep_until(started + BACKUP_AT)
            encoders["backup"] = encoder("Backup", 2, stream["backup_push_url"], began, True)
            tell(time.time(), "Stream 2 Backup started")
            sleep_until(started + KILL_AT)
            killed = time.time()
            encoders["primary"].process.send_signal(signal.SIGKILL)
            told_apart = watch.alignment
            tell(killed, "Stream 1 Primary stopped (SIGKILL)")
            tell(apart + watch.wait("on_air", "backup", 10, killed - apart), "Stream 2 Backup enabling")
            sleep_until(killed + AWAY)
            encoders["primary"].end()
            encoders["primary"] = encoder("Primary", 1, stream["push_url"], began, False)
            back = time.time()
            tell(back, "Stream 1 Primary started again")
            tell(apart + watch.wait("on_air", "primary", HOLD + 10, back - apart), "Stream 1 Primary enabling")
            seen = page.measured()
        finally:
            for one in encoders.values():
                one.end()
            watch.ending.set()
            if polls:
                polls.ending.set()
        lines, figures = timing(told, Viewed.of(seen), seen, polls.statuses, started, killed, back)
        return lines, figures | {"alignment": told_apart}


def timing(told, viewed, seen, statuses, started, killed, back):
    shown = {"Stream 1 Primary displayed": viewed.first(False, started), "Stream 2 Backup displayed": viewed.first(True, killed),
             "Stream 1 Primary displayed again": viewed.first(False, back)}
    missing = [what for what, at in shown.items() if at is None]
    if missing:
        raise Failed(f"the player never showed: {', '.join(missing)}")
    out_at, back_at = shown["Stream 2 Backup displayed"], shown["Stream 1 Primary displayed again"]
    gaps = {"out": viewed.gap(killed - 1, out_at + 1), "back": viewed.gap(back_at - 3, back_at + 1)}
    lines = told + [(at, what + {
        "Stream 2 Backup displayed": f" ({gaps['out']:.2f} s without a new picture; reference: {REFERENCE_OUT} s)",
        "Stream 1 Primary displayed again": f" ({gaps['back']:.2f} s without a new picture; reference: {REFERENCE_BACK} s)"}.get(what, ""))
        for what, at in shown.items()]
    return sorted(lines), {"gaps": gaps, "polls": len(statuses), "not_200": sum(status != 200 for status in statuses), "fatal": seen["fatal"],
                           "pressure": seen["psi"]["max"]}


def sleep_until(at):
    time.sleep(max(0.0, at - time.time()))


class Page(threading.Thread):
    """The player, from its opening to the end of the demo."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.seen, self.fault = url, None, None

    def run(self):
        try:
            self.seen = browser.measure(self.url, PAGE_SECONDS, "demo_failover", "ll", "--numbers")
        except Exception as fault:  # raised where it is waited for
            self.fault = fault

    def measured(self):
        self.join()
        if self.fault:
            raise self.fault
        return self.seen


def main():
    KEPT.mkdir(exist_ok=True)
    try:
        lines, figures = demo()
    except (Failed, OSError) as why:
        sys.exit(f"demo-failover: {why}")
    print("\nTiming")
    for at, what in lines:
        print(f"  {clock(at)}  {what}")
    lock = figures["alignment"]
    print(f"\n  Both programmes, by their sound, when the primary was stopped: {lock['state']}"
          + ("" if lock["offset_ms"] is None else f", the backup {lock['offset_ms']:+.0f} ms late"))
    print(f"  {figures['polls']} polls of the manifest, each {POLL:g} s: {figures['not_200']} that were not 200; fatal player errors: {figures['fatal']}; "
          f"CPU pressure at most {figures['pressure']} %\n  The player's last picture is .accept/demo_failover.png, the server's log .accept/run/demo-failover/weir.log")


if __name__ == "__main__":
    main()
