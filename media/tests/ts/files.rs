//! Streams by ffmpeg, and what ffmpeg itself reads in them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that goes away with its owner.
pub struct File(PathBuf);

impl File {
    pub fn new(bytes: &[u8], ending: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-ts-{}-{}.{ending}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn output(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(["-v", "error"]).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What `ffmpeg` with these words, parted by spaces, writes in a format.
pub fn ffmpeg(words: &str, format: &str) -> Vec<u8> {
    let args: Vec<_> = words.split_whitespace().chain(["-f", format, "-"]).collect();
    output("ffmpeg", &args)
}

/// A test picture and a tone, encoded so.
pub fn stream(size_and_rate: &str, sound: &str, encoders: &str) -> Vec<u8> {
    ffmpeg(&format!("-f lavfi -i testsrc2=size={size_and_rate} -f lavfi -i sine={sound} -t 2.4 {encoders}"), "mpegts")
}

/// A packet as `ffprobe` reports it.
#[derive(Debug)]
pub struct Probed {
    pub pts: i64,
    pub dts: i64,
    pub size: usize,
    pub key: bool,
}

/// Packets of one stream, such as `v:0`.
pub fn probe(file: &File, which: &str) -> Vec<Probed> {
    let args = ["-select_streams", which, "-show_entries", "packet=pts,dts,size,flags", "-of", "csv=p=0", file.path()];
    let text = String::from_utf8(output("ffprobe", &args)).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let number = |at: usize| fields[at].parse::<i64>().unwrap();
            let key = fields[3].starts_with('K');
            Probed { pts: number(0), dts: number(1), size: number(2) as usize, key }
        })
        .collect()
}

/// The NAL units of a byte stream, found naively.
pub fn nal_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<_> = (0..stream.len().saturating_sub(2)).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let mut units: Vec<Vec<u8>> =
        starts.iter().zip(ends).map(|(&start, end)| stream[start + 3..end].to_vec()).collect();
    for unit in &mut units {
        while unit.last() == Some(&0) {
            unit.pop();
        }
    }
    units
}
