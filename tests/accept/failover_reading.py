"""What a recording shows: the programme picture in each output picture, where pictures are held, how the sound runs, and how both go together."""

import array
import dataclasses
import math
import operator
from fractions import Fraction

import barcode
import probe
from failover_sources import BACKUP_BIT, FLASH_EVERY
from report import Failed

RATE = 48000
SILENT = 12  # of 32768; the programme's noise and its codecs leave no millisecond below it
SHORTEST_SILENCE = 0.004  # seconds
MARGIN = 0.25  # seconds round a switch or a hold in which a flash or beep may be cut
LIKE_RATE, LIKE_WINDOW, LIKE_RANGE = 8000, 0.25, 0.08
LIKE = 0.5  # likeness of sound and programme where they belong together
LUMA = "crop=iw:ih*3/4:0:0,scale=4:1:flags=area,format=gray"
WHITE = 200


@dataclasses.dataclass(frozen=True)
class Picture:
    at: float  # seconds in the recording
    slot: str | None  # whose it is; None where there is no code to read
    number: int | None
    white: bool = False

    @property
    def what(self):
        return (self.slot, self.number)


@dataclasses.dataclass(frozen=True)
class Held:
    """A picture that was shown more than once."""

    at: float
    slot: str
    number: int
    times: int


def pictures(path):
    """Every picture of a video file, in the order of display."""
    width = barcode.BLOCKS + 4
    filters = f"[0:v]split[a][b];[a]{barcode.ROW}[code];[b]{LUMA}[luma];[code][luma]hstack[out]"
    raw = probe.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-filter_complex", filters, "-map", "[out]",
                     "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
    track = probe.track(path)
    times = [float(track.seconds(ticks)) for ticks in sorted(track.pts)]
    rows = [raw[at:at + width] for at in range(0, len(raw), width)]
    if len(rows) != len(times):
        raise Failed(f"{len(times)} packets and {len(rows)} pictures in {path.name}")
    found = []
    for at, row in zip(times, rows):
        code = barcode.number(row[:barcode.BLOCKS])
        slot = None if code is None else "backup" if code & BACKUP_BIT else "primary"
        found.append(Picture(at, slot, None if code is None else code & ~BACKUP_BIT, min(row[barcode.BLOCKS:]) > WHITE))
    return found


def switches(shown):
    """Indices of the pictures that are the first of another slot."""
    known = [(index, picture) for index, picture in enumerate(shown) if picture.slot]
    return [index for (index, picture), (_, before) in zip(known[1:], known) if picture.slot != before.slot]


def holds(shown, more_than=1):
    """Pictures that were shown more often than that in a row."""
    found, first = [], 0
    for index in range(1, len(shown) + 1):
        if index == len(shown) or shown[index].what != shown[first].what:
            if index - first > more_than:
                found.append(Held(shown[first].at, *shown[first].what, index - first))
            first = index
    return found


def longest_hold(shown):
    return max((held.times for held in holds(shown)), default=1)


def step_faults(shown, step=1):
    """Where the counter does not go on by exactly `step`, or cannot be read."""
    faults = [f"no code at {picture.at:.3f} s" for picture in shown if picture.number is None]
    for before, now in zip(shown, shown[1:]):
        if None not in (before.number, now.number) and now.number - before.number != step:
            faults.append(f"{now.at:.3f} s: {before.slot} {before.number}, then {now.slot} {now.number}")
    return faults


def between(shown, begin, end):
    return [picture for picture in shown if begin <= picture.at <= end]


class Sound:
    """Decoded sound, mono; `origin` is the time of its first sample."""

    def __init__(self, path, rate=RATE):
        self.rate = rate
        first = probe.run(["ffprobe", "-v", "error", "-select_streams", "a:0", "-read_intervals", "%+#1", "-show_entries", "frame=pts_time",
                           "-of", "csv=p=0", path]).decode().split()[0]
        self.origin = float(first.rstrip(","))
        self.samples = array.array("h", probe.run(
            ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:a:0", "-ac", 1, "-ar", rate, "-f", "s16le", "-"]))

    @property
    def beeps(self):
        """Times of the onset of each beep."""
        return [self.origin + at for at in probe.onsets(self.samples, self.rate)]

    def window(self, at, seconds):
        """Samples from that time on; fewer at the ends."""
        begin = round((at - self.origin) * self.rate)
        return self.samples[max(0, begin):max(0, begin + round(seconds * self.rate))]


def silences(samples, rate=RATE, origin=0.0):
    """(begin, seconds) of each stretch in which no millisecond has a sound."""
    step, found, since = rate // 1000, [], None
    for at in range(0, len(samples) - step + 1, step):
        window = samples[at:at + step]
        if max(window) < SILENT and min(window) > -SILENT:
            since = at if since is None else since
        elif since is not None:
            found.append((since, at))
            since = None
    if since is not None:
        found.append((since, len(samples)))
    return [(origin + a / rate, (b - a) / rate) for a, b in found if (b - a) / rate >= SHORTEST_SILENCE]


def likeness(window, programme):
    """(lag in samples of `programme`, normalised correlation) where both are most alike."""
    own = math.sqrt(sum(map(operator.mul, window, window)))
    best = (0, -1.0)
    length = len(window)
    energy = sum(map(operator.mul, programme[:length], programme[:length]))
    for lag in range(len(programme) - length + 1):
        part = programme[lag:lag + length]
        if lag:
            energy += part[-1] ** 2 - programme[lag - 1] ** 2
        value = sum(map(operator.mul, window, part)) / (own * math.sqrt(energy) + 1e-9)
        if value > best[1]:
            best = (lag, value)
    return best


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in the programme the sound of a moment is."""

    at: float
    programme: float
    like: float


def places(sound, programme, shown, fps, times):
    """Place of the sound at each of `times`, looked for round the picture of that moment; `fps` is by slot."""
    found = []
    # A picture that is held says where the programme was when it was first shown.
    new = [shown[0]] + [now for before, now in zip(shown, shown[1:]) if now.number is not None and now.what != before.what]
    for at in times:
        picture = max((p for p in new if p.at <= at), key=lambda p: p.at)
        guess = float(Fraction(picture.number, fps[picture.slot])) + at - picture.at
        window = sound.window(at, LIKE_WINDOW)
        begin = max(0, round((guess - LIKE_RANGE - programme.origin) * programme.rate))
        lag, like = likeness(window, programme.samples[begin:begin + len(window) + round(2 * LIKE_RANGE * programme.rate)])
        found.append(Place(at, programme.origin + (begin + lag) / programme.rate, like))
    return found


def sound_faults(found, tolerance=0.003):
    """Where the sound is not the programme's, or does not go on by exactly the time that passes."""
    faults = [f"{place.at:.2f} s: sound is not the programme's, likeness {place.like:.2f}" for place in found if place.like < LIKE]
    good = [place for place in found if place.like >= LIKE]
    for before, now in zip(good, good[1:]):
        jump = (now.programme - before.programme) - (now.at - before.at)
        if abs(jump) > tolerance:
            faults.append(f"{now.at:.2f} s: sound jumps by {1000 * jump:+.1f} ms")
    return faults


def sync(shown, beeps, sources):
    """(time of the flash, beep minus flash less what the source itself has) in seconds, of every mark that no switch or hold cuts."""
    cuts = [shown[index].at for index in switches(shown)]
    cuts += [edge for held in holds(shown, 2) for edge in (held.at, held.at + held.times * (shown[1].at - shown[0].at))]
    found = []
    for before, now in zip(shown, shown[1:]):
        if not now.white or before.white or now.slot is None:
            continue
        source = sources[now.slot]
        into = now.number % (FLASH_EVERY * source.fps)
        flash = now.at - into / source.fps
        beep = min(beeps, key=lambda beep: abs(beep - flash), default=None)
        if into > 1 or beep is None or abs(beep - flash) > 0.9 or any(abs(cut - edge) < MARGIN for cut in cuts for edge in (flash, beep)):
            continue
        found.append((flash, beep - flash - source.own_offset))
    return found
