"""Test sources, made once by ffmpeg and kept in `.accept/media`."""

import dataclasses
import subprocess

from report import KEPT, Failed

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
FLASH_EVERY = 2  # seconds between flash-and-beep marks
FLASH_FRAMES = 3  # frames the picture is white
BEEP_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Source:
    """What a source file has to be."""

    name: str
    width: int
    height: int
    rate: str  # frames a second as ffmpeg writes it: 30, 30000/1001
    seconds: int
    kbps: int = 1500
    sample_rate: int | None = 48000  # None: no audio
    channels: int = 2
    b_frames: int = 0
    gop: int = 1  # seconds between keyframes

    def path(self):
        return KEPT / "media" / f"{self.name}-{self.seconds}s.flv"

    def make(self):
        """The file; encoded when it is not there yet."""
        path = self.path()
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        numerator, _, denominator = self.rate.partition("/")
        fps = round(int(numerator) / int(denominator or 1))
        marks = FLASH_EVERY * fps
        picture = (
            f"testsrc2=size={self.width}x{self.height}:rate={self.rate},"
            f"drawbox=color=white:t=fill:enable='lt(mod(n,{marks}),{FLASH_FRAMES})',"
            f"drawtext=fontfile={FONT}:fontsize=h/12:fontcolor=white:box=1:boxcolor=black:x=20:y=20:"
            "text='%{pts\\:hms} %{frame_num}'")
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
        if self.sample_rate:
            # The mark by frame count, as in the picture, so that 29.97 stays aligned too.
            period = f"{marks}*{denominator or 1}/{numerator}"
            beep = f"0.8*sin(2*PI*1000*t)*lt(mod(t,{period}),{BEEP_SECONDS})"
            tone = "|".join([beep] * self.channels)
            command += ["-f", "lavfi", "-i", f"aevalsrc='{tone}':s={self.sample_rate}"]
            command += ["-c:a", "aac", "-b:a", "128k"]
        command += [
            "-t", self.seconds, "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-pix_fmt", "yuv420p",
            "-b:v", f"{self.kbps}k", "-maxrate", f"{self.kbps}k", "-bufsize", f"{self.kbps}k", "-bf", self.b_frames,
            "-g", fps * self.gop, "-keyint_min", fps * self.gop, "-sc_threshold", 0, "-flvflags", "no_duration_filesize", "-f", "flv"]
        # Under another name until it is whole: a run that was broken off leaves no half file behind.
        half = path.with_suffix(".half")
        done = subprocess.run([*map(str, command), half], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"ffmpeg could not make {path.name}: {done.stderr.strip()[-300:]}")
        half.rename(path)
        return path
