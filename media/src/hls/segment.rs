//! A whole segment, decrypted, to configurations and access units in the order of their decoding times.
//!
//! MPEG-TS is told from MP4 by whether an initialization section belongs to the segment. Sound in packets without a container (RFC 8216, 3.4)
//! is refused. Readers live as long as the playlist, so that what does not change is announced once.

use std::collections::VecDeque;

use crate::access_unit::Track;
use crate::codec::TrackConfig;
use crate::feed::FeedItem;
use crate::mp4::{self, Mp4Error};
use crate::time::Timestamp;
use crate::ts::{Demuxer, TsError};

/// Bytes that are demuxed at a stretch.
const STRETCH: usize = 64 << 10;
/// Most units of a segment: a minute of 240 pictures a second with sound has a third of them. Each costs memory, however small it is.
const MOST_UNITS: usize = 1 << 16;

/// Why nothing can be made of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Not as a transport stream.
    #[error(transparent)]
    Ts(#[from] TsError),
    /// Not as MP4.
    #[error(transparent)]
    Mp4(#[from] Mp4Error),
    /// ADTS, MP3 or the like.
    #[error("HLS segments without a container are not supported, send MPEG-TS or fragmented MP4")]
    Packed,
    /// An absurd number of units.
    #[error("HLS segment has over {MOST_UNITS} frames")]
    Crowded,
}

impl SegmentError {
    /// Another segment may do better.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Mp4(error) => error.is_damage(),
            Self::Crowded => true,
            Self::Ts(_) | Self::Packed => false,
        }
    }
}

/// Reads the segments of one media playlist.
#[derive(Default)]
pub struct SegmentReader {
    ts: Demuxer,
    mp4: Option<mp4::Reader>,
    video: Option<TrackConfig>,
    audio: Option<TrackConfig>,
}

impl SegmentReader {
    /// Another initialization section is in force.
    pub fn init(&mut self, section: &[u8]) -> Result<(), SegmentError> {
        self.mp4 = Some(mp4::Reader::new(section)?);
        Ok(())
    }

    /// Something is missing before the next segment, or it begins anew.
    pub fn hole(&mut self) {
        self.ts.gap(u64::MAX);
        if let Some(reader) = &mut self.mp4 {
            reader.hole();
        }
    }

    /// Takes a segment in, by the initialization section in force or by none. When it is damaged, what was read before that is lost too.
    pub fn read(&mut self, segment: &[u8], has_init: bool) -> Result<Vec<FeedItem>, SegmentError> {
        let mut items = vec![];
        let read = match &mut self.mp4 {
            Some(reader) if has_init => reader.read(segment, |item| items.push(item)).map_err(SegmentError::from),
            _ => transport_stream(&mut self.ts, segment, &mut items),
        };
        if let Err(error) = read {
            self.hole();
            return Err(error);
        }
        items.retain(|item| self.is_news(item));
        Ok(interleaved(items))
    }

    /// A configuration that is in force already is none.
    fn is_news(&mut self, item: &FeedItem) -> bool {
        let FeedItem::Config(config) = item else { return true };
        let known = match config {
            TrackConfig::Video(_) => &mut self.video,
            TrackConfig::Audio(_) => &mut self.audio,
        };
        let news = known.as_ref() != Some(config);
        *known = Some(config.clone());
        news
    }
}

fn transport_stream(demuxer: &mut Demuxer, segment: &[u8], items: &mut Vec<FeedItem>) -> Result<(), SegmentError> {
    // Sound alone begins with a tag of ID3 or a frame's sync word.
    if segment.starts_with(b"ID3") || matches!(segment, [0xff, 0xe0..=0xff, ..]) {
        return Err(SegmentError::Packed);
    }
    for stretch in segment.chunks(STRETCH) {
        demuxer.push(stretch)?;
        items.extend(std::iter::from_fn(|| demuxer.poll()));
        if items.len() > MOST_UNITS {
            return Err(SegmentError::Crowded);
        }
    }
    // Segments end with whole frames.
    demuxer.finish()?;
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    Ok(())
}

/// Both tracks, each in its own order, by decoding times. A configuration goes with the unit behind it.
fn interleaved(items: Vec<FeedItem>) -> Vec<FeedItem> {
    let mut merged = Vec::with_capacity(items.len());
    let is_video = |item: &FeedItem| match item {
        FeedItem::Config(config) => matches!(config, TrackConfig::Video(_)),
        FeedItem::Unit(unit) => unit.track == Track::Video,
    };
    let (mut video, mut audio): (VecDeque<_>, VecDeque<_>) = items.into_iter().partition(is_video);
    loop {
        let next = match (time(&video), time(&audio)) {
            (Some(shown), Some(heard)) if heard <= shown => &mut audio,
            (None, _) => &mut audio,
            (Some(_), _) => &mut video,
        };
        let Some(item) = next.pop_front() else { return merged };
        merged.push(item);
    }
}

/// When the first item of a track is decoded; `None` when there is none. A configuration has no time, and goes before all that has one.
fn time(queue: &VecDeque<FeedItem>) -> Option<Option<Timestamp>> {
    queue.front().map(|item| match item {
        FeedItem::Unit(unit) => Some(unit.dts),
        FeedItem::Config(_) => None,
    })
}

#[cfg(test)]
mod tests;
