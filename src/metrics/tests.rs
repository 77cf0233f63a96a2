//! Pages made from snapshots: every value at its place, and nothing of what is not there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_actors::ingest::TransportStats;
use weir_actors::status::{PipelineDetail, PullDetail, SessionDetail, StreamDetail};
use weir_actors::survey::StreamSurvey;
use weir_actors::tally::Tally;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};

use super::*;
use crate::tls::{files::Files, self_signed};

fn session() -> SessionDetail {
    SessionDetail {
        id: SessionId(5),
        protocol: Protocol::Srt,
        peer: "192.0.2.77:4000".into(),
        agent: Some("secret-agent/1".into()),
        age_s: 12.0,
        silent_s: Some(0.04),
        bytes: 1_250_000,
        video_units: 300,
        audio_units: 470,
        dropped_units: 2,
        width: Some(1280),
        height: Some(720),
        sample_rate: Some(48_000),
        decoded_frames: Some(299),
        buffered_ms: Some(150),
        gop_ms: Some(2_000),
        measured: None,
        preflight: false,
        transport: Some(TransportStats {
            rtt_ms: Some(25.5),
            packets_lost: Some(7),
            packets_received: Some(9_000),
            ..TransportStats::default()
        }),
    }
}

fn pipeline(state: &str) -> PipelineDetail {
    PipelineDetail {
        state: state.into(),
        pid: Some(1),
        restarts: 1,
        renditions: vec![],
        frames: 300,
        repeated: 4,
        dropped: 1,
        speed: Some(1.25),
        last_segment: Some(6),
    }
}

/// On air with its backup, after a switch and a gap.
fn busy() -> StreamSurvey {
    let mut tally = Tally::default();
    tally.switches.insert((Some(Slot::Backup), "primary_lost"), 3);
    tally.picture_gaps.add(3.04);
    tally.startups.add(0.7);
    (tally.sessions, tally.broadcasts, tally.worker_deaths) = ([1, 2], 4, 5);
    let mut detail = StreamDetail::quiet(StreamId(7), "on_air", &Default::default());
    (detail.on_air, detail.shown) = (Some(Slot::Backup), Some(Slot::Backup));
    detail.slots[1].live = true;
    detail.slots[1].session = Some(session());
    detail.pipeline = Some(pipeline("running"));
    StreamSurvey { active: true, in_use: true, transcoding: true, detail, tally, refusals: [("slot_taken", 6)].into() }
}

fn idle(id: u64) -> StreamSurvey {
    let detail = StreamDetail::quiet(StreamId(id), "idle", &Default::default());
    let tally = Tally::default();
    StreamSurvey { active: false, in_use: false, transcoding: false, detail, tally, refusals: Default::default() }
}

fn tree() -> TreeNode {
    let node = |actor, lag_ms: Option<u64>, state: &str, children| TreeNode {
        actor,
        name: "secret-name".into(),
        state: state.into(),
        generation: 1,
        restarts: 0,
        last_exit: None,
        last_exit_at: None,
        mailbox_lag: lag_ms.map(Duration::from_millis),
        pid: None,
        children,
    };
    let connection = || node("IngestConnection", Some(1), "running", vec![]);
    let slow = node("IngestConnection", Some(250), "running", vec![]);
    let stuck = node("StreamSupervisor", None, "unresponsive", vec![connection(), slow, connection()]);
    node("Root", Some(2), "running", vec![stuck])
}

fn snapshot(streams: Vec<StreamSurvey>) -> Snapshot {
    let survey = Survey { streams, strangers: [("not_authorized", 8)].into(), restarts: [("PipelineActor", 2)].into() };
    let answers = Answers { survey: Ok(survey), tree: Ok(tree()) };
    Snapshot { answers, ready: true, tick_age_s: 0.5, failed_writes: 9 }
}

fn page(snapshot: &Snapshot) -> String {
    Metrics::new(Sources::default()).unwrap().page(snapshot).unwrap()
}

#[track_caller]
fn says(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|told| told == *line), "{line} is not in\n{page}");
    }
}

#[test]
fn a_busy_streams_values_stand_on_the_page() {
    let page = page(&snapshot(vec![busy()]));
    says(
        &page,
        &[
            r#"weir_stream_active{stream="7"} 1"#,
            r#"weir_stream_transcoding{stream="7"} 1"#,
            r#"weir_stream_live{stream="7",slot="primary"} 0"#,
            r#"weir_stream_live{stream="7",slot="backup"} 1"#,
            r#"weir_stream_on_air{stream="7",slot="primary"} 0"#,
            r#"weir_stream_on_air{stream="7",slot="backup"} 1"#,
            r#"weir_stream_switches_total{stream="7",slot="backup",rule="primary_lost"} 3"#,
            r#"weir_stream_gap_seconds_bucket{stream="7",media="video",le="2"} 0"#,
            r#"weir_stream_gap_seconds_bucket{stream="7",media="video",le="4"} 1"#,
            r#"weir_stream_gap_seconds_sum{stream="7",media="video"} 3.04"#,
            r#"weir_stream_gap_seconds_count{stream="7",media="audio"} 0"#,
            r#"weir_stream_startup_seconds_sum{stream="7"} 0.7"#,
            r#"weir_stream_broadcasts_total{stream="7"} 4"#,
            r#"weir_worker_restarts_total{stream="7"} 5"#,
            r#"weir_ingest_sessions_total{stream="7",slot="backup"} 2"#,
            r#"weir_ingest_bytes_total{stream="7",slot="backup",protocol="srt"} 1250000"#,
            r#"weir_ingest_video_frames_total{stream="7",slot="backup",protocol="srt"} 300"#,
            r#"weir_ingest_dropped_frames_total{stream="7",slot="backup",protocol="srt"} 2"#,
            r#"weir_ingest_gop_seconds{stream="7",slot="backup",protocol="srt"} 2"#,
            r#"weir_ingest_buffered_seconds{stream="7",slot="backup",protocol="srt"} 0.15"#,
            r#"weir_ingest_rtt_seconds{stream="7",slot="backup",protocol="srt"} 0.0255"#,
            r#"weir_ingest_packets_lost_total{stream="7",slot="backup",protocol="srt"} 7"#,
            r#"weir_encode_speed_ratio{stream="7"} 1.25"#,
            r#"weir_worker_degraded{stream="7"} 0"#,
            r#"weir_output_frames_total{stream="7"} 300"#,
            r#"weir_publish_refusals_total{stream="7",rule="slot_taken"} 6"#,
        ],
    );
    assert!(!page.contains("slot=\"primary\",protocol"), "nobody publishes there");
    assert!(!page.contains("weir_ingest_latency_seconds"), "the transport does not know it");
    assert!(!page.contains("192.0.2.77") && !page.contains("secret"), "addresses and names are no labels");
}

#[test]
fn a_worker_that_keeps_dying_is_degraded_and_tries_of_a_pulled_stream_are_told() {
    let mut stream = busy();
    stream.detail.pipeline = Some(PipelineDetail { speed: None, ..pipeline("degraded") });
    stream.detail.pull = Some(PullDetail {
        state: "waiting",
        source: 0,
        uri: "rtmp://secret.example/live".into(),
        sources: 2,
        tries: 11,
        last_error: None,
        next_try_s: None,
        gives_up_s: None,
    });
    let page = page(&snapshot(vec![stream]));
    says(&page, &[r#"weir_worker_degraded{stream="7"} 1"#, r#"weir_pull_tries{stream="7"} 11"#]);
    assert!(!page.contains("weir_encode_speed_ratio") && !page.contains("secret"));
}

#[test]
fn of_a_stream_that_nobody_used_only_its_switch_is_told_and_of_a_deleted_one_nothing() {
    let metrics = Metrics::new(Sources::default()).unwrap();
    let both = metrics.page(&snapshot(vec![busy(), idle(8)])).unwrap();
    let lines: Vec<&str> = both.lines().filter(|line| line.contains("stream=\"8\"")).collect();
    assert_eq!(lines, [r#"weir_stream_active{stream="8"} 0"#]);
    let after = metrics.page(&snapshot(vec![idle(8)])).unwrap();
    assert!(!after.contains("stream=\"7\""), "{after}");
}

#[test]
fn the_nodes_values_stand_on_the_page() {
    let dir = crate::store::testing::dir();
    let now = std::time::SystemTime::now();
    let Files { cert, key } = self_signed::write(&dir, &["localhost".to_owned()], now).unwrap();
    let pair = Files { cert, key }.read().unwrap();
    let waiting = Arc::new(AtomicU64::new(3));
    let told = Arc::clone(&waiting);
    let sources = Sources {
        certificates: vec![("rtmps", Arc::new(Certificate::new(pair.certified)))],
        webhooks: Some(Arc::new(move || told.load(Ordering::Relaxed))),
        ..Sources::default()
    };
    let until = pair.not_after.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let page = Metrics::new(sources).unwrap().page(&snapshot(vec![])).unwrap();
    says(
        &page,
        &[
            "weir_ready 1",
            "weir_tree_responding 1",
            "weir_tree_tick_age_seconds 0.5",
            r#"weir_actors{actor="IngestConnection",state="running"} 3"#,
            r#"weir_actors{actor="StreamSupervisor",state="unresponsive"} 1"#,
            r#"weir_actor_mailbox_lag_seconds{actor="IngestConnection"} 0.25"#,
            r#"weir_actor_restarts_total{actor="PipelineActor"} 2"#,
            r#"weir_actor_restarts_total{actor="FailoverActor"} 0"#,
            r#"weir_publish_refusals_total{stream="",rule="not_authorized"} 8"#,
            "weir_store_write_failures_total 9",
            "weir_webhook_backlog 3",
            &format!(r#"weir_certificate_expiry_timestamp_seconds{{door="rtmps"}} {until}"#),
        ],
    );
    assert!(page.contains("\nprocess_resident_memory_bytes ") && page.contains("\nprocess_start_time_seconds "));
    assert!(!page.contains("secret-name") && !page.contains("weir_events_waiting"));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_tree_that_does_not_answer_is_told_and_hides_nothing_else() {
    for answers in [
        Answers { survey: Err(TreeGone), tree: Err(TreeGone) },
        Answers { survey: Err(TreeGone), tree: Ok(TreeNode::silent_root()) },
    ] {
        let page = page(&Snapshot { answers, ready: false, tick_age_s: 40.0, failed_writes: 0 });
        says(&page, &["weir_tree_responding 0", "weir_ready 0", "weir_tree_tick_age_seconds 40"]);
        assert!(!page.contains("weir_stream_") && page.contains("process_open_fds"), "{page}");
    }
}

#[test]
fn names_follow_the_conventions() {
    let metrics = Metrics::new(Sources::default()).unwrap();
    let page = metrics.page(&snapshot(vec![busy()])).unwrap();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in types.filter(|(name, _)| !name.starts_with("process_")) {
        assert!(name.starts_with("weir_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(page.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert!(!["_ms", "_kbps", "_milliseconds", "_bits"].iter().any(|unit| name.contains(unit)), "{name}");
    }
}
