"""A small RTMP publisher that says exactly when each frame was sent, and that can break the rules on purpose.

The wire format is Adobe's RTMP 1.0: a 1536-byte handshake, then messages in chunks, commands in AMF0.
"""

import dataclasses
import os
import select
import socket
import struct
import time
from urllib.parse import urlsplit

AUDIO, VIDEO, DATA_AMF3, DATA, COMMAND_AMF3, COMMAND = 8, 9, 15, 18, 17, 20
SET_CHUNK_SIZE, ACKNOWLEDGEMENT = 1, 3
CHUNK = 4096
EXTENDED = 0xFFFFFF  # from here on a timestamp takes the extended field


class Refused(Exception):
    """The server said no, or closed."""


def amf(*values):
    """AMF0 of None, bool, number, string and dict."""
    out = b""
    for value in values:
        if value is None:
            out += b"\x05"
        elif isinstance(value, bool):
            out += bytes([1, value])
        elif isinstance(value, (int, float)):
            out += b"\x00" + struct.pack(">d", value)
        elif isinstance(value, str):
            out += b"\x02" + struct.pack(">H", len(value.encode())) + value.encode()
        elif isinstance(value, dict):
            out += b"\x03" + b"".join(key_bytes(key) + amf(item) for key, item in value.items()) + b"\x00\x00\x09"
        else:
            raise TypeError(value)
    return out


def key_bytes(key):
    return struct.pack(">H", len(key.encode())) + key.encode()


def chunks(chunk_stream, timestamp, kind, message_stream, body, size=CHUNK, repeat_extended=True):
    """A message as a list of chunks. `repeat_extended=False` leaves the extended timestamp out of continuation chunks,
    as some encoders do."""
    extended = struct.pack(">I", timestamp) if timestamp >= EXTENDED else b""
    head = (bytes([chunk_stream]) + min(timestamp, EXTENDED).to_bytes(3, "big") + len(body).to_bytes(3, "big")
            + bytes([kind]) + struct.pack("<I", message_stream) + extended)
    again = bytes([0xC0 | chunk_stream]) + (extended if repeat_extended else b"")
    pieces = [body[at:at + size] for at in range(0, len(body), size)] or [b""]
    return [head + pieces[0]] + [again + piece for piece in pieces[1:]]


def message(*arguments, **options):
    return b"".join(chunks(*arguments, **options))


def set_chunk_size(size):
    return message(2, 0, SET_CHUNK_SIZE, 0, struct.pack(">I", size))


def command(*values, stream=0):
    return message(3, 0, COMMAND, stream, amf(*values))


class Connection:
    """A socket after the handshake. Reads only what it needs to see whether it was let in."""

    def __init__(self, url, timeout=8, source=None):
        """`source` is the address to come from; the system's choice when there is none."""
        parts = urlsplit(url)
        self.app, _, self.key = parts.path.lstrip("/").rpartition("/")
        if parts.query:
            self.key += "?" + parts.query
        self.tc_url = f"rtmp://{parts.hostname}:{parts.port or 1935}/{self.app}"
        self.socket = socket.create_connection((parts.hostname, parts.port or 1935), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = 1
        self.heard = b""
        self.socket.sendall(b"\x03" + bytes(8) + os.urandom(1528))
        answer = self.read_exactly(1 + 1536)
        self.socket.sendall(answer[1:])
        self.read_exactly(1536)

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Refused("closed during the handshake")
            data += more
        return data

    def connect_commands(self):
        info = {"app": self.app, "type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; weir-accept)", "tcUrl": self.tc_url}
        return set_chunk_size(CHUNK) + command("connect", 1, info)

    def stream_commands(self):
        return (command("releaseStream", 2, None, self.key) + command("FCPublish", 3, None, self.key)
                + command("createStream", 4, None))

    def publish_command(self):
        return message(4, 0, COMMAND, self.stream, amf("publish", 5, None, self.key, "live"))

    def wait_for(self, words, limit=8):
        """Reads until one of these byte strings was heard; the answers are short, so searching the raw bytes is exact
        enough. `Refused` on an error status, on a close, or after `limit` seconds."""
        end = time.monotonic() + limit
        while words not in self.heard:
            if b"NetStream.Publish.BadName" in self.heard or b"\x06_error" in self.heard:
                raise Refused(self.heard[-200:].decode(errors="replace"))
            ready, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Refused(f"no {words.decode()} within {limit} s")
            more = self.socket.recv(65536)
            if not more:
                raise Refused("closed by the server")
            self.heard += more
        self.heard = self.heard[self.heard.index(words) + len(words):]

    def publish(self):
        self.socket.sendall(self.connect_commands())
        self.wait_for(b"NetConnection.Connect.Success")
        self.socket.sendall(self.stream_commands())
        self.wait_for(b"_result")
        self.socket.sendall(self.publish_command())
        self.wait_for(b"NetStream.Publish.Start")

    def send(self, data):
        """Sends, and drops what the server says meanwhile."""
        self.socket.sendall(data)
        while select.select([self.socket], [], [], 0)[0]:
            if not self.socket.recv(65536):
                raise Refused("closed by the server")

    def close(self):
        self.socket.close()


@dataclasses.dataclass
class Flv:
    """The tags of an FLV file."""

    metadata: bytes
    headers: list  # (kind, body) of the decoder configurations
    tags: list  # (milliseconds, kind, body)

    @classmethod
    def load(cls, path):
        data, at = path.read_bytes(), 13
        flv = cls(b"", [], [])
        while at + 11 <= len(data):
            kind, size = data[at], int.from_bytes(data[at + 1:at + 4], "big")
            when = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
            body = data[at + 11:at + 11 + size]
            at += 11 + size + 4
            if kind == DATA:
                flv.metadata = body
            elif kind == VIDEO and body[1] == 0 or kind == AUDIO and body[0] >> 4 == 10 and body[1] == 0:
                flv.headers.append((kind, body))
            elif kind != VIDEO or body[1] == 1:
                flv.tags.append((when, kind, body))
        return flv


def is_keyframe(kind, body):
    return kind == VIDEO and body[0] >> 4 == 1


def plain(connection, timestamp, kind, body):
    return message(4 if kind == AUDIO else 6, timestamp, kind, connection.stream, body)


def send_headers(connection, flv, metadata=True, start=0):
    data = message(4, start, DATA, connection.stream, amf("@setDataFrame") + flv.metadata) if metadata else b""
    for kind, body in flv.headers:
        data += plain(connection, start, kind, body)
    connection.send(data)


def send_media(connection, flv, seconds, start=0, encode=plain, ending=None):
    """Sends tags at their own pace for that long, timestamps from `start` ms; returns when the first keyframe was sent
    (monotonic seconds). `encode` makes a tag's bytes; `ending` is an Event that ends it early."""
    began = time.monotonic()
    first_key = None
    origin = flv.tags[0][0]
    for when, kind, body in flv.tags:
        due = began + (when - origin) / 1000
        if due - began > seconds or (ending and ending.is_set()):
            break
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)  # the pace of the source
        if first_key is None and is_keyframe(kind, body):
            first_key = time.monotonic()
        connection.send(encode(connection, start + when - origin, kind, body))
    return first_key
