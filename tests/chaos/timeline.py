"""The laws of the timeline: what manifests and media may say, whatever happens. Each law yields (when, what is wrong) and counts what it looked at."""

import re
import xml.etree.ElementTree as xml

from model import date, run_of

ROUNDING = 2e-5  # playlists say durations with five decimals
AAC_FRAME = 1024 / 48000
DASH = {"": "urn:mpeg:dash:schema:mpd:2011"}
LONGEST_HOLE = 10.0  # seconds that the output makes up for; longer ones begin a broadcast
PATIENCE = 6.0  # seconds, three target durations: a blocking reload that got no media by then answers 503 (RFC 8216bis 6.2.5.2)
LINGER_EARLY, LINGER_LATE = 1.0, 6.0  # tolerance of the end of a broadcast, seconds


def segments(history):
    """(stream, file, poll, segment) of every listing."""
    for stream, file, poll in history.seen:
        for segment in poll.playlist.segments:
            yield stream, file, poll, segment


def numbers_match(history, count):
    """A playlist's segments are numbered without a hole from its media sequence number, and named after their numbers."""
    for stream, file, poll in history.seen:
        count()
        playlist = poll.playlist
        yield from ((poll.t1, f"{stream}/{file}: {fault}") for fault in playlist.faults)
        listed = [segment.number for segment in playlist.segments]
        if listed != list(range(playlist.sequence, playlist.sequence + len(listed))):
            yield poll.t1, f"{stream}/{file} lists {listed} from {playlist.sequence}"


def numbers_never_go_back(history, count):
    """Media sequence, discontinuity sequence and newest part only grow, over crashes and restarts of everything."""
    for stream in history.streams:
        for file in history.playlists(stream):
            told = sorted(history.answered(stream, file), key=lambda poll: poll.t1)
            marks, best, at = [], (0, 0, (0, 0)), 0
            for poll in sorted(told, key=lambda poll: poll.t):
                # Only what was answered before this was asked is surely older.
                while at < len(told) and told[at].t1 <= poll.t:
                    earlier = told[at].playlist
                    mark = (earlier.sequence, earlier.discontinuity_sequence, earlier.newest)
                    best = tuple(map(max, best, mark))
                    at += 1
                count()
                now = poll.playlist
                for what, value, before in zip(("media sequence", "discontinuity sequence", "newest part"),
                                               (now.sequence, now.discontinuity_sequence, now.newest), best):
                    if value < before:
                        yield poll.t1, f"{stream}/{file}: {what} {value} after {before}"


def one_number_one_place(history, count):
    """A number has one broadcast, one discontinuity number and one date, in every rendition and for ever."""
    known = {}
    for stream, file, poll, segment in segments(history):
        count()
        says = (segment.run, segment.discontinuity, segment.date)
        first = known.setdefault((stream, segment.number), says)
        if says[:2] != first[:2] or abs((says[2] or 0) - (first[2] or 0)) > 0.0015:
            yield poll.t1, f"{stream}/{file}: segment {segment.number} is {says}, was {first}"


def places(history, stream):
    """Number -> (broadcast, discontinuity number, date) as first told, in order of numbers."""
    known = {}
    for of, _, _, segment in segments(history):
        if of == stream:
            known.setdefault(segment.number, segment)
    return dict(sorted(known.items()))


def discontinuities_where_due(history, count):
    """Another broadcast has a higher discontinuity number, and the same broadcast has the same."""
    for stream in history.streams:
        earlier = None
        for number, segment in places(history, stream).items():
            if earlier:
                count()
                same = segment.run == earlier.run
                if same != (segment.discontinuity == earlier.discontinuity) or segment.discontinuity < earlier.discontinuity:
                    yield 0, (f"{stream}: {number} of broadcast {segment.run} has discontinuity {segment.discontinuity}, "
                              f"{earlier.number} of {earlier.run} has {earlier.discontinuity}")
                if not same and number != segment.run and number - segment.run > 24:
                    yield 0, f"{stream}: broadcast {segment.run} is first seen at {number}"
            earlier = segment


def broadcasts_go_on(history, count):
    """A new broadcast begins only after the server went, the encoder stayed away, or over 10 s could not be made."""
    for stream in history.streams:
        first_seen, begins, dates = {}, {}, {}
        for of, file, poll, segment in segments(history):
            if of == stream:
                begins[segment.run] = min(begins.get(segment.run, segment.date), segment.date)
                first_seen[segment.run] = min(first_seen.get(segment.run, poll.t1), poll.t1)
                newest = dates.setdefault(segment.run, {})
                newest[file] = max(newest.get(file, 0), segment.date)
        runs = sorted(first_seen)
        for before, after in zip(runs, runs[1:]):
            count()
            reason = any(first_seen[before] <= begin <= first_seen[after] for begin, _ in history.gone[stream])
            reason = reason or any(begin <= first_seen[after] <= end + 20 for begin, end in history.away[stream])
            # The hole counts from the rendition that was furthest behind; its last segment's date is that of its begin.
            if not reason and begins[after] - min(dates[before].values()) <= LONGEST_HOLE:
                yield first_seen[after], f"{stream}: broadcast {after} follows {before} without a reason"


def dates_go_forward(history, count):
    """PROGRAM-DATE-TIME never goes back, and within a broadcast goes on by exactly the segments' length."""
    for stream in history.streams:
        earlier = None
        for segment in places(history, stream).values():
            if segment.date is None:
                yield 0, f"{stream}: {segment.number} has no date"
                continue
            if earlier and segment.number == earlier.number + 1:
                count()
                if earlier.date > segment.date - 0.1:
                    yield 0, f"{stream}: {segment.number} at {segment.date:.3f}, {earlier.number} at {earlier.date:.3f}"
            if earlier and segment.run == earlier.run:
                count()
                grid = grid_seconds(history, stream, segment.run)
                step = (segment.date - earlier.date) / (segment.number - earlier.number)
                if grid and abs(step - grid) > 0.0025:
                    yield 0, f"{stream}: {earlier.number} to {segment.number} is {step:.4f} s each, the grid has {grid:.4f}"
            if earlier and earlier.date > segment.date:
                yield 0, f"{stream}: date goes back from {earlier.date:.3f} to {segment.date:.3f} at {segment.number}"
            earlier = segment


def whole(history, stream, run):
    """(track, number) -> (start, duration) in seconds as fractions of the track's ticks, of whole segments of a broadcast."""
    found = {}
    for (of, file), taken in history.media.items():
        match = re.fullmatch(r"seg-(\d+)-(\d+)\.m4s", file)
        if match and of == stream and run_of(taken[0]["map"]) == run and taken[0]["chunks"]:
            timescale = history.timescales.get((stream, taken[0]["map"]))
            chunks = taken[0]["chunks"]
            if timescale:
                found[int(match[1]), int(match[2])] = (chunks[0][0] / timescale, sum(chunk[1] for chunk in chunks) / timescale)
    return found


def runs(history, stream):
    return sorted({run_of(record["map"]) for record in history.of("media") if record["s"] == stream})


def audio(history, stream):
    """Number of the audio track: the last playlist."""
    return max((int(re.search(r"\d+", file)[0]) for file in history.playlists(stream)), default=0)


def grid_seconds(history, stream, run):
    """Length of a segment as the first whole video segment has it."""
    cache = history.__dict__.setdefault("_grid", {})
    if (stream, run) not in cache:
        lengths = [length for (track, _), (_, length) in sorted(whole(history, stream, run).items()) if track == 0]
        cache[stream, run] = lengths[0] if lengths else None
    return cache[stream, run]


def timestamps_join(history, count):
    """Within a broadcast each chunk starts exactly where the one before ended, sound too: nothing goes back, nothing is missing."""
    chains = {}
    for (stream, file), taken in history.media.items():
        match = re.fullmatch(r"(?:seg-(\d+)-(\d+)|part-(\d+)-(\d+)\.(\d+))\.m4s", file)
        if not match:
            continue
        track, number = int(match[1] or match[3]), int(match[2] or match[4])
        places = chains.setdefault((stream, run_of(taken[0]["map"]), track), {})
        place = (number, -1 if match[5] is None else int(match[5]))
        places[place] = (taken[0]["t"], taken[0]["chunks"])
    for (stream, run, track), places in chains.items():
        # A whole segment tells more than its parts: the parts count only where the segment was not got.
        got = {number for number, part in places if part < 0}
        earlier, end = None, None
        for (number, part), (at, chunks) in sorted(places.items()):
            if part >= 0 and number in got:
                continue
            follows = earlier in ((number, part - 1), (number - 1, -1)) if part > 0 else earlier is not None and earlier[0] == number - 1
            for index, (start, length, _) in enumerate(chunks):
                count()
                if length <= 0:
                    yield at, f"{stream}: track {track} segment {number} has a chunk of {length} ticks"
                if end is not None and start < end:
                    yield at, f"{stream}: track {track} goes back to {start} at segment {number}, {end} was reached"
                elif end is not None and start != end and (index or (follows and (part > 0 or earlier[1] < 0))):
                    yield at, f"{stream}: track {track} segment {number} starts at {start}, the one before ended at {end}"
                end = start + length
            earlier = (number, part)


def number_is_place_on_the_grid(history, count):
    """A segment starts at its number's slot on the grid of its broadcast, in every rendition alike; sound within one AAC frame."""
    for stream in history.streams:
        sound = audio(history, stream)
        for run in runs(history, stream):
            grid = grid_seconds(history, stream, run)
            for (track, number), (start, _) in whole(history, stream, run).items():
                count()
                off = start - (number - run) * grid if grid else 0
                if abs(off) > (AAC_FRAME if track == sound else 1e-6):
                    yield 0, f"{stream}: track {track} segment {number} of broadcast {run} starts {off:+.4f} s off its slot"


def published_once(history, count):
    """A name has one content for ever, and a segment is its parts one after the other."""
    parts = {}
    for (stream, file), taken in history.media.items():
        for record in taken:
            count()
            if record["chunks"] != taken[0]["chunks"] or record["n"] != taken[0]["n"]:
                yield record["t"], f"{stream}/{file} has changed"
        match = re.fullmatch(r"part-(\d+)-(\d+)\.(\d+)\.m4s", file)
        if match:
            parts.setdefault((stream, match[1], match[2]), {})[int(match[3])] = taken[0]["chunks"]
    for (stream, track, number), of in parts.items():
        segment = history.media.get((stream, f"seg-{track}-{number}.m4s"))
        if segment and set(of) == set(range(len(of))):
            joined = [chunk for _, chunks in sorted(of.items()) for chunk in chunks]
            if joined != segment[0]["chunks"][:len(joined)]:
                yield segment[0]["t"], f"{stream}: segment {number} of track {track} is not its parts"


def media_is_whole(history, count):
    """What is downloaded is CMAF that can be read."""
    for record in [*history.of("init"), *history.of("media")]:
        if record["st"] == 200:
            count()
            if "damaged" in record:
                yield record["t"], f"{record['s']}/{record['f']}: {record['damaged']}"


def same_in_every_rendition(history, count):
    """Every rendition of a broadcast has every number of it, from the first on."""
    for stream in history.streams:
        listed = {}
        for _, file, _, segment in (entry for entry in segments(history) if entry[0] == stream):
            listed.setdefault(segment.run, {}).setdefault(file, set()).add(segment.number)
        for run, files in listed.items():
            union = set().union(*files.values())
            for file in history.playlists(stream):
                count()
                missing = sorted(union - files.get(file, set()) - {max(union)})
                # The end of a killed server's broadcast may have been seen in one playlist only.
                missing = [number for number in missing if number < max(union) - 1 or number == run]
                if missing:
                    yield 0, f"{stream}/{file} never had {missing[:3]} of broadcast {run}"
                elif sorted(union) != list(range(min(union), max(union) + 1)):
                    yield 0, f"{stream}/{file}: broadcast {run} has holes in its numbers"


def durations_are_true(history, count):
    """EXTINF and PART DURATION are what the media lasts, and no segment is longer than the target."""
    checked = set()
    for stream, file, poll, segment in segments(history):
        told = [(part.file, part.seconds) for part in segment.parts]
        if segment.file:
            told.append((segment.file, segment.seconds))
            if segment.seconds is None or round(segment.seconds) > poll.playlist.target:
                yield poll.t1, f"{stream}: {segment.file} of {segment.seconds} s exceeds the target {poll.playlist.target}"
        for name, seconds in told:
            taken = history.media.get((stream, name))
            if not taken or (stream, name, seconds) in checked:
                continue
            checked.add((stream, name, seconds))
            count()
            timescale = history.timescales.get((stream, taken[0]["map"]))
            lasts = sum(chunk[1] for chunk in taken[0]["chunks"]) / timescale if timescale else None
            if lasts is None or seconds is None or abs(lasts - seconds) > ROUNDING:
                yield poll.t1, f"{stream}: {name} lasts {lasts} s and is listed with {seconds} s"


def listed_can_be_had(history, count):
    """What a playlist lists can be downloaded while its server lives."""
    for record in history.of("media") + history.of("init"):
        count()
        if record["st"] != 200 and not history.is_gone(record["s"], record["t"], record["t1"]):
            yield record["t"], f"{record['s']}/{record['f']} answered {record['st']}"


def manifests_answer(history, count):
    """A manifest that has answered 200 answers 200. Only from a server's end to new media: no answer, or 404 for one second. A blocking
    reload may run out of patience: that there was no media for so long is another law's matter."""
    for (stream, file), polls in history.polls.items():
        for poll in polls:
            count()
            if poll.status == 200 or (poll.status == 503 and poll.blocking and poll.t1 - poll.t >= PATIENCE):
                continue
            if not history.is_gone(stream, poll.t, poll.t1):
                yield poll.t1, f"{stream}/{file} answered {poll.status} after {poll.t1 - poll.t:.2f} s"
            elif poll.status == 404 and poll.cache != "public, max-age=1":
                yield poll.t1, f"{stream}/{file} answered 404 with {poll.cache}"
            elif poll.status not in (0, 404):
                yield poll.t1, f"{stream}/{file} answered {poll.status} while the server was restarted"


def ends_only_after_the_linger(history, count):
    """ENDLIST comes when no media came for the linger, in every playlist; at no other time, not even when the server is told to go."""
    linger = history.meta["linger"]
    for stream in history.streams:
        due = [(begin + linger - LINGER_EARLY, end + 20) for begin, end in history.away[stream]]
        for file in history.playlists(stream):
            ended = [poll for poll in history.answered(stream, file) if poll.playlist.ended]
            for poll in ended:
                count()
                allowed = any(begin <= poll.t1 <= end for begin, end in due)
                if not allowed:
                    yield poll.t1, f"{stream}/{file} has an ENDLIST"
            for begin, end in history.away[stream]:
                if end < history.end and end - begin > linger + LINGER_LATE - 1 and not overlaps_server(history, begin, end):
                    count()
                    first = min((poll.t1 for poll in ended if poll.t1 >= begin), default=float("inf"))
                    if first > begin + linger + LINGER_LATE:
                        yield begin, f"{stream}/{file} has no ENDLIST {linger + LINGER_LATE:.0f} s after the encoder went"


def overlaps_server(history, begin, end):
    return any(fault.kind.startswith("server") and begin - 5 <= fault.begin <= end for fault in history.faults)


def dash_agrees(history, count):
    """The MPD numbers as the playlists do: same first number, same names, and by its clock the newest segment of HLS."""
    wall = history.meta["wall"]
    for stream in history.streams:
        tracks = {re.search(r"\d+", file)[0] for file in history.playlists(stream)}
        known = {segment.run for segment in places(history, stream).values()}
        newest = next((history.advances[key] for key in sorted(history.advances) if key[0] == stream), [])
        at, parsed = 0, {}
        for poll in history.answered(stream, "index.mpd"):
            count()
            mpd = parsed.get(poll.text) or parsed.setdefault(poll.text, read_mpd(poll.text))
            if mpd is None:
                yield poll.t1, f"{stream}: the MPD cannot be read"
                continue
            if mpd["tracks"] != tracks or not mpd["names"]:
                yield poll.t1, f"{stream}: the MPD has {sorted(mpd['tracks'])}, the playlists have {sorted(tracks)}"
            if mpd["run"] not in known or (mpd["live"] and mpd["start"] != mpd["run"]):
                yield poll.t1, f"{stream}: the MPD starts at {mpd['start']} in {mpd['run']}, the playlists know {sorted(known)[-2:]}"
            while at + 1 < len(newest) and newest[at + 1][0] <= poll.t1:
                at += 1
            if mpd["live"] and newest and newest[at][0] <= poll.t1 <= newest[at][0] + 1 and mpd["run"] <= newest[at][1][0]:
                by_clock = mpd["run"] + int((poll.t1 + wall - mpd["available"]) / mpd["length"])
                # The output is at most a segment behind its clock while it advances, a part while it is not catching up.
                if not -2 <= by_clock - newest[at][1][0] <= 8:
                    yield poll.t1, f"{stream}: by the MPD's clock it is {by_clock}, HLS is at {newest[at][1][0]}"


def read_mpd(text):
    try:
        root = xml.fromstring(text)
        period = root.find("Period", DASH)
        templates = period.findall("AdaptationSet/SegmentTemplate", DASH)
        run = int(period.get("id"))
        return {
            "run": run, "live": root.get("type") == "dynamic", "start": int(templates[0].get("startNumber")),
            "names": all(t.get("media") == "seg-$RepresentationID$-$Number$.m4s" and t.get("startNumber") == templates[0].get("startNumber")
                         and t.get("initialization") == f"init-{run}-$RepresentationID$.mp4" for t in templates),
            "tracks": {r.get("id") for r in period.findall("AdaptationSet/Representation", DASH)},
            "length": int(templates[0].get("duration")) / int(templates[0].get("timescale")),
            "available": date(root.get("availabilityStartTime")) if root.get("type") == "dynamic" else 0,
        }
    except (xml.ParseError, AttributeError, TypeError, ValueError, IndexError):
        return None


LAWS = [
    numbers_match, numbers_never_go_back, one_number_one_place, discontinuities_where_due, broadcasts_go_on, dates_go_forward,
    timestamps_join, number_is_place_on_the_grid, published_once, media_is_whole, same_in_every_rendition, durations_are_true,
    listed_can_be_had, manifests_answer, ends_only_after_the_linger, dash_agrees,
]
