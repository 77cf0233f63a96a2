"""Plays a page in headless Chromium by `tests/browser/measure.mjs` and reads what it measured."""

import json
import subprocess

from report import KEPT, ROOT, Failed, Figure, empty


def measure(url, seconds, name, mode="ll", *options):
    """The object that `measure.mjs` prints; `mode` is one of its modes, `options` are more of its options. A screenshot is kept as
    `.accept/NAME.png`."""
    done = subprocess.run(
        ["node", ROOT / "tests" / "browser" / "measure.mjs", url, "--seconds", str(seconds), "--mode", mode,
         "--screenshot", KEPT / f"{name}.png", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds + 90)
    if done.returncode != 0:
        raise Failed(f"measure.mjs ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def played_figures(seen, name):
    """Figures of a run that hold for every stream."""
    start = seen["startupMs"]
    # From the first moving picture to the end of the run, less the time it stood still.
    played = 0 if start is None else seen["seconds"] - (start + seen["stalledMs"]) / 1000
    goal = 0.8 * seen["seconds"]
    broken = seen["pageErrors"] + seen["cspViolations"]
    return [
        empty(f"fatal player errors in {seen['seconds']} s", [seen["errors"]] if seen["fatal"] else []),
        empty("page errors", broken),
        Figure("picture moving in Chromium", f"{played:.1f} s", f"≥ {goal:g} s", played >= goal),
        Figure("latency at the end", f"{seen['latency']:.1f} s" if seen["latency"] is not None else "unknown"),
        Figure("CPU pressure, highest avg10", f"{seen['psi']['max']} %"),
        Figure("screenshot, to be looked at", f"`.accept/{name}.png`"),
    ]
