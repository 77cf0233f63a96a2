"""Lines about the server's behaviour: the official client, bytes that kill others, and the repository's own checks."""

import json
import os
import shutil
import socket
import subprocess
import time

import defects
import hls
import rtmp_push
from cost import peak_mb
from report import KEPT, ROOT, Failed, Figure, at_most, empty, equal, wait_until
from server import API_KEY, Encoder, Weir, binary, free_ports
from sources import Source

PART_GAP_LIMIT = 1.2  # seconds, three parts: more would be felt by a low-latency player


def gcore(short):
    """The official Python client against the live server, with only its base URL changed."""
    python = subprocess.run(
        [ROOT / "scripts" / "python-venv.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    source = Source("gcore", 640, 360, "30", 60, kbps=800).make()
    with Weir("gcore") as weir:
        done = subprocess.run(
            [python, ROOT / "tests" / "accept" / "gcore_client.py", weir.base, API_KEY, source],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if done.returncode != 0:
        raise Failed(done.stderr.strip()[-400:])
    return [Figure(**figure) for figure in json.loads(done.stdout)]


def hostile_case(weir, case, flv, url):
    """Runs one case; what the server answers does not matter, only that it still stands. Returns what is wrong, or None."""
    try:
        connection = rtmp_push.Connection(url)
        try:
            case(connection, flv)
        finally:
            connection.close()
    except (rtmp_push.Refused, OSError):
        pass
    if weir.process.poll() is not None:
        return f"the process ended with code {weir.process.returncode}"
    status, _, _ = weir.http.get(weir.base + "/healthz")
    return None if status == 200 else f"/healthz answers {status}"


def legal_case(weir, case, flv):
    """Runs one case on a stream of its own; returns why it was not taken, or None."""
    stream = weir.create_stream("360p")
    try:
        connection = rtmp_push.Connection(stream["push_url"])
        try:
            case(connection, flv)
            wait_until("`live`", 3, lambda: weir.stream(stream)["live"])
            session = next(slot["session"] for slot in weir.detail(stream)["slots"] if slot["slot"] == "primary")
            frames = 25 * (defects.MEDIA_SECONDS - 1)
            if not session or session["video_units"] < frames:
                return f"only {session and session['video_units']} pictures arrived"
        finally:
            connection.close()
    except (rtmp_push.Refused, Failed, OSError) as fault:
        return str(fault)
    finally:
        weir.delete(stream)
    return None


def defects_line(short):
    """Every fatal defect of other RTMP stacks as wire bytes, beside a running stream."""
    running_source = Source("running", 640, 360, "30", 180, kbps=600).make()
    flv = rtmp_push.Flv.load(Source("victim", 320, 180, "25", 6, kbps=300).make())
    with Weir("defects") as weir:
        running = weir.create_stream("360p")
        with Encoder.copy(running_source, running["push_url"]):
            weir.wait_playable(running)
            presentation = hls.Presentation(weir.http, running["hls_cmaf_url"])
            before = (weir.worker(running), weir.detail(running)["slots"][0]["session"]["id"])
            grown_from = peak_mb(weir.process.pid)
            watch = hls.PartWatch(presentation, presentation.variants[0].url)
            watch.start()

            target = weir.create_stream("360p")
            harmed = {}
            for name, case in defects.HOSTILE.items():
                why = hostile_case(weir, case, flv, target["push_url"])
                if why:
                    harmed[name] = why
            weir.alive()
            grown = peak_mb(weir.process.pid) - grown_from
            refused = {}
            for name, case in defects.LEGAL.items():
                why = legal_case(weir, case, flv)
                if why:
                    refused[name] = why

            longest = watch.finish()
            after = (weir.worker(running), weir.detail(running)["slots"][0]["session"]["id"])
            weir.alive()
    return [
        empty(f"hostile cases (of {len(defects.HOSTILE)}) that harmed the process", [f"{n}: {why}" for n, why in harmed.items()]),
        empty(f"legal cases (of {len(defects.LEGAL)}) that were not taken", [f"{name}: {why}" for name, why in refused.items()]),
        at_most("growth of the control process's peak memory", grown, 64, "MB", 0),
        equal("running stream keeps worker and session", after == before, True),
        at_most("longest wait for a new part of the running stream", longest, PART_GAP_LIMIT, "s"),
        empty("playlist faults of the running stream", watch.faults),
    ]


def demo(short):
    """`make demo`'s script: ends by itself when asked to, prints its URLs, and names the key of a taken port."""
    http, rtmp = free_ports(2)
    environment = dict(
        os.environ, WEIR=str(binary()), DEMO_SECONDS="3", WEIR__DATA__DIR=str(KEPT / "run" / "demo"),
        WEIR__HTTP__LISTEN=f"127.0.0.1:{http}", WEIR__RTMP__LISTEN=f"127.0.0.1:{rtmp}")

    def run_demo():
        return subprocess.run([ROOT / "scripts" / "demo.sh"], env=environment, text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    began = time.monotonic()
    done = run_demo()
    took = time.monotonic() - began
    with socket.create_server(("127.0.0.1", rtmp)):
        taken = run_demo()
    urls = [word for word in ("Player  http://", "HLS     http://", "DASH    http://") if word not in done.stdout]
    return [
        equal("exit code", done.returncode, 0),
        empty("URLs it did not print", urls),
        at_most("from start to end, with 3 s of playing", took, 30, "s", 1),
        equal("port taken: fails and names the key", taken.returncode != 0 and "rtmp.listen" in taken.stderr, True),
    ]


def check_and_test(short):
    """`make check` and `make test` in a clean clone of the commit."""
    clone = KEPT / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    figures = []
    for target in ("check", "test"):
        log = KEPT / f"make-{target}.log"
        began = time.monotonic()
        with open(log, "wb") as out:
            code = subprocess.run(["make", target], cwd=clone, stdout=out, stderr=out).returncode
        minutes = (time.monotonic() - began) / 60
        figures.append(equal(f"make {target}, exit code", code, 0))
        figures.append(at_most(f"make {target}, time", minutes, 45, "min", 1))
    return figures
