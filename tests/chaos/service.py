"""The laws of a service that never stops: how soon the output goes on, who is disturbed, what the processes take, what the API keeps."""

import json
import re

KILLED, STOPPED = 2.0, 4.0  # seconds to the next part after a worker was killed or stopped
DRAINED = 0.15  # what a dead worker has sent is shelved after this
STEADY = 12.0  # a worker that ran this long undisturbed is replaced at once; one that dies sooner waits for its backoff
BACKOFF = 12.0  # seconds to the next part even then: 8 s of backoff and the start
PAUSE = 2.0  # longest time between two parts when nothing was done to the stream's worker or to the server
SERVER_BACK = 20.0  # seconds from a server's end to new media: its start, the encoder's retry and its rate limit
RECOVERED = {"worker": 6.0, "encoder": 17.0, "server": 20.0, "disk": 6.0}  # seconds after a fault's end until all is well
FRESH = 1.5  # a part not older than this is "advancing"
WRITES_BACK = 8.0  # seconds after a disk fault: the busy timeout and a margin
ORPHAN = 2.0  # seconds a worker may outlive its server
LIMITS = {"rss_kb": 400_000, "fds": 400, "threads": 64}  # of the server process
SPARE_WORKERS = 1  # being replaced
LOG_LINES, LOG_WINDOW = 100, 10.0  # lines the server may log in so many seconds


def isolated(history, fault, before, after):
    """Nothing else was done to this stream, the server or the disk from `before` seconds before to `after` seconds after."""
    return not any(other is not fault and other.stream in (None, fault.stream)
                   and other.begin <= fault.begin + after and other.end >= fault.begin - before for other in history.faults)


def next_parts(history, fault):
    """Seconds from a fault to the next part of each playlist of its stream; infinite when there was none. What a plain poll shows that
    was sent once the dead worker's last parts were shelved counts as old, even where it is new already."""
    for file in history.playlists(fault.stream):
        polls = history.answered(fault.stream, file)
        asked = [poll for poll in polls if poll.t >= fault.begin + DRAINED and not poll.blocking]
        base = min(asked, key=lambda poll: poll.t).playlist.newest if asked else (float("inf"), 0)
        yield file, next((poll.t1 for poll in polls if poll.playlist.newest > base), float("inf")) - fault.begin


def worker_is_replaced(history, count):
    """After a worker was killed the next part comes within 2.0 s, after it was stopped within 4.0 s; later only by its backoff."""
    for fault in history.faults:
        if not fault.kind.startswith("worker") or history.is_gone(fault.stream, fault.begin - 1, fault.begin + STOPPED):
            continue
        alone = isolated(history, fault, STEADY, STOPPED) and not history.is_gone(fault.stream, fault.begin - STEADY, fault.begin)
        goal = (KILLED if fault.kind == "worker_kill" else STOPPED) if alone else BACKOFF
        worst = max((took for _, took in next_parts(history, fault)), default=float("inf"))
        if any(other.on_server or other.kind == "server_stop" for other in history.faults
               if other.begin <= fault.begin + goal and other.end >= fault.begin):
            continue
        count(f"{fault.kind}{'' if alone else ', not alone'}: next part, s", worst)
        if worst > goal:
            yield fault.begin, f"{fault}: next part after {worst:.2f} s, allowed {goal} s"


def excuses(history, stream):
    """Times in which this stream's output may stop: its worker, or the server, was disturbed, or it had ended."""
    windows = list(history.gone[stream])
    for fault in history.faults:
        if fault.kind.startswith("worker") and fault.stream == stream:
            windows.append((fault.begin, max(fault.end, fault.begin + BACKOFF)))
        elif fault.kind == "server_stop":
            windows.append((fault.begin, fault.end + STOPPED))
        elif fault.on_server:
            windows.append((fault.begin, fault.begin + 1))
    for begin, end in history.away[stream]:
        windows.append((begin + history.meta["linger"] - 2, end + SERVER_BACK))
    return windows


def pauses(history):
    """(stream, playlist, begin, end) of each time between two new parts."""
    for (stream, file), steps in history.advances.items():
        times = [at for at, _ in steps]
        stop = max((poll.t1 for poll in history.answered(stream, file)), default=0)
        yield from ((stream, file, *pair) for pair in zip(times, times[1:] + [stop]))


def output_goes_on(history, count):
    """Parts keep coming, whatever happens to encoders, to the disk and to the other stream."""
    for stream, file, begin, end in pauses(history):
        windows = excuses(history, stream)
        if any(start <= end and begin <= stop for start, stop in windows):
            continue
        aimed = [fault for fault in history.faults if fault.begin - 0.5 <= end and begin <= fault.end + 1]
        kind = "undisturbed"
        if any(fault.on_disk for fault in aimed):
            kind = "a bad disk"
        if any(fault.stream not in (None, stream) for fault in aimed):
            kind = "faults of the other stream"
        if any(fault.stream == stream for fault in aimed):
            kind = "faults of its encoder"
        count(f"between two parts, {kind}, s", end - begin)
        if end - begin > PAUSE:
            yield begin, f"{stream}/{file}: no part for {end - begin:.2f} s during {kind}"


def server_comes_back(history, count):
    """After the server's end each stream has new media in bounded time; a full disk may only delay it."""
    for stream, windows in history.gone.items():
        for begin, back in windows:
            if any(start <= back and begin <= stop for start, stop in history.away[stream]):
                continue
            free = max([fault.end for fault in history.faults if fault.on_disk and fault.begin <= begin + SERVER_BACK and fault.end >= begin],
                       default=begin)
            if max(begin, free) + SERVER_BACK > history.end and back == float("inf"):
                continue
            count("server ended: new media, s", back - begin)
            if back - max(begin, free) > SERVER_BACK:
                yield begin, f"{stream}: new media {back - begin:.1f} s after the server's end"


def innocent_is_undisturbed(history, count):
    """A fault aimed at one stream changes nothing of the other: same worker, same session, no restart."""
    for fault in history.faults:
        if fault.stream is None:
            continue
        for other in (stream for stream in history.streams if stream != fault.stream):
            until = fault.end + 3
            if any(f is not fault and (f.stream == other or f.kind.startswith("server"))
                   and f.begin - 20 <= until and fault.begin - 1 <= f.end + 20 for f in history.faults):
                continue
            seen = [identity(record) for record in history.of("api") if record["s"] == other and record["what"] == "ops"
                    and record["st"] == 200 and fault.begin - 1 <= record["t"] <= until]
            count()
            if len(set(seen)) > 1:
                yield fault.begin, f"{fault} changed (worker, restarts, session) of {other}: {sorted(set(seen), key=str)}"


def identity(record):
    pipeline = record["seen"]["pipeline"] or {}
    sessions = [slot["session"] and slot["session"]["id"] for slot in record["seen"]["slots"]]
    return (pipeline.get("pid"), pipeline.get("restarts"), *sessions)


def all_is_well_again(history, count):
    """After each fault every stream is live, is transcoding and has new parts within a bounded time, and the API takes writes."""
    for fault in history.faults:
        limit = RECOVERED[fault.kind.split("_")[0]]
        others = [other for other in history.faults if other is not fault and other.end > fault.end]
        quiet = min([other.begin for other in others if other.end > fault.end], default=history.end)
        deadline = min(fault.end + limit, quiet, history.end)
        at = {}
        for stream in history.streams:
            at[stream] = well_at(history, stream, fault.end, deadline)
        write = min((record["t1"] for record in history.of("write") if record["st"] == 200 and record["t"] >= fault.end), default=float("inf"))
        took = max(*at.values(), write) - fault.end
        if deadline < fault.end + limit and took > deadline - fault.end:
            continue  # something else happened before this had to be well
        count(f"all well after {fault.kind}, s", took)
        if took > limit:
            yield fault.end, f"{fault}: all well only after {took:.1f} s: {at}, write {write:.1f}"


def well_at(history, stream, since, deadline):
    """First time from `since` at which the stream was seen live and transcoding, with parts of every rendition coming."""
    for record in history.of("api"):
        if record["s"] != stream or record["what"] != "live" or record["t"] < since:
            continue
        seen = record["seen"]
        if record["st"] == 200 and seen.get("live") and seen.get("transcoding_speed") is not None:
            at = record["t1"]
            if all(any(at - FRESH <= step <= at for step, _ in history.advances.get((stream, file), []))
                   for file in history.playlists(stream)):
                return at
        if record["t"] > deadline + 5:
            break
    return float("inf")


def server_lives(history, count):
    """The server ends only when it is told to, or cannot start while its disk is full."""
    exits = [record for record in history.of("server") if record["event"] == "exit" and record["t"] <= history.end]
    born = {record["pid"]: record["t"] for record in history.of("server") if record["event"] == "start"}
    for record in exits:
        count()
        ordered = any(fault.on_server and fault.effect == record["pid"] for fault in history.faults)
        full = any(fault.kind in ("disk_full", "disk_refuse") and fault.begin <= record["t"] <= fault.end + 2 for fault in history.faults)
        never_began = record["t"] - born.get(record["pid"], 0) < 10
        last = record["t"] > history.of("end")[0]["t"] if history.of("end") else False
        if not (ordered or last or (full and never_began)):
            yield record["t"], f"the server ended by itself with code {record['code']}"


def processes_are_bounded(history, count):
    """Memory, files and threads of the server stay within limits, no worker outlives its server, none is left over."""
    orphans = {}
    for record in history.of("process"):
        count()
        for what, limit in LIMITS.items():
            count(f"server {what}", record.get(what, 0))
            if record.get(what, 0) > limit:
                yield record["t"], f"the server has {what} {record[what]}, allowed {limit}"
        count("workers", len(record["workers"]))
        strangers = {pid for pid, parent, _ in record["workers"] if parent != record["server"]}
        for pid in strangers:
            if record["t"] - orphans.setdefault(pid, record["t"]) > ORPHAN:
                yield record["t"], f"worker {pid} outlives its server"
        children = len(record["workers"]) - len(strangers)
        if children > len(history.streams) + SPARE_WORKERS:
            yield record["t"], f"{children} workers for {len(history.streams)} streams"


def disk_is_bad(history, begin, end):
    return any(fault.on_disk and fault.begin <= end and begin <= fault.end + WRITES_BACK for fault in history.faults)


def server_is_away(history, begin, end):
    """Down or stopped at some time between."""
    down = [(died, born) for (_, died), (born, _) in zip(history.lives, history.lives[1:])]
    told = [(fault.begin, fault.end) for fault in history.faults if fault.kind == "server_stop"]
    drains = [(fault.begin, min((born for _, born in down if born > fault.begin), default=fault.end + 15) + 3)
              for fault in history.faults if fault.on_server]
    return any(start - 0.1 <= end and begin <= stop + 3 for start, stop in down + told + drains)


def writes_are_kept(history, count):
    """An accepted write is read back by all that follow; a refused one is refused loudly and leaves nothing, not even half."""
    accepted, tried, refused = 0, set(), set()
    for record in sorted(history.of("write") + history.of("read"), key=lambda record: record["t"]):
        if record["k"] == "write":
            count(f"writes answered {record['st']}", None)
            if record["st"] == 200:
                accepted, tried = record["n"], set()
                continue
            tried.add(record["n"])
            if record["st"] >= 500:
                refused.add(record["n"])
                if not is_json_error(record.get("error", "")):
                    yield record["t"], f"write {record['n']} answered {record['st']} without saying why: {record.get('error')!r}"
            if not (disk_is_bad(history, record["t"], record["t1"]) or server_is_away(history, record["t"], record["t1"])):
                yield record["t"], f"write {record['n']} answered {record['st']} with nothing wrong: {record.get('error')}"
        elif record["st"] == 200:
            count()
            name, data = record["seen"]
            if name != data:
                yield record["t"], f"a write is half there: {name} and {data}"
            seen = int(re.sub(r"\D", "", name) or 0)
            if accepted and seen != accepted and (seen not in tried or seen in refused):
                yield record["t"], f"read {name}, last accepted {accepted}, tried since {sorted(tried)}"
        elif not (disk_is_bad(history, record["t"], record["t1"]) or server_is_away(history, record["t"], record["t1"])):
            yield record["t"], f"a read answered {record['st']}"


def is_json_error(text):
    try:
        return "error" in json.loads(text)
    except ValueError:
        return text.startswith('{"') and "error" in text  # kept shortened


def log_is_calm(history, count):
    """The server does not flood its log."""
    records = history.of("process")
    at = 0
    for record in records:
        while records[at]["t"] < record["t"] - LOG_WINDOW:
            at += 1
        lines = record["log"] - records[at]["log"]
        count("log lines in 10 s", lines)
        if lines > LOG_LINES:
            yield record["t"], f"{lines} log lines in {LOG_WINDOW:.0f} s"


def faults_had_effect(history, count):
    """Each fault did something: otherwise the laws were not tried."""
    for fault in history.faults:
        count(f"faults: {fault.kind}", None)
        idle = fault.effect is None or fault.effect in ({"delayed": 0}, {"refused": 0})
        if fault.kind == "disk_full" and not idle:
            idle = fault.effect["left"] >= 4096
        if idle and not history_has_ended(history, fault):
            yield fault.begin, f"{fault} had no effect"
    full = [fault for fault in history.faults if fault.kind in ("disk_full", "disk_refuse") and fault.end - fault.begin > 3]
    failed = [record for record in history.of("write") if record["st"] >= 500]
    if full and not any(fault.begin <= record["t"] <= fault.end for record in failed for fault in full):
        yield full[0].begin, "no write failed on a full disk"


def history_has_ended(history, fault):
    """No worker to hit: the stream was gone at that moment for a reason of its own."""
    return fault.stream is not None and (history.is_gone(fault.stream, fault.begin, fault.begin)
                                         or any(begin <= fault.begin <= end + 20 for begin, end in history.away[fault.stream]))


LAWS = [
    worker_is_replaced, output_goes_on, server_comes_back, innocent_is_undisturbed, all_is_well_again, server_lives,
    processes_are_bounded, writes_are_kept, log_is_calm, faults_had_effect,
]
