//! Plain HTTP from other machines, proxies and browsers: what is served, who is believed, who may read answers.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use weir::config::Config;

use super::STREAMS;
use super::api_server::{ApiServer, KEY};

/// An address of this machine that others could reach; connecting to it does not come from loopback.
fn outer_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting a datagram socket sends nothing.
    socket.connect("198.51.100.1:9").expect("a network interface besides loopback");
    let ip = socket.local_addr().unwrap().ip();
    // Without any network there is no other machine to be told from this one.
    assert!(!ip.is_loopback() && !ip.is_unspecified(), "a network interface besides loopback");
    ip
}

fn outer_server(config: Config) -> ApiServer {
    ApiServer::with(&outer_address().to_string(), config)
}

/// Status and the whole answer to a request as it is written here; the key and the end of the header are added.
fn exchange(server: SocketAddr, line: &str, headers: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(socket, "{line} HTTP/1.1\r\n{headers}Authorization: APIKey {KEY}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![];
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).unwrap_or_else(|| panic!("{line}: {answer}")).parse().unwrap(), answer)
}

const HOST: &str = "Host: a.example\r\n";

#[test]
fn another_machine_reaches_media_player_and_health_only() {
    let server = outer_server(Config::default());
    for (method, target, status) in [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/healthz?x=/ops", 200),
        ("GET", "/streams/1_1", 200),
        ("HEAD", "/streams/1_1", 200),
        ("GET", "/streams/1_1?no_low_latency", 200),
        ("GET", "/assets/none.js", 404),
        ("GET", "/cmaf/1_1/master.m3u8", 404),
        ("GET", "/cmaf/1_1/master.m3u8?_HLS_msn=1", 404),
        ("OPTIONS", "/cmaf/1_1/master.m3u8", 204),
    ] {
        assert_eq!(exchange(server.address, &format!("{method} {target}"), HOST).0, status, "{method} {target}");
    }
    for target in [
        "/",
        "/nothing",
        "/readyz",
        "/openapi.json",
        "/metrics",
        "/panel/",
        STREAMS,
        "/streaming/streams/1",
        "/streaming/quality_sets",
        "/ops/tree",
        "/ops/streams/1/journal",
        "/1_0123456789abcdef/whip",
        "/1/whip",
        "/whip/1/5f0c",
        "/streams/whip",
        "/publish/1",
        // Neighbours of what is open.
        "/healthz/",
        "/healthzz",
        "/healthz/ops",
        "/HEALTHZ",
        "/cmaf",
        "/cmaf/1_1",
        "/cmaf/1_1/a/b",
        "/streams",
        "/streams/1_1/",
        "/assets/a/b",
        // Other spellings of what is shut.
        "//ops/tree",
        "/./ops/tree",
        "/%6fps/tree",
        "/%2fops/tree",
        "/ops/tree.",
        "/OPS/tree",
        "/cmaf/../ops/tree",
        "/cmaf/%2e%2e/ops/tree",
        "/assets/../ops/tree",
        "/streams/../streaming/streams",
        "/streams/..%2fops%2ftree",
        "/streams/%2e%2e/ops/tree",
        "http://a.example/ops/tree",
        "http://127.0.0.1/ops/tree",
        "http://localhost/streaming/streams",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let (status, answer) = exchange(server.address, &format!("{method} {target}"), HOST);
            assert_eq!(status, 403, "{method} {target}: {answer}");
            let json = method == "HEAD"
                || answer.contains("{\"error\":\"Forbidden. Plain HTTP") && answer.contains("\"status\":403");
            assert!(json, "{answer}");
        }
    }
    assert_eq!(server.told.lock().unwrap().len(), 0, "nothing reached the tree");
}

#[test]
fn nothing_that_another_machine_says_of_itself_opens_the_rest() {
    let server = outer_server(Config::default());
    for claim in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-For: ::1\r\n",
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: localhost\r\nX-Forwarded-Ssl: on\r\n",
        "X-Real-IP: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1;proto=https;by=127.0.0.1\r\n",
        "Via: 1.1 localhost\r\n",
        "Upgrade-Insecure-Requests: 1\r\n",
        "X-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n",
    ] {
        assert_eq!(exchange(server.address, "GET /ops/tree", &format!("{HOST}{claim}")).0, 403, "{claim}");
    }
    for host in ["localhost", "127.0.0.1", "[::1]", "localhost.", "a.example:443"] {
        assert_eq!(exchange(server.address, "GET /ops/tree", &format!("Host: {host}\r\n")).0, 403, "{host}");
    }
}

#[test]
fn this_machine_a_trusted_proxy_and_an_allowing_operator_reach_everything() {
    let status = |server: &ApiServer| exchange(server.address, &format!("GET {STREAMS}"), HOST).0;
    assert_eq!(status(&ApiServer::start()), 200, "loopback");
    assert_eq!(status(&ApiServer::with("127.0.0.9", Config::default())), 200, "all of it");
    let mut allowing = Config::default();
    allowing.http.allow_plain = true;
    assert_eq!(status(&outer_server(allowing)), 200);
    let mut proxied = Config::default();
    proxied.http.trusted_proxies = vec![outer_address().to_string().parse().unwrap()];
    assert_eq!(status(&outer_server(proxied)), 200);
    let mut elsewhere = Config::default();
    elsewhere.http.trusted_proxies = vec!["198.51.100.0/24".parse().unwrap()];
    assert_eq!(status(&outer_server(elsewhere)), 403);
}

#[test]
fn a_server_for_both_families_knows_an_ipv4_peer_by_its_address() {
    let mut proxied = Config::default();
    proxied.http.trusted_proxies = vec![outer_address().to_string().parse().unwrap()];
    for (config, outer) in [(Config::default(), 403), (proxied, 200)] {
        let port = ApiServer::with("::", config);
        for (ip, status) in [(outer_address(), outer), ([127, 0, 0, 1].into(), 200), ("::1".parse().unwrap(), 200)] {
            let address = SocketAddr::new(ip, port.address.port());
            assert_eq!(exchange(address, "GET /ops/tree", HOST).0, status, "{ip}");
        }
    }
}

/// The player's URL in the answer to a request with these headers.
fn iframe(server: &ApiServer, line: &str, headers: &str) -> String {
    let (status, answer) = exchange(server.address, line, headers);
    assert_eq!(status, 200, "{answer}");
    let stream: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    stream["iframe_url"].as_str().unwrap().replace("/streams/1_1", "")
}

#[test]
fn urls_are_those_that_a_trusted_proxy_says_and_nobody_else() {
    let line = format!("GET {STREAMS}/1");
    let claims = format!("{HOST}X-Forwarded-Host: live.example.org\r\nX-Forwarded-Proto: https\r\n");
    let mut config = Config::default();
    config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let proxied = ApiServer::with("127.0.0.1", config);
    proxied.create(&serde_json::json!({"name": "a"}));
    let case = |headers: &str| iframe(&proxied, &line, headers);
    assert_eq!(case(&claims), "https://live.example.org");
    assert_eq!(case(HOST), "http://a.example");
    // What the client sent first does not win over what the proxy added.
    let lists = "X-Forwarded-Host: evil.example, live.example.org\r\nX-Forwarded-Proto: http, https\r\n";
    assert_eq!(case(&format!("{HOST}{lists}")), "https://live.example.org");
    let headers = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: live.example.org:8443\r\n";
    assert_eq!(case(&format!("{HOST}{headers}")), "http://live.example.org:8443");
    assert_eq!(case(&format!("{HOST}Forwarded: host=evil.example;proto=https\r\n")), "http://a.example");
    assert_eq!(case(&format!("{HOST}X-Forwarded-Host: \"><script>\r\n")), format!("http://{}", proxied.address));

    let direct = ApiServer::start();
    direct.create(&serde_json::json!({"name": "a"}));
    assert_eq!(iframe(&direct, &line, &claims), "http://a.example");
    let own = format!("http://{}", direct.address);
    for wrong in ["a.example/x", "u@a.example", "a.example:1:2", "a b", "[::1", "a.example:99999"] {
        assert_eq!(iframe(&direct, &line, &format!("Host: {wrong}\r\n")), own, "{wrong}");
    }
    assert_eq!(iframe(&direct, &line, "Host: a.example.:80\r\n"), "http://a.example.:80");
    assert_eq!(iframe(&direct, &format!("GET http://b.example{STREAMS}/1"), HOST), "http://b.example");
    let twice = format!("{HOST}Host: b.example\r\n");
    assert_eq!(exchange(direct.address, &line, &twice).0, 400, "a request has one name for the server");
}

#[test]
fn scripts_of_other_origins_may_read_media_and_nothing_else() {
    let server = ApiServer::start();
    let asked = format!("{HOST}Origin: https://other.example\r\nAccess-Control-Request-Method: GET\r\n");
    let rules = |method: &str, path: &str| {
        let (_, answer) = exchange(server.address, &format!("{method} {path}"), &asked);
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        let rules = head.lines().filter(|line| line.starts_with("access-control-"));
        rules.map(str::to_owned).collect::<Vec<_>>()
    };
    for method in ["GET", "HEAD", "OPTIONS"] {
        for path in ["/cmaf/1_1/master.m3u8", "/cmaf/1_1/index.mpd", "/cmaf/1_1/seg-0-1.m4s", "/cmaf/x/y"] {
            let rules = rules(method, path);
            assert!(rules.contains(&"access-control-allow-origin: *".to_owned()), "{method} {path}: {rules:?}");
            assert!(!rules.iter().any(|line| line.contains("credentials")), "{rules:?}");
        }
        for path in [
            STREAMS,
            "/streaming/none",
            "/ops/tree",
            "/readyz",
            "/healthz",
            "/openapi.json",
            "/streams/1_1",
            "/nothing",
        ] {
            assert_eq!(rules(method, path), Vec::<String>::new(), "{method} {path}");
        }
    }
    let preflight = rules("OPTIONS", "/cmaf/1_1/master.m3u8");
    assert!(preflight.iter().any(|line| line.contains("allow-methods: get, head, options")), "{preflight:?}");
}
