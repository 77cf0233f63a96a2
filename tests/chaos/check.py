#!/usr/bin/env python3
"""Checks a recorded history against every law, offline: check.py HISTORY.jsonl. Exit 1 when a law is broken or was not tried."""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import service  # noqa: E402
import timeline  # noqa: E402
from model import History  # noqa: E402

LAWS = {law.__name__: law for law in timeline.LAWS + service.LAWS}


@dataclasses.dataclass
class Verdict:
    """What one law says. `checked` is how many things it looked at, `worst` the largest of each figure it measured."""

    law: str
    violations: list  # (seconds, text)
    checked: int
    worst: dict
    times: dict

    @property
    def tried(self):
        return self.checked > 0


def judge(history):
    """A verdict for every law."""
    verdicts = []
    for name, law in LAWS.items():
        verdict = Verdict(name, [], 0, {}, {})

        def count(figure=None, value=0.0):
            verdict.checked += 1
            if figure:
                verdict.times[figure] = verdict.times.get(figure, 0) + 1
                if value is not None:
                    verdict.worst[figure] = max(verdict.worst.get(figure, 0.0), value)
        verdict.violations = list(law(history, count))
        verdicts.append(verdict)
    return verdicts


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    history = History.load(sys.argv[1])
    broken = 0
    print(f"seed {history.meta['seed']}, {history.end:.0f} s, {len(history.faults)} faults")
    for verdict in judge(history):
        broken += bool(verdict.violations) or not verdict.tried
        state = f"{len(verdict.violations)} violations" if verdict.violations else "holds" if verdict.tried else "NOT TRIED"
        print(f"{verdict.law}: {state}, {verdict.checked} checked")
        for figure, times in sorted(verdict.times.items()):
            worst = f", worst {verdict.worst[figure]:.2f}" if figure in verdict.worst else ""
            print(f"    {figure}: {times}{worst}")
        for at, text in verdict.violations[:12]:
            print(f"  ! {at:8.2f} s  {text}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
