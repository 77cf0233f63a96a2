//! What types cannot say: ranges, and values that must fit together.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use weir_media::failover::{LONGEST_DELAY, SHORTEST_DELAY};

use super::{Config, Fault, Listen, QualitySet, Secret, Tls};
use crate::store::webhook;
use crate::webhooks::signature;

/// x264's speed presets, fastest first.
const PRESETS: [&str; 9] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];
/// Longest delay in mode `freeze`. A worker whose first picture comes out 2 s after it was decoded counts as hung; who wants more delay wants
/// mode `hitless`, which is known there.
const LONGEST_WORKER_DELAY: Duration = Duration::from_secs(1);
/// Shortest API key that is taken.
const MIN_API_KEY: usize = 8;

impl Config {
    /// Everything that is wrong with the values; empty when nothing is.
    pub fn validate(&self) -> Vec<Fault> {
        let mut check = Check(Vec::new());
        self.doors(&mut check);
        self.durations(&mut check);
        self.numbers(&mut check);
        self.webhooks(&mut check);
        quality_sets(&self.quality_sets, &mut check);
        check.0
    }

    fn doors(&self, check: &mut Check) {
        let off = self.http.listen == Listen::Off && self.https.listen == Listen::Off;
        check.that(!off, "http.listen", "http and https are both off, so that nothing could be reached");
        check.url("http.public_url", self.http.public_url.as_deref(), &["http", "https"]);
        check.url("https.public_url", self.https.public_url.as_deref(), &["https"]);
        check.url("rtmp.public_url", self.rtmp.public_url.as_deref(), &["rtmp"]);
        check.url("rtmps.public_url", self.rtmps.public_url.as_deref(), &["rtmps"]);
        check.url("srt.public_url", self.srt.public_url.as_deref(), &["srt"]);
        check.url("telemetry.otlp_endpoint", self.telemetry.otlp_endpoint.as_deref(), &["http", "https"]);
        check.url("whip.public_url", self.whip.public_url.as_deref(), &["http", "https"]);
        for (door, tls) in [("https", &self.https), ("rtmps", &self.rtmps)] {
            check.tls(door, tls);
        }
        let tcp = [
            ("http.listen", self.http.listen),
            ("https.listen", self.https.listen),
            ("rtmp.listen", self.rtmp.listen),
            ("rtmps.listen", self.rtmps.listen),
            ("metrics.listen", self.metrics.listen),
        ];
        for (index, (key, listen)) in tcp.iter().enumerate() {
            let Some(address) = listen.address().filter(|address| address.port() != 0) else { continue };
            if let Some((other, _)) = tcp[..index].iter().find(|(_, other)| other.address() == Some(address)) {
                check.fault(*key, format!("{address} is also {other}"));
            }
        }
        if let Some(ip) = &self.whip.public_ip {
            check.that(ip.parse::<IpAddr>().is_ok(), "whip.public_ip", "not an IP address");
        }
        let (first, last) = self.whip.udp_ports;
        check.that(1024 <= first && first <= last, "whip.udp_ports", "wants [first, last] with 1024 <= first <= last");
        for (index, server) in self.whip.ice_servers.iter().enumerate() {
            let key = format!("whip.ice_servers[{index}]");
            check.that(server.is_tellable(), &key, "wants a stun: or turn: URL, and no quotes, brackets or spaces");
        }
    }

    fn webhooks(&self, check: &mut Check) {
        let mut known = HashSet::new();
        for (index, endpoint) in self.webhooks.endpoints.iter().enumerate() {
            let path = format!("webhooks.endpoints[{index}]");
            let url = format!("{path}.url");
            check.url(&url, Some(&endpoint.url), &["https", "http"]);
            check.that(known.insert(&endpoint.url), &url, "is there twice");
            let secret = endpoint.secret.as_ref().map(Secret::expose).unwrap_or_default();
            check.that(signature::is_secret(secret), &format!("{path}.secret"), signature::WANTED);
        }
        let most = webhook::MOST as u64;
        check.range("webhooks.endpoints (count)", self.webhooks.endpoints.len() as u64, 0, most);
    }

    fn durations(&self, check: &mut Check) {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        check.within("failover.stall", self.failover.stall, ms(500), s(60));
        check.within("failover.hold", self.failover.hold, s(1), s(3600));
        check.within("failover.linger", self.failover.linger, s(1), s(3600));
        check.within("failover.delay", self.failover.delay, SHORTEST_DELAY, LONGEST_DELAY);
        check.within("limits.connect_every", self.limits.connect_every, ms(100), s(3600));
        check.within("pull.retry_every", self.pull.retry_every, ms(500), s(3600));
        check.within("pull.give_up", self.pull.give_up, s(10), s(7 * 24 * 3600));
        check.within("statistics.keep", self.statistics.keep, s(3600), s(366 * 24 * 3600));
        check.within("worker.delay", self.worker.delay, ms(0), LONGEST_WORKER_DELAY);
    }

    fn numbers(&self, check: &mut Check) {
        check.range("api.client_id", self.api.client_id, 1, u64::from(u32::MAX));
        if let Some(key) = &self.api.key {
            let text = key.expose();
            check.that(text.len() >= MIN_API_KEY, "api.key", &format!("shorter than {MIN_API_KEY} characters"));
            let plain = text.bytes().all(|b| b.is_ascii_graphic());
            check.that(plain, "api.key", "has a space or a character that is not ASCII");
        }
        check.that(!self.data.dir.as_os_str().is_empty(), "data.dir", "empty");
        if let Some(key) = &self.data.token_key {
            let digits = key.expose().bytes().all(|b| b.is_ascii_hexdigit());
            check.that(digits && key.expose().len() == 64, "data.token_key", "not 64 hexadecimal digits");
        }
        check.range("limits.connect_burst", self.limits.connect_burst.into(), 1, 1000);
        check.range("limits.preauth_per_address", self.limits.preauth_per_address.into(), 1, 100_000);
        check.range("limits.preauth_total", self.limits.preauth_total.into(), 1, 100_000);
        check.that(
            PRESETS.contains(&self.worker.preset.as_str()),
            "worker.preset",
            &format!("unknown; known: {}", PRESETS.join(", ")),
        );
        check.range("worker.threads", self.worker.threads.into(), 0, 64);
        check.range("worker.audio_bitrate_kbps", self.worker.audio_bitrate_kbps.into(), 16, 512);
    }
}

fn quality_sets(sets: &[QualitySet], check: &mut Check) {
    let defaults = sets.iter().filter(|set| set.default).count();
    check.that(defaults == 1, "quality_sets", &format!("{defaults} sets have default = true; exactly one must"));
    let mut ids = HashSet::new();
    for (index, set) in sets.iter().enumerate() {
        let path = format!("quality_sets[{index}]");
        check.that(set.id >= 1 && ids.insert(set.id), &format!("{path}.id"), "0 or taken by another set");
        check.that(!set.name.trim().is_empty(), &format!("{path}.name"), "empty");
        check.range(&format!("{path}.qualities (count)"), set.qualities.len() as u64, 1, 8);
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        for (index, quality) in set.qualities.iter().enumerate() {
            let path = format!("{path}.qualities[{index}]");
            check.that(quality.id >= 1 && ids.insert(quality.id), &format!("{path}.id"), "0 or taken within the set");
            // Names appear in playlists and URLs.
            let plain =
                !quality.name.is_empty() && quality.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            check.that(plain, &format!("{path}.name"), "wants letters, digits and _ only");
            check.that(names.insert(&quality.name), &format!("{path}.name"), "taken within the set");
            check.pixels(&format!("{path}.width"), quality.width, 7680);
            check.pixels(&format!("{path}.height"), quality.height, 4320);
            check.range(&format!("{path}.bitrate_kbps"), quality.bitrate_kbps.into(), 50, 60_000);
        }
    }
}

struct Check(Vec<Fault>);

impl Check {
    fn fault(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault::new(path, problem));
    }

    fn that(&mut self, holds: bool, path: &str, problem: &str) {
        if !holds {
            self.fault(path, problem);
        }
    }

    fn range(&mut self, path: &str, value: u64, least: u64, most: u64) {
        self.that((least..=most).contains(&value), path, &format!("{value} is not within {least} to {most}"));
    }

    fn within(&mut self, path: &str, value: Duration, least: Duration, most: Duration) {
        let text = humantime_serde::re::humantime::format_duration;
        let problem = format!("{} is not within {} to {}", text(value), text(least), text(most));
        self.that((least..=most).contains(&value), path, &problem);
    }

    fn pixels(&mut self, path: &str, value: u32, most: u64) {
        self.range(path, value.into(), 16, most);
        self.that(value.is_multiple_of(2), path, "odd");
    }

    fn url(&mut self, path: &str, url: Option<&str>, schemes: &[&str]) {
        let Some(url) = url else { return };
        let host = url.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)).map(|(_, rest)| rest);
        let plain = |rest: &str| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'#'))
        };
        self.that(host.is_some_and(plain), path, &format!("not a URL that begins with {}://", schemes.join(":// or ")));
    }

    fn tls(&mut self, door: &str, tls: &Tls) {
        if tls.listen != Listen::Off {
            self.that(tls.cert.is_some(), &format!("{door}.cert"), &format!("not set, but {door}.listen is on"));
            self.that(tls.key.is_some(), &format!("{door}.key"), &format!("not set, but {door}.listen is on"));
        }
    }
}
