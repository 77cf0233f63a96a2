"""The bad network of `impair.c` between a UDP client and the server, and the measurement that it is as bad as it says."""

import dataclasses
import select
import socket
import statistics
import struct
import subprocess
import threading
import time

import compiled
from report import Failed, Figure, within

PROBES, PACE, SIZE = 4000, 0.001, 200  # datagrams of the measurement, seconds between them, bytes

ENOUGH = 1500  # datagrams of which the share that is lost is near the chance


@dataclasses.dataclass(frozen=True)
class Way:
    """Datagrams of one direction."""

    taken: int
    lost: int
    full: int

    @property
    def loss(self):
        return 100 * self.lost / max(1, self.taken)


class Impairment:
    """Listens on `port` of loopback and hands on to the target's; `loss` per cent and half of `rtt_ms` each way."""

    def __init__(self, port, loss, rtt_ms, seed=1):
        self.loss, self.rtt_ms = loss, rtt_ms
        self.process = subprocess.Popen(
            [compiled.program("impair.c"), "127.0.0.1", str(port), str(round(10 * loss)), str(rtt_ms // 2), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def finish(self):
        """What each direction lost: from the client to the server, and back."""
        if self.process.poll() is not None:
            raise Failed("the impairment proxy has ended")
        counts = list(map(int, self.process.communicate(timeout=5)[0].split()))
        return Way(*counts[:3]), Way(*counts[3:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def lost_figures(what, ways, loss):
    """What a proxy says it lost, beside what it was told to lose."""
    figures = []
    for way, counts in zip(("to the server", "back"), ways):
        figure = within(f"{what}: lost {way}", counts.loss, 0.7 * loss, 1.3 * loss, "%")
        # Of a few hundred datagrams chance takes more or less.
        figures.append(figure if counts.taken > ENOUGH else Figure(figure.what, figure.measured))
    return figures + [Figure(f"{what}: datagrams to the server, back", f"{ways[0].taken}, {ways[1].taken}"),
                      Figure(f"{what}: dropped by the proxy for lack of room", str(ways[0].full + ways[1].full), "0", ways[0].full + ways[1].full == 0)]


def measured(loss, rtt_ms):
    """Figures of datagrams sent through a proxy to an echo: an own count of what comes back, and when."""
    echo = socket.socket(type=socket.SOCK_DGRAM)
    echo.bind(("127.0.0.1", 0))
    arrived, rtts = 0, []

    def answer():
        nonlocal arrived
        while True:
            data, peer = echo.recvfrom(2048)
            if data == b"end":
                return
            arrived += 1
            echo.sendto(data, peer)
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with Impairment(echo.getsockname()[1], loss, rtt_ms, seed=3) as proxy, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", proxy.port))
        for number in range(PROBES):
            client.send(struct.pack("=d", time.monotonic()) + bytes(SIZE))
            while select.select([client], [], [], PACE)[0]:
                rtts.append(time.monotonic() - struct.unpack_from("=d", client.recv(2048))[0])
        end = time.monotonic() + 2 * rtt_ms / 1000
        while select.select([client], [], [], max(0, end - time.monotonic()))[0]:
            rtts.append(time.monotonic() - struct.unpack_from("=d", client.recv(2048))[0])
        ways = proxy.finish()
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"end", echo.getsockname())
    thread.join(2)
    echo.close()
    back = 100 * (1 - len(rtts) / max(1, arrived))
    return [
        within("proxy, measured: lost on the way there", 100 * (1 - arrived / PROBES), 0.7 * loss, 1.3 * loss, "%"),
        within("proxy, measured: lost on the way back", back, 0.7 * loss, 1.3 * loss, "%"),
        *lost_figures("proxy, by itself", ways, loss),
        within("proxy, measured: round trip, median", 1000 * statistics.median(rtts), rtt_ms, rtt_ms + 10, "ms", 1),
    ]
