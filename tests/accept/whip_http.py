"""The HTTP side of WHIP (RFC 9725) without a browser: offers, whole and broken, posted as they are."""

import dataclasses
import http.client
import ssl
from urllib.parse import urljoin, urlsplit

FINGERPRINT = ":".join(f"{byte:02X}" for byte in range(32))
# What Chromium offers, shortened: H.264 and Opus, sent only.
OFFER = "\r\n".join([
    "v=0",
    "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1",
    "a=extmap-allow-mixed",
    "a=msid-semantic: WMS camera",
    *(line for mid, (kind, port_type, codec, more) in enumerate([
        ("audio", 111, "opus/48000/2", ["a=fmtp:111 minptime=10;useinbandfec=1"]),
        ("video", 96, "H264/90000", ["a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 ccm fir",
                                     "a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"]),
    ]) for line in [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {port_type}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        "a=setup:actpass",
        f"a=mid:{mid}",
        "a=sendonly",
        f"a=msid:camera {kind}",
        "a=rtcp-mux",
        f"a=rtpmap:{port_type} {codec}",
        *more,
        f"a=ssrc:{1000 + mid} cname:camera",
    ]),
    "",
])


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: object
    body: str
    url: str

    @property
    def resource(self):
        """The session's own URL."""
        return urljoin(self.url, self.headers["Location"])


def request(method, url, body=None, headers=(), source=None, timeout=10):
    """`source` is the address to come from."""
    parts = urlsplit(url)
    own = (source, 0) if source else None
    if parts.scheme == "https":
        # The tests' own certificate.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, source_address=own, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout, source_address=own)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"), url)
    finally:
        connection.close()


def post(url, offer, source=None, headers=()):
    return request("POST", url, offer, {"Content-Type": "application/sdp", **dict(headers)}, source)
