//! The transport stream demuxer against streams that ffmpeg wrote, and what ffprobe reads in them.

#![allow(clippy::unwrap_used)]

mod damage;
mod files;
mod refusals;
mod whole;

use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::feed::FeedItem;
use weir_media::ts::{Demuxer, TsError, TsStats};

/// What an SRT payload has.
const PAYLOAD: usize = 7 * 188;

/// All that came out of a stream.
struct Demuxed {
    items: Vec<FeedItem>,
    stats: TsStats,
}

impl Demuxed {
    fn units(&self, track: Track) -> Vec<&AccessUnit> {
        let units = self.items.iter().filter_map(|item| match item {
            FeedItem::Unit(unit) => Some(unit),
            FeedItem::Config(_) => None,
        });
        units.filter(|unit| unit.track == track).collect()
    }

    fn videos(&self) -> Vec<&VideoConfig> {
        let configs = self.items.iter().filter_map(|item| match item {
            FeedItem::Config(TrackConfig::Video(config)) => Some(config),
            _ => None,
        });
        configs.collect()
    }

    fn audios(&self) -> Vec<&AudioConfig> {
        let configs = self.items.iter().filter_map(|item| match item {
            FeedItem::Config(TrackConfig::Audio(config)) => Some(config),
            _ => None,
        });
        configs.collect()
    }
}

/// Reads chunks of a stream.
fn demux<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Demuxed, TsError> {
    let (mut demuxer, mut items) = (Demuxer::default(), vec![]);
    for chunk in chunks {
        demuxer.push(chunk)?;
        items.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.finish()?;
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    Ok(Demuxed { items, stats: demuxer.stats() })
}

fn demux_all(stream: &[u8]) -> Demuxed {
    demux(stream.chunks(PAYLOAD)).unwrap()
}

/// Time of 90 kHz.
fn ticks(nanos: i64) -> i64 {
    (nanos * 9).div_euclid(100_000) + i64::from((nanos * 9).rem_euclid(100_000) >= 50_000)
}

/// Numbers that a seed makes (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
