//! Sessions that are played as the mixer plays them, from what arrives when.
//!
//! Two sequences were recorded: `ffmpeg -re -flush_packets 1` writes a transport stream of 700 kbit/s into a pipe, from which
//! srt-live-transmit takes 1,316 bytes at a time, so that a packet's end waits for the packets behind it. Most sound comes up to 200 ms
//! late, in bursts of eight frames, some of it 350 ms.

use std::collections::VecDeque;

use weir_media::grid::SAMPLE_RATE;

use super::*;
use crate::worker::mixer::AAC_DELAY;

const H264: &str = include_str!("arrivals/h264.txt");
const HEVC: &str = include_str!("arrivals/hevc.txt");
/// What decoders take, nanoseconds.
const DECODER: i64 = 5 * MS;
const FPS: i64 = 30;
/// Samples of a slot.
const BLOCK: usize = SAMPLE_RATE as usize / FPS as usize;
const SECOND: i64 = 1_000 * MS;

#[derive(Clone, Copy)]
enum Unit {
    Picture(i64),
    Sound(i64),
}

/// Units by arrival, nanoseconds.
type Arrivals = Vec<(i64, Unit)>;

fn picture_pts(first: i64, n: i64) -> i64 {
    // As containers round it.
    (first + n * SECOND / FPS) / MS * MS
}

fn sound_pts(first: i64, n: i64) -> i64 {
    first + n * 1_024 * SECOND / i64::from(SAMPLE_RATE)
}

/// A line is an arrival in milliseconds and how many pictures (`v`) and AAC frames (`a`) came, in this order. The first line has the
/// timestamps in milliseconds that both begin with.
fn recorded(text: &str) -> Arrivals {
    let number = |text: &str| text.parse::<i64>().unwrap();
    let mut arrivals = vec![];
    let (mut pictures, mut sounds) = ((0, 0), (0, 0));
    for line in text.lines() {
        let mut words = line.split(' ');
        let at = number(words.next().unwrap()) * MS;
        for word in words {
            let (track, count) = word.split_at(1);
            let (first, sent) = if track == "v" { &mut pictures } else { &mut sounds };
            if let Some(begin) = count.strip_prefix('@') {
                *first = number(begin) * MS;
                continue;
            }
            for n in *sent..*sent + number(count) {
                arrivals.push(match track {
                    "v" => (at, Unit::Picture(picture_pts(*first, n))),
                    _ => (at, Unit::Sound(sound_pts(*first, n))),
                });
            }
            *sent += number(count);
        }
    }
    arrivals
}

/// An encoder that sends each frame when it is due, its sound `late` milliseconds later as a frame's second says; nothing where that is
/// `None`.
fn smooth(seconds: i64, late: impl Fn(i64) -> Option<i64>) -> Arrivals {
    let mut arrivals: Arrivals =
        (0..seconds * FPS).map(|n| (n * SECOND / FPS, Unit::Picture(picture_pts(0, n)))).collect();
    let sounds = (0..seconds * i64::from(SAMPLE_RATE) / 1_024).map(|n| sound_pts(0, n));
    arrivals.extend(sounds.filter_map(|pts| Some((pts + late(pts / SECOND)? * MS, Unit::Sound(pts)))));
    arrivals.sort_by_key(|(at, _)| *at);
    arrivals
}

/// What arrives from a second's first picture on.
fn from_second(second: i64, mut arrivals: Arrivals) -> Arrivals {
    let pictures = (0..arrivals.len()).filter(|&n| matches!(arrivals[n].1, Unit::Picture(_)));
    let first = pictures.into_iter().nth((second * FPS) as usize).unwrap();
    arrivals.drain(..first);
    arrivals
}

/// A slot of the output.
#[derive(Debug)]
struct Made {
    /// Number of its picture, from the first one on.
    picture: i64,
    /// Samples that were not there.
    missing: usize,
    /// How much later the sound is heard than its picture is seen, nanoseconds; where there is sound.
    apart: Option<i64>,
}

/// What was made of an input on air.
struct Played {
    /// When it began after the first arrival, nanoseconds.
    began: i64,
    /// The delay that it began with.
    delay: i64,
    slots: Vec<Made>,
}

fn play(arrivals: Arrivals) -> Played {
    let timeline = timeline(FPS as u32);
    let (Some(&(start, Unit::Picture(first))), Some(&(last, _))) = (arrivals.first(), arrivals.last()) else {
        panic!("begins with no picture");
    };
    let end = timeline.epoch + last - start;
    let mut units = arrivals.into_iter().map(|(at, unit)| (at - start + timeline.epoch, unit)).peekable();
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    let (mut pictures, mut sounds) = (VecDeque::new(), VecDeque::new());
    let mut block = vec![[0.0; 2]; BLOCK];
    let (mut played, mut now) = (Played { began: 0, delay: 0, slots: vec![] }, timeline.epoch);
    while now < end {
        while let Some((at, unit)) = units.next_if(|(at, _)| *at <= now) {
            match unit {
                Unit::Picture(pts) => {
                    session.video_arrived(at, pts);
                    pictures.push_back((at + DECODER, pts));
                }
                Unit::Sound(pts) => {
                    session.audio_arrived(at, pts);
                    sounds.push_back((at + DECODER, pts));
                }
            }
        }
        while let Some((_, pts)) = sounds.pop_front_if(|(at, _)| *at <= now) {
            let first = sample_number(pts);
            // Each sample says which one it is.
            session.sound(pts, &Vec::from_iter((first..first + 1_024).map(|sample| [sample as f32; 2])));
        }
        while let Some((_, pts)) = pictures.pop_front_if(|(at, _)| *at <= now && session.picture_room()) {
            session.picture(now, pts, pts);
        }
        let n = played.slots.len() as u64;
        let t = timeline.slot_start(n);
        if t > now || n == 0 && !session.ready(now) {
            now += MS;
            continue;
        }
        if n == 0 {
            (played.began, played.delay) = (now - timeline.epoch, session.delay.now());
        }
        session.catch_up(t);
        session.advance(now, t, &timeline, true);
        let heard_at = timeline.sample_start(n * BLOCK as u64 + AAC_DELAY);
        let present = session.read_sound(heard_at, &mut block);
        let picture = session.current().or(session.upcoming()).unwrap();
        let time = |sample: i64| sample * SECOND / i64::from(SAMPLE_RATE);
        let apart = block.get(present.start).filter(|sample| sample[0] > 0.0).map(|sample| {
            let behind = heard_at + time(present.start as i64) - time(sample[0] as i64);
            behind - (t - picture)
        });
        let picture = ((picture - first) * FPS + SECOND / 2) / SECOND;
        played.slots.push(Made { picture, missing: BLOCK - present.len(), apart });
    }
    played
}

impl Played {
    /// From the slot on in which the picture first moves.
    fn moving(&self) -> &[Made] {
        let held = self.slots.iter().take_while(|slot| slot.picture == 0).count();
        &self.slots[held..]
    }
}

/// Slots with another picture than the one behind that of the slot before.
fn missteps(slots: &[Made]) -> usize {
    slots.windows(2).filter(|pair| pair[1].picture != pair[0].picture + 1).count()
}

fn missing(slots: &[Made]) -> usize {
    slots.iter().map(|slot| slot.missing).sum()
}

fn most_apart(slots: &[Made]) -> i64 {
    slots.iter().filter_map(|slot| slot.apart).map(i64::abs).max().unwrap()
}

#[test]
fn sound_that_waits_in_a_pipe_is_heard_in_step_from_the_first_moving_picture_on() {
    for (name, recording) in [("H.264", H264), ("HEVC", HEVC)] {
        for second in 0..14 {
            let played = play(from_second(second, recorded(recording)));
            let moving = played.moving();
            let held = played.slots.len() - moving.len();
            assert!(held <= 18, "{name} from second {second}: {held} slots held");
            assert_eq!(missteps(moving), 0, "{name} from second {second}");
            // One burst may come later than any before it where the first one had come in pieces.
            let most = if second == 0 { 0 } else { 8 * 1_024 };
            assert!(missing(moving) <= most, "{name} from second {second}: {}", missing(moving));
            assert!(most_apart(moving) <= 15 * MS, "{name} from second {second}: {}", most_apart(moving));
        }
    }
}

#[test]
fn an_encoder_in_step_is_not_waited_for() {
    for late in [0, 45] {
        let played = play(smooth(4, |_| Some(late)));
        assert!(played.began <= 150 * MS, "{}", played.began);
        assert_eq!((played.delay, missteps(played.moving()), missing(&played.moving()[2..])), (DELAY, 0, 0));
    }
}

#[test]
fn an_encoder_without_sound_begins_after_a_part() {
    let played = play(smooth(4, |_| None));
    assert_eq!((played.began, played.delay), (FIRST_SOUND, DELAY));
    assert_eq!(missteps(played.moving()), 0);
}

#[test]
fn sound_that_gets_later_is_followed_by_both_so_slowly_that_none_is_lost() {
    let played = play(smooth(40, |second| Some(if second < 6 { 30 } else { 90 })));
    let moving = &played.moving()[2..];
    assert_eq!(missing(moving), 0);
    // Two slots, one picture more for each; half a slot is what pictures are off while they pass from one into the next.
    assert_eq!(missteps(moving), 2);
    assert!(most_apart(moving) <= 20 * MS, "{}", most_apart(moving));
}

#[test]
fn sound_that_would_be_lost_is_followed_by_both_at_once() {
    let played = play(smooth(30, |second| Some(if second < 6 { 30 } else { 170 })));
    let moving = played.moving();
    let before = &moving[2..5 * FPS as usize];
    assert!(missing(before) == 0 && most_apart(before) <= 3 * MS, "{} ms", most_apart(before) / MS);
    // Two seconds and a half until it is taken for more than a stall, and the step.
    let after = &moving[9 * FPS as usize..];
    assert!(missing(after) == 0 && most_apart(after) <= 3 * MS, "{} ms", most_apart(after) / MS);
    // The picture was held for as long as the sound was moved.
    let held = moving.windows(2).filter(|pair| pair[1].picture == pair[0].picture).count();
    assert_eq!((held, missteps(moving)), (4, 4));
}

#[test]
fn sound_that_begins_later_is_heard_as_soon_as_it_is_known_how_late_it_is() {
    let played = play(smooth(10, |second| (second >= 3).then_some(300)));
    // A fifth of a second until it is known, and the step.
    let begun = &played.slots[4 * FPS as usize..];
    assert!(missing(begun) == 0 && most_apart(begun) <= 3 * MS, "{} ms", most_apart(begun) / MS);
}
