//! A receiver of webhooks that misbehaves on demand. What it hears is checked with code of its own, not the server's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What it does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Takes it with 204.
    Takes,
    /// Answers this status line, and headers.
    Answers(&'static str),
    /// Takes it and answers nothing.
    Hangs,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: String,
    pub at: Instant,
    pub mode: Mode,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("json")
    }

    /// Flags: live, backup_live, transcoding.
    pub fn flags(&self) -> [bool; 3] {
        let json = self.json();
        ["live", "backup_live", "transcoding"].map(|flag| json["message"]["stream"][flag].as_bool().expect("a flag"))
    }

    /// How many of its signatures are this secret's.
    pub fn signed_by(&self, secret: &str) -> usize {
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let right = format!("v1,{}", base64(&hmac(&unbase64(&secret["whsec_".len()..]), signed.as_bytes())));
        self.signature.split(' ').filter(|signature| *signature == right).count()
    }
}

type Shared = Arc<(Mutex<(Mode, Vec<Heard>)>, Condvar)>;

/// The receiver; gone with its connections when dropped.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Shared,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), Vec::new())
    }

    /// On an address, with what another one there has heard.
    pub fn on(address: SocketAddr, heard: Vec<Heard>) -> Self {
        let listener = TcpListener::bind(address).expect("an address");
        let address = listener.local_addr().expect("an address");
        let shared: Shared = Arc::new((Mutex::new((Mode::Takes, heard)), Condvar::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (own, over) = (Arc::clone(&shared), Arc::clone(&ending));
        let thread = std::thread::spawn(move || {
            let mut sockets: Vec<TcpStream> = vec![];
            for socket in listener.incoming() {
                let Ok(socket) = socket else { break };
                if over.load(Ordering::SeqCst) {
                    break;
                }
                sockets.push(socket.try_clone().expect("a socket"));
                let shared = Arc::clone(&own);
                std::thread::spawn(move || serve(socket, &shared));
            }
            for socket in sockets {
                socket.shutdown(std::net::Shutdown::Both).ok();
            }
        });
        Self { address, shared, ending, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn set(&self, mode: Mode) {
        self.shared.0.lock().unwrap().0 = mode;
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.shared.0.lock().unwrap().1.clone()
    }

    /// Waits until what was heard is as wanted.
    pub fn wait(&self, what: &str, limit: Duration, mut wanted: impl FnMut(&[Heard]) -> bool) {
        let end = Instant::now() + limit;
        let mut state = self.shared.0.lock().unwrap();
        while !wanted(&state.1) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} within {limit:?}: {:#?}", state.1);
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(socket: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(socket.try_clone().expect("a socket"));
    while let Some(mut heard) = request(&mut reader) {
        let mode = {
            let mut state = shared.0.lock().unwrap();
            heard.mode = state.0.clone();
            state.1.push(heard);
            shared.1.notify_all();
            state.0.clone()
        };
        let answer = match mode {
            Mode::Takes => "204 No Content\r\n",
            Mode::Answers(head) => head,
            Mode::Hangs => continue,
        };
        let empty = if answer.starts_with("204") { "" } else { "content-length: 0\r\n" };
        if write!(&socket, "HTTP/1.1 {answer}{empty}\r\n").is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut head = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    assert!(head[0].starts_with("POST /hook HTTP/1.1"), "{head:?}");
    let header = |name: &str| {
        let value =
            head.iter().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        value.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    assert_eq!(header("content-type"), "application/json");
    let mut body = vec![0; header("content-length").parse().expect("a length")];
    reader.read_exact(&mut body).ok()?;
    Some(Heard {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: String::from_utf8(body).expect("text"),
        at: Instant::now(),
        mode: Mode::Takes,
    })
}

/// RFC 2104 with SHA-256; keys are shorter than its block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|key| key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |bits: &[u8]| {
        let text = format!("{:0<6}", std::str::from_utf8(bits).unwrap());
        DIGITS.as_bytes()[usize::from_str_radix(&text, 2).unwrap()] as char
    };
    let text: String = bits.as_bytes().chunks(6).map(digit).collect();
    text.clone() + &"=".repeat((4 - text.len() % 4) % 4)
}

fn unbase64(text: &str) -> Vec<u8> {
    let bits: String =
        text.trim_end_matches('=').chars().map(|digit| format!("{:06b}", DIGITS.find(digit).unwrap())).collect();
    let whole = bits.as_bytes().chunks_exact(8);
    whole.map(|bits| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap()).collect()
}
