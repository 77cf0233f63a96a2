//! The first packets, held until it is known how sound and picture belong together.
//!
//! That is said by a sender report on each track, or by the PLAY response, which names for each track the RTP timestamp of one common
//! instant (`rtptime`, RFC 2326, 12.33). Servers that say it do so at once. Of others the tracks are put where they arrive, after
//! [`WAIT`]; reports that come later move the picture gently.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weir_media::access_unit::Track;
use weir_media::rtp::Packet;
use weir_media::rtp::clock::Timeline;

/// From the first packet on, how long to wait to be told.
pub(super) const WAIT: Duration = Duration::from_millis(500);
/// More than this is not held, bytes.
const MOST: usize = 4 << 20;

/// A packet that came.
pub(super) struct Arrival {
    pub track: Track,
    pub packet: Packet,
    /// `rtptime` of the track; without one, the timestamp of its first packet.
    pub origin: u32,
    /// Packets are missing before it.
    pub lost: bool,
    pub came: Instant,
}

/// What is known of a track.
#[derive(Default)]
struct Known {
    /// Timestamp, origin and arrival of its first packet.
    first: Option<(u32, u32, Instant)>,
    /// Its latest report: wall clock and timestamp, as [`Timeline::report`] takes them.
    report: Option<(u64, u32)>,
}

/// What came so far.
#[derive(Default)]
pub(super) struct Opening {
    video: Known,
    audio: Known,
    held: VecDeque<Arrival>,
    bytes: usize,
}

impl Opening {
    /// Takes a packet; `true` when nothing more is to be waited for.
    pub fn push(&mut self, arrival: Arrival) -> bool {
        let (came, origin, timestamp) = (arrival.came, arrival.origin, arrival.packet.timestamp);
        self.known(arrival.track).first.get_or_insert((timestamp, origin, came));
        self.bytes += arrival.packet.payload.len();
        self.held.push_back(arrival);
        let since = self.held.front().map_or(came, |first| first.came);
        let told = |known: &Known| known.first.is_some() && known.report.is_some();
        let reported = told(&self.video) && told(&self.audio);
        reported || self.origins().is_some() || self.bytes > MOST || came >= since + WAIT
    }

    /// Takes a sender report.
    pub fn report(&mut self, track: Track, ntp: u64, timestamp: u32) {
        self.known(track).report = Some((ntp, timestamp));
    }

    /// Puts both tracks in their places, and gives back what was held.
    pub fn end(self, timeline: &mut Timeline) -> VecDeque<Arrival> {
        let mut firsts: Vec<_> = [(Track::Video, &self.video), (Track::Audio, &self.audio)]
            .into_iter()
            .filter_map(|(track, known)| known.first.map(|(timestamp, _, came)| (came, track, timestamp)))
            .collect();
        firsts.sort_by_key(|(came, ..)| *came);
        for (came, track, timestamp) in firsts {
            timeline.place(track, timestamp, came);
        }
        match (self.video.report.zip(self.audio.report), self.origins()) {
            (None, Some((video, audio))) => {
                timeline.report(Track::Video, 0, video);
                timeline.report(Track::Audio, 0, audio);
            }
            _ => {
                for (track, known) in [(Track::Video, &self.video), (Track::Audio, &self.audio)] {
                    if let Some((ntp, timestamp)) = known.report {
                        timeline.report(track, ntp, timestamp);
                    }
                }
            }
        }
        timeline.settle();
        self.held
    }

    fn known(&mut self, track: Track) -> &mut Known {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    /// Timestamps of both tracks that the server says are of one instant. Two that are both those of the first packets are retina's own.
    fn origins(&self) -> Option<(u32, u32)> {
        let (video, audio) = (self.video.first?, self.audio.first?);
        (video.0 != video.1 || audio.0 != audio.1).then_some((video.1, audio.1))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock;

    const SECOND: u64 = 1 << 32;

    /// A packet of a track whose first one has timestamp 0, so many milliseconds after the begin.
    fn arrival(track: Track, origin: u32, bytes: usize, ms: u64, begin: Instant) -> Arrival {
        let timestamp = (ms * if track == Track::Video { 90 } else { 48 }) as u32;
        let packet = Packet { sequence: 0, timestamp, marker: true, payload: vec![0; bytes].into() };
        Arrival { track, packet, origin, lost: false, came: begin + Duration::from_millis(ms) }
    }

    /// How much later than the sound the picture is that came with it, milliseconds, and how many packets were held.
    fn placed(opening: Opening, begin: Instant) -> (i64, usize) {
        let mut timeline = Timeline::new(90_000, 48_000);
        let held = opening.end(&mut timeline);
        let audio = timeline.place(Track::Audio, 48_000, begin + Duration::from_secs(1));
        let video = timeline.place(Track::Video, 90_000, begin + Duration::from_secs(1));
        (video.since(audio) / 1_000_000, held.len())
    }

    #[test]
    fn reports_of_both_tracks_end_the_wait_and_tell() {
        let (mut opening, begin) = (Opening::default(), clock::now());
        opening.report(Track::Video, 50 * SECOND, 0);
        assert!(!opening.push(arrival(Track::Video, 0, 1, 0, begin)));
        assert!(!opening.push(arrival(Track::Audio, 0, 1, 0, begin)));
        opening.report(Track::Audio, 50 * SECOND + SECOND / 4, 0);
        assert!(opening.push(arrival(Track::Audio, 0, 1, 20, begin)));
        assert_eq!(placed(opening, begin), (-250, 3));
    }

    #[test]
    fn origins_tell_where_there_are_no_reports() {
        let (mut opening, begin) = (Opening::default(), clock::now());
        assert!(!opening.push(arrival(Track::Video, 0, 1, 0, begin)));
        assert!(opening.push(arrival(Track::Audio, 0_u32.wrapping_sub(4800), 1, 0, begin)));
        assert_eq!(placed(opening, begin), (-100, 2));
    }

    #[test]
    fn without_a_word_arrival_counts_after_the_wait() {
        let (mut opening, begin) = (Opening::default(), clock::now());
        assert!(!opening.push(arrival(Track::Video, 0, 1, 0, begin)));
        assert!(!opening.push(arrival(Track::Audio, 0, 1, 0, begin)));
        assert!(!opening.push(arrival(Track::Video, 0, 1, 499, begin)));
        assert!(opening.push(arrival(Track::Video, 0, 1, 500, begin)));
        assert_eq!(placed(opening, begin), (0, 4));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut opening, begin) = (Opening::default(), clock::now());
        let pushed = (0..1000).take_while(|_| !opening.push(arrival(Track::Video, 0, 60_000, 0, begin))).count();
        assert_eq!(pushed, MOST / 60_000);
        assert_eq!(opening.held.front().map(|first| first.packet.payload.clone()), Some(Bytes::from(vec![0; 60_000])));
    }
}
