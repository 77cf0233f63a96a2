"""Lines about what HTTP opens to whom: other machines, proxies, pages of other origins. Asked by curl, in a network of its own.

Loopback stands for this machine. Addresses of a documentation network on the same interface stand for other machines: a request from
one of them to another has a peer that is not loopback, as one from a real other machine has.
"""

import dataclasses
import itertools
import json
import os
import re
import socket
import subprocess
import sys

from door_encoders import DOORS
from report import ROOT, Failed, Figure, empty, equal
from server import API_KEY, Weir

SERVER, STRANGER, PROXY = "192.0.2.1", "192.0.2.2", "192.0.2.3"
CLAIMED = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "live.example.org", "X-Forwarded-Proto": "https"}
LOOPBACK_CLAIMS = [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1;proto=https"}, {"X-Real-IP": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}]
SERVERS = {
    "default": {},
    "allow_plain": {"WEIR__HTTP__ALLOW_PLAIN": "true"},
    "trusted_proxies": {"WEIR__HTTP__TRUSTED_PROXIES": json.dumps([PROXY])},
}
# What looks like an open path and is none.
SNEAKY = ["//ops/tree", "/cmaf/../ops/tree", "/streams/../ops/tree", "/assets/..%2f..%2fops%2ftree", "/healthz/../streaming/streams", "/%6fps/tree",
          "/./ops/tree", "/healthz%2f..%2fops%2ftree", "/cmaf/%2e%2e/ops/tree", "/OPS/tree"]
EXPOSED_BY_WHIP = {"location", "etag", "link", "x-reason-code"}


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict  # lower-case names
    body: str


def curl(url, source=None, method="GET", headers=(), body=None):
    """What curl got; from the address `source`."""
    command = ["curl", "--silent", "--show-error", "--insecure", "--path-as-is", "--include", "--max-time", "10", "--request", method]
    command += ["--interface", source] if source else []
    for name, value in dict(headers).items():
        command += ["--header", f"{name}: {value}"]
    command += ["--data-binary", body] if body is not None else []
    done = subprocess.run([*command, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"curl {method} {url}: {done.stderr.strip()}")
    head, _, rest = done.stdout.replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    return Answer(int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}, rest)


def http_rules(short):
    """Every rule of plain HTTP, proxy headers and cross-origin requests, by curl from this machine and from others."""
    alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    done = subprocess.run([*alone, sys.executable, __file__], cwd=ROOT / "tests" / "accept", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=180)
    if done.returncode:
        raise Failed(done.stderr.strip()[-400:])
    return [Figure(**figure) for figure in json.loads(done.stdout.splitlines()[-1])]


def in_own_network():
    if others := [name for _, name in socket.if_nameindex() if name != "lo"]:
        sys.exit(f"http_rules: this is not a network of its own, there is {others[0]}; run `accept.py --only http_rules`")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (SERVER, STRANGER, PROXY):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    figures = []
    for name, environment in SERVERS.items():
        with Weir(f"http_rules_{name}", doors=("https", "whip"), http_host="0.0.0.0", environment=environment) as weir:
            rules = Rules(name, weir)
            figures += rules.plain() + rules.proxies()
            if name == "default":
                figures += rules.cross_origin()
    return figures


class Rules:
    """One server and what is asked of it."""

    def __init__(self, name, weir):
        self.name, self.weir = name, weir
        self.stream = weir.create_stream("360p")
        self.id, self.token = self.stream["id"], self.stream["token"]
        self.key = {"Authorization": f"APIKey {API_KEY}"}
        asset = re.search(r'"(/assets/[^"]+)"', curl(f"{weir.base}/streams/1_{self.id}").body)
        self.open = ["/healthz", f"/cmaf/1_{self.id}/master.m3u8", f"/cmaf/1_{self.id}/index.mpd", f"/streams/1_{self.id}", asset[1]]
        self.shut = [("GET", path) for path in (
            "/", "/readyz", "/openapi.json", "/streaming/streams", f"/streaming/streams/{self.id}", "/streaming/quality_sets", "/ops/tree", "/ops/streams",
            f"/ops/streams/{self.id}", f"/ops/streams/{self.id}/journal", "/ops/refusals", f"/ops/streams/{self.id}/refusals")]
        self.shut += [("POST", "/streaming/streams"), ("POST", f"/streaming/streams/{self.id}/reset_push_token"), ("PATCH", f"/streaming/streams/{self.id}"),
                      ("DELETE", "/streaming/streams/999999")]
        self.shut += [(method, path) for path in (f"/{self.id}_{self.token}/whip", f"/{self.id}/whip") for method in ("POST", "OPTIONS")]

    def url(self, path, host=SERVER, secure=False):
        return f"https://{host}:{self.weir.https_port}{path}" if secure else f"http://{host}:{self.weir.http_port}{path}"

    def ask(self, method, path, source, headers=(), secure=False):
        host = "127.0.0.1" if source is None else SERVER
        body = "{}" if method in ("POST", "PATCH") else None
        return curl(self.url(path, host, secure), source, method, self.key | {"Content-Type": "application/json"} | dict(headers), body)

    def figure(self, what, faults):
        return empty(f"{self.name}: {what}", faults)

    def plain(self):
        """403 for what is shut, and for nothing else."""
        figures = []
        shut_to = {"default": [STRANGER, PROXY], "allow_plain": [], "trusted_proxies": [STRANGER]}[self.name]
        for who, source in (("this machine", None), ("another machine", STRANGER), ("the proxy's address", PROXY)):
            for secure in (False, True):
                closed = source in shut_to and not secure
                faults = [f"{path} {answer.status}" for path in self.open if (answer := self.ask("GET", path, source, secure=secure)).status in (401, 403)]
                # Last, because it changes the token that the others need.
                shut = sorted(self.shut, key=lambda asked: "reset" in asked[1])
                for method, path in shut:
                    status = self.ask(method, path, source, secure=secure).status
                    # WHIP answers 403 of its own to a wrong token, and there the right one is in the path.
                    if (status == 403) != closed and not (path == f"/{self.id}/whip" and not closed):
                        faults.append(f"{method} {path.replace(self.token, 'TOKEN')} {status}")
                self.refresh()
                scheme = "HTTPS" if secure else "HTTP"
                figures.append(self.figure(f"{scheme} from {who}: {'only what viewers need' if closed else 'everything'} answers; {len(self.open) + len(shut)} requests, faults", faults))
        if shut_to:
            data = [path for path in SNEAKY if self.ask("GET", path, STRANGER).status == 200]
            figures.append(self.figure(f"paths that only look open, of {len(SNEAKY)}: answered", data))
            claims = [f"{claim}: {answer.status}" for claim, path in itertools.product(LOOPBACK_CLAIMS, ("/ops/tree", "/streaming/streams"))
                      if (answer := self.ask("GET", path, STRANGER, claim)).status != 403]
            figures.append(self.figure("a stranger who claims to be this machine: let in", claims))
        bare = [f"{path} {answer.status}" for path in ("/streaming/streams", "/ops/tree") if (answer := curl(self.url(path, "127.0.0.1"))).status != 401]
        return [*figures, self.figure("without the key, from this machine: not 401", bare)]

    def refresh(self):
        """The stream as it is after a reset of its token."""
        old = self.token
        self.stream = self.weir.stream(self.stream)
        self.token = self.stream["token"]
        self.shut = [(method, path.replace(old, self.token)) for method, path in self.shut]

    def proxies(self):
        """Who may say under which name, and how, the client has come."""
        figures = []
        path = f"/streaming/streams/{self.id}"
        for who, source, secure in (("this machine", None, False), ("another machine", STRANGER, True), ("the proxy's address", PROXY, True)):
            answer = self.ask("GET", path, source, CLAIMED, secure)
            if answer.status != 200:
                figures.append(Figure(f"{self.name}: {path} from {who}", str(answer.status), "200", False))
                continue
            told = json.loads(answer.body)["iframe_url"]
            believed = self.name == "trusted_proxies" and source == PROXY
            host = "127.0.0.1" if source is None else SERVER
            own = f"https://{host}:{self.weir.https_port}" if secure else f"http://{host}:{self.weir.http_port}"
            figures.append(equal(f"{self.name}: URLs after X-Forwarded-Host and -Proto from {who}", told.partition("/streams/")[0],
                                 "https://live.example.org" if believed else own))
        if self.name == "trusted_proxies":
            answer = self.ask("GET", path, PROXY, CLAIMED)
            told = json.loads(answer.body)["iframe_url"] if answer.status == 200 else str(answer.status)
            figures.append(equal("trusted_proxies: URLs by plain HTTP from the proxy, for a client by HTTPS", told.partition("/streams/")[0], "https://live.example.org"))
        return figures

    def cross_origin(self):
        """What pages of other origins may read."""
        origin = {"Origin": "https://shop.example.org"}
        preflight = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type, if-match"}
        faults = []
        for path in (f"/cmaf/1_{self.id}/master.m3u8", f"/cmaf/1_{self.id}/index.mpd"):
            if curl(self.url(path, "127.0.0.1"), headers=origin).headers.get("access-control-allow-origin") != "*":
                faults.append(f"GET {path}")
            if curl(self.url(path, "127.0.0.1"), method="OPTIONS", headers=preflight).headers.get("access-control-allow-origin") != "*":
                faults.append(f"OPTIONS {path}")
        figures = [self.figure("manifests that a page of another origin may not read", faults)]
        readable = [path for path in ("/streaming/streams", "/ops/tree", "/ops/streams")
                    if "access-control-allow-origin" in curl(self.url(path, "127.0.0.1"), headers=origin | self.key).headers]
        figures.append(self.figure("API that a page of another origin may read", readable))
        return figures + (self.whip_cross_origin(origin, preflight) if "whip" in DOORS else [])

    def whip_cross_origin(self, origin, preflight):
        """A page of another origin is what publishes."""
        faults = []
        for path in (f"/{self.id}_{self.token}/whip", f"/{self.id}/whip"):
            answer = curl(self.url(path, "127.0.0.1"), method="OPTIONS", headers=preflight)
            allowed = {word.strip().lower() for word in answer.headers.get("access-control-allow-methods", "").split(",")}
            headers = {word.strip().lower() for word in answer.headers.get("access-control-allow-headers", "").split(",")}
            if answer.status not in (200, 204) or answer.headers.get("access-control-allow-origin") not in ("*", origin["Origin"]):
                faults.append(f"preflight {answer.status}, origin {answer.headers.get('access-control-allow-origin')}")
            faults += [f"preflight does not allow {method}" for method in ("post", "patch", "delete") if method not in allowed]
            # A star does not cover Authorization (Fetch, CORS-unsafe request headers).
            faults += [f"preflight does not allow {name}" for name in ("content-type", "authorization", "if-match") if name not in headers and (name == "authorization" or "*" not in headers)]
        wrong = curl(self.url(f"/{self.id}_{'0' * 32}/whip", "127.0.0.1"), method="POST", headers=origin | {"Content-Type": "application/sdp"}, body="v=0\r\n")
        exposed = {word.strip().lower() for word in wrong.headers.get("access-control-expose-headers", "").split(",")}
        if wrong.headers.get("x-reason-code") != "2002" or wrong.headers.get("access-control-allow-origin") not in ("*", origin["Origin"]):
            faults.append(f"refusal {wrong.status}, reason {wrong.headers.get('x-reason-code')}, origin {wrong.headers.get('access-control-allow-origin')}")
        faults += [f"{name} is not exposed" for name in sorted(EXPOSED_BY_WHIP - exposed)]
        return [self.figure("what a page of another origin needs of WHIP and does not get", faults)]


if __name__ == "__main__":
    print(json.dumps([dataclasses.asdict(figure) for figure in in_own_network()]))
