"""An origin that may be pulled from and that leads to where nothing may connect: by redirects, playlists and session descriptions."""

import contextlib
import socketserver
import time

from pull_origins import Handler

LOCATIONS = [
    "http://127.0.0.1:{port}/a.m3u8", "http://[::1]:{port}/a.m3u8", "http://2130706433:{port}/a.m3u8", "http://0x7f.1:{port}/a.m3u8",
    "http://localhost:{port}/a.m3u8", "http://0.0.0.0:{port}/a.m3u8", "http://[::ffff:127.0.0.1]:{port}/a.m3u8", "//127.0.0.1:{port}/a.m3u8",
    "http://{origin}@127.0.0.1:{port}/a.m3u8", "https://127.0.0.1:{port}/a.m3u8", "http://127.0.0.1:{api}/healthz", "file://{canary}",
    "rtmp://127.0.0.1:{port}/live/stream", "rtsp://127.0.0.1:{port}/live", "srt://127.0.0.1:{port}", "gopher://127.0.0.1:{port}/_x"]
CHAIN = 3
BAD = "http://127.0.0.1:{port}/"
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360{more}\n{uri}\n"
MEDIA = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n{head}#EXTINF:2,\n{uri}\n#EXTINF:2,\n{then}\n"


def media(uri="good.ts", then="good.ts", head=""):
    return MEDIA.format(uri=uri, then=then, head=head)


PLAYLISTS = {
    "variant": MASTER.format(uri=BAD + "v.m3u8", more=""),
    "variant, file": MASTER.format(uri="file://{canary}", more=""),
    "variant, api": MASTER.format(uri="http://127.0.0.1:{api}/healthz", more=""),
    "variant, redirected": MASTER.format(uri="/to/0", more=""),
    "sound": '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,AUTOSELECT=YES,URI="' + BAD + 'a.m3u8"\n'
             + MASTER.format(uri="/good.m3u8", more=',AUDIO="a"').partition("\n")[2],
    "session key": MASTER.format(uri="/good.m3u8", more="") + '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="' + BAD + 'k"\n',
    "segment": media(BAD + "s.ts"),
    "segment, file": media("file://{canary}"),
    "segment, passwd": media("file:///etc/passwd"),
    "segment, api": media("http://127.0.0.1:{api}/healthz"),
    "segment, redirected": media("/to/1"),
    "segment, relative scheme": media("//127.0.0.1:{port}/s.ts"),
    "segment, concat": media("concat:file://{canary}|" + BAD),
    "later segment": media(then=BAD + "s.ts"),
    "key": media(head='#EXT-X-KEY:METHOD=AES-128,URI="' + BAD + 'k"\n'),
    "key, file": media(head='#EXT-X-KEY:METHOD=AES-128,URI="file://{canary}"\n'),
    "key, redirected": media(head='#EXT-X-KEY:METHOD=AES-128,URI="/to/0"\n'),
    "map": media(head='#EXT-X-MAP:URI="' + BAD + 'i.mp4"\n'),
    "map, file": media(head='#EXT-X-MAP:URI="file://{canary}"\n'),
    "part": media(head='#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-PART:DURATION=0.5,URI="' + BAD + 'p.mp4"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="' + BAD + 'h.mp4"\n'),
    "variable": media("{{$bad}}s.ts", head='#EXT-X-DEFINE:NAME="bad",VALUE="' + BAD + '"\n'),
}
SDP = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=control:{control}\r\nm=video 0 RTP/AVP 96\r\n"
       "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==\r\na=control:{control}\r\n")


class Traps(Handler):
    """`server.answers`: path -> body or Location; `server.asked`: the paths that came."""

    def do_GET(self):
        self.server.asked.add(self.path)
        kind, answer = self.server.answers.get(self.path, (404, b""))
        if kind == "endless":
            self.endless()
            return
        self.send_response(kind)
        if kind == 302:
            self.send_header("Location", answer)
            answer = b""
        elif self.path.endswith(".m3u8"):
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer)

    do_HEAD = do_GET

    def endless(self):
        """A playlist that does not end, as fast as it is taken; or byte by byte."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n")
            while "slow" in self.path:
                self.wfile.write(b"#")
                time.sleep(0.5)  # a drop at a time is what it is
            while True:
                self.wfile.write(b"#EXTINF:2,\ngood.ts\n" * 1000)


def answers(good, **places):
    """path -> (status, body or Location); `good` is a transport stream."""
    found = {f"/to/{number}": (302, location.format(**places)) for number, location in enumerate(LOCATIONS)}
    found |= {f"/chain/{number}": (302, f"/chain/{number - 1}") for number in range(1, CHAIN + 1)}
    found["/chain/0"] = found["/to/0"]
    found["/loop"] = (302, "/loop")
    found |= {path(name): (200, text.format(**places).encode()) for name, text in PLAYLISTS.items()}
    found |= {"/good.m3u8": (200, media().encode()), "/good.ts": (200, good)}
    return found | {"/endless.m3u8": ("endless", None), "/slow.m3u8": ("endless", None)}


def path(name):
    return f"/{name.replace(', ', '-').replace(' ', '-')}.m3u8"


def entrances():
    """Paths to pull from."""
    return [*(f"/to/{number}" for number in range(len(LOCATIONS))), f"/chain/{CHAIN}", "/loop", *map(path, PLAYLISTS), "/endless.m3u8", "/slow.m3u8"]


class Rtsp(socketserver.StreamRequestHandler):
    """An RTSP server whose answers lead elsewhere: `/redirect` by a Location, `/control` by its session description."""

    def handle(self):
        elsewhere = f"rtsp://127.0.0.1:{self.server.port}/live"
        with contextlib.suppress(OSError, IndexError):
            while request := self.request_lines():
                method, uri, _ = request[0].split()
                sequence = next(line for line in request if line.lower().startswith("cseq"))
                self.server.asked.add(uri.rpartition("/")[2])
                status, headers, body = "200 OK", [sequence], ""
                if method == "OPTIONS":
                    headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY")
                elif "redirect" in uri:
                    status = "302 Found"
                    headers.append(f"Location: {elsewhere}")
                elif method == "DESCRIBE":
                    body = SDP.format(control=elsewhere)
                    headers += [f"Content-Base: {elsewhere}/", "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                else:
                    headers += ["Session: 1", f"Transport: RTP/AVP/TCP;unicast;interleaved=0-1;destination=127.0.0.1;client_port={self.server.port}-{self.server.port + 1}"]
                self.wfile.write("\r\n".join([f"RTSP/1.0 {status}", *headers, "", body]).encode())

    def request_lines(self):
        lines = []
        while (line := self.rfile.readline().decode(errors="replace").strip()):
            lines.append(line)
        return lines


RTSP_ENTRANCES = ("redirect", "control")


class RtspServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, address, port):
        super().__init__(address, Rtsp)
        self.port, self.asked = port, set()
