#!/usr/bin/env python3
"""The dependency policy: licences, banned crates, security floors, sources, and who may import what.

Reads `cargo metadata --locked`; prints every fault; exit 1 when there is one. The reasons stand beside the rules.
"""

import re
import sys

from cargo_graph import packages, version

# Licences any crate may have. Weir itself is MIT OR Apache-2.0 and is shipped as source and binary.
ALLOWED_LICENCES = {
    "MIT", "MIT-0", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "ISC", "Unicode-3.0", "Unlicense", "Zlib", "0BSD",
}
# Licences that only a named crate may have, with the reason.
LICENCES_BY_CRATE = {
    "gst-plugin-fmp4": {"MPL-2.0"},  # file-level copyleft, used unchanged; docs/licensing.md
    "webpki-root-certs": {"CDLA-Permissive-2.0"},  # data, and not built on this platform: the system's certificates are used
}

# Lowest versions without a published advisory, per release line: (line, floor).
FLOORS = {
    "bytes": [((1,), (1, 11, 1))],  # RUSTSEC-2026-0007
    "time": [((0, 3), (0, 3, 47))],  # RUSTSEC-2026-0009
    "rand": [((0, 8), (0, 8, 6)), ((0, 9), (0, 9, 3)), ((0, 10), (0, 10, 1))],
    "rustls-webpki": [((0, 103), (0, 103, 13))],  # RUSTSEC-2026-0098, -0104
    "h2": [((0,), (0, 4, 16))],  # RUSTSEC-2026-0258, no fix in 0.3; actix-web's http2 feature stays off
    "hickory-proto": [((0,), (0, 26, 1))],  # RUSTSEC-2026-0119
    "crossbeam-epoch": [((0, 9), (0, 9, 20))],  # RUSTSEC-2026-0204
    "quick-xml": [((0,), (0, 41, 0))],  # RUSTSEC-2026-0194
    "tokio-postgres": [((0, 7), (0, 7, 18))],  # RUSTSEC-2026-0178
    "postgres-protocol": [((0, 6), (0, 6, 12))],  # RUSTSEC-2026-0179, -0180
}

# Nowhere in the graph: unmaintained.
BANNED = {"backoff", "bincode", "rustls-pemfile", "instant"}
# Not by us; a dependency may still bring it until it moves on.
BANNED_DIRECT = {"paste"}

# Crates that only the named members may depend on directly.
GSTREAMER = r"(gstreamer.*|gst-plugin-.*)"
ONLY = [
    (GSTREAMER, {"weir-pipelines"}, "GStreamer lives in the media worker alone"),
    (r"actix(-rt)?", {"weir", "weir-actors"}, "actors are the control plane"),
    (r"actix-(web|http)", {"weir"}, "HTTP is the binary's affair"),
    (r"sqlx", {"weir"}, "the store is the binary's affair"),
]
# What a member must not depend on directly, beside what ONLY forbids.
IO = r"(tokio|actix.*|mio|socket2|reqwest|sqlx)"
NEVER = [
    ("weir-media", rf"({IO}|rand|weir-.*)", "wire formats are pure"),
    ("weir-policy", rf"({IO}|rand|weir-(actors|pipelines))", "rules take now and jitter as arguments"),
    ("weir-pipelines", r"(actix.*|weir-(actors|policy))", "actors and pipelines are siblings"),
    ("weir-actors", r"(toml|figment|weir-pipelines)", "actors and pipelines are siblings; configuration is the binary's"),
]


def licence_holds(expression, allowed):
    """Whether an SPDX expression can be met with the allowed licences alone. `/` is the old spelling of OR."""
    text = expression.replace("/", " OR ")
    words = re.findall(r"\(|\)|\bOR\b|\bAND\b|(?:(?!\bOR\b|\bAND\b)[^\s()]+)(?:\s+WITH\s+[^\s()]+)?", text)
    python = {"(": "(", ")": ")", "OR": "or", "AND": "and"}
    return eval(" ".join(python.get(w) or str(" ".join(w.split()) in allowed) for w in words), {"__builtins__": {}})


def faults():
    for package in packages():
        name, at = package["name"], version(package["version"])
        label = f"{name} {package['version']}"

        allowed = ALLOWED_LICENCES | LICENCES_BY_CRATE.get(name, set())
        if not package["license"]:
            yield f"{label}: no licence in its manifest"
        elif not licence_holds(package["license"], allowed):
            yield f"{label}: licence {package['license']} is not allowed"

        if not package["member"] and package["source"] != "registry+https://github.com/rust-lang/crates.io-index":
            yield f"{label}: comes from {package['source']}, not from crates.io"
        if name in BANNED:
            yield f"{label}: banned, unmaintained"
        for line, floor in FLOORS.get(name, []):
            if at[: len(line)] == line and at < floor:
                yield f"{label}: under the security floor {'.'.join(map(str, floor))}"

        if package["member"]:
            yield from import_faults(name, {d["name"] for d in package["dependencies"] if d["kind"] != "dev"})


def import_faults(member, direct):
    for crate in sorted(direct & BANNED_DIRECT):
        yield f"{member}: depends on {crate}, unmaintained"
    for pattern, members, why in ONLY:
        for crate in sorted(direct):
            if re.fullmatch(pattern, crate) and member not in members:
                yield f"{member}: may not depend on {crate}: {why}"
    for who, pattern, why in NEVER:
        for crate in sorted(direct):
            if member == who and re.fullmatch(pattern, crate):
                yield f"{member}: may not depend on {crate}: {why}"


if __name__ == "__main__":
    found = list(faults())
    for fault in found:
        print(f"dependencies: {fault}", file=sys.stderr)
    if not found:
        print(f"dependencies: {len(packages())} packages follow the policy")
    sys.exit(1 if found else 0)
