#!/usr/bin/env python3
"""Fails when a Markdown file of the repository points at a file, a heading or a make target that does not exist.

Checked are relative links with their anchors, file names in backticks that hold a slash and a known ending, and
`make TARGET` in backticks. Links to the web are not opened.
"""

import re
import subprocess
import sys

from cargo_graph import ROOT

# Made by building or running, so absent from a clean clone.
GENERATED = re.compile(r"(^|/)(target|data|node_modules|web/dist|\.accept|\.bench|\.venv)(/|$)")
FILE_NAME = re.compile(r"^[\w.@-]+(/[\w.@-]+)*/?$")
ENDINGS = (".rs", ".md", ".sh", ".py", ".toml", ".txt", ".ts", ".mjs", ".json", ".html", ".css", ".yml", ".sql")


def markdown_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    return [ROOT / name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).exists()]


def anchors(text):
    """Anchors as GitHub makes them of headings."""
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.M):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        yield words.replace(" ", "-")


def faults(file, targets):
    text = file.read_text()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    here = file.relative_to(ROOT)

    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        goal = (file.parent / path).resolve() if path else file
        if not goal.exists():
            yield f"{here}: link to {link}, which does not exist"
        elif anchor and goal.suffix == ".md" and anchor not in set(anchors(goal.read_text())):
            yield f"{here}: link to {link}, which has no such heading"

    for name in re.findall(r"`([^`\n]+)`", prose):
        made = re.fullmatch(r"make ([a-z]+)( [A-Z]+=\S+)*", name)
        if made and made.group(1) not in targets:
            yield f"{here}: names `{name}`, and the Makefile has no such target"
        is_file = FILE_NAME.match(name) and "/" in name and (name.endswith(ENDINGS) or name.endswith("/"))
        if is_file and not GENERATED.search(name):
            if not (ROOT / name).exists() and not (file.parent / name).exists():
                yield f"{here}: names `{name}`, which does not exist"


if __name__ == "__main__":
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    files = markdown_files()
    found = [fault for file in files for fault in faults(file, targets)]
    for fault in found:
        print(f"links: {fault}", file=sys.stderr)
    if not found:
        print(f"links: {len(files)} documents point at what exists")
    sys.exit(1 if found else 0)
