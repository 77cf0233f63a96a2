"""The line about webhooks: what a receiver is told of a broadcast and when, and that nothing is lost to dead receivers and a dead server."""

import statistics
import threading
import time

import hls
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Encoder, Weir, free_ports
from sources import Source
from webhook_receiver import Receiver

SEGMENT_GOAL = 2.0  # seconds from live = true to the first whole segment downloaded
ROUNDS, SHORT_ROUNDS = 8, 2
KILLS, SHORT_KILLS = 4, 1  # of the server, while nobody receives
STREAMS, SHORT_STREAMS = 3, 2
RECOVERED = 90.0  # seconds for all that was missed to arrive
CONFIG = '[webhooks]\nallow = ["127.0.0.0/8"]\n[failover]\nlinger = "1s"\n[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n'
LIVE, PLAYABLE, OVER = (True, False, False), (True, False, True), (False, False, False)


def webhooks(short):
    """Webhooks: live first, a segment soon after, playable when it says so; all of it through dead receivers and kill -9; replay."""
    source = Source("webhooks", 640, 360, "30", 30, kbps=800).make()
    with Weir("webhooks", CONFIG) as weir:
        def ask(stream):
            return weir.http.get(f"{weir.base}/cmaf/1_{stream}/master.m3u8")[0]

        with Receiver(free_ports(1)[0], ask) as receiver:
            made = weir.api("POST", "/ops/webhooks", {"url": receiver.url})
            receiver.secrets.append(made["secret"])
            figures = timing(weir, receiver, source, SHORT_ROUNDS if short else ROUNDS)
            figures += dead(weir, receiver, source, made["id"], short)
            figures += replayed(weir, receiver, made["id"])
            figures += every_message(weir, receiver)
    return figures + [pressure()]


def timing(weir, receiver, source, rounds):
    """Broadcasts one after the other: their stages, and how soon after `live` there is something to play."""
    waits, stages, manifests = [], [], []
    for _ in range(rounds):
        stream = weir.create_stream("360p")
        segment = FirstSegment(weir, stream)
        with Encoder.copy(source, stream["push_url"]):
            segment.start()
            wait_until("transcoding = true", 20, lambda: weir.alive() and any(one.flags == PLAYABLE for one in receiver.heard(stream)))
            at = segment.finish()
        wait_until("the end", 20, lambda: receiver.taken(stream)[-1].flags == OVER)
        told = receiver.taken(stream)
        waits.append(at - told[0].at)
        stages.append([one.flags for one in told])
        manifests += [one.manifest for one in told if one.manifest is not None]
    return [
        at_most(f"first whole segment after live = true, worst of {rounds}", max(waits), SEGMENT_GOAL, "s"),
        Figure("the same, median", f"{statistics.median(waits):.2f} s"),
        empty("broadcasts whose stages are not live, playable, stopped, over", [told for told in stages if told[:2] != [LIVE, PLAYABLE] or told[-1] != OVER]),
        equal("answers of the master playlist to transcoding = true", sorted(set(manifests)), [200]),
    ]


class FirstSegment(threading.Thread):
    """Downloads a stream's first whole segment as soon as it is listed."""

    def __init__(self, weir, stream):
        super().__init__(daemon=True)
        self.weir, self.stream = weir, stream
        self.at = None
        self.fault = "no segment"

    def run(self):
        try:
            url = self.stream["hls_cmaf_url"]
            wait_until("master playlist", 20, lambda: self.weir.http.get(url)[0] == 200, every=0.01)
            presentation = hls.Presentation(self.weir.http, url)
            video = presentation.variants[0].url
            presentation.bytes(wait_until("first segment", 10, lambda: presentation.media(video).segments, every=0.01)[0][0])
            self.at = time.monotonic()
        except Failed as why:
            self.fault = str(why)

    def finish(self):
        self.join()
        if self.at is None:
            raise Failed(f"first segment: {self.fault}")
        return self.at


def dead(weir, receiver, source, webhook, short):
    """The receiver refuses, then is gone; the server is killed with broadcasts running; then the receiver is there again."""
    streams = [weir.create_stream("360p") for _ in range(SHORT_STREAMS if short else STREAMS)]
    receiver.refused_by = 500
    for kill in range(SHORT_KILLS if short else KILLS):
        encoders = [Encoder.copy(source, stream["push_url"]) for stream in streams]
        try:
            for stream in streams:
                weir.wait_playable(stream)
            # Four of each stream from each kill before, and two of this one.
            kept = len(streams) * (4 * kill + 2)
            wait_until("messages that are kept", 20, lambda: weir.alive() and waiting(weir, webhook) == kept)
            if kill == 0:
                wait_until("a refusal in the log", 20, lambda: any(one["status"] == 500 for one in log(weir, webhook)))
                receiver.down()
            weir.kill_and_restart()
        finally:
            for encoder in encoders:
                encoder.end()
    lost = wait_until("a dead receiver in the log", 30, lambda: [one for one in log(weir, webhook) if one["status"] is None])
    receiver.refused_by = None
    receiver.up()
    began = time.monotonic()
    wait_until("all that was missed", RECOVERED, lambda: weir.alive() and waiting(weir, webhook) == 0, every=0.2)
    caught_up = time.monotonic() - began
    told = [[one.flags for one in receiver.taken(stream)] for stream in streams]
    # Each broadcast that a kill ended was live, playable, and is told to be over.
    kills = SHORT_KILLS if short else KILLS
    wanted = [LIVE, PLAYABLE, LIVE, OVER] * kills
    return [
        equal(f"messages of {len(streams)} streams through {kills} kill -9, of each", told, [wanted] * len(streams)),
        Figure("an error of the log meanwhile", lost[0]["error"]),
        at_most("all that was missed had arrived after", caught_up, RECOVERED, "s", 1),
    ]


def waiting(weir, webhook):
    return weir.api("GET", f"/ops/webhooks/{webhook}")["backlog"]


def log(weir, webhook):
    return weir.api("GET", f"/ops/webhooks/{webhook}/deliveries?limit=500")["items"]


def replayed(weir, receiver, webhook):
    """A new secret, and everything since the middle once more."""
    rotated = weir.api("POST", f"/ops/webhooks/{webhook}/rotate_secret", {})
    receiver.secrets.append(rotated["secret"])
    events = sorted({one.told["event_id"] for one in receiver.heard()})
    after, known = events[len(events) // 2], {one.id: one.body for one in receiver.heard()}
    before = len(receiver.heard())
    count = weir.api("POST", f"/ops/webhooks/{webhook}/replay", {"after": after})["messages"]
    wait_until("a replay", 30, lambda: weir.alive() and len(receiver.heard()) >= before + count)
    again = receiver.heard()[before:]
    by_stream = {}
    for one in again:
        by_stream.setdefault(one.stream["id"], []).append(one.told["event_id"])
    return [
        equal("events of the replay", sorted(one.told["event_id"] for one in again), [event for event in events if event > after]),
        empty("streams that are not replayed in order", [stream for stream, ids in by_stream.items() if ids != sorted(ids)]),
        empty("messages that are not what they were", [one.id for one in again if known.get(one.id) != one.body]),
    ]


def every_message(weir, receiver):
    """What has to hold of all that was ever heard."""
    heard = receiver.heard()
    streams = {one.stream["id"] for one in heard}
    holes = []
    for stream in streams:
        sequences = [one.told["sequence"] for one in receiver.taken({"id": stream})]
        if sequences != list(range(1, len(sequences) + 1)):
            holes.append(f"stream {stream}: {sequences}")
    tokens = {stream["token"] for stream in weir.api("GET", "/streaming/streams")}
    bodies = {}
    for one in heard:
        bodies.setdefault(one.id, set()).add(one.body)
    return [
        Figure("requests and messages in all", f"{len(heard)} and {len(bodies)}"),
        empty("requests whose signature is wrong", [one.fault for one in heard if one.fault]),
        empty("streams with a hole or out of order", holes),
        empty("ids with more than one body", [name for name, texts in bodies.items() if len(texts) != 1]),
        empty("bodies with a push token", [one.id for one in heard if any(token in one.body for token in tokens)]),
    ]
