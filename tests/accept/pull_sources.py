"""The line about pulling from real origins: what comes out is what each of them handed out."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import hls
import pull_origins as origins
import pull_stream
from door_programme import Programme, Seen, delivered, programme
from doors import AT_ONCE, PASSPHRASE, SEGMENTS, SHORT_LEAST_NEW
from failover import tested
from failover_sources import Encoded
from pull_reading import SETTLED
from report import Failed, Figure, pressure
from server import Weir

SECONDS = 60  # of the programme, so that none of it comes again in what is judged
PLAYABLE = 30.0  # seconds
BEFORE, AFTER = 6.0, 18.0  # seconds of an HLS encoder, and of the one after it, which is seen some seconds late


@dataclass(frozen=True)
class Pull:
    """An origin and what the API says of a stream that is pulled from it."""

    name: str
    origin: object  # Programme -> an origin
    protocol: str  # of the session
    source_type: str  # of the stream


def smaller():
    """What the lower variant of an HLS origin shows; told as `backup` when that is delivered."""
    return Programme(Encoded("pull-small", True, 320, 180, 30, 1, 48000, SECONDS, kbps=300, audio_kbps=64))


NGINX = Pull("nginx-rtmp", origins.Nginx, "rtmp", "rtmp")
SRT = Pull("ffmpeg, SRT", origins.Srt, "srt", "srt")
SRT_AES = Pull("ffmpeg, SRT, AES-256", lambda sent: origins.Srt(sent, PASSPHRASE, 32), "srt", "srt")
TRANSMIT = Pull("srt-live-transmit", origins.Transmit, "srt", "srt")
HLS_TS = Pull("ffmpeg, HLS, MPEG-TS", lambda sent: origins.Hls(sent, smaller(), "mpegts"), "hls", "https")
HLS_FMP4 = Pull("ffmpeg, HLS, fMP4", lambda sent: origins.Hls(sent, smaller(), "fmp4"), "hls", "https")
HTTP = Pull("MPEG-TS over HTTP", origins.HttpTs, "http", "https")
HTTP_FFMPEG = Pull("ffmpeg, HTTP, chunked", origins.FfmpegHttp, "http", "https")
RTSP = Pull("GStreamer, RTSP", origins.Rtsp, "rtsp", "rtsp")
PULLS = [NGINX, SRT, SRT_AES, TRANSMIT, HLS_TS, HLS_FMP4, HTTP, HTTP_FFMPEG, RTSP]
SHORT_PULLS = [NGINX, SRT_AES, HLS_FMP4, RTSP]


def pull_checker(short):
    """Every origin played by ffmpeg, and what judges pulling: each fault made on purpose."""
    return [tested("tests of the pull lines' origins and checks", "test_pull")]


def pull_sources(short):
    """Real origins pulled by every protocol: what is delivered is the picture and the sound that each of them handed out."""
    sent = programme(SECONDS)
    _ = sent.flv, sent.ts, smaller().flv  # made now, not beside a running stream
    with Weir("pull_sources", pull_stream.settings()) as weir, ThreadPoolExecutor(AT_ONCE) as pool:
        figures = list(pool.map(lambda pull: pulled(weir, sent, pull, short), SHORT_PULLS if short else PULLS))
        if not short:
            figures.append(broken_off(weir, sent))
    return figures + [pressure()]


def pulled(weir, sent, pull, short):
    """What came out of one origin."""
    told = {}
    try:
        with pull.origin(sent) as origin:
            stream = pull_stream.create(weir, origin.uri)
            try:
                weir.wait_playable(stream, PLAYABLE)
                seen = delivered(weir, stream, SEGMENTS, settled=SETTLED)
            finally:
                told = pull_stream.told(weir, stream)
            faults = seen.faults(sent.source, SHORT_LEAST_NEW if short else None)
            faults += faults_of_view(weir, stream, pull, told)
            weir.delete(stream)
    except Failed as why:
        return Figure(pull.name, f"{why}; {told.get('state')}: {told.get('last_error')}", "pictures and sound as handed out", False)
    return Figure(pull.name, seen.told() + "".join(f"; {fault}" for fault in faults[:3]), "pictures and sound as handed out", not faults)


def faults_of_view(weir, stream, pull, told):
    """Where the API says something else than what happens."""
    view, detail = weir.stream(stream), weir.detail(stream)
    session = detail["slots"][0]["session"] or {}
    expected = {"stream_source_type": pull.source_type, "live": True, "protocol": pull.protocol, "state": "on", "source": 0, "sources": 1}
    seen = {**{field: view[field] for field in ("stream_source_type", "live")}, "protocol": session.get("protocol"),
            **{field: told.get(field) for field in ("state", "source", "sources")}}
    faults = [f"{field} {seen[field]}" for field in expected if seen[field] != expected[field]]
    if PASSPHRASE in json.dumps(detail):
        faults.append("the operator's view shows the passphrase")
    return faults


def broken_off(weir, sent):
    """What came out of an HLS origin whose encoder died, once another one went on behind a discontinuity."""
    what, goal = "ffmpeg, HLS, MPEG-TS, its encoder started again behind a discontinuity", "pictures and sound as handed out, in one session"
    try:
        with HLS_TS.origin(sent) as origin:
            stream = pull_stream.create(weir, origin.uri)
            weir.wait_playable(stream, PLAYABLE)
            presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
            paths = [weir.dir / "again-video.mp4", weir.dir / "again-audio.mp4"]
            recorder = hls.Recorder(presentation, dict(zip((presentation.variants[0].url, presentation.audio), paths)))
            recorder.start()
            time.sleep(BEFORE)  # is recorded
            before = pull_stream.session(weir, stream).get("id")
            origin.encoder_again()
            time.sleep(AFTER)  # is recorded
            recorder.finish()
            after = pull_stream.session(weir, stream).get("id")
            weir.delete(stream)
        seen = begun_anew(Seen.read(*paths, settled=SETTLED))
    except Failed as why:
        return Figure(what, str(why), goal, False)
    faults = seen.faults(sent.source) + ([f"session {after} after {before}"] if after != before else [])
    return Figure(what, seen.told() + "".join(f"; {fault}" for fault in faults[:3]), goal, not faults)


def begun_anew(seen):
    """What was delivered from the last time on that the programme began anew."""
    backward = [b.at for a, b in zip(seen.shown, seen.shown[1:]) if None not in (a.number, b.number) and b.number < a.number]
    if not backward:
        raise Failed("the programme of the second encoder is not in what was delivered")
    begin = backward[-1]
    return Seen([picture for picture in seen.shown if picture.at >= begin], [beep for beep in seen.beeps if beep >= begin],
                [flash for flash in seen.flashes if flash >= begin], [hole for hole in seen.silences if hole[0] >= begin], settled=seen.settled)
