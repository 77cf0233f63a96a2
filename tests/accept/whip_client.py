"""A WHIP publisher by aiortc, run inside `.venv`.

    whip_client.py URL FILE [--through] [--vanish]

Sends the file's pictures as H.264 and its sound as Opus. Prints a JSON line for each thing that happens: `answered` with seconds, status,
reason and location, `state` of the connection, once a second `sent` with the frames given to its encoder, `over`. Exit 1 when it was refused, 2
when it was cut off. `--through` prints the answer's UDP port as `media`, reads another one from its input and sends all media there on
loopback; `--vanish` goes without DELETE once it is connected. SIGTERM ends it with a DELETE.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def post(url, sdp):
    """Status, headers and body; blocking."""
    request = urllib.request.Request(url, sdp.encode(), {"Content-Type": "application/sdp"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read().decode(errors="replace")


def delete(url):
    with contextlib.suppress(urllib.error.URLError):  # the server may have ended the session itself
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=5).close()


def only_h264(connection):
    codecs = [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.mimeType == "video/H264"]
    for transceiver in connection.getTransceivers():
        transceiver.direction = "sendonly"
        if transceiver.kind == "video":
            transceiver.setCodecPreferences(codecs)


def without_candidates(sdp):
    return re.sub(r"^a=candidate:.*\r?\n", "", sdp, flags=re.M)


def through(sdp, port):
    """The answer with every candidate's address replaced by that port of loopback."""
    return re.sub(r"^(a=candidate:\S+ \d+ udp \d+) \S+ \d+", rf"\1 127.0.0.1 {port}", sdp, flags=re.M | re.I)


class Counted(MediaStreamTrack):
    """A track that knows how many frames were taken of it."""

    kind = "video"

    def __init__(self, track):
        super().__init__()
        self.track, self.frames = track, 0

    async def recv(self):
        frame = await self.track.recv()
        self.frames += 1
        return frame


async def count(video):
    while True:
        await asyncio.sleep(1)
        tell("sent", frames=video.frames)


async def publish(arguments):
    player = MediaPlayer(arguments.file, loop=True)
    connection = RTCPeerConnection()
    connection.addTrack(player.audio)
    video = Counted(player.video)
    connection.addTrack(video)
    only_h264(connection)
    over = asyncio.get_running_loop().create_future()

    @connection.on("connectionstatechange")
    def changed():
        tell("state", state=connection.connectionState)
        if connection.connectionState in ("failed", "closed") and not over.done():
            over.set_result(2)
        if arguments.vanish and connection.connectionState == "connected" and not over.done():
            over.set_result(0)

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    # The server must not find a way past the proxy.
    asked = time.monotonic()
    status, headers, body = await asyncio.to_thread(post, arguments.url, without_candidates(offer) if arguments.through else offer)
    tell("answered", seconds=time.monotonic() - asked, status=status, reason=headers.get("X-Reason-Code"), retry_after=headers.get("Retry-After"),
         location=headers.get("Location") and urllib.parse.urljoin(arguments.url, headers["Location"]))
    if status not in (200, 201):
        print(body, file=sys.stderr)
        await connection.close()
        return 1
    if arguments.through:
        tell("media", port=int(re.search(r"^a=candidate:\S+ \d+ udp \d+ \S+ (\d+)", body, re.M | re.I)[1]))
        body = through(body, int(await asyncio.to_thread(sys.stdin.readline)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: over.done() or over.set_result(0))
    await connection.setRemoteDescription(RTCSessionDescription(body, "answer"))
    counter = asyncio.ensure_future(count(video))
    code = await over
    counter.cancel()
    if not arguments.vanish:
        await asyncio.to_thread(delete, urllib.parse.urljoin(arguments.url, headers["Location"]))
        await connection.close()
    tell("over")
    return code


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url")
    options.add_argument("file")
    options.add_argument("--through", action="store_true")
    options.add_argument("--vanish", action="store_true")
    sys.exit(asyncio.run(publish(options.parse_args())))


if __name__ == "__main__":
    main()
