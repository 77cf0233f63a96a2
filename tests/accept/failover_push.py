"""Two encoders that send one programme: each an ffmpeg behind a relay that knows every picture that passes, and that can cut it off,
take its pictures away or spoil them. A programme instant arrives by the backup as much later as the test wants it to."""

import math
import os
import random
import signal
import socket
import threading
import time
from urllib.parse import urlsplit, urlunsplit

import rtmp_push
from failover_sources import cts
from report import wait_until
from server import Encoder

HANDSHAKE = 1 + 2 * 1536  # bytes that a client sends before its first chunk
STARTED = b"NetStream.Publish.Start"
LEAD = 1.2  # seconds that an ffmpeg may take to come as far as the gate


class Chunks:
    """Cuts what an RTMP client sends into whole messages, each as the chunks that it came in."""

    def __init__(self):
        self.data, self.size, self.handshake = b"", 128, HANDSHAKE
        self.known = {}  # chunk stream -> [timestamp is extended, length, kind]
        self.open = {}  # chunk stream -> chunks so far, as (head, payload)

    def feed(self, data):
        """(kind, chunks) of every message that is whole now; kind 0 is the handshake."""
        self.data += data
        while True:
            if self.handshake:
                taken = self.data[:self.handshake]
                if not taken:
                    return
                self.data, self.handshake = self.data[len(taken):], self.handshake - len(taken)
                yield 0, [(taken, b"")]
                continue
            message = self.chunk()
            if message is None:
                return
            if message:
                yield message

    def chunk(self):
        """Takes one chunk; None when there is no whole one, False when its message goes on."""
        data = self.data
        if len(data) < 3:
            return None
        form, stream, at = data[0] >> 6, data[0] & 63, 1
        if stream < 2:
            at += 1 + stream
            stream = 64 + int.from_bytes(data[1:at], "little")
        fields = (11, 7, 3, 0)[form]
        head = data[at:at + fields]
        if len(head) < fields:
            return None
        known = list(self.known.get(stream, (False, 0, 0)))
        if fields >= 3:
            known[0] = head[:3] == b"\xff\xff\xff"
        if fields >= 7:
            known[1:] = [int.from_bytes(head[3:6], "big"), head[6]]
        at += fields + (4 if known[0] else 0)
        parts = self.open.get(stream, [])
        due = min(self.size, known[1] - sum(len(payload) for _, payload in parts))
        if len(data) < at + due:
            return None
        self.known[stream], self.data = known, data[at + due:]
        parts = self.open[stream] = [*parts, (data[:at], data[at:at + due])]
        if sum(len(payload) for _, payload in parts) < known[1]:
            return False
        del self.open[stream]
        if known[2] == rtmp_push.SET_CHUNK_SIZE:
            self.size = int.from_bytes(parts[0][1][:4], "big") & 0x7FFFFFFF
        return known[2], parts


def spoiled(body, draw):
    """A video tag whose slices are noise; lengths, NAL headers and whatever is no picture stay."""
    if len(body) < 9 or body[1] != 1:
        return body
    out, at = bytearray(body), 5
    while at + 5 <= len(body):
        length = int.from_bytes(body[at:at + 4], "big")
        if body[at + 4] & 31 in (1, 5):
            # No start code comes about. 0000 0000 0000 0001 names a first macroblock that no picture has, so no decoder makes anything of it.
            noise = bytes(draw.randrange(1, 256) for _ in range(min(length - 1, len(body) - at - 5)))
            out[at + 5:at + 5 + len(noise)] = (b"\x00\x01" + noise)[:len(noise)]
        at += 4 + length
    return bytes(out)


class Tap:
    """Listens in the place of the server. One encoder at a time goes through it."""

    def __init__(self, push_url, source):
        self.source = source
        parts = urlsplit(push_url)
        self.target = (parts.hostname, parts.port or 1935)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{self.listener.getsockname()[1]}"))
        self.sent = []  # (when its last byte was handed on, seconds from its decoding to its display, number or None) of each picture
        self.first = []  # when the first picture of each connection was handed on
        self.gate = 0.0  # the encoder begins not before
        self.flowing = threading.Event()
        self.flowing.set()
        self.pictures, self.spoil = True, None
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets += [client, server]
            for job in (self.up, self.down):
                threading.Thread(target=self.carry, args=(job, client, server), daemon=True).start()

    def carry(self, job, client, server):
        try:
            job(client, server)
        except OSError:
            pass  # one end is gone; so will be the other
        for one in (client, server):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def up(self, client, server):
        chunks, begun = Chunks(), False
        while data := client.recv(1 << 16):
            for kind, parts in chunks.feed(data):
                self.flowing.wait()
                body = b"".join(payload for _, payload in parts)
                picture = kind == rtmp_push.VIDEO and body[1:2] == b"\x01"
                if picture and not self.pictures:
                    continue
                given = spoiled(body, self.spoil) if picture and self.spoil else body
                pieces, at = [], 0
                for head, payload in parts:
                    pieces += [head, given[at:at + len(payload)]]
                    at += len(payload)
                server.sendall(b"".join(pieces))
                if picture and not self.spoil:
                    now = time.monotonic()
                    self.sent.append((now, cts(body) / 1000, self.source.frames.get(body)))
                    if not begun:
                        self.first.append(now)
                        begun = True

    def down(self, client, server):
        while data := server.recv(1 << 16):
            if STARTED in data:
                time.sleep(max(0.0, self.gate - time.monotonic()))  # the encoder's clock starts when it hears this
            client.sendall(data)

    def block(self):
        """Nothing more arrives, and no connection ends: what a broken network does."""
        self.flowing.clear()

    def unblock(self):
        self.flowing.set()

    def let_go(self):
        """Ends what was blocked without handing on what it still held, and lets the next connection through."""
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already
        self.sockets = []
        self.unblock()

    def only_sound(self):
        self.pictures = False

    def spoil_slices(self):
        self.spoil = random.Random(1)

    def heal(self):
        self.pictures, self.spoil = True, None

    @property
    def last(self):
        """When the last picture that can be decoded was handed on."""
        return self.sent[-1][0]

    def lateness(self, of=400):
        """When the programme's beginning would have been due for display, had it been shown on arrival, by the newest pictures: monotonic seconds."""
        begins = sorted(at + later - float(self.source.at(number)) for at, later, number in self.sent[-of:] if number is not None)
        return begins[len(begins) // 2]

    def close(self):
        self.unblock()
        self.listener.close()
        for one in self.sockets:
            one.close()


class Pusher:
    """The encoder of one slot. It comes and goes; the programme goes on meanwhile."""

    def __init__(self, push_url, source):
        self.source = source
        source.make()
        len(source.frames)  # read now, not while times are taken
        self.tap = Tap(push_url, source)
        self.encoder = None

    def start(self, programme, late=0.0):
        """Starts an ffmpeg that sends the programme from its next keyframe on, so that an instant p of it arrives at `programme + p + late`;
        returns when its first picture was sent."""
        self.end()
        begun = len(self.tap.first)
        gop = self.source.gop
        at = max(0, math.ceil((time.monotonic() + LEAD - programme - late) / gop)) * gop
        self.tap.gate = programme + at + late
        # A seek to the very beginning would lose it: what was read to know the streams is thrown away then.
        seek = ["-ss", at] if at else []
        self.encoder = Encoder(["-re", *seek, "-i", self.source.path(), "-c", "copy", "-copypriorss", 0, "-f", "flv", self.tap.url])
        wait_until(f"picture of {self.source.name}", 15, lambda: len(self.tap.first) > begun or self.is_over(), every=0.005)
        return self.tap.first[-1]

    def is_over(self):
        return self.encoder is not None and self.encoder.process.poll() is not None

    def send(self, number):
        """When it was sent."""
        os.kill(self.encoder.process.pid, number)
        return time.monotonic()

    def end(self, number=signal.SIGKILL):
        """Ends it so, if it runs."""
        if self.encoder and self.encoder.process.poll() is None:
            self.send(number)
        if self.encoder:
            self.encoder.end()
        self.encoder = None

    def close(self):
        self.end()
        self.tap.close()
