"""Lines about WHIP: publishers who vanish half-way, a network that loses packets, a browser that is killed."""

import contextlib
import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import door_encoders as encoders
import impairment
import whip_http
from door_programme import programme
from failover_faults import media_text
from frozen import SECOND_AFTER, Tries, events, session
from hostile import GROWTH_GOAL, SPARE_DESCRIPTORS, Usage, descriptors
from report import Failed, Figure, at_most, equal, pressure, unless_starved, wait_until, within
from server import Weir
from srt_loss import missing_pictures, recorder

OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n'
ABORTS, SHORT_ABORTS = 100, 20  # half of them bad offers, half good ones that nobody connects to
STREAMS = 10
LOSS, RTT_MS, LOSSY_SECONDS = 5, 40, 25
FRAMES_GOAL = 1.0  # per cent
STALL, LINGER = 3.0, 12.0  # longer than a silent session is kept
SEED = 5


def whip(short):
    """WHIP: connects and aborts, 5 % of the media lost, a killed browser."""
    encoders.venv_python()
    sent = programme()
    _ = sent.flv, sent.camera, sent.microphone
    figures = []
    for part in (aborted,) if short else (aborted, lossy, killed):
        try:
            figures += part(short, sent)
        except Failed as why:
            figures.append(Figure(f"{part.__name__}: ran to its end", str(why), "yes", False))
    return figures + [pressure()]


def broken_offers(draw, count):
    """Offers that are cut, that lack what they must have, that say too much, or that are none."""
    lines = whip_http.OFFER.split("\r\n")
    for number in range(count):
        kind = number % 5
        if kind == 0:
            yield whip_http.OFFER[:draw.randrange(1, len(whip_http.OFFER))]
        elif kind == 1:
            without = draw.randrange(len(lines))
            yield "\r\n".join(line for at, line in enumerate(lines) if at != without)
        elif kind == 2:
            yield "\r\n".join(draw.sample(lines, len(lines)))
        elif kind == 3:
            yield "".join(chr(draw.randrange(1, 128)) for _ in range(500))
        else:
            yield whip_http.OFFER.replace("H264", "VP8").replace("42e01f", "640c34") + "a=candidate:" * 200


def aborted(short, _):
    """Half of the tries are no offers, the other half are good ones behind which nobody is; none says good-bye."""
    count = SHORT_ABORTS if short else ABORTS
    draw = random.Random(SEED)
    with Weir("whip", OFTEN, doors=("whip",)) as weir:
        streams = [weir.create_stream("360p") for _ in range(STREAMS)]
        urls = [encoders.target(weir, stream, "whip").url for stream in streams]
        # What the first connections of all need, e.g. threads, is no leak.
        let_go(abandon(urls))
        gone(weir, streams)
        pid = weir.process.pid
        usage = Usage(pid)
        base, base_descriptors = usage.rss, usage.descriptors
        usage.start()
        bad = [whip_http.post(urls[number % STREAMS], offer) for number, offer in enumerate(broken_offers(draw, count // 2))]
        let_go(bad)  # some that were changed are good ones
        gone(weir, streams)
        statuses = {"bad": [answer.status for answer in bad], "good": []}
        rounds = -(-(count // 2) // STREAMS)
        for turn in range(rounds):
            began = time.monotonic()
            statuses["good"] += [answer.status for answer in abandon(urls)]
            if turn + 1 < rounds:
                time.sleep(max(0.0, began + STALL + 0.2 - time.monotonic()))  # until the slots may be taken again
        gone(weir, streams)
        with contextlib.suppress(Failed):
            wait_until("return of all descriptors", 40, lambda: descriptors(pid) <= base_descriptors + SPARE_DESCRIPTORS, every=0.2)
        left = descriptors(pid) - base_descriptors
        usage.finish()
        weir.alive()
        answered = whip_http.post(urls[0], whip_http.OFFER).status
    return [
        Figure("bad offers answered", told(statuses["bad"]), "4xx, never 5xx", all(status < 500 for status in statuses["bad"]) and any(status >= 400 for status in statuses["bad"])),
        Figure("good offers answered, nobody behind them", told(statuses["good"]), "201 each", set(statuses["good"]) == {201}),
        at_most("aborts: memory over base, at most", usage.rss - base, GROWTH_GOAL, "MB", 1),
        at_most("aborts: descriptors over base, at the end", left, SPARE_DESCRIPTORS, "", 0),
        Figure("aborts: descriptors over base, at most", str(usage.descriptors - base_descriptors)),
        equal("a publisher after them is answered", answered, 201),
    ]


def abandon(urls):
    """Posts a good offer to each, all at once, behind which nobody is; the answers."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(lambda url: whip_http.post(url, whip_http.OFFER), urls))


def let_go(answers):
    """Says good-bye for those that were let in."""
    for answer in answers:
        if answer.status == 201:
            whip_http.request("DELETE", answer.resource)


def gone(weir, streams):
    wait_until("end of all sessions", 60, lambda: not any(session(weir, stream) for stream in streams), every=0.2)


def told(statuses):
    return ", ".join(f"{statuses.count(status)} of {status}" for status in sorted(set(statuses)))


@contextlib.contextmanager
def lossy_push(weir, stream, sent):
    """An aiortc whose media goes through a network that loses packets: (its process's events, the proxy)."""
    to = encoders.target(weir, stream, "whip")
    with encoders.Push(encoders.AIORTC, [[*encoders.aiortc(to, sent)[0], "--through"]], stdin=subprocess.PIPE) as push:
        port = wait_until("an answer to the offer", 15, lambda: next((event["port"] for event in events(push) if event["event"] == "media"), None))
        with impairment.Impairment(port, LOSS, RTT_MS) as proxy:
            push.wire.stdin.write(f"{proxy.port}\n".encode())
            push.wire.stdin.flush()
            yield push, proxy


def lossy(short, sent):
    """5 % of the media packets lost both ways."""
    with Weir("whip", OFTEN, doors=("whip",)) as weir:
        stream = weir.create_stream("360p")
        with lossy_push(weir, stream, sent) as (push, proxy):
            weir.wait_playable(stream, 30)

            def counts():
                given = [event["frames"] for event in events(push) if event["event"] == "sent"]
                return given[-1] if given else 0, session(weir, stream)["video_units"]
            recording, path = recorder(weir, stream, "whip-lossy")
            began = time.monotonic()
            first = counts()
            time.sleep(LOSSY_SECONDS)  # is measured
            given, taken = (b - a for a, b in zip(first, counts()))
            seconds = time.monotonic() - began
            recording.finish()
            detail = session(weir, stream)
            ways = proxy.finish()
    missing = 100 * (1 - taken / max(1, given))
    return [
        *impairment.lost_figures("under WHIP", ways, LOSS),
        Figure("5 % loss: frames given to the encoder, taken by the server", f"{given}, {taken} in {seconds:.0f} s"),
        # Both are counted once a second at most, so a second's frames may be under way at either end.
        Figure("5 % loss: frames missing", f"{missing:.2f} %", f"≤ {FRAMES_GOAL:g} %", given > 15 * LOSSY_SECONDS and missing <= FRAMES_GOAL + 100 * 30 / max(1, given)),
        unless_starved(missing_pictures("lossy WHIP", path)),
        Figure("5 % loss: statistics", json.dumps(detail.get("transport"))),
    ]


def killed(short, sent):
    """A browser that is killed: its slot, and its stream without a backup."""
    settings = f'{OFTEN}[failover]\nlinger = "{LINGER:g}s"\n'
    with Weir("whip", settings, doors=("whip",)) as weir:
        stream, held = weir.create_stream("360p"), weir.create_stream("360p")
        pushes = [encoders.CHROMIUM.start(encoders.target(weir, one, "whip"), sent) for one in (stream, held)]
        try:
            for one in (stream, held):
                weir.wait_playable(one, 40)
            before = session(weir, stream)["id"]
            stopped = [push.send(signal.SIGKILL) for push in pushes][0]
            tries = Tries(encoders.AIORTC, encoders.target(weir, stream, "whip"), sent)
            try:
                time.sleep(SECOND_AFTER)  # is what the rule is about

                def taken():
                    tries.go_on()
                    return session(weir, stream).get("id") not in (before, None)
                wait_until("admission after the kill", 12, taken, every=0.02)
                admitted = time.monotonic() - stopped
            finally:
                tries.end()
            state, manifest = weir.detail(held)["state"], weir.http.get(held["hls_cmaf_url"])[0]
            repeated = weir.detail(held)["pipeline"]["repeated"]
            time.sleep(0.5)  # of holding
            more = (weir.detail(held)["pipeline"] or {}).get("repeated", 0) - repeated
            wait_until("ENDLIST", LINGER + 15, lambda: "#EXT-X-ENDLIST" in media_text(weir, held))
            ended = time.monotonic() - stopped
        finally:
            for push in pushes:
                push.__exit__()
    return [
        within("killed browser: another publisher admitted after", admitted, STALL - 0.2, STALL + 2.5),
        equal("killed browser, nobody else: state, manifest", (state, manifest), ("holding", 200)),
        Figure("killed browser, nobody else: frames of the held picture in half a second", str(more), "> 0", more > 0),
        within("killed browser, nobody else: ENDLIST after", ended, LINGER - 1, LINGER + STALL + 5),
    ]
