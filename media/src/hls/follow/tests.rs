use super::super::playlist::Playlist;
use super::*;
use crate::time::some_instant;

/// A list of 4 s segments from `sequence` on; `marks` has a character for each: `.`, `d` discontinuity, `g` gap.
fn listed(sequence: u64, marks: &str, tail: &str) -> Media {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n{tail}\n");
    for (mark, number) in marks.chars().zip(sequence..) {
        text += match mark {
            'd' => "#EXT-X-DISCONTINUITY\n",
            'g' => "#EXT-X-GAP\n",
            _ => "",
        };
        text += &format!("#EXTINF:4,\n{number}.ts\n");
    }
    match Playlist::parse(text.as_bytes()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

struct Client {
    follow: Follow,
    start: Instant,
}

impl Client {
    fn new() -> Self {
        Self { follow: Follow::default(), start: some_instant() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn step(&mut self, millis: u64) -> Step {
        self.follow.step(self.at(millis))
    }

    fn load(&mut self, millis: u64, media: Media) {
        assert_eq!(self.step(millis), Step::Load);
        self.follow.loaded(media, self.at(millis), self.at(millis));
    }

    /// The next segment, taken.
    fn take(&mut self, millis: u64) -> Next {
        let next = self.next(millis);
        self.follow.done();
        next
    }

    fn next(&mut self, millis: u64) -> Next {
        match self.step(millis) {
            Step::Fetch(next) => next,
            other => panic!("{other:?}"),
        }
    }

    /// Numbers of all that is listed, taken.
    fn take_all(&mut self, millis: u64) -> Vec<u64> {
        let mut taken = vec![];
        while matches!(self.step(millis), Step::Fetch(_)) {
            taken.push(self.take(millis).segment.sequence);
        }
        taken
    }
}

#[test]
fn playing_begins_three_target_durations_before_the_end() {
    let mut client = Client::new();
    client.load(0, listed(10, "......", ""));
    assert_eq!(client.take_all(0), [13, 14, 15]);
    let mut client = Client::new();
    client.load(0, listed(10, "..", ""));
    assert_eq!(client.take_all(0), [10, 11], "all of a short list");
}

#[test]
fn a_list_is_loaded_again_after_a_target_duration_and_half_of_one_when_it_did_not_change() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", ""));
    client.take_all(0);
    assert_eq!(client.step(3999), Step::Wait(client.at(4000)));
    client.load(4000, listed(0, "...", ""));
    assert_eq!(client.step(4000), Step::Wait(client.at(6000)));
    client.load(6000, listed(1, "...", ""));
    assert_eq!(client.take_all(6000), [3]);
    assert_eq!(client.step(6000), Step::Wait(client.at(10_000)));
    client.follow.step(client.at(10_000));
    client.follow.not_loaded(client.at(10_300));
    assert_eq!(client.step(10_300), Step::Wait(client.at(12_300)), "an error brings nothing new either");
}

#[test]
fn a_slow_answer_leaves_time_to_fetch() {
    let mut client = Client::new();
    assert_eq!(client.step(0), Step::Load);
    client.follow.loaded(listed(0, "...", ""), client.at(0), client.at(5000));
    assert_eq!(client.take_all(5000), [0, 1, 2]);
    assert_eq!(client.step(5000), Step::Wait(client.at(5500)));
}

#[test]
fn a_list_that_is_due_is_loaded_before_the_next_segment() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", ""));
    client.take(0);
    assert_eq!(client.step(4000), Step::Load);
}

#[test]
fn the_last_listed_segment_is_known_as_such() {
    let mut client = Client::new();
    client.load(0, listed(0, "..", ""));
    assert!(!client.take(0).last);
    assert!(client.take(0).last);
}

#[test]
fn a_segment_that_is_no_longer_listed_makes_a_gap() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", ""));
    client.take(0);
    client.load(4000, listed(2, "...", ""));
    let next = client.take(4000);
    assert_eq!((next.segment.sequence, next.gap), (2, true));
    assert!(!client.take(4000).gap);
}

#[test]
fn a_segment_that_is_marked_as_missing_is_not_asked_for() {
    let mut client = Client::new();
    client.load(0, listed(0, ".gg.", ""));
    assert_eq!(client.take_all(0), [3], "the start counts missing ones");
    client.load(4000, listed(1, "gg.g", ""));
    assert_eq!(client.step(4000), Step::Wait(client.at(8000)));
    client.load(8000, listed(2, "g.g.", ""));
    let next = client.take(8000);
    assert_eq!((next.segment.sequence, next.gap), (5, true));
}

#[test]
fn a_discontinuity_is_kept_where_its_own_segment_is_left_out() {
    let mut client = Client::new();
    client.load(0, listed(0, ".d.", ""));
    assert!(!client.take(0).discontinuity);
    client.follow.leave_out();
    let next = client.take(0);
    assert_eq!((next.segment.sequence, next.discontinuity, next.gap), (2, true, true));
    client.load(4000, listed(1, "d.d", ""));
    let next = client.take(4000);
    assert_eq!((next.segment.sequence, next.discontinuity, next.gap), (3, true, false));
}

#[test]
fn a_failed_segment_is_tried_again_and_then_given_up() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", "#EXT-X-ENDLIST\n#EXT-X-PLAYLIST-TYPE:VOD"));
    for tried in 1..=u64::from(TRIES) {
        assert_eq!(client.next(tried * 500 - 500).segment.sequence, 0);
        assert_eq!(client.follow.failed(client.at(tried * 500 - 500)), tried == u64::from(TRIES));
        if tried < u64::from(TRIES) {
            assert_eq!(client.step(tried * 500 - 1), Step::Wait(client.at(tried * 500)));
        }
    }
    let next = client.next(2000);
    assert_eq!((next.segment.sequence, next.gap), (1, true));
}

#[test]
fn a_failed_segment_is_given_up_when_it_is_no_longer_listed() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", ""));
    client.follow.failed(client.at(3900));
    assert_eq!(client.step(3900), Step::Wait(client.at(4000)), "the list comes first");
    client.load(4000, listed(1, "...", ""));
    let next = client.next(4000);
    assert_eq!((next.segment.sequence, next.gap), (1, true));
}

#[test]
fn an_older_copy_of_the_list_changes_nothing() {
    let mut client = Client::new();
    client.load(0, listed(7, "...", ""));
    client.take(0);
    client.load(4000, listed(6, "...", ""));
    assert_eq!(client.take_all(4000), [8, 9]);
    assert_eq!(client.step(4000), Step::Wait(client.at(6000)));
    client.load(6000, listed(8, "...", ""));
    assert_eq!(client.take_all(6000), [10]);
}

#[test]
fn a_list_that_begins_anew_is_followed_from_its_end() {
    let mut client = Client::new();
    client.load(0, listed(500, "...", ""));
    client.take_all(0);
    client.load(4000, listed(0, ".", ""));
    let next = client.take(4000);
    assert_eq!((next.segment.sequence, next.discontinuity, next.gap), (0, true, true));
    client.load(8000, listed(0, "..", ""));
    assert_eq!(client.take_all(8000), [1]);
}

#[test]
fn the_end_comes_behind_the_last_segment() {
    let mut client = Client::new();
    client.load(0, listed(0, "...", ""));
    client.take(0);
    client.load(4000, listed(0, "....", "#EXT-X-ENDLIST"));
    assert_eq!(client.take_all(9000), [1, 2, 3]);
    assert_eq!(client.step(9000), Step::Ended);
}

#[test]
fn what_is_over_at_first_sight_is_ended_but_a_recording_is_played() {
    let mut client = Client::new();
    client.load(0, listed(0, "....", "#EXT-X-ENDLIST"));
    assert_eq!(client.step(0), Step::Ended);
    let mut client = Client::new();
    client.load(0, listed(0, "....", "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST"));
    assert_eq!(client.take_all(0), [0, 1, 2, 3]);
    assert_eq!(client.step(0), Step::Ended);
}

#[test]
fn an_empty_list_is_waited_for() {
    let mut client = Client::new();
    client.load(0, listed(5, "", ""));
    assert_eq!(client.step(0), Step::Wait(client.at(4000)));
    client.load(4000, listed(5, ".", ""));
    let next = client.take(4000);
    assert_eq!((next.segment.sequence, next.gap), (5, false));
}
