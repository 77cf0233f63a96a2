"""The programme that every door's encoders send, in the form that each of them reads, and what must be seen and heard of it at the other end.

Each picture carries its number, every 2 s there is a flash with a beep (`failover_sources.py`): so it is told by content, not by a
status, whether a door hands on what was sent.
"""

import dataclasses
import functools
import statistics
import subprocess

import hls
from failover_reading import Sound, pictures, silences, step_faults
from failover_sources import FLASH_EVERY, Encoded
from report import Failed

SYNC_LIMIT = 0.040  # seconds; half a picture, and what the form of the programme has itself
STEADY = 0.015  # seconds by which a beep may be nearer to its flash or farther from it than most are
SILENT = 0.050  # seconds of holes in the sound
APART = 0.010  # seconds by which two beeps may be more or less apart than they were sent


@dataclasses.dataclass(frozen=True)
class Programme:
    """Files of one programme, each made from the FLV file once."""

    source: Encoded

    def form(self, suffix, *options, input_options=()):
        flv = self.source.make()
        path = flv.with_suffix(suffix)
        if not path.exists():
            half = path.with_name("half-" + path.name)
            done = subprocess.run(
                ["ffmpeg", "-nostdin", "-v", "error", "-y", *input_options, "-i", flv, *map(str, options), half], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise Failed(f"ffmpeg could not make {path.name}: {done.stderr.strip()[-300:]}")
            half.rename(path)
        return path

    @property
    def flv(self):
        return self.source.make()

    @property
    def ts(self):
        """H.264 and AAC as a transport stream."""
        return self.form(".ts", "-c", "copy", "-f", "mpegts")

    @property
    def hevc_ts(self):
        """HEVC and AAC as a transport stream."""
        fps = self.source.fps
        return self.form(".hevc.ts", "-c:v", "libx265", "-preset", "ultrafast", "-b:v", f"{self.source.kbps}k", "-bf", 0, "-x265-params",
                         f"log-level=error:keyint={fps}:min-keyint={fps}:scenecut=0", "-c:a", "copy", "-f", "mpegts")

    @property
    def camera(self):
        """What a browser's fake camera shows, again and again."""
        return self.form(".mjpeg", "-t", 20, "-an", "-q:v", 3, "-f", "mjpeg")

    @property
    def microphone(self):
        """What a browser's fake microphone hears, again and again."""
        return self.form(".wav", "-t", 20, "-vn", "-ac", 2, "-ar", 48000, "-f", "wav")

    @property
    def opus(self):
        """Pictures for a WebRTC client that encodes by itself."""
        return self.flv


@functools.cache
def programme(seconds=40, backup=False):
    """Light enough that four of them run on two cores."""
    slot = "backup" if backup else "primary"
    return Programme(Encoded(f"doors-{slot}", backup, 640, 360, 30, 1, 48000, seconds, kbps=700))


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a recording of one video and the audio rendition holds."""

    shown: list  # failover_reading.Picture
    beeps: list  # seconds
    flashes: list  # seconds
    silences: list  # (begin, length) in seconds; the programme has none
    exact: bool = True  # each picture that was sent is to be seen
    settled: float = 0.0  # seconds of its begin that are not judged

    @classmethod
    def read(cls, video, audio, exact=True, settled=0.0):
        shown, sound = pictures(video), Sound(audio)
        flashes = [now.at for before, now in zip(shown, shown[1:]) if now.white and not before.white]
        return cls(shown, sound.beeps, flashes, silences(sound.samples, origin=sound.origin), exact, settled)

    @property
    def judged(self):
        """The pictures from the second one that was sent on: the first one is shown until its time has come."""
        coded = [picture for picture in self.shown if picture.number is not None]
        moves = next((picture.at for picture in coded if picture.what != coded[0].what), None)
        if moves is None:
            raise Failed("no pictures of what was sent are in what was delivered")
        return [picture for picture in self.shown if picture.at >= moves + self.settled]

    @property
    def new(self):
        """Share of the judged pictures that are another one than the picture before, and of the programme."""
        judged = self.judged
        moved = [b.number is not None and b.number != a.number for a, b in zip(judged, judged[1:])]
        return sum(moved) / max(1, len(moved))

    def slots(self):
        return sorted({picture.slot for picture in self.judged if picture.slot})

    def faults(self, source, least_new=None):
        """What is wrong with it. Every picture once and in order, or with `least_new` at least that share of new ones; beeps as often as
        they were sent and, of an exact encoder, with their flashes."""
        faults = []
        judged = self.judged
        if len(judged) < 2 * source.fps:
            faults.append(f"only {len(judged)} pictures")
        if self.slots() != ["backup" if source.backup else "primary"]:
            faults.append(f"pictures of {self.slots()}")
        if least_new is None:
            faults += step_faults(judged)
        elif self.new < least_new:
            faults.append(f"only {100 * self.new:.0f} % of the pictures are new ones")
        apart = [b - a for a, b in zip(self.beeps, self.beeps[1:])]
        if not apart:
            faults.append(f"{len(self.beeps)} beeps")
        faults += [f"beeps {gap:.3f} s apart" for gap in apart if abs(gap - FLASH_EVERY) > APART]
        holes = [seconds for begin, seconds in self.silences if begin >= judged[0].at]
        if sum(holes) > SILENT:
            faults.append(f"{len(holes)} holes in the sound, {sum(holes):.2f} s")
        if self.exact:
            offsets = [min((beep - flash for beep in self.beeps), key=abs, default=9) - source.own_offset for flash in self.flashes]
            whole = [offset for offset in offsets if abs(offset) < FLASH_EVERY / 2 - 0.2]
            middle = statistics.median(whole or [9])
            if abs(middle) > SYNC_LIMIT or any(abs(offset - middle) > STEADY for offset in whole):
                faults.append(f"sound minus picture {[round(1000 * offset) for offset in offsets]} ms")
        return faults

    def told(self):
        judged = self.judged
        return f"{len(judged)} pictures, {100 * self.new:.1f} % new, {len(self.beeps)} beeps"


def delivered(weir, stream, segments, limit=30, exact=True, settled=0.0):
    """What a player gets: the newest whole segments of the largest rendition and of the sound."""
    presentation = hls.Presentation(weir.http, stream["hls_cmaf_url"])
    paths = presentation.save(weir.dir / f"delivered-{stream['id']}", segments, limit)
    return Seen.read(paths[0], paths[-1], exact, settled)
