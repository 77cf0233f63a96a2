//! Sources in the codecs that RTMP does not bring: HEVC out of a transport stream, Opus out of Ogg, H.264 with its sets inside.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::in_band::{Found, PictureReader};
use weir_media::codec::{TrackConfig, VideoCodec, opus};
use weir_media::feed::FeedItem;
use weir_media::time::Timestamp;
use weir_media::ts;

use crate::harness::{Scratch, Timed, output_of};

/// Where the content of every source here begins, nanoseconds: late enough for what an encoder needs before.
pub const BEGIN: i64 = 1_000_000_000;

/// What `ffmpeg` with these words writes in a format.
fn encoded(scratch: &Scratch, words: &str, seconds: f64, format: &str) -> PathBuf {
    let (path, seconds) = (scratch.path(&format!("source.{format}")), seconds.to_string());
    let mut all = vec!["-v", "error", "-y"];
    all.extend(words.split_whitespace());
    all.extend(["-t", &seconds, "-f", format, path.to_str().unwrap()]);
    output_of("ffmpeg", &all);
    path
}

fn timed(item: FeedItem) -> Timed {
    let ms = match &item {
        FeedItem::Unit(unit) => ((unit.dts.as_nanos() - BEGIN) / 1_000_000).max(0) as u32,
        FeedItem::Config(_) => 0,
    };
    (ms, item)
}

/// Moves what is shown first to [`BEGIN`].
fn begun(mut units: Vec<FeedItem>) -> Vec<Timed> {
    let pts = units.iter().filter_map(|item| match item {
        FeedItem::Unit(unit) => Some(unit.pts.as_nanos()),
        FeedItem::Config(_) => None,
    });
    let by = BEGIN - pts.min().unwrap();
    for item in &mut units {
        if let FeedItem::Unit(unit) = item {
            unit.pts = Timestamp::from_nanos(unit.pts.as_nanos() + by);
            unit.dts = Timestamp::from_nanos(unit.dts.as_nanos() + by);
        }
    }
    in_order(units.into_iter().map(timed).collect())
}

/// Configurations come with the unit behind them.
fn in_order(mut items: Vec<Timed>) -> Vec<Timed> {
    let mut next = 0;
    for (ms, item) in items.iter_mut().rev() {
        match item {
            FeedItem::Unit(_) => next = *ms,
            FeedItem::Config(_) => *ms = next,
        }
    }
    items
}

/// A video encoder that is given `args`, behind a transport stream.
pub fn ts_video(args: &str, seconds: f64) -> Vec<Timed> {
    let scratch = Scratch::new();
    read_ts(&encoded(&scratch, &format!("{args} -an"), seconds, "mpegts"))
}

/// All of a transport stream, with its content at [`BEGIN`].
pub fn read_ts(path: &Path) -> Vec<Timed> {
    let (mut demuxer, mut items) = (ts::Demuxer::default(), vec![]);
    demuxer.push(&std::fs::read(path).unwrap()).unwrap();
    demuxer.finish().unwrap();
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    begun(items)
}

/// An H.264 encoder without B pictures as a browser sends it: each picture with its sets inside, at `fps`; from `ms` on.
pub fn in_band(reader: &mut PictureReader, args: &str, fps: u32, seconds: f64, ms: u32) -> Vec<Timed> {
    let scratch = Scratch::new();
    // Delimiters part the pictures.
    let args = format!("{args} -an -bf 0 -bsf:v h264_metadata=aud=insert");
    let stream = std::fs::read(encoded(&scratch, &args, seconds, "h264")).unwrap();
    let is_delimiter = |at: &usize| stream[*at..].starts_with(&[0, 0, 0, 1, 9]);
    let starts: Vec<usize> = (0..stream.len()).filter(is_delimiter).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let mut items = vec![];
    for (n, (start, end)) in starts.iter().zip(ends).enumerate() {
        let Found::Picture(picture) = reader.read(&stream[*start..end], false).unwrap() else { panic!("no picture") };
        let pts = Timestamp::from_nanos(BEGIN + i64::from(ms) * 1_000_000 + n as i64 * 1_000_000_000 / i64::from(fps));
        let (keyframe, data) = (picture.keyframe, picture.data);
        items.extend(picture.config.map(|config| FeedItem::Config(TrackConfig::Video(config))));
        items.push(FeedItem::Unit(AccessUnit { track: Track::Video, pts, dts: pts, keyframe, data }));
    }
    in_order(items.into_iter().map(timed).collect())
}

/// A new reader of H.264.
pub fn h264_reader() -> PictureReader {
    PictureReader::new(VideoCodec::H264, None)
}

/// An Opus encoder that is given `args`. Each packet's time is that of its first decoded sample.
pub fn opus_audio(args: &str, seconds: f64) -> Vec<Timed> {
    let scratch = Scratch::new();
    let file = std::fs::read(encoded(&scratch, &format!("{args} -vn -c:a libopus"), seconds, "ogg")).unwrap();
    let mut packets = ogg_packets(&file).into_iter();
    let config = opus::parse(&packets.next().unwrap()).unwrap();
    let pre_skip = i64::from(opus::pre_skip(&config.decoder_config)) * 1_000_000_000 / 48_000;
    assert!(packets.next().unwrap().starts_with(b"OpusTags"));
    let mut items = vec![(0, FeedItem::Config(TrackConfig::Audio(config)))];
    for (n, data) in packets.enumerate() {
        // ffmpeg's packets have 20 ms.
        let pts = Timestamp::from_nanos(BEGIN + n as i64 * 20_000_000 - pre_skip);
        let data = Bytes::from(data);
        items.push(timed(FeedItem::Unit(AccessUnit { track: Track::Audio, pts, dts: pts, keyframe: true, data })));
    }
    items
}

/// The packets of an Ogg file with one stream (RFC 3533).
fn ogg_packets(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut open) = (vec![], vec![]);
    while !rest.is_empty() {
        assert_eq!(&rest[..4], b"OggS");
        let lacing = &rest[27..27 + usize::from(rest[26])];
        let mut body = &rest[27 + lacing.len()..];
        for &length in lacing {
            let (piece, behind) = body.split_at(length.into());
            open.extend_from_slice(piece);
            if length < 255 {
                packets.push(std::mem::take(&mut open));
            }
            body = behind;
        }
        rest = body;
    }
    packets
}

/// Two tracks as one publication.
pub fn merged(video: Vec<Timed>, audio: Vec<Timed>) -> Vec<Timed> {
    let mut items = [video, audio].concat();
    items.sort_by_key(|(ms, _)| *ms);
    items
}
