"""How soon a viewer gets what an encoder sends: the start, and the steady state."""

import statistics

import picture
from publisher import Publisher
from report import Failed
from servers import PEERS, TunedNginx, WeirServer
from viewer import PART, SEGMENT, Viewer

STARTS = 3  # streams a round; the last one goes on for the delay
STEADY_SEGMENTS, SKIPPED = 8, 2  # the first ones belong to the start
SERVERS = [WeirServer, *(peer for peer in PEERS if peer is not TunedNginx)]


def prepare():
    picture.source("A")


def measure(kind):
    """Seconds from the first keyframe sent to the first part and first whole segment downloaded, for each start; and from
    a part's or segment's last frame sent to its download."""
    figures = {"first_part": [], "first_segment": []}
    kinds = (PART, SEGMENT) if kind is WeirServer else (SEGMENT,)
    with kind() as server:
        for start in range(STARTS):
            key = f"flow{start}"
            play, push = server.play_url(key), server.publish_url(key)
            with Publisher(push, picture.source("A"), "--wait") as publisher:
                publisher.first("loaded")
                server.await_ready()
                with Viewer(play, kinds) as viewer:
                    publisher.begin()
                    sent = publisher.first("frame")["at"]
                    if PART in kinds:
                        figures["first_part"].append(viewer.wait_for(PART)[0].got - sent)
                    first = viewer.wait_for(SEGMENT)[0]
                    figures["first_segment"].append(first.got - sent)
                    if start == STARTS - 1:
                        viewer.wait_for(SEGMENT, STEADY_SEGMENTS, 30)
    viewer.read_numbers()
    sent = publisher.sent()
    for what in kinds:
        figures[f"{what}_delay"] = delays(viewer, what, sent)
    return figures


def delays(viewer, what, sent):
    """Median over the segments or parts of the steady state."""
    found = [item for item in viewer.items if item.kind == what]
    taken = []
    for item in found[SKIPPED * len(found) // STEADY_SEGMENTS:]:
        read = [number for number in item.numbers if number is not None]
        if read:
            taken.append(item.got - sent[max(read)])
    if not taken:
        raise Failed(f"no number could be read in {len(found)} {what}s")
    return statistics.median(taken)
