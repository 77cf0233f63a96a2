use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;

fn unit(track: Track, millis: i64, keyframe: bool) -> AccessUnit {
    let dts = Timestamp::from_millis(millis);
    let pts = Timestamp::from_millis(millis + 80);
    AccessUnit { track, pts, dts, keyframe, data: Bytes::new() }
}

/// Milliseconds at which a unit comes out.
fn video(splice: &mut Splice, millis: i64) -> Option<i64> {
    let placed = splice.place(unit(Track::Video, millis, true))?;
    assert_eq!(placed.pts.since(placed.dts), 80 * MS, "the distance of both times stays");
    Some(placed.dts.as_nanos() / MS)
}

fn audio(splice: &mut Splice, millis: i64) -> Option<i64> {
    Some(splice.place(unit(Track::Audio, millis, true))?.dts.as_nanos() / MS)
}

#[test]
fn a_steady_source_is_moved_to_zero() {
    let mut splice = Splice::default();
    assert_eq!(video(&mut splice, 5000), Some(0));
    assert_eq!(audio(&mut splice, 4990), Some(-10));
    assert_eq!(video(&mut splice, 5040), Some(40));
    assert_eq!(audio(&mut splice, 5011), Some(11));
}

#[test]
fn behind_a_cut_both_tracks_go_on_in_step() {
    let mut splice = Splice::default();
    for at in [0, 40, 80] {
        video(&mut splice, 1000 + at);
        audio(&mut splice, 1000 + at);
    }
    splice.cut(Track::Video);
    splice.cut(Track::Audio);
    assert_eq!(audio(&mut splice, 90_000), Some(120));
    assert_eq!(video(&mut splice, 90_010), Some(130));
    assert_eq!(audio(&mut splice, 90_040), Some(160));
}

#[test]
fn a_cut_is_made_where_the_timestamps_happen_to_go_on() {
    let mut splice = Splice::default();
    video(&mut splice, 0);
    video(&mut splice, 40);
    splice.cut(Track::Video);
    assert_eq!(video(&mut splice, 4000), Some(80));
}

#[test]
fn a_jump_that_nobody_announced_is_a_cut() {
    for jump in [-5000, -3_600_000, 20_000, 95_443_717] {
        let mut splice = Splice::default();
        for at in [0, 40] {
            video(&mut splice, 10_000 + at);
            audio(&mut splice, 10_000 + at);
        }
        assert_eq!(video(&mut splice, 10_080 + jump), Some(80), "{jump}");
        assert_eq!(audio(&mut splice, 10_090 + jump), Some(90), "{jump}");
    }
}

#[test]
fn a_track_that_is_still_before_the_cut_ends_there() {
    let mut splice = Splice::default();
    for at in (0..=1000).step_by(40) {
        video(&mut splice, at);
    }
    assert_eq!(audio(&mut splice, 0), Some(0));
    splice.cut(Track::Video);
    assert_eq!(video(&mut splice, 50_000), Some(1040));
    for at in (20..1000).step_by(20) {
        assert_eq!(audio(&mut splice, at), Some(at), "not cut yet");
    }
    splice.cut(Track::Audio);
    assert_eq!(audio(&mut splice, 50_005), Some(1045), "in the span that video began");
}

#[test]
fn sound_that_overlaps_at_a_cut_loses_its_begin_and_stays_in_step() {
    let mut splice = Splice::default();
    for at in [0, 20, 40, 60] {
        video(&mut splice, at);
        audio(&mut splice, at + 100);
    }
    splice.cut(Track::Video);
    splice.cut(Track::Audio);
    assert_eq!(video(&mut splice, 7000), Some(180));
    assert_eq!(audio(&mut splice, 6970), None);
    assert_eq!(audio(&mut splice, 6990), Some(170));
}

#[test]
fn video_that_would_overlap_moves_both() {
    let mut splice = Splice::default();
    for at in [0, 20, 40, 60] {
        audio(&mut splice, at);
        video(&mut splice, at + 100);
    }
    splice.cut(Track::Video);
    splice.cut(Track::Audio);
    assert_eq!(audio(&mut splice, 7000), Some(180));
    assert_eq!(video(&mut splice, 6950), Some(180));
    assert_eq!(audio(&mut splice, 7020), Some(250));
}

#[test]
fn a_hole_stays_a_hole() {
    let mut splice = Splice::default();
    video(&mut splice, 0);
    assert_eq!(video(&mut splice, 9_990), Some(9_990));
}

#[test]
fn sound_that_begins_late_is_in_step() {
    let mut splice = Splice::default();
    video(&mut splice, 0);
    splice.cut(Track::Video);
    video(&mut splice, 70_000);
    for at in (0..60_000).step_by(1000) {
        video(&mut splice, 70_040 + at);
    }
    assert_eq!(audio(&mut splice, 129_000), Some(59_020));
}

#[test]
fn video_begins_at_a_keyframe_and_after_a_step_back_at_the_next() {
    let mut splice = Splice::default();
    assert_eq!(splice.place(unit(Track::Video, 0, false)), None);
    assert_eq!(video(&mut splice, 40), Some(40));
    assert!(splice.place(unit(Track::Video, 80, false)).is_some());
    assert_eq!(splice.place(unit(Track::Video, 80, false)), None, "the same time again");
    assert_eq!(splice.place(unit(Track::Video, 120, false)), None);
    assert_eq!(video(&mut splice, 160), Some(160));
}

proptest! {
    #[test]
    fn nothing_goes_back_and_nothing_panics(
        script in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![
            -100i64..100_000, -20_000_000_000i64..20_000_000_000, any::<i64>()]), 1..200)
    ) {
        let mut splice = Splice::default();
        let (mut dts, mut last, mut end) = (0i64, [None; 2], 0);
        for (video, keyframe, cut, step) in script {
            dts = dts.wrapping_add(step);
            let track = if video { Track::Video } else { Track::Audio };
            if cut {
                splice.cut(track);
            }
            let time = Timestamp::from_nanos(dts);
            let unit = AccessUnit { track, pts: time, dts: time, keyframe: keyframe || !video, data: Bytes::new() };
            if let Some(placed) = splice.place(unit) {
                let out = placed.dts.as_nanos();
                prop_assert!(last[usize::from(video)].is_none_or(|last| out > last));
                prop_assert!(out <= end + AHEAD + BACK, "{out} is further than {end}");
                last[usize::from(video)] = Some(out);
                end = end.max(out);
            }
        }
    }
}
