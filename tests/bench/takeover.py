"""What a viewer sees when an encoder is killed or freezes and another one takes over the same key a second later."""

import signal
import time

import picture
from publisher import Publisher
from report import wait_until
from servers import PEERS, FfmpegLadder, WeirServer
from viewer import PART, SEGMENT, Viewer

BEFORE = 4.4  # seconds of the first encoder, off the segments' grid
LATER = 1.0  # seconds from its end to the second encoder's first try
RETRY = 0.1  # seconds between its tries
WATCH = 10  # seconds after which a server is given up
AFTER = 2  # segments of the second encoder to see
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}
KEY = "t"
SERVERS = [WeirServer, *(peer for peer in PEERS if peer is not FfmpegLadder)]


def prepare():
    for publisher in "AB":
        picture.source(publisher)


def measure(kind):
    return {how: take_over(kind, number) for how, number in SIGNALS.items()}


def take_over(kind, number):
    kinds = (PART,) if kind is WeirServer else (SEGMENT,)
    wanted = AFTER * 4 if kind is WeirServer else AFTER
    with kind() as server:
        push, play = server.publish_url(KEY), server.play_url(KEY)
        with (Publisher(push, picture.source("A"), "--wait") as first,
              Publisher(push, picture.source("B"), "--wait", "--retry", RETRY) as second):
            first.first("loaded")
            second.first("loaded")
            with Viewer(play, kinds) as viewer:
                first.begin()
                began = first.first("frame")["at"]
                time.sleep(max(0.0, began + BEFORE - time.monotonic()))  # the encoder streams that long
                first.signal(number)
                ended = time.monotonic()
                time.sleep(max(0.0, ended + LATER - time.monotonic()))  # and this long there is none
                second.begin()
                await_second(viewer, second, wanted, ended + WATCH)
                stopped = time.monotonic()
        viewer.read_numbers()
        return seen(viewer, first.sent(), second, ended, stopped)


def await_second(viewer, second, wanted, limit):
    """Waits until the viewer has that many items more than when the second encoder was let in, or for the limit."""
    allowed = []

    def followed():
        if not allowed and second.of("frame"):
            allowed.append(len(viewer.items) + wanted)
        return allowed and len(viewer.items) >= allowed[0] or time.monotonic() > limit
    wait_until("end of watching", WATCH + 30, followed)


def seen(viewer, sent_first, second, ended, stopped):
    sent = dict(sent_first) | {number | picture.PUBLISHER_BIT: at for number, at in second.sent().items()}
    new_item = [item.got for item in viewer.items]
    new_source, shown, newest = [], set(), 0.0
    for item in viewer.items:
        numbers = [number for number in item.numbers if number in sent]
        shown.update(numbers)
        latest = max((sent[number] for number in numbers), default=0.0)
        if latest > newest:
            newest = latest
            new_source.append(item.got)
    back = any(number & picture.PUBLISHER_BIT for number in shown)
    captured = sorted(sent[number] for number in shown)
    accepted, tried = second.of("accepted"), second.of("try")
    after = [poll for poll in viewer.polls if poll.at > ended]
    ends = [poll.end for poll in viewer.polls if poll.status == 200]
    return {
        "accepted_after": accepted[0]["at"] - ended if accepted else None,
        "tries": len(tried),
        "no_new_media": longest_gap(new_item, ended - 2, stopped),
        "no_new_source": longest_gap(new_source, ended - 2, stopped) if back else None,
        "media_gap": longest_gap(captured, ended - 2) if back else None,
        "recovered": back,
        "reset": any(b < a for a, b in zip(ends, ends[1:])),
        "reused": viewer.reused,
        "not_200": sum(b.at - a.at for a, b in zip(after, after[1:]) if a.status != 200),
        "ended": any(poll.ended for poll in viewer.polls),
        "watched": stopped - ended,
    }


def longest_gap(times, since, until=None):
    """The longest time between two events after `since`; what is open at `until` counts too."""
    kept = [at for at in times if at > since] + ([until] if until else [])
    return max((b - a for a, b in zip(kept, kept[1:])), default=None)
