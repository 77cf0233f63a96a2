"""What ffprobe and ffmpeg say of delivered media: timestamps, sizes, flashes and beeps."""

import array
import dataclasses
import json
import re
import subprocess
from fractions import Fraction

from report import Failed


@dataclasses.dataclass
class Track:
    """The packets of a file's only stream."""

    width: int
    height: int
    sample_rate: int
    channels: int
    time_base: Fraction
    pts: list  # ticks
    dts: list  # ticks
    keys: list  # indices of keyframes

    def seconds(self, ticks):
        return ticks * self.time_base

    @property
    def key_times(self):
        return [self.seconds(self.pts[index]) for index in self.keys]

    def faults_of_order(self):
        """Where DTS does not rise."""
        return [f"DTS {b} after {a}" for a, b in zip(self.dts, self.dts[1:]) if b <= a]

    def faults_of_spacing(self, spacing):
        """Packets that are not exactly `spacing` seconds apart: to the tick where the time base can say it, else to
        the nearest tick counted from the first packet, so that errors cannot add up."""
        step = spacing / self.time_base
        first = self.pts[0]
        tolerance = 0 if step.denominator == 1 else Fraction(1, 1)
        return [
            f"packet {index} at {pts}, expected {float(first + index * step):.2f}"
            for index, pts in enumerate(sorted(self.pts)) if abs(pts - (first + index * step)) > tolerance]


def run(command):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failed(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout


def track(path):
    shown = json.loads(run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets", path]))
    if len(shown["streams"]) != 1:
        raise Failed(f"{path} has {len(shown['streams'])} streams")
    stream, packets = shown["streams"][0], shown["packets"]
    return Track(
        width=stream.get("width", 0), height=stream.get("height", 0),
        sample_rate=int(stream.get("sample_rate", 0)), channels=stream.get("channels", 0),
        time_base=Fraction(stream["time_base"]),
        pts=[packet["pts"] for packet in packets], dts=[packet["dts"] for packet in packets],
        keys=[index for index, packet in enumerate(packets) if "K" in packet["flags"]])


def flash_times(path):
    """Times of the first white frame of each flash, seconds."""
    text = run(["ffmpeg", "-nostdin", "-v", "error", "-copyts", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
                "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-"]).decode()
    times = [float(t) for t in re.findall(r"pts_time:([\d.-]+)", text)]
    lumas = [float(y) for y in re.findall(r"YAVG=([\d.]+)", text)]
    if len(times) != len(lumas):
        raise Failed(f"{len(times)} frames and {len(lumas)} luma values in {path}")
    white = [luma > 200 for luma in lumas]
    return [at for at, now, before in zip(times[1:], white[1:], white) if now and not before]


def beep_times(path):
    """Times of the onset of each beep, seconds. The decoded samples have no holes, so counting from the first is exact."""
    rate = 48000
    first = run(["ffprobe", "-v", "error", "-select_streams", "a:0", "-read_intervals", "%+#1",
                 "-show_entries", "frame=pts_time", "-of", "csv=p=0", path]).decode().split()[0]
    samples = array.array("h", run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:a:0",
                                    "-ac", 1, "-ar", rate, "-f", "s16le", "-"]))
    return [float(first.rstrip(",")) + onset for onset in onsets(samples, rate)]


def onsets(samples, rate):
    """Seconds from the first sample to each beginning of a loud sound."""
    window = rate // 1000
    loud = [max(samples[i:i + window]) > 6000 for i in range(0, len(samples) - window, window)]
    found, quiet = [], 0
    for index, now in enumerate(loud):
        if now and quiet >= 500:  # ms without one before it
            found.append(index * window / rate)
        quiet = 0 if now else quiet + 1
    return found


def sync_offsets(video_path, audio_path):
    """Beep minus flash for each mark that is in both files, seconds; positive when the sound is late."""
    beeps = beep_times(audio_path)
    offsets = []
    for flash in flash_times(video_path):
        nearest = min(beeps, key=lambda beep: abs(beep - flash), default=None)
        if nearest is not None and abs(nearest - flash) < 0.9:
            offsets.append(nearest - flash)
    return offsets


def decode_faults(arguments, limit):
    """Error lines of an ffmpeg that decodes to nothing; a wrong exit code or running over the limit is one too."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *map(str, arguments), "-f", "null", "-"]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return [f"not done within {limit} s"]
    lines = done.stderr.strip().splitlines()
    return lines + ([f"exit code {done.returncode}"] if done.returncode else [])
