"""Weir and its peers as one kind of thing: started with files of their own, publish and play URLs by key, process ids.

Peers run as their manuals tell, tuned for latency where they have a switch for it: segments of one second, cut at every
keyframe of the source. They pass through what they get, where Weir transcodes a ladder; only `FfmpegLadder` does the same work.
"""

import pathlib
import shutil
import subprocess
import tempfile

import cost
from report import KEPT, Failed, wait_until
from server import Weir, free_ports, stop

SEGMENT = 0.95  # seconds wished for; exactly 1 would flip between one and two keyframes by the rounding of milliseconds
WINDOW = 15  # seconds of playlist
PASS_THROUGH, LADDER = "pass-through", "ladder of three rungs"
NGINX = KEPT / "peers" / "nginx"
XIU = KEPT / "peers" / "xiu" / "bin" / "xiu"
NMS = KEPT / "peers" / "nms" / "node_modules" / "node-media-server"


def output_of(*command):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def listening(port):
    """Whether something listens there, seen without connecting: a one-connection server would take the look for a client."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


class WeirServer:
    """Weir with its defaults but for what a measure says, one stream a key."""

    name, work = "Weir", LADDER

    def __init__(self, more="", rung=None):
        self.weir = Weir("weir", more)
        self.rung = rung
        self.streams = {}

    @staticmethod
    def missing():
        return None

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.weir.__exit__(*why)

    def stream(self, key):
        if key not in self.streams:
            self.streams[key] = self.weir.create_stream(self.rung)
        return self.streams[key]

    def publish_url(self, key):
        return self.stream(key)["push_url"]

    def play_url(self, key):
        return self.stream(key)["hls_cmaf_url"]

    def await_ready(self):
        """Waits until another encoder may come."""

    @property
    def roots(self):
        return [self.weir.process.pid]


class Peer:
    """A server made by somebody else: a directory in memory, processes in it, and the ports they listen on."""

    work = PASS_THROUGH

    def __init__(self):
        memory = pathlib.Path("/dev/shm")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-", dir=memory if memory.is_dir() else None))
        self.www = self.dir / "www"
        self.www.mkdir()
        self.processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            stop(process, 2)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *command):
        with open(self.dir / "log", "ab") as log:
            self.processes.append(subprocess.Popen([*map(str, command)], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def await_ports(self, *ports):
        def ready():
            if any(process.poll() is not None for process in self.processes):
                raise Failed(f"{self.name} ended: {(self.dir / 'log').read_text(errors='replace')[-300:]}")
            return all(map(listening, ports))
        wait_until(f"{self.name} on its ports", 15, ready)

    def await_ready(self):
        """Waits until another encoder may come: not all servers take more than one at a time."""
        wait_until(f"{self.name} listening", 15, lambda: listening(self.rtmp_port), every=0.01)

    def publish_url(self, key):
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/{key}"

    @property
    def roots(self):
        return [process.pid for process in self.processes]


NGINX_CONFIG = """daemon off; user root; worker_processes 1; pid {dir}/pid; error_log {dir}/log warn; {load}
events {{ worker_connections 1024; }}
{rtmp}
http {{ access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 m4s mp4; }}
    server {{ listen 127.0.0.1:{port}; location / {{ root {dir}/www; add_header Cache-Control no-cache; }} }} }}
"""
NGINX_RTMP = """rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{ live on; {more}
    hls on; hls_path {dir}/www; hls_fragment {segment:.0f}ms; hls_playlist_length {window}s; hls_cleanup on; hls_nested off; }} }} }}"""


class Nginx(Peer):
    """nginx with its RTMP module."""

    name, more = "nginx-rtmp", ""

    @staticmethod
    def missing():
        return None if (NGINX / "usr/sbin/nginx").exists() else "scripts/bench-peers.sh could not fetch nginx"

    @staticmethod
    def version():
        module = (NGINX / "versions").read_text().split()
        return f"nginx {output_of(NGINX / 'usr/sbin/nginx', '-v').rpartition('/')[2]}, libnginx-mod-rtmp {module[0]}"

    def start(self):
        self.rtmp_port, self.http_port = free_ports(2)
        rtmp = NGINX_RTMP.format(port=self.rtmp_port, dir=self.dir, more=self.more, segment=SEGMENT * 1000, window=WINDOW)
        serve_files(self, f"load_module {NGINX}/usr/lib/nginx/modules/ngx_rtmp_module.so;", rtmp)
        self.await_ports(self.rtmp_port, self.http_port)

    def play_url(self, key):
        return f"http://127.0.0.1:{self.http_port}/{key}.m3u8"


class TunedNginx(Nginx):
    """The same with the two switches that make it take another encoder."""

    name, more = "nginx-rtmp, tuned", "hls_continuous on; drop_idle_publisher 2s;"


def serve_files(peer, load="", rtmp=""):
    """Starts an nginx over the peer's files."""
    config = peer.dir / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(dir=peer.dir, port=peer.http_port, load=load, rtmp=rtmp))
    peer.run(NGINX / "usr/sbin/nginx", "-p", peer.dir, "-e", peer.dir / "log", "-c", config)


class Nms(Peer):
    """node-media-server: one `ffmpeg -c copy` a stream makes its HLS."""

    name = "node-media-server"

    @staticmethod
    def missing():
        return None if NMS.exists() else "scripts/bench-peers.sh could not install it from npm"

    @staticmethod
    def version():
        return output_of("node", "-p", f"'node-media-server ' + require('{NMS}/package.json').version + ', node ' + process.version")

    def start(self):
        self.rtmp_port, self.http_port = free_ports(2)
        (self.dir / "app.js").write_text(
            f"const Server = require('{NMS}');\n"
            f"new Server({{ logType: 0, rtmp: {{ port: {self.rtmp_port}, host: '127.0.0.1', chunk_size: 4096, gop_cache: true, ping: 30, ping_timeout: 60 }},\n"
            f"  http: {{ port: {self.http_port}, mediaroot: '{self.www}', allow_origin: '*', api: false }},\n"
            f"  trans: {{ ffmpeg: '{shutil.which('ffmpeg')}', tasks: [{{ app: 'live', hls: true, hlsKeep: true,\n"
            f"    hlsFlags: '[hls_time={SEGMENT}:hls_list_size={WINDOW}:hls_flags=delete_segments]' }}] }} }}).run();\n")
        self.run("node", self.dir / "app.js")
        self.await_ports(self.rtmp_port, self.http_port)

    def play_url(self, key):
        return f"http://127.0.0.1:{self.http_port}/live/{key}/index.m3u8"


XIU_CONFIG = """[rtmp]
enabled = true
port = {rtmp}
gop_num = 1
[hls]
enabled = true
port = {http}
need_record = false
fragment = 1
live_ts_count = {window}
[hls.s3]
enabled = false
bucket = ""
region = ""
prefix = ""
[authsecret]
key = ""
password = ""
[httpapi]
port = {api}
[log]
level = "error"
"""


class Xiu(Peer):
    """xiu. It listens on all addresses, whatever it is told, so it runs only in a network of its own."""

    name = "xiu"
    private_network = False  # set by bench.py

    @classmethod
    def missing(cls):
        if not XIU.exists():
            return "scripts/bench-peers.sh could not install it from crates.io"
        return None if cls.private_network else "needs a private network, as it listens on all addresses"

    @staticmethod
    def version():
        return "xiu " + next(line.split()[1] for line in (XIU.parents[1] / ".crates.toml").read_text().splitlines() if line.startswith('"xiu '))

    def start(self):
        self.rtmp_port, self.http_port, api_port = free_ports(3)
        config = self.dir / "xiu.toml"
        config.write_text(XIU_CONFIG.format(rtmp=self.rtmp_port, http=self.http_port, api=api_port, window=WINDOW))
        self.run(XIU, "-c", config)
        self.await_ports(self.rtmp_port, self.http_port)

    def play_url(self, key):
        return f"http://127.0.0.1:{self.http_port}/live/{key}/{key}.m3u8"


class FfmpegLadder(Peer):
    """One ffmpeg process that listens for one encoder, makes Weir's ladder and ends with its encoder; a shell loop starts
    it again. An nginx serves its files."""

    name, work = "ffmpeg -listen", LADDER

    @staticmethod
    def missing():
        return Nginx.missing() and "needs nginx to serve its files"

    @staticmethod
    def version():
        return " ".join(output_of("ffmpeg", "-version").split()[:3])

    def start(self):
        self.rtmp_port, self.http_port = free_ports(2)
        command = cost.reference_command(["-listen", 1, "-i", self.publish_url("s")], self.www / "index.mpd", ["-hls_playlist", 1])
        script = self.dir / "loop.sh"
        quoted = " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command)
        # Begins without what an earlier encoder left, and ends its ffmpeg when it is ended.
        script.write_text(f"trap 'kill $child; exit' TERM\nwhile :; do rm -f {self.www}/*; {quoted} & child=$!; wait $child; sleep 0.1; done\n")
        self.run("bash", script)
        serve_files(self)
        self.await_ports(self.rtmp_port, self.http_port)

    def play_url(self, key):
        return f"http://127.0.0.1:{self.http_port}/master.m3u8"

    @property
    def roots(self):
        return [self.processes[0].pid]  # without the nginx


PEERS = [FfmpegLadder, Nginx, TunedNginx, Nms, Xiu]
