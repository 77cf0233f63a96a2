//! One timeline for both tracks of a sender.
//!
//! RTP timestamps of a track begin anywhere and count at its own rate. At first a track's place is when its first packet came. What
//! sound and picture need to be in step is in the sender reports (RFC 3550, 6.4.1): each says which wall clock time of the sender
//! belongs to which timestamp. Once both tracks have had one, the picture is moved to where it belongs, by 20 ms a second at most: a frame rate that
//! is 2 % off for some seconds shows nowhere, while sound that is stretched or cut is heard. So sound is never moved, and nothing jumps on air.

use std::time::Instant;

use crate::access_unit::Track;
use crate::time::Timestamp;

const SECOND: i64 = 1_000_000_000;
/// The picture moves by this part of the time that goes by.
const SLEW: i64 = 50;
/// More than this between sound and picture is no delay in the sender but a report that means something else.
const FURTHEST: i64 = 2 * SECOND;
/// Timestamps that run away from the clock by this from one packet to the next are of another source.
const JUMP: i64 = 5 * SECOND;

/// Puts both tracks' timestamps on one timeline; its zero is the first packet's arrival.
pub struct Timeline {
    zero: Option<Instant>,
    video: Clock,
    audio: Clock,
    /// Added to the picture's times, nanoseconds.
    moved: i64,
}

/// One track's clock.
struct Clock {
    /// Ticks per second.
    rate: u32,
    /// The latest packet: its timestamp without wrap, and when it came after zero.
    latest: Option<(i64, i64)>,
    /// Time of tick 0, nanoseconds.
    offset: i64,
    /// Of the latest report: the sender's wall clock, nanoseconds, and the track's own time then.
    report: Option<(i64, i64)>,
}

impl Timeline {
    /// Of tracks with these rates, in ticks per second.
    pub fn new(video_rate: u32, audio_rate: u32) -> Self {
        let clock = |rate| Clock { rate, latest: None, offset: 0, report: None };
        Self { zero: None, video: clock(video_rate), audio: clock(audio_rate), moved: 0 }
    }

    /// When the unit with this timestamp is shown or heard. Units come in the order of their packets.
    pub fn place(&mut self, track: Track, timestamp: u32, now: Instant) -> Timestamp {
        let came = now.saturating_duration_since(*self.zero.get_or_insert(now));
        let came = i64::try_from(came.as_nanos()).unwrap_or(i64::MAX);
        match track {
            Track::Audio => Timestamp::from_nanos(self.audio.place(timestamp, came).0),
            Track::Video => {
                let (time, passed) = self.video.place(timestamp, came);
                if let Some(wanted) = self.wanted() {
                    let step = passed.clamp(0, SECOND) / SLEW;
                    self.moved += (wanted - self.moved).clamp(-step, step);
                }
                Timestamp::from_nanos(time + self.moved)
            }
        }
    }

    /// Nothing of the picture is on air yet: it is put where it belongs at once, as far as reports tell.
    pub fn settle(&mut self) {
        self.moved = self.wanted().unwrap_or(self.moved);
    }

    /// A sender report came: `ntp` is seconds since 1900 in units of 2^-32, `timestamp` the track's at that time. One that comes before the
    /// track's first packet says nothing yet.
    pub fn report(&mut self, track: Track, ntp: u64, timestamp: u32) {
        let clock = match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        if let Some((latest, _)) = clock.latest {
            let time = clock.time(unwrap(latest, timestamp));
            let wall = (i128::from(ntp) * i128::from(SECOND)) >> 32;
            clock.report = Some((wall as i64, time));
        }
    }

    /// How far the picture has to be moved to be in step with the sound.
    fn wanted(&self) -> Option<i64> {
        let (video_wall, video) = self.video.report?;
        let (audio_wall, audio) = self.audio.report?;
        Some(video_wall - audio_wall - (video - audio)).filter(|wanted| wanted.abs() <= FURTHEST)
    }
}

impl Clock {
    /// The time of a timestamp, and how much went by since the one before.
    fn place(&mut self, timestamp: u32, came: i64) -> (i64, i64) {
        let Some((latest, before)) = self.latest else {
            self.begin(timestamp.into(), came);
            return (came, 0);
        };
        let ticks = unwrap(latest, timestamp);
        let passed = self.time(ticks) - self.time(latest);
        if (passed - (came - before)).abs() > JUMP {
            // It goes on where it would be if it had not jumped.
            self.begin(ticks, self.time(latest) + (came - before));
            self.latest = Some((ticks, came));
            return (self.time(ticks), came - before);
        }
        self.latest = Some((ticks, came));
        (self.time(ticks), passed)
    }

    /// Lets these ticks be at this time.
    fn begin(&mut self, ticks: i64, time: i64) {
        self.offset = 0;
        self.offset = time - self.time(ticks);
        self.latest = Some((ticks, time));
        self.report = None;
    }

    fn time(&self, ticks: i64) -> i64 {
        let nanos = i128::from(ticks) * i128::from(SECOND) / i128::from(self.rate);
        (nanos as i64).wrapping_add(self.offset)
    }
}

/// The value with these lower 32 bits that is nearest to an earlier one.
fn unwrap(near: i64, low: u32) -> i64 {
    near + i64::from(low.wrapping_sub(near as u32) as i32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::rtp::now;

    const MS: i64 = 1_000_000;

    /// A sender whose video leaves it `late_ms` after its sound of the same instant, with timestamps that wrap soon.
    struct Sender {
        timeline: Timeline,
        start: Instant,
        late_ms: u64,
    }

    impl Sender {
        fn new(late_ms: u64) -> Self {
            Self { timeline: Timeline::new(90_000, 48_000), start: now(), late_ms }
        }

        fn timestamp(track: Track, ms: u64) -> u32 {
            let per_ms = if track == Track::Video { 90 } else { 48 };
            (u32::MAX - 10_000).wrapping_add((ms * per_ms) as u32)
        }

        /// What was captured at `ms` arrives.
        fn send(&mut self, track: Track, ms: u64) -> i64 {
            let late = if track == Track::Video { self.late_ms } else { 0 };
            let now = self.start + Duration::from_millis(ms + late);
            self.timeline.place(track, Self::timestamp(track, ms), now).as_nanos()
        }

        fn report(&mut self, track: Track, ms: u64) {
            let ntp = (3_900_000_000 << 32) + (ms << 32) / 1000;
            self.timeline.report(track, ntp, Self::timestamp(track, ms));
        }

        /// How much later than it should be the picture is, after so many milliseconds.
        fn error(&mut self, from: u64, to: u64) -> Vec<i64> {
            let mut errors = vec![];
            for ms in (from..to).step_by(20) {
                let audio = self.send(Track::Audio, ms);
                let video = self.send(Track::Video, ms);
                errors.push((video - audio) / MS);
            }
            errors
        }
    }

    #[test]
    fn before_reports_arrival_counts_and_reports_bring_the_picture_in_step_without_a_jump() {
        let mut sender = Sender::new(80);
        assert!(sender.error(0, 1000).iter().all(|error| *error == 80));
        sender.report(Track::Video, 1000);
        assert!(sender.error(1000, 2000).iter().all(|error| *error == 80), "one report says nothing");
        sender.report(Track::Audio, 2000);
        let errors = sender.error(2000, 7000);
        assert!(errors.windows(2).all(|pair| (0..=1).contains(&(pair[0] - pair[1]))), "{errors:?}");
        assert_eq!((errors[50], *errors.last().unwrap()), (59, 0));
    }

    #[test]
    fn sound_is_never_moved() {
        let mut sender = Sender::new(80);
        for ms in (0..5000).step_by(20) {
            if ms == 1000 {
                sender.report(Track::Video, 900);
                sender.report(Track::Audio, 900);
            }
            assert_eq!(sender.send(Track::Audio, ms), ms as i64 * MS);
            sender.send(Track::Video, ms);
        }
    }

    #[test]
    fn before_anything_is_on_air_the_picture_may_be_put_in_step_at_once() {
        let mut sender = Sender::new(80);
        sender.error(0, 20);
        sender.report(Track::Video, 0);
        sender.timeline.settle();
        assert_eq!(sender.error(20, 40), [80], "one report says nothing");
        sender.report(Track::Audio, 0);
        sender.timeline.settle();
        assert_eq!(sender.error(40, 60), [0]);
    }

    #[test]
    fn a_report_of_another_clock_is_not_believed() {
        let mut sender = Sender::new(0);
        sender.error(0, 100);
        sender.report(Track::Audio, 0);
        sender.timeline.report(Track::Video, 0, Sender::timestamp(Track::Video, 0));
        assert!(sender.error(100, 3000).iter().all(|error| *error == 0));
    }

    #[test]
    fn timestamps_that_jump_go_on_by_the_clock() {
        let (mut timeline, start) = (Timeline::new(90_000, 48_000), now());
        let at = |ms| start + Duration::from_millis(ms);
        timeline.place(Track::Video, 0, start);
        assert_eq!(timeline.place(Track::Video, 1 << 30, at(40)).as_nanos(), 40 * MS);
        assert_eq!(timeline.place(Track::Video, (1 << 30) + 3600, at(80)).as_nanos(), 80 * MS);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(steps in prop::collection::vec((any::<bool>(), any::<bool>(), any::<u32>(), any::<u64>(), 0u64..9000), 1..200)) {
            let (mut timeline, mut now) = (Timeline::new(90_000, 48_000), now());
            for (video, report, timestamp, ntp, gap) in steps {
                let track = if video { Track::Video } else { Track::Audio };
                now += Duration::from_millis(gap);
                if report { timeline.report(track, ntp, timestamp) } else { timeline.place(track, timestamp, now); }
            }
        }
    }
}
