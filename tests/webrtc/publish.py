"""A WHIP client by aiortc: publishes a test picture and a tone until its input ends, then deletes its session.

    publish.py URL [TOKEN]

Prints one line per step: `answered STATUS`, `connected`, `deleted STATUS`. A refusal is printed with its reason code and ends it with 1."""

import asyncio
import sys
import urllib.error
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer


def ask(method, url, body=None, token=None, **headers):
    """Status, headers and body of an answer, whatever it is."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def h264_first(connection):
    """aiortc offers VP8 too, and sends what was offered first."""
    for transceiver in connection.getTransceivers():
        if transceiver.kind == "video":
            codecs = RTCRtpSender.getCapabilities("video").codecs
            transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == "video/H264"])


async def main(url, token=None):
    loop = asyncio.get_running_loop()
    picture = MediaPlayer("testsrc2=size=640x360:rate=30", format="lavfi")
    tone = MediaPlayer("sine=frequency=1000:sample_rate=48000", format="lavfi")
    connection = RTCPeerConnection()
    connected = asyncio.Event()

    @connection.on("connectionstatechange")
    def changed():
        if connection.connectionState == "connected":
            connected.set()

    connection.addTransceiver(picture.video, direction="sendonly")
    connection.addTransceiver(tone.audio, direction="sendonly")
    h264_first(connection)
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.encode()
    status, headers, answer = await loop.run_in_executor(
        None, lambda: ask("POST", url, offer, token, **{"Content-Type": "application/sdp"}))
    print("answered", status, headers.get("X-Reason-Code") or "", flush=True)
    if status != 201:
        await connection.close()
        return 1
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.wait_for(connected.wait(), 10)
    print("connected", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    resource = urllib.parse.urljoin(url, headers["Location"])
    status, _, _ = await loop.run_in_executor(None, lambda: ask("DELETE", resource, token=token))
    print("deleted", status, flush=True)
    await connection.close()
    return 0


sys.exit(asyncio.run(main(*sys.argv[1:])))
