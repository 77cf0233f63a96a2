"""Lines about the doors: real encoders push through each, and what comes out is what they sent."""

from concurrent.futures import ThreadPoolExecutor

import door_encoders as encoders
from door_programme import delivered, programme
from report import Failed, Figure, pressure
from server import Weir

PASSPHRASE = "correct-horse-battery"
SEGMENTS = 7
AT_ONCE = 2  # each with a transcoder beside it, on two cores
LEAST_NEW = 0.9  # of the pictures of a browser, whose rate of frames gives way to a busy machine
RISING = 2.5  # seconds in which a browser's rate of pictures rises from nothing
SHORT_LEAST_NEW = 0.95  # of an encoder's, where other tests may take the processor meanwhile

# (client, bytes of the key of an encrypted stream)
PUSHES = [
    (encoders.FFMPEG_RTMP, None),
    (encoders.RTMP2SINK, None),
    (encoders.LIBRTMP, None),
    (encoders.FFMPEG_RTMPS, None),
    (encoders.RTMP2SINK_TLS, None),
    (encoders.FFMPEG_SRT, None),
    (encoders.FFMPEG_SRT_ACCESS, None),
    (encoders.FFMPEG_SRT, 16),
    (encoders.FFMPEG_SRT, 32),
    (encoders.FFMPEG_SRT_HEVC, None),
    (encoders.TRANSMIT, None),
    (encoders.TRANSMIT, 24),
    (encoders.TRANSMIT_HEVC, None),
    (encoders.CHROMIUM, None),
    (encoders.AIORTC, None),
]
SHORT_PUSHES = [
    (encoders.RTMP2SINK_TLS, None),
    (encoders.FFMPEG_SRT, 32),
    (encoders.FFMPEG_SRT_HEVC, None),
    (encoders.AIORTC, None),
]
SOURCE_TYPES = {"rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt", "whip": "webrtc"}


def doors(short):
    """Real encoders through every door: what is delivered is the picture and the sound that each of them sent."""
    pushes = [push for push in (SHORT_PUSHES if short else PUSHES) if push[0].door in encoders.DOORS]
    sent = programme()
    for form in ("flv", "ts", "hevc_ts", "camera", "microphone"):
        getattr(sent, form)  # made now, not beside a running stream
    encoders.venv_python()
    with Weir("doors", doors=encoders.OPEN) as weir, ThreadPoolExecutor(AT_ONCE) as pool:
        figures = list(pool.map(lambda push: pushed(weir, sent, *push, short), pushes))
    return figures + [pressure()]


def pushed(weir, sent, client, key_bits, short):
    """What came out of one push."""
    what = client.name + (f", AES-{8 * key_bits}" if key_bits else "")
    push = None
    try:
        stream = weir.create_stream("360p", srt_passphrase=PASSPHRASE if key_bits else None)
        to = encoders.target(weir, stream, client.door, passphrase=PASSPHRASE if key_bits else None, key_bytes=key_bits or 16)
        with client.start(to, sent) as push:
            weir.wait_playable(stream, 30)
            seen = delivered(weir, stream, SEGMENTS, exact=client.exact, settled=0.0 if client.exact else RISING)
            told, detail = weir.stream(stream), weir.detail(stream)
            faults = seen.faults(sent.source, least_new(client, short))
            if told["stream_source_type"] != SOURCE_TYPES[client.door]:
                faults.append(f"stream_source_type {told['stream_source_type']}")
            session = detail["slots"][0]["session"]
            if not session or session["protocol"] != client.door:
                faults.append(f"session by {session and session['protocol']}")
            if not push.runs():
                faults.append(f"the encoder has ended: {push.words()[-200:]}")
        weir.delete(stream)
    except Failed as why:
        return Figure(what, f"{why}; {push.words()[-200:] if push and not push.log.closed else ''}", "pictures and sound as sent", False)
    return Figure(what, seen.told() + "".join(f"; {fault}" for fault in faults[:3]), "pictures and sound as sent", not faults)


def least_new(client, short):
    if not client.exact:
        return LEAST_NEW
    return SHORT_LEAST_NEW if short else None
