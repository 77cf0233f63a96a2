"""A stream that is pulled: how it is made, and what the server tells of its sources."""

import json

from failover_rig import Watch, journal
from report import wait_until

LOOPBACK = ("127.0.0.0/8",)
STALL = 3.0  # seconds, the default
CONNECT = 1.0  # seconds that the way to a source on loopback may take, its answers and an SRT latency included
GOP = 1.0  # seconds between keyframes of the sources
VIEW = 0.3  # seconds that the operator's view may be late


def settings(retry=None, give_up=None, allow=LOOPBACK, more=""):
    """TOML; the defaults where nothing is said."""
    times = "".join(f'{key} = "{value}"\n' for key, value in (("retry_every", retry), ("give_up", give_up)) if value)
    return f"[pull]\nallow = {json.dumps(list(allow))}\n{times}{more}"


def create(weir, *uris, rung="360p"):
    """An active stream that is pulled from these addresses in turn."""
    return weir.create_stream(rung, pull=True, uri=" ".join(uris))


def change(weir, stream, **fields):
    return weir.api("PATCH", f"/streaming/streams/{stream['id']}", fields)


def told(weir, stream):
    """What is said of its pulling; empty when it is not pulled."""
    return weir.detail(stream)["pull"] or {}


def source_on(pull):
    """The source that delivers, from 0; None when none does."""
    return pull["source"] if pull.get("state") == "on" else None


def wait_on(weir, stream, source, limit):
    wait_until(f"media of source {source + 1}", limit, lambda: source_on(told(weir, stream)) == source, every=0.02)


def session(weir, stream):
    return weir.detail(stream)["slots"][0]["session"] or {}


def pull_entries(weir, stream):
    """The journal's entries about pulling, oldest first."""
    return [entry for entry in journal(weir, stream) if entry["event"] == "pull"]


class PullWatch(Watch):
    """Follows the source that delivers, too."""

    def told(self, detail):
        return super().told(detail) | {"source": source_on(detail["pull"] or {})}
