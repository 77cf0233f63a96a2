#!/usr/bin/env bash
# The quick start from encoder to player, by one command: starts Weir, creates a stream through its API, pushes a test
# pattern with ffmpeg, waits until it is playable, prints the URLs, and runs until Ctrl-C. `make demo` builds first.
#
#   WEIR               the binary (default target/release/weir)
#   DEMO_SECONDS       end by itself that many seconds after the stream became playable
#   WEIR__HTTP__LISTEN, WEIR__RTMP__LISTEN …   override config.toml as they do for the server
set -euo pipefail
cd "$(dirname "$0")/.."

weir=${WEIR:-target/release/weir}
data=${WEIR__DATA__DIR:-data/demo}
http=${WEIR__HTTP__LISTEN:-$(sed -n '/^\[http\]/,/^\[/s/^listen *= *"\([^"]*\)".*/\1/p' config.toml)}
ready_limit=60      # seconds; a cold GStreamer registry takes some of them
playable_limit=30   # seconds; 2 to 5 are usual

say() { printf '%s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
[ -x "$weir" ] || fail "$weir is not built; use make demo"

server= encoder=
finish() {
    trap - EXIT INT TERM
    for pid in $encoder $server; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in $encoder $server; do wait "$pid" 2>/dev/null || true; done
}
trap finish EXIT
trap 'say; say "stopping"; exit 0' INT TERM

# Fields of a JSON object on standard input, one a line.
json() { python3 -c 'import json, sys; o = json.load(sys.stdin); [print(o.get(k)) for k in sys.argv[1:]]' "$@"; }

# --- the server, in a data directory that starts empty ---------------------------------------------------------------
rm -rf "$data"
mkdir -p "$data"
log=$data/weir.log
key="demo\$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
WEIR_API_KEY=$key WEIR__DATA__DIR=$data "$weir" serve --config config.toml > "$log" 2>&1 &
server=$!

server_failed() {
    local code=0
    wait "$server" || code=$?
    server=
    tail -n 12 "$log" >&2
    case $code in
        69) fail "a port is taken: the line above names its key. Choose another, for example WEIR__HTTP__LISTEN=127.0.0.1:8081 or WEIR__RTMP__LISTEN=0.0.0.0:1936 make demo" ;;
        64) fail "the configuration is wrong, see above" ;;
        *) fail "weir ended with code $code, see $log" ;;
    esac
}

progress_shown=
progress() { # one line that is rewritten on a terminal, and a new one for each new state elsewhere
    if [ -t 1 ]; then
        printf '\r\033[K%3d s  %s' "$((SECONDS - since))" "$1"
    elif [ "$1" != "$progress_shown" ]; then
        printf '%3d s  %s\n' "$((SECONDS - since))" "$1"
    fi
    progress_shown=$1
}
progress_end() { if [ -t 1 ]; then printf '\n'; fi; }
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$1" || true; }
api() { curl -sS --fail-with-body --max-time 10 -H "Authorization: APIKey $key" -H 'Content-Type: application/json' "$@"; }

since=$SECONDS
until [ "$(status "http://$http/readyz")" = 200 ]; do
    kill -0 "$server" 2>/dev/null || { progress_end; server_failed; }
    [ $((SECONDS - since)) -lt $ready_limit ] || { tail -n 12 "$log" >&2; fail "not ready within $ready_limit s, see $log"; }
    progress "waiting for Weir at http://$http"
    sleep 0.2
done
progress "Weir is ready at http://$http"
progress_end

# --- the stream: the set with the single 720p rung -------------------------------------------------------------------
set_id=$(api "http://$http/streaming/quality_sets" | python3 -c '
import json, sys
sets = json.load(sys.stdin)["live"]
print(next((s["id"] for s in sets if [q["name"] for q in s["qualities"]] == ["720p"]), "null"))')
stream=$(api "http://$http/streaming/streams" \
    -d "{\"name\": \"demo\", \"active\": true, \"pull\": false, \"quality_set_id\": $set_id}") || fail "the stream was not created: $stream"
{ read -r id; read -r push; read -r player; read -r hls; read -r dash; } \
    < <(json id push_url iframe_url hls_cmaf_url dash_url <<< "$stream")
say "created stream $id"

# --- the encoder -----------------------------------------------------------------------------------------------------
ffmpeg -nostdin -hide_banner -loglevel error -re \
    -f lavfi -i testsrc2=size=1280x720:rate=30 \
    -f lavfi -i sine=frequency=1000:sample_rate=48000 \
    -c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p \
    -b:v 3000k -maxrate 3000k -bufsize 6000k -g 30 -keyint_min 30 \
    -x264-params "scenecut=0:bframes=0" \
    -c:a aac -b:a 128k -ar 48000 \
    -f flv "$push" > "$data/encoder.log" 2>&1 &
encoder=$!

watch_processes() {
    kill -0 "$server" 2>/dev/null || { progress_end; server_failed; }
    if ! kill -0 "$encoder" 2>/dev/null; then
        progress_end
        encoder=
        tail -n 5 "$data/encoder.log" >&2
        fail "ffmpeg ended, see $data/encoder.log and $log"
    fi
}

since=$SECONDS
until [ "$(status "$hls")" = 200 ] && [ "$(status "$dash")" = 200 ]; do
    watch_processes
    [ $((SECONDS - since)) -lt $playable_limit ] || { progress_end; tail -n 12 "$log" >&2; fail "not playable within $playable_limit s, see $log"; }
    live=$(api "http://$http/streaming/streams/$id" | json live)
    if [ "$live" = True ]; then progress "media arrives; waiting for the first part of every rendition"
    else progress "ffmpeg is starting; waiting for its first picture"; fi
    sleep 0.2
done
progress "playable"
progress_end

say
say "  Player  $player"
say "  HLS     $hls"
say "  DASH    $dash"
say
say "  Panel   http://$http/  (sign in with $key)"
say "  API     http://$http   (Authorization: APIKey $key)"
say "  logs    $log"
say
if [ -n "${DEMO_SECONDS:-}" ]; then say "ends in $DEMO_SECONDS s"; else say "running; Ctrl-C ends it"; fi
since=$SECONDS
until [ -n "${DEMO_SECONDS:-}" ] && [ $((SECONDS - since)) -ge "$DEMO_SECONDS" ]; do
    watch_processes
    sleep 1 & wait $! || true   # interruptible, so Ctrl-C is obeyed at once
done
