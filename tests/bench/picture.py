"""Sources whose every picture carries its own number as a bar code, which survives transcoding and scaling, and the
reading of it. So the age of what a server delivers is known without trusting the server's timestamps."""

import subprocess

import barcode
from report import KEPT, Failed

WIDTH, HEIGHT, FPS = 1280, 720, 30
KBPS = 2000
SECONDS = 45  # longer than any measure's run
PUBLISHER_BIT = 1 << 15  # set in the numbers of the second publisher


def source(publisher):
    """An FLV with H.264, one keyframe a second and no B-frames, and AAC; made when it is not there yet. `publisher` is
    "A" or "B"."""
    path = KEPT / "media" / f"numbered-{publisher}-{SECONDS}s.flv"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    base = PUBLISHER_BIT if publisher == "B" else 0
    # Noise, or the picture would not take the bit rate it is given.
    picture = f"testsrc2=s={WIDTH}x{HEIGHT}:r={FPS},noise=alls=12:allf=t,format=yuv420p," + barcode.drawn(WIDTH, HEIGHT, f"n+{base}")
    half = path.with_suffix(".half")
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture,
         "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", str(SECONDS),
         "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-bf", "0", "-g", str(FPS), "-keyint_min", str(FPS),
         "-sc_threshold", "0", "-b:v", f"{KBPS}k", "-maxrate", f"{KBPS}k", "-bufsize", f"{KBPS}k",
         "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-flvflags", "no_duration_filesize", "-f", "flv", str(half)],
        stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"ffmpeg could not make {path.name}: {done.stderr.strip()[-300:]}")
    half.rename(path)
    return path


def numbers(media):
    """The number in each picture of a TS or MP4 file, in order of display; None where there is none to read."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "-", "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", barcode.ROW, "-f", "rawvideo", "-"],
        input=media, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    rows = [done.stdout[at:at + barcode.BLOCKS] for at in range(0, len(done.stdout) - barcode.BLOCKS + 1, barcode.BLOCKS)]
    return [barcode.number(row) for row in rows]


def samples(fragment):
    """Count of samples in an MP4 fragment with one track."""
    return sum(int.from_bytes(run[4:8], "big") for moof in boxes(fragment, b"moof") for traf in boxes(moof, b"traf")
               for run in boxes(traf, b"trun"))


def boxes(data, kind):
    """Contents of the boxes of that kind, at this level."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big") or len(data) - at
        if data[at + 4:at + 8] == kind:
            yield data[at + 8:at + size]
        at += max(size, 8)
