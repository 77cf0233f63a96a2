"""From TCP connect to NetStream.Publish.Start: what an encoder waits before it may send."""

import time

import rtmp_push
from report import Failed
from servers import PEERS, TunedNginx, WeirServer

TRIES = 20  # a round
REST = 0.15  # seconds between tries: what the last one set going does not belong to the next
# All tries come from one address within seconds.
MANY = "[limits]\nconnect_burst = 1000\n"
SERVERS = [WeirServer, *(peer for peer in PEERS if peer is not TunedNginx)]


def prepare():
    pass


def measure(kind):
    took = []
    with kind(MANY) if kind is WeirServer else kind() as server:
        urls = [server.publish_url(f"c{number}") for number in range(TRIES)]
        for url in urls:
            server.await_ready()
            began = time.monotonic()
            try:
                connection = rtmp_push.Connection(url)
                connection.publish()
            except (rtmp_push.Refused, OSError) as why:
                raise Failed(f"{server.name} refused try {len(took) + 1}: {why}") from why
            took.append(1000 * (time.monotonic() - began))
            connection.close()
            time.sleep(REST)
    return {"connect_ms": took}
