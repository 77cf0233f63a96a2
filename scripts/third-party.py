#!/usr/bin/env python3
"""Writes docs/third-party.md, the list of Rust crates in Cargo.lock with their licences.

    scripts/third-party.py            writes it
    scripts/third-party.py --check    exit 1 when it is out of date
"""

import sys

from cargo_graph import ROOT, packages

HEAD = """# Third-party crates

Generated from `Cargo.lock` by `scripts/third-party.py`; do not edit. Build-time and platform-specific crates are in it
too. System libraries and their licences stand in [licensing.md](licensing.md), the player's libraries in
`web/package-lock.json`.

| crate | version | licence | source |
|---|---|---|---|
"""

if __name__ == "__main__":
    rows = [
        f"| {p['name']} | {p['version']} | {(p['license'] or 'none').replace('/', ' OR ').replace('  ', ' ')} | {p['repository'] or ''} |"
        for p in packages() if not p["member"]
    ]
    text = HEAD + "\n".join(rows) + "\n"
    target = ROOT / "docs" / "third-party.md"
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text() != text:
            sys.exit("third-party: docs/third-party.md is out of date; run scripts/third-party.py")
        print(f"third-party: {len(rows)} crates listed")
    else:
        target.write_text(text)
