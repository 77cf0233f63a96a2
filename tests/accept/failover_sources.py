"""The programme that both encoders send, made once by ffmpeg and kept in `.accept/media`.

Each picture carries its number as a bar code, counted in the encoder's own frames, and the bit that tells the backup's pictures.
Every 2 s it is white for three frames and there is a beep, a burst of noise: pure tones would be most of the sound, and by those
no two programmes can be aligned. Under the beeps lies modulated noise; nothing in it comes again. One of several sources of a list is
told by its mark, in the number, and by its tone, in the place of the noise.
"""

import collections
import dataclasses
import functools
import subprocess
from fractions import Fraction

import barcode
import probe
import rtmp_push
from report import KEPT, Failed
from sources import BEEP_SECONDS, FLASH_EVERY, FLASH_FRAMES, FONT

BACKUP_BIT = 1 << 15
MARK_SHIFT = 12  # the bits below count pictures, the three above them are the mark
BED = 0.12  # level of the noise; its peaks stay below what counts as a beep
SWELL = "0.65+0.25*sin(2*PI*3.1*t)+0.1*sin(2*PI*1.3*t)"  # syllables, never silence


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A programme as one encoder sends it."""

    name: str
    backup: bool
    width: int
    height: int
    fps: int
    gop: int  # seconds between keyframes
    sample_rate: int
    seconds: int
    kbps: int = 1500
    audio_kbps: int = 128
    profile: str = "high"
    b_frames: int = 0
    programme: int = 1  # another number is another programme
    label: str = ""  # burnt in; the slot's name when empty
    mark: int = 0  # 0 to 7
    tone: int | None = None  # Hz

    @property
    def bit(self):
        return (BACKUP_BIT if self.backup else 0) | self.mark << MARK_SHIFT

    def path(self):
        return KEPT / "media" / f"{self.name}-{self.seconds}s.flv"

    def make(self):
        """The file; encoded when it is not there yet."""
        path = self.path()
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        done = subprocess.run([*map(str, self.command()), half], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"ffmpeg could not make {path.name}: {done.stderr.strip()[-300:]}")
        half.rename(path)
        return path

    def command(self):
        marks = FLASH_EVERY * self.fps
        picture = (
            f"testsrc2=size={self.width}x{self.height}:rate={self.fps},format=yuv420p,"
            f"drawtext=fontfile={FONT}:fontsize=h/12:fontcolor=white:box=1:boxcolor=black:x=20:y=20:"
            f"text='{self.label or ('Backup' if self.backup else 'Primary')} %{{pts\\:hms}} %{{frame_num}}',"
            f"drawbox=color=white:t=fill:enable='lt(mod(n,{marks}),{FLASH_FRAMES})'," + barcode.drawn(self.width, self.height, f"n+{self.bit}"))
        bed = f"aevalsrc='{BED}*sin(2*PI*{self.tone}*t)':s=48000" if self.tone else (
            f"anoisesrc=color=pink:amplitude=1:seed={self.programme}:sample_rate=48000,aformat=sample_fmts=dblp,aeval='{BED}*val(0)*({SWELL})'")
        sound = (
            f"{bed},aformat=sample_fmts=dblp[bed];"
            f"anoisesrc=color=white:amplitude=1:seed={100 + self.programme}:sample_rate=48000,aformat=sample_fmts=dblp,"
            f"aeval='0.6*val(0)*lt(mod(t,{FLASH_EVERY}),{BEEP_SECONDS})'[beep];"
            f"[bed][beep]amix=inputs=2:normalize=0,aresample={self.sample_rate},pan=stereo|c0=c0|c1=c0[sound]")
        return [
            "ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-filter_complex", sound, "-map", "0:v", "-map", "[sound]",
            "-t", self.seconds, "-c:v", "libx264", "-preset", "superfast", "-profile:v", self.profile, "-pix_fmt", "yuv420p",
            "-b:v", f"{self.kbps}k", "-maxrate", f"{self.kbps}k", "-bufsize", f"{self.kbps}k", "-bf", self.b_frames,
            "-g", self.fps * self.gop, "-keyint_min", self.fps * self.gop, "-sc_threshold", 0,
            "-c:a", "aac", "-b:a", f"{self.audio_kbps}k", "-ar", self.sample_rate, "-flvflags", "no_duration_filesize", "-f", "flv"]

    @functools.cached_property
    def frames(self):
        """The number of each picture by its bytes as they are sent, so that what passes on the wire can be told exactly."""
        pictures = [(when + cts(body), body) for when, kind, body in rtmp_push.Flv.load(self.make()).tags if kind == rtmp_push.VIDEO]
        in_order = [body for _, body in sorted(pictures, key=lambda picture: picture[0])]
        times = collections.Counter(in_order)
        return {body: number for number, body in enumerate(in_order) if times[body] == 1}

    @functools.cached_property
    def own_offset(self):
        """Beep minus flash in the file itself, seconds: what the encoder made of it is not the server's doing."""
        offsets = sorted(probe.sync_offsets(self.make(), self.make()))
        return offsets[len(offsets) // 2]

    def at(self, number):
        """Programme time of one of its pictures, seconds."""
        return Fraction(number, self.fps)


def cts(body):
    """Composition time of a video tag, milliseconds."""
    return int.from_bytes(body[2:5], "big", signed=True)


LONG_SECONDS, SECONDS, SHORT_SECONDS = 130, 80, 45


def primary(seconds=SECONDS):
    return Encoded("failover-primary", False, 1280, 720, 30, 1, 48000, seconds, kbps=2000, b_frames=2)


def other_backup(seconds=SECONDS):
    """Differs from the primary in everything."""
    return Encoded("failover-backup-25", True, 854, 480, 25, 2, 44100, seconds, kbps=900)


def same_rate_backup(seconds=SECONDS):
    """The same programme and frame rate by another encoder."""
    return Encoded("failover-backup-30", True, 854, 480, 30, 2, 44100, seconds, kbps=800, audio_kbps=64, profile="main")


def unrelated_backup(seconds=SECONDS):
    return Encoded("failover-unrelated", True, 854, 480, 30, 2, 44100, seconds, kbps=800, programme=2)
