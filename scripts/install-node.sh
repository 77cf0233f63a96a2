#!/usr/bin/env bash
# Gives the build a Node.js that is new enough. Debian 12 has 18, and the page's build tools want 20.19: where `node` is
# older, npm's own `node` package goes into .node, which the Makefile has first in its PATH. Nothing outside is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
needed=20.19
fallback=22

enough() {
    command -v "$1" >/dev/null && [ "$(printf '%s\n%s\n' "$needed" "$("$1" --version | tr -d v)" | sort -V | head -n 1)" = "$needed" ]
}
if enough node || enough .node/node_modules/.bin/node; then exit 0; fi
printf 'node: %s is older than %s; putting Node.js %s into .node\n' "$(node --version)" "$needed" "$fallback"
mkdir -p .node
npm install --prefix .node --no-audit --no-fund --loglevel error "node@$fallback" npm@10
enough .node/node_modules/.bin/node || { printf 'node: no Node.js of at least %s could be installed\n' "$needed" >&2; exit 69; }
