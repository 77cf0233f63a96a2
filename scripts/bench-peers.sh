#!/usr/bin/env bash
# Puts the servers that `make bench` measures beside Weir into .bench/peers, each of one known version, and nothing into the
# system. What cannot be had is told and left out: the benchmark then shows it as not available.
set -uo pipefail
cd "$(dirname "$0")/.."

peers=$PWD/.bench/peers
nms=2.7.4
xiu=0.14.0
mkdir -p "$peers"

say() { printf 'bench-peers: %s\n' "$*"; }

# Debian's packages, unpacked only: installed, nginx would begin to serve port 80.
nginx() {
    local here=$peers/nginx
    [ -e "$here/versions" ] && return
    rm -rf "$here"
    mkdir -p "$here/packages"
    (cd "$here/packages" && apt-get download nginx libnginx-mod-rtmp) || return
    for package in "$here"/packages/*.deb; do dpkg-deb --extract "$package" "$here" || return; done
    "$here/usr/sbin/nginx" -v || return
    for package in "$here"/packages/libnginx-mod-rtmp_*.deb; do dpkg-deb --field "$package" Version > "$here/versions" || return; done
}

node_media_server() {
    local here=$peers/nms
    [ "$(node -p "require('$here/node_modules/node-media-server/package.json').version" 2> /dev/null)" = "$nms" ] && return
    mkdir -p "$here"
    npm install --prefix "$here" --no-audit --no-fund --loglevel error "node-media-server@$nms"
}

xiu() {
    local here=$peers/xiu
    grep -qs "^\"xiu $xiu " "$here/.crates.toml" && return
    say "building xiu $xiu, which takes minutes"
    CARGO_TARGET_DIR=$peers/xiu-target nice cargo install --quiet --locked --root "$here" --version "$xiu" xiu || return
    rm -rf "$peers/xiu-target"
}

for peer in nginx node_media_server xiu; do
    if "$peer"; then say "$peer is there"; else say "$peer cannot be had here"; fi
done
