#!/usr/bin/env python3
"""Sends mutated publishes to an RTMP port as fast as it goes. A process of its own, for `hostile.py`.

    mutate.py SECONDS SEED FILE URL...     an FLV file to publish, and the destinations to name, right and wrong ones

Prints its counts as JSON. The same seed makes the same bytes; how many are sent depends on the machine.
"""

import collections
import json
import os
import pathlib
import random
import socket
import sys
import time
from urllib.parse import urlsplit

import rtmp_push as rtmp

KEPT_OPEN = 10  # connections that stay open after their last byte
ADDRESSES = 50  # of this machine, to connect from
MEDIA = 12, 60  # tags of a publish
BLOCK = 4096


class Recording:
    """What an encoder sends for a publish, as (name, bytes) pieces in order."""

    def __init__(self, flv, url, rng):
        parts = urlsplit(url)
        app, _, key = parts.path.lstrip("/").rpartition("/")
        self.host, self.port = parts.hostname, parts.port
        self.stream, size = 1, rng.choice((128, 4096, 65536))
        key += "?" + parts.query
        info = {"app": app, "type": "nonprivate", "flashVer": "FMLE/3.0 (mutated)", "tcUrl": f"rtmp://127.0.0.1/{app}"}

        def message(chunk_stream, when, kind, stream, body):
            return rtmp.message(chunk_stream, when, kind, stream, body, size=size)
        self.opening = [
            ("hello", b"\x03" + rng.randbytes(1536)), ("echo", rng.randbytes(1536)), ("chunk size", rtmp.set_chunk_size(size)),
            ("connect", message(3, 0, rtmp.COMMAND, 0, rtmp.amf("connect", 1, info))),
            ("create", rtmp.command("createStream", 4, None)),
            ("publish", message(4, 0, rtmp.COMMAND, 1, rtmp.amf("publish", 5, None, key, "live")))]
        start = rng.choice((0, 0, rtmp.EXTENDED - 500))
        self.media = [("metadata", message(4, start, rtmp.DATA, 1, rtmp.amf("@setDataFrame") + flv.metadata))]
        self.media += [("header", message(4 if kind == rtmp.AUDIO else 6, start, kind, 1, body)) for kind, body in flv.headers]
        for when, kind, body in flv.tags[:rng.randint(*MEDIA)]:
            self.media.append(("tag", message(4 if kind == rtmp.AUDIO else 6, start + when, kind, 1, body)))


def flip(data, rng):
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)


def overwrite(data, rng):
    at = rng.randrange(len(data))
    data[at:at + rng.randint(1, 8)] = rng.randbytes(rng.randint(1, 8))


def extreme(data, rng):
    """A length, count or time of a strange size, 1 to 4 bytes long."""
    width, at = rng.randint(1, 4), rng.randrange(len(data))
    data[at:at + width] = rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80")) * width


def insert(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 3, 11, 128, 5000)))


def cut_out(data, rng):
    at = rng.randrange(len(data))
    del data[at:at + rng.choice((1, 2, 4, 64, 1000))]


def repeat(data, rng):
    at, length = rng.randrange(len(data)), rng.choice((1, 12, 300))
    data[at:at] = data[at:at + length] * rng.choice((1, 2, 50))


BYTES = (flip, flip, overwrite, extreme, extreme, insert, cut_out, repeat)


def header_length(pieces, rng):
    """The length in the first chunk header of a message."""
    name, data = pieces[rng.randrange(len(pieces))]
    if name not in ("hello", "echo"):
        data[4:7] = rng.choice((0, 1, 127, 129, 65537, 0xFFFFFF, rng.randrange(1 << 24))).to_bytes(3, "big")


def swap(pieces, rng):
    one, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]


def drop(pieces, rng):
    del pieces[rng.randrange(len(pieces))]


def double(pieces, rng):
    at = rng.randrange(len(pieces))
    pieces[at:at] = [(name, bytearray(data)) for name, data in pieces[at:at + 2]]


def truncate(pieces, rng):
    del pieces[rng.randrange(1, len(pieces) + 1):]
    _, data = pieces[-1]
    del data[rng.randrange(len(data) + 1):]


ORDER = (header_length, header_length, swap, drop, double, truncate)


def mutated(recording, rng):
    """The bytes of one connection, and whether its opening was left whole, so that it is let in if its token is right."""
    opening, media = ([(name, bytearray(data)) for name, data in pieces] for pieces in (recording.opening, recording.media))
    whole = rng.random() < 0.5
    target = media if whole else opening + media
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        if len(target) > 2 and rng.random() < 0.3:
            rng.choice(ORDER)(target, rng)
        else:
            _, data = target[rng.randrange(len(target))]
            if data:
                rng.choice(BYTES)(data, rng)
    return b"".join(data for _, data in (opening + media if whole else target)), whole


def main():
    seconds, rng = float(sys.argv[1]), random.Random(int(sys.argv[2]))
    flv = rtmp.Flv.load(pathlib.Path(sys.argv[3]))
    urls, end = sys.argv[4:], time.monotonic() + seconds
    open_still, sent, connections, failed = collections.deque(), 0, 0, 0
    while time.monotonic() < end:
        recording = Recording(flv, rng.choice(urls), rng)
        data, whole = mutated(recording, rng)
        connection = socket.socket()
        connection.settimeout(0.2)
        connections += 1
        try:
            connection.bind((f"127.0.0.{2 + rng.randrange(ADDRESSES)}", 0))
            connection.connect((recording.host, recording.port))
            for at in range(0, len(data), BLOCK):
                connection.send(data[at:at + BLOCK])
                sent += min(BLOCK, len(data) - at)
            if whole:
                connection.recv(65536)
        except OSError:
            failed += 1  # closed by the server, as it should be
        if whole:
            connection.close()
        else:
            open_still.append(connection)
        if len(open_still) > KEPT_OPEN:
            open_still.popleft().close()
    print(json.dumps({"connections": connections, "bytes": sent, "cut": failed}))


if __name__ == "__main__":
    os.nice(10)  # the attacker's own work is on another machine in real life
    main()
