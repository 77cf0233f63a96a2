"""Every law of the checker holds in a good history and is reported when it is broken: `python3 -m unittest discover tests/chaos`."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import boxes  # noqa: E402
import check  # noqa: E402
import scene  # noqa: E402
import schedule  # noqa: E402
from model import History  # noqa: E402

GOOD = json.dumps(scene.records())


def violations(records, law):
    return list(check.LAWS[law](History(records), lambda *_: None))


class Broken(unittest.TestCase):
    """Each test breaks a law on purpose."""

    def setUp(self):
        self.records = json.loads(GOOD)

    def of(self, **wanted):
        """Records with these fields, in order of time."""
        return [record for record in self.records if all(record.get(key) == value for key, value in wanted.items())]

    def playlists(self, stream="a", file="media_0.m3u8", after=0.0, before=1e9):
        return [record for record in self.of(k="poll", s=stream, f=file, st=200) if after <= record["t"] < before]

    def media(self, file, stream="a"):
        return self.of(k="media", s=stream, f=file)

    def reported(self, law, text=""):
        found = violations(self.records, law)
        self.assertTrue(found, f"{law} does not notice")
        self.assertTrue(any(text in said for _, said in found), f"{law} says {found[:3]}, not {text!r}")

    def rewrite(self, records, old, new):
        changed = 0
        for record in records:
            changed += old in record["body"]
            record["body"] = record["body"].replace(old, new)
        self.assertTrue(changed, f"{old!r} is nowhere")

    def another_date(self):
        """A listed PROGRAM-DATE-TIME, and another one 40 ms beside it."""
        date = [line for line in self.playlists(after=10)[0]["body"].splitlines() if "DATE-TIME" in line][2]
        return date, date[:-4] + f"{(int(date[-4:-1]) + 40) % 1000:03d}Z"

    def remove(self, records):
        self.assertTrue(records)
        gone = set(map(id, records))
        self.records = [record for record in self.records if id(record) not in gone]

    # Numbers

    def test_a_hole_in_a_playlist(self):
        self.rewrite(self.playlists(after=15, before=16), "seg-0-1004.m4s", "seg-0-1014.m4s")
        self.reported("numbers_match")

    def test_a_media_sequence_that_goes_back_after_a_restart(self):
        for stream, low in (("a", "900"), ("b", "4000")):
            for track in range(scene.TRACKS[stream]):
                for record in self.playlists(stream, f"media_{track}.m3u8", after=scene.BACK, before=scene.AWAY[0]):
                    record["body"] = record["body"].replace("2000" if stream == "a" else "6000", low)
        self.reported("numbers_never_go_back", "media sequence")

    def test_a_newest_part_that_goes_back(self):
        polls = self.playlists(after=10, before=14)
        polls[-1]["body"] = polls[0]["body"]
        self.reported("numbers_never_go_back", "newest part")

    def test_a_discontinuity_sequence_that_goes_back(self):
        polls = self.playlists(after=110)
        self.rewrite(polls[-1:], "#EXT-X-DISCONTINUITY-SEQUENCE:2", "#EXT-X-DISCONTINUITY-SEQUENCE:1")
        self.reported("numbers_never_go_back", "discontinuity sequence")

    def test_answers_that_overtake_each_other_are_no_violation(self):
        polls = self.playlists(after=10, before=14)
        polls[0]["t1"] = polls[5]["t1"] + 0.1
        self.assertEqual(violations(self.records, "numbers_never_go_back"), [])

    def test_a_number_with_another_date_in_another_rendition(self):
        date, moved = self.another_date()
        self.rewrite(self.playlists(file="media_1.m3u8", after=10, before=11), date, moved)
        self.reported("one_number_one_place")

    def test_a_number_in_two_broadcasts(self):
        self.rewrite(self.playlists(file="media_2.m3u8", after=10, before=11), "init-1000-", "init-1001-")
        self.reported("one_number_one_place")

    def test_a_discontinuity_tag_that_vanishes(self):
        self.rewrite(self.playlists(after=50, before=51), "#EXT-X-DISCONTINUITY\n", "")
        self.reported("one_number_one_place")

    def test_no_discontinuity_after_a_server_kill(self):
        for record in [r for s in scene.IDS for t in range(scene.TRACKS[s]) for r in self.playlists(s, f"media_{t}.m3u8", after=scene.BACK)]:
            record["body"] = record["body"].replace("#EXT-X-DISCONTINUITY\n", "").replace("SEQUENCE:1\n", "SEQUENCE:0\n")
        self.reported("discontinuities_where_due")

    def test_a_discontinuity_inside_a_broadcast(self):
        for track in range(3):
            for record in self.playlists(file=f"media_{track}.m3u8", after=20, before=40):
                head, mark, rest = record["body"].partition(f"seg-{track}-1008.m4s\n")
                record["body"] = head + mark + ("#EXT-X-DISCONTINUITY\n" + rest if mark else rest)
        self.reported("discontinuities_where_due")

    def test_a_new_broadcast_without_a_reason(self):
        for record in self.records:
            if record.get("s") == "b" and record["t"] > 70:
                for key in ("body", "map", "f"):
                    record[key] = record.get(key, "").replace("init-6000-", "init-6014-")
        self.reported("broadcasts_go_on")

    # Time

    def test_a_date_that_goes_back_after_a_restart(self):
        for record in self.of(k="poll", s="b"):
            if record["t"] >= scene.BACK:
                record["body"] = record["body"].replace("TIME:2027-01-15T08:0", "TIME:2027-01-15T07:0")
        self.reported("dates_go_forward", "back")

    def test_dates_that_drift_from_the_grid(self):
        date, moved = self.another_date()
        for track in range(3):
            self.rewrite(self.playlists(file=f"media_{track}.m3u8"), date, moved)
        self.reported("dates_go_forward")

    def tamper(self, file, ticks, stream="a"):
        for record in self.media(file, stream):
            for chunk in record["chunks"]:
                chunk[0] += ticks

    def test_a_timestamp_that_goes_back(self):
        self.tamper("seg-0-1006.m4s", -90)
        self.reported("timestamps_join", "goes back")

    def test_a_timestamp_with_a_hole(self):
        self.tamper("seg-1-1006.m4s", 30)
        self.reported("timestamps_join", "ended at")

    def test_sound_with_a_hole(self):
        self.tamper("seg-2-1006.m4s", 1024)
        self.reported("timestamps_join", "track 2")

    def test_a_hole_between_chunks_of_a_segment(self):
        self.media("seg-0-1006.m4s")[0]["chunks"][2][0] += 100
        self.reported("timestamps_join")

    def test_a_segment_off_its_slot(self):
        for number in range(1006, 1030):
            self.tamper(f"seg-0-{number}.m4s", 4800)
        self.reported("number_is_place_on_the_grid")

    def test_sound_more_than_a_frame_off_its_slot(self):
        for number in range(1006, 1030):
            self.tamper(f"seg-2-{number}.m4s", 1100)
        self.reported("number_is_place_on_the_grid")

    # Content

    def test_a_segment_that_changes(self):
        self.media("seg-0-1003.m4s")[1]["chunks"][0][2] = "other"
        self.reported("published_once", "changed")

    def test_a_segment_that_is_not_its_parts(self):
        for record in self.media("seg-0-1003.m4s"):
            record["chunks"][1][2] = "other"
        self.reported("published_once", "parts")

    def test_damaged_media(self):
        self.media("part-0-1003.1.m4s")[0]["damaged"] = "mdat without moof"
        self.reported("media_is_whole")

    def test_a_damaged_initialization_segment(self):
        self.of(k="init")[0]["damaged"] = "a field lies outside of its box"
        self.reported("media_is_whole")

    def test_bytes_that_lie_about_their_length_are_damaged(self):
        for data in (b"\0\0\0\x10moov\0\0\0\x08trak", b"\0\0\0\x18moof\0\0\0\x10traf\0\0\0\x08trun"):
            for read in (boxes.init, lambda data: boxes.chunks(data, 1)):
                with self.assertRaises(boxes.Damaged):
                    read(data)

    def test_a_rendition_without_a_number(self):
        for record in self.playlists(file="media_1.m3u8"):
            record["body"] = record["body"].replace("-1007.", "-9999.")
        self.reported("same_in_every_rendition")

    def test_numbers_that_leave_a_hole_everywhere(self):
        for track in range(3):
            for record in self.playlists(file=f"media_{track}.m3u8"):
                record["body"] = record["body"].replace("-1007.", "-1008.")
        self.reported("same_in_every_rendition")

    def test_a_wrong_extinf(self):
        self.rewrite(self.playlists(after=10, before=11), "#EXTINF:1.60000,", "#EXTINF:1.56667,")
        self.reported("durations_are_true")

    def test_a_wrong_part_duration(self):
        self.rewrite(self.playlists(after=10, before=11), "DURATION=0.40000", "DURATION=0.36667")
        self.reported("durations_are_true")

    def test_a_segment_longer_than_the_target(self):
        self.rewrite(self.playlists(), "TARGETDURATION:2", "TARGETDURATION:1")
        self.reported("durations_are_true", "target")

    # Answers

    def test_a_listed_part_that_is_missing(self):
        self.media("part-0-1003.1.m4s")[0]["st"] = 404
        self.reported("listed_can_be_had")

    def test_a_manifest_that_fails_once(self):
        for file in ("master.m3u8", "index.mpd", "media_0.m3u8"):
            with self.subTest(file):
                self.records = json.loads(GOOD)
                self.playlists(file=file, after=25)[0]["st"] = 503
                self.reported("manifests_answer", file)

    def test_a_blocking_reload_without_patience(self):
        answer = self.playlists(file="media_0.m3u8", after=25)[0]
        answer |= {"st": 503, "q": "?_HLS_msn=1", "t": answer["t1"] - 6.1}
        self.assertEqual(violations(self.records, "manifests_answer"), [])
        answer["t"] = answer["t1"] - 1
        self.reported("manifests_answer")

    def test_a_404_after_the_first_200_of_a_new_server(self):
        self.playlists(file="media_1.m3u8", after=scene.BACK + 1)[0]["st"] = 404
        self.reported("manifests_answer")

    def test_a_404_that_is_cached(self):
        self.of(k="poll", st=404)[0]["cache"] = "public, max-age=60"
        self.reported("manifests_answer", "404 with")

    def test_an_error_while_the_server_restarts(self):
        self.of(k="poll", st=404)[0]["st"] = 500
        self.reported("manifests_answer", "restarted")

    def test_an_end_without_reason(self):
        self.playlists("b", "media_0.m3u8", after=25)[0]["body"] += "#EXT-X-ENDLIST\n"
        self.reported("ends_only_after_the_linger")

    def test_an_end_before_the_linger(self):
        for record in self.playlists(after=scene.AWAY[0] + 10, before=scene.ENDED):
            record["body"] += "#EXT-X-ENDLIST\n"
        self.reported("ends_only_after_the_linger")

    def test_an_end_that_never_comes(self):
        self.rewrite(self.playlists(after=scene.ENDED), "#EXT-X-ENDLIST\n", "")
        self.reported("ends_only_after_the_linger", "no ENDLIST")

    # DASH

    def test_an_mpd_with_other_numbers(self):
        self.rewrite(self.playlists(file="index.mpd", after=10, before=11), 'startNumber="1000"', 'startNumber="1"')
        self.reported("dash_agrees")

    def test_an_mpd_with_another_clock(self):
        start = scene.stamp(scene.BROADCASTS["a"][0].epoch)
        self.rewrite(self.playlists(file="index.mpd", before=40), start, scene.stamp(scene.BROADCASTS["a"][0].epoch - 60))
        self.reported("dash_agrees", "clock")

    def test_an_mpd_without_a_rendition(self):
        self.rewrite(self.playlists(file="index.mpd", after=10, before=11), '<Representation id="1"/>', "")
        self.reported("dash_agrees")

    def test_an_mpd_that_is_no_xml(self):
        self.rewrite(self.playlists(file="index.mpd", after=10, before=10.5), "</MPD>", "")
        self.reported("dash_agrees")

    # Service

    def silence(self, stream, begin, end):
        """No new parts meanwhile: playlists stay as they were."""
        for track in range(scene.TRACKS[stream]):
            last = None
            for record in self.playlists(stream, f"media_{track}.m3u8"):
                if begin <= record["t"] < end and last:
                    record["body"] = last
                else:
                    last = record["body"]

    def test_a_late_part_after_a_worker_was_killed(self):
        self.silence("a", 20.2, 22.8)
        self.reported("worker_is_replaced", "2.")

    def test_an_output_that_stops(self):
        self.silence("b", 110, 113)
        self.reported("output_goes_on")

    def test_an_output_that_stops_on_a_full_disk(self):
        self.silence("b", 31, 34)
        self.reported("output_goes_on", "bad disk")

    def test_an_output_that_stops_by_the_other_streams_fault(self):
        self.silence("b", 19, 22)
        self.reported("output_goes_on", "other stream")

    def test_an_output_that_stops_with_its_encoder(self):
        self.silence("a", 62, 65)
        self.reported("output_goes_on", "its encoder")

    def test_an_output_that_stops_for_good(self):
        self.silence("b", 110, 1e9)
        self.reported("output_goes_on")

    def test_a_server_that_comes_back_late(self):
        for stream in scene.IDS:
            self.remove([record for record in self.of(k="poll", s=stream) if scene.DOWN[1] <= record["t"] < 70])
        self.reported("server_comes_back")

    def test_a_disturbed_innocent(self):
        for record in self.of(k="api", s="b", what="ops"):
            if 20.5 < record["t"] < 44:
                record["seen"]["pipeline"]["restarts"] += 1
        self.reported("innocent_is_undisturbed")

    def test_an_innocent_that_lost_its_session(self):
        for record in self.of(k="api", s="b", what="ops"):
            if record["t"] > 20.5 and record["st"] == 200:
                record["seen"]["slots"][0]["session"]["id"] += 1
        self.reported("innocent_is_undisturbed")

    def test_a_stream_that_is_not_live_again(self):
        for record in self.of(k="api", s="a", what="live"):
            record["seen"]["live"] &= record["t"] < 20.3
        self.reported("all_is_well_again")

    def test_writes_that_fail_for_ever_after_a_full_disk(self):
        for record in self.of(k="write"):
            if record["t"] > scene.FULL[0]:
                record |= {"st": 500, "error": '{"error":"the store failed"}'}
        self.reported("all_is_well_again")
        self.reported("writes_are_kept", "nothing wrong")

    def test_a_server_that_crashes(self):
        self.records.append({"k": "server", "t": 120.0, "event": "exit", "pid": 20, "code": -11})
        self.reported("server_lives", "-11")

    def test_a_server_that_crashes_soon_after_an_ordered_restart(self):
        self.records.append({"k": "server", "t": scene.DOWN[1] + 5, "event": "exit", "pid": 20, "code": -11})
        self.reported("server_lives", "-11")

    def test_leaks(self):
        for what, much in (("rss_kb", 10**6), ("fds", 1000), ("threads", 200)):
            with self.subTest(what):
                self.records = json.loads(GOOD)
                self.of(k="process")[50][what] = much
                self.reported("processes_are_bounded", what)

    def test_an_orphan(self):
        for record in self.of(k="process"):
            if record["t"] > scene.DOWN[1]:
                record["workers"].append([100, 1, 1])
        self.reported("processes_are_bounded", "outlives")

    def test_workers_that_pile_up(self):
        self.of(k="process")[50]["workers"] += [[7, 10, 1], [8, 10, 1]]
        self.reported("processes_are_bounded", "workers")

    def test_a_lost_write(self):
        for record in self.of(k="read"):
            if record["t"] > scene.DOWN[1]:
                record["seen"] = ["write-5", "write-5"]
        self.reported("writes_are_kept", "last accepted")

    def test_half_a_write(self):
        self.of(k="read", st=200)[20]["seen"][1] = "write-1"
        self.reported("writes_are_kept", "half")

    def test_a_refused_write_that_shows(self):
        refused = self.of(k="write", st=500)[0]
        read = next(record for record in self.of(k="read") if record["t"] > refused["t"])
        read["seen"] = [f"write-{refused['n']}"] * 2
        self.reported("writes_are_kept", "last accepted")

    def test_a_refusal_without_a_reason(self):
        self.of(k="write", st=500)[0]["error"] = ""
        self.reported("writes_are_kept", "without saying why")

    def test_a_write_that_fails_for_nothing(self):
        self.of(k="write", st=200)[10]["st"] = 500
        self.reported("writes_are_kept")

    def test_a_flooded_log(self):
        for record in self.of(k="process"):
            record["log"] += 200 * (record["t"] > 80)
        self.reported("log_is_calm")

    def test_a_fault_without_effect(self):
        for effect in (None, {"delayed": 0}, {"refused": 0}, {"left": 8192}):
            with self.subTest(effect):
                self.records = json.loads(GOOD)
                self.of(k="fault", phase="end", kind="disk_full")[0]["effect"] = effect
                self.reported("faults_had_effect")

    def test_a_full_disk_that_nobody_noticed(self):
        for record in self.of(k="write", st=500):
            record["st"] = 200
        self.reported("faults_had_effect", "no write failed")


class Good(unittest.TestCase):
    def test_every_law_holds_and_was_tried(self):
        for verdict in check.judge(History(json.loads(GOOD))):
            with self.subTest(verdict.law):
                self.assertEqual(verdict.violations, [])
                self.assertTrue(verdict.tried)

    def test_every_law_is_broken_by_some_test(self):
        source = pathlib.Path(__file__).read_text()
        self.assertEqual([law for law in check.LAWS if f'self.reported("{law}"' not in source], [])


class Schedules(unittest.TestCase):
    def test_a_seed_gives_the_same_schedule(self):
        self.assertEqual(schedule.schedule(7, 900), schedule.schedule(7, 900))
        self.assertNotEqual(schedule.schedule(7, 900), schedule.schedule(8, 900))

    def test_a_long_run_has_every_kind_and_one_full_disk_over_two_minutes(self):
        for seed in range(200):
            faults = schedule.schedule(seed, 900)
            kinds = {(fault.kind, fault.stream) for fault in faults}
            for stream in schedule.STREAMS:
                for kind in ("worker_kill", "worker_stop", "encoder_kill", "encoder_stop"):
                    self.assertIn((kind, stream), kinds, seed)
            self.assertTrue({"server_kill", "server_term", "server_stop", "encoder_away", *schedule.DISKS} <= {k for k, _ in kinds}, seed)
            self.assertTrue(any(fault.kind != "disk_slow" and fault.seconds > 120 for fault in faults), seed)
            self.assertTrue(all(fault.end <= 900 - schedule.LAST for fault in faults), seed)


if __name__ == "__main__":
    unittest.main()
