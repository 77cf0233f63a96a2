"""Measured figures beside their goals, kept as JSON and printed as a Markdown table."""

import dataclasses
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEPT = ROOT / ".accept"


class Failed(Exception):
    """A line cannot be measured because something it needs did not happen; says what."""


@dataclasses.dataclass
class Figure:
    """One measurement. `ok` is None when there is no goal to it, only information."""

    what: str
    measured: str
    goal: str = ""
    ok: bool | None = None

    def row(self, line):
        mark = {True: "yes", False: "**NO**", None: ""}[self.ok]
        cells = (line, self.what, self.measured, self.goal, mark)
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def at_most(what, value, goal, unit, digits=2):
    return Figure(what, f"{value:.{digits}f} {unit}", f"≤ {goal:g} {unit}", value <= goal)


def within(what, value, least, most, unit="s", digits=2):
    return Figure(what, f"{value:.{digits}f} {unit}", f"{least:g} to {most:g} {unit}", least <= value <= most)


def equal(what, value, goal):
    return Figure(what, str(value), str(goal), value == goal)


def empty(what, faults):
    """A list of faults that has to be empty; shows the first few."""
    shown = "none" if not faults else f"{len(faults)}: " + "; ".join(map(str, faults[:3]))
    return Figure(what, shown, "none", not faults)


def commit():
    """The commit that is measured, with `+` when the tree differs from it."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")


@dataclasses.dataclass
class Result:
    """What came of one line."""

    line: str
    commit: str
    short: bool
    seconds: float = 0.0
    error: str = ""
    figures: list = dataclasses.field(default_factory=list)

    @property
    def passed(self):
        return not self.error and bool(self.figures) and all(figure.ok is not False for figure in self.figures)

    @staticmethod
    def path(line, short):
        return KEPT / ("short" if short else "full") / f"{line}.json"

    def keep(self):
        path = self.path(self.line, self.short)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def load(cls, line, short):
        try:
            kept = json.loads(cls.path(line, short).read_text())
        except (OSError, ValueError):
            return None
        kept["figures"] = [Figure(**figure) for figure in kept["figures"]]
        return cls(**kept)

    def rows(self):
        rows = [figure.row(self.line) for figure in self.figures]
        if self.error:
            rows.append(Figure("ran to its end", self.error, "yes", False).row(self.line))
        return rows


def table(results):
    return "\n".join(["| line | what | measured | goal | holds |", "|---|---|---|---|---|"]
                     + [row for result in results for row in result.rows()])


def wait_until(what, limit, condition, every=0.05):
    """Polls until `condition()` is true and returns it; `Failed` after `limit` seconds. It looks at other processes,
    which send no event, so it has to poll."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"no {what} within {limit:g} s")
        time.sleep(every)


VOID_ABOVE = 60  # per cent of CPU pressure, as in tests/browser/pressure.mjs


def starved():
    """CPU pressure of the machine now (PSI some avg10), per cent."""
    with open("/proc/pressure/cpu") as psi:
        return float(psi.readline().split("avg10=")[1].split()[0])


def unless_starved(figure):
    """A figure that says nothing against the server where the machine had no processor left for it."""
    if not figure.ok and starved() > VOID_ABOVE:
        figure.ok = None
        figure.measured += " (void, CPU pressure)"
    return figure


def pressure():
    """CPU pressure: figures of time mean little when it is high."""
    return Figure("CPU pressure at the end, avg10", f"{starved():.2f} %")
