//! The rules of RFC 8216bis and of the timeline, checked on what the packager writes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::grid::{AAC_FRAME, Grid};
use crate::ladder::Rendition;
use crate::pipeline::Placed;
use crate::protocol::{Chunk, Output};

mod delta;

const EPOCH_NS: u64 = 1_800_000_000_000_000_000;
const INIT: &[u8] = b"\0\0\0\x10ftyp....avcC\x01\x4d\x40\x1f";

fn output(fps: f64, videos: usize) -> Output {
    let rendition = |height: u32| Rendition {
        name: format!("{height}p"),
        width: height * 16 / 9,
        height,
        bitrate_kbps: height * 2,
    };
    Output {
        grid: Grid::new(Grid::snap(Some(fps))),
        renditions: [720, 360, 180].into_iter().take(videos).map(rendition).collect(),
        audio_bitrate_kbps: 128,
        epoch_ns: EPOCH_NS,
    }
}

/// A worker that makes what the grid says, part by part.
struct Worker {
    output: Output,
    next: (u64, u32),
}

impl Worker {
    fn start(packager: &mut Packager, output: Output) -> Self {
        packager.begin(&output);
        for track in 0..=output.renditions.len() {
            packager.init(track as u8, Bytes::from_static(INIT));
        }
        confirm(packager);
        Self { output, next: (0, 0) }
    }

    fn chunk(&self, track: usize, (segment, part): (u64, u32)) -> Chunk {
        let grid = &self.output.grid;
        let (start, end) = match part + 1 == grid.parts_per_segment() {
            true => (grid.first_frame(segment, part), grid.first_frame(segment + 1, 0)),
            false => (grid.first_frame(segment, part), grid.first_frame(segment, part + 1)),
        };
        let aac = |frame| grid.first_sample(frame).div_ceil(u64::from(AAC_FRAME));
        let audio = track == self.output.renditions.len();
        let frames = if audio { aac(end) - aac(start) } else { end - start };
        Chunk {
            track: track as u8,
            segment,
            part,
            frames: frames as u32,
            independent: audio || part == 0,
            data: Bytes::from(format!("<{track}.{segment}.{part}>")),
        }
    }

    /// The next part of every track.
    fn step(&mut self, packager: &mut Packager) -> Vec<Placed> {
        let placed =
            (0..=self.output.renditions.len()).map(|track| packager.chunk(self.chunk(track, self.next))).collect();
        confirm(packager);
        self.next.1 += 1;
        if self.next.1 == self.output.grid.parts_per_segment() {
            self.next = (self.next.0 + 1, 0);
        }
        placed
    }

    fn steps(&mut self, packager: &mut Packager, count: usize) {
        for _ in 0..count {
            self.step(packager);
        }
    }
}

/// The store that answers at once.
fn confirm(packager: &mut Packager) {
    if let Some(wanted) = packager.wanted() {
        packager.confirm(wanted);
    }
}

fn text(packager: &mut Packager, track: u8) -> String {
    String::from_utf8(packager.playlist(track).expect("a playlist").text().to_vec()).unwrap()
}

fn mpd_text(packager: &mut Packager, now_ns: u64) -> String {
    String::from_utf8(packager.mpd(now_ns).expect("an MPD").text().to_vec()).unwrap()
}

/// What a player reads from a media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
struct Read {
    version: u32,
    target: f64,
    skip_boundary: f64,
    part_target: f64,
    hold_back: f64,
    part_hold_back: f64,
    sequence: u64,
    discontinuity_sequence: u64,
    /// number in the name, seconds, date, discontinuities before it, map
    segments: Vec<(u64, f64, String, u64, String)>,
    /// number, part, seconds, independent
    parts: Vec<(u64, u32, f64, bool)>,
    /// Segments that this rendition lacks.
    gaps: Vec<u64>,
    /// Segments that the text left out.
    skipped: u64,
    hint: Option<(u64, u32)>,
    /// Other renditions' newest: URI, segment, part.
    reports: Vec<(String, u64, u32)>,
    ended: bool,
}

fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, list) = line.split_once(':').unwrap();
    list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap().trim_matches('"')
}

fn read(text: &str) -> Read {
    read_with(text, None).expect("nothing is left out")
}

/// Reads a playlist with what was known before; `None` when it leaves out what is not known.
fn read_with(text: &str, known: Option<&Read>) -> Option<Read> {
    let (mut read, mut date, mut seconds, mut tags, mut map) = (Read::default(), String::new(), 0.0, 0, String::new());
    let mut gap = false;
    assert!(text.starts_with("#EXTM3U\n"));
    for line in text.lines().skip(1) {
        let value = line.split_once(':').map_or("", |(_, value)| value);
        match line.split(':').next().unwrap() {
            "#EXT-X-TARGETDURATION" => read.target = value.parse::<u64>().unwrap() as f64,
            "#EXT-X-PART-INF" => read.part_target = attribute(line, "PART-TARGET").parse().unwrap(),
            "#EXT-X-SERVER-CONTROL" => {
                assert_eq!(attribute(line, "CAN-BLOCK-RELOAD"), "YES");
                read.skip_boundary = attribute(line, "CAN-SKIP-UNTIL").parse().unwrap();
                read.hold_back = attribute(line, "HOLD-BACK").parse().unwrap();
                read.part_hold_back = attribute(line, "PART-HOLD-BACK").parse().unwrap();
            }
            "#EXT-X-MEDIA-SEQUENCE" => read.sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => read.discontinuity_sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY" => tags += 1,
            "#EXT-X-GAP" => gap = true,
            "#EXT-X-SKIP" => {
                assert!(read.segments.is_empty() && read.skipped == 0, "{text}");
                read.skipped = attribute(line, "SKIPPED-SEGMENTS").parse().unwrap();
                let left_out = read.sequence..read.sequence + read.skipped;
                let known = known?;
                read.segments =
                    known.segments.iter().filter(|segment| left_out.contains(&segment.0)).cloned().collect();
                read.gaps = known.gaps.iter().copied().filter(|number| left_out.contains(number)).collect();
                let last = read.segments.last().filter(|_| read.segments.len() as u64 == read.skipped)?;
                (tags, map) = (last.3 - read.discontinuity_sequence, last.4.clone());
            }
            "#EXT-X-MAP" => map = attribute(line, "URI").to_owned(),
            "#EXT-X-PROGRAM-DATE-TIME" => date = value.to_owned(),
            "#EXTINF" => seconds = value.trim_end_matches(',').parse().unwrap(),
            "#EXT-X-PART" => {
                let Some(names::Name::Part { number, part, .. }) = names::Name::parse(attribute(line, "URI")) else {
                    panic!("{line}")
                };
                let independent = line.ends_with(",INDEPENDENT=YES");
                read.parts.push((number, part, attribute(line, "DURATION").parse().unwrap(), independent));
            }
            "#EXT-X-PRELOAD-HINT" => {
                let Some(names::Name::Part { number, part, .. }) = names::Name::parse(attribute(line, "URI")) else {
                    panic!("{line}")
                };
                read.hint = Some((number, part));
            }
            "#EXT-X-ENDLIST" => read.ended = true,
            "#EXT-X-VERSION" => read.version = value.parse().unwrap(),
            "#EXT-X-RENDITION-REPORT" => read.reports.push((
                attribute(line, "URI").to_owned(),
                attribute(line, "LAST-MSN").parse().unwrap(),
                attribute(line, "LAST-PART").parse().unwrap(),
            )),
            "#EXT-X-INDEPENDENT-SEGMENTS" => {}
            name if name.starts_with('#') => panic!("unknown tag {line}"),
            _ => {
                let Some(names::Name::Segment { number, .. }) = names::Name::parse(line) else { panic!("{line}") };
                let discontinuity = read.discontinuity_sequence + tags;
                read.segments.push((number, seconds, date.clone(), discontinuity, map.clone()));
                if std::mem::take(&mut gap) {
                    read.gaps.push(number);
                }
            }
        }
    }
    Some(read)
}

/// Every rule that one playlist can break on its own.
fn check(text: &str, grid: &Grid) -> Read {
    check_read(read(text), text, grid)
}

fn check_read(read: Read, text: &str, grid: &Grid) -> Read {
    assert!(read.version >= 9 && read.target == 2.0, "{text}");
    assert!(read.skip_boundary >= 6.0 * read.target, "{text}");
    assert!(read.hold_back >= 3.0 * read.target, "{text}");
    assert!(read.part_hold_back >= 3.0 * read.part_target - 1e-9, "{text}");
    for (offset, (number, seconds, ..)) in read.segments.iter().enumerate() {
        assert_eq!(*number, read.sequence + offset as u64, "numbers are contiguous\n{text}");
        assert!(seconds.round() <= read.target, "{text}");
    }
    let last = grid.parts_per_segment() - 1;
    for &(number, part, seconds, independent) in &read.parts {
        assert!(seconds <= read.part_target + 1e-9, "{text}");
        assert!(part == last || read.ended || seconds >= 0.85 * read.part_target, "{text}");
        assert!(part > 0 || independent, "{text}");
        assert!(number <= read.sequence + read.segments.len() as u64, "{text}");
    }
    for pair in read.parts.windows(2) {
        let following = (pair[0].0 + 1..).find(|number| !read.gaps.contains(number)).unwrap();
        assert!(
            (pair[1].0, pair[1].1) == (pair[0].0, pair[0].1 + 1) || (pair[1].0, pair[1].1) == (following, 0),
            "parts follow on each other\n{text}"
        );
    }
    for (number, seconds, _, discontinuity, _) in &read.segments {
        // A short segment only where a broadcast ends.
        let next = read.segments.iter().find(|next| next.0 == number + 1);
        let last = next.is_none_or(|next| next.3 != *discontinuity);
        assert!(last || (seconds - grid.segment_seconds()).abs() < 0.025, "segment {number}\n{text}");
    }
    match (read.ended, read.hint, read.parts.last()) {
        (true, hint, _) => assert_eq!(hint, None),
        (false, hint, Some(&(number, part, ..))) => {
            let next = if part == last { (number + 1, 0) } else { (number, part + 1) };
            assert_eq!(hint, Some(next), "the hint is the next part\n{text}");
        }
        (false, ..) => panic!("a live playlist lists parts\n{text}"),
    }
    read
}

#[test]
fn nothing_is_served_before_every_rendition_has_a_part() {
    let mut packager = Packager::default();
    let worker = Worker::start(&mut packager, output(30.0, 2));
    for track in 0..2 {
        assert_eq!(packager.chunk(worker.chunk(track, (0, 0))), Placed::default());
    }
    assert!(packager.master().is_none() && packager.playlist(0).is_none() && packager.mpd(EPOCH_NS).is_none());
    assert!(packager.delta(0).is_none());
    assert_eq!(packager.segment(0, 0, 0), Lookup::Missing);
    assert_eq!(packager.chunk(worker.chunk(2, (0, 0))), Placed { playable: true, ..Placed::default() });
    assert!(packager.master().is_some() && packager.playlist(2).is_some() && packager.mpd(EPOCH_NS).is_some());
    assert!(packager.playlist(3).is_none());
}

#[test]
fn a_segment_is_told_once_when_the_last_rendition_completes_it() {
    let mut packager = Packager::new(Numbers { next_sequence: 100, discontinuity_sequence: 0 });
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 3);
    let told: Vec<_> = worker.step(&mut packager).iter().map(|placed| placed.segment).collect();
    assert_eq!(told, [None, Some(100)]);
    worker.steps(&mut packager, 3);
    assert_eq!(worker.step(&mut packager)[1].segment, Some(101));
}

#[test]
fn the_master_names_codecs_sizes_and_an_honest_peak() {
    let mut packager = Packager::default();
    Worker::start(&mut packager, output(29.97, 2)).steps(&mut packager, 1);
    let master = String::from_utf8(packager.master().unwrap().text().to_vec()).unwrap();
    for part in [
        "CODECS=\"avc1.4d401f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"\nmedia_0.m3u8\n",
        "RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\"\nmedia_1.m3u8\n",
        "URI=\"media_2.m3u8\"",
        "BANDWIDTH=1881600,AVERAGE-BANDWIDTH=1568000,",
    ] {
        assert!(master.contains(part), "{part} in\n{master}");
    }
}

#[test]
fn bandwidth_rises_to_the_busiest_segment() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    for part in 0..4 {
        let data = Bytes::from(vec![0; 200_000]);
        packager.chunk(Chunk { data, ..worker.chunk(0, (0, part)) });
        packager.chunk(worker.chunk(1, (0, part)));
    }
    worker.next = (1, 0);
    worker.step(&mut packager);
    let master = String::from_utf8(packager.master().unwrap().text().to_vec()).unwrap();
    // 800 000 bytes in 1.6 s, and the audio's 1.2 x 128 kbit/s.
    assert!(master.contains("BANDWIDTH=4153600,"), "{master}");
}

#[test]
fn every_rate_keeps_the_rules_in_every_rendition_from_the_first_part_on() {
    for fps in [23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0] {
        let mut packager = Packager::default();
        let mut worker = Worker::start(&mut packager, output(fps, 2));
        let mut sequence = 0;
        for _ in 0..90 {
            worker.step(&mut packager);
            let lists: Vec<Read> =
                (0..3).map(|track| check(&text(&mut packager, track), &worker.output.grid)).collect();
            assert!(lists[0].sequence >= sequence);
            sequence = lists[0].sequence;
            for other in &lists[1..] {
                assert_eq!(other.sequence, lists[0].sequence);
                for (a, b) in lists[0].segments.iter().zip(&other.segments) {
                    assert_eq!((a.0, &a.2), (b.0, &b.2), "renditions agree on numbers and dates");
                }
            }
        }
        assert_eq!(text(&mut packager, 0).matches("#EXTINF").count() as u64, LISTED_SEGMENTS);
    }
}

#[test]
fn dates_follow_the_grid_exactly() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(29.97, 1));
    worker.steps(&mut packager, 4 * 1_000);
    let read = read(&text(&mut packager, 0));
    // Segment 999 starts at 999 * 48 * 1001 / 30000 s = 1599.9984 s.
    assert_eq!(read.segments.last().unwrap().0, 999);
    assert_eq!(read.segments.last().unwrap().2, calendar::date_time(EPOCH_NS + 1_599_998_400_000));
    assert_eq!(read.segments.last().unwrap().1, 1.6016);
}

#[test]
fn a_listed_segment_stays_for_as_long_as_a_playlist_that_names_it() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 40);
    let oldest = read(&text(&mut packager, 0)).sequence;
    worker.steps(&mut packager, 4 * LISTED_SEGMENTS as usize);
    let Lookup::Found(media) = packager.segment(0, oldest, 0) else { panic!("{oldest} is gone") };
    assert_eq!((media.complete, media.parts.len()), (true, 4));
    worker.steps(&mut packager, 4 * 2);
    assert_eq!(packager.segment(0, oldest, 0), Lookup::Missing);
}

#[test]
fn a_segment_is_its_parts_one_after_the_other() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 6);
    let Lookup::Found(media) = packager.segment(0, 0, 0) else { panic!() };
    assert_eq!(media.parts.concat(), b"<0.0.0><0.0.1><0.0.2><0.0.3>");
    let Lookup::Found(growing) = packager.segment(1, 1, 1) else { panic!() };
    assert_eq!((growing.audio, growing.complete, growing.parts.concat()), (true, false, b"<1.1.1>".to_vec()));
    assert_eq!(packager.segment(0, 2, 0), Lookup::Soon);
    assert_eq!(packager.segment(0, 3, 0), Lookup::Missing);
    assert_eq!(packager.part(0, 1, 2), Lookup::Soon);
    assert_eq!(packager.part(0, 1, 3), Lookup::Missing);
    assert!(matches!(packager.part(0, 1, 1), Lookup::Found(media) if media.parts == ["<0.1.1>"]));
}

#[test]
fn a_resumed_worker_may_overlap_but_not_leave_a_hole() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 6);
    packager.chunk(worker.chunk(0, (1, 2)));
    let grid = worker.output.grid;
    let next = [grid.first_frame(1, 2), grid.first_frame(1, 3)];
    assert_eq!(packager.next_frames(), next, "audio has not published part 2");
    let before = text(&mut packager, 0);
    packager.init(0, Bytes::from_static(b"another avcC\x01\x64\x00\x28"));
    let again = Chunk { data: Bytes::from_static(b"again"), ..worker.chunk(0, (1, 2)) };
    assert_eq!(packager.chunk(again), Placed::default());
    assert_eq!(packager.chunk(worker.chunk(0, (2, 0))), Placed { hole: true, ..Placed::default() });
    assert_eq!((packager.dropped(), text(&mut packager, 0)), (2, before));
    packager.chunk(worker.chunk(1, (1, 2)));
    worker.next = (1, 3);
    worker.step(&mut packager);
    let Lookup::Found(media) = packager.segment(0, 1, 0) else { panic!() };
    assert_eq!(media.parts.concat(), b"<0.1.0><0.1.1><0.1.2><0.1.3>");
    assert_eq!(packager.init_segment(0, 0).unwrap().parts, [INIT]);
}

#[test]
fn an_ended_broadcast_stays_and_the_next_goes_on_behind_a_discontinuity() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 3 + 2);
    packager.end();
    let ended = check(&text(&mut packager, 0), &worker.output.grid);
    assert!(ended.ended);
    assert_eq!(ended.segments.iter().map(|s| s.1).collect::<Vec<_>>(), [1.6, 1.6, 1.6, 0.8]);
    assert_eq!(packager.chunk(worker.chunk(0, (3, 2))), Placed::default(), "nothing follows the end");
    assert_eq!(packager.reload(0, 900, None), Some(Reload::Ready));

    let mut next = Worker::start(&mut packager, output(30.0, 1));
    assert!(check(&text(&mut packager, 0), &next.output.grid).ended, "visible until the next is playable");
    next.steps(&mut packager, 5);
    let read = check(&text(&mut packager, 0), &next.output.grid);
    assert!(!read.ended);
    let expected: Vec<(u64, u64, &str)> = vec![
        (0, 0, "init-0-0.mp4"),
        (1, 0, "init-0-0.mp4"),
        (2, 0, "init-0-0.mp4"),
        (3, 0, "init-0-0.mp4"),
        (4, 1, "init-4-0.mp4"),
    ];
    assert_eq!(read.segments.iter().map(|s| (s.0, s.3, s.4.as_str())).collect::<Vec<_>>(), expected);
    // Each segment keeps its discontinuity sequence while the window moves over the seam.
    for _ in 0..4 * 14 {
        next.step(&mut packager);
        for (number, _, _, discontinuity, _) in check(&text(&mut packager, 1), &next.output.grid).segments {
            assert_eq!(discontinuity, u64::from(number >= 4));
        }
    }
}

#[test]
fn other_renditions_start_a_list_of_their_own_with_numbers_going_on() {
    let mut packager = Packager::default();
    Worker::start(&mut packager, output(30.0, 2)).steps(&mut packager, 8);
    packager.end();
    let mut next = Worker::start(&mut packager, output(30.0, 1));
    next.steps(&mut packager, 4);
    let read = check(&text(&mut packager, 1), &next.output.grid);
    assert_eq!((read.sequence, read.discontinuity_sequence, read.segments[0].3), (2, 0, 1));
    assert!(matches!(packager.segment(2, 1, 0), Lookup::Found(media) if media.audio), "the old audio is still there");
    assert!(packager.playlist(2).is_none());
}

#[test]
fn a_broadcast_that_nobody_ended_is_over_when_the_next_is_playable() {
    let mut packager = Packager::default();
    Worker::start(&mut packager, output(30.0, 1)).steps(&mut packager, 6);
    let mut next = Worker::start(&mut packager, output(30.0, 1));
    assert!(!check(&text(&mut packager, 0), &next.output.grid).ended);
    next.steps(&mut packager, 1);
    let read = check(&text(&mut packager, 0), &next.output.grid);
    assert_eq!((read.ended, read.hint), (false, Some((2, 1))));
}

#[test]
fn restored_numbers_go_on_with_a_discontinuity() {
    let mut packager = Packager::new(Numbers { next_sequence: 640, discontinuity_sequence: 3 });
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4);
    let read = check(&text(&mut packager, 0), &worker.output.grid);
    assert_eq!((read.sequence, read.discontinuity_sequence, read.segments[0].3), (640, 2, 3));
    worker.steps(&mut packager, 4 * (LISTED_SEGMENTS as usize + 3));
    assert_eq!(check(&text(&mut packager, 0), &worker.output.grid).discontinuity_sequence, 3);
}

#[test]
fn nothing_is_shown_beyond_what_is_stored_as_reserved() {
    let mut packager = Packager::default();
    let output = output(30.0, 1);
    packager.begin(&output);
    for track in 0..2 {
        packager.init(track, Bytes::from_static(INIT));
    }
    let worker = Worker { output, next: (0, 0) };
    let feed = |packager: &mut Packager, segment: u64| {
        let places = (0..4).flat_map(|part| (0..2).map(move |track| (track, (segment, part))));
        places.map(|(track, place)| packager.chunk(worker.chunk(track, place))).filter(|placed| placed.playable).count()
    };
    let wanted = packager.wanted().unwrap();
    assert_eq!(wanted, Numbers { next_sequence: RESERVED_AHEAD, discontinuity_sequence: 1 });
    assert_eq!(feed(&mut packager, 0), 0);
    assert!(packager.master().is_none());
    packager.confirm(wanted);
    assert!(packager.master().is_some());
    assert_eq!(feed(&mut packager, 1), 1, "playable is still told");
    // The store falls silent: the window stops at the horizon, and goes on when it is back.
    let fed = RESERVED_AHEAD + 6;
    for segment in 2..fed {
        assert_eq!(packager.wanted().is_some(), segment >= RESERVED_AHEAD / 2, "asked for when half is used");
        feed(&mut packager, segment);
    }
    assert_eq!(read(&text(&mut packager, 0)).segments.last().unwrap().0, RESERVED_AHEAD - 1);
    assert_eq!(packager.part(0, RESERVED_AHEAD, 0), Lookup::Soon);
    assert_eq!(packager.next_frames(), [fed * 48; 2]);
    let wanted = packager.wanted().unwrap();
    packager.confirm(wanted);
    assert_eq!(read(&text(&mut packager, 0)).segments.last().unwrap().0, fed - 1);
}

#[test]
fn a_store_that_stays_silent_stops_the_output_and_breaks_nothing() {
    let mut packager = Packager::default();
    let worker = Worker::start(&mut packager, output(30.0, 1));
    // Until all that may be listed is so old that it is gone.
    for place in (0..RESERVED_AHEAD + 60).flat_map(|segment| (0..4).map(move |part| (segment, part))) {
        for track in 0..2 {
            packager.chunk(worker.chunk(track, place));
        }
    }
    for track in 0..2 {
        assert!(text(&mut packager, track).contains(&format!("#EXT-X-MEDIA-SEQUENCE:{RESERVED_AHEAD}\n")));
        assert!(packager.delta(track).is_some());
    }
    assert!(!mpd_text(&mut packager, 0).is_empty());
    packager.end();
    assert!(!mpd_text(&mut packager, 0).is_empty() && text(&mut packager, 0).ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn what_is_visible_ends_although_the_current_broadcast_never_was() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    confirm(&mut packager);
    worker.steps(&mut packager, 16);
    packager.begin(&output(30.0, 1));
    assert!(!packager.ended());
    packager.end();
    assert!(packager.ended() && text(&mut packager, 0).ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn a_reservation_of_the_broadcast_before_does_not_cover_the_next() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4);
    let old = Numbers { next_sequence: 9_000, discontinuity_sequence: 1 };
    packager.end();
    packager.begin(&output(30.0, 1));
    packager.confirm(old);
    assert_eq!(packager.wanted(), Some(Numbers { next_sequence: 1 + RESERVED_AHEAD, discontinuity_sequence: 2 }));
}

#[test]
fn blocking_reload_knows_what_is_there_what_comes_and_what_is_absurd() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 5 + 2); // whole 0..=4, parts 0 and 1 of 5
    let ask = |msn, part| packager.reload(0, msn, part).unwrap();
    assert_eq!(ask(4, None), Reload::Ready);
    assert_eq!(ask(5, None), Reload::Wait);
    assert_eq!(ask(5, Some(1)), Reload::Ready);
    assert_eq!(ask(5, Some(2)), Reload::Wait);
    assert_eq!(ask(4, Some(99)), Reload::Ready, "a part beyond the last is part 0 of the next segment");
    assert_eq!(ask(5, Some(4)), Reload::Wait);
    assert_eq!(ask(6, Some(0)), Reload::Wait);
    assert_eq!(ask(7, None), Reload::TooFar);
    assert_eq!(ask(u64::MAX, Some(u32::MAX)), Reload::TooFar);
    assert_eq!(packager.reload(2, 0, None), None);
}

fn value<'a>(mpd: &'a str, attribute: &str) -> &'a str {
    let (_, rest) = mpd.split_once(&format!(" {attribute}=\"")).unwrap_or_else(|| panic!("{attribute} in\n{mpd}"));
    rest.split('"').next().unwrap()
}

#[test]
fn the_mpd_counts_like_the_grid() {
    let mut packager = Packager::new(Numbers { next_sequence: 77, discontinuity_sequence: 0 });
    let mut worker = Worker::start(&mut packager, output(29.97, 2));
    worker.steps(&mut packager, 9);
    let now = EPOCH_NS + 3_900_000_000;
    let mpd = mpd_text(&mut packager, now);
    assert_eq!(value(&mpd, "type"), "dynamic");
    assert_eq!((value(&mpd, "timescale"), value(&mpd, "duration")), ("30000", "48048"));
    assert_eq!(value(&mpd, "startNumber"), "77");
    assert_eq!(value(&mpd, "availabilityTimeOffset"), "1.201");
    assert_eq!(value(&mpd, "availabilityTimeComplete"), "false");
    assert_eq!(value(&mpd, "availabilityStartTime"), calendar::date_time(EPOCH_NS + 250_000_000));
    assert_eq!(value(&mpd, "timeShiftBufferDepth"), "PT3.000S", "no longer than the broadcast is old");
    assert!(mpd.contains(&format!("direct:2014\" value=\"{}\"", calendar::date_time(now))));
    let init = value(&mpd, "initialization").replace("$RepresentationID$", "2");
    assert_eq!(names::Name::parse(&init), Some(names::Name::Init { first_sequence: 77, track: 2 }));
    let media = value(&mpd, "media").replace("$RepresentationID$", "1").replace("$Number$", "78");
    assert_eq!(names::Name::parse(&media), Some(names::Name::Segment { track: 1, number: 78 }));
    assert!(matches!(packager.segment(1, 78, 0), Lookup::Found(media) if media.complete));
}

#[test]
fn an_ended_mpd_is_static_and_keeps_its_timeline() {
    let mut packager = Packager::new(Numbers { next_sequence: 10, discontinuity_sequence: 0 });
    let mut worker = Worker::start(&mut packager, output(25.0, 1));
    worker.steps(&mut packager, 4 * (LISTED_SEGMENTS as usize + 8) + 1);
    packager.end();
    let mpd = mpd_text(&mut packager, EPOCH_NS);
    assert_eq!(value(&mpd, "type"), "static");
    // A quarter segment more than slots 0 to 27, the last 20 of them offered: from slot 9 on, which starts at 14.4 s.
    assert_eq!(value(&mpd, "startNumber"), "19");
    assert_eq!(value(&mpd, "presentationTimeOffset"), (9 * 40).to_string());
    assert!(
        mpd.contains("start=\"PT14.400S\" duration=\"PT30.799S\"")
            || mpd.contains("start=\"PT14.400S\" duration=\"PT30.800S\""),
        "{mpd}"
    );
    for live in [
        "minimumUpdatePeriod",
        "availability",
        "publishTime",
        "timeShift",
        "suggested",
        "low-latency",
        "UTCTiming",
        "<Service",
        "<Producer",
    ] {
        assert!(!mpd.contains(live), "{live} in\n{mpd}");
    }
}

#[test]
fn the_mpd_says_when_its_times_were_made() {
    let mut packager = Packager::default();
    Worker::start(&mut packager, output(30.0, 2)).steps(&mut packager, 9);
    let now = EPOCH_NS + 3_900_000_000;
    let mpd = mpd_text(&mut packager, now);
    let clock =
        format!("<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>", calendar::date_time(now));
    let produced = format!(
        "<ProducerReferenceTime id=\"0\" type=\"encoder\" inband=\"false\" wallClockTime=\"{}\" presentationTime=\"0\">{clock}</ProducerReferenceTime>\n<SegmentTemplate ",
        calendar::date_time(EPOCH_NS)
    );
    assert_eq!(mpd.matches(&produced).count(), 2, "one a set, before its template\n{mpd}");
    assert!(
        mpd.contains(&format!("</Period>\n{clock}\n</MPD>"))
            && mpd.contains("<Latency referenceId=\"0\" target=\"2500\"")
    );
}

#[test]
fn the_mpd_is_written_once_for_all_who_ask_in_a_tenth_of_a_second() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 9);
    let first = packager.mpd(EPOCH_NS).unwrap();
    worker.steps(&mut packager, 1);
    assert!(std::sync::Arc::ptr_eq(&first, &packager.mpd(EPOCH_NS + 99_000_000).unwrap()));
    assert!(!std::sync::Arc::ptr_eq(&first, &packager.mpd(EPOCH_NS + 100_000_000).unwrap()));
    assert!(
        mpd_text(&mut packager, EPOCH_NS - 1).contains(&calendar::date_time(EPOCH_NS - 1)),
        "a clock that was set back"
    );
    packager.end();
    assert!(mpd_text(&mut packager, EPOCH_NS).contains("static"), "the end is told at once");
}

#[test]
fn a_turn_is_all_that_concerns_more_than_one_track() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    let mut turns = Vec::new();
    for _ in 0..12 {
        let before = packager.turn();
        worker.step(&mut packager);
        turns.push(packager.turn() - before);
    }
    // Playable with the first part, a whole segment with the fourth.
    assert_eq!(turns, [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let before = packager.turn();
    packager.end();
    assert!(packager.turn() > before);
}

#[test]
fn rendition_reports_say_how_far_the_others_are() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 2));
    for _ in 0..30 {
        worker.step(&mut packager);
        packager.chunk(worker.chunk(0, worker.next));
        let lists: Vec<Read> = (0..3).map(|track| read(&text(&mut packager, track))).collect();
        for (index, list) in lists.iter().enumerate() {
            let others = lists.iter().enumerate().filter(|(other, _)| *other != index);
            let expected: Vec<_> = others
                .map(|(other, list)| {
                    let (number, part, ..) = *list.parts.last().unwrap();
                    (format!("media_{other}.m3u8"), number, part)
                })
                .collect();
            assert_eq!(list.reports, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever workers and broadcasts do, no list goes back, none has a hole, and a published part never changes.
    #[test]
    fn no_schedule_breaks_the_timeline(
        fps in prop::sample::select(vec![24.0, 25.0, 29.97, 30.0, 50.0]),
        steps in prop::collection::vec(0u8..24, 1..150),
    ) {
        let mut packager = Packager::default();
        let mut worker = Worker::start(&mut packager, output(fps, 1));
        let mut seen = [(0, 0); 2];
        let mut bytes = std::collections::HashMap::new();
        let mut broadcast = 0u64;
        for step in steps {
            match step {
                0 => {
                    packager.end();
                    worker = Worker::start(&mut packager, output(fps, 1));
                    broadcast += 1;
                }
                1 => {
                    worker = Worker::start(&mut packager, output(fps, 1));
                    broadcast += 1;
                }
                2 => {
                    packager.chunk(worker.chunk(0, worker.next));
                }
                3 => {
                    // A resumed worker starts over some parts earlier.
                    worker.next = worker.output.grid.place(packager.next_frames()[0].saturating_sub(30));
                }
                4 => {
                    packager.chunk(worker.chunk(1, (worker.next.0 + 1, 0)));
                }
                _ => {
                    worker.step(&mut packager);
                }
            }
            for track in 0..2u8 {
                let Some(page) = packager.playlist(track) else { continue };
                let text = String::from_utf8(page.text().to_vec()).unwrap();
                let read = check(&text, &worker.output.grid);
                let end = read.sequence + read.segments.len() as u64;
                let (sequence, last) = seen[usize::from(track)];
                prop_assert!(read.sequence >= sequence && end >= last, "{}", text);
                seen[usize::from(track)] = (read.sequence, end);
                for &(number, part, ..) in &read.parts {
                    let Lookup::Found(media) = packager.part(track, number, part) else {
                        return Err(TestCaseError::fail(format!("part {number}.{part} is listed but missing\n{text}")));
                    };
                    let known = bytes.entry((track, number, part)).or_insert_with(|| (broadcast, media.parts.concat()));
                    prop_assert_eq!(&known.1, &media.parts.concat());
                }
                for (number, ..) in read.segments.iter().filter(|segment| !read.gaps.contains(&segment.0)) {
                    let found = matches!(packager.segment(track, *number, 0), Lookup::Found(media) if media.complete);
                    prop_assert!(found, "segment {} is listed but missing\n{}", number, text);
                }
            }
        }
    }
}
