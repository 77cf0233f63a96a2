"""The line on the API's description: what the server does is what `/openapi.json` says, whatever is asked."""

import json
import re
import subprocess

from door_encoders import venv_python
from report import KEPT, ROOT, Failed, Figure, empty, equal
from server import API_KEY, Weir

CONFIG = ROOT / "tests" / "accept" / "schemathesis.toml"
EXAMPLES, SHORT_EXAMPLES = 60, 10  # of each operation
LIMIT = 900  # seconds
REFUSED = (401, 403, 404)
METHODS = ("get", "put", "post", "delete", "patch")


def openapi(short):
    """schemathesis with all its checks against `/openapi.json`; every operation without a key and with a wrong one."""
    tool = ROOT / venv_python()
    with Weir("openapi") as weir:
        weir.create_stream("360p")
        description = json.loads(weir.http.get(weir.base + "/openapi.json")[1])
        keyed = [(method, path) for path, item in description["paths"].items() for method in METHODS if method in item and item[method].get("security") != [{}]]
        let_in = [f"{method} {path} {key}: {status}" for method, path in keyed for key in ("", "APIKey 1$wrong", "APIKey", "Basic YTpi")
                  if (status := asked(weir, method, path, key)) not in REFUSED]
        done = subprocess.run(
            [tool.with_name("schemathesis"), "--config-file", CONFIG, "run", weir.base + "/openapi.json", "-H", f"Authorization: APIKey {API_KEY}",
             "--checks", "all", "--max-examples", str(SHORT_EXAMPLES if short else EXAMPLES), "--seed", "1", "--continue-on-failure", "--no-color"],
            cwd=weir.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        weir.alive()
    log = KEPT / "schemathesis.log"
    log.write_text(done.stdout)
    cases = re.search(r"(\d+) generated", done.stdout)
    tested = re.search(r"Tested: (\d+)", done.stdout)
    if not cases or not tested:
        raise Failed(f"schemathesis says neither what it tested nor what it found, see {log}: {done.stdout[-300:]}")
    operations = sum(method in item for item in description["paths"].values() for method in METHODS)
    found = re.findall(r"^(?:- )(ST\d+ .*)$", done.stdout, re.MULTILINE)
    return [
        Figure("operations that want a key", str(len(keyed))),
        empty("of them answered without a key, or with a wrong one, other than 401, 403 or 404", let_in),
        equal("operations that schemathesis tested", int(tested[1]), operations),
        Figure("requests that it made up", cases[1]),
        empty("what it found", found),
        equal("its exit code", done.returncode, 0),
    ]


def asked(weir, method, path, key):
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", "10", "--write-out", "%{http_code}", "--request", method.upper()]
    if key:
        command += ["--header", f"Authorization: {key}"]
    address = weir.base + re.sub(r"\{\w+\}", "1", path)
    return int(subprocess.run([*command, address], stdout=subprocess.PIPE, text=True, check=True).stdout)
