#!/usr/bin/env python3
"""Records what real encoders send to a running Weir, and cuts it into first inputs for the fuzz targets.

    record.py FOLDER     writes FOLDER/<target>/<encoder>-<number>

Then `scripts/fuzz.py --merge` keeps what adds coverage, once FOLDER's files are copied into the target directory's `fuzz/found`.
Needs a release build, ffmpeg and GStreamer.
"""

import pathlib
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "accept"))
from rtmp_push import AUDIO, COMMAND, COMMAND_AMF3, DATA, DATA_AMF3, EXTENDED, VIDEO  # noqa: E402
from server import Weir  # noqa: E402

HANDSHAKE = 3073
LONGEST = 8000  # bytes of one input
PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10"]
SOUND = ["-f", "lavfi", "-i", "sine=sample_rate=48000"]
CD_SOUND = ["-f", "lavfi", "-i", "sine=sample_rate=44100"]
SHORT = ["-t", "0.6"]


def x264(*more):
    return [*SHORT, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", *more]


FFMPEG = {
    "plain": PICTURE + SOUND + x264("-c:a", "aac", "-b:a", "32k"),
    "b-frames": PICTURE + CD_SOUND + x264("-bf", "2", "-preset", "medium", "-c:a", "aac", "-b:a", "32k", "-ac", "2"),
    "high-444": PICTURE + x264("-pix_fmt", "yuv444p", "-x264-params", "cqm=jvt"),
    "interlaced": PICTURE + x264("-flags", "+ilme+ildct", "-x264-params", "tff=1", "-preset", "medium"),
    "anamorphic": PICTURE + x264("-vf", "setsar=64/45", "-pix_fmt", "yuv420p"),
    "late": PICTURE + SOUND + x264("-output_ts_offset", "16777", "-c:a", "aac", "-b:a", "32k"),
    "he-rate": PICTURE + SOUND + x264("-c:a", "aac", "-ar", "22050", "-b:a", "16k"),
    "sound-only": SOUND + [*SHORT, "-c:a", "aac", "-b:a", "32k"],
    "mp3": PICTURE + CD_SOUND + x264("-c:a", "libmp3lame"),
    "sorenson": PICTURE + [*SHORT, "-c:v", "flv"],
    "hevc": PICTURE + [*SHORT, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"],
}
GSTREAMER = (
    "flvmux name=mux streamable=true ! rtmp2sink location={url} videotestsrc num-buffers=6 ! video/x-raw,width=64,height=48,"
    "framerate=10/1 ! x264enc speed-preset=ultrafast quantizer=40 ! mux. audiotestsrc num-buffers=20 samplesperbuffer=1024 ! avenc_aac ! mux.")


def record(server, encoder):
    """The bytes that an encoder sends when it pushes to `server`, by way of a relay that keeps them."""
    stream = server.create_stream()
    sent = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = stream["push_url"].replace(f":{server.rtmp_port}/", f":{listener.getsockname()[1]}/")
        process = subprocess.Popen(encoder(url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", server.rtmp_port))
    answers = threading.Thread(target=relay, args=(far, near))
    answers.start()
    relay(near, far, sent)
    process.wait(20)
    answers.join(20)
    server.delete(stream)
    return bytes(sent)


def relay(source, target, kept=None):
    try:
        while data := source.recv(65536):
            if kept is not None:
                kept += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        target.close()


def messages(wire):
    """(time, kind, body) of each message, as far as these encoders use the chunk layer."""
    size, streams, at = 128, {}, 0
    while at < len(wire):
        form, stream = wire[at] >> 6, wire[at] & 63
        at += 1
        state = streams.setdefault(stream, {"time": 0, "delta": 0, "length": 0, "kind": 0, "extended": False, "body": b""})
        field = None
        if form < 3:
            field = int.from_bytes(wire[at:at + 3], "big")
            state["extended"] = field == EXTENDED
            at += 3
        if form < 2:
            state["length"], state["kind"] = int.from_bytes(wire[at:at + 3], "big"), wire[at + 3]
            at += 4
        at += 4 if form < 1 else 0
        if state["extended"]:
            field = field and struct.unpack_from(">I", wire, at)[0]
            at += 4
        if not state["body"]:
            if form == 0:
                state["time"], state["delta"] = field, 0
            elif form < 3:
                state["delta"] = field
            state["time"] += state["delta"]
        piece = wire[at:at + min(size, state["length"] - len(state["body"]))]
        at += len(piece)
        state["body"] += piece
        if len(state["body"]) == state["length"]:
            if state["kind"] == 1:
                size = struct.unpack(">I", state["body"])[0]
            yield state["time"], state["kind"], state["body"]
            state["body"] = b""


def inputs(wire):
    """(target, input) pairs: each target's head of choices, then real bytes."""
    yield "rtmp_handshake", b"\x00\x05" + wire[:HANDSHAKE - 1]
    yield "rtmp_publish", b"\x00\x03\x05" + wire[HANDSHAKE:][:LONGEST]
    yield "rtmp_chunks", b"\x00\x01\x05" + wire[HANDSHAKE:][:LONGEST]
    tags = b""
    for time, kind, body in messages(wire[HANDSHAKE:]):
        if kind in (COMMAND, DATA, COMMAND_AMF3, DATA_AMF3):
            yield "rtmp_amf", body
        if kind in (AUDIO, VIDEO):
            tag = bytes([2 | (kind == VIDEO)]) + struct.pack(">IH", time, len(body)) + body
            if len(tags) + len(tag) < LONGEST:
                tags += tag
            if kind == VIDEO and body[:2] == b"\x17\x00":
                yield "avc_config", b"\x00" + body[5:]
            if kind == AUDIO and body[0] >> 4 == 10 and body[1] == 0:
                yield "aac_config", b"\x00" + body[2:]
    yield "flv_tags", tags


def main():
    folder = pathlib.Path(sys.argv[1])
    encoders = {name: lambda url, words=words: ["ffmpeg", "-nostdin", "-re", *words, "-f", "flv", url] for name, words in FFMPEG.items()}
    encoders["gstreamer"] = lambda url: ["gst-launch-1.0", "-q", *GSTREAMER.format(url=url).split()]
    with Weir("record") as server:
        for name, encoder in encoders.items():
            wire = record(server, encoder)
            count = 0
            for count, (target, data) in enumerate(inputs(wire), 1):
                (folder / target).mkdir(parents=True, exist_ok=True)
                (folder / target / f"{name}-{count}").write_bytes(data)
            print(f"{name}: {len(wire)} bytes, {count} inputs", flush=True)


if __name__ == "__main__":
    main()
