use weir_media::grid::Grid;
use weir_media::time::FrameRate;

use super::*;

mod arrivals;

const MS: i64 = 1_000_000;
const DELAY: i64 = 150 * MS;

fn timeline(fps: u32) -> Timeline {
    Timeline { grid: Grid::new(FrameRate::whole(fps)), epoch: 1_000_000 * MS }
}

/// Plays a source of `fps` with millisecond timestamps on a grid of `grid_fps`; returns what each slot showed.
fn play(fps: f64, grid_fps: u32, slots: u64, lead_ms: f64) -> Vec<Option<u64>> {
    let timeline = timeline(grid_fps);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    let (mut frame, mut seen) = (0u64, vec![]);
    for n in 0..slots {
        let t = timeline.slot_start(n);
        loop {
            let exact_ms = frame as f64 * 1_000.0 / fps;
            let arrival = timeline.epoch + ((exact_ms + lead_ms) * 1e6) as i64;
            if arrival > t || !session.picture_room() {
                break;
            }
            let pts = exact_ms.round() as i64 * MS;
            session.video_arrived(arrival, pts);
            session.picture(arrival, pts, frame);
            frame += 1;
        }
        session.catch_up(t);
        session.advance(t, t, &timeline, true);
        seen.push(session.current());
    }
    seen
}

#[test]
fn a_source_at_the_grid_rate_never_repeats_nor_skips() {
    for lead in 0..40 {
        let seen: Vec<u64> = play(30.0, 30, 900, f64::from(lead)).into_iter().flatten().collect();
        assert!(seen.windows(2).all(|w| w[1] == w[0] + 1), "lead {lead} ms");
    }
}

#[test]
fn a_drifting_source_repeats_once_per_frame_of_drift() {
    // 29.99 on 30: one repeat per 100 s.
    let seen: Vec<u64> = play(29.99, 30, 9_000, 5.0).into_iter().flatten().collect();
    let repeats = seen.windows(2).filter(|w| w[1] == w[0]).count();
    let skips = seen.windows(2).filter(|w| w[1] > w[0] + 1).count();
    assert!((2..=4).contains(&repeats) && skips == 0, "{repeats} repeats, {skips} skips");
}

#[test]
fn a_drifting_clock_is_followed_for_hours_by_slewing() {
    for ppm in [-200i64, 200] {
        let timeline = timeline(30);
        let delay = 1_000 * MS;
        let mut session = Session::new(Slot::Primary, delay, 0);
        let mut sound = vec![[0.0; 2]; 1_600];
        let (mut frame, mut missing, mut last) = (0i64, 0, None);
        let mut steps = [0u64; 3];
        // Three hours; a frame's own time, and when it arrives by the output's clock.
        let own = |frame: i64| frame * 100_000_000 / 3;
        let arrival = |frame: i64| timeline.epoch + own(frame) + own(frame) / 1_000_000 * ppm;
        for n in 0..3 * 3_600 * 30 {
            let t = timeline.slot_start(n);
            while arrival(frame) <= t {
                session.video_arrived(arrival(frame), own(frame));
                session.audio_arrived(arrival(frame), own(frame));
                session.sound(own(frame), &sound);
                // Its decoder delivers when there is room, which is long after its arrival.
                frame += 1;
            }
            while session.picture_room() && session.decoded_pictures < frame as u64 {
                let decoded = session.decoded_pictures as i64;
                session.picture(t, own(decoded), decoded);
            }
            session.catch_up(t);
            session.advance(t, t, &timeline, true);
            if n < 60 {
                continue;
            }
            let shown = session.current().unwrap();
            let behind = t - arrival(shown) - delay;
            assert!((-60 * MS..=60 * MS).contains(&behind), "{ppm} ppm, slot {n}: {} ms", behind / MS);
            if let Some(last) = last {
                steps[usize::try_from(shown - last).unwrap().min(2)] += 1;
            }
            last = Some(shown);
            missing += 1_600 - session.read_sound(t, &mut sound).len();
            sound.fill([0.0; 2]);
            let heard = session.heard_at(t).unwrap();
            assert!((heard - own(shown)).abs() <= 40 * MS, "{ppm} ppm, slot {n}: A/V {} ms", (heard - own(shown)) / MS);
        }
        // 2.16 s of drift is 65 pictures, once each.
        let [repeats, _, skips] = steps;
        let (wanted, other) = if ppm > 0 { (repeats, skips) } else { (skips, repeats) };
        assert!((60..=70).contains(&wanted) && other <= 2, "{ppm} ppm: {steps:?}");
        assert_eq!(missing, 0, "{ppm} ppm");
    }
}

#[test]
fn sound_keeps_its_distance_to_the_picture() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    let start = timeline.epoch + 7 * MS;
    for frame in 0..10i64 {
        session.video_arrived(start + frame * 40 * MS, 5_000 * MS + frame * 40 * MS);
    }
    session.picture(start, 5_000 * MS, ());
    let block: Vec<Sample> = (0..9_600).map(|s| [s as f32; 2]).collect();
    session.sound(5_000 * MS, &block);
    // Find the slot that shows the picture, then ask for the sound of that very instant.
    let n = (0..50).find(|&n| session.advance(start + 200 * MS, timeline.slot_start(n), &timeline, true)).unwrap();
    let mut out = vec![[0.0; 2]; 100];
    assert_eq!(session.read_sound(timeline.slot_start(n), &mut out), 0..100);
    assert!(out[0][0].abs() <= 1.0, "{}", out[0][0]);
}

/// The sample that is heard at slot 10 of an input with a trim of `trim` milliseconds, aligned by `by`.
fn heard(trim: i64, by: i64) -> i64 {
    let timeline = timeline(25);
    let mut session: Session<()> = Session::new(Slot::Primary, DELAY, trim * MS);
    session.video_arrived(timeline.epoch, 0);
    assert!(session.align(by * MS, [0, 1_000 * MS]));
    sample_number(session.heard_at(timeline.slot_start(10)).unwrap())
}

#[test]
fn a_trim_plays_sound_later_and_leaves_pictures_where_they_are() {
    assert_eq!(heard(0, 0) - heard(100, 0), 4_800);
    assert_eq!(heard(0, 0) - heard(-100, 0), -4_800);
    let mut session: Session<()> = Session::new(Slot::Primary, DELAY, 100 * MS);
    session.video_arrived(0, 0);
    assert_eq!(session.due(0), Some(DELAY));
}

#[test]
fn an_alignment_moves_picture_and_sound_and_is_refused_without_reserve() {
    assert_eq!(heard(0, 0) - heard(0, 50), 2_400);
    let mut session: Session<()> = Session::new(Slot::Primary, DELAY, 0);
    session.video_arrived(0, 0);
    assert!(!session.align(-60 * MS, [100 * MS, 1_000 * MS]) && !session.align(900 * MS, [100 * MS, 1_000 * MS]));
    assert_eq!(session.due(0), Some(DELAY));
    assert!(session.align(-40 * MS, [100 * MS, 1_000 * MS]));
    assert_eq!(session.due(0), Some(DELAY - 40 * MS));
}

#[test]
fn a_picture_long_after_its_slot_is_none() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    session.video_arrived(timeline.epoch, 0);
    session.picture(timeline.epoch, 0, 0);
    let t = timeline.epoch + DELAY + 1_000 * MS;
    session.advance(t, t, &timeline, true);
    session.picture(t, 600 * MS, 1);
    assert_eq!((session.decoded_pictures, session.decoded_at), (1, Some(timeline.epoch)));
    session.picture(t, 800 * MS, 2);
    assert_eq!((session.decoded_pictures, session.decoded_at), (2, Some(t)));
}

#[test]
fn content_ends_with_the_shorter_of_picture_and_sound() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    for frame in 0..10i64 {
        session.video_arrived(timeline.epoch + frame * 40 * MS, frame * 40 * MS);
        session.audio_arrived(timeline.epoch + frame * 40 * MS, frame * 40 * MS);
        session.picture(timeline.epoch, frame * 40 * MS, ());
    }
    session.sound(0, &vec![[0.1; 2]; 8 * 1_920]);
    let has = |n: i64, patience| {
        let t = timeline.epoch + DELAY + n * 40 * MS;
        session.has_content(t, t + 40 * MS, patience, &timeline)
    };
    let until: Vec<bool> = (0..12).map(|n| has(n, 0)).collect();
    assert_eq!(until, [true, true, true, true, true, true, true, true, false, false, false, false]);
    assert!(has(10, 200 * MS) && !has(13, 200 * MS));
}

#[test]
fn a_jump_of_the_source_clock_voids_what_is_queued() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    assert!(!session.video_arrived(timeline.epoch, 100_000 * MS));
    session.picture(timeline.epoch, 100_000 * MS, 1);
    assert!(session.video_arrived(timeline.epoch + 40 * MS, 0));
    session.picture(timeline.epoch + 40 * MS, 0, 3);
    let n = 5;
    assert!(session.advance(timeline.slot_start(n), timeline.slot_start(n), &timeline, true));
    assert_eq!(session.current(), Some(3));
}

#[test]
fn sound_that_is_always_late_delays_its_input_once() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    for frame in 0..250i64 {
        let now = timeline.epoch + frame * 40 * MS;
        session.video_arrived(now, frame * 40 * MS);
        session.audio_arrived(now, (frame * 40 - 190 - frame % 30) * MS);
        session.picture(now, frame * 40 * MS, ());
        session.advance(now, now, &timeline, true);
    }
    // Four slots more leave a lead of 91 ms at least.
    let due = session.anchor.unwrap().wall(0) + session.lead();
    assert_eq!(timeline.phase(due), 0);
    assert_eq!(session.lead(), DELAY + 160 * MS);
}

#[test]
fn sound_that_comes_in_bursts_is_heard_whole() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    // As ffmpeg's transport stream has it: nine AAC frames in one packet, there when the last of them is.
    let block = vec![[0.1; 2]; 1_024];
    let pts = |frame: i64| frame * 1_024 * 1_000 * MS / 48_000;
    let (mut frame, mut missing, mut sound) = (0i64, 0, vec![[0.0; 2]; 1_920]);
    for n in 0..500 {
        let t = timeline.slot_start(n);
        session.video_arrived(t, n as i64 * 40 * MS);
        session.picture(t, n as i64 * 40 * MS, ());
        while timeline.epoch + pts(frame + 8) <= t {
            for frame in frame..frame + 9 {
                session.audio_arrived(t, pts(frame));
                session.sound(pts(frame), &block);
            }
            frame += 9;
        }
        session.advance(t, t, &timeline, true);
        let heard = session.read_sound(t, &mut sound).len();
        // On air from the first slot on, which no input is: until its delay is known, and for the step to that.
        missing += if n < 22 { 0 } else { 1_920 - heard };
    }
    assert_eq!(missing, 0);
}

#[test]
fn a_replay_is_decoded_up_to_the_slot_before_the_slot_is_made() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    for frame in 0..100i64 {
        session.video_arrived(timeline.epoch, frame * 40 * MS);
        session.video_fed(frame * 40 * MS);
    }
    // The slot of frame 50, one second and a half ago.
    let t = session.anchor.unwrap().wall(50 * 40 * MS) + DELAY;
    let mut frames = 0..100i64;
    loop {
        if session.catch_up(t) {
            assert!(session.picture_room());
        } else if session.lag(t, t).is_none() {
            break;
        }
        let frame = frames.next().unwrap();
        session.picture(timeline.epoch, frame * 40 * MS, frame);
    }
    session.advance(t, t, &timeline, true);
    assert_eq!(session.current(), Some(50));
}

#[test]
fn lagging_means_fed_but_not_decoded() {
    let timeline = timeline(25);
    let mut session = Session::new(Slot::Primary, DELAY, 0);
    session.video_arrived(timeline.epoch, 0);
    let due = timeline.epoch + DELAY;
    assert!(session.lag(due, due).is_none());
    session.video_fed(200 * MS);
    assert!(session.lag(due, due).is_some());
    session.picture(due, 0, ());
    assert!(session.lag(due, due).is_none());
    session.closed = true;
    assert!(session.lag(due + 100 * MS, due).is_none());
}
