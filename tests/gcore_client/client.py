"""Drives the official `gcore` client (PyPI) against a running Weir: only its base URL is changed.

    client.py BASE_URL API_KEY

Needs a server without streams and with the quality sets of config.toml. Exits with an error at the first difference.
"""

import sys

import gcore

base, key = sys.argv[1:]
client = gcore.Gcore(api_key=key, base_url=base, max_retries=0)
streams = client.streaming.streams


def refused(kind, call, status):
    """The client's own exception class, by which its users tell failures apart."""
    try:
        call()
    except kind as error:
        assert error.status_code == status, error
        return error.body
    raise AssertionError(f"not refused with {status}")


# Create: flat, the way the client sends it.
made = streams.create(name="first", client_user_id=7)
assert made.id and made.name == "first" and made.active is False and made.live is False, made
assert made.push_url.startswith("rtmp://") and made.push_url.endswith(f"/in/{made.id}?{made.token}"), made.push_url
assert made.backup_push_url == made.push_url.replace(f"/in/{made.id}?", f"/in/{made.id}b?"), made.backup_push_url
assert made.push_url_srt.startswith("srt://") and made.push_url_srt.endswith(f"?streamid={made.id}#{made.token}"), made
assert made.backup_push_url_srt.endswith(f"?streamid={made.id}b#{made.token}"), made.backup_push_url_srt
assert made.push_url_whip.endswith(f"/{made.id}_{made.token}/whip"), made.push_url_whip
assert made.backup_live is False and made.started_at_backup is None and made.active_ingest_region_backup is None, made
assert made.iframe_url.endswith(f"/streams/1_{made.id}"), made.iframe_url
assert made.hls_cmaf_url.endswith(f"/cmaf/1_{made.id}/master.m3u8"), made.hls_cmaf_url
assert made.dash_url.endswith(f"/cmaf/1_{made.id}/index.mpd"), made.dash_url
assert made.record_type == "origin" and made.dvr_duration == 3600 and made.hls_mpegts_endlist_tag is True, made
assert made.created_at is not None and made.started_at_primary is None, made

# Get and update: wrapped, the way the client sends it.
assert streams.get(made.id) == made
changed = streams.update(made.id, stream={"name": "second", "active": True})
assert (changed.name, changed.active, changed.client_user_id) == ("second", True, 7), changed
assert streams.get(made.id).name == "second"

# Quality sets.
sets = client.streaming.quality_sets.list()
small = next(one for one in sets.live if [quality.name for quality in one.qualities] == ["360p"])
assert sets.vod == [] and sum(one.default for one in sets.live) == 1, sets
assert streams.update(made.id, stream={"quality_set_id": small.id}).quality_set_id == small.id
chosen = client.streaming.quality_sets.set_default(live={"id": small.id})
assert [one.id for one in chosen.live if one.default] == [small.id], chosen
back = client.streaming.quality_sets.set_default(live={"id": None})
assert [one.id for one in back.live if one.default] == [one.id for one in sets.live if one.default], back

# The client has no method for it; this is how its users call what it does not know.
reset = client.post(f"/streaming/streams/{made.id}/reset_push_token", cast_to=object)
assert reset["token"] != made.token and reset["push_url"].endswith(reset["token"]), reset
assert reset["backup_push_url"].endswith(f"/in/{made.id}b?{reset['token']}"), reset

# Lists: the client's own paging, then pages by number.
for number in range(29):
    streams.create(name=f"n{number}")
assert len(list(streams.list())) == 25
assert len(list(streams.list(page=2))) == 5
assert list(streams.list(page=3)) == []
assert list(streams.list(with_broadcasts=1))[0].broadcasts == []

# Failures come as the client's own exception classes.
body = refused(gcore.UnprocessableEntityError, lambda: streams.create(name=""), 422)
assert body == {"errors": {"name": ["can't be blank"]}}, body
body = refused(gcore.UnprocessableEntityError, lambda: streams.update(made.id, stream={"dvr_enabled": True}), 422)
assert body == {"error": "Feature is disabled. Contact support to enable."}, body
refused(gcore.UnprocessableEntityError, lambda: streams.start_recording(made.id), 422)
refused(gcore.NotFoundError, lambda: streams.get(987654321), 404)
stranger = gcore.Gcore(api_key="wrong", base_url=base, max_retries=0)
refused(gcore.AuthenticationError, lambda: list(stranger.streaming.streams.list()), 401)

# Delete.
assert streams.delete(made.id) is None
refused(gcore.NotFoundError, lambda: streams.get(made.id), 404)
print("ok")
