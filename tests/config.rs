//! Configuration: the manual is true, the environment overrides, and every fault is told with its path.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use weir::config::{Config, Fault, Faults, Listen, load_from};
use weir_media::failover::{FailoverSpec, Mode, Standby};
use weir_media::ladder::Ladder;

const MANUAL: &str = include_str!("../config.toml");

fn load(toml: &str) -> Result<Config, Faults> {
    load_from(toml, [])
}

fn with(environment: &[(&str, &str)]) -> Result<Config, Faults> {
    load_from("", environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The paths of what is wrong, in order.
fn faults(result: Result<Config, Faults>) -> Vec<String> {
    result.unwrap_err().0.into_iter().map(|fault| fault.path).collect()
}

/// Every `section.key` of a configuration, lists looked into.
fn keys(value: &serde_json::Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(table) => {
            for (key, value) in table {
                keys(value, &format!("{path}.{key}"), into);
            }
        }
        serde_json::Value::Array(list) if list.iter().any(serde_json::Value::is_object) => {
            for value in list {
                keys(value, path, into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

#[test]
fn the_manual_says_exactly_the_defaults() {
    assert_eq!(load(MANUAL).unwrap(), Config::default());
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn the_manual_has_every_key_of_the_schema() {
    let parse = |value: serde_json::Value| {
        let mut found = BTreeSet::new();
        keys(&value, "", &mut found);
        found
    };
    let schema = parse(serde_json::to_value(Config::default()).unwrap());
    let manual = {
        use figment::providers::{Format, Toml};
        parse(figment::Figment::from(Toml::string(MANUAL)).extract().unwrap())
    };
    assert!(schema.len() > 50, "{schema:?}");
    assert_eq!(manual, schema);
}

#[test]
fn the_default_quality_set_is_the_medias_default_ladder() {
    let sets = Config::default().quality_sets;
    assert_eq!(sets[0].ladder(), Ladder::default());
    assert!(sets[0].default);
    for (set, height) in [(&sets[1], 720), (&sets[2], 360)] {
        assert_eq!(set.qualities.len(), 1);
        assert_eq!(set.qualities[0].height, height);
    }
}

#[test]
fn every_fault_is_told_at_once_with_its_path() {
    let toml = r#"
        [http]
        listen = "localhost"
        lisen = "127.0.0.1:80"
        allow_plain = "yes"
        [failover]
        stall = "3"
        delay = "11s"
        mode = "fast"
        [nonsense]
        key = 1
        [api]
        client_id = 0
        [[quality_sets]]
        id = 1
        name = "a"
        default = true
        qualities = [{ id = 1, name = "720p", width = 1281, height = 720, bitrate_kbps = 10 }]
    "#;
    let all = faults(load(toml));
    for path in [
        "http.listen",
        "http.lisen",
        "http.allow_plain",
        "failover.stall",
        "failover.delay",
        "failover.mode",
        "nonsense",
        "api.client_id",
        "quality_sets[0].qualities[0].width",
        "quality_sets[0].qualities[0].bitrate_kbps",
    ] {
        assert!(all.iter().any(|fault| fault == path), "{path} is missing in {all:?}");
    }
    assert_eq!(all.len(), 10, "{all:?}");
}

#[test]
fn a_wrong_key_within_a_list_is_told_with_its_index() {
    let toml =
        r#"quality_sets = [{ id = 1, name = "a", default = true, qualities = [{ id = 1, name = "x", wide = 2 }] }]"#;
    assert_eq!(faults(load(toml)), ["quality_sets[0].qualities[0].wide"]);
}

#[test]
fn a_syntax_error_is_told_with_its_place() {
    let Faults(all) = load("[http]\nlisten = \n").unwrap_err();
    assert_eq!(all.len(), 1);
    assert!(all[0].problem.contains("line 2"), "{}", all[0].problem);
}

#[test]
fn the_environment_overrides_the_file() {
    let config = load_from(
        "[http]\nlisten = \"127.0.0.1:1\"\n[worker]\nthreads = 2",
        [("WEIR__HTTP__LISTEN".to_owned(), "127.0.0.1:2".to_owned()), ("PATH".to_owned(), "/bin".to_owned())],
    )
    .unwrap();
    assert_eq!(config.http.listen, Listen::At(([127, 0, 0, 1], 2).into()));
    assert_eq!(config.worker.threads, 2);
}

#[test]
fn the_environment_writes_lists_as_json_and_all_else_as_text() {
    let config = with(&[
        ("WEIR__HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
        (
            "WEIR__QUALITY_SETS",
            r#"[{"id":7,"name":"x","default":true,"qualities":[{"id":1,"name":"360p","width":640,"height":360,"bitrate_kbps":450}]}]"#,
        ),
        ("WEIR__HTTP__ALLOW_PLAIN", "true"),
        ("WEIR__FAILOVER__STALL", "400ms"),
    ]);
    assert_eq!(faults(config), ["failover.stall"]);
    let config = with(&[
        ("WEIR__HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
        ("WEIR__WHIP__UDP_PORTS", "[2000, 2001]"),
        ("WEIR__HTTP__ALLOW_PLAIN", "true"),
        ("WEIR__API__CLIENT_ID", "42"),
        ("WEIR__FAILOVER__STALL", "1500ms"),
        ("WEIR__RTMP__LISTEN", "off"),
    ])
    .unwrap();
    assert!(config.http.trusted_proxies[0].contains([10, 1, 2, 3].into()));
    assert_eq!(config.whip.udp_ports, (2000, 2001));
    assert!(config.http.allow_plain);
    assert_eq!(config.api.client_id, 42);
    assert_eq!(config.failover.stall, Duration::from_millis(1500));
    assert_eq!(config.rtmp.listen, Listen::Off);
}

#[test]
fn a_wrong_variable_is_told_with_the_path_and_its_name() {
    let Faults(all) = with(&[("WEIR__HTTP__LISEN", "x"), ("WEIR__WORKER__THREADS", "two")]).unwrap_err();
    assert_eq!(all.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["http.lisen", "worker.threads"]);
    assert!(all[0].to_string().contains("WEIR__HTTP__LISEN"));
}

#[test]
fn an_api_key_is_a_text_even_when_it_looks_like_a_number() {
    let key = |config: Config| config.api.key.unwrap().expose().to_owned();
    assert_eq!(key(with(&[("WEIR_API_KEY", "0123456789")]).unwrap()), "0123456789");
    assert_eq!(key(with(&[("WEIR__API__KEY", "1234567890123456789012345")]).unwrap()), "1234567890123456789012345");
    assert_eq!(key(with(&[("WEIR_API_KEY", "1234$abcdef")]).unwrap()), "1234$abcdef");
    assert_eq!(key(load("api.key = 123456789").unwrap()), "123456789");
    assert_eq!(
        key(with(&[("WEIR_API_KEY", "from-the-short"), ("WEIR__API__KEY", "from-the-long")]).unwrap()),
        "from-the-long"
    );
}

#[test]
fn a_secret_is_shown_by_nothing() {
    let config = with(&[("WEIR_API_KEY", "sesame-open")]).unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    assert!(!serde_json::to_string(&config).unwrap().contains("sesame"));
    let Faults(all) = with(&[("WEIR_API_KEY", "sesame open")]).unwrap_err();
    assert!(!format!("{all:?}").contains("sesame"));
}

#[test]
fn the_key_of_the_tokens_is_64_hexadecimal_digits() {
    let key = "0123456789abcdefABCDEF0123456789".repeat(2);
    let config = with(&[("WEIR_TOKEN_KEY", &key)]).unwrap();
    assert_eq!(config.data.token_key.as_ref().unwrap().expose(), key);
    assert!(!format!("{config:?}{}", serde_json::to_string(&config).unwrap()).contains(&key));
    let Faults(all) = with(&[("WEIR_TOKEN_KEY", &key[1..])]).unwrap_err();
    assert_eq!(all[0].path, "data.token_key");
    assert!(!format!("{all:?}").contains(&key[1..]));
}

#[test]
fn a_tls_door_wants_its_files_and_two_doors_want_two_addresses() {
    assert_eq!(faults(load("https.listen = \"0.0.0.0:443\"")), ["https.cert", "https.key"]);
    assert_eq!(faults(load("rtmp.listen = \"127.0.0.1:8080\"")), ["rtmp.listen"]);
    let Faults(all) = load("http.listen = \"off\"").unwrap_err();
    assert_eq!(all, [Fault::new("http.listen", "http and https are both off, so that nothing could be reached")]);
}

#[test]
fn a_public_url_has_its_doors_scheme() {
    assert_eq!(faults(load("http.public_url = \"live.example.org\"")), ["http.public_url"]);
    assert_eq!(faults(load("rtmp.public_url = \"http://a\"")), ["rtmp.public_url"]);
    load("http.public_url = \"https://a/base\"\nrtmp.public_url = \"rtmp://a:1936\"").unwrap();
}

#[test]
fn failover_is_what_the_file_says() {
    let config =
        load("[failover]\nmode = \"hitless\"\nstandby = \"warm\"\ndelay = \"3500ms\"\nhold = \"15s\"").unwrap();
    let spec = FailoverSpec {
        mode: Mode::Hitless,
        standby: Standby::Warm,
        delay: Duration::from_millis(3500),
        ..FailoverSpec::default()
    };
    assert_eq!(config.failover.spec(), spec);
    assert_eq!(config.failover.hold, Duration::from_secs(15));
    assert_eq!(Config::default().failover.spec(), FailoverSpec::default());
}

#[test]
fn a_failover_delay_has_the_bounds_of_the_media() {
    let delay = |text: &str| load(&format!("failover.delay = \"{text}\""));
    for inside in ["500ms", "10s"] {
        delay(inside).unwrap();
    }
    for outside in ["499ms", "10s 1ms", "0s"] {
        assert_eq!(faults(delay(outside)), ["failover.delay"], "{outside}");
    }
}

#[test]
fn a_workers_delay_stays_below_what_counts_as_hung() {
    for inside in ["0s", "1s"] {
        load(&format!("worker.delay = \"{inside}\"")).unwrap();
    }
    for outside in ["1001ms", "10s"] {
        assert_eq!(faults(load(&format!("worker.delay = \"{outside}\""))), ["worker.delay"], "{outside}");
    }
}

#[test]
fn a_webhook_wants_an_address_of_its_own_and_a_secret_that_can_be_signed_with() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let right = format!(r#"webhooks.endpoints = [{{ url = "https://a.example/hook", secret = "{secret}" }}]"#);
    assert_eq!(load(&right).unwrap().webhooks.configured().len(), 1);
    let wrong = format!(
        r#"webhooks.endpoints = [{{ url = "https://a" }}, {{ url = "ftp://b", secret = "{secret}" }},
            {{ url = "https://a", secret = "canary" }}]"#
    );
    let Faults(all) = load(&wrong).unwrap_err();
    let paths: Vec<&str> = all.iter().map(|fault| fault.path.as_str()).collect();
    let secrets = ["webhooks.endpoints[0].secret", "webhooks.endpoints[1].url", "webhooks.endpoints[2].url"];
    assert_eq!(paths, [&secrets[..], &["webhooks.endpoints[2].secret"]].concat());
    assert!(!format!("{all:?}").contains("canary"));
}

#[test]
fn the_server_refuses_a_wrong_delay_with_64_and_its_key() {
    let run = |command: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
            .args([command, "--config", "/dev/null"])
            .env("WEIR__FAILOVER__DELAY", "11s")
            .output()
            .expect("weir starts")
    };
    for command in ["serve", "check-config"] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(64), "{command}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("failover.delay: 11s is not within 500ms to 10s"), "{command}: {said}");
    }
}
