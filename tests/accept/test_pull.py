"""Every origin that streams are pulled from hands out what it was given, and every check of the pull lines can fail: each fault is made on
purpose. `python3 -m unittest test_pull` in this folder."""

import dataclasses
import math
import pathlib
import random
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import pull_origins as origins
import pull_reading as reading
import pull_sources
import pull_spellings as spellings
import pull_traps as traps
from door_programme import Seen, programme
from failover_reading import Picture, Sound, pictures
from failover_sources import MARK_SHIFT
from report import KEPT, Failed, wait_until
from socket_table import listening

FPS = 30
PLAYED = 11  # seconds


def told(source, number):
    """The number in the bar code of a source's picture."""
    return (source + 1 << MARK_SHIFT) + number


def shown(*runs):
    """Marked pictures of (source, first number, last number) one after the other, each for 1/30 s."""
    codes = [told(source, number) for source, first, last in runs for number in range(first, last + 1)]
    flash = [code % (1 << MARK_SHIFT) % (2 * FPS) < 3 for code in codes]
    return reading.marked([Picture(index / FPS, "primary", code, white) for index, (code, white) in enumerate(zip(codes, flash))])


class Pictures(unittest.TestCase):
    def test_sources_are_told_by_their_marks(self):
        found = reading.stretches(shown((0, 0, 99), (1, 0, 99), (2, 5, 30), (0, 300, 399)))
        self.assertEqual([stretch.source for stretch in found], ["first", "second", "third", "first"])
        self.assertEqual([stretch.pictures[0].number for stretch in found], [0, 0, 5, 300])

    def test_pictures_without_a_mark_are_of_no_source(self):
        codes = [None, 7, told(0, 1), told(7, 1)]
        found = reading.marked([Picture(0.0, "primary", code) for code in codes])
        self.assertEqual([picture.slot for picture in found], [None, None, "first", None])

    def test_the_gap_begins_with_the_last_picture_that_was_a_new_one(self):
        held = [Picture((100 + n) / FPS, "first", 99) for n in range(60)]
        pictures = [*shown((0, 0, 99)), *held, *(dataclasses.replace(one, at=one.at + 160 / FPS) for one in shown((1, 0, 99)))]
        first, second = reading.stretches(pictures)
        self.assertAlmostEqual(first.last, 99 / FPS)
        self.assertAlmostEqual(second.gap, 61 / FPS)


class Tones(unittest.TestCase):
    class Made:
        origin, rate = 5.0, reading.RATE

        def __init__(self, *parts):
            self.samples = [sample for part in parts for sample in part]

    def tone(self, hertz, seconds=1.0):
        return [round(4000 * math.sin(2 * math.pi * hertz * n / reading.RATE)) for n in range(round(seconds * reading.RATE))]

    def noise(self, seconds):
        draw = random.Random(1)
        return [draw.randrange(-9000, 9000) for _ in range(round(seconds * reading.RATE))]

    def test_each_source_is_heard_by_its_tone(self):
        silence = [0] * reading.RATE
        heard = reading.tones(self.Made(self.tone(440), self.noise(0.1), self.tone(440, 0.9), silence, self.tone(1130)))
        self.assertEqual([name for _, name in heard], ["first"] * 10 + [None] + ["first"] * 9 + [None] * 10 + ["third"] * 10)
        self.assertAlmostEqual(heard[0][0], 5.0)
        self.assertEqual(reading.sounding_order(heard), ["first", "third"])

    def test_other_sound_is_of_no_source(self):
        for sound in (self.noise(1.0), self.tone(900), [a + b for a, b in zip(self.tone(440), self.tone(3000))]):
            self.assertLessEqual(max(reading.power(sound[:800], hertz) for hertz in reading.TONES.values()), 0.51)

    def test_a_tone_of_a_moment_is_no_change(self):
        heard = [(n / 10, name) for n, name in enumerate("aaaaaaaaaabbaaaaaaaaaabbbbbbbbbb")]
        self.assertEqual(reading.sounding_order(heard), ["a", "b"])


class Stretches(unittest.TestCase):
    class Source:
        fps, own_offset = FPS, 0.0

    def faults(self, pictures=None, tone="first", late=0.0):
        stretch, = reading.stretches(pictures or shown((0, 0, 299)))
        heard = [(n / 10, tone) for n in range(100)]
        return reading.stretch_faults(stretch, heard, [2 * n + late for n in range(5)], self.Source)

    def test_one_without_fault(self):
        self.assertEqual(self.faults(), [])

    def test_each_fault(self):
        self.assertIn("first 200, then first 202", self.faults(shown((0, 0, 200), (0, 202, 299)))[0])
        self.assertIn("its tone is heard in 0 of", self.faults(tone=None)[0])
        self.assertIn("tones of ['second']", self.faults(tone="second")[1])
        self.assertIn("sound minus picture +60 ms", self.faults(late=0.06)[0])
        self.assertIn("no flash with its beep", self.faults(late=1.0)[0])

    def test_pictures_that_are_held_too_often(self):
        stretch, = reading.stretches(shown(*((0, number, number) for number in range(300) for _ in range(1 + (number % 5 == 0)))))
        heard = [(n / 10, "first") for n in range(120)]
        faults = reading.stretch_faults(stretch, heard, [6 + 2 * n * 1.2 for n in range(3)], self.Source, 0.95)
        self.assertIn("only 83 % of", faults[0])

    def test_the_begin_is_not_judged(self):
        self.assertEqual(self.faults(shown((0, 0, 20), (0, 25, 304)), late=-4 / FPS), [])


class Whole(unittest.TestCase):
    """Two sources, one after the other as a server would deliver them: 7 s each, 3 s of held picture and silence between."""

    @classmethod
    def setUpClass(cls):
        cls.sent = [reading.source(number, 9) for number in range(2)]

    def recording(self, sounds=(0, 1)):
        paths = [KEPT / "media" / f"test-pull.{kind}" for kind in ("mp4", "mkv")]
        inputs = [word for programme in self.sent for word in ("-i", programme.flv)]
        both = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, "-filter_complex"]
        video = "[0:v]trim=0:7,tpad=stop_mode=clone:stop_duration=3[a];[1:v]trim=0:7,setpts=PTS-STARTPTS[b];[a][b]concat[out]"
        first, second = sounds
        audio = f"[{first}:a]atrim=0:7,apad=pad_dur=3[a];[{second}:a]atrim=0:7,asetpts=PTS-STARTPTS[b];[a][b]concat=v=0:a=1[out]"
        subprocess.run([*both, video, "-map", "[out]", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", paths[0]], check=True)
        subprocess.run([*both, audio, "-map", "[out]", "-c:a", "pcm_s16le", paths[1]], check=True)
        heard = reading.tones(Sound(paths[1], reading.RATE))
        found = reading.stretches(reading.marked(pictures(paths[0])))
        beeps = Sound(paths[1]).beeps
        return found, heard, [fault for stretch in found for fault in reading.stretch_faults(stretch, heard, beeps, self.sent[reading.NAMES.index(stretch.source)].source)]

    def test_untouched(self):
        found, heard, faults = self.recording()
        self.assertEqual([stretch.source for stretch in found], ["first", "second"])
        self.assertEqual(reading.sounding_order(heard), ["first", "second"])
        self.assertAlmostEqual(found[1].gap, 3 + 1 / FPS, delta=0.002)
        self.assertEqual(faults, [])

    def test_sound_of_the_other_source(self):
        _, heard, faults = self.recording((1, 0))
        self.assertEqual(reading.sounding_order(heard), ["second", "first"])
        self.assertTrue(any("tones of ['second']" in fault for fault in faults), faults)


class Origins(unittest.TestCase):
    """Played by ffmpeg, whose file is judged as what a server delivers is."""

    sent = programme(pull_sources.SECONDS)

    def played(self, pull):
        with tempfile.TemporaryDirectory() as folder, pull.origin(self.sent) as origin:
            paths = [pathlib.Path(folder) / name for name in ("video.mkv", "audio.mkv")]
            tcp = ["-rtsp_transport", "tcp"] if pull.protocol == "rtsp" else []
            cut = ["-t", str(PLAYED), "-c", "copy"]
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *tcp, "-i", origin.uri, "-map", "0:v:0", *cut, paths[0], "-map", "0:a:0", *cut, paths[1]],
                           check=True, stderr=subprocess.DEVNULL, timeout=60)
            return Seen.read(*paths).faults(self.sent.source)

    def test_each_hands_out_the_programme(self):
        _ = self.sent.flv, self.sent.ts, pull_sources.smaller().flv
        with ThreadPoolExecutor(len(pull_sources.PULLS)) as pool:
            found = list(pool.map(self.played, pull_sources.PULLS))
        self.assertEqual({pull.name: faults for pull, faults in zip(pull_sources.PULLS, found) if faults}, {})

    def test_an_hls_encoder_that_died_goes_on_behind_a_discontinuity(self):
        with pull_sources.HLS_TS.origin(self.sent) as origin:
            before = origin.listed()
            origin.encoder_again()
            wait_until("another segment", 10, lambda: origin.listed() > before)
            first, _, second = (origin.folder / "variant_0.m3u8").read_text().partition(".ts\n#EXT-X-DISCONTINUITY\n")
            self.assertEqual((first.count("#EXTINF"), second.count("#EXTINF")), (before, 1))

    def test_what_came_before_a_new_begin_is_left_out(self):
        both = [Picture(n / FPS, "primary", n % 200) for n in range(300)]
        seen = pull_sources.begun_anew(Seen(both, [2.0, 8.0], [2.0, 8.0], [(3.0, 1.0)]))
        self.assertEqual((seen.shown[0].number, len(seen.shown), seen.beeps, seen.flashes, seen.silences), (0, 100, [8.0], [8.0], []))
        with self.assertRaises(Failed):
            pull_sources.begun_anew(Seen(both[:200], [], [], []))

    def test_the_smaller_variant_would_be_noticed(self):
        smaller = pull_sources.smaller()
        seen = Seen.read(smaller.form(".video.mkv", "-an", "-c", "copy"), smaller.form(".audio.mkv", "-vn", "-c", "copy"))
        self.assertIn("pictures of ['backup']", seen.faults(self.sent.source))

    def test_an_origin_that_was_killed_begins_again_where_it_was(self):
        for origin in (origins.Nginx(self.sent), origins.Srt(self.sent), origins.Rtsp(self.sent)):
            protocol = getattr(origin, "protocol", "tcp")
            with origin:
                origin.kill()
                self.assertFalse(listening(origin.port, protocol), origin)
                origin.start()
                self.assertTrue(listening(origin.port, protocol), origin)
            self.assertFalse(listening(origin.port, protocol), origin)

    def test_a_server_stays_when_its_encoder_dies(self):
        with origins.Nginx(self.sent) as origin:
            origin.kill_encoder()
            self.assertFalse(origin.encoder.runs())
            self.assertTrue(listening(origin.port))
            origin.publish()
            self.assertTrue(origin.encoder.runs())


class Table(unittest.TestCase):
    places = {"port": 1, "origin": "127.0.0.2:2", "api": 3, "canary": "/x"}

    def test_there_are_enough_spellings_and_no_two_are_the_same(self):
        uris = [uri for uri, _ in spellings.spelled(False, **self.places)]
        self.assertGreaterEqual(len(uris), 60)
        self.assertEqual(len(set(uris)), len(uris))
        self.assertFalse([uri for uri in uris + spellings.wrong(**self.places) if "{" in uri or len(uri.split()) != 1])

    def test_every_trap_is_set(self):
        answers = traps.answers(b"media", **self.places)
        self.assertEqual([path for path in traps.entrances() if path not in answers], [])
        self.assertFalse([path for path, (_, body) in answers.items() if body and b"{port}" in (body if isinstance(body, bytes) else body.encode())])


if __name__ == "__main__":
    unittest.main()
