"""A `weir serve` process on free ports with a data directory of its own, its API, and the encoders that push to it."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import threading
from urllib.parse import urlsplit

from report import KEPT, ROOT, Failed, wait_until

API_KEY = "1234$accept-key"


def binary():
    """The program to measure: `$WEIR`, else the release build."""
    if named := os.environ.get("WEIR"):
        return pathlib.Path(named).resolve()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (ROOT / target / "release" / "weir").resolve()


def free_ports(count):
    """Ports that nothing listens on, by TCP or UDP; held open together so that they differ."""
    with contextlib.ExitStack() as held:
        ports = []
        while len(ports) < count:
            port = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def free_udp_range(count):
    """First and last of so many UDP ports in a row that nobody uses."""
    for first in random.SystemRandom().sample(range(20000, 30000, count), 50):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("0.0.0.0", port))
            return first, first + count - 1
    raise Failed(f"no {count} free UDP ports in a row")


def certificate():
    """PEM files of a self-signed certificate for loopback, and of its key; made once, by the program itself."""
    folder = KEPT / "tls"
    if not (folder / "key.pem").exists():
        subprocess.run([binary(), "self-signed", "--host", "localhost", "--host", "127.0.0.1", "--out", folder], check=True, stdout=subprocess.DEVNULL)
    return folder / "cert.pem", folder / "key.pem"


class Http:
    """Keep-alive GET and JSON requests to one server; one connection per thread. `source` is the own address, where it matters."""

    def __init__(self, timeout=20, source=None):
        self.timeout = timeout
        self.source = (source, 0) if source else None
        self.local = threading.local()

    def request(self, method, url, body=None, headers=()):
        """Status, body and headers; status 0 when there is no answer."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connections = self.local.__dict__.setdefault("connections", {})
        for attempt in (1, 2):
            connection = connections.get(parts.netloc)
            fresh = connection is None
            if fresh:
                connection = http.client.HTTPConnection(parts.hostname, parts.port, self.timeout, self.source)
                connections[parts.netloc] = connection
            try:
                connection.request(method, path, body, dict(headers))
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.headers
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                del connections[parts.netloc]
                # A kept connection may have been closed meanwhile; a new one that fails is the answer.
                if fresh or attempt == 2:
                    return 0, str(error).encode(), {}

    def get(self, url):
        return self.request("GET", url)


class Weir:
    """A running server; stopped, and killed if it has to be, on leaving the `with`."""

    def __init__(self, name, more="", doors=(), http_host="127.0.0.1", environment=()):
        """`more` is TOML; `doors` are those to open beside RTMP: `rtmps`, `srt`, `https`, `whip`; HTTP and HTTPS listen on `http_host`."""
        self.http_host, self.environment = http_host, dict(os.environ) | dict(environment)
        self.dir = KEPT / "run" / name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.http_port, self.rtmp_port, self.rtmps_port, self.srt_port, self.https_port = free_ports(5)
        self.base = f"http://127.0.0.1:{self.http_port}"
        config = self.dir / "config.toml"
        config.write_text(
            f'[http]\nlisten = "{http_host}:{self.http_port}"\n[rtmp]\nlisten = "127.0.0.1:{self.rtmp_port}"\n'
            f'[api]\nkey = "{API_KEY}"\n[data]\ndir = "{self.dir / "store"}"\n{self.door_settings(doors)}{more}')
        self.log = open(self.dir / "weir.log", "wb")
        self.http = Http()
        self.start()

    def door_settings(self, doors):
        """TOML of the doors beside RTMP and HTTP."""
        lines = ["[srt]", f'listen = "127.0.0.1:{self.srt_port}"' if "srt" in doors else 'listen = "off"']
        for door, host, port in (("rtmps", "127.0.0.1", self.rtmps_port), ("https", self.http_host, self.https_port)):
            if door in doors:
                cert, key = certificate()
                lines += [f"[{door}]", f'listen = "{host}:{port}"', f'cert = "{cert}"', f'key = "{key}"']
        if "whip" in doors:
            first, last = free_udp_range(100)
            lines += ["[whip]", f"udp_ports = [{first}, {last}]"]
        return "\n".join(lines) + "\n"

    def start(self):
        """Starts the process and waits until it is ready."""
        self.process = subprocess.Popen(
            [binary(), "serve", "--config", self.dir / "config.toml"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment)
        wait_until("readiness", 60, lambda: self.alive() and self.http.get(self.base + "/readyz")[0] == 200)

    def kill_and_restart(self):
        """Ends the process by SIGKILL and starts another one on the same ports and data."""
        self.process.kill()
        self.process.wait()
        self.start()

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"weir ended with code {self.process.returncode}, see {self.log.name}")
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process, 15)
        self.log.close()

    def api(self, method, path, body=None):
        """Decoded answer of an API call that has to succeed."""
        headers = {"Authorization": f"APIKey {API_KEY}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        status, answer, _ = self.http.request(method, self.base + path, data, headers)
        if status not in (200, 204):
            raise Failed(f"{method} {path} answered {status}: {answer[:200]!r}")
        return json.loads(answer) if answer else None

    def create_stream(self, rung=None, **more):
        """An active stream; with the quality set that has only this rung, else with the default set. `more` are fields of it."""
        body = {"name": "accept", "active": True, "pull": False} | more
        if rung:
            body["quality_set_id"] = self.single_rung_set(rung)
        return self.api("POST", "/streaming/streams", body)

    def single_rung_set(self, rung):
        sets = self.api("GET", "/streaming/quality_sets")["live"]
        for entry in sets:
            if [quality["name"] for quality in entry["qualities"]] == [rung]:
                return entry["id"]
        raise Failed(f"no quality set has {rung} alone; there are {[entry['name'] for entry in sets]}")

    def stream(self, stream):
        return self.api("GET", f"/streaming/streams/{stream['id']}")

    def delete(self, stream):
        self.api("DELETE", f"/streaming/streams/{stream['id']}")

    def detail(self, stream):
        return self.api("GET", f"/ops/streams/{stream['id']}")

    def worker(self, stream):
        """Process id of the stream's worker."""
        pipeline = self.detail(stream)["pipeline"]
        if not pipeline or not pipeline["pid"]:
            raise Failed(f"stream {stream['id']} has no worker")
        return pipeline["pid"]

    def wait_playable(self, stream, limit=20):
        wait_until("playable HLS and DASH", limit, lambda: self.alive() and all(
            self.http.get(stream[field])[0] == 200 for field in ("hls_cmaf_url", "dash_url")))


def stop(process, limit=5):
    """Ends a process that this harness started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Encoder:
    """An ffmpeg that pushes; ended on leaving the `with`."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    @classmethod
    def copy(cls, source, push_url, loops=0):
        """Pushes a ready-made file at its own pace, without encoding; `loops` more times when it ends."""
        return cls(["-re", "-stream_loop", loops, "-i", source, "-c", "copy", "-f", "flv", push_url])

    @classmethod
    def quick_start(cls, push_url):
        """The documented quick-start command, unchanged but for its URL."""
        return cls([
            "-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30",
            "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000",
            "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
            "-b:v", "3000k", "-maxrate", "3000k", "-bufsize", "6000k", "-g", "30", "-keyint_min", "30",
            "-x264-params", "scenecut=0:bframes=0", "-c:a", "aac", "-b:a", "128k", "-ar", "48000",
            "-f", "flv", push_url])

    def __enter__(self):
        return self

    def end(self):
        """Ends it if it still runs; returns its last words."""
        stop(self.process)
        with self.process.stderr as stderr:
            return stderr.read().strip()

    def __exit__(self, kind, *_):
        ended = self.process.poll()
        words = self.end()
        if kind is None and ended not in (None, 0):
            raise Failed(f"the encoder ended with code {ended}: {words[-300:]}")
