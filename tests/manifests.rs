//! Manifests of a running server, read by parsers that others wrote (`tests/parsers`): young, live, as delta updates, after a worker's
//! death, ended, and behind a discontinuity. Broken copies of the same manifests prove that the parsers would object.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // The other test files need the rest of it.
    #[allow(dead_code)]
    pub mod server;
}

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::server::{Encoder, Server};

/// Files of a stream that are kept at each stage. The last two are the video's and the audio's playlist as a delta update.
const FILES: [(&str, &str); 6] = [
    ("master.m3u8", "master.m3u8"),
    ("media_0.m3u8", "media_0.m3u8"),
    ("media_1.m3u8", "media_1.m3u8"),
    ("index.mpd", "index.mpd"),
    ("media_0.m3u8?_HLS_skip=YES", "delta_0.m3u8"),
    ("media_1.m3u8?_HLS_skip=YES", "delta_1.m3u8"),
];

/// Manifests of one stream, kept as files.
struct Keeper<'a> {
    server: &'a Server,
    id: &'a Value,
    dir: PathBuf,
    kept: Vec<PathBuf>,
}

impl Keeper<'_> {
    fn text(&self, name: &str) -> String {
        self.server.get_text(&format!("/cmaf/1_{}/{name}", self.id))
    }

    fn wait_for(&self, what: &str, name: &str, condition: impl Fn(&str) -> bool) {
        self.server.wait(what, Duration::from_secs(40), || condition(&self.text(name)));
    }

    /// Keeps every manifest as it is now.
    fn keep(&mut self, stage: &str) {
        for (name, file) in FILES {
            let path = self.dir.join(format!("{stage}-{file}"));
            std::fs::write(&path, self.text(name)).unwrap();
            self.kept.push(path);
        }
    }

    fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }
}

/// Exit code and output of the parsers.
fn parsed(files: &[PathBuf]) -> (Option<i32>, String) {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parsers/check.mjs");
    let output = Command::new("node").arg(check).args(files).output().expect("node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

fn segments(list: &str) -> usize {
    list.lines().filter(|line| line.starts_with("seg-")).count()
}

#[test]
fn parsers_of_others_read_what_a_running_server_says() {
    let server = Server::start("[failover]\nlinger = \"4s\"\n");
    let stream = server.create_stream("360p");
    let id = &stream["id"];
    let dir = server.data.join("manifests");
    std::fs::create_dir_all(&dir).unwrap();
    let mut keeper = Keeper { server: &server, id, dir, kept: vec![] };
    let push = stream["push_url"].as_str().unwrap();
    let encoder = Encoder::ffmpeg(push, "640x360", 25);
    server.wait_playable(id);
    keeper.wait_for("segments", "media_0.m3u8", |list| segments(list) > 2);
    keeper.keep("young");

    for delta in ["media_0.m3u8?_HLS_skip=YES", "media_1.m3u8?_HLS_skip=YES"] {
        keeper.wait_for("delta update", delta, |list| list.contains("#EXT-X-SKIP:"));
    }
    keeper.keep("live");
    assert!(segments(&keeper.kept("live-delta_0.m3u8")) < segments(&keeper.kept("live-media_0.m3u8")));

    let worker = server.get_json(&format!("/ops/streams/{id}"))["pipeline"]["pid"].as_u64().expect("a worker");
    assert!(Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
    let count = segments(&keeper.kept("live-media_0.m3u8"));
    keeper.wait_for("segments of another worker", "media_0.m3u8", |list| segments(list) >= count + 3);
    keeper.keep("resumed");

    drop(encoder);
    keeper.wait_for("end", "media_0.m3u8", |list| list.ends_with("#EXT-X-ENDLIST\n"));
    keeper.keep("ended");
    assert!(keeper.kept("ended-index.mpd").contains("type=\"static\""));

    let _again = Encoder::ffmpeg(push, "640x360", 25);
    let seam = |list: &str| list.split_once("#EXT-X-DISCONTINUITY\n").is_some_and(|(_, behind)| segments(behind) > 1);
    keeper.wait_for("next broadcast", "media_0.m3u8", seam);
    keeper.keep("next");
    assert!(
        segments(keeper.kept("next-media_0.m3u8").split_once("#EXT-X-DISCONTINUITY\n").unwrap().0) > 0,
        "the last one is still listed"
    );

    assert_eq!(parsed(&keeper.kept), (Some(0), String::new()));
    for (file, fault, from, to) in [
        ("live-master.m3u8", "hls-parser", "BANDWIDTH=", "WIDTH="),
        ("live-media_0.m3u8", "target", "#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:1"),
        ("live-media_0.m3u8", "HOLD-BACK", ",HOLD-BACK=6.0", ",HOLD-BACK=5.0"),
        ("live-media_0.m3u8", "Skip Boundary", "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.0"),
        ("live-media_1.m3u8", "PRELOAD-HINT", "#EXT-X-PRELOAD-HINT", "#EXT-X-HINT"),
        ("live-media_1.m3u8", "part target", "PART-TARGET=0.4", "PART-TARGET=0.2"),
        ("live-delta_0.m3u8", "is number", "#EXT-X-SKIP:SKIPPED-SEGMENTS=", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1"),
        ("live-delta_0.m3u8", "is number", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-MEDIA-SEQUENCE:1"),
        ("live-index.mpd", "wrong place", "<SegmentTemplate", "<Representation/><SegmentTemplate"),
        ("live-index.mpd", "availabilityTimeOffset is missing", "availabilityTimeOffset=", "offset="),
        ("live-index.mpd", "is no date", "wallClockTime=\"2", "wallClockTime=\"x2"),
        (
            "live-index.mpd",
            "no place here",
            "type=\"dynamic\"",
            "type=\"static\" mediaPresentationDuration=\"PT9.000S\"",
        ),
        ("ended-index.mpd", "no place here", "type=\"static\"", "type=\"static\" minimumUpdatePeriod=\"PT2.000S\""),
        ("ended-index.mpd", "xml", "</Period>", ""),
    ] {
        let whole = keeper.kept(file);
        let broken = whole.replacen(from, to, 1);
        assert_ne!(whole, broken, "{file} has {from}");
        let path = keeper.dir.join(format!("broken-{file}"));
        std::fs::write(&path, broken).unwrap();
        let (code, said) = parsed(&[path]);
        assert!(code == Some(1) && said.contains(fault), "{file} with {to}: {code:?} {said}");
    }
}
