"""Lines about SRT under pressure: a network that loses packets, another stream that is not read, strangers with spoofed addresses."""

import contextlib
import dataclasses
import os
import signal
import threading
import time

import door_encoders as encoders
import hls
import impairment
import srt_wire
from control import PART_GAP_LIMIT
from door_programme import Programme, programme
from failover_reading import pictures
from failover_sources import Encoded
from hostile import GROWTH_GOAL, SPARE_DESCRIPTORS, Usage, descriptors, rss_mb
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Weir

LOSS, RTT_MS, LATENCY_MS = 5, 100, 400
SECONDS = 30
MISSING_GOAL = 0.1  # per cent of the packets
PICTURES_GOAL = 1.0  # per cent of the pictures, beside the second of them that a missing packet can spoil
HELD = 4.0  # seconds that the other stream's worker is stopped at a time
DATAGRAMS, SHORT_DATAGRAMS, SPREAD, SHORT_SPREAD = 60000, 6000, 12.0, 2.0
OFTEN = '[limits]\nconnect_every = "100ms"\nconnect_burst = 1000\n[failover]\nlinger = "1s"\n'
PASSPHRASE = "correct-horse-battery"


def heavy():
    """About 7.7 Mbit/s as a transport stream."""
    return Programme(Encoded("srt-heavy", False, 1280, 720, 30, 1, 48000, 60, kbps=7200))


def srt_loss(short):
    """5 % of the packets lost both ways at a round trip of 100 ms, beside a stream whose worker hangs: what is missing."""
    sent, light = heavy(), programme(90)
    _ = sent.ts, light.ts
    figures = impairment.measured(LOSS, RTT_MS)
    with Weir("srt_loss", OFTEN, doors=("srt",)) as weir, contextlib.ExitStack() as running:
        lossy, blocked, calm = (weir.create_stream("360p") for _ in range(3))
        proxy = running.enter_context(impairment.Impairment(weir.srt_port, LOSS, RTT_MS))
        to = encoders.target(weir, lossy, "srt")
        through = dataclasses.replace(to, url=to.url.replace(f":{weir.srt_port}", f":{proxy.port}"), latency_ms=LATENCY_MS)
        for stream in (blocked, calm):
            running.enter_context(encoders.FFMPEG_SRT.start(encoders.target(weir, stream, "srt"), light))
        running.enter_context(encoders.FFMPEG_SRT.start(through, sent))
        for stream in (lossy, blocked, calm):
            weir.wait_playable(stream, 40)
        recorders = {name: recorder(weir, stream, name) for name, stream in (("lossy", lossy), ("calm", calm))}
        running.callback(lambda: [one.ending.set() for one, _ in recorders.values()])
        began = time.monotonic()
        holds = 0
        while time.monotonic() < began + SECONDS:
            worker = weir.worker(blocked)
            os.kill(worker, signal.SIGSTOP)  # so nobody takes what that stream sends
            holds += 1
            time.sleep(HELD)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
            time.sleep(HELD / 2)  # it catches up, or is replaced
        after = transport(weir, lossy)
        session = weir.detail(lossy)["slots"][0]["session"]
        kept = [(weir.detail(stream)["slots"][0]["session"] or {}).get("id") is not None for stream in (lossy, calm)]
        for one, _ in recorders.values():
            one.finish()
        ways = proxy.finish()
    figures += impairment.lost_figures("under the stream", ways, LOSS)
    # Since the handshake, as the recording goes back to the first picture: the network loses from the first packet on.
    counted = {name: value for name, value in after.items() if name.startswith("packets_") and value is not None}
    received, gone = counted["packets_received"], counted["packets_dropped"]
    figures += [
        Figure("statistics of the operator's view", ", ".join(f"{name} {value}" for name, value in counted.items())),
        Figure("rtt, latency by the operator's view", f"{after.get('rtt_ms')} ms, {after.get('latency_ms')} ms"),
        equal("bitrate was that of a studio's link, packets in 30 s", received > 15000, True),
        Figure("packets missing", f"{100 * gone / max(1, received):.3f} %", f"≤ {MISSING_GOAL} %", received > 0 and 100 * gone / received <= MISSING_GOAL),
        equal("packets were lost and sent again", counted["packets_retransmitted"] > 0, True),
        equal("sessions of the lossy and of the third stream kept", kept, [True, True]),
        Figure("the other stream's worker was stopped", f"{holds} times, {HELD:g} s each"),
        Figure("units dropped for it", str(session["dropped_units"]), "0", session["dropped_units"] == 0),
    ]
    for name, (_, path) in recorders.items():
        figures.append(missing_pictures(name, path, spoiled=gone * sent.source.fps if name == "lossy" else 0))
    return figures + [pressure()]


def transport(weir, stream):
    """The statistics of the primary's connection."""
    session = weir.detail(stream)["slots"][0]["session"]
    if not session or not session.get("transport"):
        raise Failed("the operator's view has no statistics of the connection")
    return session["transport"]


def recorder(weir, stream, name):
    presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
    path = weir.dir / f"{name}.mp4"
    recording = hls.Recorder(presentation, {presentation.variants[0].url: path})
    recording.start()
    return recording, path


def missing_pictures(name, path, spoiled=0):
    """`spoiled` pictures more may be missing."""
    numbers = [picture.number for picture in pictures(path) if picture.number is not None][30:]
    forward = [b - a for a, b in zip(numbers, numbers[1:]) if b > a]
    lost = sum(step - 1 for step in forward)
    share = 100 * lost / max(1, sum(forward))
    return Figure(f"pictures missing, {name} stream", f"{share:.2f} %, {lost} of {sum(forward)}", f"≤ {PICTURES_GOAL:g} %" + (f" and {spoiled}" if spoiled else ""),
                  bool(forward) and 100 * (lost - spoiled) / sum(forward) <= PICTURES_GOAL)


def srt_hostile(short):
    """Handshakes that brought other SRT listeners down, and thousands of datagrams from spoofed addresses, beside streams on air."""
    light = programme()
    _ = light.ts
    count, spread = (SHORT_DATAGRAMS, SHORT_SPREAD) if short else (DATAGRAMS, SPREAD)
    with Weir("srt_hostile", OFTEN, doors=("srt",)) as weir, contextlib.ExitStack() as running:
        plain, secret = weir.create_stream("360p"), weir.create_stream("360p", srt_passphrase=PASSPHRASE)
        targets = encoders.target(weir, plain, "srt"), encoders.target(weir, secret, "srt", passphrase=PASSPHRASE)
        for to in targets:
            running.enter_context(encoders.FFMPEG_SRT.start(to, light))
        for stream in (plain, secret):
            weir.wait_playable(stream, 30)
        watches = []
        for stream in (plain, secret):
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            watches.append(hls.PartWatch(presentation, presentation.variants[0].url))
            watches[-1].start()
        running.callback(lambda: [watch.ending.set() for watch in watches])
        sessions = [weir.detail(stream)["slots"][0]["session"]["id"] for stream in (plain, secret)]
        guest, guest_secret = weir.create_stream("360p"), weir.create_stream("360p", srt_passphrase=PASSPHRASE)
        pid = weir.process.pid
        usage = Usage(pid)
        base, base_descriptors = usage.rss, usage.descriptors
        usage.start()
        harmed, answered = nasty(weir, [guest, guest_secret])
        after_handshakes = rss_mb(pid)
        sent = srt_wire.spoofed(weir.srt_port, count, spread)
        # Whoever was let in by a handshake and sends nothing is closed in the end.
        wait_until("return of all descriptors", 25, lambda: descriptors(pid) <= base_descriptors + SPARE_DESCRIPTORS, every=0.2)
        usage.finish()
        weir.alive()
        kept = [(weir.detail(stream)["slots"][0]["session"] or {}).get("id") for stream in (plain, secret)] == sessions
        with encoders.LIBSRT.start(encoders.target(weir, guest, "srt"), light) as caller:
            wait_until("a caller let in after all", 5, lambda: "connected" in caller.words() or not caller.runs())
            let_in = "connected" in caller.words()
        longest = [watch.finish() for watch in watches]
    return [
        empty(f"handshakes, of {2 * len(srt_wire.NASTY)}, after which the listener did not answer", harmed),
        Figure("of them answered", str(answered)),
        equal("datagrams from as many addresses", sent, count),
        at_most("memory over base, at most", usage.rss - base, GROWTH_GOAL, "MB", 1),
        Figure("memory over base after the handshakes, after the datagrams", f"{after_handshakes - base:.1f}, {rss_mb(pid) - base:.1f} MB"),
        equal("streams on air keep their sessions", kept, True),
        at_most("streams on air: longest wait for a new part", max(longest), PART_GAP_LIMIT, "s"),
        equal("a caller is let in after all", let_in, True),
        pressure(),
    ]


def nasty(weir, streams):
    """Says every handshake to each stream; what the listener did not survive, and how many were answered."""
    harmed, answered, lock = [], 0, threading.Lock()

    def one(number, name, build, stream):
        nonlocal answered
        to = encoders.target(weir, stream, "srt")
        try:
            answer = srt_wire.say(weir.srt_port, build, to.stream_id, source=f"127.2.{number // 200}.{1 + number % 200}")
        except OSError as why:
            with lock:
                harmed.append(f"{name}: {why}")
            return
        with lock:
            answered += answer is not None
    number = 0
    for stream in streams:
        for name, build in srt_wire.NASTY.items():
            one(number, name, build, stream)
            number += 1
            weir.alive()
    return harmed, answered
