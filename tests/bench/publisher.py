"""A publisher that is a process of its own, so that it can be killed and frozen, and that tells when each frame left.

    publisher.py URL FLV [--retry SECONDS] [--wait]      one JSON object a line on standard output

Times are of the monotonic clock, which all processes of a machine share.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "accept"))

import rtmp_push
from report import Failed, wait_until

SECONDS = 1000  # longer than any source


def main():
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("flv", type=pathlib.Path)
    options.add_argument("--retry", type=float, help="seconds between tries; without it one try only")
    options.add_argument("--wait", action="store_true", help="begin when a line arrives on standard input")
    chosen = options.parse_args()

    def tell(event, **more):
        print(json.dumps({"event": event, "at": time.monotonic(), **more}), flush=True)

    flv = rtmp_push.Flv.load(chosen.flv)
    tell("loaded")
    if chosen.wait:
        sys.stdin.readline()
    connection = connect(chosen.url, chosen.retry, tell)
    tell("accepted")
    frames = 0

    def encode(connection, timestamp, kind, body):
        nonlocal frames
        if kind == rtmp_push.VIDEO:
            tell("frame", number=frames)
            frames += 1
        return rtmp_push.plain(connection, timestamp, kind, body)

    try:
        rtmp_push.send_headers(connection, flv)
        rtmp_push.send_media(connection, flv, SECONDS, encode=encode)
    except (rtmp_push.Refused, OSError) as why:
        tell("lost", why=str(why))


def connect(url, retry, tell):
    while True:
        tell("try")
        try:
            connection = rtmp_push.Connection(url, timeout=2)
            connection.publish()
            return connection
        except (rtmp_push.Refused, OSError) as why:
            tell("refused", why=str(why))
            if retry is None:
                sys.exit(1)
            time.sleep(retry)  # as an encoder does


class Publisher:
    """The process, seen from outside; killed on leaving the `with`."""

    def __init__(self, url, flv, *options):
        self.process = subprocess.Popen(
            [sys.executable, __file__, url, flv, *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.endswith("\n"):  # what a killed process wrote last may be cut
                self.events.append(json.loads(line))

    def of(self, event):
        return [entry for entry in list(self.events) if entry["event"] == event]

    def first(self, event, limit=15):
        """The first event of that name; waits for it."""
        wait_until(f"'{event}' of the publisher ({self.last_words()})", limit, lambda: self.of(event) or self.over(), every=0.005)
        if not self.of(event):
            raise Failed(f"the publisher ended without '{event}': {self.last_words()}")
        return self.of(event)[0]

    def over(self):
        return self.process.poll() is not None and not self.reader.is_alive()

    def last_words(self):
        return [entry for entry in self.events if entry["event"] != "frame"][-1:]

    def begin(self):
        """Lets a publisher with `--wait` go."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def sent(self):
        """When each frame left, by number."""
        return {entry["number"]: entry["at"] for entry in self.of("frame")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


if __name__ == "__main__":
    main()
