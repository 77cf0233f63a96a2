#!/usr/bin/env python3
"""Fuzzes the wire formats: builds the targets of tests/fuzz with coverage for libFuzzer and runs them, two at a time.

    scripts/fuzz.py                        every target, 60 s each
    scripts/fuzz.py --seconds 10 TARGET    this one, so long
    scripts/fuzz.py --replay TARGET FILE   one input again, with the panic's words
    scripts/fuzz.py --merge [TARGET]       what earlier runs found new, minimised, into the committed corpora

Needs stable Rust and g++. Committed corpora are only read, but for --merge; what a run finds stays in the target directory. Exit 1
when an input fails: it is kept, and printed with the command that replays it.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
FUZZ = ROOT / "tests" / "fuzz"
BUILT = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "fuzz"
# What cargo-fuzz passes for `--sanitizer none`: no nightly compiler is needed for it.
COVERAGE = [
    "-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-level=4", "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table", "-Cllvm-args=-sanitizer-coverage-trace-compares", "--cfg", "fuzzing",
]
# A slow input is a defect, and so is a hungry one. The targets' own allocator refuses single allocations over 64 MiB.
LIMITS = ["-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1"]
# Inputs of a committed corpus, beside those with names: the smallest.
MOST_INPUTS = 120
# Longest input, bytes: what makes a whole handshake, a few messages or a few records.
LONGEST = {"aac_config": 64, "avc_config": 1024, "rtmp_amf": 2048}


@dataclasses.dataclass
class Run:
    """What came of one target."""

    target: str
    runs: int = 0
    coverage: int = 0
    features: int = 0
    slowest: int = 0
    failure: str = ""

    def __str__(self):
        verdict = "FAILED: " + self.failure if self.failure else "ok"
        return f"{self.target:16} {self.runs:9} runs, cov {self.coverage:5}, ft {self.features:5}: {verdict}"


def targets():
    return sorted(path.stem for path in (FUZZ / "targets").glob("*.rs"))


def host():
    version = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r"^host: (.+)$", version, re.M).group(1)


def build(names):
    """Naming the host as target keeps the flags from build scripts, which have no libFuzzer to link with."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(BUILT), "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(COVERAGE)}
    bins = [word for name in names for word in ("--bin", name)]
    subprocess.run(["cargo", "build", "--release", "--locked", "--target", host(), *bins], cwd=FUZZ, env=environment, check=True)
    return BUILT / host() / "release"


def run(binary, target, seconds, seed):
    """Fuzzes one target from its committed corpus, with what earlier runs found beside it."""
    found, crashes, committed = BUILT / "found" / target, BUILT / "crashes" / target, FUZZ / "corpus" / target
    if seed:
        shutil.rmtree(found, ignore_errors=True)
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        binary / target, *LIMITS, f"-max_total_time={seconds}", f"-max_len={LONGEST.get(target, 8192)}", f"-artifact_prefix={crashes}/",
        *([f"-seed={seed}"] if seed else []), *dictionary(target), found, *([committed] if committed.exists() else [])]
    # Its own limit is checked between inputs; a hang is ended by -timeout.
    done = subprocess.run(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, errors="replace", timeout=seconds + 120)
    said = done.stderr
    result = Run(target)
    for cov, ft in re.findall(r"cov: (\d+) ft: (\d+)", said)[-1:]:
        result.coverage, result.features = int(cov), int(ft)
    for name, value in re.findall(r"stat::(\w+):\s+(\d+)", said):
        if name == "number_of_executed_units":
            result.runs = int(value)
        elif name == "slowest_unit_time_sec":
            result.slowest = int(value)
    if done.returncode:
        result.failure = failure(target, said, done.returncode)
    elif result.runs == 0 or result.coverage == 0:
        result.failure = "nothing was run, or without coverage:\n" + said[-500:]
    return result


def dictionary(target):
    words = FUZZ / "dictionaries" / f"{target}.txt"
    return [f"-dict={words}"] if words.exists() else []


def failure(target, said, code):
    why = re.search(r"panicked at .*\n.*|fuzz: .*|ERROR: libFuzzer: .*", said)
    kept = re.search(r"Test unit written to (\S+)", said)
    replay = f"\n    scripts/fuzz.py --replay {target} {kept.group(1)}" if kept else "\n" + said[-500:]
    return f"exit {code}: {why.group(0) if why else 'no word of why'}{replay}"


def merge(binary, target):
    """The smallest set of inputs, old and found, that covers what all of them cover."""
    committed, found = FUZZ / "corpus" / target, BUILT / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    committed.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as smaller:
        # By edges alone: how often each is taken would keep ten times as many.
        command = [binary / target, *LIMITS, "-set_cover_merge=1", "-use_counters=0", smaller, committed, found]
        subprocess.run(list(map(str, command)), stderr=subprocess.DEVNULL, check=True)
        for old in committed.iterdir():
            # Regression inputs have names of their own and stay, whatever they cover.
            if re.fullmatch(r"[0-9a-f]{40}", old.name):
                old.unlink()
        units = sorted(pathlib.Path(smaller).iterdir(), key=lambda unit: (unit.stat().st_size, unit.name))
        for unit in units[:MOST_INPUTS]:
            shutil.copy(unit, committed / unit.name)
    sizes = [unit.stat().st_size for unit in committed.iterdir()]
    print(f"{target:16} {len(sizes):4} inputs, {sum(sizes):7} bytes")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="TARGET")
    options.add_argument("--seconds", type=int, default=60, help="per target")
    options.add_argument("--seed", type=int, default=0, help="a run that can be repeated, from the committed corpora alone")
    options.add_argument("--json", action="store_true", help="print the results as JSON")
    options.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"))
    options.add_argument("--merge", action="store_true")
    chosen = options.parse_args()
    names = [chosen.replay[0]] if chosen.replay else chosen.names or targets()
    for name in names:
        if name not in targets():
            options.error(f"no target is named {name}; there are {', '.join(targets())}")
    if chosen.replay:
        file = pathlib.Path(chosen.replay[1]).resolve()
        sys.exit(subprocess.run([build(names) / names[0], "-timeout=10", file]).returncode)
    binary = build(names)
    if chosen.merge:
        for name in names:
            merge(binary, name)
        return
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: run(binary, name, chosen.seconds, chosen.seed), names))
    if chosen.json:
        print(json.dumps([dataclasses.asdict(result) for result in results]))
    else:
        print("\n".join(map(str, results)))
    sys.exit(1 if any(result.failure for result in results) else 0)


if __name__ == "__main__":
    main()
