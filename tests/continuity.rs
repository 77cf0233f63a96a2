//! The output goes on whatever dies: worker killed, worker stopped, server killed, encoder gone. With real processes.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support {
    // The other test files need the rest of it.
    #[allow(dead_code)]
    pub mod server;
}

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::server::{Encoder, Server, spawn};

const ONE_RUNG: &str = "360p";
const FPS: u32 = 25;
/// How often the manifests are polled.
const POLL: Duration = Duration::from_millis(250);
/// A worker that ran for so long is replaced at once; the rule's 10 s and what a worker needs to its first part.
const STEADY: Duration = Duration::from_millis(11_300);
/// What a killed worker has sent is on the shelf after this, and a new worker has made nothing yet.
const DRAINED: Duration = Duration::from_millis(150);

/// What a media playlist says.
#[derive(Debug)]
struct Playlist {
    sequence: u64,
    discontinuity_sequence: u64,
    /// Sequence numbers of the segments that begin with a discontinuity.
    discontinuities: Vec<u64>,
    /// Initialization segment of the newest segments.
    init: String,
    segments: Vec<String>,
    parts: Vec<String>,
    open_parts: u64,
    ended: bool,
}

impl Playlist {
    fn parse(text: &str) -> Self {
        let mut list = Self {
            sequence: 0,
            discontinuity_sequence: 0,
            discontinuities: vec![],
            init: String::new(),
            segments: vec![],
            parts: vec![],
            open_parts: 0,
            ended: false,
        };
        let uri = |line: &str| line.split("URI=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                list.sequence = number.parse().unwrap();
            } else if let Some(number) = line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:") {
                list.discontinuity_sequence = number.parse().unwrap();
            } else if line == "#EXT-X-DISCONTINUITY" {
                list.discontinuities.push(list.sequence + list.segments.len() as u64);
            } else if line.starts_with("#EXT-X-MAP:") {
                list.init = uri(line);
            } else if line.starts_with("#EXT-X-PART:") {
                list.parts.push(uri(line));
                list.open_parts += 1;
            } else if line == "#EXT-X-ENDLIST" {
                list.ended = true;
            } else if !line.starts_with('#') {
                list.segments.push(line.to_owned());
                list.open_parts = 0;
            }
        }
        list
    }

    /// Place behind the newest part: segment and parts of it.
    fn newest(&self) -> (u64, u64) {
        (self.sequence + self.segments.len() as u64, self.open_parts)
    }
}

/// A viewer's side of one stream.
#[derive(Clone)]
struct Viewer {
    agent: ureq::Agent,
    base: String,
}

impl Viewer {
    fn new(server: &Server, id: &Value) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10)));
        Self { agent: config.build().into(), base: server.url(&format!("/cmaf/1_{id}/")) }
    }

    /// Status (0 without an answer), Cache-Control, body.
    fn get(&self, name: &str) -> (u16, String, Vec<u8>) {
        let Ok(mut answer) = self.agent.get(format!("{}{name}", self.base)).call() else {
            return (0, String::new(), vec![]);
        };
        let cache =
            answer.headers().get("cache-control").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        match answer.body_mut().with_config().limit(64 << 20).read_to_vec() {
            Ok(body) => (answer.status().as_u16(), cache, body),
            Err(_) => (0, cache, vec![]),
        }
    }

    fn playlist(&self, track: u8) -> Option<Playlist> {
        let (status, _, body) = self.get(&format!("media_{track}.m3u8"));
        (status == 200).then(|| Playlist::parse(&String::from_utf8(body).unwrap()))
    }

    /// Newest places of both tracks.
    fn newest(&self) -> [(u64, u64); 2] {
        [0, 1].map(|track| self.playlist(track).map_or((0, 0), |list| list.newest()))
    }
}

/// Polls all manifests as the acceptance does, and keeps everything that they name.
struct Watch {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a [`Watch`] saw.
#[derive(Default)]
struct Seen {
    polls: u32,
    faults: Vec<String>,
    /// Per track: initialization segments, segments, parts; by name.
    media: [BTreeMap<String, Vec<u8>>; 2],
    newest: [(u64, u64); 2],
    sequence: [u64; 2],
}

impl Watch {
    fn start(viewer: Viewer) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ending);
        let thread = std::thread::spawn(move || {
            let (mut seen, began) = (Seen::default(), Instant::now());
            while !stop.load(Ordering::Relaxed) {
                seen.poll(&viewer);
                std::thread::park_timeout((POLL * seen.polls).saturating_sub(began.elapsed()));
            }
            seen.compare(&viewer);
            seen
        });
        Self { ending, thread }
    }

    fn finish(self) -> Seen {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap()
    }
}

impl Seen {
    fn poll(&mut self, viewer: &Viewer) {
        self.polls += 1;
        for name in ["master.m3u8", "index.mpd"] {
            let (status, ..) = viewer.get(name);
            if status != 200 {
                self.faults.push(format!("{name} answered {status}"));
            }
        }
        for track in [0, 1] {
            match viewer.playlist(track) {
                Some(list) => self.take(viewer, usize::from(track), &list),
                None => self.faults.push(format!("media_{track}.m3u8 did not answer 200")),
            }
        }
    }

    fn take(&mut self, viewer: &Viewer, track: usize, list: &Playlist) {
        if list.sequence < self.sequence[track] || list.newest() < self.newest[track] {
            self.faults.push(format!("track {track} went back from {:?} to {:?}", self.newest[track], list.newest()));
        }
        (self.sequence[track], self.newest[track]) = (list.sequence, list.newest());
        for (number, name) in (list.sequence..).zip(&list.segments) {
            if *name != format!("seg-{track}-{number}.m4s") {
                self.faults.push(format!("{name} stands where number {number} is due"));
            }
        }
        for name in list.parts.iter().chain(&list.segments).chain([&list.init]) {
            if !self.media[track].contains_key(name) {
                let (status, _, body) = viewer.get(name);
                if status != 200 {
                    self.faults.push(format!("{name} answered {status}"));
                }
                self.media[track].insert(name.clone(), body);
            }
        }
    }

    /// Everything that can still be had has the bytes that it had before.
    fn compare(&mut self, viewer: &Viewer) {
        for (name, body) in self.media.iter().flatten() {
            let (status, _, again) = viewer.get(name);
            if status == 200 && again != *body {
                self.faults.push(format!("{name} has changed"));
            }
        }
    }

    /// All segments of a track behind their initialization, in order, as one file.
    fn joined(&self, track: usize) -> Vec<u8> {
        let of_kind = |kind: &'static str| self.media[track].iter().filter(move |(name, _)| name.starts_with(kind));
        assert_eq!(of_kind("init-").count(), 1, "one initialization in one broadcast");
        of_kind("init-").chain(of_kind("seg-")).flat_map(|(_, body)| body.clone()).collect()
    }

    /// Segments of a track are made of the parts that were seen before them.
    fn assert_parts_make_segments(&self) {
        for (track, media) in self.media.iter().enumerate() {
            let mut compared = 0;
            for (name, segment) in media.iter().filter(|(name, _)| name.starts_with("seg-")) {
                let stem = name.replace("seg-", "part-").replace("m4s", "");
                let parts: Vec<_> =
                    media.iter().filter(|(part, _)| part.starts_with(&stem)).map(|(_, body)| body).collect();
                if parts.len() == 4 {
                    assert!(parts.into_iter().flatten().eq(segment), "{name} is not its parts");
                    compared += 1;
                }
            }
            assert!(compared > 2, "track {track}: only {compared} segments whose parts were seen");
        }
    }
}

fn run(program: &str, args: &[&str]) -> (String, String) {
    let output = Command::new(program).args(args).output().expect(program);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Joins what was seen of both tracks; ffmpeg decodes it without a word, and no frame is missing or double.
fn assert_decodes(server: &Server, seen: &Seen) {
    for track in [0, 1] {
        let path = server.data.join(format!("{track}.mp4"));
        std::fs::write(&path, seen.joined(track)).unwrap();
        let path = path.to_str().unwrap();
        let (_, complaints) = run("ffmpeg", &["-nostdin", "-v", "error", "-i", path, "-f", "null", "-"]);
        assert_eq!(complaints, "", "track {track}");
        let (times, _) = run("ffprobe", &["-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", path]);
        let times: Vec<i64> = times.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
        let step = times[1] - times[0];
        let uneven: Vec<_> = times.windows(2).filter(|pair| pair[1] - pair[0] != step).collect();
        assert!(uneven.is_empty(), "track {track}, step {step}: {uneven:?}");
    }
}

fn worker(server: &Server, id: &Value) -> u64 {
    let detail = server.get_json(&format!("/ops/streams/{id}"));
    detail["pipeline"]["pid"].as_u64().unwrap_or_else(|| panic!("no worker: {detail}"))
}

fn signal(name: &str, pid: u64) -> Instant {
    run("kill", &[name, &pid.to_string()]);
    Instant::now()
}

/// Waits for the first part of each track that another worker than the one stopped at `stopped` has made.
fn next_part(server: &Server, viewer: &Viewer, stopped: Instant) -> Duration {
    std::thread::park_timeout(DRAINED.saturating_sub(stopped.elapsed()));
    let before = viewer.newest();
    server.wait("next part", Duration::from_secs(15), || {
        let now = viewer.newest();
        now[0] > before[0] && now[1] > before[1]
    });
    stopped.elapsed()
}

fn wait_until(server: &Server, at: Instant) {
    server.wait("steady run", Duration::from_secs(20), || Instant::now() >= at);
}

/// Waits until both tracks have `more` further whole segments.
fn wait_segments(server: &Server, viewer: &Viewer, more: u64) {
    let from = viewer.newest();
    server.wait("further segments", Duration::from_secs(15), || {
        viewer.newest().iter().zip(&from).all(|(now, from)| now.0 >= from.0 + more)
    });
}

/// Runs a stream whose worker gets `signals` one after the other, each after a steady run; asserts that each costs at most `limit`.
fn disturb_worker(gop: u32, signals: &[&str], limit: Duration) {
    let server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let (id, viewer) = (&stream["id"], Viewer::new(&server, &stream["id"]));
    let _encoder = Encoder::with_gop(stream["push_url"].as_str().unwrap(), "640x360", FPS, gop);
    server.wait_playable(id);
    let watch = Watch::start(viewer.clone());
    let mut steady_from = Instant::now();
    for name in signals {
        wait_until(&server, steady_from + STEADY);
        let pid = worker(&server, id);
        let stopped = signal(name, pid);
        let took = next_part(&server, &viewer, stopped);
        steady_from = Instant::now();
        println!("GOP {gop} s, {name}: next part after {took:?}");
        assert!(took <= limit, "next part {took:?} after {name}");
        assert_ne!(worker(&server, id), pid);
    }
    wait_segments(&server, &viewer, 2);
    let seen = watch.finish();
    assert_eq!(seen.faults, Vec::<String>::new(), "in {} polls", seen.polls);
    seen.assert_parts_make_segments();
    assert_decodes(&server, &seen);
    let detail = server.get_json(&format!("/ops/streams/{id}"));
    assert_eq!(detail["pipeline"]["restarts"], signals.len(), "{detail}");
}

#[test]
fn a_killed_worker_is_replaced_without_a_hole_at_gop_1_s() {
    disturb_worker(1, &["-KILL", "-KILL"], Duration::from_secs(2));
}

#[test]
fn a_killed_worker_is_replaced_without_a_hole_at_gop_4_s() {
    disturb_worker(4, &["-KILL", "-KILL"], Duration::from_secs(2));
}

#[test]
fn a_stopped_worker_is_replaced_without_a_hole() {
    disturb_worker(1, &["-STOP"], Duration::from_secs(4));
}

/// An encoder that starts again whenever it ends, as encoders do.
struct Reconnecting {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reconnecting {
    fn start(url: &str) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (stop, url) = (Arc::clone(&ending), url.to_owned());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let mut encoder = Encoder::ffmpeg(&url, "640x360", FPS);
                while !stop.load(Ordering::Relaxed) && matches!(encoder.0.try_wait(), Ok(None)) {
                    std::thread::park_timeout(Duration::from_millis(100));
                }
            }
        });
        Self { ending, thread: Some(thread) }
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[test]
fn numbers_survive_a_restarted_server_and_a_discontinuity_marks_the_place() {
    let mut server = Server::start("");
    let stream = server.create_stream(ONE_RUNG);
    let (id, viewer) = (&stream["id"], Viewer::new(&server, &stream["id"]));
    let _encoder = Reconnecting::start(stream["push_url"].as_str().unwrap());
    server.wait_playable(id);
    for (discontinuity_sequence, signal) in (0..).zip(["-KILL", "-TERM"]) {
        wait_segments(&server, &viewer, 1);
        let before = viewer.playlist(0).unwrap();
        let highest = viewer.newest().iter().map(|place| place.0).max().unwrap();
        server.signal(signal);
        while matches!(server.child.try_wait(), Ok(None)) {
            // Players that see the end of a list stop, and the broadcast goes on with the next server.
            let ended = viewer.playlist(0).filter(|list| list.ended);
            assert!(ended.is_none(), "after {signal}: {ended:?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        server.child = spawn(&server.data);
        server.wait("new media", Duration::from_secs(20), || match viewer.get("media_0.m3u8") {
            (0 | 200, ..) => viewer.playlist(0).is_some(),
            (status, cache, _) => {
                assert_eq!((status, cache.as_str()), (404, "public, max-age=1"));
                false
            }
        });
        let after = viewer.playlist(0).unwrap();
        assert!(after.sequence > highest, "{highest} was seen, then {after:?}");
        assert_eq!(after.discontinuities, [after.sequence], "{after:?}");
        assert_eq!(after.discontinuity_sequence, discontinuity_sequence, "{before:?} {after:?}");
        for name in ["master.m3u8", "index.mpd", "media_1.m3u8"] {
            assert_eq!(viewer.get(name).0, 200, "{name}");
        }
    }
}

#[test]
fn an_encoder_that_stays_away_ends_the_broadcast_and_the_next_one_follows_on_it() {
    let server = Server::start("[failover]\nstall = \"1s\"\nlinger = \"2s\"\n");
    let stream = server.create_stream(ONE_RUNG);
    let (id, viewer) = (&stream["id"], Viewer::new(&server, &stream["id"]));
    let push = || Encoder::ffmpeg(stream["push_url"].as_str().unwrap(), "640x360", FPS);
    let encoder = push();
    server.wait_playable(id);
    wait_segments(&server, &viewer, 2);
    let watch = Watch::start(viewer.clone());
    drop(encoder);
    let ended = || [0, 1].iter().all(|track| viewer.playlist(*track).is_some_and(|list| list.ended));
    server.wait("end of the playlists", Duration::from_secs(6), ended);
    let mpd = String::from_utf8(viewer.get("index.mpd").2).unwrap();
    assert!(mpd.contains("type=\"static\""), "{mpd}");
    let last = [0, 1].map(|track| viewer.playlist(track).unwrap());
    assert!(last.iter().all(|list| list.open_parts == 0), "{last:?}");

    let _again = push();
    server.wait("the next broadcast", Duration::from_secs(10), || viewer.playlist(0).is_some_and(|list| !list.ended));
    let next = [0, 1].map(|track| viewer.playlist(track).unwrap());
    for (last, next) in last.iter().zip(&next) {
        assert_eq!(next.discontinuities, [last.newest().0], "{last:?} {next:?}");
        assert_eq!(next.discontinuity_sequence, last.discontinuity_sequence);
        assert_ne!(next.init, last.init);
    }
    let mpd = String::from_utf8(viewer.get("index.mpd").2).unwrap();
    assert!(mpd.contains("type=\"dynamic\""), "{mpd}");
    wait_segments(&server, &viewer, 2);
    let seen = watch.finish();
    assert_eq!(seen.faults, Vec::<String>::new(), "in {} polls", seen.polls);
}
