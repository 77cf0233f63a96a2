#!/usr/bin/env bash
# Lists the Debian packages that are missing and installs only those.
#
#   scripts/install-packages.sh [build] [run] [test] [bench]     default: build run
#
# Exit 0: all there. Exit 69: something is missing and cannot be installed here.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() { printf 'install-packages: %s\n' "$*" >&2; exit 69; }

sections=("$@")
[ ${#sections[@]} -gt 0 ] || sections=(build run)
for section in "${sections[@]}"; do
    grep -qx "\[$section\]" scripts/packages.txt || fail "no section [$section] in scripts/packages.txt"
done
command -v dpkg-query >/dev/null || fail "this is not Debian; install the packages of scripts/packages.txt by hand"

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
section=
while read -r name rest; do
    case "$name" in
        '' | '#'*) continue ;;
        '['*) section=${name//[\[\]]/}; continue ;;
    esac
    [[ " ${sections[*]} " == *" $section "* ]] || continue
    if [[ "$rest" =~ unless:([^[:space:]]+) ]] && command -v "${BASH_REMATCH[1]}" >/dev/null; then continue; fi
    installed "$name" || missing+=("$name")
done < scripts/packages.txt

if [ ${#missing[@]} -eq 0 ]; then
    say "packages (${sections[*]}): all there"
    exit 0
fi
say "packages (${sections[*]}): installing ${#missing[@]}:"
printf '    %s\n' "${missing[@]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo; install these as root: apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
fi

# A second apt-get on this machine may delete the archives of the first when it ends; the own archive directory
# of the retry is out of its reach. The lock timeout waits for the other one instead of failing.
archives=$(mktemp -d)
trap '"${as_root[@]}" rm -rf "$archives"' EXIT
mkdir "$archives/partial"
apt_install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" \
        install --yes --no-install-recommends "${missing[@]}"
}
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update || say "apt-get update failed; going on with the lists that are there"
apt_install || {
    say "first try failed; once more with an archive directory of its own"
    apt_install -o "Dir::Cache::archives=$archives" || fail "apt-get could not install: ${missing[*]}"
}
for name in "${missing[@]}"; do
    installed "$name" || fail "$name is still missing"
done
