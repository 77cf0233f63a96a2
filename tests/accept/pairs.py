"""Lines about failing over between encoders on other doors than RTMP: the primary killed, the backup on air, and back."""

import contextlib
import signal
import time

import door_encoders as encoders
import hls
from continuity import ManifestWatch
from door_programme import programme
from failover_reading import pictures, switches
from failover_rig import Watch, hold_setting
from report import Failed, Figure, at_most, equal, pressure, wait_until, within
from server import Http, Weir

HOLD = 6.0  # seconds, shortened
LOST_GOAL = 3.2  # seconds from the kill to backup on air
RETURN_LATE = 1.5  # seconds; an encoder's start is counted by the server, 4 times a second
STEADY, AWAY, AFTER = 8.0, 6.0, 5.0  # seconds of both, without the primary, after the return
PROGRAMME_SECONDS = 60
PAIRS = {
    "RTMP and RTMPS": (encoders.FFMPEG_RTMP, encoders.FFMPEG_RTMPS),
    "RTMPS and RTMP": (encoders.RTMP2SINK_TLS, encoders.RTMP2SINK),
    "SRT and SRT": (encoders.FFMPEG_SRT, encoders.TRANSMIT),
    "SRT, HEVC and H.264": (encoders.FFMPEG_SRT_HEVC, encoders.FFMPEG_SRT),
}
SLOTS = ("primary", "backup")


def pairs(short):
    """The primary killed and started again, on pairs of RTMP with RTMPS and of SRT: on air, manifests, pictures."""
    sent = {"primary": programme(PROGRAMME_SECONDS), "backup": programme(PROGRAMME_SECONDS, backup=True)}
    for one in sent.values():
        _ = one.flv, one.ts
    _ = sent["primary"].hevc_ts
    figures = []
    for name, clients in PAIRS.items():
        if len(encoders.built(clients)) < len(clients):
            continue
        try:
            figures += killed_and_back(name, clients, sent)
        except Failed as why:
            figures.append(Figure(f"{name}: ran to its end", str(why), "yes", False))
    return figures + [pressure()]


def killed_and_back(name, clients, sent):
    with Weir("pairs", hold_setting(HOLD), doors=("rtmps", "srt")) as weir, contextlib.ExitStack() as running:
        stream = weir.create_stream("360p")
        to = [encoders.target(weir, stream, client.door, slot) for client, slot in zip(clients, SLOTS)]
        watch = Watch(weir, stream)
        watch.start()
        running.callback(watch.ending.set)
        first = running.enter_context(clients[0].start(to[0], sent["primary"]))
        watch.wait("on_air", "primary", 15)
        running.enter_context(clients[1].start(to[1], sent["backup"]))
        weir.wait_playable(stream, 30)
        wait_until("both live", 20, lambda: weir.stream(stream)["live"] and weir.stream(stream)["backup_live"])
        presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
        recording = weir.dir / "video.mp4"
        recorder = hls.Recorder(presentation, {presentation.variants[0].url: recording})
        manifests = ManifestWatch(Http(), stream)
        recorder.start()
        manifests.start()
        running.callback(recorder.ending.set)
        running.callback(manifests.ending.set)
        time.sleep(STEADY)  # is recorded

        killed = first.send(signal.SIGKILL)
        lost = watch.wait("on_air", "backup", 10, killed) - killed
        time.sleep(max(0.0, killed + AWAY - time.monotonic()))
        running.enter_context(clients[0].start(to[0], sent["primary"]))
        wait_until("pictures of the primary", 15, lambda: (weir.detail(stream)["slots"][0]["session"] or {}).get("video_units"), every=0.02)
        back = time.monotonic()
        returned = watch.wait("on_air", "primary", HOLD + 10, back) - back
        time.sleep(AFTER)  # is recorded
        recorder.finish()
        polled = manifests.finish()
        watch.finish()
        weir.alive()
        shown = pictures(recording)
        slots = [picture.slot for picture in shown if picture.slot]
        order = slots[:1] + [shown[index].slot for index in switches(shown)]
    polled.what = f"{name}: {polled.what}"
    return [
        polled,
        at_most(f"{name}: backup on air after the primary was killed", lost, LOST_GOAL, "s"),
        within(f"{name}: primary on air again after its first picture", returned, HOLD - 0.3, HOLD + RETURN_LATE),
        equal(f"{name}: on air, each change", ", ".join(map(str, watch.values("on_air", killed))), "backup, primary"),
        equal(f"{name}: slots in the recording, in order", ", ".join(order), "primary, backup, primary"),
    ]
