"""Kept results as `docs/performance.md`: one table of figures beside the peers', and how they came about."""

import dataclasses
import json
import pathlib
import platform
import statistics
import time

import takeover
from failover_rig import REFERENCE_BACK, REFERENCE_OUT

# Column: names of the servers whose results stand in it.
COLUMNS = {
    "Weir": ["Weir"],
    "ffmpeg": ["ffmpeg, from a file", "ffmpeg -listen"],
    "nginx-rtmp": ["nginx-rtmp"],
    "nginx-rtmp, tuned": ["nginx-rtmp, tuned"],
    "node-media-server": ["node-media-server"],
    "xiu": ["xiu"],
}
NEVER = float("inf")  # a figure for what did not happen while it was watched


@dataclasses.dataclass
class Result:
    """The kept lines of one measure."""

    about: dict
    lines: list

    @classmethod
    def load(cls, path):
        """None when the measure was never taken."""
        if not path.exists():
            return None
        about, *lines = map(json.loads, path.read_text().splitlines())
        return cls(about, lines)

    def of(self, names):
        return [line for line in self.lines if line["server"] in names]

    def figures(self, names):
        return [line["figures"] for line in self.of(names) if "figures" in line]

    def errors(self):
        return [f"{self.about['measure']}, {line['server']}: {line['error']}" for line in self.lines if "error" in line]


@dataclasses.dataclass
class Row:
    """A line of the table. `values` takes one round's figures to a list of values."""

    measure: str
    what: str
    unit: str
    values: object
    digits: int = 2
    goal: float | None = None  # of Weir's median, at most
    shown: object = None  # how to show all values as text, where it is no median

    def found(self, result, names):
        return [value for figures in result.figures(names) for value in self.values(figures) if value is not None]

    def cell(self, result, names):
        if result is None:
            return "not measured"
        if any(name in result.about["missing"] for name in names):
            return "not available"
        if not result.of(names):
            return "—"
        if not result.figures(names):
            return "failed"
        values = self.found(result, names)
        if not values:
            return "—"
        return self.shown(values) if self.shown else spread(values, self.digits)

    def goal_cell(self):
        return "" if self.goal is None else f"≤ {self.goal:g}"

    def fault(self, result):
        """Why Weir misses the goal, if it does."""
        values = self.found(result, ["Weir"]) if result else []
        if self.goal is None or not values or statistics.median(values) <= self.goal:
            return None
        return f"{self.what}: {statistics.median(values):.{self.digits}f} {self.unit}, the goal is ≤ {self.goal:g} {self.unit}"


def spread(values, digits):
    """Median, and lowest and highest and how many where there is more than one."""
    def shown(value):
        return f"> {takeover.WATCH}" if value == NEVER else f"{value:.{digits}f}"
    # The higher of the middle two, where half of the time it never happened.
    median = statistics.median_high(values) if NEVER in values else statistics.median(values)
    if min(values) == max(values):
        return f"**{shown(median)}** (n {len(values)})"
    return f"**{shown(median)}** ({shown(min(values))}–{shown(max(values))}, n {len(values)})"


def percentile_95(values):
    return f"{sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]:.1f} (n {len(values)})"


def one(key):
    return lambda figures: [figures.get(key)]


def many(key):
    return lambda figures: figures.get(key, [])


def after(how, key):
    """A figure of the takeover; what never came is told, as it is the worst of all figures."""
    def told(figures):
        seen = figures[how]
        open_ended = key == "no_new_media" and not seen["recovered"]
        return [NEVER if seen[key] is None or open_ended else seen[key]]
    return told


def playlist(how):
    """What a player would stumble over."""
    def told(figures):
        seen = figures[how]
        faults = [seen["ended"] and "says it is over", seen["reset"] and "numbers go back", seen["reused"] and "URLs reused",
                  seen["not_200"] > 0.05 and f"gone {seen['not_200']:.1f} s"]
        return [", ".join(filter(None, faults)) or "goes on"]
    return told


def each(values):
    return "; ".join(sorted(set(values)))


def takeover_rows(how, what):
    return [
        Row("takeover", f"{what}: the second one is let in after", "s", after(how, "accepted_after")),
        Row("takeover", f"{what}: longest time without new media", "s", after(how, "no_new_media")),
        Row("takeover", f"{what}: longest time without a new picture of an encoder", "s", after(how, "no_new_source")),
        Row("takeover", f"{what}: hole between pictures that arrived", "s", after(how, "media_gap")),
        Row("takeover", f"{what}: playlist", "", playlist(how), shown=each),
    ]


def of_switch(mode, way, key):
    return lambda figures: [figures[mode][way][key]]


def backup_rows(mode):
    """The viewer's gap at both switches; in brackets what the reference's own demo of its backup shows."""
    return [Row("backup", f"backup input, mode {mode}, {what}", "s", of_switch(mode, way, key)) for way, key, what in (
        ("out", "held", f"primary killed: longest held picture (reference: {REFERENCE_OUT})"),
        ("back", "held", f"primary back: longest held picture (reference: {REFERENCE_BACK})"),
        ("out", "silent", "primary killed: longest silence"),
        ("back", "silent", "primary back: longest silence"))]


ROWS = [
    Row("ladder", "ladder, CPU", "CPU-s / s", one("cpu"), 3),
    Row("ladder", "ladder, memory", "MiB", one("memory_mb"), 0),
    Row("flow", "first part after the first keyframe", "s", many("first_part"), 2, 0.7),
    Row("flow", "first segment after the first keyframe", "s", many("first_segment"), 2, 2.0),
    Row("flow", "a part's last frame sent to downloaded", "s", one("part_delay"), 3),
    Row("flow", "a segment's last frame sent to downloaded", "s", one("segment_delay"), 3),
    Row("connect", "connect to Publish.Start", "ms", many("connect_ms"), 1, 5),
    Row("connect", "the same, 95th percentile", "ms", many("connect_ms"), shown=percentile_95),
    Row("delivery", "playlist", "µs CPU / request", many("playlist_us"), 0, 50),
    Row("delivery", "segment", "µs CPU / request", many("segment_us"), 0, 165),
    Row("delivery", "size of that segment", "kB", many("segment_kb"), 0),
    *takeover_rows("kill", "encoder killed"),
    *takeover_rows("freeze", "encoder frozen"),
    *backup_rows("freeze"),
    *backup_rows("hitless"),
]
RATIO_WANTED, RATIO_REQUIRED = 1.05, 1.10


def ratios(result):
    """Weir's ladder CPU over ffmpeg's, round by round."""
    by_round = {}
    for line in result.lines if result else []:
        if "figures" in line:
            by_round.setdefault(line["round"], {})[line["server"]] = line["figures"]["cpu"]
    return [cpu["Weir"] / cpu["ffmpeg, from a file"] for cpu in by_round.values() if len(cpu) == 2]


def system():
    names = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    return f"{names.get('PRETTY_NAME', 'unknown system').strip(chr(34))}, Linux {'.'.join(platform.release().split('.')[:2])}"


def pressure(result):
    """Share of the time in which some task waited for a CPU, over the runs of a measure, by server."""
    shares = {}
    for line in result.lines:
        shares.setdefault(line["server"], []).append(line["pressure"])
    return "; ".join(f"{name} {min(values):.0f}–{max(values):.0f} %" for name, values in shares.items())


def render(results):
    """The document, and why it is nothing to be proud of: goals missed, measures that failed or are not there."""
    taken = {name: result for name, result in results.items() if result}
    faults = [f"{name} was never measured" for name in results if name not in taken]
    for result in taken.values():
        faults += result.errors()
    faults += filter(None, (row.fault(results[row.measure]) for row in ROWS))
    pairs = ratios(results["ladder"])
    if pairs and statistics.mean(pairs) > RATIO_REQUIRED:
        faults.append(f"ladder CPU: {statistics.mean(pairs):.3f} × ffmpeg, required is ≤ {RATIO_REQUIRED}")

    table = [f"| what | unit | goal | {' | '.join(COLUMNS)} |", "|---|---|---|" + "---|" * len(COLUMNS)]
    for row in ROWS:
        cells = [row.cell(results[row.measure], names) for names in COLUMNS.values()]
        table.append("| " + " | ".join([row.what, row.unit, row.goal_cell(), *cells]) + " |")
        if row.what == "ladder, CPU" and pairs:
            shown = f"**{statistics.mean(pairs):.3f}** ({min(pairs):.3f}–{max(pairs):.3f}, n {len(pairs)})"
            wished = f"≤ {RATIO_REQUIRED:.2f}, wanted {RATIO_WANTED:.2f}"
            table.append("| " + " | ".join(["ladder, CPU, mean of pairs", "× ffmpeg", wished, shown, "1"] + ["—"] * (len(COLUMNS) - 2)) + " |")

    absent = {name: why for result in taken.values() for name, why in result.about["missing"].items()}
    versions = {name: version for result in taken.values() for name, version in result.about["versions"].items()}
    text = TEXT.format(
        table="\n".join(table),
        runs="\n".join(run_lines(taken)),
        versions="\n".join(f"- {name}: {version}" for name, version in versions.items()),
        absent="".join(f"- {name}: not available, {why}\n" for name, why in absent.items()),
        faults="\n".join(f"- {fault}" for fault in faults) or "None.",
        pressure="\n".join(f"| {name} | {pressure(result)} |" for name, result in taken.items()))
    return text, faults


def run_lines(taken):
    """One line for all measures that were taken in one run."""
    runs = {}
    for name, result in taken.items():
        about = result.about
        day = time.strftime("%Y-%m-%d", time.gmtime(about["at"]))
        network = "in a network of their own" if about["private_network"] else "in the machine's network"
        run = f"{day}, commit `{about['commit']}`; {about['machine']}; {about['system']}; servers {network}"
        runs.setdefault(run, []).append(name)
    return [f"- {', '.join(names)}: {run}" for run, names in runs.items()]


TEXT = (pathlib.Path(__file__).parent / "document.md").read_text()
