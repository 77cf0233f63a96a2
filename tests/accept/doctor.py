"""Line about the ingest doctor: each fault of an encoder has its code and no other, what is clean has none, and a preflight puts nothing on air.

Each encoder makes the fault itself, by the option that people get wrong, and is looked at in a preflight, which costs no worker.
"""

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import door_encoders as encoders
import impairment
from report import Failed, Figure, empty, equal, wait_until
from server import API_KEY, Encoder, Weir

SETTINGS = "[limits]\nconnect_every = \"100ms\"\nconnect_burst = 1000\n"
AT_ONCE = 3  # encoders beside each other, so that two cores keep up with all
WINDOW = 45  # seconds of a preflight
LOOKED_AT = 24  # seconds that a clean encoder is looked at; every fault here is raised before
RAISED_WITHIN = 30
LOSS, RTT_MS = 5, 800  # per cent, and a round trip in which nothing lost comes again in time


@dataclasses.dataclass(frozen=True)
class Case:
    """An encoder's settings: 854x480 at 30 fps, H.264 without B-frames, a keyframe every 2 s, 1200 kbit/s, AAC; and what is wrong with them."""

    name: str
    expected: tuple = ()
    rate: int = 30
    picture: str = "null"  # filters of the picture and of the sound
    sound: str = "anull"
    preset: str = "ultrafast"
    video: tuple = ("-bf", 0)
    gop: tuple = ("-g", 60, "-keyint_min", 60)
    kbps: int = 1200
    audio: tuple = ("-c:a", "aac", "-b:a", "128k")

    def command(self, door, to):
        sources = ["-re", "-f", "lavfi", "-i", f"testsrc2=size=854x480:rate={self.rate}",
                   "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
        # The format first: a resampler behind a filter of timestamps would put them right again.
        filters = ["-vf", f"format=yuv420p,{self.picture}", "-af", f"aformat=sample_fmts=fltp:channel_layouts=stereo,{self.sound}"]
        if "-an" in self.audio:
            filters = filters[:2]
        rate = f"{self.kbps}k"
        # Filler keeps the bit rate where it is said to be, however little there is to see.
        video = ["-fps_mode", "passthrough", "-c:v", "libx264", "-preset", self.preset, "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate,
                 "-x264-params", "nal-hrd=cbr:scenecut=0", *self.video, *self.gop]
        return [*sources, *filters, *video, *self.audio, *output(door, to)]


def output(door, to):
    if door != "srt":
        return ["-f", "flv", to.url]
    host, port = to.address
    return ["-f", "mpegts", f"srt://{host}:{port}?pkt_size=1316&streamid={to.stream_id}"]


CLEAN = Case("clean")
FAULTS = [
    Case("-g 150", ("gop_long",), gop=("-g", 150, "-keyint_min", 150)),
    Case("keyframes at 20, 60, 120 …", ("gop_uneven",), gop=("-g", 600, "-force_key_frames", "expr:eq(mod(n,60),0)+eq(mod(n,120),20)")),
    Case("-bf 2", ("b_frames",), preset="veryfast", video=("-bf", 2, "-b_strategy", 0)),
    Case("programmes joined 5 s apart", ("pts_jump",), picture="setpts='PTS+gte(N,240)*5/TB'", sound="asetpts='PTS+gte(T,8)*5/TB'"),
    Case("asetpts=PTS*1.02", ("av_drift",), sound="asetpts=PTS*1.02"),
    Case("-b:v 4000k", ("bitrate_high",), kbps=4000),
    Case("-b:v 200k", ("bitrate_low",), kbps=200),
    Case("rate=120", ("fps_high",), rate=120, gop=("-g", 240, "-keyint_min", 240), kbps=1800),
    Case("-an", ("audio_missing",), audio=("-an",)),
    Case("setsar=4/3", ("pixels_not_square",), picture="setsar=4/3"),
]
SHORT = ("-g 150", "-bf 2", "-an", "setsar=4/3", "asetpts=PTS*1.02")


def path(stream):
    return f"/ops/streams/{stream['id']}/preflight"


def codes(findings):
    return tuple(sorted(finding["code"] for finding in findings))


def looked_at(weir, case, door):
    """The report of a preflight of this encoder, once it has all that is expected, or after a while where nothing is."""
    stream = weir.create_stream("360p")
    weir.api("POST", path(stream), {"seconds": WINDOW})
    push = Encoder(case.command(door, encoders.target(weir, stream, door)))
    try:
        began = time.monotonic()

        def done():
            if push.process.poll() is not None:
                raise Failed(f"{case.name} by {door}: the encoder ended: {push.end()[-300:]}")
            report = weir.api("GET", path(stream))
            waited = time.monotonic() - began
            return report if waited > LOOKED_AT and (set(case.expected) <= set(codes(report["findings"])) or waited > RAISED_WITHIN) else None
        report = wait_until(f"end of {case.name} by {door}", WINDOW, done, every=0.5)
        if weir.stream(stream)["live"] or weir.detail(stream)["pipeline"]:
            raise Failed(f"{case.name} by {door}: a preflight went on air")
    finally:
        push.end()
        weir.delete(stream)
    return report


def judge(case, door, report):
    """What is wrong with the doctor's answer."""
    faults = []
    found = codes(report["findings"])
    if found != tuple(sorted(case.expected)):
        told = "; ".join(finding["text"] for finding in report["findings"])
        faults.append(f"{case.name} by {door}: {found or 'nothing'} in place of {case.expected or 'nothing'} ({told}), {report['session']['measured']}")
    if any(not all(finding["fix"].values()) for finding in report["findings"]):
        faults.append(f"{case.name} by {door}: a finding without its cure")
    if (report["verdict"] == "pass") != (not case.expected):
        faults.append(f"{case.name} by {door}: the verdict is {report['verdict']}")
    return faults


def nothing_on_air(weir, stream):
    """A preflight to its end: nobody sees it, the encoder is told, and the next connect goes on air."""
    faults = []
    opened = weir.api("POST", path(stream), {"seconds": 8})
    if opened["state"] != "waiting":
        faults.append(f"opened as {opened['state']}")
    push = Encoder(CLEAN.command("rtmp", encoders.target(weir, stream, "rtmp")))
    wait_until("pictures in the preflight", 8, lambda: (weir.api("GET", path(stream))["session"] or {}).get("video_units"))
    while push.process.poll() is None and weir.api("GET", path(stream))["state"] != "done":
        detail = weir.detail(stream)
        if weir.stream(stream)["live"] or detail["pipeline"] or weir.http.get(stream["hls_cmaf_url"])[0] != 404:
            faults.append("something of the preflight could be seen")
            break
        time.sleep(0.5)
    report = wait_until("end of the preflight", 10, lambda: (seen := weir.api("GET", path(stream)))["closed"] and seen, every=0.2)
    if "preflight is over" not in report["closed"]:
        faults.append(f"closed because {report['closed']}")
    wait_until("end of the encoder", 10, lambda: push.process.poll() is not None)
    push.end()
    return faults


def on_air(weir, stream):
    """What is on air has its findings too, an unlike backup is told in its preflight, and the health is kept."""
    faults, figures = [], []
    primary = Encoder(dataclasses.replace(CLEAN, gop=("-g", 150, "-keyint_min", 150)).command("rtmp", encoders.target(weir, stream, "rtmp")))
    try:
        weir.wait_playable(stream, 30)
        slots = lambda: {slot["slot"]: slot for slot in weir.detail(stream)["slots"]}
        wait_until("gop_long on air", RAISED_WITHIN, lambda: codes(slots()["primary"]["doctor"]) == ("gop_long",), every=0.5)
        refused, answer, _ = weir.http.request("POST", weir.base + path(stream), "{}", {"Authorization": f"APIKey {API_KEY}"})
        if refused != 409:
            faults.append(f"a preflight of a slot on air answered {refused}: {answer[:100]!r}")
        pid, frames = weir.worker(stream), weir.detail(stream)["pipeline"]["frames"]
        weir.api("POST", path(stream), {"seconds": WINDOW, "slot": "backup"})
        unlike = dataclasses.replace(CLEAN, rate=25, picture="scale=640:360,setsar=1", gop=("-g", 50, "-keyint_min", 50))
        backup = Encoder(unlike.command("rtmp", encoders.target(weir, stream, "rtmp", "backup")))
        try:
            wait_until("slots_differ", RAISED_WITHIN, lambda: "slots_differ" in codes(weir.api("GET", path(stream))["findings"]), every=0.5)
        finally:
            backup.end()
            weir.api("DELETE", path(stream))
        after = weir.detail(stream)
        if after["pipeline"]["pid"] != pid or after["pipeline"]["frames"] <= frames or after["on_air"] != "primary":
            faults.append(f"the output noticed the backup's preflight: {after['pipeline']}")
        status, jpeg, headers = weir.http.get(stream["screenshot"])
        if status != 200 or headers["Content-Type"] != "image/jpeg" or not jpeg.startswith(b"\xff\xd8\xff"):
            faults.append(f"the screenshot answered {status} with {len(jpeg)} bytes")
        journal = [entry for entry in after["journal"] if entry["event"] == "doctor"]
        if not any(entry["code"] == "gop_long" and entry["state"] == "raised" for entry in journal):
            faults.append("the journal does not know of gop_long")
        query = f"/streaming/statistics/ffprobe?stream_id={stream['id']}&date_from=2020-01-01&date_to=2100-01-01"
        rows = wait_until("rows of health", 30, lambda: (found := weir.api("GET", query)["data"]) and len(found) > 1 and found, every=0.5)
        row = rows[-1]
        figures.append(Figure("a row of health", str(row), "480 px, about 30 fps and 1330 kbit/s, 150 frames between keyframes",
                              row["max_height"] == 480 and abs(row["max_fps"] - 30) < 1 and 1000 < row["avg_bitrate"] < 1700
                              and row["max_keyframe_interval"] == 150))
    finally:
        primary.end()
    return faults, figures


def lossy(weir, stream):
    """A clean encoder behind a network that loses packets for good."""
    with impairment.Impairment(weir.srt_port, LOSS, RTT_MS) as proxy:
        to = encoders.target(weir, stream, "srt")
        through = dataclasses.replace(to, url=to.url.replace(f":{weir.srt_port}", f":{proxy.port}"))
        weir.api("POST", path(stream), {"seconds": WINDOW})
        push = Encoder(CLEAN.command("srt", through))
        try:
            wait_until("packets_lost", RAISED_WITHIN, lambda: "packets_lost" in codes(weir.api("GET", path(stream))["findings"]), every=0.5)
        finally:
            push.end()
            weir.api("DELETE", path(stream))
    transport = weir.api("GET", path(stream))["session"]["transport"]
    return [] if transport["packets_dropped"] else [f"no packet was dropped: {transport}"]


def doctor(short):
    """Each fault of a real encoder raises its code and no other, clean ones raise none; a preflight puts nothing on air."""
    cases = [(case, "rtmp") for case in FAULTS if not short or case.name in SHORT]
    by_srt = ("-g 150", "-bf 2") if short else [case.name for case in FAULTS]
    cases += [(case, "srt") for case in FAULTS if case.name in by_srt]
    cases += [(CLEAN, "rtmp"), (CLEAN, "srt")]
    with Weir("doctor", SETTINGS, doors=("srt",)) as weir, contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        reports = list(pool.map(lambda one: judge(*one, looked_at(weir, *one)), cases))
        clean = [fault for (case, _), faults in zip(cases, reports) if not case.expected for fault in faults]
        faulty = [fault for (case, _), faults in zip(cases, reports) if case.expected for fault in faults]
        stream = weir.create_stream("360p")
        preflight = nothing_on_air(weir, stream)
        aired, figures = on_air(weir, stream)
        lost = lossy(weir, weir.create_stream("360p"))
    return [
        equal("codes of faults tried", len({code for case, _ in cases for code in case.expected}), 5 if short else 10),
        empty(f"{len(cases) - 2} encoders with a fault: codes missing or too many", faulty),
        empty("2 clean encoders: codes raised", clean),
        empty("preflight: anything on air, or no end", preflight),
        empty("behind a network that loses packets: packets_lost not raised", lost),
        empty("on air, and an unlike backup beside it", aired),
        *figures,
    ]
