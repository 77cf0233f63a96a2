"""Real encoders by door: how each is started, how it is stopped in its tracks, and what it said in the end.

An encoder may be a pipe of several processes; the last of them is the one with the connection.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote, urlsplit

from report import ROOT, Failed, wait_until
from server import stop

HERE = pathlib.Path(__file__).parent
# All that the server has, HTTPS beside them.
DOORS = ("rtmp", "rtmps", "srt", "whip")
OPEN = (*DOORS[1:], "https")


@dataclasses.dataclass(frozen=True)
class Target:
    """A push URL, whose parts some encoders want one by one."""

    url: str
    passphrase: str | None = None
    key_bytes: int = 16
    latency_ms: int | None = None  # of SRT; the client's own when there is none

    @property
    def stream_id(self):
        """What an SRT caller has to say: all behind `streamid=`, a `#` in it too."""
        return self.url.partition("streamid=")[2]

    @property
    def address(self):
        parts = urlsplit(self.url)
        return parts.hostname, parts.port

    @property
    def location(self):
        """SRT: the URL with everything percent-encoded that has to be. srt-live-transmit does not decode it."""
        host, port = self.address
        secret = f"&passphrase={self.passphrase}&pbkeylen={self.key_bytes}" if self.passphrase else ""
        return f"srt://{host}:{port}?streamid={quote(self.stream_id, safe='')}{secret}"


def target(weir, stream, door, slot="primary", passphrase=None, key_bytes=16):
    """Where an encoder of that slot pushes by that door."""
    back = "backup_" if slot == "backup" else ""
    if door in ("rtmp", "rtmps"):
        url = stream[back + "push_url"]
        if door == "rtmps":
            url = url.replace("rtmp://", "rtmps://", 1).replace(f":{weir.rtmp_port}/", f":{weir.rtmps_port}/", 1)
    elif door == "srt":
        url = stream[back + "push_url_srt"]
    else:
        url = stream["push_url_whip"]
        if back and url:
            url = url.replace(f"/{stream['id']}_", f"/{stream['id']}b_")
    if not url:
        raise Failed(f"stream {stream['id']} has no {slot} URL for {door}")
    return Target(url, passphrase, key_bytes)


def ffmpeg(*arguments):
    return ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *map(str, arguments)]


def ffmpeg_rtmp(to, programme):
    return [ffmpeg("-re", "-stream_loop", -1, "-i", programme.flv, "-c", "copy", "-f", "flv", to.url)]


def gst(sink):
    """GStreamer reads an FLV file at its own pace."""
    def command(to, programme):
        read = ["filesrc", f"location={programme.flv}", "!", "flvdemux", "name=in"]
        video = ["in.video", "!", "queue", "!", "h264parse", "!", "clocksync", "!", "out."]
        audio = ["in.audio", "!", "queue", "!", "aacparse", "!", "clocksync", "!", "out."]
        write = ["flvmux", "name=out", "streamable=true", "!", *sink(to.url)]
        return [["gst-launch-1.0", "-q", *read, *write, *video, *audio]]
    return command


def rtmp2sink(url):
    return ["rtmp2sink", f"location={url}", *(["tls-validation-flags=0"] if url.startswith("rtmps") else [])]


def librtmp(url):
    """Of GStreamer too, but the connection is librtmp's, as in OBS."""
    return ["rtmpsink", f"location={url} live=1"]


def ffmpeg_srt(to, programme, path=None):
    host, port = to.address
    options = ["pkt_size=1316"]
    if to.passphrase:
        options += [f"passphrase={to.passphrase}", f"pbkeylen={to.key_bytes}"]
    if to.latency_ms:
        options += [f"latency={1000 * to.latency_ms}"]
    # Last, and as it is: ffmpeg decodes nothing, and a `#` does not end its URL.
    url = f"srt://{host}:{port}?{'&'.join(options)}&streamid={to.stream_id}"
    return [ffmpeg("-re", "-stream_loop", -1, "-i", path or programme.ts, "-c", "copy", "-f", "mpegts", url)]


def ffmpeg_srt_access(to, programme):
    """The stream id in the syntax of SRT's access control guidelines."""
    name, _, token = to.stream_id.partition("#")
    return ffmpeg_srt(dataclasses.replace(to, url=to.url.replace(to.stream_id, f"#!::r={name},u={token},m=publish")), programme)


def ffmpeg_srt_hevc(to, programme):
    return ffmpeg_srt(to, programme, programme.hevc_ts)


def srt_live_transmit(path_of):
    def command(to, programme):
        return [ffmpeg("-re", "-stream_loop", -1, "-i", path_of(programme), "-c", "copy", "-flush_packets", 1, "-f", "mpegts", "pipe:1"),
                ["srt-live-transmit", "-a:no", "-chunk:1316", "file://con", to.location]]
    return command


def libsrt(to, programme):
    """A caller that only connects and says with which code it was rejected."""
    host, port = to.address
    return [[sys.executable, HERE / "srt_caller.py", host, str(port), to.stream_id, to.passphrase or ""]]


def chromium(to, programme):
    return [["node", ROOT / "tests" / "browser" / "whip.mjs", to.url, "--camera", programme.camera, "--microphone", programme.microphone]]


def aiortc(to, programme):
    return [[venv_python(), HERE / "whip_client.py", to.url, programme.flv]]


def venv_python():
    return subprocess.run([ROOT / "scripts" / "python-venv.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@dataclasses.dataclass(frozen=True)
class Client:
    """A real encoder."""

    name: str
    door: str
    command: object  # (Target, Programme) -> the commands of a pipe
    exact: bool = True  # sends the file's own pictures; else it encodes anew and may skip some

    def start(self, to, programme, environment=None):
        return Push(self, self.command(to, programme), environment)


FFMPEG_RTMP = Client("ffmpeg, RTMP", "rtmp", ffmpeg_rtmp)
FFMPEG_RTMPS = Client("ffmpeg, RTMPS", "rtmps", ffmpeg_rtmp)
RTMP2SINK = Client("rtmp2sink, RTMP", "rtmp", gst(rtmp2sink))
RTMP2SINK_TLS = Client("rtmp2sink, RTMPS", "rtmps", gst(rtmp2sink))
LIBRTMP = Client("librtmp, RTMP", "rtmp", gst(librtmp))
FFMPEG_SRT = Client("ffmpeg, SRT", "srt", ffmpeg_srt)
FFMPEG_SRT_ACCESS = Client("ffmpeg, SRT, #!::r=…", "srt", ffmpeg_srt_access)
FFMPEG_SRT_HEVC = Client("ffmpeg, SRT, HEVC", "srt", ffmpeg_srt_hevc)
TRANSMIT = Client("srt-live-transmit", "srt", srt_live_transmit(lambda programme: programme.ts))
TRANSMIT_HEVC = Client("srt-live-transmit, HEVC", "srt", srt_live_transmit(lambda programme: programme.hevc_ts))
LIBSRT = Client("libsrt caller", "srt", libsrt)
CHROMIUM = Client("Chromium, WHIP", "whip", chromium, exact=False)
AIORTC = Client("aiortc, WHIP", "whip", aiortc, exact=False)


def built(clients):
    """Those whose door is there."""
    return [client for client in clients if client.door in DOORS]


def descendants(pid):
    """A process and everything below it."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in children.read().split():
                    found += descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return found


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Push:
    """A running encoder; ended on leaving the `with`."""

    def __init__(self, client, commands, environment=None, stdin=subprocess.DEVNULL):
        self.client = client
        self.log = tempfile.TemporaryFile()
        self.processes, before = [], stdin
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            process = subprocess.Popen(
                [*map(str, command)], stdin=before, stdout=self.log if last else subprocess.PIPE, stderr=self.log,
                env=environment if last else None)
            if number:
                before.close()  # so that the reader's end is seen by the writer
            before = process.stdout
            self.processes.append(process)
        self.wire = self.processes[-1]
        self.began = time.monotonic()

    def words(self):
        """All it said so far."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode(errors="replace").strip()

    def send(self, number):
        """A signal to the process with the connection, and to all below it; returns when."""
        signal_all(descendants(self.wire.pid), number)
        return time.monotonic()

    def ended(self, limit):
        """Its exit code, and seconds from its start; `Failed` when it still runs."""
        wait_until(f"end of {self.client.name}", limit, lambda: self.wire.poll() is not None, every=0.01)
        return self.wire.returncode, time.monotonic() - self.began

    def refused(self):
        """Whether it has ended by an error. srt-live-transmit has one exit code only, but says so."""
        return not self.runs() and (self.wire.returncode != 0 or "REJECT" in self.words())

    def runs(self):
        return self.wire.poll() is None

    def end(self):
        """Asks it to end; whatever does not, or was left behind, is killed."""
        for process in reversed(self.processes):
            family = descendants(process.pid) if process.poll() is None else []
            signal_all(family, signal.SIGCONT)
            stop(process)
            signal_all(family[1:], signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.log.close()
