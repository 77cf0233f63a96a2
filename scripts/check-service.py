#!/usr/bin/env python3
"""Fails when docs/guides/weir.service no longer fits the server: exit codes, restarts, the time that a drain takes, what it may call.

Where systemd-analyze is installed, systemd reads the unit as well, and its exposure must not grow.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from cargo_graph import ROOT

UNIT = ROOT / "docs" / "guides" / "weir.service"
# What a server that is told to go waits for, one after the other, seconds at most.
WAITS = {
    "actors/src/root/drain.rs": ["DRAINED_WITHIN"],
    "src/server.rs": ["HTTP_DRAIN", "WRITTEN_WITHIN", "SRT_ENDED_WITHIN"],
}
# Threads of the media runtime, in `serve`.
RUNTIME_END = 1
# Tenths, of `systemd-analyze security`: the network, which the service is there for, and what belongs to ports below 1024.
EXPOSURE = 20


def settings(text):
    """The unit's keys; of one that is given more than once the last."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M))


def constant(file, name):
    found = re.search(rf"const {name}: \w+ = (?:Duration::from_secs\()?(\d+)\)?;", (ROOT / file).read_text())
    return int(found.group(1)) if found else sys.exit(f"service: {file} has no {name} in whole seconds; see scripts/check-service.py")


def faults(unit):
    usage = constant("src/cli.rs", "EXIT_USAGE")
    if unit.get("RestartPreventExitStatus") != str(usage):
        yield f"RestartPreventExitStatus is not {usage}, the exit code of a wrong configuration"
    if unit.get("KillMode") != "mixed":
        yield "KillMode is not mixed, so workers are ended before they have published what they have"
    if "seccomp" not in unit.get("SystemCallFilter", "").split():
        yield "SystemCallFilter lacks seccomp, so workers cannot confine themselves and do not start"
    if "AF_NETLINK" not in unit.get("RestrictAddressFamilies", "").split():
        yield "RestrictAddressFamilies lacks AF_NETLINK, so WHIP cannot tell clients the machine's addresses"
    operations = (ROOT / "docs" / "operations.md").read_text()
    for key in ("Restart", "StartLimitIntervalSec", "StartLimitBurst"):
        if f"`{key}={unit.get(key)}`" not in operations:
            yield f"{key}={unit.get(key)} is not what docs/operations.md says"
    drain = RUNTIME_END + sum(constant(file, name) for file, names in WAITS.items() for name in names)
    if int(unit.get("TimeoutStopSec", 0)) <= drain:
        yield f"TimeoutStopSec is not longer than the {drain} s that going down may take"
    if f"{drain} s" not in UNIT.read_text() or f"{drain} s" not in UNIT.with_name("service.md").read_text():
        yield f"going down may take {drain} s, and the unit or service.md says otherwise"


def systemd_faults(text):
    """What systemd says of the unit, with a program that is there in the place of Weir."""
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory, UNIT.name)
        copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.M))
        # `verify` only warns of a key that it does not know, and warns of other units of the machine as well.
        read = analyze("verify", copy)
        yield from (line for line in read.stdout.splitlines() if UNIT.name in line)
        judged = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", copy)
        if judged.returncode:
            yield f"exposed more than {EXPOSURE / 10}: {judged.stdout.strip().splitlines()[-1]}"


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    text = UNIT.read_text()
    found = list(faults(settings(text)))
    analyzed = shutil.which("systemd-analyze") is not None
    if analyzed:
        found += systemd_faults(text)
    for fault in found:
        print(f"service: {fault}", file=sys.stderr)
    if not found:
        print("service: the unit fits the server" + ("" if analyzed else "; systemd-analyze is not installed, so systemd has not read it"))
    sys.exit(1 if found else 0)
