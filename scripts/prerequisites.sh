#!/usr/bin/env bash
# Checks what has to be there before anything else: git, make, Rust, and root or sudo. One line each.
set -uo pipefail

needed_rust=1.95
faults=0
there() { printf 'ok       %s\n' "$*"; }
lacks() { printf 'MISSING  %s\n' "$*" >&2; faults=$((faults + 1)); }

for tool in git make; do
    if command -v "$tool" >/dev/null; then
        there "$("$tool" --version | head -n 1)"
    else
        lacks "$tool: as root, apt-get install $tool"
    fi
done

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    lacks "Rust >= $needed_rust: see https://rustup.rs, then open a new shell"
else
    rust=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
    if [ "$(printf '%s\n%s\n' "$needed_rust" "${rust%%-*}" | sort -V | head -n 1)" = "$needed_rust" ]; then
        there "Rust $rust"
    else
        lacks "Rust >= $needed_rust (here: ${rust:-none that runs}): rustup update stable"
    fi
fi

if [ "$(id -u)" -eq 0 ]; then
    there "root"
elif command -v sudo >/dev/null; then
    there "sudo"
else
    lacks "root or sudo: needed only while packages are missing"
fi
exit $((faults > 0))
