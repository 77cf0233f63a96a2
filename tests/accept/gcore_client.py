"""Drives the official `gcore` client against a running Weir. Run by the `gcore` line inside `.venv`.

    gcore_client.py BASE_URL API_KEY SOURCE.flv

Prints the figures as JSON. Nothing but the base URL differs from a program that talks to the original service.
"""

import dataclasses
import json
import subprocess
import sys

import gcore
from report import empty, equal, wait_until

base, key, source = sys.argv[1:]
client = gcore.Gcore(api_key=key, base_url=base, max_retries=0)
streams = client.streaming.streams
figures = []


def check(what, value, goal):
    figures.append(equal(what, value, goal))


sets = client.streaming.quality_sets.list()
small = next(entry for entry in sets.live if [quality.name for quality in entry.qualities] == ["360p"])

stream = streams.create(name="client test", active=True, pull=False, quality_set_id=small.id)
check("create: name, active, pull, live", [stream.name, stream.active, stream.pull, stream.live], ["client test", True, False, False])
check("create: quality_set_id", stream.quality_set_id, small.id)
check("create: source fields are null before a push",
      [stream.stream_source_type, stream.video_width, stream.frame_rate], [None, None, None])
check("list holds it", [entry.name for entry in streams.list() if entry.id == stream.id], ["client test"])
check("get gives the same push_url", streams.get(stream.id).push_url == stream.push_url, True)
renamed = streams.update(stream.id, stream={"name": "renamed"})
check("patch", [renamed.name, renamed.active], ["renamed", True])

encoder = subprocess.Popen(
    ["ffmpeg", "-nostdin", "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "flv", stream.push_url])
try:
    wait_until("live", 10, lambda: streams.get(stream.id).live)
    wait_until("transcoding", 10, lambda: streams.get(stream.id).transcoded_qualities)
    now = streams.get(stream.id)
    check("live", now.live, True)
    check("transcoded_qualities", now.transcoded_qualities, ["360p"])
    check("video_width x video_height", [now.video_width, now.video_height], [640, 360])
    check("frame_rate", float(now.frame_rate), 30.0)
    check("stream_source_type", now.stream_source_type, "rtmp")
    check("started_at_primary is set", now.started_at_primary is not None, True)

    # The client has no method for it; this is how its users call an endpoint it does not know.
    reset = client.post(f"/streaming/streams/{stream.id}/reset_push_token", cast_to=object)
    check("reset_push_token gives a new URL", isinstance(reset, dict) and reset.get("push_url") not in (None, stream.push_url), True)
    wait_until("the encoder's end after the reset", 5, lambda: encoder.poll() is not None)
finally:
    encoder.kill()
    encoder.wait()
wait_until("live false", 8, lambda: not streams.get(stream.id).live)

streams.delete(stream.id)
gone = []
try:
    streams.get(stream.id)
    gone.append("still there")
except gcore.NotFoundError:
    pass
figures.append(empty("deleted streams that are still there", gone))
try:
    streams.create(name="")
    check("create without a name", "taken", "422")
except gcore.UnprocessableEntityError as refused:
    check("create without a name", list(refused.body.get("errors", {})), ["name"])
try:
    gcore.Gcore(api_key="wrong", base_url=base, max_retries=0).streaming.streams.list()
    check("wrong API key", "taken", "401")
except gcore.AuthenticationError:
    check("wrong API key", "401", "401")
print(json.dumps([dataclasses.asdict(figure) for figure in figures]))
