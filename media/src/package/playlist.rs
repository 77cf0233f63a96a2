//! Text of HLS master and media playlists (draft-pantos-hls-rfc8216bis), for players with and without low latency.

use std::fmt::{self, Write};
use std::sync::OnceLock;

use bytes::Bytes;

use super::broadcast::{Broadcast, Segment, Track};
use super::names::Name;
use super::{LISTED_SEGMENTS, calendar};

/// Whole segments at the end of a playlist whose parts are listed; the rule is three target durations.
const SEGMENTS_WITH_PARTS: u64 = 3;
/// `PART-HOLD-BACK` in part targets. The rule asks for 3; the fourth lets a player lose one request without a stall.
const PART_HOLD_BACK: f64 = 4.0;
/// `HOLD-BACK` in target durations, by the rule.
const HOLD_BACK: u64 = 3;

/// A rendered manifest, with room for its compressed form.
#[derive(Debug)]
pub struct Page {
    text: Bytes,
    packed: OnceLock<Bytes>,
}

impl Page {
    pub(super) fn new(text: String) -> Self {
        Self { text: text.into(), packed: OnceLock::new() }
    }

    /// The text.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The text as `pack` makes it, which is called once per page. Always give the same function.
    pub fn packed(&self, pack: impl FnOnce(&[u8]) -> Bytes) -> &Bytes {
        self.packed.get_or_init(|| pack(&self.text))
    }
}

/// The master playlist: every rendition of one broadcast.
pub(super) fn master(broadcast: &Broadcast) -> String {
    let mut out = String::with_capacity(1_024);
    // Writing to a String cannot fail.
    let _ = write_master(&mut out, broadcast);
    out
}

fn write_master(out: &mut String, broadcast: &Broadcast) -> fmt::Result {
    let Some((audio, videos)) = broadcast.tracks.split_last() else { return Ok(()) };
    out.push_str("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let audio_name = Name::Playlist { track: videos.len() as u8 };
    writeln!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"main\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{audio_name}\""
    )?;
    for (index, (video, rendition)) in videos.iter().zip(&broadcast.output.renditions).enumerate() {
        writeln!(
            out,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{},{}\",RESOLUTION={}x{},FRAME-RATE={:.3},AUDIO=\"audio\"\n{}",
            video.peak_bandwidth() + audio.peak_bandwidth(),
            video.average_bandwidth() + audio.average_bandwidth(),
            video.codecs,
            audio.codecs,
            rendition.width,
            rendition.height,
            broadcast.output.grid.frame_rate.as_f64(),
            Name::Playlist { track: index as u8 },
        )?;
    }
    Ok(())
}

/// A media playlist over broadcasts that follow on each other without a hole, oldest first.
pub(super) fn media(chain: &[&Broadcast], track: usize) -> String {
    let mut out = String::with_capacity(4_096);
    let _ = write_media(&mut out, chain, track);
    out
}

fn write_media(out: &mut String, chain: &[&Broadcast], index: usize) -> fmt::Result {
    let Some(newest) = chain.last() else { return Ok(()) };
    let (whole, pending) = newest.shown(&newest.tracks[index]);
    let end = newest.first_sequence + whole;
    let available = chain[0].first_sequence + chain[0].tracks[index].oldest();
    let first = end.saturating_sub(LISTED_SEGMENTS).max(available);

    let grid = &newest.output.grid;
    // Whole seconds that no segment exceeds. All frame rates come to the same, so it never changes.
    let target = (grid.segment_seconds().ceil() as u64).max(1);
    // Rounded up to what five decimals can say.
    let part_target = (grid.part_target_seconds() * 1e5).ceil() / 1e5;
    write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.5},HOLD-BACK={:.1}\n\
         #EXT-X-PART-INF:PART-TARGET={part_target:.5}\n#EXT-X-MEDIA-SEQUENCE:{first}\n",
        PART_HOLD_BACK * part_target,
        (HOLD_BACK * target) as f64,
    )?;

    let mut listed = chain.iter().filter(|broadcast| {
        let shown = broadcast.shown(&broadcast.tracks[index]);
        broadcast.first_sequence + shown.0 > first || std::ptr::eq(**broadcast, *newest)
    });
    if let Some(oldest) = listed.clone().next() {
        let sequence = oldest.discontinuity_sequence - u64::from(begins_with_tag(oldest, first));
        writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}\n#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    listed.try_for_each(|broadcast| write_broadcast(out, broadcast, index, first, end))?;

    if newest.ended {
        out.push_str("#EXT-X-ENDLIST\n");
        return Ok(());
    }
    let hint = Name::Part { track: index as u8, number: end, part: pending };
    writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"")?;
    for (other, track) in newest.tracks.iter().enumerate().filter(|(other, _)| *other != index) {
        write_report(out, newest, other, track)?;
    }
    Ok(())
}

/// One broadcast's segments from sequence number `first` on; `end` is the playlist's first incomplete one.
fn write_broadcast(out: &mut String, broadcast: &Broadcast, index: usize, first: u64, end: u64) -> fmt::Result {
    let track = &broadcast.tracks[index];
    if begins_with_tag(broadcast, first) {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let map = Name::Init { first_sequence: broadcast.first_sequence, track: index as u8 };
    writeln!(out, "#EXT-X-MAP:URI=\"{map}\"")?;
    let (whole, pending) = broadcast.shown(track);
    for slot in first.saturating_sub(broadcast.first_sequence)..whole + u64::from(pending > 0) {
        let Some(segment) = track.segment(slot) else { continue };
        let number = broadcast.first_sequence + slot;
        let date = calendar::date_time(broadcast.output.epoch_ns + broadcast.slot_start_ns(slot));
        writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}")?;
        if number + SEGMENTS_WITH_PARTS >= end {
            write_parts(out, track, segment, index as u8, number)?;
        }
        if slot < whole {
            let name = Name::Segment { track: index as u8, number };
            writeln!(out, "#EXTINF:{:.5},\n{name}", track.seconds(segment.frames()))?;
        }
    }
    Ok(())
}

fn write_parts(out: &mut String, track: &Track, segment: &Segment, index: u8, number: u64) -> fmt::Result {
    for (part, data) in segment.parts.iter().enumerate() {
        let name = Name::Part { track: index, number, part: part as u32 };
        let independent = if data.independent { ",INDEPENDENT=YES" } else { "" };
        let seconds = track.seconds(u64::from(data.frames));
        writeln!(out, "#EXT-X-PART:DURATION={seconds:.5},URI=\"{name}\"{independent}")?;
    }
    Ok(())
}

fn write_report(out: &mut String, broadcast: &Broadcast, index: usize, track: &Track) -> fmt::Result {
    let (whole, pending) = broadcast.shown(track);
    let (slot, part) = match pending {
        0 => (whole.saturating_sub(1), broadcast.output.grid.parts_per_segment() - 1),
        pending => (whole, pending - 1),
    };
    let name = Name::Playlist { track: index as u8 };
    let number = broadcast.first_sequence + slot;
    writeln!(out, "#EXT-X-RENDITION-REPORT:URI=\"{name}\",LAST-MSN={number},LAST-PART={part}")
}

/// The stream's very first broadcast follows on nothing; any other starts with a discontinuity while its first segment is listed.
fn begins_with_tag(broadcast: &Broadcast, first: u64) -> bool {
    broadcast.discontinuity_sequence > 0 && first <= broadcast.first_sequence
}
