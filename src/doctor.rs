//! `weir doctor`: whether this machine can run the server, one line per finding.

use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime_serde::re::humantime;
use weir_actors::clock;
use weir_pipelines::worker::sandbox::Support;

use crate::config::{Config, Faults};
use crate::tls::files::Files;

/// 2026-01-01: a clock before this was never set.
const CLOCK_FLOOR: Duration = Duration::from_secs(1_767_225_600);

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Fine.
    Ok,
    /// Works, but look at it.
    Warn,
    /// The server will not work.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How serious.
    pub grade: Grade,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

impl Finding {
    fn new(grade: Grade, what: &'static str, text: impl Into<String>) -> Self {
        Self { grade, what, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        };
        write!(f, "{grade:<4}  {:<9}  {}", self.what, self.text)
    }
}

/// Looks at everything. With a wrong configuration, its defaults are looked at for the rest.
pub fn examine(config: Result<Config, Faults>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let config = match config {
        Ok(config) => {
            findings.push(Finding::new(Grade::Ok, "config", "no fault"));
            config
        }
        Err(Faults(faults)) => {
            findings.extend(faults.into_iter().map(|fault| Finding::new(Grade::Fail, "config", fault.to_string())));
            Config::default()
        }
    };
    findings.push(elements(&config));
    findings.push(sandbox(weir_pipelines::worker::sandbox::support()));
    for (key, listen) in [
        ("http.listen", config.http.listen),
        ("https.listen", config.https.listen),
        ("rtmp.listen", config.rtmp.listen),
        ("rtmps.listen", config.rtmps.listen),
    ] {
        findings.extend(listen.address().map(|address| port(key, address, TcpListener::bind(address))));
    }
    if let Some(address) = config.srt.listen.address() {
        findings.push(port("srt.listen", address, UdpSocket::bind(address)));
        findings.push(libsrt(weir_actors::ingest::srt::libsrt::version()));
    }
    for (door, files) in config.tls_doors() {
        findings.extend(certificate(door, &files, clock::wall()));
    }
    findings.push(media_ports(config.whip.udp_ports));
    findings.push(data_dir(&config.data.dir));
    findings.push(wall_clock(clock::wall()));
    findings
}

fn elements(config: &Config) -> Finding {
    match weir_pipelines::elements::missing(config.worker.h264_encoder) {
        Ok(missing) if missing.is_empty() => Finding::new(Grade::Ok, "gstreamer", "all elements are there"),
        Ok(missing) => {
            let list: Vec<String> = missing.iter().map(|(element, package)| format!("{element} ({package})")).collect();
            Finding::new(Grade::Fail, "gstreamer", format!("missing: {}", list.join(", ")))
        }
        Err(error) => Finding::new(Grade::Fail, "gstreamer", error.to_string()),
    }
}

/// Workers need all but landlock, which they do not use yet.
fn sandbox(Support { no_new_privs, seccomp, landlock }: Support) -> Finding {
    let word = |there| if there { "yes" } else { "no" };
    let landlock = landlock.map_or("no".into(), |version| format!("ABI {version}"));
    let text = format!(
        "seccomp filter: {}, no_new_privs: {}, landlock (not used yet): {landlock}",
        word(seccomp),
        word(no_new_privs)
    );
    if seccomp && no_new_privs {
        Finding::new(Grade::Ok, "sandbox", text)
    } else {
        Finding::new(Grade::Fail, "sandbox", format!("{text}; workers cannot be confined and will not start"))
    }
}

/// The door is built for 1.5 and tested with 1.5.1; 1.4.2 has another layout of what it reports.
fn libsrt((major, minor, patch): (u32, u32, u32)) -> Finding {
    let grade = if major == 1 && minor >= 5 { Grade::Ok } else { Grade::Fail };
    Finding::new(grade, "libsrt", format!("{major}.{minor}.{patch}, 1.5 is wanted"))
}

fn port<T>(key: &str, address: SocketAddr, bound: std::io::Result<T>) -> Finding {
    match bound {
        Ok(_) => Finding::new(Grade::Ok, "port", format!("{key} = {address} is free")),
        Err(error) => Finding::new(Grade::Fail, "port", format!("{key} = {address}: {error}")),
    }
}

/// Whether a door's certificate can be used, until when, and who else can read its key.
fn certificate(door: &str, files: &Files, now: SystemTime) -> Vec<Finding> {
    let pair = match files.read() {
        Ok(pair) => pair,
        Err(error) => {
            let text = format!("{door}.{}: {error}", error.part().key());
            return vec![Finding::new(Grade::Fail, "tls", text)];
        }
    };
    let notes = pair.notes(door, now);
    if notes.is_empty() {
        let until = humantime::format_rfc3339_seconds(pair.not_after);
        return vec![Finding::new(Grade::Ok, "tls", format!("{door}: certificate and key fit, valid until {until}"))];
    }
    let grade = if pair.holds(now) { Grade::Warn } else { Grade::Fail };
    notes.into_iter().map(|note| Finding::new(grade, "tls", note)).collect()
}

/// Each WHIP session takes one.
fn media_ports((first, last): (u16, u16)) -> Finding {
    let free = (first..=last).filter(|port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok()).count();
    let text = format!("whip.udp_ports = [{first}, {last}]: {free} of {} are free", usize::from(last - first) + 1);
    Finding::new(if free == 0 { Grade::Fail } else { Grade::Ok }, "media", text)
}

/// Writes to the directory, or to the nearest parent where it would be made.
fn data_dir(dir: &Path) -> Finding {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let Some(existing) = absolute.ancestors().find(|path| path.is_dir()) else {
        return Finding::new(Grade::Fail, "data", format!("data.dir = {}: no such path", dir.display()));
    };
    let probe = existing.join(format!(".weir-doctor-{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|mut file| file.write_all(b"probe").and_then(|()| file.sync_all()));
    std::fs::remove_file(&probe).ok();
    match written {
        Ok(()) => Finding::new(Grade::Ok, "data", format!("data.dir = {} can be written", dir.display())),
        Err(error) => Finding::new(Grade::Fail, "data", format!("data.dir = {}: {error}", dir.display())),
    }
}

fn wall_clock(now: SystemTime) -> Finding {
    if now.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= CLOCK_FLOOR) {
        Finding::new(Grade::Ok, "clock", "set")
    } else {
        Finding::new(Grade::Fail, "clock", "before 2026: set it, playlists carry the time of day")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fault, Listen};

    fn graded(findings: &[Finding], what: &str) -> Vec<Grade> {
        findings.iter().filter(|finding| finding.what == what).map(|finding| finding.grade).collect()
    }

    #[test]
    fn a_taken_port_fails_and_names_its_key() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.http.listen = Listen::At(taken.local_addr().unwrap());
        config.rtmp.listen = Listen::Off;
        let taken_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        config.srt.listen = Listen::At(taken_udp.local_addr().unwrap());
        let findings = examine(Ok(config));
        assert_eq!(graded(&findings, "port"), [Grade::Fail, Grade::Fail]);
        for key in ["http.listen", "srt.listen"] {
            assert!(findings.iter().any(|finding| finding.text.starts_with(key)), "{findings:?}");
        }
        assert_eq!(graded(&findings, "libsrt"), [Grade::Ok], "{findings:?}");
        assert_eq!(graded(&findings, "clock"), [Grade::Ok]);
        assert_eq!(graded(&findings, "gstreamer"), [Grade::Ok], "{findings:?}");
    }

    #[test]
    fn a_kernel_without_seccomp_fails_and_one_without_landlock_does_not() {
        let full = Support { no_new_privs: true, seccomp: true, landlock: Some(2) };
        assert_eq!(sandbox(Support { landlock: None, ..full }).grade, Grade::Ok);
        assert!(sandbox(full).text.ends_with("ABI 2"));
        assert_eq!(sandbox(Support { seccomp: false, ..full }).grade, Grade::Fail);
    }

    #[test]
    fn every_fault_of_the_configuration_is_a_line() {
        let faults = Faults(vec![Fault::new("a", "x"), Fault::new("b", "y")]);
        let lines = examine(Err(faults)).iter().map(Finding::to_string).collect::<Vec<_>>();
        assert!(lines[0].starts_with("fail  config") && lines[0].ends_with("a: x"), "{}", lines[0]);
        assert!(lines[1].ends_with("b: y"));
    }

    #[test]
    fn a_directory_that_cannot_be_written_fails() {
        assert_eq!(data_dir(Path::new("/proc/weir")).grade, Grade::Fail);
        assert_eq!(data_dir(&std::env::temp_dir().join("weir-none/deep")).grade, Grade::Ok);
    }

    #[test]
    fn a_clock_that_was_never_set_fails() {
        assert_eq!(wall_clock(UNIX_EPOCH + Duration::from_secs(5)).grade, Grade::Fail);
    }
}
