"""What a recording of a pulled stream shows and sounds of: which of a list's sources each picture and each moment of sound is of.

A source is told by the mark in its pictures' numbers and by its tone (`failover_sources.py`).
"""

import dataclasses
import math
import statistics

from door_programme import Programme
from failover_reading import Picture, step_faults, switches, sync
from failover_sources import MARK_SHIFT, Encoded

NAMES = ("first", "second", "third")  # of the sources of a list
TONES = dict(zip(NAMES, (440, 700, 1130)))  # Hz; none is a multiple of another
RATE = 8000  # of the sound that is looked through for tones
WINDOW = 0.1  # seconds
PURE = 0.5  # share of a window's power that its tone has at least; a beep is noise over all of it
SHORTEST = 0.3  # seconds of a tone that count; at a switch both may be heard in one window
HEARD = 0.7  # share of a stretch's windows in which its tone is heard at least: one in ten is a beep
EDGE = 0.3  # seconds of sound at the ends of a stretch that say nothing
SYNC_LIMIT = 0.040  # seconds
SETTLED = 4.5  # seconds of a source's begin that are not judged: it joins at a keyframe, and how late its sound comes is learned on air


def source(number, seconds=60):
    """The programme of the source at that place of the list, from 0."""
    return Programme(Encoded(f"pull-{number}", False, 640, 360, 30, 1, 48000, seconds, kbps=700, label=f"Source {number + 1}",
                             mark=number + 1, tone=TONES[NAMES[number]]))


def marked(shown):
    """The same pictures by source in the place of slot, and by number within it."""
    def one(picture):
        mark = 0 if picture.number is None else picture.number >> MARK_SHIFT
        if not 1 <= mark <= len(NAMES):
            return dataclasses.replace(picture, slot=None, number=None)
        return Picture(picture.at, NAMES[mark - 1], picture.number & (1 << MARK_SHIFT) - 1, picture.white)
    return [one(picture) for picture in shown]


def power(window, hertz, rate=RATE):
    """Share of a window's power that a frequency has, by Goertzel's algorithm."""
    turn = 2 * math.cos(2 * math.pi * hertz / rate)
    before = last = 0.0
    for sample in window:
        before, last = last, sample + turn * last - before
    whole = sum(sample * sample for sample in window)
    return 2 * (last * last + before * before - turn * last * before) / (len(window) * whole) if whole else 0.0


def tones(sound):
    """(time, name of the source or None) of each window of a `Sound`."""
    step, found = round(WINDOW * sound.rate), []
    for at in range(0, len(sound.samples) - step + 1, step):
        window = sound.samples[at:at + step]
        shares = {name: power(window, hertz, sound.rate) for name, hertz in TONES.items()}
        best = max(shares, key=shares.get)
        found.append((sound.origin + at / sound.rate, best if shares[best] >= PURE else None))
    return found


def order(values):
    """The values in their order, None left out, each once however often it comes in a row."""
    told = [value for value in values if value is not None]
    return [value for index, value in enumerate(told) if not index or value != told[index - 1]]


def sounding_order(heard):
    """The sources in the order in which they are heard long enough."""
    lasting, least = [], round(SHORTEST / WINDOW)
    for index, (_, name) in enumerate(heard):
        if name is not None and [other for _, other in heard[index:index + least]] == [name] * least:
            lasting.append(name)
    return order(lasting)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Pictures of one source from a switch to the next."""

    source: str
    pictures: list
    gap: float  # seconds from the last picture before it that was a new one to its first; 0 for the first stretch

    @property
    def last(self):
        """When its last picture was first shown."""
        index = len(self.pictures) - 1
        while index and self.pictures[index - 1].what == self.pictures[index].what:
            index -= 1
        return self.pictures[index].at


def stretches(shown):
    """The stretches of marked pictures, in order."""
    known = [picture for picture in shown if picture.slot]
    found = []
    for begin, end in zip([0, *(cuts := switches(known))], [*cuts, len(known)]):
        if begin == end:
            continue
        own = known[begin:end]
        found.append(Stretch(own[0].slot, own, own[0].at - found[-1].last if found else 0.0))
    return found


def stretch_faults(stretch, heard, beeps, source, least_new=None):
    """What is wrong with a stretch once it has settled and before it is held: a picture left out or shown twice, or with `least_new` fewer new
    ones than that share; another tone; sound out of step."""
    begin, end = stretch.pictures[0].at + SETTLED, stretch.last
    judged = [picture for picture in stretch.pictures if begin <= picture.at <= end]
    new = sum(a.number != b.number for a, b in zip(judged, judged[1:])) / max(1, len(judged) - 1)
    if least_new is None:
        faults = step_faults(judged)
    else:
        faults = [f"only {100 * new:.0f} % of {len(judged)} pictures are new ones"] if new < least_new else []
    windows = [name for at, name in heard if begin + EDGE <= at <= end - EDGE]
    own = windows.count(stretch.source)
    if not windows or own < HEARD * len(windows):
        faults.append(f"its tone is heard in {own} of {len(windows)} windows")
    if others := sorted(set(windows) - {stretch.source, None}):
        faults.append(f"tones of {others}")
    marks = [offset for at, offset in sync(stretch.pictures, beeps, {stretch.source: source}) if begin <= at <= end]
    if not marks:
        faults.append("no flash with its beep")
    elif abs(statistics.median(marks)) > SYNC_LIMIT:
        faults.append(f"sound minus picture {1000 * statistics.median(marks):+.0f} ms")
    return [f"{stretch.source}: {fault}" for fault in faults]
