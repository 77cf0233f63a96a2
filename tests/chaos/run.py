#!/usr/bin/env python3
"""A chaos run on the real thing: two streams, faults drawn from a seed, and a record of all that could be seen.

    unshare --mount tests/chaos/run.py --seed 7 --seconds 900 --out .accept/chaos/7

It judges nothing; `check.py OUT/history.jsonl` does. The epilogue shows the end of a broadcast and the start of the next.
`--rewind` breaks a law on purpose: it kills the server once and takes the stored numbers back before it starts again.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import sqlite3
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "accept"), str(HERE)]

import recorder  # noqa: E402
from disk import Disk  # noqa: E402
from nemesis import Nemesis, Publisher, Server  # noqa: E402
from report import Failed, wait_until  # noqa: E402
from schedule import LINGER, Fault, schedule  # noqa: E402
from server import binary  # noqa: E402
from sources import Source  # noqa: E402

SETS = """
[failover]
linger = "{linger}s"
[[quality_sets]]
id = 1
name = "two rungs"
default = true
qualities = [
    {{ id = 1, name = "360p", width = 640, height = 360, bitrate_kbps = 450 }},
    {{ id = 2, name = "180p", width = 320, height = 180, bitrate_kbps = 200 }},
]
[[quality_sets]]
id = 2
name = "one rung"
default = false
qualities = [{{ id = 1, name = "240p", width = 426, height = 240, bitrate_kbps = 300 }}]
"""
SOURCES = {
    "a": (1, Source("chaos-a", 640, 360, "30", 60, kbps=700, gop=1)),
    "b": (2, Source("chaos-b", 426, 240, "25", 60, kbps=400, gop=2)),
}
AFTER_END = 6.0  # seconds that the ended broadcast, and then the next one, are watched


class Run:
    """Everything that runs, from the first encoder to the end of the record."""

    def __init__(self, options):
        self.options = options
        self.out = options.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        files = {name: source.make() for name, (_, source) in SOURCES.items()}
        # A name of its own tells this run's workers from all others of the machine.
        program = self.out / "weir"
        shutil.copy2(binary(), program)
        self.history = recorder.History(self.out / "history.jsonl")
        faults = [] if options.rewind else schedule(options.seed, options.seconds)
        self.faults = [fault for fault in faults if not options.kinds or fault.kind in options.kinds]
        self.weir = Server(f"chaos-{options.seed}", SETS.format(linger=LINGER), self.history, Disk, program)
        wait_until("readiness", 60, lambda: self.weir.alive() and self.weir.http.get(self.weir.base + "/readyz")[0] == 200)
        self.streams = {name: self.create(name, quality) for name, (quality, _) in SOURCES.items()}
        self.publishers = {
            name: Publisher(self.history, name, files[name], stream["push_url"]) for name, stream in self.streams.items()}
        self.watches = []

    def create(self, name, quality):
        return self.weir.api("POST", "/streaming/streams", {"name": name, "active": True, "quality_set_id": quality})

    def begin(self):
        self.history.write(
            "meta", seed=self.options.seed, seconds=self.options.seconds, linger=LINGER, wall=time.time() - self.history.now(),
            streams={name: stream["id"] for name, stream in self.streams.items()}, cpus=os.cpu_count(),
            rewind=self.options.rewind, schedule=[dataclasses.asdict(fault) for fault in self.faults])
        for publisher in self.publishers.values():
            publisher.start()
        for stream in self.streams.values():
            wait_until("playable HLS and DASH", 60, lambda: all(
                self.weir.http.get(stream[field])[0] == 200 for field in ("hls_cmaf_url", "dash_url")))
        for name, stream in self.streams.items():
            manifests = recorder.Manifests(self.history, name, stream)
            players = [recorder.Player(self.history, name, stream, playlist) for playlist in manifests.playlists]
            self.watches += [manifests, *players]
        base, idle = self.weir.base, self.create("idle", 2)
        self.watches += [recorder.Api(self.history, base, self.streams), recorder.Writer(self.history, base, idle),
                         recorder.Processes(self.history, self.weir, self.weir.program)]
        for watch in self.watches:
            watch.start()
        self.playing = self.history.now()

    def sleep_until(self, at):
        time.sleep(max(0.0, self.playing + at - self.history.now()))

    def rewind(self):
        """Numbers go back: what the law forbids."""
        with sqlite3.connect(self.weir.disk.mount / "weir.db") as store:
            store.execute("UPDATE streams SET next_sequence = next_sequence - 10000, discontinuity_sequence = 0")
        self.history.write("rewound")

    def wish(self, fault):
        Nemesis(self.history, self.weir, self.publishers, self.streams).run([fault])

    def go(self):
        self.begin()
        if self.options.rewind:
            self.sleep_until(10)
            self.weir.before_restart = self.rewind
            self.wish(Fault(1, 0.0, "server_kill", None))
            self.sleep_until(self.options.seconds)
        else:
            Nemesis(self.history, self.weir, self.publishers, self.streams).run(self.faults)
            self.sleep_until(self.options.seconds)
            if self.options.epilogue:
                self.wish(Fault(len(self.faults) + 1, 0.0, "encoder_away", "a", LINGER + AFTER_END))
                time.sleep(3 * AFTER_END)
        self.history.write("end")

    def finish(self):
        for watch in self.watches:
            watch.ending.set()
        for watch in self.watches:
            watch.join(25)
        for publisher in self.publishers.values():
            publisher.finish()
        self.weir.__exit__()
        self.history.close()
        shutil.copy2(self.weir.log.name, self.out / "weir.log")
        (self.out / "weir").unlink()
        for watch in self.watches:
            if watch.fault or watch.is_alive():
                raise Failed(f"{type(watch).__name__} did not record to the end") from watch.fault


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, required=True)
    options.add_argument("--seconds", type=float, default=900)
    options.add_argument("--out", type=pathlib.Path, required=True)
    options.add_argument("--kinds", nargs="*", help="only these of the scheduled faults")
    options.add_argument("--rewind", action="store_true", help="break a law on purpose")
    options.add_argument("--no-epilogue", dest="epilogue", action="store_false")
    run = Run(options.parse_args())
    try:
        run.go()
    finally:
        run.finish()


if __name__ == "__main__":
    main()
