"""The fuzz targets of the wire formats, for a while each."""

import json
import subprocess
import sys

from report import ROOT, Failed, Figure, pressure

SECONDS, SHORT_SECONDS = 60, 10
SEED = 1  # of the short run, so that a failure there is no matter of luck


def fuzz(short):
    """no input makes a wire format panic, hang, hoard memory or break its promises"""
    words = [sys.executable, ROOT / "scripts" / "fuzz.py", "--json", "--seconds", SHORT_SECONDS if short else SECONDS]
    if short:
        words += ["--seed", SEED]
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        runs = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"scripts/fuzz.py ended with code {done.returncode}: {done.stderr.strip()[-500:]}") from None
    figures = []
    for run in runs:
        said = run["failure"] or f"{run['runs']} runs, {run['coverage']} edges, {run['features']} features"
        figures.append(Figure(run["target"], said, "no failing input", not run["failure"]))
    return [*figures, pressure()]
