"""Lines about what is delivered: formats, and how soon."""

import statistics
import threading
import time
from fractions import Fraction

import hls
import probe
import rtmp_push
from report import Failed, Figure, at_most, empty, equal, pressure, wait_until
from server import Encoder, Weir
from sources import Source

AAC_FRAME = Fraction(1024, 48000)
FIRST_PART_GOAL, FIRST_SEGMENT_GOAL = 0.7, 2.0  # seconds
WARM_STARTS = 5

# Source and the rungs that the default set makes of it.
FORMATS = [
    (Source("24", 854, 480, "24", 14, sample_rate=48000), [(832, 468), (640, 360)]),
    (Source("25-44k1", 854, 480, "25", 14, sample_rate=44100), [(832, 468), (640, 360)]),
    (Source("2997-mono", 854, 480, "30000/1001", 14, channels=1), [(832, 468), (640, 360)]),
    (Source("30-landscape", 1280, 720, "30", 14), [(1280, 720), (832, 468), (640, 360)]),
    (Source("30-portrait", 720, 1280, "30", 14), [(720, 1280), (468, 832), (360, 640)]),
    (Source("50", 854, 480, "50", 14), [(832, 468), (640, 360)]),
    (Source("25-b-frames-mono-44k1", 854, 480, "25", 14, sample_rate=44100, channels=1, b_frames=2), [(832, 468), (640, 360)]),
    (Source("30-no-audio", 854, 480, "30", 14, sample_rate=None), [(832, 468), (640, 360)]),
]
SHORT_FORMATS = ("2997-mono", "30-portrait", "30-no-audio")


def formats(short):
    """What ffprobe says of every rendition, for the sources that encoders really send."""
    figures = []
    with Weir("formats") as weir:
        for source, rungs in FORMATS:
            if not short or source.name in SHORT_FORMATS:
                figures.append(empty(f"faults, source {describe(source)}", format_faults(weir, source, rungs)))
    return figures


def describe(source):
    audio = f"{source.sample_rate} Hz, {source.channels} ch" if source.sample_rate else "no audio"
    return f"{source.width}x{source.height} at {source.rate}, {audio}" + (", B-frames" if source.b_frames else "")


def format_faults(weir, source, rungs):
    stream = weir.create_stream()
    with Encoder.copy(source.make(), stream["push_url"]):
        weir.wait_playable(stream)
        told = weir.stream(stream)
        presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
        paths = presentation.save(weir.dir / source.name, segments=4, limit=20)
    weir.delete(stream)
    *videos, audio = [probe.track(path) for path in paths]

    faults = []
    if [(v.width, v.height) for v in videos] != rungs:
        faults.append(f"rungs {[(v.width, v.height) for v in videos]}, expected {rungs}")
    if (audio.sample_rate, audio.channels) != (48000, 2):
        faults.append(f"audio {audio.sample_rate} Hz, {audio.channels} channels")
    frame = 1 / Fraction(source.rate)
    for name, track, spacing in [*((f"{v.height} rung", v, frame) for v in videos), ("audio", audio, AAC_FRAME)]:
        faults += [f"{name}: {fault}" for fault in (track.faults_of_order() + track.faults_of_spacing(spacing))[:2]]
    keys = [video.key_times for video in videos]
    if any(other != keys[0] for other in keys):
        faults.append("keyframes of the rungs differ")
    if len(keys[0]) < 4:
        faults.append(f"{len(keys[0])} keyframes in 4 segments")
    fps = float(Fraction(source.rate))
    if (told["video_width"], told["video_height"]) != (source.width, source.height):
        faults.append(f"API says {told['video_width']}x{told['video_height']}")
    if told["frame_rate"] is None or abs(float(told["frame_rate"]) - fps) > 0.01:
        faults.append(f"API says {told['frame_rate']} fps")
    return faults


def startup(short):
    """From the first keyframe sent to the first part and the first whole segment downloaded."""
    flv = rtmp_push.Flv.load(Source("startup", 1280, 720, "30", 8, kbps=2500).make())
    with Weir("startup") as weir:
        cold = start_once(weir, flv)
        warm = [start_once(weir, flv) for _ in range(1 if short else WARM_STARTS)]
    parts, segments = zip(*warm)
    return [
        at_most(f"first part, median of {len(warm)} warm starts", statistics.median(parts), FIRST_PART_GOAL, "s"),
        at_most(f"first whole segment, median of {len(warm)} warm starts", statistics.median(segments), FIRST_SEGMENT_GOAL, "s"),
        Figure("all warm starts, part / segment", ", ".join(f"{p:.2f} / {s:.2f}" for p, s in warm) + " s"),
        Figure("cold start, part / segment", f"{cold[0]:.2f} / {cold[1]:.2f} s"),
        pressure(),
    ]


class Publisher(threading.Thread):
    """Publishes an FLV in the background and notes when its first keyframe left."""

    def __init__(self, url, flv):
        super().__init__(daemon=True)
        self.url, self.flv = url, flv
        self.ending = threading.Event()
        self.keyframe_sent = None
        self.fault = None

    def run(self):
        try:
            connection = rtmp_push.Connection(self.url)
            connection.publish()
            rtmp_push.send_headers(connection, self.flv)
            rtmp_push.send_media(connection, self.flv, 8, encode=self.encode, ending=self.ending)
            connection.close()
        except (rtmp_push.Refused, OSError) as fault:
            self.fault = str(fault)

    def encode(self, connection, timestamp, kind, body):
        if self.keyframe_sent is None and rtmp_push.is_keyframe(kind, body):
            self.keyframe_sent = time.monotonic()
        return rtmp_push.plain(connection, timestamp, kind, body)

    def finish(self):
        self.ending.set()
        self.join()
        if self.fault:
            raise Failed(f"publisher: {self.fault}")


def start_once(weir, flv):
    """Seconds from the first keyframe to the first part and to the first whole segment, of the largest rung."""
    stream = weir.create_stream()
    publisher = Publisher(stream["push_url"], flv)
    publisher.start()
    try:
        wait_until("master playlist", 10, lambda: weir.http.get(stream["hls_cmaf_url"])[0] == 200, every=0.01)
        presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
        video = presentation.variants[0].url
        first = wait_until("first part", 5, lambda: presentation.media(video).parts, every=0.01)[0]
        presentation.bytes(first)
        part_at = time.monotonic()
        whole = wait_until("first whole segment", 8, lambda: presentation.media(video).segments, every=0.01)[0][0]
        presentation.bytes(whole)
        segment_at = time.monotonic()
    finally:
        publisher.finish()
    weir.delete(stream)
    return part_at - publisher.keyframe_sent, segment_at - publisher.keyframe_sent
