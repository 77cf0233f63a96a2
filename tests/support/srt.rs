//! SRT callers that are not libsrt: srt-tokio as an independent encoder, and hand-made datagrams of strangers.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use srt_tokio::SrtSocket;
use tokio::runtime::Runtime;

/// Calls by srt-tokio, with a key of so many bytes and a passphrase. The error is the name of the reject reason that the listener gave, or
/// what else happened.
pub fn call(listener: &SocketAddr, stream_id: &str, key: Option<(u16, &str)>) -> Result<Called, String> {
    let runtime = Runtime::new().unwrap();
    let socket = runtime.block_on(async {
        let mut builder = SrtSocket::builder();
        if let Some((size, passphrase)) = key {
            builder = builder.encryption(size, passphrase);
        }
        builder.call(listener.to_string().as_str(), Some(stream_id)).await
    });
    match socket {
        Ok(socket) => Ok(Called { socket: Some(socket), runtime }),
        // The last word of e.g. `Rejected(Server(Unauthorized))`.
        Err(error) => {
            let text = format!("{:?}", error.into_inner());
            let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            Err(words.next_back().unwrap_or("nothing").to_owned())
        }
    }
}

/// A connection of srt-tokio's; closed when dropped.
pub struct Called {
    socket: Option<SrtSocket>,
    runtime: Runtime,
}

impl std::fmt::Debug for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Called")
    }
}

impl PartialEq for Called {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            // Gone either way.
            self.runtime.block_on(socket.close_and_finish()).ok();
        }
    }
}

/// srt-tokio as an encoder: ffmpeg's transport stream in datagrams of 1316 bytes, until it is dropped.
pub struct Sender {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sender {
    pub fn start(listener: &SocketAddr, stream_id: &str) -> Self {
        let mut ffmpeg = Command::new("ffmpeg")
            .args("-v error -nostdin -re -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=r=48000".split(' '))
            .args(
                "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -c:a aac -f mpegts -"
                    .split(' '),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg starts");
        let mut media = ffmpeg.stdout.take().expect("standard output");
        let mut called = call(listener, stream_id, None).expect("admission");
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; 1316];
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty)
                && std::io::Read::read_exact(&mut media, &mut datagram).is_ok()
            {
                let (socket, now) = (called.socket.as_mut().unwrap(), Instant::now());
                let data = bytes::Bytes::copy_from_slice(&datagram);
                if called.runtime.block_on(socket.send((now, data))).is_err() {
                    break;
                }
            }
            ffmpeg.kill().ok();
            ffmpeg.wait().ok();
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.send(()).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Resident memory of a process, kilobytes.
pub fn memory_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Datagrams from as many sources, all on the loopback network: data, keepalives and inductions by turns.
pub fn spoof(listener: &SocketAddr, count: u32) {
    for number in 0..count {
        let [_, a, b, c] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let socket =
            UdpSocket::bind((std::net::Ipv4Addr::new(127, a, b, c.clamp(1, 254)), 0)).expect("a loopback address");
        let packet = match number % 3 {
            0 => vec![0; 16],
            1 => [0x8001_0000u32, 0, 0, number].iter().flat_map(|word| word.to_be_bytes()).collect(),
            _ => induction(number),
        };
        // Nobody has to take it.
        socket.send_to(&packet, listener).ok();
    }
}

/// A caller's first handshake packet (draft-sharabayko-srt-01, 3.2.1).
fn induction(socket: u32) -> Vec<u8> {
    words(&[0x8000_0000, 0, 0, 0, 4, 2, 7, 1500, 8192, 1, socket, 0, 0, 0, 0, 0])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The second handshake packet as no encoder would send it.
#[derive(Clone, Copy)]
pub struct Handshake<'a> {
    pub stream_id: &'a str,
    /// With a key material request of zeros.
    pub key_material: bool,
    /// The encryption field: key bytes by eight.
    pub encryption: u16,
    /// Another extension, and its length in words.
    pub extension: Option<(u16, u16)>,
    /// Words that the last extension claims beside those it has.
    pub lie: u16,
    pub latency_ms: u16,
}

impl Default for Handshake<'_> {
    fn default() -> Self {
        Self { stream_id: "", key_material: false, encryption: 0, extension: None, lie: 0, latency_ms: 120 }
    }
}

impl Handshake<'_> {
    /// Sends it with the cookie that belongs to it, from a port of its own. What is answered does not matter here.
    pub fn send(&self, listener: &SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let number = u32::from(socket.local_addr().expect("an address").port()) | 0x0100_0000;
        socket.send_to(&induction(number), listener).expect("sent");
        let mut answer = [0; 1500];
        let Ok(length) = socket.recv(&mut answer) else { return };
        assert!(length >= 64, "an induction answer");
        let cookie = u32::from_be_bytes([answer[44], answer[45], answer[46], answer[47]]);
        socket.send_to(&self.conclusion(number, cookie), listener).expect("sent");
        // Whatever the answer is: the next one finds the listener done with this one.
        socket.recv(&mut answer).ok();
    }

    fn conclusion(&self, number: u32, cookie: u32) -> Vec<u8> {
        let flags = 1 | u32::from(self.key_material) << 1 | 4;
        let header = u32::from(self.encryption) << 16 | flags;
        let mut packet =
            words(&[0x8000_0000, 0, 0, 0, 5, header, 7, 1500, 8192, 0xffff_ffff, number, cookie, 0x7f00_0001, 0, 0, 0]);
        let mut extension = |kind: u16, claimed: u16, body: &[u8]| {
            packet.extend(kind.to_be_bytes());
            packet.extend(claimed.to_be_bytes());
            packet.extend(body);
        };
        let latency = u32::from(self.latency_ms);
        extension(1, 3, &words(&[0x0001_0501, 0xbf, latency << 16 | latency]));
        if self.key_material {
            extension(3, 16, &[0; 64]);
        }
        if let Some((kind, length)) = self.extension {
            extension(kind, length, &vec![0xff; usize::from(length) * 4]);
        }
        // Four bytes each, in the other order.
        let text = self.stream_id.as_bytes().chunks(4).flat_map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            word.reverse();
            word
        });
        let text: Vec<u8> = text.collect();
        extension(5, ((text.len() / 4) as u16).saturating_add(self.lie), &text);
        packet
    }
}
