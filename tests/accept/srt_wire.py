"""SRT handshakes byte by byte, the legal ones and those that have brought other listeners down.

The format is that of draft-sharabayko-srt: a control packet of 16 bytes, a handshake of 48, extensions of 32-bit words.
"""

import os
import socket
import struct
import time

HANDSHAKE = 0x80000000
INDUCTION, CONCLUSION = 1, 0xFFFFFFFF
HSREQ, KMREQ, SID, CONGESTION, FILTER, GROUP, UNKNOWN = 1, 3, 5, 6, 7, 8, 0xBD01
WITH_HSREQ, WITH_KMREQ, WITH_CONFIG = 1, 2, 4
AES_128 = 2
VERSION = 0x010501
FLAGS = 0xBF
MAGIC = 0x4A17


def packet(version, encryption, extension, kind, caller, cookie, extensions=b"", sequence=1000, target=0):
    head = struct.pack("!IIII", HANDSHAKE, 0, 0, target)
    body = struct.pack("!IHHIIIIII", version, encryption, extension, sequence, 1500, 8192, kind, caller, cookie)
    return head + body + socket.inet_aton("127.0.0.1")[::-1] + bytes(12) + extensions


def extension(kind, content, words=None):
    """`words` is a lie about its length."""
    content += bytes(-len(content) % 4)
    return struct.pack("!HH", kind, len(content) // 4 if words is None else words) + content


def hsreq(latency_ms=120):
    return extension(HSREQ, struct.pack("!IIHH", VERSION, FLAGS, latency_ms, latency_ms))


def swapped(text):
    """Strings go in words of which each is turned round."""
    data = text.encode() + bytes(-len(text.encode()) % 4)
    return b"".join(data[at:at + 4][::-1] for at in range(0, len(data), 4))


def key_material(key_bytes=16, words=None):
    """A KMREQ of the right form round a key that nobody has wrapped."""
    head = struct.pack("!BHBIBBBBHBB", 0x12, 0x2029, 0x01, 0, 2, 0, 2, 0, 0, 4, key_bytes // 4)
    return extension(KMREQ, head + os.urandom(16) + os.urandom(key_bytes + 8), words)


def induction(caller):
    return packet(4, 0, 2, INDUCTION, caller, 0)


def cookie_of(answer):
    """The cookie in the listener's answer to an induction."""
    return struct.unpack_from("!I", answer, 16 + 28)[0]


def conclusion(caller, cookie, stream_id, encryption=0, more=b"", flags=WITH_HSREQ | WITH_CONFIG, first=None):
    """With HSREQ and stream id, and whatever comes behind them."""
    extensions = (hsreq() if first is None else first) + (extension(SID, swapped(stream_id)) if stream_id is not None else b"") + more
    return packet(5, encryption, flags, CONCLUSION, caller, cookie, extensions)


# name -> the conclusion for (caller, cookie, stream id with its right token)
NASTY = {
    "KMREQ under an encryption field of zero": lambda c, k, s: conclusion(c, k, s, 0, key_material(), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "KMREQ on a stream without a passphrase": lambda c, k, s: conclusion(c, k, s, AES_128, key_material(), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "encryption field without KMREQ": lambda c, k, s: conclusion(c, k, s, AES_128),
    "encryption field of no known key": lambda c, k, s: conclusion(c, k, s, 7, key_material(), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "KMREQ of another length than its key's": lambda c, k, s: conclusion(c, k, s, AES_128, key_material(32), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "KMREQ of 1 kB": lambda c, k, s: conclusion(c, k, s, AES_128, extension(KMREQ, os.urandom(1024)), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "empty KMREQ": lambda c, k, s: conclusion(c, k, s, AES_128, extension(KMREQ, b""), WITH_HSREQ | WITH_KMREQ | WITH_CONFIG),
    "packet filter": lambda c, k, s: conclusion(c, k, s, 0, extension(FILTER, swapped("fec,cols:10,rows:5"))),
    "packet filter of 1 kB": lambda c, k, s: conclusion(c, k, s, 0, extension(FILTER, os.urandom(1024))),
    "group": lambda c, k, s: conclusion(c, k, s, 0, extension(GROUP, struct.pack("!II", 0x40000001, 0x01000000))),
    "group of no kind": lambda c, k, s: conclusion(c, k, s, 0, extension(GROUP, struct.pack("!II", 1, 0xFF000000))),
    "congestion control": lambda c, k, s: conclusion(c, k, s, 0, extension(CONGESTION, swapped("live"))),
    "congestion control of files": lambda c, k, s: conclusion(c, k, s, 0, extension(CONGESTION, swapped("file"))),
    "congestion control of noise": lambda c, k, s: conclusion(c, k, s, 0, extension(CONGESTION, os.urandom(64))),
    "empty stream id": lambda c, k, s: conclusion(c, k, None, 0, extension(SID, b"")),
    "no stream id": lambda c, k, s: conclusion(c, k, None),
    "stream id of 1 kB": lambda c, k, s: conclusion(c, k, s + "x" * 1024),
    "stream id of zeros": lambda c, k, s: conclusion(c, k, None, 0, extension(SID, bytes(64))),
    "stream id of bytes that are no text": lambda c, k, s: conclusion(c, k, None, 0, extension(SID, bytes(range(128, 192)))),
    "stream id twice": lambda c, k, s: conclusion(c, k, s, 0, extension(SID, swapped(s))),
    "extension of an unknown vendor": lambda c, k, s: conclusion(c, k, s, 0, extension(UNKNOWN, os.urandom(32))),
    "extension that says it is longer than the packet": lambda c, k, s: conclusion(c, k, s, 0, extension(SID, swapped(s), words=0xFFFF)),
    "extension cut short": lambda c, k, s: conclusion(c, k, s)[:-6],
    "no extensions though announced": lambda c, k, s: packet(5, 0, WITH_HSREQ | WITH_CONFIG, CONCLUSION, c, k),
    "HSREQ cut short": lambda c, k, s: conclusion(c, k, s, first=extension(HSREQ, bytes(4))),
    "HSREQ with a latency of 65 s": lambda c, k, s: conclusion(c, k, s, first=hsreq(65535)),
    "wrong cookie": lambda c, k, s: conclusion(c, k ^ 1, s),
    "version 4": lambda c, k, s: packet(4, 0, 1, CONCLUSION, c, k),
    "rendezvous": lambda c, k, s: packet(5, 0, MAGIC, 0, c, k),
    "bare header": lambda c, k, s: struct.pack("!IIII", HANDSHAKE, 0, 0, 0),
    "noise": lambda c, k, s: os.urandom(1400),
}


def say(port, build, stream_id, source="127.0.0.1", limit=0.5):
    """Goes through the induction and sends what `build` makes; the answer, or None within `limit` seconds."""
    caller = int.from_bytes(os.urandom(4), "big") & 0x3FFFFFFF
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.bind((source, 0))
        one.connect(("127.0.0.1", port))
        one.settimeout(2)
        one.send(induction(caller))
        cookie = cookie_of(one.recv(2048))
        one.send(build(caller, cookie, stream_id))
        one.settimeout(limit)
        try:
            return one.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return None


def spoofed(port, count, seconds):
    """Sends that many datagrams, each from another address of loopback, spread over that time; returns how many were sent."""
    began, sent = time.monotonic(), 0
    kinds = (induction(1), struct.pack("!IIII", HANDSHAKE, 0, 0, 0), packet(5, 0, WITH_HSREQ, CONCLUSION, 1, 0x12345678, hsreq()))
    for number in range(count):
        with socket.socket(type=socket.SOCK_DGRAM) as one:
            one.bind((f"127.{10 + number // 62500}.{number // 250 % 250}.{1 + number % 250}", 0))
            one.setblocking(False)
            try:
                one.sendto(kinds[number % len(kinds)], ("127.0.0.1", port))
                sent += 1
            except BlockingIOError:
                pass
        ahead = began + seconds * number / count - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)  # no faster than the server's socket can be read
    return sent
