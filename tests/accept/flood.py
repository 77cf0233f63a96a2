#!/usr/bin/env python3
"""Holds half-open RTMP connections open, and opens each again as soon as it is shed. A process of its own, for `hostile.py`.

    flood.py PORT COUNT ADDRESS...     connects from these addresses in turn

Prints `full` once that many were opened, counts as JSON at the end of its input, and ends then.
"""

import errno
import json
import os
import resource
import select
import socket
import sys
import time

from rtmp_push import CHUNK, command, set_chunk_size

OPENING = 256  # connections under way at once, so that the listener's backlog holds them
CONNECT = set_chunk_size(CHUNK) + command("connect", 1, {"app": "in", "tcUrl": "rtmp://127.0.0.1/in"})
HELLO = b"\x03" + bytes(8) + bytes(1528)
ANSWER = 1 + 2 * 1536
# What each kind of connection sends at once; the last goes on after the answer.
OPENINGS = (b"", HELLO[:1], HELLO, HELLO)
NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # the port is chosen at connect, so that there are enough


class Flood:
    def __init__(self, port, count, addresses):
        self.port, self.count, self.addresses = port, count, addresses
        self.poll = select.epoll()
        self.sockets = {}  # descriptor -> [socket, kind, connected, bytes heard]
        self.wanting = list(range(count))
        self.opening = 0
        self.connects = self.shed = self.refused = self.held = self.most = 0

    def open(self, number):
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
        connection.bind((self.addresses[number % len(self.addresses)], 0))
        code = connection.connect_ex(("127.0.0.1", self.port))
        if code not in (0, errno.EINPROGRESS):
            connection.close()
            self.refused += 1
            self.wanting.append(number)
            return
        self.opening += 1
        self.sockets[connection.fileno()] = [connection, number, False, 0]
        self.poll.register(connection, select.EPOLLOUT | select.EPOLLRDHUP)

    def close(self, descriptor):
        connection, number, connected, _ = self.sockets.pop(descriptor)
        self.poll.unregister(descriptor)
        connection.close()
        if connected:
            self.held -= 1
            self.shed += 1
        else:
            self.opening -= 1
            self.refused += 1
        self.wanting.append(number)

    def on(self, descriptor, events):
        entry = self.sockets[descriptor]
        connection, number, connected, _ = entry
        if events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            return self.close(descriptor)
        kind = number // len(self.addresses) % len(OPENINGS)  # each address sends each kind
        try:
            if not connected:
                entry[2] = True
                self.opening -= 1
                self.connects += 1
                self.held += 1
                self.most = max(self.most, self.held)
                self.poll.modify(descriptor, select.EPOLLRDHUP | (select.EPOLLIN if kind == 3 else 0))
                connection.send(OPENINGS[kind])
            elif events & select.EPOLLIN:
                entry[3] += len(connection.recv(ANSWER))
                if entry[3] == ANSWER:
                    connection.send(HELLO[1:] + CONNECT[:len(CONNECT) // 2])
                    self.poll.modify(descriptor, select.EPOLLRDHUP)
        except OSError:
            self.close(descriptor)

    def run(self):
        began, full = time.monotonic(), False
        while True:
            while self.wanting and self.opening < OPENING:
                self.open(self.wanting.pop(0))
            for descriptor, events in self.poll.poll(0.05):
                if descriptor in self.sockets:
                    self.on(descriptor, events)
            if not full and self.connects >= self.count:
                full = True
                print("full", flush=True)
            if select.select([sys.stdin], [], [], 0)[0]:
                seconds = time.monotonic() - began
                print(json.dumps({"connects": self.connects, "shed": self.shed, "refused": self.refused, "held": self.held,
                                  "most": self.most, "per_second": round(self.connects / seconds)}), flush=True)
                return


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(10)  # the attacker's own work is on another machine in real life
    Flood(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]).run()
