//! A real `weir serve` process on free ports with a data directory of its own, and the encoders that push to it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const API_KEY: &str = "1234$test-key";

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub http: SocketAddr,
    pub rtmp: SocketAddr,
    pub srt: SocketAddr,
    pub data: PathBuf,
    agent: ureq::Agent,
}

/// An address of this machine that nobody listens on.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Starts a server with the configuration in `data`, without waiting for anything.
pub fn spawn(data: &Path) -> Child {
    command(data).spawn().expect("weir starts")
}

/// The same with its output in the files `stdout` and `stderr` there.
pub fn spawn_quietly(data: &Path) -> Child {
    let file = |name: &str| std::fs::File::create(data.join(name)).expect("a file for the output");
    command(data).stdout(file("stdout")).stderr(file("stderr")).spawn().expect("weir starts")
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["serve", "--config"]).arg(data.join("config.toml")).stdin(Stdio::null());
    command
}

impl Server {
    /// Starts a server and waits until it is ready. `more` is appended to its configuration.
    pub fn start(more: &str) -> Self {
        Self::start_by(more, spawn)
    }

    /// The same, and `spawn` starts the process.
    pub fn start_by(more: &str, spawn: impl FnOnce(&Path) -> Child) -> Self {
        let (http, rtmp) = (free_port(), free_port());
        let srt = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let data = std::env::temp_dir().join(format!("weir-test-{}-{}", std::process::id(), http.port()));
        std::fs::create_dir_all(&data).expect("data directory");
        let config = data.join("config.toml");
        let text = format!(
            "[http]\nlisten = \"{http}\"\n[rtmp]\nlisten = \"{rtmp}\"\n[srt]\nlisten = \"{srt}\"\n[api]\nkey = \"{API_KEY}\"\n\
             [data]\ndir = \"{}\"\n{more}",
            data.join("store").display()
        );
        std::fs::write(&config, text).expect("configuration");
        let child = spawn(&data);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        let server = Self { child, http, rtmp, srt, data, agent };
        let ready = || server.get("/readyz").is_ok_and(|(status, _)| status == 200);
        server.wait("readiness", Duration::from_secs(30), ready);
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Status and body; an error when the connection fails.
    pub fn get(&self, path: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut response =
            self.agent.get(self.url(path)).header("Authorization", &format!("APIKey {API_KEY}")).call()?;
        Ok((response.status().as_u16(), response.body_mut().with_config().limit(64 << 20).read_to_vec()?))
    }

    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).expect("answer");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("json")
    }

    pub fn get_text(&self, path: &str) -> String {
        let (status, body) = self.get(path).expect("answer");
        assert_eq!(status, 200, "{path}");
        String::from_utf8(body).expect("text")
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.send(self.agent.post(self.url(path)), body)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.send(self.agent.patch(self.url(path)), body)
    }

    fn send(&self, request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: &Value) -> Value {
        request
            .header("Authorization", &format!("APIKey {API_KEY}"))
            .send_json(body)
            .expect("answer")
            .body_mut()
            .read_json()
            .expect("json")
    }

    /// Creates an active stream with the quality set of that name.
    pub fn create_stream(&self, set: &str) -> Value {
        let sets = self.get_json("/streaming/quality_sets");
        let id = sets["live"]
            .as_array()
            .and_then(|sets| sets.iter().find(|entry| entry["name"] == set))
            .map(|entry| entry["id"].clone())
            .expect("quality set");
        let stream =
            self.post("/streaming/streams", &serde_json::json!({"name": "test", "active": true, "quality_set_id": id}));
        assert!(stream["push_url"].is_string(), "{stream}");
        stream
    }

    pub fn stream(&self, id: &Value) -> Value {
        self.get_json(&format!("/streaming/streams/{id}"))
    }

    /// Waits for a condition with a deadline; polls because it looks at another process.
    pub fn wait(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !condition() {
            assert!(Instant::now() < end, "no {what} within {limit:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Waits until the stream's master playlist answers 200.
    pub fn wait_playable(&self, id: &Value) {
        let path = format!("/cmaf/1_{id}/master.m3u8");
        self.wait("playable manifest", Duration::from_secs(15), || {
            self.get(&path).map(|(status, _)| status == 200).unwrap_or(false)
        });
    }

    /// Sends a signal to the server.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Waits for the server's exit.
    pub fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < end, "server still runs after {limit:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.data).ok();
        }
    }
}

/// ffmpeg with a test pattern and a tone; where to is to be added.
fn test_pattern(size: &str, fps: u32, gop: u32) -> Command {
    let video = format!("testsrc2=size={size}:rate={fps}");
    let gop = (fps * gop).to_string();
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", &video])
        .args(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"])
        .args(["-b:v", "800k", "-g", &gop, "-keyint_min", &gop, "-x264-params", "scenecut=0:bframes=0"])
        .args(["-c:a", "aac", "-b:a", "128k", "-ar", "48000"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A child process that is killed when dropped.
pub struct Encoder(pub Child);

impl Encoder {
    /// The brief's quick-start command at another size: test pattern and tone, H.264 and AAC, GOP 1 s.
    pub fn ffmpeg(url: &str, size: &str, fps: u32) -> Self {
        Self::with_gop(url, size, fps, 1)
    }

    /// The same with a keyframe every `gop` seconds.
    pub fn with_gop(url: &str, size: &str, fps: u32, gop: u32) -> Self {
        Self(test_pattern(size, fps, gop).args(["-f", "flv", url]).spawn().expect("ffmpeg starts"))
    }

    /// The same by SRT at 640x360, 25 fps.
    pub fn srt(url: &str) -> Self {
        Self(test_pattern("640x360", 25, 1).args(["-f", "mpegts", url]).spawn().expect("ffmpeg starts"))
    }

    /// The same through srt-live-transmit, which ends when it is refused.
    pub fn srt_live_transmit(url: &str) -> Self {
        let mut ffmpeg = test_pattern("640x360", 25, 1)
            .args(["-f", "mpegts", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ffmpeg starts");
        let media = ffmpeg.stdout.take().expect("standard output");
        // ffmpeg ends by itself once nobody reads.
        std::thread::spawn(move || ffmpeg.wait());
        Self(
            Command::new("srt-live-transmit")
                .args(["-q", "-a:no", "-chunk:1316", "file://con", url])
                .stdin(media)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("srt-live-transmit starts"),
        )
    }

    /// Waits for its end and returns exit code and standard error.
    pub fn output(mut self, limit: Duration) -> (Option<i32>, String) {
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                break status;
            }
            assert!(Instant::now() < end, "encoder still runs after {limit:?}");
            std::thread::park_timeout(Duration::from_millis(20));
        };
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut text).ok();
        }
        (status.code(), text)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
