"""Every check of the failover lines can fail: each fault is made on purpose. `python3 -m unittest test_failover` in this folder."""

import random
import subprocess
import unittest

import alignment
import failover_demo as demo
import failover_flaps as flaps
import failover_reading as reading
import rtmp_push
from failover_push import HANDSHAKE, Chunks, spoiled
from failover_reading import Picture, Place
from failover_sources import Encoded
from report import KEPT

FPS = 30


def shown(*runs):
    """Pictures of (slot, first number, last number) one after the other, each for 1/30 s."""
    told = [(slot, number) for slot, first, last in runs for number in range(first, last + 1)]
    return [Picture(index / FPS, slot, number) for index, (slot, number) in enumerate(told)]


class Pictures(unittest.TestCase):
    good = shown(("primary", 0, 99), ("backup", 100, 199), ("primary", 200, 299))

    def test_a_recording_without_fault(self):
        self.assertEqual(reading.step_faults(self.good), [])
        self.assertEqual(reading.switches(self.good), [100, 200])
        self.assertEqual(reading.longest_hold(self.good), 1)

    def test_a_picture_left_out_at_a_switch(self):
        self.assertIn("primary 99, then backup 101", reading.step_faults(shown(("primary", 0, 99), ("backup", 101, 120)))[0])

    def test_a_picture_twice(self):
        bad = shown(("primary", 0, 50), ("primary", 50, 99))
        self.assertEqual(len(reading.step_faults(bad)), 1)
        self.assertEqual(reading.longest_hold(bad), 2)

    def test_a_picture_held(self):
        bad = shown(("primary", 0, 50)) + [Picture((51 + n) / FPS, "primary", 50) for n in range(12)]
        self.assertEqual(reading.holds(bad), [reading.Held(50 / FPS, "primary", 50, 13)])

    def test_a_picture_that_cannot_be_read(self):
        bad = [*self.good[:50], Picture(50 / FPS, None, None), *self.good[51:]]
        self.assertIn("no code at 1.667 s", reading.step_faults(bad))
        self.assertEqual(reading.switches(bad), [100, 200])


class Sounds(unittest.TestCase):
    def test_silence_is_found_and_low_noise_is_none(self):
        draw = random.Random(1)
        noise = [draw.randrange(-300, 300) for _ in range(48000)]
        self.assertEqual(reading.silences(noise), [])
        noise[10000:10480] = [0] * 480
        [(begin, seconds)] = reading.silences(noise)
        self.assertAlmostEqual(begin, 10000 / 48000, delta=0.001)
        self.assertAlmostEqual(seconds, 0.01, delta=0.0011)

    def test_sound_that_jumps(self):
        even = [Place(at / 4, 7 + at / 4, 0.9) for at in range(12)]
        self.assertEqual(reading.sound_faults(even), [])
        jumped = [*even[:6], *(Place(place.at, place.programme + 0.021, 0.9) for place in even[6:])]
        self.assertIn("jumps by +21.0 ms", reading.sound_faults(jumped)[0])

    def test_sound_of_something_else(self):
        self.assertIn("not the programme's", reading.sound_faults([Place(1.0, 1.0, 0.1)])[0])

    def test_where_sound_is_most_alike(self):
        draw = random.Random(2)
        programme = [draw.randrange(-1000, 1000) for _ in range(900)]
        lag, like = reading.likeness([value // 2 for value in programme[123:623]], programme)
        self.assertEqual(lag, 123)
        self.assertGreater(like, 0.99)


class Sync(unittest.TestCase):
    def marks(self, beeps, pictures):
        class Source:
            fps, own_offset = FPS, 0.0
        white = [Picture(p.at, p.slot, p.number, p.number % 60 < 3) for p in pictures]
        return reading.sync(white, beeps, {"primary": Source, "backup": Source})

    def test_late_sound(self):
        found = self.marks([2.07, 4.0, 6.0], shown(("primary", 0, 200)))
        self.assertEqual([(round(at, 3), round(offset, 3)) for at, offset in found], [(2.0, 0.07), (4.0, 0.0), (6.0, 0.0)])

    def test_a_mark_that_a_switch_cuts_says_nothing(self):
        self.assertEqual(self.marks([2.0], shown(("primary", 0, 55), ("backup", 56, 100))), [])
        self.assertEqual(len(self.marks([2.0], shown(("primary", 0, 50), ("backup", 51, 100)))), 1)

    def test_a_flash_that_begins_in_its_midst_says_nothing(self):
        self.assertEqual(self.marks([1.0], shown(("primary", 0, 29), ("primary", 62, 100))), [])


class Whole(unittest.TestCase):
    """A source, spoiled by ffmpeg and read as a recording is."""

    source = Encoded("test-failover", False, 640, 360, FPS, 1, 48000, 8, kbps=600)

    def recording(self, name, picture="null", sound="anull"):
        paths = [KEPT / "media" / f"test-{name}.{kind}" for kind in ("mp4", "mkv")]
        common = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", self.source.make()]
        exact = ["-fps_mode", "passthrough", "-enc_time_base", "1:1000"]
        subprocess.run([*common, "-an", "-vf", picture, *exact, "-c:v", "libx264", "-preset", "ultrafast", paths[0]], check=True)
        subprocess.run([*common, "-vn", "-af", sound, "-c:a", "pcm_s16le", paths[1]], check=True)
        return reading.pictures(paths[0]), reading.Sound(paths[1])

    def test_untouched(self):
        pictures, sound = self.recording("good")
        self.assertEqual([picture.number for picture in pictures], list(range(8 * FPS)))
        self.assertEqual({picture.slot for picture in pictures}, {"primary"})
        self.assertEqual(reading.silences(sound.window(0.2, 7.0)), [])
        offsets = [offset for _, offset in reading.sync(pictures, sound.beeps, {"primary": self.source})]
        self.assertEqual(len(offsets), 3)
        self.assertLess(max(map(abs, offsets)), 0.003)

    def test_held_skipped_and_silent(self):
        # Pictures 100 to 104 are 99 again, and 150 is 149; 20 ms of sound are missing, and 0.2 s are silent.
        pictures, sound = self.recording(
            "bad", "select='not(between(n,100,104)+eq(n,150))',fps=30:round=near", "volume=0:enable='between(t,5,5.2)',aselect='not(between(t,3,3.02))',asetpts=N/SR/TB")
        self.assertEqual(reading.longest_hold(pictures), 6)
        self.assertTrue(any("99, then primary 105" in fault for fault in reading.step_faults(pictures)))
        [(begin, seconds)] = reading.silences(sound.samples)
        self.assertAlmostEqual(seconds, 0.2, delta=0.03)
        heard, programme = reading.Sound(KEPT / "media" / "test-bad.mkv", 8000), reading.Sound(self.source.path(), 8000)
        found = reading.places(heard, programme, pictures, {"primary": FPS}, [2.0, 2.25, 2.5, 2.75, 3.25, 3.5, 3.75])
        jumps = reading.sound_faults(found)
        self.assertEqual(len(jumps), 1, found)
        [jump] = jumps
        self.assertIn("3.25 s: sound jumps by", jump)

    def test_late_sound(self):
        pictures, sound = self.recording("late", sound="adelay=60:all=1")
        offsets = [offset for _, offset in reading.sync(pictures, sound.beeps, {"primary": self.source})]
        self.assertAlmostEqual(sorted(offsets)[1], 0.06, delta=0.004)


class Relay(unittest.TestCase):
    def sent(self):
        picture = b"\x17\x01" + bytes(3) + (40).to_bytes(4, "big") + b"\x65" + bytes(range(1, 40)) + (3).to_bytes(4, "big") + b"\x06ab"
        first = rtmp_push.message(6, 5, rtmp_push.VIDEO, 1, picture, size=16)
        return picture, bytes(HANDSHAKE) + rtmp_push.message(2, 0, rtmp_push.SET_CHUNK_SIZE, 0, (16).to_bytes(4, "big")) + first \
            + rtmp_push.message(4, 0x1000000, rtmp_push.AUDIO, 1, bytes(33), size=16)

    def test_messages_come_out_as_they_went_in_however_they_are_cut(self):
        picture, data = self.sent()
        for step in (1, 7, 1000, len(data)):
            chunks = Chunks()
            found = [message for at in range(0, len(data), step) for message in chunks.feed(data[at:at + step])]
            self.assertEqual(b"".join(head + payload for _, parts in found for head, payload in parts), data)
            bodies = [(kind, b"".join(payload for _, payload in parts)) for kind, parts in found if kind]
            self.assertEqual(bodies, [(rtmp_push.SET_CHUNK_SIZE, (16).to_bytes(4, "big")), (rtmp_push.VIDEO, picture), (rtmp_push.AUDIO, bytes(33))])

    def test_slices_are_spoiled_and_nothing_else(self):
        picture, _ = self.sent()
        bad = spoiled(picture, random.Random(1))
        self.assertEqual(len(bad), len(picture))
        self.assertEqual(bad[:10], picture[:10])
        self.assertNotEqual(bad[12:49], picture[12:49])
        self.assertEqual(bad[49:], picture[49:])
        self.assertNotIn(0, bad[11:49])


def entry(seq, event, **fields):
    return {"seq": seq, "event": event, "text": event, **fields}


class Explained(unittest.TestCase):
    """The judge of journals against made-up ones."""

    def journal(self):
        told = [
            ("live", {"slot": "primary", "live": True}), ("on_air", {"slot": "primary", "rule": "rule 1: first media"}),
            ("live", {"slot": "backup", "live": True}),
            ("live", {"slot": "primary", "live": False}), ("on_air", {"slot": "backup", "rule": "rule 2: primary lost"}),
            ("live", {"slot": "primary", "live": True}), ("timer", {"timer": "hold", "state": "armed"}),
            ("timer", {"timer": "hold", "state": "fired"}), ("on_air", {"slot": "primary", "rule": "rule 3: primary steady for the hold"}),
            ("live", {"slot": "primary", "live": False}), ("on_air", {"slot": "backup", "rule": "rule 2: primary lost"}),
            ("live", {"slot": "backup", "live": False}), ("on_air", {"slot": None, "rule": "rule 4: backup lost"}),
            ("live", {"slot": "backup", "live": True}), ("on_air", {"slot": "backup", "rule": "rule 1: first media"}),
        ]
        return [entry(seq, event, **fields) for seq, (event, fields) in enumerate(told, 1)]

    def test_a_journal_that_explains_everything(self):
        self.assertEqual(flaps.unexplained(self.journal()), [])

    def without(self, seq, text):
        found = flaps.unexplained([entry for entry in self.journal() if entry["seq"] != seq])
        self.assertTrue(any(text in fault for fault in found), found)

    def test_switches_without_a_reason(self):
        self.without(4, "rule 2")
        self.without(8, "rule 3")
        self.without(12, "rule 4")
        self.without(14, "rule 1")

    def test_a_law_that_was_not_applied(self):
        self.without(5, "primary is on air and is not live")
        self.without(13, "backup is on air and is not live")
        self.without(15, "nothing is on air")

    def test_a_wrong_law(self):
        journal = self.journal()
        journal[4]["rule"] = "rule 4: backup lost"
        self.assertTrue(flaps.unexplained(journal))

    def test_a_change_that_the_journal_does_not_know(self):
        self.assertEqual(flaps.untold(["primary", "backup", "primary"], self.journal()), [])
        self.assertTrue(flaps.untold(["backup", "primary", None, "primary"], self.journal()))

    def test_a_slot_that_stops_being_live_at_another_time_than_the_stall_says(self):
        sent = [(10 + n / 30, 0, n) for n in range(90)]
        last = sent[-1][0]
        for after, fault in ((flaps.STALL, None), (flaps.STALL + 0.8, "after its last picture"), (flaps.STALL - 0.5, "of a steady encoder")):
            found = flaps.late_or_early([entry(1, "live", slot="primary", live=False, at=last + after)], sent, [10.0], "primary")
            self.assertEqual([fault in text for text in found], [True] if fault else [], found)

    def test_schedules_repeat(self):
        self.assertEqual(flaps.schedule(7), flaps.schedule(7))
        self.assertNotEqual(flaps.schedule(7), flaps.schedule(8))


class Viewed(unittest.TestCase):
    def test_what_the_player_showed(self):
        backup = demo.BACKUP_BIT
        seen = {"numbers": [{"at": 1000 * (100 + n / 30), "number": n} for n in range(60)]
                + [{"at": 105_000 + 1000 * n / 30, "number": backup + n} for n in range(60)] + [{"at": 108_000, "number": None}]}
        viewed = demo.Viewed.of(seen)
        self.assertEqual(viewed.first(False, 50), 100)
        self.assertEqual(viewed.first(True, 50), 105)
        self.assertIsNone(viewed.first(True, 107))
        self.assertAlmostEqual(viewed.gap(101, 106), 105 - 100 - 59 / 30)


class Table(unittest.TestCase):
    def test_rows_of_the_corpus(self):
        text = "noise\nkind  | pairs | windows | locks | s to lock | error\nhum  |  3 |  40 | 0 | - | -\ntest result: ok. 1 passed"
        self.assertEqual(alignment.rows(text), [("hum", "pairs 3, windows 40, locks 0, s to lock -, error -")])


if __name__ == "__main__":
    unittest.main()
