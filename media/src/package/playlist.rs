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
/// `CAN-SKIP-UNTIL` in target durations, by the rule.
const CAN_SKIP_UNTIL: u64 = 6;

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
    List::new(chain, track).map(|list| list.text(0)).unwrap_or_default()
}

/// The same playlist with one tag for all segments that a player with a recent playlist knows; `None` where there are none, and at the
/// end, when nothing will be asked again.
pub(super) fn delta(chain: &[&Broadcast], track: usize) -> Option<String> {
    let list = List::new(chain, track).filter(|list| !list.newest.ended)?;
    Some(list.skippable()).filter(|skipped| *skipped > 0).map(|skipped| list.text(skipped))
}

/// What one media playlist lists.
struct List<'a> {
    chain: &'a [&'a Broadcast],
    newest: &'a Broadcast,
    /// Track.
    index: usize,
    /// Its first sequence number.
    first: u64,
    /// Its first incomplete segment.
    end: u64,
}

impl<'a> List<'a> {
    fn new(chain: &'a [&'a Broadcast], index: usize) -> Option<Self> {
        let (oldest, newest) = (chain.first()?, *chain.last()?);
        let end = newest.first_sequence + newest.shown(&newest.tracks[index]).0;
        let available = oldest.first_sequence + oldest.tracks[index].oldest();
        Some(Self { chain, newest, index, first: end.saturating_sub(LISTED_SEGMENTS).max(available).min(end), end })
    }

    /// Whole seconds that no segment exceeds. All frame rates come to the same, so it never changes.
    fn target(&self) -> u64 {
        (self.newest.output.grid.segment_seconds().ceil() as u64).max(1)
    }

    /// Segments from the first on that end at least the skip boundary before the playlist's end.
    fn skippable(&self) -> u64 {
        let boundary = (CAN_SKIP_UNTIL * self.target()) as f64;
        let mut after = self.open().map_or(0.0, |(track, open)| track.seconds(open.frames()));
        let mut kept = self.end;
        while kept > self.first && after < boundary {
            kept -= 1;
            after += self.seconds(kept);
        }
        kept - self.first
    }

    /// The segment that is not complete, when some of it may be seen.
    fn open(&self) -> Option<(&Track, &Segment)> {
        let track = &self.newest.tracks[self.index];
        let (whole, pending) = self.newest.shown(track);
        Some((track, track.segment(whole).filter(|_| pending > 0)?))
    }

    fn seconds(&self, number: u64) -> f64 {
        let broadcast = self.chain.iter().rev().find(|broadcast| broadcast.first_sequence <= number);
        broadcast.map_or(0.0, |broadcast| whole(broadcast, self.index, number - broadcast.first_sequence).0)
    }

    /// The text, with one tag in place of the first `skipped` segments.
    fn text(&self, skipped: u64) -> String {
        let mut out = String::with_capacity(4_096);
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, skipped);
        out
    }

    fn write(&self, out: &mut String, skipped: u64) -> fmt::Result {
        let target = self.target();
        // Rounded up to what five decimals can say.
        let part_target = (self.newest.output.grid.part_target_seconds() * 1e5).ceil() / 1e5;
        write!(
            out,
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={:.1},PART-HOLD-BACK={:.5},HOLD-BACK={:.1}\n\
             #EXT-X-PART-INF:PART-TARGET={part_target:.5}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            (CAN_SKIP_UNTIL * target) as f64,
            PART_HOLD_BACK * part_target,
            (HOLD_BACK * target) as f64,
            self.first,
        )?;
        let ends = self.chain.iter().skip(1).map(|later| later.first_sequence).chain([self.end]);
        let listed = || {
            self.chain
                .iter()
                .zip(ends.clone())
                .filter(|(broadcast, end)| *end > self.first || std::ptr::eq(**broadcast, self.newest))
        };
        if let Some((oldest, _)) = listed().next() {
            let sequence = oldest.discontinuity_sequence - u64::from(begins_with_tag(oldest, self.first));
            writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}\n#EXT-X-INDEPENDENT-SEGMENTS")?;
        }
        if skipped > 0 {
            writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
        }
        listed().try_for_each(|(broadcast, end)| self.write_broadcast(out, broadcast, end, skipped))?;
        self.write_tail(out)
    }

    /// One broadcast's segments up to sequence number `end`. What applies to a skipped segment is skipped with it.
    fn write_broadcast(&self, out: &mut String, broadcast: &Broadcast, end: u64, skipped: u64) -> fmt::Result {
        let from = self.first + skipped;
        let track = &broadcast.tracks[self.index];
        if skipped == 0 || from <= broadcast.first_sequence {
            if begins_with_tag(broadcast, from) {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let map = Name::Init { first_sequence: broadcast.first_sequence, track: self.index as u8 };
            writeln!(out, "#EXT-X-MAP:URI=\"{map}\"")?;
        }
        for number in from.max(broadcast.first_sequence)..end {
            let slot = number - broadcast.first_sequence;
            write_date(out, broadcast, slot)?;
            if let Some(segment) = track.segment(slot).filter(|_| number + SEGMENTS_WITH_PARTS >= self.end) {
                write_parts(out, track, segment, self.index as u8, number)?;
            }
            let (seconds, gap) = whole(broadcast, self.index, slot);
            if gap {
                out.push_str("#EXT-X-GAP\n");
            }
            writeln!(out, "#EXTINF:{seconds:.5},\n{}", Name::Segment { track: self.index as u8, number })?;
        }
        Ok(())
    }

    /// The parts of the segment that is not complete yet, what comes next, and how far the other renditions are.
    fn write_tail(&self, out: &mut String) -> fmt::Result {
        let newest = self.newest;
        if newest.ended {
            return out.write_str("#EXT-X-ENDLIST\n");
        }
        let (whole, pending) = newest.shown(&newest.tracks[self.index]);
        if let Some((track, segment)) = self.open() {
            write_date(out, newest, whole)?;
            write_parts(out, track, segment, self.index as u8, self.end)?;
        }
        let hint = Name::Part { track: self.index as u8, number: self.end, part: pending };
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"")?;
        let mut others = newest.tracks.iter().enumerate().filter(|(other, _)| *other != self.index);
        others.try_for_each(|(other, track)| write_report(out, newest, other, track))
    }
}

/// Seconds of a whole segment, and whether this rendition lacks it: a broadcast that was cut off may have more of its end in another, and
/// numbers are the same in all.
fn whole(broadcast: &Broadcast, index: usize, slot: u64) -> (f64, bool) {
    let track = &broadcast.tracks[index];
    match track.segment(slot).filter(|_| slot < broadcast.shown(track).0) {
        Some(segment) => (track.seconds(segment.frames()), false),
        None => (broadcast.longest_seconds(slot), true),
    }
}

fn write_date(out: &mut String, broadcast: &Broadcast, slot: u64) -> fmt::Result {
    let date = calendar::date_time(broadcast.output.epoch_ns + broadcast.slot_start_ns(slot));
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}")
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
