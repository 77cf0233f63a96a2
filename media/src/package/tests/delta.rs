//! Delta updates, and broadcasts that end with renditions of unequal length.

use super::*;

fn delta_text(packager: &mut Packager, track: u8) -> String {
    String::from_utf8(packager.delta(track).expect("a playlist").text().to_vec()).unwrap()
}

/// Checks a delta against the whole playlist and what the player knew; `None` when the player has to ask for the whole one.
fn reconstruct(packager: &mut Packager, track: u8, known: &Read) -> Option<Read> {
    let (whole, delta) = (text(packager, track), delta_text(packager, track));
    let expected = read(&whole);
    let mut found = read_with(&delta, Some(known))?;
    let skipped = std::mem::take(&mut found.skipped);
    assert_eq!(found, expected, "{delta}\nis not\n{whole}");
    if skipped > 0 {
        assert!(delta.len() < whole.len());
        let open: f64 = found
            .parts
            .iter()
            .filter(|part| part.0 == found.sequence + found.segments.len() as u64)
            .map(|part| part.2)
            .sum();
        let after =
            |left_out: u64| found.segments.iter().skip(left_out as usize).map(|segment| segment.1).sum::<f64>() + open;
        assert!(after(skipped) >= found.skip_boundary - 1e-3, "skipped within the boundary\n{delta}");
        assert!(after(skipped + 1) < found.skip_boundary + 1e-3, "could skip more\n{delta}");
    }
    Some(found)
}

#[test]
fn a_delta_leaves_out_what_is_older_than_the_skip_boundary() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 7 + 2);
    assert_eq!(delta_text(&mut packager, 0), text(&mut packager, 0), "nothing is old enough");
    worker.steps(&mut packager, 4 * 33);
    let known = read(&text(&mut packager, 0));
    worker.steps(&mut packager, 4);
    let delta = delta_text(&mut packager, 0);
    // 20 segments listed; 8 with the open one are 12 s.
    assert!(
        delta.contains("\n#EXT-X-MEDIA-SEQUENCE:21\n") && delta.contains("\n#EXT-X-SKIP:SKIPPED-SEGMENTS=12\n"),
        "{delta}"
    );
    assert!(!delta.contains("#EXT-X-MAP"), "the map went with the segments it applies to\n{delta}");
    assert!(reconstruct(&mut packager, 0, &known).is_some());
    assert!(reconstruct(&mut packager, 0, &Read::default()).is_none(), "who knows nothing cannot use it");
    assert!(std::sync::Arc::ptr_eq(&packager.delta(0).unwrap(), &packager.delta(0).unwrap()), "written once");
    packager.end();
    assert_eq!(delta_text(&mut packager, 0), text(&mut packager, 0), "the end is told whole");
}

#[test]
fn a_discontinuity_behind_the_skipped_segments_stays() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 12);
    packager.end();
    let mut known = read(&text(&mut packager, 0));
    let mut next = Worker::start(&mut packager, output(30.0, 1));
    let (mut before, mut behind) = (0, 0);
    for _ in 0..4 * 30 {
        next.step(&mut packager);
        let delta = delta_text(&mut packager, 0);
        if delta.contains("#EXT-X-SKIP") {
            match delta.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-12-0.mp4\"\n") {
                true => behind += 1,
                false => before += 1,
            }
        }
        known = reconstruct(&mut packager, 0, &known).unwrap();
    }
    assert!(before > 0 && behind > 0, "{before} with the seam skipped, {behind} with it listed");
}

#[test]
fn a_rendition_that_ended_shorter_lists_a_gap_before_the_next_broadcast() {
    let mut packager = Packager::default();
    let mut worker = Worker::start(&mut packager, output(30.0, 1));
    worker.steps(&mut packager, 4 * 5);
    packager.chunk(worker.chunk(0, (5, 0)));
    packager.end();
    let mut next = Worker::start(&mut packager, output(30.0, 1));
    next.steps(&mut packager, 5);
    let lists: Vec<Read> = (0..2).map(|track| check(&text(&mut packager, track), &next.output.grid)).collect();
    for list in &lists {
        assert_eq!(
            list.segments.iter().map(|s| (s.0, s.3)).collect::<Vec<_>>(),
            [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 1)]
        );
        assert_eq!(list.segments[5].1, 0.4, "as long as the rendition that has it");
    }
    assert_eq!((&lists[0].gaps, &lists[1].gaps), (&vec![], &vec![5]));
    assert_eq!(packager.segment(1, 5, 0), Lookup::Missing);
    assert!(matches!(packager.segment(0, 5, 0), Lookup::Found(media) if media.complete));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a player knows and a delta are the whole playlist, for every player that asks at least every 2.8 s of media.
    #[test]
    fn deltas_add_up_to_the_whole_list(
        fps in prop::sample::select(vec![24.0, 25.0, 29.97, 30.0, 50.0]),
        steps in prop::collection::vec((0u8..40, any::<bool>()), 100..400),
    ) {
        let mut packager = Packager::default();
        let mut worker = Worker::start(&mut packager, output(fps, 1));
        worker.step(&mut packager);
        let mut known: Vec<Read> = (0..2).map(|track| read(&text(&mut packager, track))).collect();
        let mut unseen = 0;
        for (step, poll) in steps {
            match step {
                0 | 1 => {
                    // Tails of unequal length, ended by word or by the next broadcast.
                    packager.chunk(worker.chunk(0, worker.next));
                    if step == 0 {
                        packager.end();
                    }
                    worker = Worker::start(&mut packager, output(fps, 1));
                }
                2 => {
                    packager.chunk(worker.chunk(1, worker.next));
                }
                _ => {
                    worker.step(&mut packager);
                }
            }
            unseen += 1;
            if poll || unseen == 7 {
                unseen = 0;
                for track in 0..2u8 {
                    let known = &mut known[usize::from(track)];
                    let found = reconstruct(&mut packager, track, known);
                    prop_assert!(found.is_some(), "a player that is up to date knows what is left out");
                    let whole = text(&mut packager, track);
                    *known = check_read(found.unwrap(), &whole, &worker.output.grid);
                }
            }
        }
    }
}
