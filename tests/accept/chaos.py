"""Lines about everything failing at once: a seeded chaos run that is judged offline, and the proof that its judge can say no.

`CHAOS_SEED=n` repeats a schedule; the record of a run is kept in `.accept/chaos/`, and `tests/chaos/check.py` judges it again.
"""

import os
import random
import subprocess
import sys

from report import KEPT, ROOT, Failed, Figure, empty, pressure

FOLDER = ROOT / "tests" / "chaos"
SECONDS = 900
REWOUND_SECONDS = 25
sys.path.append(str(FOLDER))

import check  # noqa: E402
from model import History  # noqa: E402


def recorded(name, *options):
    """The history of a run. It has a mount namespace of its own for its small disk; without root it is root in a namespace of users."""
    out = KEPT / "chaos" / name
    alone = ["unshare", "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    done = subprocess.run([*alone, sys.executable, FOLDER / "run.py", "--out", out, *map(str, options)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failed(f"run.py: {done.stdout.strip()[-400:]}")
    return History.load(out / "history.jsonl")


def chaos(short):
    """Encoder, worker and server killed and stopped, disk slow and full, for 15 minutes: every law, checked from the record."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"   CHAOS_SEED={seed}", flush=True)
    history = recorded(str(seed), "--seed", seed, "--seconds", SECONDS)
    figures = [Figure("seed; faults; manifest polls; downloads", "; ".join(
        str(n) for n in (seed, len(history.faults), len(history.of("poll")), len(history.of("media")))))]
    for verdict in check.judge(history):
        law = verdict.law.replace("_", " ")
        figure = empty(f"{law}, violations in {verdict.checked} checks", [f"{at:.1f} s {text}" for at, text in verdict.violations])
        figure.ok = figure.ok and verdict.tried
        figures.append(figure)
        figures += [Figure(what, f"worst {verdict.worst[what]:.4g} of {times}" if what in verdict.worst else f"{times} times")
                    for what, times in sorted(verdict.times.items())]
    return figures + [pressure()]


def chaos_checker(short):
    """The judge of chaos runs: every law broken on purpose in a made-up record, and one on a real server."""
    done = subprocess.run([sys.executable, "-m", "unittest", "test_check"], cwd=FOLDER, stderr=subprocess.PIPE, text=True)
    history = recorded("rewound", "--seed", 0, "--seconds", REWOUND_SECONDS, "--rewind")
    found = {verdict.law: verdict.violations for verdict in check.judge(history)}
    noticed = found["numbers_never_go_back"]
    return [
        Figure("tests of the judge", done.stderr.strip().splitlines()[-1], "OK", done.returncode == 0),
        Figure("stored numbers of a real server taken back: violations of \"numbers never go back\"", str(len(noticed)), "> 0", bool(noticed)),
        empty("manifests that do not answer, nor media, meanwhile", found["manifests_answer"] + found["listed_can_be_had"]),
    ]
