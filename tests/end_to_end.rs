//! The main job with real processes: ffmpeg pushes, `weir serve` and its worker transcode, ffmpeg decodes what players get.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    #[allow(dead_code)]
    pub mod server;
}

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::server::{Encoder, Server};

const ONE_RUNG: &str = "360p";

/// Decodes `seconds` of a manifest and returns what ffmpeg complained about.
fn decode(url: &str, map: &str, seconds: u32) -> String {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i", url, "-map", map, "-t", &seconds.to_string()])
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { text } else { format!("{} {text}", output.status) }
}

fn find<'a>(node: &'a Value, actor: &str) -> Vec<&'a Value> {
    let own = (node["actor"] == actor).then_some(node);
    let below = node["children"].as_array().into_iter().flatten().flat_map(|child| find(child, actor));
    own.into_iter().chain(below).collect()
}

#[test]
fn a_pushed_stream_plays_and_the_api_tells_the_truth_about_it() {
    let mut server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let master = format!("/cmaf/1_{id}/master.m3u8");
    let (status, _) = server.get(&master).unwrap();
    assert_eq!(status, 404, "nothing is pushed yet");
    assert_eq!((&stream["live"], &stream["stream_source_type"]), (&json!(false), &Value::Null));

    let encoder = Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "640x360", 30);
    server.wait_playable(id);
    // At once: a player that ignores parts is held until there is a segment, instead of giving up.
    assert_eq!(decode(&server.url(&master), "0", 4), "", "HLS");
    assert_eq!(decode(&server.url(&format!("/cmaf/1_{id}/index.mpd")), "0", 4), "", "DASH");

    let now = server.stream(id);
    assert_eq!(now["live"], true);
    assert_eq!(now["stream_source_type"], "rtmp");
    assert_eq!((&now["video_width"], &now["video_height"]), (&json!(640), &json!(360)));
    assert_eq!(now["frame_rate"].as_f64(), Some(30.0));
    assert_eq!(now["transcoded_qualities"], json!(["360p"]));
    assert!(now["started_at_primary"].is_string(), "{now}");

    let tree = server.get_json("/ops/tree");
    assert_eq!(tree["actor"], "Root");
    let pipeline = find(&tree, "PipelineActor");
    assert_eq!(pipeline.len(), 1, "{tree}");
    let pid = pipeline[0]["pid"].as_u64().expect("worker pid");
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("worker runs");
    assert!(command.contains("weir\0worker\0"), "{command:?}");
    assert_eq!(find(&tree, "IngestConnection").len(), 1);
    assert_eq!(server.get_json(&format!("/ops/streams/{id}"))["on_air"], "primary");

    drop(encoder);
    server.wait("end of live", Duration::from_secs(6), || server.stream(id)["live"] == false);
    assert_eq!(server.get(&master).unwrap().0, 200, "the manifest stands while the broadcast lingers");
    assert!(server.stream(id)["finished_at_primary"].is_string());

    server.signal("-TERM");
    assert_eq!(server.exit_code(Duration::from_secs(15)), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the worker went with the server");
}

#[test]
fn playlists_are_contiguous_and_players_without_low_latency_find_whole_segments() {
    let server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let _encoder = Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "640x360", 25);
    server.wait_playable(id);
    let media = format!("/cmaf/1_{id}/media_0.m3u8");
    let segments =
        |text: &str| text.lines().filter(|line| line.starts_with("seg-")).map(String::from).collect::<Vec<_>>();
    server.wait("four whole segments", Duration::from_secs(12), || {
        server.get(&media).is_ok_and(|(_, body)| segments(&String::from_utf8_lossy(&body)).len() >= 4)
    });
    let text = server.get_text(&media);
    let numbers: Vec<u64> = segments(&text)
        .iter()
        .map(|name| name.trim_end_matches(".m4s").rsplit('-').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert!(text.contains("#EXTINF:1.60000"), "{text}");
    for name in segments(&text) {
        assert_eq!(server.get(&format!("/cmaf/1_{id}/{name}")).unwrap().0, 200, "{name}");
    }
}

#[test]
fn refusals_are_loud_and_disturb_nobody() {
    let server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let push = stream["push_url"].as_str().unwrap();
    let (base, _) = push.split_once('?').unwrap();
    let refused = |url: &str| {
        let (code, text) = Encoder::ffmpeg(url, "320x180", 25).output(Duration::from_secs(5));
        assert_ne!(code, Some(0), "{url}: {text}");
        text
    };
    let wrong = refused(&format!("{base}?wrong"));
    let unknown = refused(&format!("rtmp://{}/in/999999?wrong", server.rtmp));
    assert!(wrong.contains("unknown stream or wrong token"), "{wrong}");
    assert!(unknown.contains("unknown stream or wrong token"), "{unknown}");

    let mut encoder = Encoder::ffmpeg(push, "320x180", 25);
    server.wait_playable(id);
    let taken = refused(push);
    assert!(taken.contains("already publishing"), "{taken}");
    assert!(encoder.0.try_wait().unwrap().is_none(), "the running encoder goes on");

    server.patch(&format!("/streaming/streams/{id}"), &json!({"stream": {"active": false}}));
    let (_, text) = encoder.output(Duration::from_secs(5));
    assert!(!text.is_empty(), "the encoder sees the end");
    let off = refused(push);
    assert!(off.contains("switched off"), "{off}");
}

#[test]
fn a_token_reset_closes_the_session_and_kills_the_old_url() {
    let server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let id = &stream["id"];
    let old = stream["push_url"].as_str().unwrap();
    let encoder = Encoder::ffmpeg(old, "320x180", 25);
    server.wait_playable(id);
    let reset = server.post(&format!("/streaming/streams/{id}/reset_push_token"), &json!({}));
    let new = reset["push_url"].as_str().expect("the stream with its new URL");
    assert_ne!(new, old);
    encoder.output(Duration::from_secs(2));
    let (code, _) = Encoder::ffmpeg(old, "320x180", 25).output(Duration::from_secs(5));
    assert_ne!(code, Some(0));
    let _again = Encoder::ffmpeg(new, "320x180", 25);
    server.wait("the new URL live", Duration::from_secs(8), || server.stream(id)["live"] == true);
}

#[test]
fn codecs_other_than_h264_and_aac_are_refused_by_name() {
    let server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let push = stream["push_url"].as_str().unwrap();
    let encode = |video: &str, audio: &str| {
        let child = Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-loglevel",
                "error",
                "-nostdin",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=25",
            ])
            .args(["-f", "lavfi", "-i", "sine=sample_rate=44100", "-c:v", video, "-c:a", audio, "-f", "flv", push])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("ffmpeg");
        Encoder(child).output(Duration::from_secs(8))
    };
    for (video, audio, name) in [("flv1", "aac", "Sorenson H.263"), ("libx264", "libmp3lame", "MP3")] {
        let (code, text) = encode(video, audio);
        assert_ne!(code, Some(0), "{name}: {text}");
        let journal = server.get_json(&format!("/ops/streams/{}", stream["id"]))["journal"].to_string();
        assert!(journal.contains(name), "{name} in {journal}");
    }
}

#[test]
fn an_idle_server_goes_down_at_once() {
    let mut server = Server::start("");
    server.signal("-TERM");
    // Below the time that it waits for writers who do not end.
    assert_eq!(server.exit_code(Duration::from_secs(3)), Some(0));
}
