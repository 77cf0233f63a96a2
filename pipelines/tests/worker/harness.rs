//! A worker on one end of a socket pair, sources made by ffmpeg on the other, and what ffprobe says of the result.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{TrackConfig, VideoConfig};
use weir_media::failover::{FailoverSpec, Gap, HandOver, InputEdge, Shown};
use weir_media::feed::FeedItem;
use weir_media::flv::Demuxer;
use weir_media::id::{SessionId, Slot};
use weir_media::ladder::{Ladder, Rung};
use weir_media::protocol::{Chunk, FromWorker, H264Encoder, Output, Report, ToWorker, WorkerSpec, decode, encode};
use weir_media::time::Timestamp;
use weir_pipelines::worker::{self, WorkerError};

/// A directory that goes with its test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-worker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program and returns what it prints; its failure is the test's.
pub fn output_of(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A frame or configuration and when it leaves the encoder, milliseconds.
pub type Timed = (u32, FeedItem);

/// Makes a file as an encoder that is given `args` (inputs and codecs) sends it for `seconds`.
pub fn source_file(scratch: &Scratch, args: &str, seconds: f64) -> PathBuf {
    let path = scratch.path("source.flv");
    let seconds = seconds.to_string();
    let mut all = vec!["-v", "error", "-y"];
    all.extend(args.split_whitespace());
    all.extend(["-t", &seconds, "-f", "flv", path.to_str().unwrap()]);
    output_of("ffmpeg", &all);
    path
}

/// Test card and tone: `size`, `rate`, audio arguments.
pub fn test_card(size: &str, rate: &str, audio: &str, seconds: f64) -> Vec<Timed> {
    let tone = if audio == "-an" { "" } else { "-f lavfi -i sine=f=440:r=48000" };
    let video = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -b:v 800k -g 50";
    let scratch = Scratch::new();
    let args = format!("-f lavfi -i testsrc2=s={size}:r={rate} {tone} {video} {audio}");
    read_flv(&source_file(&scratch, &args, seconds))
}

/// The items of an FLV file.
pub fn read_flv(path: &Path) -> Vec<Timed> {
    let file = std::fs::read(path).unwrap();
    let (mut demuxer, mut items, mut rest) = (Demuxer::default(), vec![], &file[13..]);
    while rest.len() >= 15 {
        let length = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let timestamp = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let body = Bytes::copy_from_slice(&rest[11..11 + length]);
        let item = match rest[0] {
            8 => demuxer.audio(timestamp, body).unwrap(),
            9 => demuxer.video(timestamp, body).unwrap(),
            _ => None,
        };
        items.extend(item.map(|item| (timestamp, item)));
        rest = &rest[15 + length..];
    }
    items
}

/// PTS of a source's first unit of a track, seconds.
pub fn first_pts(items: &[Timed], track: Track) -> f64 {
    let pts = items.iter().find_map(|(_, item)| match item {
        FeedItem::Unit(unit) if unit.track == track => Some(unit.pts.as_nanos()),
        _ => None,
    });
    pts.unwrap() as f64 / 1e9
}

/// A small, quick ladder.
pub fn spec() -> WorkerSpec {
    let rung = |name: &str, width, height, bitrate_kbps| Rung { name: name.into(), width, height, bitrate_kbps };
    WorkerSpec {
        ladder: Ladder(vec![rung("180p", 320, 180, 400), rung("90p", 160, 90, 150)]),
        encoder: H264Encoder::X264enc,
        preset: "ultrafast".into(),
        threads: 1,
        audio_bitrate_kbps: 128,
        delay_ms: 150,
        failover: FailoverSpec::default(),
        resume: None,
    }
}

/// A running worker.
pub struct Worker {
    socket: UnixStream,
    thread: JoinHandle<Result<(), WorkerError>>,
    received: Receiver<(Instant, FromWorker)>,
    pub log: Vec<(Instant, FromWorker)>,
}

impl Worker {
    pub fn start(spec: WorkerSpec) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || worker::run_behind(theirs, || Ok(())));
        let (sender, received) = channel();
        let mut incoming = socket.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut buffer, mut chunk) = (BytesMut::new(), vec![0; 64 << 10]);
            while let Ok(length @ 1..) = incoming.read(&mut chunk) {
                buffer.extend_from_slice(&chunk[..length]);
                while let Some(message) = decode(&mut buffer).unwrap() {
                    if sender.send((Instant::now(), message)).is_err() {
                        return;
                    }
                }
            }
        });
        let mut worker = Self { socket, thread, received, log: vec![] };
        worker.send(&ToWorker::Start(spec));
        worker.wait(|message| matches!(message, FromWorker::Ready));
        worker
    }

    pub fn send(&mut self, message: &ToWorker) {
        let mut wire = vec![];
        encode(message, &mut wire).unwrap();
        self.socket.write_all(&wire).unwrap();
    }

    pub fn open(&mut self, id: u64) {
        self.open_slot(id, Slot::Primary);
    }

    pub fn open_slot(&mut self, id: u64, slot: Slot) {
        self.send(&ToWorker::Open { session: SessionId(id), slot });
    }

    pub fn close(&mut self, id: u64) {
        self.send(&ToWorker::Close { session: SessionId(id) });
    }

    pub fn on_air(&mut self, id: u64) {
        self.hand_over(id, HandOver::AtOnce);
    }

    pub fn hand_over(&mut self, id: u64, hand_over: HandOver) {
        self.send(&ToWorker::OnAir { session: Some(SessionId(id)), hand_over });
    }

    pub fn item(&mut self, id: u64, item: &FeedItem) {
        let session = SessionId(id);
        match item.clone() {
            FeedItem::Config(config) => self.send(&ToWorker::Config { session, config }),
            FeedItem::Unit(unit) => self.send(&ToWorker::Unit { session, unit }),
        }
    }

    /// Sends `items` in real time as session `id`; returns when the first frame was sent.
    pub fn play(&mut self, id: u64, items: &[Timed]) -> Instant {
        let start = Instant::now();
        for (ms, item) in items {
            self.collect_until(start + Duration::from_millis(u64::from(*ms)));
            self.item(id, item);
        }
        start
    }

    /// Collects messages until `deadline`.
    pub fn collect_until(&mut self, deadline: Instant) {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.received.recv_timeout(left) {
                Ok(message) => self.log.push(message),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the worker is gone: {:?}", self.log.last()),
            }
        }
    }

    /// Collects messages until one fits.
    pub fn wait(&mut self, fits: impl Fn(&FromWorker) -> bool) -> Instant {
        loop {
            let message = self.received.recv_timeout(Duration::from_secs(10)).expect("a message in time");
            self.log.push(message);
            let (at, message) = self.log.last().unwrap();
            if fits(message) {
                return *at;
            }
        }
    }

    /// Stops the worker and returns everything it has said, and how long the stop took.
    pub fn stop(mut self) -> (Made, Duration) {
        self.send(&ToWorker::Stop);
        let asked = Instant::now();
        self.thread.join().unwrap().unwrap();
        let took = asked.elapsed();
        drop(self.socket);
        self.log.extend(self.received.iter());
        (Made::new(self.log), took)
    }

    /// Ends the worker as if it had crashed: what it says last is not read. Returns what it had published until then.
    pub fn crash(self) -> (Output, BTreeMap<u8, Bytes>, Vec<Chunk>) {
        let made = Made::new(self.log);
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(self.thread.join().unwrap().is_err());
        (made.output, made.inits, made.chunks.into_iter().map(|(_, chunk)| chunk).collect())
    }

    /// Closes the socket under the worker; returns how it ended.
    pub fn abandon(self) -> (Result<(), WorkerError>, Duration) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let asked = Instant::now();
        (self.thread.join().unwrap(), asked.elapsed())
    }
}

/// What a worker made.
pub struct Made {
    pub output: Output,
    pub inits: BTreeMap<u8, Bytes>,
    pub chunks: Vec<(Instant, Chunk)>,
    pub reports: Vec<Report>,
    pub rejected: Vec<SessionId>,
    pub shown: Vec<Shown>,
    pub gaps: Vec<Gap>,
    pub edges: Vec<(SessionId, InputEdge)>,
    pub screenshots: Vec<Bytes>,
}

impl Made {
    fn new(log: Vec<(Instant, FromWorker)>) -> Self {
        let (mut output, mut inits, mut chunks, mut reports, mut rejected) =
            (None, BTreeMap::new(), vec![], vec![], vec![]);
        let (mut shown, mut gaps, mut edges, mut screenshots) = (vec![], vec![], vec![], vec![]);
        for (at, message) in log {
            match message {
                FromWorker::Ready => {}
                FromWorker::Output(fixed) => assert!(output.replace(fixed).is_none(), "a second Output"),
                FromWorker::Init { track, data } => {
                    assert!(output.is_some(), "Init before Output");
                    assert!(inits.insert(track, data).is_none(), "a second Init of track {track}");
                }
                FromWorker::Chunk(chunk) => chunks.push((at, chunk)),
                FromWorker::Report(report) => reports.push(report),
                FromWorker::Rejected { session, .. } => rejected.push(session),
                FromWorker::Input { session, edge } => edges.push((session, edge)),
                FromWorker::Shown(what) => shown.push(what),
                FromWorker::Gap(gap) => gaps.push(gap),
                FromWorker::Screenshot { data } => screenshots.push(data),
                FromWorker::Alignment(_) => {}
                FromWorker::Fault { reason } => panic!("fault: {reason}"),
            }
        }
        Self { output: output.expect("an Output"), inits, chunks, reports, rejected, shown, gaps, edges, screenshots }
    }

    pub fn audio_track(&self) -> u8 {
        self.output.renditions.len() as u8
    }

    pub fn track(&self, track: u8) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().map(|(_, chunk)| chunk).filter(move |chunk| chunk.track == track)
    }

    /// Writes one track as a file.
    pub fn write(&self, track: u8, path: &Path) {
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(&self.inits[&track]).unwrap();
        for chunk in self.track(track) {
            file.write_all(&chunk.data).unwrap();
        }
    }
}

/// `item` with all its times `ms` later.
pub fn delayed(item: FeedItem, ms: u32) -> FeedItem {
    let later = |at: Timestamp| Timestamp::from_nanos(at.as_nanos() + i64::from(ms) * 1_000_000);
    match item {
        FeedItem::Unit(unit) => FeedItem::Unit(AccessUnit { pts: later(unit.pts), dts: later(unit.dts), ..unit }),
        config => config,
    }
}

/// `item` with a configuration that parsed and a payload that means nothing.
pub fn scrambled(item: FeedItem) -> FeedItem {
    let noise = |data: &Bytes| data.iter().enumerate().map(|(i, byte)| byte ^ (i as u8).wrapping_mul(73)).collect();
    match item {
        FeedItem::Unit(unit) => FeedItem::Unit(AccessUnit { data: noise(&unit.data), ..unit }),
        FeedItem::Config(TrackConfig::Video(config)) => FeedItem::Config(TrackConfig::Video(VideoConfig {
            decoder_config: noise(&config.decoder_config),
            ..config
        })),
        config => config,
    }
}

/// A packet as ffprobe sees it, in ticks of the stream's time base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub keyframe: bool,
}

/// A file's first stream: ticks per second, size, packets.
pub fn probe(path: &Path) -> (i64, (u32, u32), Vec<Packet>) {
    let entries = "stream=time_base,width,height:packet=pts,dts,flags";
    let args = ["-v", "error", "-show_entries", entries, "-of", "default=nw=1", path.to_str().unwrap()];
    let text = String::from_utf8(output_of("ffprobe", &args)).unwrap();
    let (mut timescale, mut size, mut packets) = (0, (0, 0), vec![]);
    let mut packet = Packet { pts: 0, dts: 0, keyframe: false };
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "time_base" => timescale = value.split_once('/').unwrap().1.parse().unwrap(),
            "width" => size.0 = value.parse().unwrap(),
            "height" => size.1 = value.parse().unwrap(),
            "pts" => packet.pts = value.parse().unwrap(),
            "dts" => packet.dts = value.parse().unwrap(),
            "flags" => {
                packet.keyframe = value.starts_with('K');
                packets.push(packet);
            }
            _ => {}
        }
    }
    (timescale, size, packets)
}

/// Brightness of each picture of a file, 0 to 255.
pub fn brightness(path: &Path) -> Vec<u8> {
    let scaled = "-vf scale=1:1:flags=area -vsync passthrough -pix_fmt gray -f rawvideo -";
    let mut args = vec!["-v", "error", "-i", path.to_str().unwrap()];
    args.extend(scaled.split_whitespace());
    output_of("ffmpeg", &args)
}

/// The first channel of a file, 48,000 samples a second.
pub fn waveform(path: &Path) -> Vec<f32> {
    let mut args = vec!["-v", "error", "-i", path.to_str().unwrap()];
    args.extend("-map 0:a -af pan=mono|c0=c0 -ar 48000 -f f32le -".split_whitespace());
    let bytes = output_of("ffmpeg", &args);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Where in `samples` something loud begins after at least 100 ms of quiet.
pub fn onsets(samples: &[f32]) -> Vec<usize> {
    let (mut onsets, mut quiet) = (vec![], 0);
    for (i, sample) in samples.iter().enumerate() {
        if sample.abs() > 0.1 {
            if quiet > 4_800 {
                onsets.push(i);
            }
            quiet = 0;
        } else {
            quiet += 1;
        }
    }
    onsets
}
