"""A receiver of webhooks: takes, refuses, or is not there; checks each signature by the specification's own words."""

import base64
import dataclasses
import hashlib
import hmac
import http.server
import json
import threading
import time

TOLERANCE = 300  # seconds between a message's timestamp and now


@dataclasses.dataclass
class Message:
    """One request."""

    at: float  # monotonic seconds
    id: str
    body: str
    fault: str  # what is wrong with its signature, empty when nothing is
    taken: bool
    manifest: int | None = None  # what the master playlist answered while the request waited

    @property
    def told(self):
        return json.loads(self.body)

    @property
    def stream(self):
        return self.told["message"]["stream"]

    @property
    def flags(self):
        return tuple(self.stream[flag] for flag in ("live", "backup_live", "transcoding"))


def signature_fault(headers, body, secrets):
    """What is wrong with a request's headers; each secret has to have its signature."""
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
    given = headers.get("webhook-signature", "").split(" ")
    if abs(time.time() - int(headers.get("webhook-timestamp", "0"))) > TOLERANCE:
        return "timestamp"
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        right = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if not any(hmac.compare_digest(right, one) for one in given):
            return f"no signature of a secret among {len(given)}"
    return ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.receiver.take(self, body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class Receiver:
    """Listens on a port while it is up; what it heard stays when it is down. `ask` gives the master playlist's status of a stream."""

    def __init__(self, port, ask):
        self.port, self.ask = port, ask
        self.url = f"http://127.0.0.1:{port}/hook"
        self.secrets, self.messages, self.refused_by = [], [], None
        self.lock = threading.Lock()
        self.server = None

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.receiver = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def take(self, handler, body):
        message = Message(time.monotonic(), handler.headers.get("webhook-id", ""), body.decode(),
                          signature_fault(handler.headers, body, self.secrets), self.refused_by is None)
        if message.stream["transcoding"]:
            message.manifest = self.ask(message.stream["id"])
        with self.lock:
            self.messages.append(message)
        handler.send_response(self.refused_by or 204)
        if self.refused_by:
            handler.send_header("content-length", "0")
        handler.send_header("connection", "close")  # so that a receiver that goes down is gone
        handler.end_headers()

    def heard(self, stream=None):
        """What was heard, in order, of one stream or all."""
        with self.lock:
            return [one for one in self.messages if stream is None or one.stream["id"] == stream["id"]]

    def taken(self, stream):
        """What was taken of a stream, each message once, in the order of first arrival."""
        first = {}
        for one in self.heard(stream):
            if one.taken:
                first.setdefault(one.id, one)
        return list(first.values())
