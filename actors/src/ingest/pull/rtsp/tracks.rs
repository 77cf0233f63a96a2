//! Packets of both tracks to configurations and access units on one timeline.
//!
//! Contract: told of every packet in the order of arrival, and of every sender report. Configurations come out before units, video from a
//! keyframe on and without what a hole damaged, sound not before the first picture. What is held is bounded. The clock is an argument.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::in_band::{Found, PictureReader};
use weir_media::codec::{AudioConfig, TrackConfig, VideoCodec, opus};
use weir_media::feed::FeedItem;
use weir_media::rtp::aac;
use weir_media::rtp::clock::Timeline;
use weir_media::rtp::depacketize::{Depacketizer, Unit};
use weir_media::rtp::reorder::Reorder;
use weir_media::time::Timestamp;

use super::PullError;
use super::opening::{Arrival, Opening};

const VIDEO_RATE: u32 = 90_000;
/// Most bytes before a picture that are no picture: parameter sets that were sent as if they were one.
const LONGEST_HEAD: usize = 64 << 10;

/// A track of sound.
pub(super) struct Sound {
    config: AudioConfig,
    /// Ticks per second of its timestamps.
    rate: u32,
    payload: Payload,
    /// Its configuration was told.
    told: bool,
}

enum Payload {
    /// Frames of so many ticks.
    Aac { frames: aac::Depacketizer, ticks: u32 },
    /// A packet each.
    Opus,
}

impl Sound {
    /// AAC in frames of `ticks`, of which there are `rate` a second.
    pub fn aac(config: AudioConfig, rate: u32, ticks: u32) -> Self {
        Self { config, rate, payload: Payload::Aac { frames: aac::Depacketizer::default(), ticks }, told: false }
    }

    /// Opus.
    pub fn opus(config: AudioConfig) -> Self {
        Self { config, rate: opus::SAMPLE_RATE, payload: Payload::Opus, told: false }
    }
}

/// Both tracks of a source.
pub(super) struct Tracks {
    units: Depacketizer,
    /// What came behind the last picture and is none.
    head: Vec<u8>,
    pictures: PictureReader,
    reorder: Reorder,
    sound: Option<Sound>,
    timeline: Timeline,
    /// Until both tracks have their places.
    opening: Option<Opening>,
    /// There was a picture.
    begun: bool,
    items: VecDeque<FeedItem>,
}

impl Tracks {
    /// Video with these parameter sets to begin with, and sound if there is any.
    pub fn new(codec: VideoCodec, sets: &[Vec<u8>], sound: Option<Sound>) -> Self {
        let mut pictures = PictureReader::new(codec, None);
        let sets: Vec<u8> = sets.iter().flat_map(|set| [&[0, 0, 0, 1], &set[..]].concat()).collect();
        // There is no picture in it, and nothing to be done if it cannot be read.
        let _ = pictures.read(&sets, false);
        Self {
            units: Depacketizer::new(codec),
            head: vec![],
            pictures,
            reorder: Reorder::default(),
            timeline: Timeline::new(VIDEO_RATE, sound.as_ref().map_or(VIDEO_RATE, |sound| sound.rate)),
            opening: sound.is_some().then(Opening::default),
            sound,
            begun: false,
            items: VecDeque::new(),
        }
    }

    /// Takes a packet.
    pub fn push(&mut self, arrival: Arrival) -> Result<(), PullError> {
        let Some(opening) = &mut self.opening else { return self.take(arrival) };
        if opening.push(arrival) {
            let held = self.opening.take().map(|opening| opening.end(&mut self.timeline));
            held.into_iter().flatten().try_for_each(|arrival| self.take(arrival))?;
        }
        Ok(())
    }

    /// Takes a sender report, as [`Timeline::report`].
    pub fn report(&mut self, track: Track, ntp: u64, timestamp: u32) {
        match &mut self.opening {
            Some(opening) => opening.report(track, ntp, timestamp),
            None => self.timeline.report(track, ntp, timestamp),
        }
    }

    /// Something is there.
    pub fn is_ready(&self) -> bool {
        !self.items.is_empty()
    }

    /// What comes next.
    pub fn next(&mut self) -> Option<FeedItem> {
        self.items.pop_front()
    }

    fn take(&mut self, arrival: Arrival) -> Result<(), PullError> {
        match arrival.track {
            Track::Audio => self.hear(arrival),
            Track::Video => {
                if arrival.lost {
                    self.units.hole();
                }
                self.units.push(&arrival.packet);
                while let Some(unit) = self.units.poll() {
                    match unit {
                        Unit::Picture { timestamp, stream } => self.see(timestamp, stream, arrival.came)?,
                        Unit::Damage => self.pictures.hole(),
                    }
                }
            }
        }
        Ok(())
    }

    fn see(&mut self, timestamp: u32, stream: Vec<u8>, came: Instant) -> Result<(), PullError> {
        let mut all = std::mem::take(&mut self.head);
        let stream = if all.is_empty() {
            stream
        } else {
            all.extend(stream);
            all
        };
        let read = self.pictures.read(&stream, false);
        let picture = match read.map_err(|error| PullError::Unacceptable(error.to_string()))? {
            Found::Picture(picture) => Some(picture),
            Found::Skipped => None,
            Found::Damaged => return Ok(()),
            // Some cameras send sets as a picture of their own. They belong to the next.
            Found::Nothing => {
                if stream.len() <= LONGEST_HEAD {
                    self.head = stream;
                }
                return Ok(());
            }
        };
        let ahead = self.reorder.place(timestamp);
        let (Some(picture), Some(ahead)) = (picture, ahead) else {
            self.pictures.hole();
            return Ok(());
        };
        let pts = self.timeline.place(Track::Video, timestamp, came);
        let dts = Timestamp::from_nanos(pts.as_nanos() - ahead * 100_000 / 9);
        if let Some(config) = picture.config {
            self.items.push_back(FeedItem::Config(TrackConfig::Video(config)));
        }
        self.begun = true;
        let (keyframe, data) = (picture.keyframe, picture.data);
        self.items.push_back(FeedItem::Unit(AccessUnit { track: Track::Video, pts, dts, keyframe, data }));
        Ok(())
    }

    fn hear(&mut self, arrival: Arrival) {
        let Some(sound) = &mut self.sound else { return };
        let (packet, came) = (&arrival.packet, arrival.came);
        let (frames, ticks) = match &mut sound.payload {
            Payload::Opus => (vec![packet.payload.clone()], 0),
            Payload::Aac { frames, ticks } => {
                if arrival.lost {
                    frames.hole();
                }
                (frames.push(packet).unwrap_or_default(), *ticks)
            }
        };
        let mut timestamp = packet.timestamp;
        for data in frames.into_iter().filter(|data: &Bytes| !data.is_empty()) {
            let time = self.timeline.place(Track::Audio, timestamp, came);
            timestamp = timestamp.wrapping_add(ticks);
            if !self.begun {
                continue;
            }
            if !sound.told {
                sound.told = true;
                self.items.push_back(FeedItem::Config(TrackConfig::Audio(sound.config.clone())));
            }
            let unit = AccessUnit { track: Track::Audio, pts: time, dts: time, keyframe: true, data };
            self.items.push_back(FeedItem::Unit(unit));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_media::rtp::Packet;

    use super::*;
    use crate::clock;

    const SPS: &[u8] = &[
        0x67, 0x4d, 0x40, 0x1f, 0xec, 0xa0, 0x28, 0x02, 0xdd, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xc1,
        0x8c, 0xb0,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
    const OTHER_PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22];
    const IDR: &[u8] = &[0x65, 0x88, 0x80];
    const SLICE: &[u8] = &[0x41, 0x9a, 0x02];

    fn tracks(sound: Option<Sound>) -> Tracks {
        Tracks::new(VideoCodec::H264, &[SPS.to_vec(), PPS.to_vec()], sound)
    }

    /// A track's packets of one frame each, of 40 ms.
    fn push(tracks: &mut Tracks, track: Track, frame: u32, lost: bool, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let packet = Packet { sequence: 0, timestamp: frame * 3600, marker: true, payload };
        tracks.push(Arrival { track, packet, origin: 0, lost, came: clock::now() }).unwrap();
    }

    /// `c` a configuration, `K` a keyframe, `p` another picture, `s` sound.
    fn drain(tracks: &mut Tracks) -> String {
        let letter = |item| match item {
            FeedItem::Config(_) => 'c',
            FeedItem::Unit(AccessUnit { track: Track::Audio, .. }) => 's',
            FeedItem::Unit(unit) => {
                if unit.keyframe {
                    'K'
                } else {
                    'p'
                }
            }
        };
        std::iter::from_fn(|| tracks.next()).map(letter).collect()
    }

    #[test]
    fn pictures_begin_at_a_keyframe_and_begin_again_behind_a_hole() {
        let mut tracks = tracks(None);
        for (frame, lost, payload) in [
            (0, false, SLICE),
            (1, false, IDR),
            (2, false, SLICE),
            (3, true, SLICE),
            (4, false, SLICE),
            (5, false, IDR),
        ] {
            push(&mut tracks, Track::Video, frame, lost, payload);
        }
        assert_eq!(drain(&mut tracks), "cKpK");
    }

    #[test]
    fn sets_that_come_as_a_picture_of_their_own_count_for_the_next() {
        let mut tracks = tracks(None);
        push(&mut tracks, Track::Video, 0, false, IDR);
        for (frame, payload) in [(1, SPS), (1, PPS), (1, IDR), (2, SPS), (3, OTHER_PPS), (4, IDR), (5, SLICE)] {
            push(&mut tracks, Track::Video, frame, false, payload);
        }
        assert_eq!(drain(&mut tracks), "cKKcKp");
    }

    #[test]
    fn pictures_are_decoded_in_the_order_in_which_they_come_and_not_after_they_are_shown() {
        let mut tracks = tracks(None);
        for frame in [0, 3, 1, 2, 6, 4, 5, 9, 7, 8] {
            push(&mut tracks, Track::Video, frame, false, if frame % 3 == 0 { IDR } else { SLICE });
        }
        let mut decoded = i64::MIN;
        let mut shown = vec![];
        while let Some(item) = tracks.next() {
            let FeedItem::Unit(unit) = item else { continue };
            assert!(unit.dts.as_nanos() >= decoded && unit.dts <= unit.pts, "{unit:?}");
            decoded = unit.dts.as_nanos();
            shown.push(unit.pts.as_nanos() / 40_000_000);
        }
        // The depth is learned by the first that is overtaken, which costs what refers to it.
        assert_eq!(shown, [0, 3, 6, 4, 5, 9, 7, 8]);
    }

    #[test]
    fn sound_comes_in_behind_the_first_picture() {
        let config = weir_media::codec::opus::head(2, 0).unwrap();
        let mut tracks = tracks(Some(Sound::opus(config)));
        tracks.opening = None;
        for track in [Track::Audio, Track::Video, Track::Audio, Track::Audio] {
            push(&mut tracks, track, 0, false, if track == Track::Video { IDR } else { &[1] });
        }
        assert_eq!(drain(&mut tracks), "cKcss");
    }
}
