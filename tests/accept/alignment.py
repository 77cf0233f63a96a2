"""The line about content alignment: how sure it is, over a corpus of sounds and encoders."""

import subprocess

from report import ROOT, Failed, Figure, equal

TEST = ["cargo", "test", "--release", "--locked", "-p", "weir-media", "--test", "align", "--", "--ignored", "--nocapture", "corpus"]


def alignment(short):
    """The alignment by sound over its corpus: errors, wrong locks, time to lock."""
    done = subprocess.run(TEST, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ran = [line.strip() for line in done.stdout.splitlines() if line.startswith("test result:")]
    if not ran:
        raise Failed(f"cargo test: {done.stderr.strip()[-400:]}")
    return [
        equal("corpus test, exit code", done.returncode, 0),
        Figure("corpus test", ran[-1], "1 passed", any(" 1 passed" in line for line in ran)),
        *(Figure(f"corpus: {kind}", told) for kind, told in rows(done.stdout)),
    ]


def rows(text):
    """(kind, its figures by their names) of each row of the printed table; its head comes first."""
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.count(" | ") > 3]
    head = cells[0] if cells else []
    return [(row[0], ", ".join(f"{name} {value}" for name, value in zip(head[1:], row[1:]))) for row in cells[1:]]
