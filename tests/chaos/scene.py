"""A made-up history in which every law holds: what the checker's tests break, one law at a time."""

import hashlib
import json
import time

PART, PARTS = 0.4, 4  # seconds of a part, parts of a segment
LINGER = 30
LENGTH = 130.0
WALL = 1_800_000_000.0  # wall clock at the start
EVERY = 0.2
TRACKS = {"a": 3, "b": 2}  # the last one is sound
IDS = {"a": 1, "b": 2}
WORKER_HOLE = (20.1, 21.3)  # no part of stream a
FULL = (30.0, 36.0)
DOWN = (45.0, 45.5)
BACK = 48.0
AWAY = (60.0, 103.0)
ENDED = AWAY[0] + LINGER + 0.8


class Broadcast:
    def __init__(self, first, discontinuity, begin, stop=LENGTH + 1, ends=None):
        self.first, self.discontinuity, self.begin, self.stop, self.ends = first, discontinuity, begin, stop, ends
        self.epoch = WALL + begin - PART

    def shown(self, t, hole=None):
        """Parts that are there at `t`; those of the hole come together at its end."""
        if hole and hole[0] <= t < hole[1]:
            t = hole[0]
        return max(0, int((min(t, self.stop) - self.begin) / PART + 1e-9) + 1) if t >= self.begin else 0


def stamp(seconds):
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1000 + 0.5):03d}Z"


BROADCASTS = {
    # Stops on whole segments, so that the next broadcast follows in the same playlist.
    "a": [Broadcast(1000, 0, 1.0, DOWN[0]), Broadcast(2000, 1, BACK, ENDED, ENDED), Broadcast(2000 + 27, 2, 105.0)],
    "b": [Broadcast(5000, 0, 1.0, DOWN[0]), Broadcast(6000, 1, BACK)],
}


def hole(stream):
    return WORKER_HOLE if stream == "a" else None


def current(stream, t):
    return next((b for b in reversed(BROADCASTS[stream]) if b.begin <= t), None)


def render(stream, track, t):
    """Media playlist at `t`."""
    broadcast = current(stream, t)
    chain = [broadcast]
    if broadcast is BROADCASTS["a"][-1]:
        chain.insert(0, BROADCASTS["a"][-2])
    end = broadcast.first + broadcast.shown(t, hole(stream)) // PARTS
    first = max(chain[0].first, end - 12)
    chain = [b for b in chain if b is broadcast or b.first + b.shown(t) // PARTS > first]
    tag = chain[0].discontinuity > 0 and first <= chain[0].first
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}",
             f"#EXT-X-DISCONTINUITY-SEQUENCE:{chain[0].discontinuity - tag}"]
    for b in chain:
        if b.discontinuity > 0 and first <= b.first:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f'#EXT-X-MAP:URI="init-{b.first}-{track}.mp4"')
        whole, rest = divmod(b.shown(t, hole(stream)), PARTS)
        for slot in range(max(0, first - b.first), whole + bool(rest and b is broadcast)):
            number = b.first + slot
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{stamp(b.epoch + slot * PART * PARTS)}")
            if number >= end - 3:
                lines += [f'#EXT-X-PART:DURATION=0.40000,URI="part-{track}-{number}.{part}.m4s"'
                          for part in range(PARTS if slot < whole else rest)]
            if slot < whole:
                lines += ["#EXTINF:1.60000,", f"seg-{track}-{number}.m4s"]
    if broadcast.ends and t >= broadcast.ends:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def mpd(stream, t):
    b = current(stream, t)
    ended = b.ends and t >= b.ends
    template = (f'<SegmentTemplate timescale="30" duration="48" startNumber="{b.first}" initialization="init-{b.first}-$RepresentationID$.mp4" '
                'media="seg-$RepresentationID$-$Number$.m4s"/>')
    sets = "".join(f'<AdaptationSet>{template}<Representation id="{track}"/></AdaptationSet>' for track in range(TRACKS[stream]))
    live = "" if ended else f' availabilityStartTime="{stamp(b.epoch)}"'
    return (f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="{"static" if ended else "dynamic"}"{live}>'
            f'<Period id="{b.first}">{sets}</Period></MPD>')


def chunk(stream, b, track, part):
    ticks = 48000 if track == TRACKS[stream] - 1 else 3000
    sha = hashlib.sha256(f"{stream} {b.first} {track} {part}".encode()).hexdigest()[:24]
    return [round(part * PART * ticks), round(PART * ticks), sha]


def is_down(stream, t):
    return DOWN[0] <= t < BACK


def media(stream, taken, t):
    """Downloads of what is new at `t`."""
    b = current(stream, t)
    for track in range(TRACKS[stream]):
        init = f"init-{b.first}-{track}.mp4"
        if (stream, init) not in taken:
            taken.add((stream, init))
            timescale = 48000 if track == TRACKS[stream] - 1 else 3000
            yield {"k": "init", "t": t, "t1": t + 0.01, "s": stream, "f": init, "st": 200, "n": 700, "timescale": timescale}
        shown = b.shown(t, hole(stream))
        names = [(f"part-{track}-{b.first + part // PARTS}.{part % PARTS}.m4s", [part]) for part in range(max(0, shown - 8), shown)]
        names += [(f"seg-{track}-{b.first + slot}.m4s", range(slot * PARTS, slot * PARTS + PARTS))
                  for slot in range(max(0, shown // PARTS - 4), shown // PARTS)]
        for name, parts in names:
            times = 1 if (stream, name) not in taken else 2 if name.startswith("seg") and (stream, name, 2) not in taken else 0
            if times:
                taken.add((stream, name) if times == 1 else (stream, name, 2))
                yield {"k": "media", "t": t, "t1": t + 0.01, "s": stream, "f": name, "map": init, "st": 200, "n": 1000 * len(parts),
                       "chunks": [chunk(stream, b, track, part) for part in parts]}


def polls(stream, t):
    files = ["master.m3u8", "index.mpd"] + [f"media_{track}.m3u8" for track in range(TRACKS[stream])]
    for file in files:
        poll = {"k": "poll", "t": t, "t1": t + 0.005, "s": stream, "by": "poll", "f": file, "q": ""}
        if t < BROADCASTS[stream][0].begin:
            continue
        if t < DOWN[1] and is_down(stream, t):
            yield poll | {"st": 0, "body": "refused", "cache": None, "code": None}
        elif is_down(stream, t):
            yield poll | {"st": 404, "body": "", "cache": "public, max-age=1", "code": "1000"}
        elif file == "master.m3u8":
            yield poll | {"st": 200, "body": "#EXTM3U\n"}
        else:
            yield poll | {"st": 200, "body": mpd(stream, t) if file == "index.mpd" else render(stream, int(file[6]), t)}


def service(t, step):
    """What API, writer and the process table say at `t`."""
    first_life, down = t < DOWN[0], DOWN[0] <= t < DOWN[1]
    if step % 3 == 0:
        for stream in IDS:
            b = current(stream, t)
            on = b is not None and not is_down(stream, t) and not (b.ends and t >= b.ends)
            live = on and not (stream == "a" and AWAY[0] + 3 <= t < AWAY[1] + 2)
            status = 0 if down else 200
            answer = {"k": "api", "t": t, "t1": t + 0.01, "s": stream, "st": status}
            yield answer | {"what": "live", "seen": {"live": live, "transcoding_speed": 1.0 if on else None}}
            restarts = int(stream == "a" and t > WORKER_HOLE[1] and first_life)
            pipeline = {"pid": 100 * IDS[stream] + restarts + 10 * (not first_life), "restarts": restarts} if on else None
            yield answer | {"what": "ops", "seen": {"pipeline": pipeline, "slots": [{"session": {"id": IDS[stream]}}]}}
        n = step // 3 + 1
        refused = FULL[0] <= t < FULL[1]
        if down:
            yield {"k": "write", "t": t, "t1": t, "n": n, "st": 0, "error": "refused"}
            yield {"k": "read", "t": t + 0.01, "t1": t + 0.01, "st": 0, "error": "refused"}
        else:
            said = {"st": 500, "error": '{"error":"the store failed"}'} if refused else {"st": 200}
            yield {"k": "write", "t": t, "t1": t + 0.01, "n": n} | said
            last = n if not refused else int(round(FULL[0] / EVERY)) // 3 + (round(FULL[0] / EVERY) % 3 > 0)
            yield {"k": "read", "t": t + 0.02, "t1": t + 0.03, "st": 200, "seen": [f"write-{last}"] * 2}
        server = 10 if first_life else 20
        workers = [] if down else [[100 * stream_id, server, stream_id] for stream_id in IDS.values()]
        yield {"k": "process", "t": t, "server": server, "log": step // 10, "psi": 1.0, "rss_kb": 30_000, "fds": 50, "threads": 10,
               "workers": workers}


def fault(number, kind, stream, begin, end, effect):
    return [{"k": "fault", "phase": "begin", "id": number, "kind": kind, "s": stream, "t": begin, "seconds": end - begin},
            {"k": "fault", "phase": "end", "id": number, "kind": kind, "s": stream, "t": end, "effect": effect}]


def records():
    """The history's lines, in order of time."""
    made = [{"k": "meta", "t": 0.0, "seed": 0, "seconds": LENGTH, "linger": LINGER, "wall": WALL, "streams": IDS},
            {"k": "server", "t": 0.0, "event": "start", "pid": 10}, {"k": "server", "t": DOWN[0], "event": "exit", "pid": 10, "code": -9},
            {"k": "server", "t": DOWN[1], "event": "start", "pid": 20}, {"k": "end", "t": LENGTH}]
    made += fault(1, "worker_kill", "a", 20.2, 20.21, 100) + fault(2, "disk_full", None, *FULL, {"left": 0})
    made += fault(3, "server_kill", None, DOWN[0] - 0.05, DOWN[0], 10) + fault(4, "encoder_away", "a", *AWAY, 7)
    taken = set()
    for step in range(int(LENGTH / EVERY)):
        t = round(step * EVERY + 0.1, 3)
        for stream in IDS:
            made += polls(stream, t)
            if current(stream, t) and not is_down(stream, t):
                made += media(stream, taken, t)
        made += service(t, step)
    return json.loads(json.dumps(sorted(made, key=lambda record: record["t"])))
