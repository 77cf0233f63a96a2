#!/usr/bin/env bash
# Makes .venv with the packages of tests/accept/requirements.txt, once; prints its python.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/requirements.txt
if ! cmp -s tests/accept/requirements.txt "$stamp"; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/accept/requirements.txt >&2
    cp tests/accept/requirements.txt "$stamp"
fi
printf '%s\n' "$PWD/.venv/bin/python"
