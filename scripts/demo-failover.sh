#!/usr/bin/env bash
# Failover from encoder to player, by one command: two encoders with burnt-in names and clocks, a primary that is killed and comes back,
# and the timing list with the gap that a real player measured. Takes about 90 s; `make demo-failover` builds first.
#
#   WEIR    the binary (default target/release/weir)
set -euo pipefail
cd "$(dirname "$0")/.."

export WEIR=${WEIR:-target/release/weir}
fail() { printf 'demo-failover: %s\n' "$*" >&2; exit 1; }
[ -x "$WEIR" ] || fail "$WEIR is not built; use make demo-failover"
[ -d tests/browser/node_modules ] || fail "the player's browser kit is not installed; use make demo-failover"
exec python3 tests/accept/failover_demo.py
