#!/usr/bin/env python3
"""The benchmark: Weir beside ffmpeg and other live servers, in one run on one machine, as `docs/performance.md`.

    bench.py                        every measure
    bench.py --only NAME[,NAME]     these again; the document keeps the kept results of the others
    bench.py --rounds N             N rounds of each measure, instead of its own number
    bench.py --print                the document from what is kept, without measuring

Within a measure the servers take turns, and every other round goes the other way, so that the machine's moods hit all of
them. Results are kept as JSON lines in `.bench/results/`. Exit 1 when a server could not be measured or a goal is missed.
Python's standard library only; `scripts/bench-peers.sh` installs the peers.
"""

import argparse
import json
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "accept"))

import report

report.KEPT = report.ROOT / ".bench"  # before the harness' other modules take it

import backup
import connect
import delivery
import document
import flow
import ladder
import machine
import servers
import takeover
from server import binary

# Name: module and rounds.
MEASURES = {"ladder": (ladder, 3), "flow": (flow, 2), "connect": (connect, 3), "delivery": (delivery, 1), "takeover": (takeover, 2),
            "backup": (backup, 2)}


def run(name, module, rounds, about):
    """Takes the measure and keeps a line for what it is about and a line for each server and round."""
    print(f"== {name}: {module.__doc__.splitlines()[0]}", flush=True)
    path = report.KEPT / "results" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    module.prepare()
    absent = {kind.name: kind.missing() for kind in module.SERVERS if kind.missing()}
    present = [kind for kind in module.SERVERS if kind.name not in absent]
    lines = [about | {"measure": name, "at": time.time(), "missing": absent}]
    for number in range(rounds):
        for kind in present if number % 2 == 0 else reversed(present):
            began, waited = time.monotonic(), machine.stalled_seconds()
            try:
                came = {"figures": module.measure(kind)}
            except (report.Failed, OSError) as why:
                came = {"error": str(why)}
            except Exception as bug:  # one server's bug must not hide the others' figures
                came = {"error": f"{type(bug).__name__}: {bug}"}
                traceback.print_exc()
            took = time.monotonic() - began
            lines.append({"server": kind.name, "round": number, "seconds": round(took, 1),
                          "pressure": round(100 * (machine.stalled_seconds() - waited) / took, 1), **came})
            print(f"   {kind.name:22} {took:5.1f} s  {shortened(came)}", flush=True)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def shortened(value):
    """As printed while it runs: floats with four digits."""
    if isinstance(value, dict):
        return " ".join(f"{key}={shortened(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return "[" + " ".join(map(shortened, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def about_run(private):
    versions = {kind.name: kind.version() for kind in servers.PEERS if not kind.missing()}
    return {"commit": report.commit(), "machine": f"{machine.cpu_model()}, {machine.memory_gib()} GiB", "system": document.system(),
            "private_network": private, "versions": versions}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="comma-separated names")
    options.add_argument("--rounds", type=int)
    options.add_argument("--print", action="store_true", dest="print_only")
    chosen = options.parse_args()
    only = [name for name in chosen.only.split(",") if name]
    for name in only:
        if name not in MEASURES:
            options.error(f"no measure is named {name}; there are {', '.join(MEASURES)}")
    if not chosen.print_only:
        if not binary().exists():
            sys.exit(f"bench: {binary()} is not built; make build")
        servers.Xiu.private_network = private = machine.private_network()
        about = about_run(private)
        for name, (module, rounds) in MEASURES.items():
            if not only or name in only:
                run(name, module, chosen.rounds or rounds, about)
    results = {name: document.Result.load(report.KEPT / "results" / f"{name}.jsonl") for name in MEASURES}
    text, faults = document.render(results)
    (report.ROOT / "docs" / "performance.md").write_text(text)
    print(text)
    for fault in faults:
        print(f"bench: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
