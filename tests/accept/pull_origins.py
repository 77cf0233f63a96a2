"""Origins that streams are pulled from: real servers and encoders that hand out a programme, each on free ports of loopback.

Each is a context manager with its `uri`. Between its begin and its end it may be killed and started again, on the same ports; only its own
processes are ended, by their ids. A start returns once the origin can be asked.
"""

import contextlib
import functools
import http.server
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading

from door_encoders import HERE, Push, descendants, ffmpeg, signal_all
from report import Failed, wait_until
from server import free_ports, stop
from socket_table import listening

READY = 15.0  # seconds
SEGMENT = 2  # seconds, of HLS
LISTED = 6  # segments in a playlist
STARTED = 3  # segments that a player may begin behind the newest
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's bindings are for
RTMP_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
NGINX = """
daemon off;
master_process off;
load_module {module};
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""


def wait_listening(port, protocol="tcp"):
    wait_until(f"listener on {protocol} port {port}", READY, lambda: listening(port, protocol), every=0.02)


class Named:
    """What a `Push` wants to know of its client."""

    def __init__(self, name):
        self.name = name


class Origin:
    """Begins and ends; the parts that run are what `begin` puts on `self.running`."""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.running.close()

    def start(self):
        self.running = contextlib.ExitStack()
        try:
            self.begin()
        except BaseException:
            self.running.close()
            raise

    def push(self, name, *commands):
        """A running pipe of processes."""
        return self.running.enter_context(Push(Named(name), commands))

    def kill(self):
        """Ends all of it in its tracks: nobody is told."""
        for push in self.pushes():
            kill(push)
        self.running.close()

    def pushes(self):
        return []


def kill(push):
    """Without a word to its peers."""
    for process in push.processes:
        if process.poll() is None:
            signal_all(descendants(process.pid), signal.SIGKILL)
            process.wait()


class Nginx(Origin):
    """nginx with its RTMP module, and an ffmpeg that publishes to it."""

    def __init__(self, programme, name="stream"):
        self.programme, self.name = programme, name
        self.port, = free_ports(1)
        self.uri = f"rtmp://127.0.0.1:{self.port}/live/{name}"
        self.server = self.encoder = None

    def begin(self):
        folder = self.running.enter_context(tempfile.TemporaryDirectory())
        config = pathlib.Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(module=RTMP_MODULE, folder=folder, port=self.port))
        self.server = self.push("nginx", ["/usr/sbin/nginx", "-p", folder, "-e", "stderr", "-c", config])
        wait_listening(self.port)
        self.publish()

    def publish(self):
        """Starts the encoder; returns when the server has its publish."""
        before = self.server.words().count("publish: name=")
        self.encoder = self.push("publisher", ffmpeg("-re", "-stream_loop", -1, "-i", self.programme.flv, "-c", "copy", "-f", "flv", self.uri))
        wait_until("publish to nginx", READY, lambda: self.server.words().count("publish: name=") > before, every=0.02)

    def kill_encoder(self):
        """The server stays, and keeps its players."""
        kill(self.encoder)

    def pushes(self):
        return [self.server, self.encoder]


class Kept(threading.Thread):
    """A pipe of processes that is started again whenever its last one ends: a listener of ffmpeg's serves one caller."""

    def __init__(self, name, commands):
        super().__init__(name=name, daemon=True)
        self.commands = commands
        self.ending = threading.Event()
        self.push = Push(Named(name), commands)

    def run(self):
        while not self.ending.wait(0.02):
            if not self.push.runs():
                self.push.end()
                self.push.log.close()
                self.push = Push(Named(self.name), self.commands)

    def __enter__(self):
        self.start()
        return self

    def kill(self):
        self.ending.set()
        self.join()
        kill(self.push)

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.push.__exit__()


class Listener(Origin):
    """Processes of which the last listens on `port`, for one caller after the other."""

    name, protocol = "listener", "udp"

    def __init__(self, programme):
        self.programme = programme
        self.port, = free_ports(1)
        self.kept = None

    def begin(self):
        self.kept = self.running.enter_context(Kept(self.name, self.commands()))
        wait_listening(self.port, self.protocol)

    def kill(self):
        self.kept.kill()
        self.running.close()


class Srt(Listener):
    """ffmpeg as an SRT listener; encrypted when there is a passphrase."""

    name = "ffmpeg, SRT"

    def __init__(self, programme, passphrase=None, key_bytes=16, query="mode=caller"):
        super().__init__(programme)
        self.secret = f"&passphrase={passphrase}&pbkeylen={key_bytes}" if passphrase else ""
        self.uri = f"srt://127.0.0.1:{self.port}?{query}{self.secret}"

    def commands(self):
        url = f"srt://127.0.0.1:{self.port}?mode=listener&pkt_size=1316{self.secret}"
        return [ffmpeg("-re", "-stream_loop", -1, "-i", self.programme.ts, "-c", "copy", "-f", "mpegts", url)]


class Transmit(Listener):
    """srt-live-transmit as an SRT listener. Its ffmpeg goes on whether anybody listens or not, and sends by UDP: from a pipe it takes uneven bursts."""

    name = "srt-live-transmit"

    def __init__(self, programme):
        super().__init__(programme)
        self.between, = free_ports(1)
        self.uri = f"srt://127.0.0.1:{self.port}?mode=caller"

    def commands(self):
        between = f"udp://127.0.0.1:{self.between}"
        return [ffmpeg("-re", "-stream_loop", -1, "-i", self.programme.ts, "-c", "copy", "-f", "mpegts", between + "?pkt_size=1316"),
                ["srt-live-transmit", between, f"srt://127.0.0.1:{self.port}?mode=listener"]]


class FfmpegHttp(Listener):
    """MPEG-TS by the HTTP server in ffmpeg."""

    name, protocol = "ffmpeg, HTTP", "tcp"

    def __init__(self, programme):
        super().__init__(programme)
        self.uri = f"http://127.0.0.1:{self.port}/live.ts"

    def commands(self):
        return [ffmpeg("-re", "-stream_loop", -1, "-i", self.programme.ts, "-c", "copy", "-f", "mpegts", "-listen", 1, self.uri)]


class Server(http.server.ThreadingHTTPServer):
    """Closes its connections when it ends, as a process would."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connections = []

    def get_request(self):
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def server_close(self):
        super().server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(handler, address):
    """An HTTP server in threads of its own."""
    server = Server(address, handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; says nothing of it, nor of clients that are gone."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_):
        pass


class Hls(Origin):
    """A live HLS presentation with a larger and a smaller variant, written by ffmpeg and served as files."""

    def __init__(self, programme, smaller, segments):
        """`segments`: `mpegts` or `fmp4`."""
        self.programmes, self.segments = (programme, smaller), segments
        self.port, = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}/live.m3u8"
        self.folder = self.encoder = None

    def begin(self):
        self.folder = pathlib.Path(self.running.enter_context(tempfile.TemporaryDirectory()))
        self.encode()
        self.running.enter_context(serving(functools.partial(Handler, directory=self.folder), ("127.0.0.1", self.port)))
        wait_until("HLS playlists", READY + SEGMENT * STARTED, lambda: self.listed() >= STARTED)

    def encode(self, *flags):
        """Starts the encoder."""
        inputs = [word for programme in self.programmes for word in ("-re", "-stream_loop", -1, "-i", programme.flv)]
        maps = [word for number in range(2) for word in ("-map", f"{number}:v", "-map", f"{number}:a")]
        # Written to the playlists: what is copied has no bit rates of its own.
        rates = [word for number, programme in enumerate(self.programmes)
                 for word in (f"-b:v:{number}", f"{programme.source.kbps}k", f"-b:a:{number}", f"{programme.source.audio_kbps}k")]
        kind = ["-hls_segment_type", self.segments, *(["-hls_fmp4_init_filename", "init_%v.mp4"] if self.segments == "fmp4" else [])]
        self.encoder = self.push("ffmpeg, HLS", ffmpeg(
            *inputs, *maps, "-c", "copy", *rates, "-f", "hls", "-hls_time", SEGMENT, "-hls_list_size", LISTED, *kind,
            "-hls_flags", "+".join(["delete_segments", "independent_segments", *flags]), "-var_stream_map", "v:0,a:0 v:1,a:1",
            "-master_pl_name", "live.m3u8", self.folder / "variant_%v.m3u8"))

    def encoder_again(self):
        """The encoder dies, and another one goes on with its playlists behind a discontinuity, from the programme's begin."""
        kill(self.encoder)
        self.encode("append_list", "discont_start")

    def listed(self):
        """Segments in every variant's playlist."""
        if not self.encoder.runs():
            raise Failed(f"ffmpeg, HLS: {self.encoder.words()[-300:]}")
        playlists = [self.folder / f"variant_{number}.m3u8" for number in range(2)]
        there = (self.folder / "live.m3u8").exists() and all(path.exists() for path in playlists)
        return min(path.read_text().count("#EXTINF") for path in playlists) if there else 0

    def pushes(self):
        return [self.encoder]


class HttpTs(Origin):
    """MPEG-TS over HTTP, by an ffmpeg of its own for each request."""

    def __init__(self, programme, host="127.0.0.1"):
        self.programme, self.host = programme, host
        self.port, = free_ports(1)
        self.uri = f"http://{host}:{self.port}/live"

    def begin(self):
        origin = self

        class Piped(Handler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.send_header("Connection", "close")
                self.end_headers()
                with subprocess.Popen(origin.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                    origin.encoders.append(process)
                    while data := process.stdout.read1(16384):
                        self.wfile.write(data)
        self.encoders = []
        self.running.callback(lambda: [stop(process) for process in self.encoders])
        self.running.enter_context(serving(Piped, (self.host, self.port)))

    def command(self):
        return ffmpeg("-re", "-stream_loop", -1, "-i", self.programme.ts, "-c", "copy", "-f", "mpegts", "pipe:1")


class Rtsp(Origin):
    """GStreamer's RTSP server."""

    def __init__(self, programme):
        self.programme = programme
        self.port, = free_ports(1)
        self.uri = f"rtsp://127.0.0.1:{self.port}/live"
        self.server = None

    def begin(self):
        self.server = self.push("GStreamer, RTSP", [SYSTEM_PYTHON, HERE / "rtsp_origin.py", self.port, self.programme.flv])
        wait_until("RTSP server", READY, lambda: self.server.words() == "ready" or not self.server.runs(), every=0.02)
        if not self.server.runs():
            raise Failed(f"GStreamer, RTSP: {self.server.words()[-300:]}")

    def pushes(self):
        return [self.server]
