//! One stream's measurements.
//!
//! Of a stream that nobody has published to since the server started only its switch is told, so that a node with thousands of streams has
//! a small page. Counters of a session and of a broadcast begin anew with the next one, as Prometheus expects of counters.

use weir_actors::ingest::TransportStats;
use weir_actors::status::{PipelineDetail, SessionDetail, SlotDetail};
use weir_actors::survey::StreamSurvey;
use weir_media::id::Slot;

use super::page::Page;

const SLOTS: [Slot; 2] = [Slot::Primary, Slot::Backup];

pub(super) fn write(page: &mut Page, stream: &StreamSurvey) {
    let id = stream.detail.id.to_string();
    let of = [("stream", id.as_str())];
    page.flag("weir_stream_active", "Whether the stream is switched on.", &of, stream.active);
    for (rule, count) in &stream.refusals {
        refusals(page, &id, rule, *count);
    }
    if stream.in_use {
        state(page, &id, stream);
        history(page, &id, stream);
        stream.detail.slots.iter().for_each(|slot| ingest(page, &id, slot));
        if let Some(made) = &stream.detail.pipeline {
            output(page, &id, made);
        }
        if let Some(pull) = &stream.detail.pull {
            let help = "Tries to reach a source since the stream last had media.";
            page.gauge("weir_pull_tries", help, &of, pull.tries as f64);
        }
    }
}

/// Also of tries that named no stream, with an empty id.
pub(super) fn refusals(page: &mut Page, id: &str, rule: &str, count: u64) {
    let help = "Publishers that were refused, by rule; an empty stream is for tries that named none that exists.";
    page.counter("weir_publish_refusals_total", help, &[("stream", id), ("rule", rule)], count);
}

fn state(page: &mut Page, id: &str, stream: &StreamSurvey) {
    let detail = &stream.detail;
    let help = "Whether playlists answer 200 and parts advance.";
    page.flag("weir_stream_transcoding", help, &[("stream", id)], stream.transcoding);
    for slot in SLOTS {
        let of = [("stream", id), ("slot", slot.as_str())];
        let live = detail.slots.iter().any(|told| told.slot == slot && told.live);
        page.flag("weir_stream_live", "Whether the slot had media within the stall time.", &of, live);
        let help = "Whether the slot is on air; no slot is while the last picture is held.";
        page.flag("weir_stream_on_air", help, &of, detail.on_air == Some(slot));
        let help = "Whether the output carries the slot's pictures now.";
        page.flag("weir_stream_shown", help, &of, detail.shown == Some(slot));
    }
    let help = "Steady media that the primary still lacks for its return; 0 when no return is waited for.";
    let remaining = detail.hold_remaining_s.unwrap_or_default();
    page.gauge("weir_stream_hold_remaining_seconds", help, &[("stream", id)], remaining);
}

fn history(page: &mut Page, id: &str, stream: &StreamSurvey) {
    let (of, tally) = ([("stream", id)], &stream.tally);
    page.counter("weir_stream_broadcasts_total", "Broadcasts that began.", &of, tally.broadcasts);
    let help = "Workers that died and were replaced.";
    page.counter("weir_worker_restarts_total", help, &of, tally.worker_deaths);
    for ((slot, rule), count) in &tally.switches {
        let of = [("stream", id), ("slot", slot.map_or("none", Slot::as_str)), ("rule", *rule)];
        let help =
            "Changes of the slot on air, by the new slot (none: the last picture is held) and the rule that decided.";
        page.counter("weir_stream_switches_total", help, &of, *count);
    }
    for (media, gaps) in [("video", &tally.picture_gaps), ("audio", &tally.sound_gaps)] {
        let help = "What viewers missed at each hole or change of input: picture that was held, silence that was inserted. 0 is a change without a hole.";
        page.durations("weir_stream_gap_seconds", help, &[("stream", id), ("media", media)], gaps);
    }
    let help = "Time from the first video of a broadcast to a playlist that plays.";
    page.durations("weir_stream_startup_seconds", help, &of, &tally.startups);
    for slot in SLOTS {
        let of = [("stream", id), ("slot", slot.as_str())];
        let count = tally.sessions[slot as usize];
        page.counter("weir_ingest_sessions_total", "Publishers and sources that were let in.", &of, count);
    }
}

fn ingest(page: &mut Page, id: &str, slot: &SlotDetail) {
    let Some(session) = &slot.session else { return };
    let of = [("stream", id), ("slot", slot.slot.as_str()), ("protocol", session.protocol.as_str())];
    let SessionDetail { bytes, video_units, audio_units, dropped_units, .. } = session;
    page.counter("weir_ingest_bytes_total", "Media received in this session.", &of, *bytes);
    let help = "Video frames received in this session.";
    page.counter("weir_ingest_video_frames_total", help, &of, *video_units);
    let help = "Audio frames received in this session.";
    page.counter("weir_ingest_audio_frames_total", help, &of, *audio_units);
    let help = "Frames dropped in the feed because the worker was too slow.";
    page.counter("weir_ingest_dropped_frames_total", help, &of, *dropped_units);
    if let Some(decoded) = session.decoded_frames {
        page.counter("weir_ingest_decoded_frames_total", "Video frames decoded by the worker.", &of, decoded);
    }
    let mut gauge = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            page.gauge(name, help, &of, value);
        }
    };
    let ms = |ms: u32| f64::from(ms) / 1_000.0;
    gauge("weir_ingest_silence_seconds", "Time since the latest video frame.", session.silent_s);
    gauge("weir_ingest_gop_seconds", "Distance of keyframes.", session.gop_ms.map(ms));
    let help = "Content that waits for its output frame.";
    gauge("weir_ingest_buffered_seconds", help, session.buffered_ms.map(ms));
    if let Some(transport) = &session.transport {
        gauge("weir_ingest_rtt_seconds", "Round trip.", transport.rtt_ms.map(|rtt| rtt / 1_000.0));
        let help = "From sending to delivery, as negotiated (SRT).";
        gauge("weir_ingest_latency_seconds", help, transport.latency_ms.map(ms));
        packets(page, &of, transport);
    }
}

fn packets(page: &mut Page, of: &[(&'static str, &str)], transport: &TransportStats) {
    let mut counter = |name, help, value: Option<u64>| {
        if let Some(value) = value {
            page.counter(name, help, of, value);
        }
    };
    let help = "Data packets received, those that were sent again included.";
    counter("weir_ingest_packets_received_total", help, transport.packets_received);
    let help = "Data packets found missing when a later one came.";
    counter("weir_ingest_packets_lost_total", help, transport.packets_lost);
    let help = "Data packets received again.";
    counter("weir_ingest_packets_retransmitted_total", help, transport.packets_retransmitted);
    let help = "Data packets given up because they came too late, or never.";
    counter("weir_ingest_packets_dropped_total", help, transport.packets_dropped);
    let help = "Data packets that could not be decrypted (SRT).";
    counter("weir_ingest_packets_undecrypted_total", help, transport.packets_undecrypted);
    let help = "Holes in the counters of the transport stream (SRT).";
    counter("weir_ingest_continuity_errors_total", help, transport.continuity_errors);
    let help = "Keyframes that were asked for (WHIP).";
    counter("weir_ingest_keyframe_requests_total", help, transport.keyframe_requests);
}

fn output(page: &mut Page, id: &str, made: &PipelineDetail) {
    let of = [("stream", id)];
    let help = "Whether the worker keeps dying and is tried slowly.";
    page.flag("weir_worker_degraded", help, &of, made.state == "degraded");
    if let Some(speed) = made.speed {
        let help = "Speed of the encoders over real time; under 1 they do not keep up.";
        page.gauge("weir_encode_speed_ratio", help, &of, speed);
    }
    page.counter("weir_output_frames_total", "Output frames of this broadcast.", &of, made.frames);
    let help = "Output frames of this broadcast that repeat the picture before.";
    page.counter("weir_output_repeated_frames_total", help, &of, made.repeated);
    let help = "Output frames of this broadcast that the encoders could not take.";
    page.counter("weir_output_dropped_frames_total", help, &of, made.dropped);
}
