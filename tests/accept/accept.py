#!/usr/bin/env python3
"""The acceptance harness: measures the goals of the product with real encoders and players, and prints them as a table.

    accept.py                     every line that has not passed yet on this commit
    accept.py --only NAME[,NAME]  these lines again
    accept.py --short             the lines that `make test` runs, shortened

Each line starts its own `weir serve` on free ports. Results, sources, logs and screenshots are kept in `.accept/`.
Exit 1 when a line fails. Python's standard library only; needs the packages of `scripts/packages.txt`.
"""

import argparse
import sys
import time
import traceback

import alignment
import chaos
import continuity
import control
import cost
import doctor
import doors
import failover
import failover_faults
import failover_flaps
import failover_hitless
import frozen
import fuzz
import hostile
import http_rules
import metrics
import openapi
import output
import pairs
import play
import pull_guard
import pull_many
import pull_rotation
import pull_sources
import pull_timers
import refusals
import soak
import srt_loss
import token_reset
import webhooks
import whip
import writes
from report import KEPT, Failed, Result, commit, table
from server import binary

LINES = {
    "quickstart": play.quickstart,
    "smooth": play.smooth,
    "formats": output.formats,
    "startup": output.startup,
    "cpu": cost.cpu,
    "gcore": control.gcore,
    "defects": control.defects_line,
    "demo": control.demo,
    "worker_kill": continuity.worker_kill,
    "worker_stop": continuity.worker_stop,
    "worker_kill_players": continuity.worker_kill_players,
    "server_kill": continuity.server_kill,
    "server_kill_players": continuity.server_kill_players,
    "api_writes": writes.api_writes,
    "half_open": hostile.half_open,
    "mutated": hostile.mutated,
    "soak": soak.soak,
    "chaos_checker": chaos.chaos_checker,
    "chaos": chaos.chaos,
    "fuzz": fuzz.fuzz,
    "failover_checker": failover.failover_checker,
    "failover": failover.failover,
    "failover_default": failover.failover_default,
    "failover_players": failover.failover_players,
    "failover_hitless": failover_hitless.failover_hitless,
    "failover_faults": failover_faults.failover_faults,
    "failover_flaps": failover_flaps.failover_flaps,
    "failover_linger": failover_faults.failover_linger,
    "failover_worker": failover_faults.failover_worker,
    "demo_failover": failover.demo_failover,
    "alignment": alignment.alignment,
    "doctor": doctor.doctor,
    "doors": doors.doors,
    "refusals": refusals.refusals,
    "frozen": frozen.frozen,
    "token_reset": token_reset.token_reset,
    "pairs": pairs.pairs,
    "srt_loss": srt_loss.srt_loss,
    "srt_hostile": srt_loss.srt_hostile,
    "whip": whip.whip,
    "pull_checker": pull_sources.pull_checker,
    "pull_sources": pull_sources.pull_sources,
    "pull_rotation": pull_rotation.pull_rotation,
    "pull_timers": pull_timers.pull_timers,
    "pull_guard": pull_guard.pull_guard,
    "pull_many": pull_many.pull_many,
    "webhooks": webhooks.webhooks,
    "http_rules": http_rules.http_rules,
    "metrics": metrics.metrics,
    "openapi": openapi.openapi,
    "check_and_test": control.check_and_test,
}
# Without what needs a quiet machine, many minutes or the tests themselves.
SHORT = ["quickstart", "smooth", "formats", "gcore", "defects", "demo", "api_writes", "half_open", "mutated", "chaos_checker", "failover_checker",
         "failover", "fuzz", "doctor", "doors", "refusals", "frozen", "token_reset", "srt_hostile", "whip",
         "pull_checker", "pull_sources", "pull_rotation", "pull_timers", "pull_guard", "pull_many", "webhooks", "http_rules", "metrics", "openapi"]


def run(name, short, on):
    print(f"== {name}: {LINES[name].__doc__}", flush=True)
    result = Result(name, on, short)
    began = time.monotonic()
    try:
        result.figures = LINES[name](short)
    except Failed as why:
        result.error = str(why)
    except Exception as bug:  # a line's bug must not hide the lines after it
        result.error = f"{type(bug).__name__}: {bug}"
        traceback.print_exc()
    result.seconds = round(time.monotonic() - began, 1)
    result.keep()
    print("\n".join(result.rows()), f"\n   {name}: {'passed' if result.passed else 'FAILED'} in {result.seconds} s\n", flush=True)
    return result


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="comma-separated names")
    options.add_argument("--short", action="store_true")
    chosen = options.parse_args()
    only = [name for name in chosen.only.split(",") if name]
    names = [name for name in LINES if not chosen.short or name in SHORT or name in only]
    for name in only:
        if name not in LINES:
            options.error(f"no line is named {name}; there are {', '.join(LINES)}")
    if not binary().exists():
        sys.exit(f"accept: {binary()} is not built; make build")

    KEPT.mkdir(exist_ok=True)
    on, results = commit(), []
    for name in names:
        kept = Result.load(name, chosen.short)
        if only:
            again = name in only
        else:
            again = chosen.short or not (kept and kept.passed and kept.commit == on)
        if again:
            kept = run(name, chosen.short, on)
        if kept:
            results.append(kept)
    for result in results:
        if result.commit != on:
            print(f"note: {result.line} was measured on {result.commit}, not on {on}")
    print(f"\nCommit {on}\n\n{table(results)}")
    (KEPT / "table.md").write_text(f"Commit {on}\n\n{table(results)}\n")
    sys.exit(0 if all(result.passed for result in results) else 1)


if __name__ == "__main__":
    main()
