"""The line about when sources are asked, when that is given up, and what changes of a stream do to its pulling, with short times."""

import contextlib
import itertools
import socket
import statistics
import threading
import time

import door_encoders as encoders
import pull_origins as origins
import pull_reading as reading
import pull_stream
from door_programme import delivered
from pull_stream import CONNECT, GOP, VIEW
from report import Figure, at_most, empty, equal, pressure, unless_starved, wait_until, within
from server import Weir
from socket_table import established

RETRY, GIVE_UP = 1.0, 12.0  # seconds
FIRST = 0.5  # seconds from a stream's making, or an order, to the first try
QUIET = 3.0  # seconds in which nobody may be asked
AT_ONCE = 0.5  # seconds from an order's answer to the last sign of what was before
TRIED = 6.0  # seconds of tries in vain before a source works
WORKED = 3.0  # seconds that it works
SETTLED = 5.0  # seconds until what is delivered is the new source only, far enough for the pictures looked at
LAST = 30  # pictures
OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n'


class Counting:
    """Accepts and closes at once, and notes when. Nobody can pull from it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"rtmp://127.0.0.1:{self.listener.getsockname()[1]}/live/nobody"
        self.times = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            connection.close()

    def after(self, since):
        return [at for at in self.times if at > since]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def pull_timers(short):
    """Two sources that only close: asked in turn, a second apart, given up, and begun afresh; changes of a stream on air, at once and in order."""
    sent = [reading.source(number) for number in range(2)]
    for programme in sent:
        _ = programme.flv
    with Weir("pull_timers", pull_stream.settings(f"{RETRY:g}s", f"{GIVE_UP:g}s", more=OFTEN)) as weir:
        figures = asked_in_turn(weir)
        if not short:
            figures += works_meanwhile(weir, sent[0])
        figures += changed(weir, sent)
    return figures + [pressure()]


def active(weir, stream):
    return weir.stream(stream)["active"]


def asked(dead, since=0.0):
    """(when, which) of all tries since then, in order."""
    return sorted((at, number) for number, one in enumerate(dead) for at in one.after(since))


def asked_in_turn(weir):
    with Counting() as one, Counting() as other:
        dead, began = (one, other), time.monotonic()
        stream = pull_stream.create(weir, one.uri, other.uri)
        wait_until("the end of all tries", GIVE_UP + 10, lambda: not active(weir, stream))
        given_up = time.monotonic() - began
        ended = time.monotonic()
        tries = asked(dead)
        told = pull_stream.told(weir, stream)
        time.sleep(QUIET)  # nobody is asked
        late = asked(dead, ended + AT_ONCE)
        entries = pull_stream.pull_entries(weir, stream)
        again = time.monotonic()
        pull_stream.change(weir, stream, active=True)
        wait_until("three more tries", 3 * RETRY + 5, lambda: len(asked(dead, again)) >= 3)
        fresh, afresh = asked(dead, again), pull_stream.told(weir, stream)
        weir.delete(stream)
    apart = [b - a for (a, _), (b, _) in zip(tries, tries[1:])]
    in_turn = [which for _, which in tries] == [which for which, _ in zip(itertools.cycle((0, 1)), tries)]
    return [
        *map(unless_starved, [
            at_most("first try after the stream was made", tries[0][0] - began, FIRST, "s"),
            within(f"between two of {len(tries)} tries, median", statistics.median(apart), 0.9 * RETRY, 1.15 * RETRY),
            within("between two tries, least", min(apart), 0.8 * RETRY, RETRY),
            at_most("between two tries, most", max(apart), 1.5 * RETRY, "s"),
            at_most("active = true: first try after", fresh[0][0] - again, FIRST, "s"),
        ]),
        equal("both sources asked in turn", in_turn, True),
        within("active = false after", given_up, GIVE_UP - 0.2, GIVE_UP + 1.0),
        Figure("given up: operator's view", str(told.get("state")), "given_up, or no pulling", told.get("state") in (None, "given_up")),
        equal("given up: the journal's last entry of pulling", (entries[-1].get("state") if entries else None), "gave_up"),
        empty("given up: tries afterwards", late),
        equal("active = true: sources asked", [which for _, which in fresh[:3]], [0, 1, 0]),
        within("active = true: gives up in", afresh["gives_up_s"] or 0.0, GIVE_UP - 3 * RETRY - 2, GIVE_UP),
    ]


def works_meanwhile(weir, programme):
    """A source that works for a while between tries in vain: the time begins anew."""
    source = origins.Nginx(programme)
    with Counting() as dead:
        stream = pull_stream.create(weir, dead.uri, source.uri)
        time.sleep(TRIED)  # nobody delivers
        with source:
            began = time.monotonic()
            pull_stream.wait_on(weir, stream, 1, 10)
            on = time.monotonic() - began
            time.sleep(WORKED)  # is pulled
        gone = time.monotonic()
        wait_until("the end of all tries", GIVE_UP + 10, lambda: not active(weir, stream))
        given_up = time.monotonic() - gone
    weir.delete(stream)
    return [
        unless_starved(at_most("a source that comes back is on air after", on, 2 * RETRY + CONNECT + GOP + VIEW, "s")),
        within("a source worked in between: active = false after its end", given_up, GIVE_UP - 0.7, GIVE_UP + 1.0),
    ]


def marks(weir, stream):
    """The sources of the newest pictures that are delivered."""
    time.sleep(SETTLED)  # is delivered
    shown = reading.marked(delivered(weir, stream, 3).shown)
    return sorted({picture.slot for picture in shown[-LAST:]}, key=str)


def changed(weir, sent):
    """A stream that is pulled and on air is changed in every way."""
    figures, on = [], CONNECT + GOP + VIEW
    with contextlib.ExitStack() as running:
        first, second = (running.enter_context(origins.Nginx(programme)) for programme in sent)
        dead = [running.enter_context(Counting()) for _ in range(2)]
        stream = pull_stream.create(weir, first.uri)
        pull_stream.wait_on(weir, stream, 0, 10)
        weir.wait_playable(stream, 30)
        push = encoders.FFMPEG_RTMP
        with push.start(encoders.target(weir, stream, "rtmp"), sent[1]) as refused:
            refused.ended(10)
            figures.append(equal("pulled: a push is refused", refused.refused(), True))

        figures += switched("uri", weir, stream, second, on, uri=second.uri)
        figures.append(equal("uri: connections to the source before it, beside its encoder's", established(first.port) - 1, 0))
        figures.append(equal("uri: source of what is delivered", marks(weir, stream), ["second"]))

        for uri in (dead[0].uri, dead[1].uri):
            pull_stream.change(weir, stream, uri=uri)
        figures += switched("three uris one after the other", weir, stream, first, on, uri=f"{first.uri} {dead[1].uri}")
        answered = time.monotonic()
        figures.append(equal("three uris: source of what is delivered", marks(weir, stream), ["first"]))
        figures.append(empty("three uris: tries of another afterwards", asked(dead, answered)))

        figures += let_go("active = false", weir, stream, first, active=False)
        off = time.monotonic()
        time.sleep(QUIET)  # nobody is asked
        figures.append(empty("active = false: tries afterwards", asked(dead, off)))
        figures += switched("active = true", weir, stream, first, on, active=True)

        figures += let_go("pull = false", weir, stream, first, pull=False)
        with push.start(encoders.target(weir, stream, "rtmp"), sent[1]) as pushing:
            wait_until("media of the push", 15, lambda: pull_stream.session(weir, stream).get("video_units"))
            figures.append(equal("pull = false: a push is let in", pushing.runs(), True))
            figures += switched("pull = true", weir, stream, first, on, pull=True)
            pushing.ended(10)
            figures.append(equal("pull = true: the encoder that pushed is cut off", pushing.refused(), True))
        weir.delete(stream)
    return figures


def switched(what, weir, stream, source, limit, **fields):
    """Figures of a change after which that source, the first of the list, is pulled in a session of its own."""
    before = pull_stream.session(weir, stream).get("id")
    asked_at = time.monotonic()
    pull_stream.change(weir, stream, **fields)

    def on():
        told, session = pull_stream.told(weir, stream), pull_stream.session(weir, stream)
        return told.get("uri") == source.uri and pull_stream.source_on(told) == 0 and session.get("id") not in (None, before)
    wait_until(f"{what}: media of {source.uri}", 15, on, every=0.02)
    return [unless_starved(at_most(f"{what}: its source delivers after", time.monotonic() - asked_at, limit, "s"))]


def let_go(what, weir, stream, source, **fields):
    """Figures of a change after which nothing is pulled."""
    asked_at = time.monotonic()
    pull_stream.change(weir, stream, **fields)
    # The source's own encoder stays.
    wait_until(f"{what}: the end of the pull", 10, lambda: established(source.port) == 1 and not pull_stream.session(weir, stream), every=0.01)
    took = time.monotonic() - asked_at
    return [
        unless_starved(at_most(f"{what}: the source is let go after", took, AT_ONCE, "s")),
        equal(f"{what}: pulling, by the operator's view", pull_stream.told(weir, stream), {}),
    ]
