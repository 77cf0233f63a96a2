"""The line about monitoring: real encoders push, the page is scraped, and Prometheus's own tool checks it, the alert rules and the dashboard."""

import contextlib
import http.server
import json
import re
import subprocess
import tempfile
import threading
import time

import door_encoders
from door_programme import programme
from report import KEPT, ROOT, Failed, Figure, empty, equal, wait_until, within
from server import API_KEY, Encoder, Http, Weir, free_ports
from sources import Source

HTTP = Http()
MONITORING = ROOT / "docs" / "monitoring"
RULES, DASHBOARD = MONITORING / "weir-alerts.yml", MONITORING / "weir-dashboard.json"
SPAN = 8  # seconds between two scrapes that rates are taken from
SETTLED = 8  # seconds until an encoder's start, which comes in a burst, is over
ADRIFT = 0.1  # by which a rate may differ from the encoder's
# On no page of this line: nothing is configured that would have them.
ELSEWHERE = {"weir_ingest_keyframe_requests_total"}
NAME = re.compile(r"\b(?:weir|process)_[a-z0-9_]+\b")
SAMPLE = re.compile(r"^([a-z_0-9]+)(\{.*\})? (\S+)$")


class Collector(http.server.ThreadingHTTPServer):
    """Takes what an OpenTelemetry collector is sent, and keeps it as it is."""

    daemon_threads = True

    def __init__(self):
        self.bodies = []
        super().__init__(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def said(self):
        return b"".join(self.bodies)

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Request(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Page:
    """One scrape."""

    def __init__(self, text):
        self.at, self.text = time.monotonic(), text
        self.samples = {}
        for line in text.splitlines():
            if not line.startswith("#") and (sample := SAMPLE.match(line)):
                labels = tuple(sorted(re.findall(r'([a-z_]+)="([^"]*)"', sample[2] or "")))
                self.samples[sample[1], labels] = float(sample[3])
        self.names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}

    def value(self, name, **labels):
        """The sum of what has these labels."""
        wanted = {(label, str(value)) for label, value in labels.items()}
        found = [value for (own, has), value in self.samples.items() if own == name and wanted <= set(has)]
        if not found:
            raise Failed(f"the page has no {name} with {labels}")
        return sum(found)

    def rate(self, later, name, **labels):
        return (later.value(name, **labels) - self.value(name, **labels)) / (later.at - self.at)


def scrape(url, key=None):
    status, body, _ = HTTP.request("GET", url, headers={"Authorization": f"Bearer {key}"} if key else {})
    if status != 200:
        raise Failed(f"GET {url} answered {status}")
    return Page(body.decode())


def sent(path):
    """What a file's encoder sends: bits of media and video frames in a second."""
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=size,codec_type,pts_time", "-of", "csv=p=0", path], stdout=subprocess.PIPE, text=True, check=True)
    packets = [line.split(",") for line in probe.stdout.splitlines() if line]
    pictures = [float(pts) for kind, pts, _ in packets if kind == "video"]
    seconds = (max(pictures) - min(pictures)) * len(pictures) / (len(pictures) - 1)
    return sum(int(size) for _, _, size in packets) * 8 / seconds, len(pictures) / seconds


def promtool(*words, **more):
    """Its complaints; none when all is well."""
    done = subprocess.run(["promtool", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    return [line for line in done.stdout.splitlines() if line.strip()] or ["it says nothing"] if done.returncode else []


def named(text):
    """Measurements that a text speaks of, without a histogram's endings."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(text)}


def dashboard():
    """Complaints about the dashboard, and the text of its queries."""
    board, faults = json.loads(DASHBOARD.read_text()), []
    needed = {"uid", "title", "schemaVersion", "panels", "templating", "time", "tags"}
    faults += [f"no {field}" for field in needed - set(board)]
    variables = {variable["name"] for variable in board["templating"]["list"]}
    faults += [f"no variable {name}" for name in {"datasource", "instance", "stream"} - variables]
    panels = board["panels"]
    if len({panel["id"] for panel in panels}) < len(panels):
        faults.append("two panels have one id")
    taken, queries = set(), []
    for panel in panels:
        faults += [f"panel {panel.get('title')}: no {field}" for field in {"id", "type", "title", "gridPos"} - set(panel)]
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & taken or place["x"] + place["w"] > 24:
            faults.append(f"panel {panel['title']} lies over another one or outside")
        taken |= cells
        if panel["type"] != "row":
            faults += [f"panel {panel['title']}: no query"] if not panel.get("targets") else []
            queries += [target["expr"] for target in panel["targets"] if target["datasource"]["uid"] == "${datasource}"]
    # As recording rules, so that promtool reads them.
    rules = [{"record": f"query:{number}", "expr": re.sub(r"\$(instance|stream)", ".*", expr.replace("$__rate_interval", "1m"))} for number, expr in enumerate(queries)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=KEPT) as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        faults += promtool("check", "rules", file.name)
    return faults, "\n".join(queries)


def documents(page):
    """What is said of measurements and alerts against what there is."""
    table = {name for line in (MONITORING / "README.md").read_text().splitlines() if line.startswith("| `weir_") for name in NAME.findall(line.split("|")[1])}
    faults, queries = dashboard()
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    manual = (ROOT / "docs" / "operations.md").read_text()
    tests = (MONITORING / "weir-alerts-test.yml").read_text()
    measured = {name for name in page.names if name.startswith("weir_")}
    return [
        empty("faults of the alert rules", promtool("check", "rules", RULES)),
        empty("failed tests of the alert rules", promtool("test", "rules", "weir-alerts-test.yml", cwd=MONITORING)),
        empty("alerts without a test or a line in operations.md", [alert for alert in alerts if f'"{alert}"' not in tests or f"`{alert}`" not in manual]),
        empty("faults of the dashboard", faults),
        empty("measurements of rules and dashboard that are on no page", sorted(named(RULES.read_text() + queries) - page.names - ELSEWHERE)),
        empty("documented measurements that are on no page", sorted(table - measured - ELSEWHERE)),
        empty("measurements that are not documented", sorted(measured - table)),
    ]


def watch(weir, stream, srt_stream):
    """The encoder of `stream` beside what is measured of it; the later page."""
    bits, frames = sent(source().path())
    wait_until("a steady encoder", 60, lambda: scrape(exported(weir)).value("weir_output_frames_total", stream=stream["id"]) > 30 * SETTLED)
    first = scrape(exported(weir))
    time.sleep(SPAN)
    page = scrape(exported(weir))
    of = {"stream": stream["id"], "slot": "primary", "protocol": "rtmp"}
    bitrate = first.rate(page, "weir_ingest_bytes_total", **of) * 8
    fps = first.rate(page, "weir_ingest_video_frames_total", **of)
    started = page.value("weir_stream_startup_seconds_sum", stream=stream["id"])
    return page, [
        within("ingest bit rate over the encoder's", bitrate / bits, 1 - ADRIFT, 1 + ADRIFT, ""),
        within("ingest frame rate over the encoder's", fps / frames, 1 - ADRIFT, 1 + ADRIFT, ""),
        within("output frame rate over the encoder's", first.rate(page, "weir_output_frames_total", stream=stream["id"]) / frames, 1 - ADRIFT, 1 + ADRIFT, ""),
        within("distance of keyframes", page.value("weir_ingest_gop_seconds", **of), 0.95, 1.05),
        equal("starts counted", page.value("weir_stream_startup_seconds_count", stream=stream["id"]), 1),
        within("time to a playlist that plays", started, 0.1, 5),
        within("round trip by SRT on loopback", page.value("weir_ingest_rtt_seconds", stream=srt_stream["id"]), 0, 0.2, "s", 4),
        equal("refusals of a wrong token", page.value("weir_publish_refusals_total", stream=stream["id"], rule="not_authorized") > 0, True),
        equal("playlists delivered", page.value("weir_delivery_requests_total", kind="master", code="200") > 0, True),
        equal("streams on air", page.value("weir_stream_on_air"), 2),
    ]


def traces(collector, secrets):
    """What the collector was sent. Spans come in batches, 5 s apart."""
    wanted = [b"publish", b"granted", b"not_authorized", b"start", b"POST", b"/streaming/streams"]
    with contextlib.suppress(Failed):
        wait_until("spans at the collector", 20, lambda: all(word in collector.said() for word in wanted))
    said = collector.said()
    return [empty("spans that never came", [word.decode() for word in wanted if word not in said]), empty("secrets, names and addresses in traces", [secret for secret in secrets if secret.encode() in said])]


def source():
    return Source("metrics", 640, 360, "30", 12, kbps=1200, gop=1)


def exported(weir):
    return f"http://127.0.0.1:{weir.metrics_port}/metrics"


def access(weir):
    """Who gets the page, and that its own listener has nothing else."""
    get = weir.http.get
    return [
        equal("without the API key", get(weir.base + "/metrics")[0], 401),
        equal("on metrics.listen without it", get(exported(weir))[0], 200),
        equal("anything else on metrics.listen", [get(exported(weir).replace("/metrics", path))[0] for path in ("/ops/tree", "/streaming/streams", "/")], [404] * 3),
    ]


def metrics(short):
    """Measurements beside what encoders send; promtool on page, rules, tests and queries; names in documents; secrets; traces"""
    port, = free_ports(1)
    source().make()
    with contextlib.ExitStack() as held:
        collector = held.enter_context(Collector())
        more = f'[metrics]\nlisten = "127.0.0.1:{port}"\n[pull]\nallow = ["127.0.0.0/8"]\n[telemetry]\notlp_endpoint = "{collector.url}"\n'
        weir = held.enter_context(Weir("metrics", more, doors=("srt", "https")))
        weir.metrics_port = port
        stream, other = (weir.create_stream("360p", name="name-that-is-secret") for _ in range(2))
        dead, = free_ports(1)
        weir.create_stream(pull=True, uri=f"rtmp://127.0.0.1:{dead}/live/dead-secret")
        encoders = held.enter_context(contextlib.ExitStack())
        encoders.enter_context(Encoder.copy(source().path(), stream["push_url"], loops=-1))
        [command] = door_encoders.ffmpeg_srt(door_encoders.target(weir, other, "srt"), programme())
        encoders.enter_context(Encoder(command[5:]))
        for playing in (stream, other):
            weir.wait_playable(playing, 40)
        with contextlib.suppress(Failed), Encoder.copy(source().path(), re.sub(r"\?.*", "?wrong", stream["push_url"])) as refused:
            refused.process.wait(20)
        page, figures = watch(weir, stream, other)
        figures += access(weir)
        full = scrape(weir.base + "/metrics", API_KEY)
        secrets = [stream["token"], other["token"], API_KEY, "secret", "127.0.0.1"]
        figures += [
            empty("complaints of promtool about the page", promtool("check", "metrics", input=full.text)),
            empty("secrets, names and addresses on the page", [secret for secret in secrets if secret in full.text]),
            *documents(page),
            *traces(collector, secrets),
        ]
        encoders.close()
        for gone in (stream, other):
            weir.delete(gone)
        left = [f"{name} of stream {gone['id']}" for gone in (stream, other) for name, labels in scrape(exported(weir)).samples if ("stream", str(gone["id"])) in labels]
        return [*figures, empty("measurements of deleted streams", left), Figure("size of the page", f"{len(full.text) / 1024:.0f} KiB")]
