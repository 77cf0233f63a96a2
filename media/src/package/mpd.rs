//! Text of the MPD (ISO/IEC 23009-1, DASH-IF low latency): number-based segments on the exact grid.
//!
//! One MPD describes one broadcast in one Period whose time 0 is the broadcast's frame 0, as in `tfdt`, and whose
//! availabilityStartTime is that instant: some clients (ffmpeg) leave Period@start out of their live arithmetic. It ends as a
//! static MPD; the next broadcast is another presentation at the same URL.

use std::fmt::{self, Write};

use super::broadcast::Broadcast;
use super::{LISTED_SEGMENTS, calendar};

/// How far parts appear behind the slot they are made of: the mixer's input delay, one frame of cut lookahead, encoding and the
/// way here add to 0.15-0.25 s. Clients that go by the clock alone would ask that much too early; the server also holds a
/// request that is still early.
const OUTPUT_LAG_NS: u64 = 250_000_000;
/// Id of the producer reference time that latency counts from.
const CLOCK_ID: u32 = 0;
/// Wished latency of players that follow the service description.
const LATENCY_TARGET_MS: u64 = 2_500;
/// How often clients look whether the broadcast has ended.
const UPDATE_PERIOD_NS: u64 = 2_000_000_000;
/// Delay of players without low latency, in segments: with 2 dash.js was seen to stall.
const PRESENTATION_DELAY: u64 = 3;

/// The MPD of `broadcast` at wall clock `now_ns`.
pub(super) fn mpd(broadcast: &Broadcast, now_ns: u64) -> String {
    let mut out = String::with_capacity(3_072);
    // Writing to a String cannot fail.
    let _ =
        if broadcast.ended { write_static(&mut out, broadcast) } else { write_dynamic(&mut out, broadcast, now_ns) };
    out
}

fn write_head(out: &mut String, kind: &str, more_profiles: &str) -> fmt::Result {
    write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"{kind}\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019{more_profiles}\""
    )
}

fn write_dynamic(out: &mut String, broadcast: &Broadcast, now_ns: u64) -> fmt::Result {
    let segment = broadcast.slot_start_ns(1);
    let start = broadcast.output.epoch_ns + OUTPUT_LAG_NS;
    // A young broadcast has no past to offer: ffmpeg counts with this in whole seconds and cannot go below its start.
    let age = now_ns.saturating_sub(start) / 1_000_000_000 * 1_000_000_000;
    let depth = (LISTED_SEGMENTS * segment).min(age.max(1_000_000_000));
    write_head(out, "dynamic", ",http://www.dashif.org/guidelines/low-latency-live-v5")?;
    writeln!(
        out,
        " availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"{}\" timeShiftBufferDepth=\"{}\" \
         maxSegmentDuration=\"{}\" minBufferTime=\"{}\" suggestedPresentationDelay=\"{}\">",
        calendar::date_time(start),
        calendar::date_time(now_ns),
        calendar::duration(UPDATE_PERIOD_NS),
        calendar::duration(depth),
        calendar::duration(segment + 50_000_000),
        calendar::duration(segment),
        calendar::duration(PRESENTATION_DELAY * segment),
    )?;
    writeln!(
        out,
        "<ServiceDescription id=\"0\"><Latency referenceId=\"{CLOCK_ID}\" target=\"{LATENCY_TARGET_MS}\" min=\"{}\" max=\"{}\"/>\
         <PlaybackRate min=\"0.96\" max=\"1.04\"/></ServiceDescription>",
        LATENCY_TARGET_MS / 2,
        LATENCY_TARGET_MS * 3,
    )?;
    writeln!(out, "<Period id=\"{}\" start=\"PT0S\">", broadcast.first_sequence)?;
    let part = broadcast.output.grid.frame_rate.frame_start_ns(u64::from(broadcast.output.grid.part_frames));
    let offset = segment.saturating_sub(part) / 1_000_000;
    let early = format!(
        " startNumber=\"{}\" availabilityTimeOffset=\"{}.{:03}\" availabilityTimeComplete=\"false\"",
        broadcast.first_sequence,
        offset / 1_000,
        offset % 1_000
    );
    let clock =
        format!("<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>", calendar::date_time(now_ns));
    // Frame 0 entered the encoders at the broadcast's epoch; latency counts from there, in both sets.
    let produced = format!(
        "<ProducerReferenceTime id=\"{CLOCK_ID}\" type=\"encoder\" inband=\"false\" wallClockTime=\"{}\" presentationTime=\"0\">\
         {clock}</ProducerReferenceTime>\n",
        calendar::date_time(broadcast.output.epoch_ns),
    );
    write_sets(out, broadcast, &early, &produced)?;
    writeln!(out, "</Period>\n{clock}\n</MPD>")
}

/// Only what is still there, at the presentation times it always had, so that a player in the middle of it goes on to the end.
fn write_static(out: &mut String, broadcast: &Broadcast) -> fmt::Result {
    let end = broadcast.whole_segments();
    let oldest = broadcast.tracks.iter().map(|track| track.oldest()).max().unwrap_or(0);
    let first = end.saturating_sub(LISTED_SEGMENTS).max(oldest).min(end);
    let grid = &broadcast.output.grid;
    let start = broadcast.slot_start_ns(first);
    let stop = broadcast
        .tracks
        .iter()
        .filter_map(|track| {
            let last = end.checked_sub(1)?;
            let frames = track.segment(last)?.frames();
            Some(broadcast.slot_start_ns(last) + (track.seconds(frames) * 1e9) as u64)
        })
        .min()
        .unwrap_or(start)
        .min(broadcast.slot_start_ns(end));
    write_head(out, "static", "")?;
    writeln!(
        out,
        " mediaPresentationDuration=\"{}\" maxSegmentDuration=\"{}\" minBufferTime=\"{}\">",
        calendar::duration(stop),
        calendar::duration(broadcast.slot_start_ns(1) + 50_000_000),
        calendar::duration(broadcast.slot_start_ns(1)),
    )?;
    writeln!(
        out,
        "<Period id=\"{}\" start=\"{}\" duration=\"{}\">",
        broadcast.first_sequence,
        calendar::duration(start),
        calendar::duration(stop.saturating_sub(start)),
    )?;
    let offset = first * u64::from(grid.segment_frames) * u64::from(grid.frame_rate.den());
    let window = format!(" startNumber=\"{}\" presentationTimeOffset=\"{offset}\"", broadcast.first_sequence + first);
    write_sets(out, broadcast, &window, "")?;
    out.push_str("</Period>\n</MPD>\n");
    Ok(())
}

/// Both adaptation sets. `window` is what the segment template says about availability, `produced` when its times were made.
fn write_sets(out: &mut String, broadcast: &Broadcast, window: &str, produced: &str) -> fmt::Result {
    let grid = &broadcast.output.grid;
    // One timescale for both kinds: the grid's own, in which a segment is a whole number.
    let template = format!(
        "<SegmentTemplate timescale=\"{}\" duration=\"{}\"{window} initialization=\"init-{}-$RepresentationID$.mp4\" \
         media=\"seg-$RepresentationID$-$Number$.m4s\"/>",
        grid.frame_rate.num(),
        u64::from(grid.segment_frames) * u64::from(grid.frame_rate.den()),
        broadcast.first_sequence,
    );
    let Some((audio, videos)) = broadcast.tracks.split_last() else { return Ok(()) };
    writeln!(
        out,
        "<AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n{produced}{template}"
    )?;
    for (index, (video, rendition)) in videos.iter().zip(&broadcast.output.renditions).enumerate() {
        writeln!(
            out,
            "<Representation id=\"{index}\" bandwidth=\"{}\" codecs=\"{}\" width=\"{}\" height=\"{}\" frameRate=\"{}\" sar=\"1:1\"/>",
            video.peak_bandwidth(),
            video.codecs,
            rendition.width,
            rendition.height,
            grid.frame_rate,
        )?;
    }
    writeln!(
        out,
        "</AdaptationSet>\n<AdaptationSet id=\"1\" contentType=\"audio\" mimeType=\"audio/mp4\" lang=\"und\" segmentAlignment=\"true\" \
         startWithSAP=\"1\">\n{produced}{template}\n<Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\" audioSamplingRate=\"48000\">\
         <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"2\"/>\
         </Representation>\n</AdaptationSet>",
        videos.len(),
        audio.peak_bandwidth(),
        audio.codecs,
    )
}
