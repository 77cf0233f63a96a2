"""As much of CMAF (ISO/IEC 14496-12) as the laws of the timeline need: timescale, and the start and length of every chunk."""

import functools
import hashlib
import struct


class Damaged(ValueError):
    """The bytes are not what they should be."""


def boxes(data, at=0, end=None):
    """(type, start of the payload, end) of each box between two offsets."""
    end = len(data) if end is None else end
    while at < end:
        if end - at < 8:
            raise Damaged(f"{end - at} bytes behind the last box")
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if size < head or at + size > end:
            raise Damaged(f"box {kind!r} of {size} bytes in {end - at}")
        yield kind.decode("latin-1"), at + head, at + size
        at += size


def find(data, path, at=0, end=None):
    """Payload bounds of the first box at a path such as `moov/trak/mdia/mdhd`."""
    first, _, rest = path.partition("/")
    for kind, start, stop in boxes(data, at, end):
        if kind == first:
            return find(data, rest, start, stop) if rest else (start, stop)
    raise Damaged(f"no {first}")


def readable(read):
    """`read`, whose fields lie outside of the data when the data is damaged."""
    @functools.wraps(read)
    def reading(*arguments):
        try:
            return read(*arguments)
        except (struct.error, IndexError) as why:
            raise Damaged(f"a field lies outside of its box: {why}") from why
    return reading


@readable
def init(data):
    """Timescale and default sample duration of an initialization segment with one track."""
    start, _ = find(data, "moov/trak/mdia/mdhd")
    long = data[start] == 1
    timescale = struct.unpack_from(">I", data, start + (20 if long else 12))[0]
    start, _ = find(data, "moov/mvex/trex")
    return timescale, struct.unpack_from(">I", data, start + 12)[0]


def traf(data, start, end, default):
    """Decode time and duration of one track fragment, in ticks."""
    time = duration = None
    for kind, at, _ in boxes(data, start, end):
        flags = struct.unpack_from(">I", data, at)[0] & 0xFFFFFF
        if kind == "tfhd":
            field = at + 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
            if flags & 8:
                default = struct.unpack_from(">I", data, field)[0]
        elif kind == "tfdt":
            time = struct.unpack_from(">Q" if data[at] else ">I", data, at + 4)[0]
        elif kind == "trun":
            count = struct.unpack_from(">I", data, at + 4)[0]
            field = at + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
            each = 4 * bin(flags & 0xF00).count("1")
            if flags & 0x100:
                run = sum(struct.unpack_from(">I", data, field + each * sample)[0] for sample in range(count))
            else:
                run = count * default
            duration = (duration or 0) + run
    if time is None or duration is None:
        raise Damaged("track fragment without a time or without samples")
    return time, duration


@readable
def chunks(data, default):
    """Each chunk of a part or segment: [start in ticks, duration in ticks, SHA-256 of its bytes up to the end of its mdat]."""
    found, begin, timing = [], 0, None
    for kind, start, end in boxes(data):
        if kind == "moof":
            if timing:
                raise Damaged("two moof without mdat")
            timing = traf(data, *find(data, "traf", start, end), default)
        elif kind == "mdat":
            if not timing:
                raise Damaged("mdat without moof")
            found.append([*timing, hashlib.sha256(data[begin:end]).hexdigest()[:24]])
            begin, timing = end, None
    if timing or begin != len(data):
        raise Damaged("bytes behind the last chunk")
    return found
